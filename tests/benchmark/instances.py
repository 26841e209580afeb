"""Instances of the benchmark, as manifests: seeded, so that any two commits can be compared on the same input.

* services N of K: counts by Zipf with exponent 1.1 over K Deployments; cpu one of 50 .. 8000 m; memory [Mi] = cpu [m] x
  lognormal(0.9, 0.6) + 64; 70 % amd64, 6 % arm64, the rest either; 40 % on-demand only; three zones.
* GPU N: Deployments of 1 .. N/20 pods with 0, 1 (three times as likely), 2, 4 or 8 GPUs of one of six lists of kinds;
  cpu 1-11 and memory 4-30 Gi a GPU, at most 90 cpu and 600 GB; amd64; 40 % on-demand only.
* mixed N: half services (of 40), half GPU.
* constrained N of K: services with a quarter of the Deployments under hostname anti-affinity (of those with at most 40
  pods), 15 % under zone spread (maxSkew 1) and 10 % under hostname spread (maxSkew 2).
* karpenter N: the mix of Karpenter's own scheduling benchmark, a fifth of the pods each generic, zone spread, hostname
  spread, zone affinity and hostname anti-affinity; cpu one of 100 .. 1500 m, memory one of 100 .. 4096 Mi, drawn for
  each pod. There all pods of a kind of constraint share seven labels, whatever their sizes; here those of one size are
  a Deployment that selects its own label, and anti-affinity Deployments have at most 40 pods.

Each draws from a generator of its own seed, so adding one changes no other.

``python -m tests.benchmark.instances services --pods 1000 --groups 100 --seed 1 --out DIR`` writes a fleet folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CPUS = (50, 100, 250, 500, 1000, 2000, 4000, 8000)
GPU_KINDS = (("t4",), ("t4", "l4"), ("a10g", "l4"), ("v100",), ("a100", "h100"), ("l40s",))
GPU_COUNTS = (0, 1, 1, 1, 2, 4, 8)
MOST_CPU, MOST_MEMORY_MIB = 90_000, 600 * 10**9 // 2**20

KINDS = ("services", "gpu", "mixed", "constrained", "karpenter")
MOST_APART = 40
"""Most pods of a Deployment under hostname anti-affinity: each needs a node of its own."""
DIVERSE_CPUS = (100, 250, 500, 1000, 1500)
DIVERSE_MEMORIES_MIB = (100, 256, 512, 1024, 2048, 4096)
DIVERSE_TYPES = 400
"""Instance types in Karpenter's benchmark."""
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"

type Rng = np.random.Generator
type Object = dict[str, Any]


def services(pods: int, groups: int, rng: Rng) -> list[dict[str, Any]]:
    """Deployments with `pods` pods in all, at least one each."""
    shares = 1.0 / np.arange(1, groups + 1) ** 1.1
    counts = np.maximum(1, np.floor(pods * shares / shares.sum())).astype(int)
    counts[0] += pods - int(counts.sum())
    cpus = rng.choice(CPUS, size=groups)
    memories = (cpus * rng.lognormal(0.9, 0.6, size=groups) + 64).astype(int)
    archs = np.select([(draws := rng.random(groups)) < 0.70, draws < 0.76], ["amd64", "arm64"], default="")
    on_demand = rng.random(groups) < 0.4
    return [
        deployment(
            f"service-{k:03d}",
            int(counts[k]),
            {"cpu": f"{cpus[k]}m", "memory": f"{memories[k]}Mi"},
            str(archs[k]) or None,
            bool(on_demand[k]),
        )
        for k in range(groups)
    ]


def gpus(pods: int, rng: Rng) -> list[dict[str, Any]]:
    """GPU Deployments with `pods` pods in all."""
    result, left = [], pods
    while left:
        count = min(left, int(rng.integers(1, max(1, pods // 20) + 1)))
        left -= count
        gpu = int(rng.choice(GPU_COUNTS))
        kinds = GPU_KINDS[int(rng.integers(len(GPU_KINDS)))] if gpu else ()
        cpu = min(MOST_CPU, int(rng.integers(1, 12)) * 1000 * max(1, gpu))
        memory = min(MOST_MEMORY_MIB, int(rng.integers(4, 31)) * 1024 * max(1, gpu))
        requests = {"cpu": f"{cpu}m", "memory": f"{memory}Mi"} | ({"nvidia.com/gpu": str(gpu)} if gpu else {})
        result.append(deployment(f"gpu-{len(result):03d}", count, requests, "amd64", rng.random() < 0.4, kinds))
    return result


def mixed(pods: int, rng: Rng) -> list[dict[str, Any]]:
    """Half services of 40 Deployments, half GPU."""
    return services(pods // 2, 40, rng) + gpus(pods - pods // 2, rng)


def constrained(pods: int, groups: int, rng: Rng) -> list[Object]:
    """Services, half of which ask something of where their own pods stand."""
    made = services(pods, groups, rng)
    order = [made[k] for k in rng.permutation(groups)]
    small = [one for one in order if one["spec"]["replicas"] <= MOST_APART]
    apart = small[: round(0.25 * groups)]
    others = [one for one in order if not any(one is other for other in apart)]
    zoned, spread = round(0.15 * groups), round(0.10 * groups)
    for one in apart:
        ask_apart(one)
    for one in others[:zoned]:
        ask_spread(one, ZONE, 1)
    for one in others[zoned : zoned + spread]:
        ask_spread(one, HOSTNAME, 2)
    return made


def karpenter(pods: int, rng: Rng) -> list[Object]:
    """The mix of Karpenter's scheduling benchmark."""
    asks: dict[str, Callable[[Object], None]] = {
        "generic": lambda _: None,
        "zone-spread": lambda one: ask_spread(one, ZONE, 1),
        "host-spread": lambda one: ask_spread(one, HOSTNAME, 1),
        "zone-affinity": ask_one_zone,
        "apart": ask_apart,
    }
    sizes = [(cpu, memory) for cpu in DIVERSE_CPUS for memory in DIVERSE_MEMORIES_MIB]
    made: list[Object] = []
    for name, ask in asks.items():
        count = pods // len(asks) + (pods % len(asks) if name == "generic" else 0)
        drawn = np.bincount(rng.integers(len(sizes), size=count), minlength=len(sizes)).tolist()
        for (cpu, memory), total in zip(sizes, drawn, strict=True):
            most = MOST_APART if name == "apart" else max(1, total)
            for part in range(0, total, most):
                requests = {"cpu": f"{cpu}m", "memory": f"{memory}Mi"}
                title = f"{name}-{cpu}m-{memory}mi-{part // most}"
                one = deployment(title, min(most, total - part), requests, None, False)
                ask(one)
                made.append(one)
    return made


def ask_apart(one: Object) -> None:
    """Ask for nodes without another pod of the same Deployment."""
    _template(one)["affinity"] = {
        "podAntiAffinity": {_REQUIRED: [{"labelSelector": _own(one), "topologyKey": HOSTNAME}]}
    }


def ask_one_zone(one: Object) -> None:
    """Ask for one zone for all pods of the Deployment."""
    term = {"labelSelector": _own(one), "topologyKey": ZONE}
    _template(one)["affinity"] = {"podAffinity": {_REQUIRED: [term]}}


def ask_spread(one: Object, topology_key: str, max_skew: int) -> None:
    """Ask for even numbers of the Deployment's pods in all domains."""
    constraint = {"maxSkew": max_skew, "topologyKey": topology_key, "labelSelector": _own(one)}
    _template(one)["topologySpreadConstraints"] = [constraint | {"whenUnsatisfiable": "DoNotSchedule"}]


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _template(one: Object) -> Object:
    """The pod spec of a Deployment."""
    spec: Object = one["spec"]["template"]["spec"]
    return spec


def _own(one: Object) -> Object:
    """The selector of a Deployment's own pods."""
    selector: Object = one["spec"]["selector"]
    return selector


def deployment(
    name: str,
    replicas: int,
    requests: dict[str, str],
    arch: str | None,
    on_demand: bool,
    kinds: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A Deployment of one container."""
    selector = {"kubernetes.io/arch": arch} if arch else {}
    selector |= {"karpenter.sh/capacity-type": "on-demand"} if on_demand else {}
    metadata: dict[str, Any] = {"labels": {"app": name}}
    if kinds:
        metadata["annotations"] = {"raypipe.io/instance-gpu-skus": ",".join(kinds)}
    container = {"name": "main", "image": "example.com/main", "resources": {"requests": requests}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": metadata, "spec": {"nodeSelector": selector, "containers": [container]}},
        },
    }


def fleet(
    manifests: str,
    arch: str = "amd64+arm64",
    types: Sequence[str] = (),
    capacity_types: Sequence[str] = ("spot", "on-demand"),
    categories: Sequence[str] = (),
) -> dict[str, Any]:
    """The fleet file: aws us-east-1, three zones, category t left out.

    types: only these. categories: only these, burstable ones at their list price, as Karpenter sees them.
    """
    without_t = {"key": "karpenter.k8s.aws/instance-category", "operator": "NotIn", "values": ["t"]}
    if categories:
        without_t |= {"operator": "In", "values": list(categories)}
    chosen = [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": list(types)}] if types else []
    cluster = {
        "name": "benchmark",
        "provider": "aws",
        "region": "us-east-1",
        "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
        "capacityTypes": list(capacity_types),
        "arch": arch,
        "requirements": [without_t, *chosen],
        "manifests": [manifests],
    }
    cluster |= {"settings": {"burstable": "list"}} if categories else {}
    return {"apiVersion": "raypipe.io/v1", "kind": "Fleet", "clusters": [cluster]}


def write(folder: Path, objects: list[dict[str, Any]], types: Sequence[str] = (), **entry: Sequence[str]) -> Path:
    """Write a fleet folder; return it. `types`: the only instance types that may be bought; `entry`: as of `fleet`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    (folder / "fleet.json").write_text(json.dumps(fleet("objects.json", types=types, **entry)))
    return folder


def instance(kind: str, pods: int, groups: int, seed: int) -> list[dict[str, Any]]:
    """The objects of one instance; ValueError for an unknown kind."""
    rng = np.random.default_rng(seed)
    match kind:
        case "services":
            return services(pods, groups, rng)
        case "gpu":
            return gpus(pods, rng)
        case "mixed":
            return mixed(pods, rng)
        case "constrained":
            return constrained(pods, groups, rng)
        case "karpenter":
            return karpenter(pods, rng)
    raise ValueError(f"{kind!r}: expected one of {', '.join(KINDS)}")


def main() -> None:
    """Write one instance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write(arguments.out, instance(arguments.kind, arguments.pods, arguments.groups, arguments.seed))


if __name__ == "__main__":
    main()
