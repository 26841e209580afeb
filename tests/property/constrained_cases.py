"""Small random cases in which pods ask something of each other: at most 6 pods, 5 offerings, 3 zones, 2 existing nodes.

What is wanted and what exists are model values; what can be bought is plain numbers, which `catalogue` says in
raypipe's words and `constrained_brute_force` adds up by itself. Every third case has priorities, ages and limits; in
every fourth most pods spread over zones beside nodes that some of them may not use, since which of these count is the
finest of the rules.
Preferences and ScheduleAnyway are left out: they are prices, and these cases ask for the least cost.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from raypipe.catalog import Catalog, load
from raypipe.model.constraints import HostPort, PodSelector, PodTerm, Spread
from raypipe.model.nodes import Node
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.requirements import (
    ARCH,
    CAPACITY_TYPE,
    HOSTNAME,
    INSTANCE_TYPE,
    REGION,
    ZONE,
    Operator,
    Requirement,
    Taint,
    Toleration,
)
from raypipe.model.snapshot import ClusterSnapshot

MIB = 2**20
NANOS = 10**9
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
RACK = "raypipe.io/rack"
"""A label of the catalogue's own, which not every type has: a topology key without a domain on some nodes."""

BATCH = Taint(key="team", value="batch")


@dataclass(frozen=True)
class Kind:
    """A row of the market: cpu and memory that limits count, what pods may use, cents an hour.

    zone: where it is to be had, "" for each declared zone. rack: value of the label `RACK`, "" for none.
    """

    name: str
    vcpu: int
    memory_mib: int
    cpu_m: int
    allocatable_mib: int
    pods: int
    cents: int
    capacity_type: str = "on-demand"
    zone: str = ""
    rack: str = ""

    def labels(self, zone: str) -> dict[str, str]:
        """The labels of a node of it in a zone, as far as cases ask for any."""
        labels = {
            INSTANCE_TYPE: self.name,
            REGION: "us-east-1",
            ZONE: zone,
            CAPACITY_TYPE: self.capacity_type,
            ARCH: "amd64",
        }
        return labels | ({RACK: self.rack} if self.rack else {})


@dataclass(frozen=True)
class Case:
    """One cluster; limits in nodes, millicores and cents an hour."""

    kinds: tuple[Kind, ...]
    groups: tuple[PodGroup, ...]
    zones: tuple[str, ...] = (ZONES[0],)
    nodes: tuple[Node, ...] = ()
    bound: tuple[BoundPods, ...] = ()
    limits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Style:
    """What is drawn how often.

    special: priorities, ages and limits. asks: weights of `ASKS`. keys: weights of `KEYS`. selective: share of groups
    that select a zone, and of those that select on-demand. tainted: share of existing nodes. nodes: how many there are.
    """

    special: bool
    asks: tuple[float, ...] = (5, 4, 7, 2, 2, 3)
    keys: tuple[float, ...] = (9, 7, 1, 1.5)
    selective: float = 0.12
    tainted: float = 0.15
    nodes: tuple[int, ...] = (0, 1, 2)


ASKS = ("apart", "together", "spread", "ports", "volume", "nothing")
KEYS = (HOSTNAME, ZONE, CAPACITY_TYPE, RACK)


def style_of(seed: int) -> Style:
    """How the case of a seed is drawn."""
    special = seed % 3 == 0
    if seed % 4 == 1:
        return Style(special, (1, 1, 9, 0, 1, 1), (1, 9, 1, 2), selective=0.3, tainted=0.4, nodes=(1, 2, 2))
    return Style(special)


def random_case(seed: int) -> Case:
    """The case of a seed."""
    draw, style = random.Random(seed), style_of(seed)
    zones = ZONES[: draw.choice((1, 2, 2, 3, 3, 3))]
    kinds = tuple(_kind(draw, number, zones) for number in range(draw.randint(1, 5)))
    groups = _groups(draw, zones, style)
    nodes = tuple(
        _node(draw, f"node-{number}", draw.choice(kinds), style) for number in range(draw.choice(style.nodes))
    )
    bound = tuple(one for node in nodes for one in _bound(draw, node, groups, style))
    return Case(kinds, groups, zones, nodes, bound, _limits(draw) if style.special else {})


def _kind(draw: random.Random, number: int, zones: tuple[str, ...]) -> Kind:
    vcpu = draw.choice((2, 4, 4, 8))
    gib = vcpu * draw.choice((2, 4))
    return Kind(
        name=f"t{number}.x",
        vcpu=vcpu,
        memory_mib=gib * 1024,
        cpu_m=vcpu * 1000 - 100,
        allocatable_mib=gib * 1024 - 512,
        pods=draw.choice((3, 4, 58)),
        cents=vcpu * draw.randint(2, 5) + gib // 4,
        capacity_type=draw.choice(("spot", "on-demand")),
        zone=draw.choice(("", "", *zones)),
        rack=draw.choice(("", "r1", "r2")),
    )


def _groups(draw: random.Random, zones: tuple[str, ...], style: Style) -> tuple[PodGroup, ...]:
    """One to four Deployments of together at most six pods, most of which ask something."""
    sizes = draw.choice(((1, 1), (3,), (4,), (2, 2), (3, 2), (1, 2, 2), (2, 2, 1, 1), (1, 1, 1), (5, 1), (6,), (3, 3)))
    groups = []
    for number, count in enumerate(sizes):
        namespace = draw.choice(("default", "default", "other"))
        labels = {"app": "abcd"[number]} | ({"tier": "x"} if draw.random() < 0.3 else {})
        spec = _spec(draw, namespace, labels, zones, style)
        created = draw.choice((None, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")) if style.special else None
        groups.append(PodGroup(key=f"Deployment/{namespace}/{'abcd'[number]}", spec=spec, count=count, created=created))
    return tuple(sorted(groups, key=lambda group: group.key))


def _spec(draw: random.Random, namespace: str, labels: dict[str, str], zones: tuple[str, ...], style: Style) -> PodSpec:
    asked = draw.choices(ASKS, style.asks, k=draw.choice((1, 1, 2)))
    selector = {CAPACITY_TYPE: "on-demand"} if draw.random() < style.selective else {}
    selector |= {ZONE: draw.choice(zones)} if draw.random() < style.selective else {}
    return PodSpec(
        namespace=namespace,
        labels=labels,
        requests={
            "cpu": draw.choice((100, 500, 900, 1500, 1900, 2500)),
            "memory": draw.choice((128, 1024, 3000)) * MIB,
            "pods": 1,
        },
        node_selector=selector,
        tolerations=(Toleration(key="team", operator="Exists"),) if draw.random() < 0.2 else (),
        priority=draw.choice((0, 0, 100)) if style.special else 0,
        pod_anti_affinity=tuple(_term(draw, namespace, labels, style) for one in asked if one == "apart"),
        pod_affinity=tuple(_term(draw, namespace, labels, style) for one in asked if one == "together"),
        spread=tuple(_spread(draw, namespace, labels, style) for one in asked if one == "spread"),
        host_ports=(_port(draw),) if "ports" in asked else (),
        volume_affinity=(((_is_in(ZONE, draw.choice((*zones, ZONES[2]))),),),) if "volume" in asked else (),
    )


def _is_in(key: str, *values: str) -> Requirement:
    return Requirement(key=key, operator=Operator.IN, values=values)


def _term(draw: random.Random, namespace: str, labels: dict[str, str], style: Style) -> PodTerm:
    return PodTerm(topology_key=draw.choices(KEYS, style.keys)[0], pods=_pods(draw, namespace, labels))


def _pods(draw: random.Random, namespace: str, labels: dict[str, str]) -> PodSelector:
    """The pods of the group itself most often, else others or a mixture."""
    namespaces = draw.choices(((namespace,), None, ("other",)), (5, 3, 1))[0]
    app = labels["app"]
    chosen: tuple[Requirement, ...] | None = draw.choices(
        (
            (_is_in("app", app),),
            (_is_in("app", draw.choice("aab")),),
            (_is_in("app", app, draw.choice("abc")),),
            (Requirement(key="app", operator=Operator.NOT_IN, values=(app,)),),
            (Requirement(key="tier", operator=Operator.EXISTS),),
            (),
            None,
        ),
        (9, 4, 3, 1, 1, 1, 0.3),
    )[0]
    return PodSelector(namespaces=namespaces, labels=chosen)


def _spread(draw: random.Random, namespace: str, labels: dict[str, str], style: Style) -> Spread:
    return Spread(
        topology_key=draw.choices(KEYS, style.keys)[0],
        max_skew=draw.choice((1, 1, 2)),
        pods=_pods(draw, namespace, labels),
        min_domains=draw.choice((None, None, None, 2, 3)),
        honors_affinity=draw.random() < 0.7,
        honors_taints=draw.random() < 0.5,
    )


def _port(draw: random.Random) -> HostPort:
    return HostPort(
        port=draw.choice((80, 80, 8080)),
        protocol=draw.choice(("TCP", "TCP", "UDP")),
        address=draw.choice(("0.0.0.0", "0.0.0.0", "10.0.0.1", "10.0.0.2")),
    )


def _node(draw: random.Random, name: str, kind: Kind, style: Style) -> Node:
    """A node of a kind, sometimes in a zone where nothing is bought, tainted, closed, or without a zone."""
    zone = kind.zone or draw.choice(ZONES)
    labels = kind.labels(zone) | {HOSTNAME: name}
    if not kind.zone and draw.random() < 0.1:
        del labels[ZONE]
    return Node(
        name=name,
        labels=labels,
        capacity={"cpu": kind.vcpu * 1000, "memory": kind.memory_mib * MIB},
        allocatable={"cpu": kind.cpu_m, "memory": kind.allocatable_mib * MIB, "pods": kind.pods},
        taints=(BATCH,) if draw.random() < style.tainted else (),
        open=draw.random() < 0.9,
    )


def _bound(draw: random.Random, node: Node, groups: tuple[PodGroup, ...], style: Style) -> list[BoundPods]:
    """Up to two lots of pods that stay there: of one of the groups, or of nobody wanted any more."""
    pods = []
    for number in range(draw.choice((0, 1, 2, 2))):
        terminating = draw.random() < 0.3
        if draw.random() < 0.3:
            group = draw.choice(groups)
            key, spec = group.key, group.spec
            if not spec.may_run_on(node.labels, node.taints) or spec.requests["cpu"] > 900:
                continue
        else:
            namespace = draw.choice(("default", "default", "other"))
            key = f"Pod/{namespace}/on-{node.name}-{number}"
            labels = {"app": draw.choice("aabbc")} | ({"tier": "x"} if draw.random() < 0.3 else {})
            spec = PodSpec(
                namespace=namespace,
                labels=labels,
                requests={"cpu": draw.choice((100, 400, 800)), "memory": 512 * MIB, "pods": 1},
                pod_anti_affinity=(_term(draw, namespace, labels, style),) if draw.random() < 0.25 else (),
                host_ports=(_port(draw),) if draw.random() < 0.2 else (),
            )
        pods.append(BoundPods(node=node.name, key=key, spec=spec, counted=not terminating, terminating=terminating))
    return pods


def _limits(draw: random.Random) -> dict[str, int]:
    """One or two limits."""
    possible = {
        "cpu": draw.choice((4, 8, 12, 16)) * 1000,
        "nodes": draw.choice((1, 2, 3, 4)),
        "usdPerHour": draw.randint(10, 70),
    }
    return {name: possible[name] for name in draw.sample(sorted(possible), draw.randint(1, 2))}


def snapshot(case: Case) -> ClusterSnapshot:
    """The case as raypipe sees it."""
    sizes = {"cpu": 1, "nodes": 1, "usdPerHour": NANOS // 100}
    return ClusterSnapshot(
        name="small",
        zones=case.zones,
        limits={name: amount * sizes[name] for name, amount in case.limits.items()},
        nodes=case.nodes,
        bound=case.bound,
        demand=case.groups,
    )


def catalogue(case: Case, folder: Path) -> Catalog:
    """The case's market as a catalogue, through the CSV pair."""
    folder.mkdir(parents=True, exist_ok=True)
    types = "provider,instance_type,family,arch,vcpu,memory_mib,allocatable_cpu_m,allocatable_memory_mib,"
    types += "allocatable_pods,rack\n"
    offerings = "provider,region,zone,instance_type,capacity_type,usd_per_hour\n"
    for kind in case.kinds:
        family = kind.name.partition(".")[0].replace("t", "m")
        types += f"aws,{kind.name},{family},amd64,{kind.vcpu},{kind.memory_mib},"
        types += f"{kind.cpu_m},{kind.allocatable_mib},{kind.pods},{kind.rack}\n"
        offerings += f"aws,us-east-1,{kind.zone},{kind.name},{kind.capacity_type},{kind.cents / 100:.2f}\n"
    (folder / "instance_types.csv").write_text(types)
    (folder / "offerings.csv").write_text(offerings)
    return load(folder)
