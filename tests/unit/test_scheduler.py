"""kube-scheduler's filters against the words of its documentation, and orders of placing against plans.

Examples marked "docs" are those of kubernetes.io: Pod Topology Spread Constraints, Assigning Pods to Nodes, Taints and
Tolerations, and the API reference of TopologySpreadConstraint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from raypipe.catalog import Catalog, load
from raypipe.model.constraints import HostPort, PodSelector, PodTerm, Spread
from raypipe.model.nodes import Node
from raypipe.model.plan import ClusterPlan, PlannedNode
from raypipe.model.pods import BoundPods, DaemonSet, PodGroup, PodSpec
from raypipe.model.requirements import HOSTNAME, INSTANCE_TYPE, ZONE, Operator, Requirement, Taint, Toleration
from raypipe.model.snapshot import ClusterSnapshot
from tests.property.scheduler import (
    FILTERS,
    Machine,
    Pod,
    Refused,
    inter_pod_affinity,
    node_affinity,
    node_ports,
    node_resources_fit,
    pod_topology_spread,
    refused_by,
    replay,
    taint_toleration,
    volume_zone,
)

GIB = 2**30


def one(key: str, operator: Operator, *values: str) -> Requirement:
    return Requirement(key=key, operator=operator, values=values)


def labelled(key: str, *values: str, namespaces: tuple[str, ...] | None = ("default",)) -> PodSelector:
    return PodSelector(namespaces=namespaces, labels=(one(key, Operator.IN, *values),))


FOO = labelled("foo", "bar")


def foo(**fields: Any) -> PodSpec:
    return PodSpec(labels={"foo": "bar"}, **fields)


def nodes(**zones: Mapping[str, int]) -> list[Machine]:
    """Nodes by zone, with so many pods of foo=bar on each: ``nodes(A={"n1": 1, "n2": 1}, B={"n3": 1})``."""
    return [
        Machine(name=name, labels={"zone": zone, "node": name}, pods=[Pod(spec=foo()) for _ in range(count)])
        for zone, counts in zones.items()
        for name, count in counts.items()
    ]


def admitting(pod: PodSpec, machines: Sequence[Machine], filter_name: str) -> str:
    """Names of the nodes that one filter lets the pod onto."""
    return " ".join(node.name for node in machines if FILTERS[filter_name](pod, node, machines))


def spread(key: str = "zone", max_skew: int = 1, **fields: Any) -> Spread:
    return Spread(topology_key=key, max_skew=max_skew, pods=fields.pop("pods", FOO), **fields)


NOT_C = ((one("zone", Operator.NOT_IN, "C"),),)
TWO_AND_ONE = {"A": {"n1": 1, "n2": 1}, "B": {"n3": 1, "n4": 0}}

SPREADS: dict[str, tuple[PodSpec, list[Machine], str]] = {
    "docs: one constraint, only zone B": (foo(spread=(spread(),)), nodes(**TWO_AND_ONE), "n3 n4"),
    "docs: maxSkew 2 lets zone A": (foo(spread=(spread(max_skew=2),)), nodes(**TWO_AND_ONE), "n1 n2 n3 n4"),
    "docs: over nodes, only the empty one": (foo(spread=(spread("node"),)), nodes(**TWO_AND_ONE), "n4"),
    "docs: zone and node together": (foo(spread=(spread(), spread("node"))), nodes(**TWO_AND_ONE), "n4"),
    "docs: zone and node in conflict": (
        foo(spread=(spread(), spread("node"))), nodes(A={"n1": 2, "n2": 1}, B={"n3": 2}), ""),
    "docs: an excluded zone is no domain": (
        foo(spread=(spread(),), node_affinity=NOT_C), nodes(**TWO_AND_ONE, C={"n5": 0}), "n3 n4"),
    "docs: policy Ignore counts the excluded zone": (
        foo(spread=(spread(honors_affinity=False),), node_affinity=NOT_C), nodes(**TWO_AND_ONE, C={"n5": 0}), ""),
    "docs: 2/2/1, only the third zone": (
        foo(spread=(spread(),)), nodes(A={"n1": 2}, B={"n2": 2}, C={"n3": 1}), "n3"),
    "docs: minDomains 5 of 3 zones with 2/2/2": (
        foo(spread=(spread(max_skew=2, min_domains=5),)), nodes(A={"n1": 2}, B={"n2": 2}, C={"n3": 2}), ""),
    "docs: enough domains, minDomains has no effect": (
        foo(spread=(spread(max_skew=2, min_domains=3),)), nodes(A={"n1": 2}, B={"n2": 2}, C={"n3": 2}), "n1 n2 n3"),
    "docs: ScheduleAnyway keeps nobody off": (foo(spread=(spread(required=False),)), nodes(A={"n1": 9}, B={"n2": 0}),
        "n1 n2"),
    "docs: an incoming pod that does not match itself counts 0": (
        PodSpec(spread=(spread(),)), nodes(**TWO_AND_ONE), "n1 n2 n3 n4"),
    "docs: a node without the label is skipped": (
        foo(spread=(spread(),)), [*nodes(**TWO_AND_ONE), Machine(name="n5", labels={"zone-typo": "C"})], "n3 n4"),
    "a node lacking the key of another constraint is not counted": (
        foo(spread=(spread(), spread("rack", 9))),
        [Machine(name="n1", labels={"zone": "A", "rack": "1"}), Machine(name="n2", labels={"zone": "B"},
            pods=[Pod(spec=foo())]), Machine(name="n3", labels={"zone": "C", "rack": "1"}, pods=[Pod(spec=foo())])],
        "n1"),
    "pods that are being deleted do not count": (
        foo(spread=(spread(),)),
        [Machine(name="n1", labels={"zone": "A"}, pods=[Pod(spec=foo(), terminating=True)] * 3),
         Machine(name="n2", labels={"zone": "B"})],
        "n1 n2"),
    "a zone with an empty node is as empty as can be": (
        foo(spread=(spread(),)), nodes(A={"n1": 1}, B={"n2": 1}, C={"n3": 0}), "n3"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPREADS)
def test_pod_topology_spread(name: str) -> None:
    pod, machines, admitted = SPREADS[name]
    assert " ".join(node.name for node in machines if refused_by(pod, node, machines) is None) == admitted


@pytest.mark.parametrize(
    ("honors_taints", "tolerations", "admitted"),
    [(False, (), "n2"), (True, (), "n1 n2"), (True, (Toleration(operator="Exists"),), "n2")],
    ids=["Ignore counts every node", "Honor leaves out tainted nodes", "Honor counts tolerated ones"],
)
def test_taints_policy(honors_taints: bool, tolerations: tuple[Toleration, ...], admitted: str) -> None:
    machines = nodes(A={"n1": 1}, B={"n2": 0})
    machines[1].taints = (Taint(key="team"),)
    pod = foo(spread=(spread(honors_taints=honors_taints),), tolerations=tolerations)
    assert admitting(pod, machines, "PodTopologySpread") == admitted


def web(**fields: Any) -> PodSpec:
    return PodSpec(labels={"app": "web", "security": "S1"}, **fields)


def on(name: str, zone: str | None, *pods: PodSpec, terminating: bool = False) -> Machine:
    labels = {"zone": zone} if zone else {}
    return Machine(name=name, labels=labels, pods=[Pod(spec=spec, terminating=terminating) for spec in pods])


S1, WEB, ALL = labelled("security", "S1"), labelled("app", "web"), PodSelector(namespaces=None)
S1_ZONE = PodTerm(topology_key="zone", pods=S1)
WEB_ZONE = PodTerm(topology_key="zone", pods=WEB)
OTHER = PodSpec(labels={"security": "S1"})
KEEPING = PodSpec(pod_anti_affinity=(WEB_ZONE,))

AFFINITIES: dict[str, tuple[PodSpec, list[Machine], str]] = {
    "docs: only in a zone with a pod of S1": (
        PodSpec(pod_affinity=(S1_ZONE,)), [on("n1", "V"), on("n2", "V", OTHER), on("n3", "R")], "n1 n2"),
    "docs: never in a zone with a pod of S1": (
        PodSpec(pod_anti_affinity=(S1_ZONE,)), [on("n1", "V"), on("n2", "V", OTHER), on("n3", "R")], "n3"),
    "the first of a group goes where the label is": (
        web(pod_affinity=(WEB_ZONE,)), [on("n1", "V"), on("n2", None), on("n3", "R")], "n1 n3"),
    "the first of a group that it is not of goes nowhere": (
        PodSpec(pod_affinity=(WEB_ZONE,)), [on("n1", "V"), on("n3", "R")], ""),
    "nobody is the second first one": (
        web(pod_affinity=(WEB_ZONE,)), [on("n1", "V", web()), on("n3", "R")], "n1"),
    "one on a node without the label precedes nobody": (
        web(pod_affinity=(WEB_ZONE,)), [on("n1", "V"), on("n2", None, web())], "n1"),
    "all terms are met by one pod": (
        PodSpec(pod_affinity=(WEB_ZONE, S1_ZONE)), [on("n1", "V", web()), on("n2", "R", OTHER)], "n1"),
    "terms met by several pods are not met": (
        PodSpec(pod_affinity=(WEB_ZONE, S1_ZONE)),
        [on("n1", "V", PodSpec(labels={"app": "web"}), OTHER)], ""),
    "a pod that is being deleted is company still": (
        PodSpec(pod_affinity=(S1_ZONE,)), [on("n1", "V", OTHER, terminating=True), on("n3", "R")], "n1"),
    "a pod that is being deleted is in the way still": (
        PodSpec(pod_anti_affinity=(S1_ZONE,)), [on("n1", "V", OTHER, terminating=True), on("n3", "R")], "n3"),
    "those that are there keep others away": (
        web(), [on("n1", "V"), on("n2", "V", KEEPING), on("n3", "R"), on("n4", None)], "n3 n4"),
    "those that are there keep away whom they mean": (
        OTHER, [on("n1", "V", KEEPING)], "n1"),
    "docs: namespaces default to the pod's own": (
        PodSpec(pod_anti_affinity=(PodTerm(topology_key="zone", pods=labelled("app", "web", namespaces=("other",))),)),
        [on("n1", "V", web())], "n1"),
    "docs: an empty selector means all pods": (
        PodSpec(pod_anti_affinity=(PodTerm(topology_key="zone", pods=ALL),)), [on("n1", "V", PodSpec())], ""),
    "docs: a null selector means none": (
        PodSpec(pod_anti_affinity=(PodTerm(topology_key="zone", pods=PodSelector(labels=None)),)),
        [on("n1", "V", PodSpec())], "n1"),
    "anti-affinity does not ask for the label": (
        PodSpec(pod_anti_affinity=(S1_ZONE,)), [on("n4", None, OTHER)], "n4"),
}  # fmt: skip


@pytest.mark.parametrize("name", AFFINITIES)
def test_inter_pod_affinity(name: str) -> None:
    pod, machines, admitted = AFFINITIES[name]
    assert admitting(pod, machines, "InterPodAffinity") == admitted


@pytest.mark.parametrize(
    ("asked", "taken", "free"),
    [
        (HostPort(port=80), HostPort(port=80), False),
        (HostPort(port=80), HostPort(port=81), True),
        (HostPort(port=80), HostPort(port=80, protocol="UDP"), True),
        (HostPort(port=80), HostPort(port=80, address="10.0.0.1"), False),
        (HostPort(port=80, address="10.0.0.1"), HostPort(port=80), False),
        (HostPort(port=80, address="10.0.0.1"), HostPort(port=80, address="10.0.0.2"), True),
    ],
)
def test_node_ports(asked: HostPort, taken: HostPort, free: bool) -> None:
    node = on("n1", "V", PodSpec(host_ports=(taken,)), terminating=True)
    assert node_ports(PodSpec(host_ports=(asked,)), node, [node]) is free
    assert node_ports(PodSpec(), node, [node])


@pytest.mark.parametrize(
    ("requests", "fits"),
    [
        ({"cpu": 500}, True),
        ({"cpu": 501}, False),
        ({"cpu": 500, "nvidia.com/gpu": 1}, False),
        ({"cpu": 500, "nvidia.com/gpu": 0}, True),
        ({"cpu": 0, "memory": 1}, False),
        ({"cpu": 500, "pods": 1}, True),
        ({"cpu": 500, "pods": 2}, False),
    ],
)
def test_node_resources_fit(requests: Mapping[str, int], fits: bool) -> None:
    """500m and a pod are left, and no memory at all."""
    there = PodSpec(requests={"cpu": 500, "memory": 2 * GIB, "pods": 1})
    node = Machine(name="n1", labels={}, allocatable={"cpu": 1000, "memory": GIB, "pods": 2}, pods=[Pod(spec=there)])
    assert node_resources_fit(PodSpec(requests=requests), node, [node]) is fits


@pytest.mark.parametrize(
    ("terms", "admitted"),
    [
        ((), True),
        ((((one("disk", Operator.IN, "ssd", "nvme")),),), True),
        ((((one("disk", Operator.NOT_IN, "ssd")),),), False),
        ((((one("gpu", Operator.NOT_IN, "t4")),),), True),
        ((((one("disk", Operator.EXISTS)),),), True),
        ((((one("disk", Operator.DOES_NOT_EXIST)),),), False),
        ((((one("cores", Operator.GT, "4")),),), True),
        ((((one("cores", Operator.GT, "8")),),), False),
        ((((one("cores", Operator.LT, "9")),),), True),
        ((((one("disk", Operator.GT, "4")),),), False),
        ((((one("gpu", Operator.LT, "4")),),), False),
        ((((one("disk", Operator.IN, "hdd")),), ((one("cores", Operator.EXISTS)),)), True),
        ((((one("disk", Operator.IN, "ssd")), (one("gpu", Operator.EXISTS))),), False),
        (((),), False),
    ],
)
def test_node_affinity_and_volumes(terms: tuple[tuple[Requirement, ...], ...], admitted: bool) -> None:
    node = Machine(name="n1", labels={"disk": "ssd", "cores": "8"})
    assert node_affinity(PodSpec(node_affinity=terms), node, [node]) is admitted
    assert volume_zone(PodSpec(volume_affinity=(terms,) if terms else ()), node, [node]) is admitted
    assert node_affinity(PodSpec(node_affinity=terms, node_selector={"disk": "ssd"}), node, [node]) is admitted
    assert not node_affinity(PodSpec(node_affinity=terms, node_selector={"disk": "hdd"}), node, [node])


@pytest.mark.parametrize(
    ("toleration", "effect", "admitted"),
    [
        (None, "NoSchedule", False),
        (None, "NoExecute", False),
        (None, "PreferNoSchedule", True),
        (Toleration(key="team", value="batch", effect="NoSchedule"), "NoSchedule", True),
        (Toleration(key="team", value="batch", effect="NoSchedule"), "NoExecute", False),
        (Toleration(key="team", value="web"), "NoSchedule", False),
        (Toleration(key="team", value="batch"), "NoExecute", True),
        (Toleration(key="team", operator="Exists"), "NoSchedule", True),
        (Toleration(key="other", operator="Exists"), "NoSchedule", False),
        (Toleration(operator="Exists"), "NoExecute", True),
    ],
)
def test_taint_toleration(toleration: Toleration | None, effect: str, admitted: bool) -> None:
    node = Machine(name="n1", labels={}, taints=(Taint(key="team", value="batch", effect=effect),))
    pod = PodSpec(tolerations=(toleration,) if toleration else ())
    assert taint_toleration(pod, node, [node]) is admitted


def test_the_first_filter_that_refuses_is_named() -> None:
    node = Machine(name="n1", labels={}, unschedulable=True, taints=(Taint(key="team"),))
    assert refused_by(PodSpec(), node, [node]) == "NodeUnschedulable"
    node.unschedulable = False
    assert refused_by(PodSpec(), node, [node]) == "TaintToleration"
    node.taints = ()
    assert refused_by(PodSpec(), node, [node]) is None


def test_filters_ask_about_this_moment() -> None:
    """The pod that was placed a moment ago is one of those that are there."""
    machines = nodes(A={"n1": 0}, B={"n2": 0})
    pod = foo(spread=(spread(),), pod_anti_affinity=(PodTerm(topology_key="node", pods=FOO),))
    assert [pod_topology_spread(pod, node, machines) for node in machines] == [True, True]
    machines[0].pods.append(Pod(spec=pod))
    assert [pod_topology_spread(pod, node, machines) for node in machines] == [False, True]
    assert [inter_pod_affinity(pod, node, machines) for node in machines] == [False, True]


# Plans: nodes are called by their zone, ``a1`` is bought and ``old-a`` exists.


def spec(app: str, cpu: int = 100, **fields: Any) -> PodSpec:
    return PodSpec(labels={"app": app}, requests={"cpu": cpu, "memory": GIB, "pods": 1}, **fields)


def apps(*names: str) -> PodSelector:
    return labelled("app", *names)


def term(key: str, *names: str) -> PodTerm:
    return PodTerm(topology_key=key, pods=apps(*names))


def even(*names: str, key: str = ZONE, **fields: Any) -> tuple[Spread, ...]:
    return (Spread(topology_key=key, max_skew=1, pods=apps(*names), **fields),)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(None)


def played(
    catalog: Catalog,
    placed: Mapping[str, Mapping[str, int]],
    specs: Mapping[str, PodSpec],
    *,
    bound: tuple[BoundPods, ...] = (),
    daemonsets: tuple[DaemonSet, ...] = (),
    whole: bool = False,
) -> list[Refused]:
    old = Node(
        name="old-a",
        labels={INSTANCE_TYPE: "m5.xlarge", ZONE: "us-east-1a"},
        capacity={},
        allocatable={"cpu": 4000, "memory": 16 * GIB, "pods": 58},
    )
    cluster = ClusterSnapshot(
        name="small",
        zones=("us-east-1a", "us-east-1b", "us-east-1c"),
        nodes=(old,),
        bound=bound,
        daemonsets=daemonsets,
        demand=tuple(PodGroup(key=key, spec=one, count=9) for key, one in specs.items()),
    )
    plan = ClusterPlan(name="small", nodes=tuple(_planned(name, added) for name, added in placed.items()))
    return replay(plan, cluster, catalog, whole=whole)


def _planned(name: str, added: Mapping[str, int]) -> PlannedNode:
    return PlannedNode(
        name=name,
        existing=name.startswith("old"),
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


WEB_ON_OLD = (BoundPods(node="old-a", key="web", spec=spec("web")),)
EVEN = {"web": spec("web", spread=even("web")), "db": spec("db")}
MIXED = {"web": spec("web", spread=even("web", "db")), "db": spec("db")}
FIRSTS = {
    "web": spec("web", pod_affinity=(term(ZONE, "web", "db"),)),
    "db": spec("db", pod_affinity=(term(ZONE, "db"),)),
}
CHAIN = {
    "a": spec("a", pod_affinity=(term(HOSTNAME, "b"),)),
    "b": spec("b", pod_affinity=(term(HOSTNAME, "c"),)),
    "c": spec("c"),
}
ALONE = {"web": spec("web", pod_anti_affinity=(term(HOSTNAME, "web"),))}
BIG = {"web": spec("web", cpu=1900)}
PORT = {"web": spec("web", host_ports=(HostPort(port=80),))}

PLANS: dict[str, tuple[Mapping[str, Mapping[str, int]], Mapping[str, PodSpec], dict[str, Any], list[Refused]]] = {
    "evenly, zone by zone in turn": ({"a1": {"web": 4}, "b1": {"web": 3}}, EVEN, {}, []),
    "evenly, from what is bound": ({"a1": {"web": 1}, "b1": {"web": 3}}, EVEN, {"bound": WEB_ON_OLD}, []),
    "one more in one zone": (
        {"a1": {"web": 3}, "b1": {"web": 1}}, EVEN, {},
        [Refused(key="web", node="a1", count=1, filter="PodTopologySpread")]),
    "a node bought for others is an empty domain": (
        {"a1": {"web": 2}, "b1": {"web": 2}, "c1": {"db": 1}}, EVEN, {},
        [Refused(key="web", node="a1", count=1, filter="PodTopologySpread"),
         Refused(key="web", node="b1", count=1, filter="PodTopologySpread")]),
    "pods that count and are not spread come when they are in nobody's way": (
        {"a1": {"web": 1, "db": 1}, "b1": {"web": 1}}, MIXED, {}, []),
    "pods that count and are not spread come first where they make way": (
        {"a1": {"web": 2}, "b1": {"db": 1}}, MIXED, {}, []),
    "first ones in the order that allows both": ({"a1": {"web": 1}, "b1": {"db": 1}}, FIRSTS, {}, []),
    "a first one too many": (
        {"a1": {"db": 2}, "b1": {"db": 1}}, FIRSTS, {},
        [Refused(key="db", node="b1", count=1, filter="InterPodAffinity")]),
    "each after those that it wants": ({"a1": {"a": 2, "b": 1, "c": 1}}, CHAIN, {}, []),
    "nobody to begin with": (
        {"a1": {"a": 1, "b": 1}}, CHAIN, {},
        [Refused(key="a", node="a1", count=1, filter="InterPodAffinity"),
         Refused(key="b", node="a1", count=1, filter="InterPodAffinity")]),
    "one on each node": ({"a1": {"web": 1}, "a2": {"web": 1}}, ALONE, {}, []),
    "two on one node": (
        {"a1": {"web": 2}}, ALONE, {}, [Refused(key="web", node="a1", count=1, filter="InterPodAffinity")]),
    "what is bound is in the way, and not where all is planned anew": (
        {"a1": {"web": 1}, "old-a": {"web": 1}}, ALONE, {"bound": WEB_ON_OLD},
        [Refused(key="web", node="old-a", count=1, filter="InterPodAffinity")]),
    "as much as fits": ({"a1": {"web": 2}}, BIG, {}, []),
    "more than fits": (
        {"a1": {"web": 3}}, BIG, {}, [Refused(key="web", node="a1", count=1, filter="NodeResourcesFit")]),
    "DaemonSets take room": (
        {"a1": {"web": 2}}, BIG, {"daemonsets": (DaemonSet(key="agent", spec=spec("agent", cpu=200)),)},
        [Refused(key="web", node="a1", count=1, filter="NodeResourcesFit")]),
    "DaemonSets take ports": (
        {"a1": {"web": 1}}, PORT,
        {"daemonsets": (DaemonSet(key="agent", spec=spec("agent", host_ports=(HostPort(port=80),))),)},
        [Refused(key="web", node="a1", count=1, filter="NodePorts")]),
    "nobody is bound where all is planned anew": (
        {"b1": {"web": 1}, "a1": {"db": 1}}, FIRSTS, {"bound": WEB_ON_OLD, "whole": True}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_an_order_is_found_where_there_is_one(name: str, catalog: Catalog) -> None:
    placed, specs, more, refused = PLANS[name]
    assert played(catalog, placed, specs, **more) == refused
