"""The instances of the benchmark by name, each a fleet folder for one seed.

Rows of real traces have one instance. `existing` rows come in pairs: 1,000 pods beside 100 nodes with free room, and
the same pods alone. Those nodes are some of what the first-fit emulation buys for another demand, of whose pods three
in ten have gone since: not a plan of raypipe's own, so that the instance stays the same whatever the planner becomes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raypipe.catalog import Catalog, offerings_for
from raypipe.manifests import read_paths
from raypipe.model.nodes import Offering
from raypipe.model.resources import Resources
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.quantities import format_quantity
from tests.benchmark.instances import DIVERSE_TYPES, Object, fleet, instance, write
from tests.benchmark.peers import first_fit
from tests.benchmark.world import world_of

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
OLD_NODES, OLD_PODS, GONE = 100, 4_000, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: `kind` says how an instance is made, `seeds` how many are planned unless asked otherwise.

    capacity_types, categories: what may be bought; no categories: all but t.
    """

    name: str
    group: str
    kind: str
    pods: int
    groups: int = 0
    seeds: int = 5
    capacity_types: tuple[str, ...] = ("spot", "on-demand")
    categories: tuple[str, ...] = ()


ON_DEMAND = ("on-demand",)
CMRT = ("c", "m", "r", "t")
"""The families of the run of the real Karpenter that `real` rows are like."""

ROWS = (
    Row(name="services-100", group="optimiser", kind="services", pods=100, groups=20),
    Row(name="services-1000", group="optimiser", kind="services", pods=1_000, groups=100),
    Row(name="services-10000", group="optimiser", kind="services", pods=10_000, groups=100),
    Row(name="services-100000", group="optimiser", kind="services", pods=100_000, groups=100),
    Row(name="services-100000-900", group="optimiser", kind="services", pods=100_000, groups=900),
    Row(name="gpu-300", group="optimiser", kind="gpu", pods=300),
    Row(name="gpu-500", group="optimiser", kind="gpu", pods=500),
    Row(name="gpu-600", group="optimiser", kind="gpu", pods=600),
    Row(name="mixed-300", group="optimiser", kind="mixed", pods=300),
    Row(name="mixed-600", group="optimiser", kind="mixed", pods=600),
    Row(name="constrained-1000", group="optimiser", kind="constrained", pods=1_000, groups=80),
    Row(name="openb-8152", group="optimiser", kind="openb", pods=8_152, seeds=1),
    Row(name="openb-cpu", group="optimiser", kind="openb-cpu", pods=1_088, seeds=1),
    Row(name="karpenter-1000", group="optimiser", kind="karpenter", pods=1_000),
    Row(name="karpenter-5000", group="optimiser", kind="karpenter", pods=5_000),
    Row(name="karpenter-20000", group="optimiser", kind="karpenter", pods=20_000),
    Row(name="od-1000", group="on-demand", kind="services", pods=1_000, groups=100, capacity_types=ON_DEMAND),
    Row(name="od-10000", group="on-demand", kind="services", pods=10_000, groups=100, capacity_types=ON_DEMAND),
    Row(name="real", group="real", kind="services", pods=1_000, groups=97, seeds=3, categories=CMRT),
    Row(
        name="real-od",
        group="real",
        kind="services",
        pods=1_000,
        groups=97,
        seeds=3,
        capacity_types=ON_DEMAND,
        categories=CMRT,
    ),
    Row(name="existing-1000", group="existing", kind="existing", pods=1_000, groups=100),
    Row(name="existing-none", group="existing", kind="services", pods=1_000, groups=100),
)


def folder_of(row: Row, seed: int, catalog: Catalog, scratch: Path) -> Path:
    """Write the instance of a row and return its folder."""
    folder = scratch / f"{row.name}-{seed}"
    match row.kind:
        case "openb":
            return openb(folder)
        case "openb-cpu":
            return openb(folder, only_cpu=True)
        case "existing":
            old = nodes_left(row.groups, seed, catalog, scratch / f"{folder.name}-before")
            return write(folder, [*instance("services", row.pods, row.groups, seed), *old])
        case "karpenter":
            types = _ordinary_types(catalog)
            chosen = np.random.default_rng(seed).choice(types, size=DIVERSE_TYPES, replace=False)
            return write(folder, instance("karpenter", row.pods, 0, seed), sorted(chosen.tolist()))
    entry = {"capacity_types": row.capacity_types, "categories": row.categories}
    return write(folder, instance(row.kind, row.pods, row.groups, seed), **entry)


def openb(folder: Path, *, only_cpu: bool = False) -> Path:
    """The openb trace as a fleet folder; `only_cpu`: its pods without a GPU."""
    folder.mkdir(parents=True)
    converter = ROOT / "examples" / "openb_to_manifests.py"
    trace = SHARED / "traces" / "openb_pods_gpuspec33.csv"
    made = subprocess.run([sys.executable, str(converter), str(trace)], stdout=subprocess.PIPE, check=True).stdout
    if only_cpu:
        content = json.loads(made)
        content["items"] = [one for one in content["items"] if "nvidia.com/gpu" not in json.dumps(one)]
        made = json.dumps(content).encode()
    (folder / "objects.json").write_bytes(made)
    (folder / "fleet.json").write_text(json.dumps(fleet("objects.json")))
    return folder


def _ordinary_types(catalog: Catalog) -> list[str]:
    """Types without GPUs that the benchmark's fleet may buy, by name."""
    found = offerings_for(ClusterSnapshot(name="benchmark", zones=("us-east-1a",)), catalog).offerings
    return sorted({one.instance_type for one in found if one.opened and not one.gpu_count and one.category != "t"})


def nodes_left(groups: int, seed: int, catalog: Catalog, scratch: Path) -> list[Object]:
    """Some of the nodes bought for another demand, with those of its pods that are still there."""
    before = instance("services", OLD_PODS, groups, seed + 1000)
    world = world_of(read_paths([write(scratch, before)]).clusters[0], catalog)
    bought, rng = first_fit(world), np.random.default_rng(seed)
    of_key = {f"Deployment/default/{one['metadata']['name']}": one for one in before}
    chosen = np.sort(rng.choice(len(bought.kinds), size=OLD_NODES, replace=False))
    left = rng.binomial(bought.pods[chosen], 1 - GONE)
    objects = [_node(number, bought.world.offerings[j]) for number, j in enumerate(bought.kinds[chosen].tolist())]
    for k in np.flatnonzero(left.any(axis=0)).tolist():
        template = of_key[bought.world.keys[k]]["spec"]["template"]
        objects += _replicas(f"old-{k:03d}", template, left[:, k].tolist())
    return objects


def _node(number: int, offering: Offering) -> Object:
    """A Node as it stands after it was bought."""
    name = f"node-{number:03d}"
    allocatable = _written(offering.allocatable)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**offering.labels, "kubernetes.io/hostname": name}},
        "status": {
            "capacity": allocatable | _written(offering.capacity),
            "allocatable": allocatable,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _written(amounts: Resources) -> dict[str, str]:
    return {name: format_quantity(amount, name) for name, amount in amounts.items()}


def _replicas(name: str, template: Object, on_node: list[int]) -> list[Object]:
    """A ReplicaSet all of whose pods are bound: so many on each node."""
    labels = {"app": name}
    metadata = {**template["metadata"], "labels": labels}
    spec = {"replicas": sum(on_node), "selector": {"matchLabels": labels}}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": f"uid-{name}", "controller": True}
    owned: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": "default", "uid": owner["uid"]},
        "spec": spec | {"template": {"metadata": metadata, "spec": template["spec"]}},
    }
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **metadata,
                "name": f"{name}-{node:03d}-{copy:03d}",
                "namespace": "default",
                "ownerReferences": [owner],
            },
            "spec": {**template["spec"], "nodeName": f"node-{node:03d}"},
            "status": {"phase": "Running"},
        }
        for node, copies in enumerate(on_node)
        for copy in range(copies)
    ]
    return [owned, *pods]
