"""One question, one plan, byte for byte: whatever the order of files, objects and catalogue rows, and of hashes.

Each case is planned by the whole command in processes with hash seeds of their own, from inputs in orders of their own:
cold, then warm from the state that the cold plan left. Cases: constraints, GPUs, existing nodes under limits, a fleet.

``python -m tests.property.test_determinism --orders 4`` prints the table; the test looks at two orders of each case.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog.tables import SHIPPED
from tests.benchmark.instances import Object, deployment, fleet, instance

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from raypipe.cli import main; sys.exit(main())"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


@dataclass(frozen=True)
class Case:
    """Objects of a cluster, and what its entry in the fleet file says beside the benchmark's."""

    objects: list[Object]
    entry: dict[str, Any]


def constrained() -> Case:
    return Case(instance("constrained", 60, 12, 1), {})


def gpus() -> Case:
    """Whole GPUs, and slices that declare their memory."""
    shared = deployment("shared", 6, {"cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1"}, "amd64", False)
    annotations = {"raypipe.io/gpu-shared": "true", "raypipe.io/gpu-memory": "3Gi"}
    shared["spec"]["template"]["metadata"]["annotations"] = annotations
    return Case([*instance("gpu", 40, 0, 1), shared], {"gpuSlices": {"t4": 4}})


def existing_under_limits() -> Case:
    """Ten nodes with a pod on each, and limits that keep some of the services out."""
    objects = instance("services", 60, 10, 1)
    for number in range(10):
        name, zone = f"node-{number}", ZONES[number % 3]
        objects += [_node(name, zone), _pod(f"old-{number}", name)]
    limits = {"cpu": "90", "usdPerHour": "4"}
    return Case(objects, {"limits": limits})


CASES: dict[str, Callable[[], Case]] = {
    "constraints": constrained,
    "GPUs, sliced": gpus,
    "existing nodes, limits": existing_under_limits,
}


def _node(name: str, zone: str) -> Object:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": "m5.xlarge",
        "topology.kubernetes.io/region": "us-east-1",
        "topology.kubernetes.io/zone": zone,
        "karpenter.sh/capacity-type": "on-demand",
    }
    room = {"cpu": "4", "memory": "16Gi", "pods": "58"}
    status = {"capacity": room, "allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": status}


def _pod(name: str, node: str) -> Object:
    container = {"name": "main", "resources": {"requests": {"cpu": "1500m", "memory": "4Gi"}}}
    metadata = {"name": name, "namespace": "default"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": node, "containers": [container]},
    }


def plans(case: Case, order: int, folder: Path) -> tuple[str, str]:
    """The cold plan and the warm one after it, without the hour, from inputs in one order; order 0: as they are."""
    draw, folder = random.Random(order), folder / str(order)
    (folder / "manifests").mkdir(parents=True)
    objects = list(case.objects)
    if order:
        draw.shuffle(objects)
    parts = 1 + order % 3
    for part in range(parts):
        items = {"apiVersion": "v1", "kind": "List", "items": objects[part::parts]}
        (folder / "manifests" / f"{draw.randrange(10**6)}.json").write_text(json.dumps(items))
    entry = fleet("manifests")
    entry["clusters"][0] |= case.entry
    (folder / "fleet.json").write_text(json.dumps(entry))
    catalog = _catalogue(folder / "catalog", draw if order else None)
    arguments = [str(folder), "--catalog", str(catalog), "--state", str(folder / "state"), "-o", "json", "--quiet"]
    cold, warm = (_printed(["plan", *arguments], order).replace(str(folder), "FOLDER") for _ in range(2))
    return cold, warm


def _catalogue(folder: Path, draw: random.Random | None) -> Path:
    """The shipped catalogue with its rows in another order."""
    folder.mkdir()
    for name in ("instance_types.csv", "offerings.csv"):
        with (SHIPPED / name).open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        if draw is not None:
            draw.shuffle(rows)
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    return folder


def _printed(arguments: Sequence[str], hash_seed: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode in (0, 3), run.stderr
    return "".join(line for line in run.stdout.splitlines(keepends=True) if not line.startswith(' "created_at"'))


@pytest.mark.parametrize("name", CASES)
def test_two_orders_of_one_question_give_one_plan(name: str, tmp_path: Path) -> None:
    (cold, warm), (other_cold, other_warm) = (plans(CASES[name](), order, tmp_path) for order in (1, 2))
    assert cold == other_cold
    assert warm == other_warm
    assert json.loads(warm)["inputs"]["pool"] is not None
    assert json.loads(cold)["inputs"]["pool"] is None
    assert "existing" not in name or json.loads(cold)["clusters"][0]["unplaced"]


def rows(orders: int, folder: Path) -> Iterator[tuple[str, bool]]:
    """A line a case, and whether all orders gave one plan."""
    for number, (name, made) in enumerate(CASES.items()):
        found = [plans(made(), order, folder / str(number)) for order in range(orders)]
        for title, texts in zip(("cold", "warm"), zip(*found, strict=True), strict=True):
            kinds = len(set(texts))
            plan = json.loads(texts[0])
            cost, bytes_of = plan["usd_per_hour"]["after"], len(texts[0])
            yield (
                f"{name + ', ' + title:<32}{orders:>7}{kinds:>7}{bytes_of:>9}{cost:>11.4f}  "
                f"{'one plan' if kinds == 1 else 'DIFFER: ' + _first_difference(sorted(set(texts)))}",
                kinds == 1,
            )


def _first_difference(texts: Sequence[str]) -> str:
    pairs = zip(texts[0].splitlines(), texts[1].splitlines(), strict=False)
    return next((f"{one.strip()} / {other.strip()}" for one, other in pairs if one != other), "one is longer")[:120]


def main() -> int:
    """Print the table; 1 where an order makes a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=4)
    asked = parser.parse_args()
    good = True
    print(f"{'case':<32}{'orders':>7}{'plans':>7}{'bytes':>9}{'$/h':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for line, same in rows(asked.orders, Path(folder)):
            print(line, flush=True)
            good &= same
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
