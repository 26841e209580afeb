"""The second opinion on what pods ask of each other: right plans pass, plans that are wrong by one pod do not.

Nodes are called by their zone: ``a1`` and ``b1`` are bought, ``old-a`` and ``old-b`` exist, ``old-nowhere`` has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from raypipe.catalog import Catalog, load
from raypipe.model.constraints import HostPort, PodSelector, PodTerm, Spread
from raypipe.model.nodes import Node
from raypipe.model.plan import ClusterPlan, PlannedNode, Scope
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.requirements import HOSTNAME, INSTANCE_TYPE, ZONE, Operator, Requirement, Taint, Toleration
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.validation.constraints import constraint_violations
from raypipe.validation.ground import Ground

GIB = 2**30
BATCH = Taint(key="team", value="batch")
OLD = {"old-a": "us-east-1a", "old-b": "us-east-1b", "old-d": "us-east-1d", "old-nowhere": None}


def is_in(key: str, *values: str) -> Requirement:
    return Requirement(key=key, operator=Operator.IN, values=values)


def apps(*names: str, namespaces: tuple[str, ...] | None = ("default",)) -> PodSelector:
    return PodSelector(namespaces=namespaces, labels=(is_in("app", *names),))


def term(key: str, *names: str) -> PodTerm:
    return PodTerm(topology_key=key, pods=apps(*names))


def spread(key: str, *names: str, max_skew: int = 1, **fields: Any) -> Spread:
    return Spread(topology_key=key, max_skew=max_skew, pods=apps(*names), **fields)


def spec(app: str, **fields: Any) -> PodSpec:
    return PodSpec(labels={"app": app}, requests={"cpu": 100, "memory": GIB, "pods": 1}, **fields)


def bound(node: str, app: str, *, terminating: bool = False, count: int = 1, **fields: Any) -> BoundPods:
    return BoundPods(
        node=node,
        key=f"Pod/default/{app}-on-{node}",
        spec=spec(app, **fields),
        count=count,
        terminating=terminating,
        counted=not terminating,
    )


@dataclass(frozen=True, kw_only=True)
class Given:
    """What is asked for by app, what exists, and where the plan puts it: pods of each app by node."""

    nodes: Mapping[str, Mapping[str, int]]
    specs: Mapping[str, PodSpec] = field(default_factory=dict)
    bound: tuple[BoundPods, ...] = ()
    old: tuple[str, ...] = ()
    tainted: tuple[str, ...] = ()
    zones: str = "ab"
    scope: Scope = Scope.PENDING


def violations(given: Given, catalog: Catalog) -> list[str]:
    return list(constraint_violations(*planned(given, catalog)))


def planned(given: Given, catalog: Catalog) -> tuple[ClusterPlan, Ground]:
    apps = {app for added in given.nodes.values() for app in added}
    cluster = ClusterSnapshot(
        name="small",
        zones=tuple(f"us-east-1{zone}" for zone in given.zones),
        arch="amd64",
        nodes=tuple(_node(name, tainted=name in given.tainted) for name in given.old),
        bound=given.bound,
        demand=tuple(PodGroup(key=app, spec=given.specs.get(app, spec(app)), count=99) for app in sorted(apps)),
    )
    plan = ClusterPlan(name="small", nodes=tuple(_planned(name, added) for name, added in given.nodes.items()))
    return plan, Ground(cluster, catalog, given.scope)


def _node(name: str, *, tainted: bool) -> Node:
    zone = OLD[name]
    return Node(
        name=name,
        labels={INSTANCE_TYPE: "m5.xlarge"} | ({ZONE: zone} if zone else {}),
        capacity={},
        allocatable={"cpu": 4000, "memory": 16 * GIB, "pods": 58},
        taints=(BATCH,) if tainted else (),
    )


def _planned(name: str, added: Mapping[str, int]) -> PlannedNode:
    return PlannedNode(
        name=name,
        existing=name in OLD,
        pool=None,
        instance_type="m5.xlarge",
        region="us-east-1",
        zone=f"us-east-1{name[0]}",
        capacity_type="on-demand",
        usd_per_hour=None,
        list_usd_per_hour=None,
        pods=added,
        added=added,
        requested={},
        reserved={},
        allocatable={},
    )


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(None)


ALONE = {"web": spec("web", pod_anti_affinity=(term(HOSTNAME, "web"),))}
AWAY = {"web": spec("web", pod_anti_affinity=(term(ZONE, "db"),))}
KEEPER = (bound("old-a", "db", pod_anti_affinity=(term(ZONE, "web"),)),)
BESIDE = {"web": spec("web", pod_affinity=(term(HOSTNAME, "db"),))}
TOGETHER = {"web": spec("web", pod_affinity=(term(ZONE, "web"),))}
CHAIN = {"c": spec("c", pod_affinity=(term(HOSTNAME, "b"),)), "b": spec("b", pod_affinity=(term(ZONE, "a"),))}
CIRCLE = {"c": spec("c", pod_affinity=(term(HOSTNAME, "b"),)), "b": spec("b", pod_affinity=(term(ZONE, "c"),))}
FIRST_WEB = {
    "web": spec("web", pod_affinity=(term(ZONE, "web", "db"),)),
    "db": spec("db", pod_affinity=(term(ZONE, "db"),)),
}
BOTH = {"web": spec("web", pod_affinity=(term(ZONE, "db"), PodTerm(topology_key=HOSTNAME, pods=PodSelector())))}
TWO_A_NODE = {"web": spec("web", spread=(spread(HOSTNAME, "web", max_skew=2),))}
EVEN = {"web": spec("web", spread=(spread(ZONE, "web"),))}
THREE_ZONES = {"web": spec("web", spread=(spread(ZONE, "web", min_domains=3),))}
BIG = {"web": PodSpec(labels={"app": "web"}, requests={"cpu": 9_000_000}, spread=(spread(ZONE, "web"),))}
DISK_IN_A = {"web": spec("web", volume_affinity=(((is_in(ZONE, "us-east-1a"),),),), spread=(spread(ZONE, "web"),))}
ONLY_A = {"web": spec("web", node_selector={ZONE: "us-east-1a"}, spread=(spread(ZONE, "web"),))}
ALL_COUNT = {
    "web": spec("web", node_selector={ZONE: "us-east-1a"}, spread=(spread(ZONE, "web", honors_affinity=False),))
}
NO_TAINTS = {"web": spec("web", spread=(spread(ZONE, "web", honors_taints=True),))}
TOLERANT = {
    "web": spec("web", tolerations=(Toleration(operator="Exists"),), spread=(spread(ZONE, "web", honors_taints=True),))
}
LISTENING = {"web": spec("web", host_ports=(HostPort(port=80),)), "db": spec("db", host_ports=(HostPort(port=80),))}
ADDRESSES = {
    "web": spec("web", host_ports=(HostPort(port=80, address="10.0.0.1"),)),
    "db": spec("db", host_ports=(HostPort(port=80, address="10.0.0.2"), HostPort(port=81, protocol="UDP"))),
}
DISK = {"web": spec("web", volume_affinity=(((is_in(ZONE, "us-east-1a"),),), ((is_in(INSTANCE_TYPE, "m5.xlarge"),),)))}

CASES: dict[str, tuple[Given, list[str]]] = {
    "nobody asks for anything": (Given(nodes={"a1": {"web": 9}}, bound=(bound("old-a", "db"),), old=("old-a",)), []),
    # Anti-affinity
    "one on each node": (Given(specs=ALONE, nodes={"a1": {"web": 1}, "a2": {"web": 1}}), []),
    "two on one node": (
        Given(specs=ALONE, nodes={"a1": {"web": 2}, "a2": {"web": 1}}),
        ["anti-affinity: web has 2 on node a1, where each is with 1 other pods that it keeps away from"],
    ),
    "web away from db's zone": (Given(specs=AWAY, nodes={"a1": {"web": 2}, "b1": {"db": 2}}), []),
    "web in db's zone, on another node": (
        Given(specs=AWAY, nodes={"a1": {"web": 2}, "a2": {"db": 1}, "b1": {"db": 2}}),
        ["anti-affinity: web has 2 on topology.kubernetes.io/zone us-east-1a, where each is with 1 other pods that it "
         "keeps away from"],
    ),
    "web with a db that is going": (
        Given(specs=AWAY, nodes={"a1": {"web": 1}}, bound=(bound("old-a", "db", terminating=True),), old=("old-a",)),
        ["anti-affinity: web has 1 on topology.kubernetes.io/zone us-east-1a, where each is with 1 other pods that it "
         "keeps away from"],
    ),
    "a bound db keeps web away, and it is": (
        Given(nodes={"b1": {"web": 3}, "a1": {"other": 1}}, bound=KEEPER, old=("old-a",)), []),
    "a bound db keeps web away, and one is there": (
        Given(nodes={"b1": {"web": 3}, "a1": {"web": 1}}, bound=KEEPER, old=("old-a",)),
        ["anti-affinity: Pod/default/db-on-old-a, bound on topology.kubernetes.io/zone us-east-1a, keeps away 1 pods "
         "that are added there"],
    ),
    "what is planned anew meets no bound pods": (
        Given(nodes={"a1": {"web": 1}}, bound=KEEPER, old=("old-a",), scope=Scope.WHOLE), []),
    "nodes in no zone are no conflict": (
        Given(specs=AWAY, nodes={"old-nowhere": {"web": 1}}, bound=(bound("old-nowhere", "db"),), old=("old-nowhere",)),
        [],
    ),
    "another namespace is not meant": (
        Given(
            specs={"web": spec("web", pod_anti_affinity=(
                PodTerm(topology_key=HOSTNAME, pods=apps("web", namespaces=("other",))),))},
            nodes={"a1": {"web": 2}},
        ),
        [],
    ),
    "a family that is not kept yet is not held against a plan": (
        Given(
            specs={"web": spec("web", pod_anti_affinity=(term(HOSTNAME, "web"),), unchecked=("pod-anti-affinity",))},
            nodes={"a1": {"web": 2}},
        ),
        [],
    ),
    # Affinity
    "beside a new db": (Given(specs=BESIDE, nodes={"a1": {"web": 5, "db": 1}}), []),
    "beside a bound db": (
        Given(specs=BESIDE, nodes={"old-a": {"web": 5}}, bound=(bound("old-a", "db"),), old=("old-a",)), []),
    "one not beside db": (
        Given(specs=BESIDE, nodes={"a1": {"web": 5, "db": 1}, "a2": {"web": 1}}),
        ["affinity: 1 of web on node a2: in no order of placing do they find all 1 of their terms met on node a2"],
    ),
    "the first of its own kind, and others in its zone": (
        Given(specs=TOGETHER, nodes={"a1": {"web": 2}, "a2": {"web": 3}}), []),
    "two first ones": (
        Given(specs=TOGETHER, nodes={"a1": {"web": 2}, "b1": {"web": 1}}),
        ["affinity: 1 of web on node b1: in no order of placing do they find all 1 of their terms met on "
         "topology.kubernetes.io/zone us-east-1b"],
    ),
    "no first one where one is bound elsewhere": (
        Given(specs=TOGETHER, nodes={"b1": {"web": 1}}, bound=(bound("old-a", "web"),), old=("old-a",)),
        ["affinity: 1 of web on node b1: in no order of placing do they find all 1 of their terms met on "
         "topology.kubernetes.io/zone us-east-1b"],
    ),
    "two first ones of two wishes, in the one order that allows it": (
        Given(specs=FIRST_WEB, nodes={"a1": {"web": 1}, "b1": {"db": 1}}), []),
    "a first one hindered by one that is bound": (
        Given(specs=FIRST_WEB, nodes={"a1": {"web": 1}, "b1": {"db": 1}}, old=("old-b",),
              bound=(bound("old-b", "db"),)),
        ["affinity: 1 of web on node a1: in no order of placing do they find all 1 of their terms met on "
         "topology.kubernetes.io/zone us-east-1a"],
    ),
    "one after the other along a chain": (
        Given(specs=CHAIN, nodes={"a1": {"c": 4, "b": 1}, "a2": {"a": 1}}), []),
    "a chain with no beginning": (
        Given(specs=CIRCLE, nodes={"a1": {"c": 1, "b": 1}}),
        ["affinity: 1 of b on node a1: in no order of placing do they find all 1 of their terms met on "
         "topology.kubernetes.io/zone us-east-1a",
         "affinity: 1 of c on node a1: in no order of placing do they find all 1 of their terms met on node a1"],
    ),
    "all terms met by one pod": (Given(specs=BOTH, nodes={"a1": {"web": 1, "db": 1}}), []),
    "terms met by different pods": (
        Given(specs=BOTH, nodes={"a1": {"web": 1, "other": 1}, "a2": {"db": 1}}),
        ["affinity: 1 of web on node a1: in no order of placing do they find all 2 of their terms met on "
         "topology.kubernetes.io/zone us-east-1a and node a1"],
    ),
    "first of its kind where there are no zones": (
        Given(specs=TOGETHER, nodes={"old-nowhere": {"web": 1}}, old=("old-nowhere",)),
        ["affinity: 1 of web on node old-nowhere, which carries no topology.kubernetes.io/zone"],
    ),
    # Spread over nodes
    "as many on a node as may be": (
        Given(specs=TWO_A_NODE, nodes={"old-a": {"web": 1}, "a1": {"web": 2}},
              bound=(bound("old-a", "web"), bound("old-a", "web", terminating=True)), old=("old-a",)), []),
    "one more on a node": (
        Given(specs=TWO_A_NODE, nodes={"old-a": {"web": 2}}, bound=(bound("old-a", "web"),), old=("old-a",)),
        ["spread: web on node old-a with 3 matching pods, at most 2"],
    ),
    "too many on a node before, and none added": (
        Given(specs=TWO_A_NODE, nodes={"a1": {"web": 1}}, bound=(bound("old-a", "web", count=9),), old=("old-a",)), []),
    "ScheduleAnyway is a price": (
        Given(specs={"web": spec("web", spread=(spread(HOSTNAME, "web", required=False),))}, nodes={"a1": {"web": 9}}),
        [],
    ),
    # Spread over zones
    "as even as may be": (Given(specs=EVEN, nodes={"a1": {"web": 3}, "b1": {"web": 2}}), []),
    "one more in a zone": (
        Given(specs=EVEN, nodes={"a1": {"web": 3}, "a2": {"web": 1}, "b1": {"web": 2}}),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 4 matching pods, the least is 2 in us-east-1b, at "
         "most 1 apart"],
    ),
    "bound ones count, and those that are going do not": (
        Given(specs=EVEN, nodes={"a1": {"web": 2}}, old=("old-b",),
              bound=(bound("old-b", "web"), bound("old-b", "web", terminating=True, count=5))), []),
    "bound ones count, and one is too many": (
        Given(specs=EVEN, nodes={"a1": {"web": 3}}, old=("old-b",), bound=(bound("old-b", "web"),)),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 3 matching pods, the least is 1 in us-east-1b, at "
         "most 1 apart"],
    ),
    "a zone that could be bought in is empty": (
        Given(specs=EVEN, nodes={"a1": {"web": 2}, "b1": {"web": 2}}, zones="abc"),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 2 matching pods, the least is 0 in us-east-1c, at "
         "most 1 apart",
         "spread: web in topology.kubernetes.io/zone us-east-1b with 2 matching pods, the least is 0 in us-east-1c, at "
         "most 1 apart"],
    ),
    "a zone of an existing node is empty, room or not": (
        Given(specs=EVEN, nodes={"a1": {"web": 2}, "b1": {"web": 1}}, old=("old-d",)),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 2 matching pods, the least is 0 in us-east-1d, at "
         "most 1 apart"],
    ),
    "a zone counts whatever the size of the pod: a node may be bought there for others": (
        Given(specs=BIG, nodes={"old-a": {"web": 7}}, old=("old-a",)),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 7 matching pods, the least is 0 in us-east-1b, at "
         "most 1 apart"],
    ),
    "a zone counts whatever the volumes of the pod: the policies look at its selector alone": (
        Given(specs=DISK_IN_A, nodes={"a1": {"web": 2}}),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 2 matching pods, the least is 0 in us-east-1b, at "
         "most 1 apart"],
    ),
    "a zone that it may not use is none of its own": (Given(specs=ONLY_A, nodes={"a1": {"web": 7}}), []),
    "nodes that it may not use count where it says so": (
        Given(specs=ALL_COUNT, nodes={"a1": {"web": 2}}, old=("old-b",)),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 2 matching pods, the least is 0 in us-east-1b, at "
         "most 1 apart"],
    ),
    "pods on nodes whose taints it does not tolerate are not counted": (
        Given(specs=NO_TAINTS, nodes={"a1": {"web": 1}}, bound=(bound("old-a", "web"),), old=("old-a",),
              tainted=("old-a",)), []),
    "pods on tainted nodes that it tolerates are counted": (
        Given(specs=TOLERANT, nodes={"a1": {"web": 1}}, bound=(bound("old-a", "web"),), old=("old-a",),
              tainted=("old-a",)),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 2 matching pods, the least is 0 in us-east-1b, at "
         "most 1 apart"],
    ),
    "enough domains": (
        Given(specs=THREE_ZONES, nodes={"a1": {"web": 2}, "b1": {"web": 2}, "c1": {"web": 1}}, zones="abc"), []),
    "a domain too few": (
        Given(specs=THREE_ZONES, nodes={"a1": {"web": 2}, "b1": {"web": 1}}),
        ["spread: web in topology.kubernetes.io/zone us-east-1a with 2 matching pods, the least is taken as 0 for 2 of "
         "3 domains, at most 1 apart"],
    ),
    "a node in no zone": (
        Given(specs=EVEN, nodes={"old-nowhere": {"web": 1}}, old=("old-nowhere",)),
        ["spread: 1 of web on node old-nowhere, which carries no topology.kubernetes.io/zone"],
    ),
    # Ports
    "one port a node": (Given(specs=LISTENING, nodes={"a1": {"web": 1}, "a2": {"db": 1}}), []),
    "one port, two pods": (
        Given(specs=LISTENING, nodes={"a1": {"web": 2}}),
        ["host ports: 2 of web on node a1 take port 80/TCP, 1 can"],
    ),
    "one port, two keys": (
        Given(specs=LISTENING, nodes={"a1": {"web": 1, "db": 1}}),
        ["host ports: web and db on node a1 take port 80/TCP, 1 can"],
    ),
    "one port, one bound pod that is going": (
        Given(specs=LISTENING, nodes={"old-a": {"web": 1}}, old=("old-a",),
              bound=(bound("old-a", "cache", terminating=True, host_ports=(HostPort(port=80, address="10.0.0.1"),)),)),
        ["host ports: web and Pod/default/cache-on-old-a on node old-a take port 80/TCP, 1 can"],
    ),
    "one port at two addresses": (Given(specs=ADDRESSES, nodes={"a1": {"web": 1, "db": 1}}), []),
    "two bound pods with one port are not the plan's doing": (
        Given(specs=LISTENING, nodes={"a1": {"web": 1}}, old=("old-a",),
              bound=(bound("old-a", "x", host_ports=(HostPort(port=80),)), bound("old-a", "y", host_ports=(
                  HostPort(port=80),)))), []),
    # Volumes
    "where its disk is": (Given(specs=DISK, nodes={"a1": {"web": 2}}), []),
    "away from its disk": (
        Given(specs=DISK, nodes={"a1": {"web": 2}, "b1": {"web": 1}}),
        ["volumes: 1 of web on node b1, where 1 of 2 volumes cannot be used"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_rules_hold_of_where_pods_stand(name: str, catalog: Catalog) -> None:
    given, told = CASES[name]
    assert sorted(violations(given, catalog)) == told


ASKING: dict[str, dict[str, Any]] = {
    "pod-affinity": {"pod_affinity": (term(HOSTNAME, "db"),)},
    "pod-anti-affinity": {"pod_anti_affinity": (term(HOSTNAME, "web"),)},
    "topology-spread": {"spread": (spread(ZONE, "web"), spread(HOSTNAME, "web"))},
    "host-ports": {"host_ports": (HostPort(port=80),)},
    "volumes": {"volume_affinity": (((is_in(ZONE, "us-east-1b"),),),)},
}


@pytest.mark.parametrize("family", ASKING)
def test_what_is_not_kept_yet_is_not_held_against_a_plan(family: str, catalog: Catalog) -> None:
    kept, unchecked = spec("web", **ASKING[family]), spec("web", **ASKING[family], unchecked=(family,))
    assert violations(Given(specs={"web": kept}, nodes={"a1": {"web": 2}}), catalog)
    assert not violations(Given(specs={"web": unchecked}, nodes={"a1": {"web": 2}}), catalog)


def busy(app: str, group: int) -> PodSpec:
    """Every fourth group is spread, keeps to itself, keeps to one zone, or takes a port."""
    return spec(
        app,
        spread=(spread(ZONE, app), spread(HOSTNAME, app)) if group % 4 == 0 else (),
        pod_anti_affinity=(term(HOSTNAME, app),) if group % 4 == 1 else (),
        pod_affinity=(term(ZONE, app),) if group % 4 == 2 else (),
        host_ports=(HostPort(port=group),) if group % 4 == 3 else (),
    )


def quiet(app: str, _: int) -> PodSpec:
    return spec(app)


@pytest.mark.parametrize(
    ("asked", "most_seconds"),
    [
        (quiet, 0.05),  # mean 0.0006 (5 runs on 2 shared cores); nothing may depend on the number of pods
        (busy, 2.0),  # mean 0.51 (+/- 20 %, 5 runs on 2 shared cores), four times
    ],
)
def test_a_hundred_thousand_pods_are_checked_quickly(
    asked: Callable[[str, int], PodSpec], most_seconds: float, catalog: Catalog
) -> None:
    """300 groups of 333 pods on 5,001 nodes, each pod a cell of its own; those that keep to one zone are in one."""
    names = [f"{'abc'[number % 3]}{number}" for number in range(5001)]
    nodes: dict[str, dict[str, int]] = {name: {} for name in names}
    specs = {}
    for group in range(300):
        app = f"app-{group}"
        specs[app] = asked(app, group)
        step = 3 if group % 4 == 2 else 1
        for number in range(333):
            nodes[names[(group * 13 + number * step) % len(names)]][app] = 1
    plan, ground = planned(Given(specs=specs, nodes=nodes, zones="abc"), catalog)
    assert list(ground.offerings)  # read once for all checks, this one or others
    before = time.process_time()
    assert list(constraint_violations(plan, ground)) == []
    assert time.process_time() - before < most_seconds
