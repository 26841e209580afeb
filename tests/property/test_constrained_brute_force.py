"""The oracle of placement constraints against plans that can be worked out by hand, one or two a rule."""

from __future__ import annotations

import dataclasses

import pytest

from raypipe.model.constraints import HostPort, PodSelector, PodTerm, Spread
from raypipe.model.nodes import Node
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.requirements import CAPACITY_TYPE, HOSTNAME, ZONE, Operator, Requirement
from tests.property.constrained_brute_force import Best, best_plan
from tests.property.constrained_cases import BATCH, MIB, RACK, ZONES, Case, Kind

ZONE_A, ZONE_B, ZONE_C = ZONES

SMALL = Kind("t0.x", vcpu=2, memory_mib=8192, cpu_m=2000, allocatable_mib=8192, pods=58, cents=10)
LARGE = Kind("t1.x", vcpu=4, memory_mib=16384, cpu_m=4000, allocatable_mib=16384, pods=58, cents=18)
CHEAP_IN_A = dataclasses.replace(SMALL, zone=ZONE_A, cents=5)
DEAR_IN_B = dataclasses.replace(SMALL, name="t1.x", zone=ZONE_B, cents=12)


def group(app: str, count: int = 1, *, cpu_m: int = 100, priority: int = 0, **asks: object) -> PodGroup:
    spec = PodSpec(
        labels={"app": app}, requests={"cpu": cpu_m, "memory": 128 * MIB, "pods": 1}, priority=priority, **asks
    )
    return PodGroup(key=f"Deployment/default/{app}", spec=spec, count=count)


def apps(*names: str, namespaces: tuple[str, ...] | None = ("default",)) -> PodSelector:
    return PodSelector(namespaces=namespaces, labels=(Requirement(key="app", operator=Operator.IN, values=names),))


def near(key: str, *names: str) -> PodTerm:
    return PodTerm(topology_key=key, pods=apps(*names))


def node(name: str = "node-0", kind: Kind = SMALL, zone: str = ZONE_A, **other: object) -> Node:
    return Node(
        name=name,
        labels=kind.labels(zone) | {HOSTNAME: name},
        capacity={"cpu": kind.vcpu * 1000, "memory": kind.memory_mib * MIB},
        allocatable={"cpu": kind.cpu_m, "memory": kind.allocatable_mib * MIB, "pods": kind.pods},
        **other,
    )


def without_zone(one: Node) -> Node:
    return dataclasses.replace(one, labels={key: value for key, value in one.labels.items() if key != ZONE})


def bound(app: str, *, cpu_m: int = 100, terminating: bool = False, **asks: object) -> BoundPods:
    spec = group(app, cpu_m=cpu_m, **asks).spec
    return BoundPods(
        node="node-0", key=f"Pod/default/{app}", spec=spec, terminating=terminating, counted=not terminating
    )


def full(app: str, **asks: object) -> BoundPods:
    """A pod that leaves no room on a small node."""
    return bound(app, cpu_m=2000, **asks)


HANDMADE = {
    "without any rule four pods share the large node": (
        Case((SMALL, LARGE), (group("a", 4, cpu_m=1000),)),
        Best((4,), 18),
    ),
    "pods of one group that keep apart take a node each": (
        Case((SMALL, LARGE), (group("a", 3, pod_anti_affinity=(near(HOSTNAME, "a"),)),)),
        Best((3,), 30),
    ),
    "pods that keep apart by zone are as many as zones": (
        Case((SMALL,), (group("a", 3, pod_anti_affinity=(near(ZONE, "a"),)),), ZONES[:2]),
        Best((2,), 20),
    ),
    "pods of another namespace are not meant": (
        Case(
            (SMALL,),
            (
                group(
                    "a",
                    2,
                    pod_anti_affinity=(PodTerm(topology_key=HOSTNAME, pods=apps("a", namespaces=("other",))),),
                ),
            ),
        ),
        Best((2,), 10),
    ),
    "no labels asked means every pod and no selector means none": (
        Case(
            (SMALL,),
            (
                group("a", pod_anti_affinity=(PodTerm(topology_key=HOSTNAME, pods=PodSelector()),)),
                group("b", 2, pod_anti_affinity=(PodTerm(topology_key=HOSTNAME, pods=PodSelector(labels=None)),)),
            ),
        ),
        Best((1, 2), 20),
    ),
    "what a bound pod keeps apart from keeps new ones off": (
        Case((SMALL,), (group("a"),), nodes=(node(),), bound=(bound("b", pod_anti_affinity=(near(HOSTNAME, "a"),)),)),
        Best((1,), 10),
    ),
    "a terminating pod is kept apart from until it is gone": (
        Case(
            (SMALL,),
            (group("a", pod_anti_affinity=(near(HOSTNAME, "b"),)),),
            nodes=(node(),),
            bound=(bound("b", terminating=True),),
        ),
        Best((1,), 10),
    ),
    "a node without a zone is in no zone to be kept out of": (
        Case(
            (SMALL,),
            (group("a", pod_anti_affinity=(near(ZONE, "b"),)),),
            nodes=(without_zone(node()),),
            bound=(bound("b"),),
        ),
        Best((1,), 0),
    ),
    "a pod follows a bound one into the dearer zone": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (group("a", pod_affinity=(near(ZONE, "b"),)),),
            ZONES[:2],
            (node(kind=DEAR_IN_B, zone=ZONE_B),),
            (full("b"),),
        ),
        Best((1,), 12),
    ),
    "pods that stay with each other take one node though two are cheaper": (
        Case(
            (SMALL, dataclasses.replace(LARGE, cents=25)),
            (group("a", 3, cpu_m=1000, pod_affinity=(near(HOSTNAME, "a"),)),),
        ),
        Best((3,), 25),
    ),
    "who wants nobody that there is stays out": (
        Case((SMALL,), (group("a", pod_affinity=(near(ZONE, "z"),)),)),
        Best((0,), 0),
    ),
    "two groups that wait for each other stay out": (
        Case((SMALL,), (group("a", pod_affinity=(near(ZONE, "b"),)), group("b", pod_affinity=(near(ZONE, "a"),)))),
        Best((0, 0), 0),
    ),
    "the first pod of a group may come before those that it would have to follow": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (
                group("a", pod_affinity=(near(ZONE, "a", "b"),), node_selector={ZONE: ZONE_A}),
                group("b", node_selector={ZONE: ZONE_B}),
            ),
            ZONES[:2],
        ),
        Best((1, 1), 17),
    ),
    "a group begins in one zone only though there is free room in two": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (group("a", 2, cpu_m=1500, pod_affinity=(near(ZONE, "a"),)),),
            ZONES[:2],
            (node(kind=CHEAP_IN_A), node("node-1", DEAR_IN_B, ZONE_B)),
        ),
        Best((2,), 5),
    ),
    "a pod stands only where there is a value of the key of its term": (
        Case(
            (dataclasses.replace(SMALL, cents=5), dataclasses.replace(LARGE, rack="r1")),
            (group("a", pod_affinity=(near(RACK, "a"),)),),
        ),
        Best((1,), 18),
    ),
    "one pod has to be meant by all terms": (
        Case(
            (SMALL,),
            (group("a", pod_affinity=(near(ZONE, "b"), near(ZONE, "c"))),),
            nodes=(node(),),
            bound=(bound("b"), bound("c")),
        ),
        Best((0,), 0),
    ),
    "two a node are all that hostname spread allows": (
        Case((SMALL, LARGE), (group("a", 5, spread=(Spread(topology_key=HOSTNAME, max_skew=2, pods=apps("a")),)),)),
        Best((5,), 30),
    ),
    "hostname spread counts those that are meant where its owner stands and nowhere else": (
        Case(
            (SMALL,),
            (group("a", spread=(Spread(topology_key=HOSTNAME, max_skew=1, pods=apps("b")),)), group("b", 4)),
        ),
        Best((1, 4), 20),
    ),
    "four pods in three zones are two, one and one": (
        Case((SMALL,), (group("a", 4, spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a")),)),), ZONES),
        Best((4,), 30),
    ),
    "with fewer domains than asked for the emptiest counts as empty": (
        Case(
            (SMALL,),
            (group("a", 4, spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a"), min_domains=3),)),),
            ZONES[:2],
        ),
        Best((2,), 20),
    ),
    "a zone in which nothing is bought is empty for ever": (
        Case(
            (SMALL,),
            (group("a", 3, spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a")),)),),
            nodes=(node(zone=ZONE_C),),
            bound=(full("b"),),
        ),
        Best((1,), 10),
    ),
    "a zone whose nodes are too small for the pod is a domain all the same, as one may be bought for others": (
        Case(
            (CHEAP_IN_A, dataclasses.replace(LARGE, zone=ZONE_B)),
            (
                group("a", 2, cpu_m=2000, spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a")),)),
                group("b", 2, cpu_m=4000, spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("b")),)),
            ),
            ZONES[:2],
        ),
        Best((2, 1), 5 + 18 + 18),
    ),
    "where the pod's volume can be used makes no difference to its domains": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (
                group(
                    "a",
                    2,
                    volume_affinity=(((Requirement(key=ZONE, operator=Operator.IN, values=(ZONE_A,)),),),),
                    spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a")),),
                ),
            ),
            ZONES[:2],
        ),
        Best((1,), 5),
    ),
    "bound pods count in their zone": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (group("a", spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a")),)),),
            ZONES[:2],
            (node(kind=CHEAP_IN_A),),
            (full("a"),),
        ),
        Best((1,), 12),
    ),
    "terminating ones do not": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (group("a", spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a")),)),),
            ZONES[:2],
            (node(kind=CHEAP_IN_A),),
            (full("a", terminating=True),),
        ),
        Best((1,), 5),
    ),
    "pods on nodes that the owner does not select do not count": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (
                group(
                    "a",
                    spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a")),),
                    node_selector={CAPACITY_TYPE: "on-demand"},
                ),
            ),
            ZONES[:2],
            (node(kind=dataclasses.replace(CHEAP_IN_A, capacity_type="spot")),),
            (bound("a"),),
        ),
        Best((1,), 5),
    ),
    "unless the spread ignores what the owner selects": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (
                group(
                    "a",
                    spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a"), honors_affinity=False),),
                    node_selector={CAPACITY_TYPE: "on-demand"},
                ),
            ),
            ZONES[:2],
            (node(kind=dataclasses.replace(CHEAP_IN_A, capacity_type="spot")),),
            (bound("a"),),
        ),
        Best((1,), 12),
    ),
    "and then an existing node that the owner does not select opens its zone": (
        Case(
            (CHEAP_IN_A,),
            (
                group(
                    "a",
                    2,
                    spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a"), honors_affinity=False),),
                    node_selector={ZONE: ZONE_A},
                ),
            ),
            nodes=(node(kind=CHEAP_IN_A, zone=ZONE_B),),
        ),
        Best((1,), 5),
    ),
    "a tainted node opens its zone": (
        Case(
            (SMALL,),
            (group("a", 2, spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a")),)),),
            nodes=(node(zone=ZONE_C, taints=(BATCH,)),),
        ),
        Best((1,), 10),
    ),
    "unless the spread honours taints": (
        Case(
            (SMALL,),
            (group("a", 2, spread=(Spread(topology_key=ZONE, max_skew=1, pods=apps("a"), honors_taints=True),)),),
            nodes=(node(zone=ZONE_C, taints=(BATCH,)),),
        ),
        Best((2,), 10),
    ),
    "an owner stands only where there is a value of the key of its spread": (
        Case(
            (dataclasses.replace(SMALL, cents=5), dataclasses.replace(LARGE, rack="r1")),
            (group("a", spread=(Spread(topology_key=RACK, max_skew=1, pods=apps("a")),)),),
        ),
        Best((1,), 18),
    ),
    "one port is taken once a node": (
        Case((SMALL,), (group("a", 2, host_ports=(HostPort(port=80),)),)),
        Best((2,), 20),
    ),
    "one port on two addresses or by two protocols is two ports": (
        Case(
            (SMALL,),
            (
                group("a", host_ports=(HostPort(port=80, address="10.0.0.1"),)),
                group("b", host_ports=(HostPort(port=80, address="10.0.0.2"),)),
                group("c", host_ports=(HostPort(port=80, protocol="UDP"),)),
            ),
        ),
        Best((1, 1, 1), 10),
    ),
    "a terminating pod keeps its port": (
        Case(
            (SMALL,),
            (group("a", host_ports=(HostPort(port=80),)),),
            nodes=(node(),),
            bound=(bound("b", terminating=True, host_ports=(HostPort(port=80),)),),
        ),
        Best((1,), 10),
    ),
    "a pod goes where its volume is": (
        Case(
            (CHEAP_IN_A, DEAR_IN_B),
            (group("a", volume_affinity=(((Requirement(key=ZONE, operator=Operator.IN, values=(ZONE_B,)),),),)),),
            ZONES[:2],
        ),
        Best((1,), 12),
    ),
    "under a limit the higher priority keeps the other off": (
        Case(
            (SMALL,),
            (group("a"), group("b", priority=100, pod_anti_affinity=(near(HOSTNAME, "a"),))),
            limits={"nodes": 1},
        ),
        Best((0, 1), 10),
    ),
    "who was refused is asked again once somebody that it wants is there": (
        Case(
            (SMALL,),
            (
                group("a", priority=100, pod_affinity=(near(ZONE, "b"),)),
                group("b"),
                group("c", pod_affinity=(near(ZONE, "z"),)),
            ),
        ),
        Best((1, 1, 0), 10),
    ),
    "within a limit of cores one node is the dearer one": (
        Case(
            (SMALL, dataclasses.replace(LARGE, cents=9)),
            (group("a", 2, pod_anti_affinity=(near(HOSTNAME, "a"),)),),
            limits={"cpu": 6000},
        ),
        Best((2,), 19),
    ),
    "above a limit already nothing is bought": (
        Case((SMALL,), (group("a"),), nodes=(node(),), bound=(full("b"),), limits={"usdPerHour": 9}),
        Best((0,), 0),
    ),
}


@pytest.mark.parametrize(("case", "best"), HANDMADE.values(), ids=HANDMADE)
def test_the_best_plan_is_what_it_is_by_hand(case: Case, best: Best) -> None:
    assert best_plan(case) == best
