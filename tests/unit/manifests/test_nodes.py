"""Nodes and NodePools."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.model.nodes import Node, NodePool
from raypipe.model.requirements import Operator, Requirement, Taint
from tests.unit.manifests.builders import Object, deployment, node, notes, problems, read, thing, wanted


def one_node(**more: Any) -> Node:
    (found,) = read(node(**more)).nodes
    return found


def test_a_node_is_what_its_status_says() -> None:
    found = one_node(labels={"a": "b"}, creationTimestamp="2026-01-05T08:00:00Z")
    assert (found.name, found.own, found.open, found.created) == ("node-1", False, True, "2026-01-05T08:00:00Z")
    assert found.capacity == {"cpu": 8000, "memory": 32 << 30, "pods": 58}
    assert found.allocatable == {"cpu": 7900, "memory": 32 << 30, "pods": 58}
    assert (found.labels["a"], found.labels["kubernetes.io/hostname"]) == ("b", "node-1")
    assert one_node(labels={"kubernetes.io/hostname": "other"}).labels["kubernetes.io/hostname"] == "other"


READY, NOT_READY = {"type": "Ready", "status": "True"}, {"type": "Ready", "status": "Unknown"}
OWN = {"raypipe.io/cluster": "c"}
CORDONED = {"raypipe.io/cordoned": "abc"}
TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("more", "why_closed"),
    [
        pytest.param({}, "", id="ready"),
        pytest.param({"conditions": []}, "", id="nothing said"),
        pytest.param({"conditions": [{"type": "DiskPressure", "status": "False"}, READY]}, "", id="other conditions"),
        pytest.param({"conditions": [NOT_READY]}, "not ready", id="not ready"),
        pytest.param({"spec": {"unschedulable": True}}, "cordoned", id="cordoned"),
        pytest.param({"spec": {"unschedulable": True}, "annotations": CORDONED}, "cordoned", id="not our node"),
        pytest.param(
            {"spec": {"unschedulable": True, "taints": [TAINT]}, "annotations": CORDONED, "labels": OWN},
            "",
            id="cordoned by raypipe, until its pods are bound",
        ),
        pytest.param({"deletionTimestamp": "2026-01-05T08:00:00Z"}, "being deleted", id="being deleted"),
    ],
)
def test_whether_a_node_takes_demand(more: Object, why_closed: str) -> None:
    found = one_node(**more)
    assert (found.open, found.why_closed) == (not why_closed, why_closed)
    assert found.taints == ()


def test_the_taint_of_starting_nodes_is_no_taint_on_our_own() -> None:
    taints = [{"key": "raypipe.io/starting", "effect": "NoSchedule"}, {"key": "b", "value": "v", "effect": "NoExecute"}]
    kept = Taint(key="b", value="v", effect="NoExecute")
    assert one_node(spec={"taints": taints}, labels=OWN).taints == (kept,)
    assert one_node(spec={"taints": taints}).taints == (kept, Taint(key="raypipe.io/starting"))


def test_nodes_that_are_refused() -> None:
    bad = node(spec={"taints": [{"key": "a", "effect": "NoSchedul"}, {}]})
    bad["status"]["capacity"]["cpu"] = "-4"
    assert [one.partition(": ")[2] for one in problems(bad)] == [
        "items[0].status.capacity.cpu: found '-4', expected a quantity that is not negative",
        "items[0].spec.taints[0].effect: found 'NoSchedul', expected one of NoSchedule, PreferNoSchedule, NoExecute "
        "(did you mean 'NoSchedule'?)",
        "items[0].spec.taints[1].key: found nothing, expected the key of a taint",
    ]


def claim(name: str = "claim-1", *, up: bool = False, node: str | None = None, **more: Any) -> Object:
    """A NodeClaim of an m5.2xlarge, on spot in us-east-1a; `more`: fields of its metadata, and `status`, `taints`."""
    wanted = {INSTANCE_TYPE: "m5.2xlarge", ZONE: "us-east-1a", CAPACITY_TYPE: "spot"}
    spec = {
        "requirements": [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()],
        "taints": more.pop("taints", []),
        "startupTaints": [{"key": "raypipe.io/starting", "effect": "NoSchedule"}],
    }
    status = {"conditions": [{"type": "Initialized", "status": str(up)}], **more.pop("status", {})}
    return thing("NodeClaim", name, spec, status=status | ({"nodeName": node} if node else {}), **more)


INSTANCE_TYPE, ZONE = "node.kubernetes.io/instance-type", "topology.kubernetes.io/zone"
CAPACITY_TYPE = "karpenter.sh/capacity-type"


def test_a_claim_is_a_node_on_its_way_with_what_its_requirements_say() -> None:
    taints = [{"key": "batch", "effect": "NoSchedule"}]
    (found,) = read(claim(labels=OWN | {"team": "a"}, creationTimestamp="2026-01-05T08:00:00Z", taints=taints)).nodes
    assert found == Node(
        name="claim-1",
        labels={
            "kubernetes.io/hostname": "claim-1",
            INSTANCE_TYPE: "m5.2xlarge",
            ZONE: "us-east-1a",
            CAPACITY_TYPE: "spot",
            **OWN,
            "team": "a",
            "field:metadata.name": "claim-1",
        },
        capacity={},
        allocatable={},
        taints=(Taint(key="batch"),),
        own=True,
        created="2026-01-05T08:00:00Z",
        coming=True,
    )


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([claim(labels=OWN)], [("claim-1", "", True)], id="launched, without a node yet"),
        pytest.param([claim()], [("claim-1", "on its way, bought by another", False)], id="another's takes no demand"),
        pytest.param(
            [claim(labels=OWN, deletionTimestamp="2026-01-05T08:00:00Z")], [], id="given up before it had a node"
        ),
        pytest.param(
            [claim(labels=OWN, node="node-1"), node(conditions=[NOT_READY])],
            [("node-1", "", True)],
            id="registered and not ready: it is called as its node, and still on its way",
        ),
        pytest.param(
            [claim(labels=OWN, node="node-1", up=True), node(conditions=[NOT_READY])],
            [("node-1", "not ready", True)],
            id="it was up once: it is not ready",
        ),
        pytest.param(
            [
                claim(status={"providerID": "aws:///i-1"}, labels=OWN),
                node(spec={"providerID": "aws:///i-1"}, conditions=[NOT_READY]),
            ],
            [("node-1", "", True)],
            id="known by its machine before it is registered",
        ),
        pytest.param(
            [claim(labels=OWN, node="node-1", deletionTimestamp="2026-01-05T08:00:00Z", up=True), node()],
            [("node-1", "being deleted", True)],
            id="a claim that is being deleted takes its node with it",
        ),
        pytest.param(
            [claim(labels=OWN, node="node-1", up=True), node(spec={"unschedulable": True})],
            [("node-1", "cordoned", True)],
            id="cordoned by somebody else",
        ),
    ],
)
def test_claims_and_their_nodes_are_one(objects: list[Object], expected: list[tuple[str, str, bool]]) -> None:
    assert [(one.name, one.why_closed, one.own) for one in read(*objects).nodes] == expected


def test_a_node_that_comes_up_is_counted_with_what_its_claim_promises() -> None:
    promised = {"allocatable": {"cpu": "8", "memory": "30Gi", "nvidia.com/gpu": "1"}}
    not_ready = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    bare = node(spec={"taints": not_ready}, conditions=[NOT_READY])
    bare["status"]["allocatable"] = {"cpu": "7900m", "memory": "29Gi", "nvidia.com/gpu": "0"}
    (coming,) = read(claim(labels=OWN, node="node-1", status=promised), bare).nodes
    assert coming.allocatable == {"cpu": 7900, "memory": 29 << 30, "nvidia.com/gpu": 1}
    assert (coming.taints, coming.open) == ((), True)
    (up,) = read(claim(labels=OWN, node="node-1", status=promised, up=True), bare).nodes
    assert up.allocatable == {"cpu": 7900, "memory": 29 << 30, "nvidia.com/gpu": 0}


def test_pods_have_their_place_on_a_node_that_is_only_a_claim() -> None:
    web, meant = deployment("web", 5), {"raypipe.io/pods": '{"Deployment/default/web": 3}'}
    found = read(web, claim(labels=OWN, annotations=meant))
    assert wanted(found) == {"Deployment/default/web": 2}
    assert [(one.node, one.key, one.count) for one in found.bound] == [("claim-1", "Deployment/default/web", 3)]


def test_a_node_that_was_opened_a_moment_ago_is_room_though_its_taint_is_still_there() -> None:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    (opened,) = read(node(spec={"taints": [taint]})).nodes
    (cordoned,) = read(node(spec={"taints": [taint], "unschedulable": True})).nodes
    assert (opened.taints, cordoned.taints) == ((), (Taint(key="node.kubernetes.io/unschedulable"),))


def test_pods_of_a_node_that_is_given_up_want_a_place_again() -> None:
    web, meant = deployment("web", 5), {"raypipe.io/pods": '{"Deployment/default/web": 3}'}
    dying = claim(labels=OWN, annotations=meant, node="node-1", deletionTimestamp="2026-01-05T08:00:00Z")
    found = read(web, dying, node(conditions=[NOT_READY], annotations=meant))
    assert (wanted(found), found.bound) == ({"Deployment/default/web": 5}, ())


def test_a_node_whose_claim_was_deleted_before_it_came_up_is_nobody_s_place() -> None:
    web, meant = deployment("web", 5), {"raypipe.io/pods": '{"Deployment/default/web": 3}'}
    taints = [{"key": name, "effect": "NoSchedule"} for name in ("karpenter.sh/unregistered", "raypipe.io/starting")]
    orphan = node(labels=OWN, annotations=meant, spec={"taints": taints})
    found = read(web, orphan)
    assert (wanted(found), found.bound) == ({"Deployment/default/web": 5}, ())
    assert found.nodes[0].why_closed == "its claim is gone"
    found = read(web, orphan, claim(labels=OWN, annotations=meant, node="node-1"))
    assert (wanted(found), found.nodes[0].open) == ({"Deployment/default/web": 2}, True)


def one_pool(spec: Object, **more: Any) -> NodePool:
    (found,) = read(thing("NodePool", "p", spec, **more)).node_pools
    return found


TEMPLATE = {
    "metadata": {"labels": {"team": "a"}},
    "spec": {
        "requirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"], "minValues": 1}],
        "taints": [{"key": "t", "effect": "NoSchedule"}],
        "startupTaints": [{"key": "cilium", "effect": "NoExecute"}],
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
    },
}


def test_a_node_pool() -> None:
    spec = {
        "template": TEMPLATE,
        "weight": 7,
        "limits": {"cpu": "10", "memory": "4Gi", "nvidia.com/gpu": 2, "nodes": 3},
    }
    assert one_pool(spec) == NodePool(
        name="p",
        requirements=(Requirement(key="kubernetes.io/arch", operator=Operator.IN, values=("amd64",)),),
        labels={"team": "a"},
        taints=(Taint(key="t"),),
        weight=7,
        limits={"cpu": 10_000, "memory": 4 << 30, "nodes": 3, "nvidia.com/gpu": 2},
        node_class={"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
    )
    assert notes(read(thing("NodePool", "p", spec))) == [("unchecked-constraint", "NodePool//p", 1)]


def test_limits_of_a_managed_pool_are_its_annotations() -> None:
    managed = {"raypipe.io/managed": "true"}
    assert one_pool({"limits": {"cpu": 0}}, annotations=managed).limits == {}
    ours = managed | {"raypipe.io/limits": '{"cpu": "1000", "usdPerHour": "4.5"}'}
    pool = one_pool({"limits": {"cpu": 0}}, annotations=ours)
    assert (pool.limits, pool.managed) == ({"cpu": 1_000_000, "usdPerHour": 4_500_000_000}, True)
    assert one_pool({"limits": {"cpu": 1}}, annotations=ours | {"raypipe.io/managed": "false"}).limits == {"cpu": 1000}


@pytest.mark.parametrize(
    ("spec", "more", "buys"),
    [
        pytest.param({}, {}, (True, True), id="without limits"),
        pytest.param({"limits": {"cpu": "100"}}, {}, (True, True), id="within limits"),
        pytest.param({"limits": {"cpu": 0}}, {}, (True, False), id="a limit of 0"),
        pytest.param({}, {"annotations": {"raypipe.io/managed": "true"}}, (True, False), id="raypipe's"),
        pytest.param({"replicas": 3}, {}, (False, False), id="static"),
        pytest.param({}, {"deletionTimestamp": "2026-01-05T08:00:00Z"}, (False, False), id="being deleted"),
    ],
)
def test_whether_karpenter_buys_through_a_pool(spec: Object, more: Object, buys: tuple[bool, bool]) -> None:
    pool = one_pool(spec, **more)
    assert (pool.dynamic, pool.open) == buys


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cpu: 5", "expected a JSON mapping such as"),
        ("[1]", "annotations.raypipe.io/limits: found a list, expected a mapping"),
        ('{"cpu": -1}', "annotations.raypipe.io/limits.cpu: found -1, expected a quantity that is not negative"),
        ('{"cpus": 1}', "found an unknown resource 'cpus', expected a resource (did you mean 'cpu'?)"),
        ("[" * 5000, "expected a JSON mapping such as"),
    ],
)
def test_limits_that_are_refused(text: str, told: str) -> None:
    annotations = {"raypipe.io/managed": "true", "raypipe.io/limits": text}
    assert told in problems(thing("NodePool", "p", {}, annotations=annotations))[0]
