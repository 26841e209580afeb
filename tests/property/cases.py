"""Small random cases: at most 4 pods, 4 offerings and 2 existing nodes; limits and priorities in a third of them.

A case is plain numbers. `snapshot` and `catalogue` say it in raypipe's words, `brute_force` knows only the numbers.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from raypipe.catalog import Catalog, load
from raypipe.model.nodes import Node
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.model.workloads import Gang

MIB = 2**20
NANOS = 10**9
ZONE = "us-east-1a"


@dataclass(frozen=True)
class Kind:
    """An offering: name, capacity type, cpu and memory that limits count, what pods may use, and cents an hour."""

    name: str
    capacity_type: str
    vcpu: int
    memory_mib: int
    cpu_m: int
    allocatable_mib: int
    pods: int
    gpus: int
    cents: int


@dataclass(frozen=True)
class Pod:
    """One pod: what it requests, whether it insists on on-demand or on an existing node, and its place in the order."""

    key: str
    cpu_m: int
    memory_mib: int
    gpus: int
    on_demand: bool
    labelled: bool
    priority: int
    created: str | None
    gang: str | None


@dataclass(frozen=True)
class Existing:
    """A node that exists, with what is used of it."""

    name: str
    kind: Kind
    used_cpu_m: int
    used_mib: int
    labelled: bool


@dataclass(frozen=True)
class Case:
    kinds: tuple[Kind, ...]
    pods: tuple[Pod, ...]
    nodes: tuple[Existing, ...]
    limits: dict[str, int] = field(default_factory=dict)


def random_case(seed: int) -> Case:
    """The case of a seed."""
    draw = random.Random(seed)
    kinds = []
    for number in range(draw.randint(1, 4)):
        vcpu = draw.choice((2, 4, 8))
        gib = vcpu * draw.choice((2, 4, 8))
        gpus = draw.choice((0, 0, 0, 1, 2))
        cents = vcpu * draw.randint(1, 5) + gib // 4 + gpus * draw.randint(10, 40)
        capacity_type = draw.choice(("spot", "on-demand"))
        room = draw.choice((2, 3, 4, 58))
        kinds.append(
            Kind(
                f"t{number}.x", capacity_type, vcpu, gib * 1024, vcpu * 1000 - 100, gib * 1024 - 512, room, gpus, cents
            )
        )
    special = seed % 3 == 0
    gang = draw.random() < 0.3
    pods = []
    for number in range(draw.randint(1, 4)):
        pods.append(
            Pod(
                key=f"Pod/default/p{number}",
                cpu_m=draw.choice((100, 900, 1500, 1900, 2500, 3900)),
                memory_mib=draw.choice((128, 1024, 3000, 7000)),
                gpus=draw.choice((0, 0, 0, 0, 1)),
                on_demand=draw.random() < 0.2,
                labelled=draw.random() < 0.1,
                priority=draw.choice((0, 0, 100)) if special else 0,
                created=draw.choice((None, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")) if special else None,
                gang="PodGroup/default/g" if gang and number < 2 else None,
            )
        )
    nodes = tuple(
        Existing(
            f"node-{number}",
            kind := draw.choice(kinds),
            draw.randint(0, kind.cpu_m // 100) * 100,
            draw.randint(0, kind.allocatable_mib),
            draw.random() < 0.5,
        )
        for number in range(draw.randint(0, 2))
    )
    return Case(tuple(kinds), tuple(pods), nodes, _limits(draw) if special else {})


def _limits(draw: random.Random) -> dict[str, int]:
    """One or two limits; cpu in millicores, memory in MiB, money in cents."""
    possible = {
        "cpu": draw.choice((4, 8, 12, 16)) * 1000,
        "memory": draw.choice((8, 16, 32)) * 1024,
        "nvidia.com/gpu": draw.choice((0, 1, 2)),
        "nodes": draw.choice((0, 1, 2, 3)),
        "usdPerHour": draw.randint(5, 60),
    }
    return {name: possible[name] for name in draw.sample(sorted(possible), draw.randint(1, 2))}


def snapshot(case: Case) -> FleetSnapshot:
    """The case as raypipe sees it."""
    sizes = {"cpu": 1, "memory": MIB, "nvidia.com/gpu": 1, "nodes": 1, "usdPerHour": NANOS // 100}
    gangs = {pod.gang for pod in case.pods if pod.gang}
    cluster = ClusterSnapshot(
        name="small",
        zones=(ZONE,),
        limits={name: amount * sizes[name] for name, amount in case.limits.items()},
        nodes=tuple(_node(one) for one in case.nodes),
        bound=tuple(
            BoundPods(
                node=one.name,
                key=f"Pod/default/on-{one.name}",
                spec=PodSpec(requests={"cpu": one.used_cpu_m, "memory": one.used_mib * MIB, "pods": 1}),
            )
            for one in case.nodes
            if one.used_cpu_m or one.used_mib
        ),
        demand=tuple(
            PodGroup(key=pod.key, spec=_spec(pod), count=1, gang=pod.gang, created=pod.created)
            for pod in sorted(case.pods, key=lambda pod: pod.key)
        ),
        gangs=tuple(
            Gang(
                name=name,
                minimum={pod.key: 1 for pod in case.pods if pod.gang == name},
                priority=max(pod.priority for pod in case.pods if pod.gang == name),
                created=min((pod.created or "~") for pod in case.pods if pod.gang == name).replace("~", "") or None,
            )
            for name in sorted(gangs)
        ),
    )
    return FleetSnapshot(clusters=(cluster,))


def _spec(pod: Pod) -> PodSpec:
    selector = {"karpenter.sh/capacity-type": "on-demand"} if pod.on_demand else {}
    selector |= {"disk": "fast"} if pod.labelled else {}
    requests = {"cpu": pod.cpu_m, "memory": pod.memory_mib * MIB, "pods": 1}
    requests |= {"nvidia.com/gpu": pod.gpus} if pod.gpus else {}
    return PodSpec(requests=requests, node_selector=selector, priority=pod.priority)


def _node(one: Existing) -> Node:
    kind = one.kind
    labels = {
        "node.kubernetes.io/instance-type": kind.name,
        "topology.kubernetes.io/region": "us-east-1",
        "topology.kubernetes.io/zone": ZONE,
        "karpenter.sh/capacity-type": kind.capacity_type,
        "kubernetes.io/arch": "amd64",
    } | ({"disk": "fast"} if one.labelled else {})
    capacity = {"cpu": kind.vcpu * 1000, "memory": kind.memory_mib * MIB, "nvidia.com/gpu": kind.gpus}
    allocatable = {
        "cpu": kind.cpu_m,
        "memory": kind.allocatable_mib * MIB,
        "pods": kind.pods,
        "nvidia.com/gpu": kind.gpus,
    }
    return Node(name=one.name, labels=labels, capacity=capacity, allocatable=allocatable)


def catalogue(case: Case, folder: Path) -> Catalog:
    """The case's offerings as a catalogue, through the CSV pair."""
    folder.mkdir(parents=True, exist_ok=True)
    types = "provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib,"
    types += "allocatable_cpu_m,allocatable_memory_mib,allocatable_pods\n"
    offerings = "provider,region,instance_type,capacity_type,usd_per_hour,interruption_bucket\n"
    for kind in case.kinds:
        gpu = f"nvidia,t4,{kind.gpus},16384" if kind.gpus else ",,0,"
        family = kind.name.partition(".")[0].replace("t", "m")
        types += f"aws,{kind.name},{family},amd64,{kind.vcpu},{kind.memory_mib},{gpu},"
        types += f"{kind.cpu_m},{kind.allocatable_mib},{kind.pods}\n"
        offerings += f"aws,us-east-1,{kind.name},{kind.capacity_type},{kind.cents / 100:.2f},\n"
    (folder / "instance_types.csv").write_text(types)
    (folder / "offerings.csv").write_text(offerings)
    return load(folder)
