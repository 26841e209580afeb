"""A RayCluster's work on T4, on L4 or on spot A10G, under random prices, against every division tried.

Prices, speeds, bounds and the work are drawn; the owner has asked for all of it in one group or in several. A node of
a kind has one GPU or four, a worker takes one, so what n workers of a kind cost is a matter of two prices::

    cost(n) = min over b of b p4 + max(0, n - 4 b) p1

A plan is equal to enumeration where it costs what the cheapest division does that does the work within the bounds.
``python -m tests.property.test_worker_groups --cases 200`` tries as many as there are to be.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import load
from raypipe.fleet import plan_fleet
from raypipe.model.plan import ClusterPlan, Status
from raypipe.model.snapshot import FleetSnapshot
from raypipe.validation import check_plan
from tests.patches import patched
from tests.unit.manifests.builders import Object, container, ray_spec, read, template, thing

GPUS_ON_A_LARGE_NODE = 4
HEAD_MILLS = 100
TYPES = """provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib,\
allocatable_cpu_m,allocatable_memory_mib,allocatable_pods
aws,m5.large,m5,amd64,2,8192,,,0,,2000,8192,50
aws,g4dn.xlarge,g4dn,amd64,4,16384,nvidia,t4,1,16384,4000,16384,50
aws,g4dn.12xlarge,g4dn,amd64,48,196608,nvidia,t4,4,16384,48000,196608,50
aws,g6.xlarge,g6,amd64,4,16384,nvidia,l4,1,24576,4000,16384,50
aws,g6.12xlarge,g6,amd64,48,196608,nvidia,l4,4,24576,48000,196608,50
aws,g5.xlarge,g5,amd64,4,16384,nvidia,a10g,1,24576,4000,16384,50
aws,g5.12xlarge,g5,amd64,48,196608,nvidia,a10g,4,24576,48000,196608,50
"""


@dataclass(frozen=True)
class Group:
    """A worker group: speed in hundredths, prices in thousandths of a dollar an hour for one GPU and for four."""

    name: str
    family: str
    capacity_type: str
    speed: int
    low: int
    high: int
    wish: int
    one_mills: int
    four_mills: int

    def mills(self, workers: int) -> int:
        """What the nodes of so many workers cost."""
        large = range(-(-workers // GPUS_ON_A_LARGE_NODE) + 1)
        return min(b * self.four_mills + max(0, workers - GPUS_ON_A_LARGE_NODE * b) * self.one_mills for b in large)

    def offerings(self) -> list[str]:
        sizes = (("xlarge", self.one_mills), ("12xlarge", self.four_mills))
        return [f"aws,us-east-1,{self.family}.{size},{self.capacity_type},{mills / 1000:.3f}" for size, mills in sizes]

    def manifest(self) -> Object:
        marks = {"raypipe.io/alternatives": "gpus", "raypipe.io/speed": f"{self.speed / 100:.2f}"}
        selector = {
            "karpenter.k8s.aws/instance-gpu-name": self.name,
            "karpenter.sh/capacity-type": self.capacity_type,
        }
        worker = container("3", "8Gi", **{"nvidia.com/gpu": 1})
        return {
            "groupName": self.name,
            "minReplicas": self.low,
            "maxReplicas": self.high,
            "replicas": self.wish,
            "template": template(worker, annotations=marks, nodeSelector=selector),
        }


def groups_of(seed: int) -> tuple[Group, ...]:
    """The three groups of a case, which can do the work."""
    draw = random.Random(seed)
    groups = []
    for name, family, capacity_type, speeds, mills in (
        ("t4", "g4dn", "on-demand", (40, 45, 50, 100), (150, 700)),
        ("l4", "g6", "on-demand", (80, 100), (300, 1000)),
        ("a10g", "g5", "spot", (120, 160, 200), (200, 1200)),
    ):
        one = draw.randint(*mills)
        low = draw.choice((0, 0, 0, 1))
        high = max(low, draw.choice((2, 4, 9)))
        groups.append(
            Group(
                name=name,
                family=family,
                capacity_type=capacity_type,
                speed=draw.choice(speeds),
                low=low,
                high=high,
                wish=max(low, draw.choice((0, 0, draw.randint(0, high)))),
                one_mills=one,
                four_mills=round(one * draw.uniform(2.5, 5.5)),
            )
        )
    if not any(group.wish for group in groups):
        groups[-1] = replace(groups[-1], wish=1)
    return tuple(groups)


def least_mills(groups: tuple[Group, ...]) -> int:
    """What the cheapest division costs that does the work within the bounds."""
    work = sum(group.wish * group.speed for group in groups)
    return min(
        sum(group.mills(n) for group, n in zip(groups, replicas, strict=True))
        for replicas in product(*(range(group.low, group.high + 1) for group in groups))
        if sum(group.speed * n for group, n in zip(groups, replicas, strict=True)) >= work
    )


def compared(seed: int, folder: Path) -> str:
    """What is wrong with the plan of a case, or nothing."""
    groups = groups_of(seed)
    head = template(container("1"), nodeSelector={"node.kubernetes.io/instance-type": "m5.large"})
    cluster = thing("RayCluster", "demo", ray_spec(*(group.manifest() for group in groups), head=head))
    plan = planned(groups, cluster, folder)
    least = least_mills(groups)
    (told,) = plan.alternatives
    replicas = {group.group: group.replicas for group in told.groups}
    found = round(plan.usd_per_hour.after * 1000) - HEAD_MILLS
    if plan.unplaced or found != least or sum(group.mills(replicas[group.name]) for group in groups) != least:
        return f"{seed}: {replicas} for {found} instead of {least}"
    if plan.status is Status.OPTIMAL and round(plan.usd_per_hour.lower_bound * 1000, 6) > least + HEAD_MILLS:
        return f"{seed}: a bound of {plan.usd_per_hour.lower_bound} is above {least + HEAD_MILLS}"
    stands = _carried_out(plan, cluster)
    return "" if stands == replicas else f"{seed}: {stands} are written, {replicas} are told"


def planned(groups: tuple[Group, ...], cluster: Object, folder: Path) -> ClusterPlan:
    """The plan of a case, valid by the second opinion."""
    folder.mkdir(exist_ok=True)
    rows = [f"aws,us-east-1,m5.large,on-demand,{HEAD_MILLS / 1000:.3f}", *(r for g in groups for r in g.offerings())]
    header = "provider,region,instance_type,capacity_type,usd_per_hour"
    (folder / "instance_types.csv").write_text(TYPES, encoding="utf-8")
    (folder / "offerings.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    fleet, catalog = FleetSnapshot(clusters=(replace(read(cluster), zones=("us-east-1a",)),)), load(folder)
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    return plan.clusters[0]


def _carried_out(plan: ClusterPlan, cluster: Object) -> dict[str, int]:
    """The replicas that the object states once the plan is carried out."""
    after: Any = cluster
    for action in plan.actions:
        after = patched(after, action.patch)
    return {one["groupName"]: one["replicas"] for one in after["spec"]["workerGroupSpecs"]}


def _tally(seeds: range, folder: Path) -> list[str]:
    return [wrong for seed in seeds if (wrong := compared(seed, folder / str(seed)))]


@pytest.mark.parametrize("first_case", [0, 20])
def test_the_division_is_the_cheapest_of_all(first_case: int, tmp_path: Path) -> None:
    assert _tally(range(first_case, first_case + 20), tmp_path) == []


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as name:
        problems = _tally(range(cases), Path(name))
    print(f"{cases} price tables: {cases - len(problems)} equal to enumeration", *problems, sep="\n")
    raise SystemExit(bool(problems))
