"""The next step for a node that is being removed, from what is seen alone."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.controller.removing import Evict, GiveBack, Stop, mark, next_steps, take
from raypipe.errors import ClusterError
from raypipe.manifests import read_paths
from raypipe.manifests.origins import Observed
from raypipe.manifests.pending import objects_in
from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.nodes import Fact
from raypipe.model.plan import ClusterPlan, Unplaced
from raypipe.model.snapshot import ClusterSnapshot

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": True}
DAEMON = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "log", "uid": "ds", "controller": True}
READY = [{"type": "Ready", "status": "True"}]
KEY = "ReplicaSet/default/web"


def node(name: str, *, cpu: str = "4", ready: bool = True, **metadata: Any) -> dict[str, Any]:
    room = {"cpu": cpu, "memory": "16Gi", "pods": "50"}
    meta = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": "7",
        "labels": {"raypipe.io/cluster": "c"},
    } | metadata
    status = {"capacity": room, "allocatable": room, "conditions": READY if ready else []}
    status["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": status}


def leaving(**metadata: Any) -> dict[str, Any]:
    one = node("old", annotations={"raypipe.io/removing": "abc"}, **metadata)
    return one | {"spec": {"unschedulable": True}}


def pod(name: str, on: str | None = "old", cpu: str = "1", **metadata: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]}
    where = {"nodeName": on} if on is not None else {}
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "ownerReferences": [OWNER]} | metadata
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec | where}


CLAIM = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodeClaim",
    "metadata": {"name": "claim-1", "labels": {"raypipe.io/cluster": "c"}},
    "status": {"nodeName": "old", "conditions": [{"type": "Initialized", "status": "True"}]},
}


def seen(*objects: dict[str, Any]) -> tuple[ClusterSnapshot, Observed]:
    observed = Observed(context="prod", objects=objects, served=frozenset({"NodeClaim"}))
    (cluster,) = read_paths([], contexts=("prod",), observe=lambda _: {"prod": observed}).clusters
    assert cluster.error is None
    return cluster, observed


def told(*objects: dict[str, Any], facts: dict[str, tuple[Fact, ...]] | None = None, unplaced: int = 0) -> list[str]:
    """Steps and waits in words."""
    cluster, observed = seen(*objects)
    if facts:
        cluster = ClusterSnapshot(**{name: getattr(cluster, name) for name in cluster.__slots__} | {"facts": facts})
    left = (Unplaced(pods=KEY, count=unplaced, reason="limit"),) if unplaced else ()
    steps, waits = next_steps(cluster, objects_in(observed), ClusterPlan(name="prod", unplaced=left))
    words = []
    for step in steps:
        if isinstance(step, Evict):
            words.append(f"evict {step.pod.name} {step.uid}")
        elif isinstance(step, GiveBack):
            words.append(f"give back {step.node} {step.claim}")
        else:
            words.append(f"stop {step.node}: {step.why}")
    return words + [f"wait: {one.words}" for one in waits]


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        pytest.param([node("a"), pod("p", "a")], [], id="nothing is being removed"),
        pytest.param([leaving(), node("a"), pod("p")], ["evict p uid-p"], id="there is room on another node"),
        pytest.param(
            [leaving(), node("a"), pod("p"), pod("q", "a", "3500m")],
            ["wait: 1 of its pods wait for a node that has room for them"],
            id="there is none",
        ),
        pytest.param(
            [leaving(), node("a", cpu="2"), pod("big", cpu="2"), pod("small", cpu="500m")],
            ["evict big uid-big", "wait: 1 of its pods wait for a node that has room for them"],
            id="for the largest there is",
        ),
        pytest.param(
            [leaving(), node("a"), pod("p", cpu="3"), pod("waits", None, "2")],
            ["wait: 1 of its pods wait for a node that has room for them"],
            id="who waits already comes first",
        ),
        pytest.param(
            [leaving(), node("a", ready=False), pod("p")],
            ["wait: 1 of its pods wait for a node that has room for them"],
            id="a node that is not up is no place",
        ),
        pytest.param(
            [leaving(), node("a"), pod("p", deletionTimestamp="2026-01-01T00:00:00Z")],
            ["wait: 1 of its pods are ending"],
            id="its pods are ending",
        ),
        pytest.param([leaving(), pod("log", ownerReferences=[DAEMON])], ["give back old None"], id="a DaemonSet alone"),
        pytest.param([leaving(), CLAIM], ["give back old claim-1"], id="by its claim"),
        pytest.param(
            [leaving(deletionTimestamp="2026-01-01T00:00:00Z"), pod("p")], ["wait: it is being deleted"], id="deleted"
        ),
        pytest.param(
            [leaving(), node("a"), pod("p", annotations={"karpenter.sh/do-not-disrupt": "true"})],
            ["stop old: default/p may not be moved: karpenter.sh/do-not-disrupt"],
            id="a pod pinned since",
        ),
    ],
)
def test_the_next_step(objects: list[dict[str, Any]], words: list[str]) -> None:
    assert told(*objects) == words


def test_a_budget_passes_by_itself() -> None:
    """The eviction is refused until it has; nothing is given up for it."""
    spec = {"selector": {"matchLabels": {"app": "web"}}}
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
    }
    used_up = budget | {"spec": spec, "status": {"disruptionsAllowed": 0}}
    assert told(leaving(), node("a"), pod("p", labels={"app": "web"}), used_up) == ["evict p uid-p"]


def test_a_pod_that_has_nowhere_to_go_any_longer() -> None:
    """It is more pods that have no place than wait for one; on a node that dies that spares nothing."""
    objects = (leaving(), pod("p"))
    assert told(*objects, unplaced=1) == ["stop old: default/p would have nowhere to go"]
    waits = ["wait: 1 of its pods wait for a node that has room for them"]
    assert told(*objects, pod("q", None), unplaced=1) == waits
    assert told(*objects, unplaced=1, facts={"old": (Fact.INTERRUPTED,)}) == waits


class FakeServer:
    def __init__(self, pods: list[dict[str, Any]]) -> None:
        self.pods = pods

    def get(self, path: str, query: dict[str, str]) -> Any:
        assert (path, query) == ("/api/v1/pods", {"fieldSelector": "spec.nodeName=old"})
        return {"items": self.pods}


class FakeWriter:
    """Keeps what it is told to do; refuses evictions of pods in `held`."""

    def __init__(self, there: dict[str, Any] | None = None, pods: list[dict[str, Any]] | None = None) -> None:
        self.there, self.server, self.done = there, FakeServer(pods or []), list[Any]()

    def read(self, target: ObjectRef) -> dict[str, Any] | None:
        assert target.kind == "Node"
        return self.there

    def patch(self, target: ObjectRef, operations: list[dict[str, Any]]) -> None:
        self.done.append((target.name, operations))

    def evict(self, target: ObjectRef, uid: str) -> bool:
        from raypipe.adapters.kubernetes.server import RefusedError

        if target.name == "held":
            raise RefusedError("Cannot evict pod as it would violate the pod's disruption budget.", 429)
        self.done.append((target.name, uid))
        return True

    def give_back(self, name: str, claim: str | None) -> bool:
        self.done.append((name, claim))
        return True


REMOVE = Action(
    id="1",
    kind=ActionKind.REMOVE_NODE,
    object=ObjectRef(kind="Node", name="old"),
    set={"metadata": {"annotations": {"raypipe.io/removing": "abc"}}, "spec": {"unschedulable": True}},
    precondition={"uid": "uid-old", "pods": {KEY: 1}},
)


def test_marking_is_one_patch() -> None:
    writer = FakeWriter(node("old"), [pod("p"), pod("log", ownerReferences=[DAEMON])])
    assert mark(REMOVE, writer) == ""  # type: ignore[arg-type]
    assert writer.done == [
        (
            "old",
            [
                {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
                {"op": "add", "path": "/metadata/annotations", "value": {}},
                {"op": "add", "path": "/metadata/annotations/raypipe.io~1removing", "value": "abc"},
                {"op": "add", "path": "/spec/unschedulable", "value": True},
            ],
        )
    ]


@pytest.mark.parametrize(
    ("there", "pods", "said"),
    [
        pytest.param(node("old", uid="other"), [], "is another one by now", id="another node of that name"),
        pytest.param(
            node("old") | {"spec": {"unschedulable": True}}, [], "cordoned or deleted", id="cordoned by a person"
        ),
        pytest.param(node("old"), [pod("p"), pod("q")], "has 2 pods, and the plan knew of 1", id="a pod more"),
    ],
)
def test_a_mark_that_relies_on_what_is_no_longer_so(there: dict[str, Any], pods: list[Any], said: str) -> None:
    writer = FakeWriter(there, pods)
    with pytest.raises(ClusterError, match=said):
        mark(REMOVE, writer)  # type: ignore[arg-type]
    assert writer.done == []


@pytest.mark.parametrize(
    ("there", "said"),
    [
        pytest.param(None, "it is gone already", id="gone"),
        pytest.param(leaving(), "it is being removed already (decision abc)", id="marked before"),
    ],
)
def test_marking_twice_does_nothing_more(there: dict[str, Any] | None, said: str) -> None:
    writer = FakeWriter(there)
    assert (mark(REMOVE, writer), writer.done) == (said, [])  # type: ignore[arg-type]


def test_steps_are_taken_and_refusals_told() -> None:
    writer = FakeWriter()
    steps = (
        Evict(node="old", pod=ObjectRef(kind="Pod", name="held", namespace="default"), uid="1"),
        Evict(node="old", pod=ObjectRef(kind="Pod", name="p", namespace="default"), uid="2"),
        GiveBack(node="gone", claim="claim-1"),
        Stop(node="kept", decision="abc", resource_version="7", why="x"),
    )
    waits = take(steps, writer, writer)  # type: ignore[arg-type]
    assert [(one.object, one.words) for one in waits] == [
        ("Node//old", "default/held: a disruption budget holds it"),
        ("Node//kept", "it is kept after all: x"),
    ]
    assert writer.done[:2] == [("p", "2"), ("gone", "claim-1")]
    assert writer.done[2] == (
        "kept",
        [
            {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "test", "path": "/metadata/annotations/raypipe.io~1removing", "value": "abc"},
            {"op": "remove", "path": "/metadata/annotations/raypipe.io~1removing"},
            {"op": "add", "path": "/spec/unschedulable", "value": False},
        ],
    )
