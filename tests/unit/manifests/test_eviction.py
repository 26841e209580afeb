"""Which pods hold their node, and why; and pods of a node that is being removed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raypipe.settings import Settings
from tests.unit.manifests.builders import read

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "rs", "controller": True}
SPEC: dict[str, Any] = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}


def pod(name: str = "p", node: str | None = "n", spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    where = {"nodeName": node} if node is not None else {}
    meta = {"name": name, "labels": {"app": "web"}, "ownerReferences": [OWNER]} | metadata
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": SPEC | where | (spec or {})}


def node(name: str = "n", **annotations: str) -> dict[str, Any]:
    room = {"cpu": "8", "memory": "32Gi", "pods": "50"}
    meta = {"name": name, "uid": f"uid-{name}", "labels": {"raypipe.io/cluster": "c"}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": {"capacity": room, "allocatable": room}}


def replica_set(replicas: int) -> dict[str, Any]:
    spec = {"replicas": replicas, "template": {"metadata": {"labels": {"app": "web"}}, "spec": SPEC}}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-1", "uid": "rs"}, "spec": spec}


def budget(**fields: Any) -> dict[str, Any]:
    stated = {"selector": {"matchLabels": {"app": "web"}}} | fields.pop("spec", {})
    kind = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}}
    return kind | {"spec": stated} | fields


CACHE = {"volumes": [{"name": "cache", "emptyDir": {}}]}


@pytest.mark.parametrize(
    ("objects", "settings", "held"),
    [
        pytest.param([pod()], None, "", id="a pod like any other"),
        pytest.param([pod(ownerReferences=[])], None, "no controller makes it again", id="a bare pod"),
        pytest.param(
            [pod(annotations={"karpenter.sh/do-not-disrupt": "true"})],
            None,
            "karpenter.sh/do-not-disrupt",
            id="Karpenter's",
        ),
        pytest.param(
            [pod(annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"})],
            None,
            "cluster-autoscaler.kubernetes.io/safe-to-evict: false",
            id="Cluster Autoscaler's",
        ),
        pytest.param(
            [pod(annotations={"pod.elotl.co/do-not-evict": "true"})], None, "pod.elotl.co/do-not-evict", id="Luna's"
        ),
        pytest.param([pod(spec=CACHE)], None, "keeps data on the node", id="an emptyDir on disk"),
        pytest.param([pod(spec=CACHE)], Settings(move_local_storage=True), "", id="an emptyDir that may be lost"),
        pytest.param(
            [pod(spec={"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}]})], None, "", id="memory"
        ),
        pytest.param(
            [pod(spec={"volumes": [{"name": "h", "hostPath": {"path": "/var"}}]})],
            None,
            "keeps data on the node",
            id="host",
        ),
        pytest.param(
            [
                pod(
                    spec=CACHE,
                    ownerReferences=[],
                    annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
                )
            ],
            None,
            "",
            id="safe to evict, says its owner",
        ),
        pytest.param(
            [pod(labels={"app": "web", "ray.io/node-type": "head"})], None, "the head of a Ray cluster", id="a Ray head"
        ),
        pytest.param(
            [pod(), budget(status={"disruptionsAllowed": 0})],
            None,
            "PodDisruptionBudget web allows no disruption",
            id="a budget that is used up",
        ),
        pytest.param([pod(), budget(status={"disruptionsAllowed": 1})], None, "", id="a budget that is not"),
        pytest.param(
            [pod(), budget(spec={"maxUnavailable": 0})],
            None,
            "PodDisruptionBudget web allows no disruption",
            id="a budget of none, without a status",
        ),
        pytest.param(
            [pod(), budget(spec={"selector": {"matchLabels": {"app": "db"}}, "maxUnavailable": 0})],
            None,
            "",
            id="another's budget",
        ),
        pytest.param(
            [pod(annotations={"raypipe.io/ignore": "true"})],
            None,
            "ignored: raypipe plans no place for it",
            id="ignored",
        ),
    ],
)
def test_what_holds_a_node(objects: list[dict[str, Any]], settings: Settings | None, held: str) -> None:
    cluster = read(node(), *objects, settings=settings)
    assert [one.held for one in cluster.bound] == [held]


def test_a_node_that_is_being_filled_is_room_and_no_candidate() -> None:
    """Not ready yet, it is on its way; ready, it is closed to others by raypipe alone."""
    ready = [{"type": "Ready", "status": "True"}]
    young, up = node("young", **{"raypipe.io/cordoned": "abc"}), node("up", **{"raypipe.io/cordoned": "abc"})
    young["status"] |= {"conditions": [{"type": "Ready", "status": "False"}]}
    up["status"] |= {"conditions": ready}
    dead = node("dead")
    dead["status"] |= {"conditions": [{"type": "Ready", "status": "False"}]}
    states = {one.name: (one.open, one.coming, one.filling) for one in read(young, up, dead).nodes}
    assert states == {"young": (True, True, True), "up": (True, False, True), "dead": (False, False, False)}


def test_a_node_that_is_being_removed() -> None:
    """It is closed, and its pods that another node was bought for stand there: nothing is bought for them again."""
    old = node("old", **{"raypipe.io/removing": "abc"})
    new = node("new", **{"raypipe.io/pods": json.dumps({"ReplicaSet/default/web-1": 2})})
    pods = [pod(f"p{number}", "old") for number in range(3)]
    cluster = read(old, new, replica_set(3), *pods)
    states = {one.name: (one.open, one.why_closed, one.leaving, one.uid) for one in cluster.nodes}
    assert states == {"old": (False, "being removed", True, "uid-old"), "new": (True, "", False, "uid-new")}
    assert [(one.node, one.count) for one in cluster.bound] == [("new", 2), ("old", 1)]
    assert cluster.demand == ()
