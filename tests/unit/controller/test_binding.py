"""What is to be done next with a node that was bought, from the objects as they are seen."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raypipe.controller.binding import Pod, Step, binding_steps
from raypipe.manifests.objects import Objects
from raypipe.manifests.origins import Observed
from raypipe.manifests.pending import objects_in
from raypipe.settings import Settings

type Object = dict[str, Any]

READY = datetime(2026, 11, 25, 12, tzinfo=UTC)
SOON, LATE = READY + timedelta(seconds=5), READY + timedelta(seconds=300)
STARTING = {"key": "raypipe.io/starting", "effect": "NoSchedule"}
UNREGISTERED = {"key": "karpenter.sh/unregistered", "effect": "NoExecute"}
CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
WEB = "Deployment/d/web"
CLOSED: Object = {"raypipe.io/cordoned": "0123456789ab"}


def node(
    meant: object = None,
    annotations: Object | None = None,
    taints: tuple[Object, ...] = (CORDON,),
    ready: bool = True,
    closed: bool = True,
    allocatable: Object | None = None,
    **metadata: Any,
) -> Object:
    """A node of ours: ready since noon and closed by us, unless told otherwise."""
    stated = {"raypipe.io/decision": "0123456789ab", "raypipe.io/pods": json.dumps(meant or {}), **(annotations or {})}
    status = "True" if ready else "False"
    condition = {"type": "Ready", "status": status, "lastTransitionTime": READY.isoformat()}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": "n",
            "uid": "node",
            "labels": {"raypipe.io/cluster": "c"},
            "annotations": stated,
            **metadata,
        },
        "spec": {"taints": list(taints), **({"unschedulable": True} if closed else {})},
        "status": {
            "conditions": [condition],
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10", **(allocatable or {})},
        },
    }


def filled(meant: object, **more: Any) -> Object:
    return node(meant, CLOSED, **more)


def pod(uid: str, cpu: str = "1", node: str | None = None, requests: Object | None = None, **spec: Any) -> Object:
    """A pod of the Deployment web."""
    container = {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi", **(requests or {})}}}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "web", "controller": True}
    placed = {"nodeName": node} if node else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"web-{uid}", "namespace": "d", "uid": uid, "ownerReferences": [owner]},
        "spec": {"containers": [container], **placed, **spec},
        "status": {"phase": "Pending"},
    }


def web(replicas: int) -> Object:
    template = {"spec": {"containers": pod("x")["spec"]["containers"]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "d", "uid": "web"},
        "spec": {"replicas": replicas, "template": template},
    }


def daemon_set(cpu: str) -> Object:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "d", "uid": "agent"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def seen(*objects: Object) -> Objects:
    return objects_in(Observed(context="c", objects=objects))


def steps(*objects: Object, now: datetime = SOON, **settings: Any) -> list[Step]:
    return list(binding_steps(seen(*objects), Settings(**settings), now))


def called(*uids: str) -> tuple[Pod, ...]:
    return tuple(Pod(namespace="d", name=f"web-{uid}", uid=uid) for uid in uids)


OPENED = (
    {"op": "test", "path": "/metadata/uid", "value": "node"},
    {"op": "test", "path": "/spec/unschedulable", "value": True},
    {"op": "test", "path": "/metadata/annotations/raypipe.io~1cordoned", "value": "0123456789ab"},
)


def test_a_registered_node_is_closed_and_its_startup_taint_goes_in_one_patch() -> None:
    (step,) = steps(node({WEB: 1}, taints=(STARTING,), closed=False, ready=False))
    assert step.patch == (
        {"op": "test", "path": "/metadata/uid", "value": "node"},
        {"op": "test", "path": "/spec/unschedulable", "value": None},
        {"op": "test", "path": "/metadata/annotations/raypipe.io~1cordoned", "value": None},
        {"op": "test", "path": "/spec/taints/0", "value": STARTING},
        {"op": "add", "path": "/spec/unschedulable", "value": True},
        {"op": "add", "path": "/metadata/annotations/raypipe.io~1cordoned", "value": "0123456789ab"},
        {"op": "remove", "path": "/spec/taints/0"},
    )


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        pytest.param(node(taints=(STARTING, UNREGISTERED), closed=False), ["it is not registered yet"], id="launched"),
        pytest.param(node(taints=(UNREGISTERED,), closed=False), ["it is not registered yet"], id="launched just now"),
        pytest.param(node(taints=(STARTING,)), ["somebody else has cordoned it"], id="cordoned by a person"),
        pytest.param(node(taints=(), closed=False), [], id="open"),
        pytest.param(filled({WEB: {"uids": ["a"]}}, ready=False), ["it is not Ready yet"], id="not ready"),
        pytest.param(filled({}, deletionTimestamp="2026-11-25T12:00:00Z"), [], id="being deleted"),
        pytest.param(node({}, {**CLOSED, "raypipe.io/removing": "x"}), [], id="being removed"),
    ],
)
def test_a_node_that_is_not_ready_for_its_pods_is_left(machine: Object, expected: list[str]) -> None:
    found = steps(machine, pod("a"))
    assert [step.words for step in found] == expected
    assert [(step.binds, step.patch) for step in found] == [((), ())] * len(expected)


def test_pods_are_bound_in_plan_order_as_far_as_the_node_holds_them_and_it_is_opened() -> None:
    """It came up with less than the plan had: the last pod is planned again."""
    meant = {WEB: {"uids": ["b", "a", "d", "c"]}}
    machine = filled(meant, allocatable={"cpu": "3900m"})
    (step,) = steps(machine, web(4), *(pod(uid) for uid in "abcd"))
    assert (step.binds, step.nominated, step.words) == (called("b", "a", "d"), (), "")
    assert step.patch[:3] == OPENED
    assert {"op": "add", "path": "/metadata/annotations/raypipe.io~1pods", "value": "{}"} in step.patch


@pytest.mark.parametrize(
    ("others", "bound"),
    [
        pytest.param([daemon_set("500m")], "abc", id="the pod of a DaemonSet is still to come"),
        pytest.param([pod("x", cpu="2", node="n")], "ab", id="a pod is there"),
        pytest.param([], "abcd", id="nobody else is there"),
    ],
)
def test_room_that_others_take_is_not_given_away(others: list[Object], bound: str) -> None:
    (step,) = steps(filled({WEB: {"uids": list("abcd")}}), *(pod(uid) for uid in "abcd"), *others)
    assert step.binds == called(*bound)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([], id="gone"),
        pytest.param([pod("a", node="other")], id="bound elsewhere"),
        pytest.param([{**pod("a"), "metadata": {**pod("a")["metadata"], "deletionTimestamp": "x"}}], id="leaving"),
    ],
)
def test_a_node_whose_pods_need_it_no_longer_is_opened(changed: list[Object]) -> None:
    (step,) = steps(filled({WEB: {"uids": ["a"]}}), *changed)
    assert (step.binds, step.words, step.patch[:3]) == ((), "", OPENED)


GPU = {"nvidia.com/gpu": "1"}


@pytest.mark.parametrize(
    ("now", "binds", "nominated", "opens", "words"),
    [
        pytest.param(SOON, "b", "", False, "it does not show yet what 1 pods ask for", id="it is waited for"),
        pytest.param(
            LATE, "b", "a", True, "opened after 300 s: it does not show yet what 1 pods ask for", id="not for ever"
        ),
    ],
)
def test_a_pod_whose_gpu_is_not_shown_yet_waits_and_keeps_its_room(
    now: datetime, binds: str, nominated: str, opens: bool, words: str
) -> None:
    pods = [pod("a", cpu="3", requests=GPU), pod("b"), pod("c")]
    (step,) = steps(filled({WEB: {"uids": ["a", "b", "c"]}}), *pods, now=now)
    assert (step.binds, step.nominated, bool(step.patch)) == (called(*binds), called(*nominated), opens)
    assert step.words == words


def test_a_pod_that_selects_a_label_which_comes_late_is_not_bound_before() -> None:
    (step,) = steps(filled({WEB: {"uids": ["a"]}}), pod("a", nodeSelector={"nvidia.com/gpu.product": "Tesla-T4"}))
    assert (step.binds, step.patch) == ((), ())


@pytest.mark.parametrize(
    ("spec", "bound"),
    [
        pytest.param({"schedulerName": "kai-scheduler"}, False, id="another scheduler's"),
        pytest.param({"resourceClaims": [{"name": "gpu"}]}, False, id="resource claims"),
        pytest.param(
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}, False, id="an unbound volume"
        ),
        pytest.param({"volumes": [{"name": "v", "emptyDir": {}}]}, True, id="a volume of the node"),
    ],
)
def test_what_the_scheduler_must_decide_is_left_to_it(spec: Object, bound: bool) -> None:
    (step,) = steps(filled({WEB: {"uids": ["a"]}}), pod("a", **spec))
    expected = (called("a"), ()) if bound else ((), called("a"))
    assert (step.binds, step.nominated, step.patch[:3]) == (*expected, OPENED)


@pytest.mark.parametrize(
    ("wanted", "live", "binds", "words"),
    [
        pytest.param(2, [pod("a")], "a", "1 pods are not created yet", id="one of two has come"),
        pytest.param(2, [pod("a"), pod("b")], "ab", "", id="both have"),
        pytest.param(2, [pod("a", node="n"), pod("b")], "b", "", id="one is bound already"),
        pytest.param(3, [pod("a"), pod("b"), pod("c")], "ab", "", id="no more than were planned"),
        pytest.param(2, [pod("a"), pod("b", node="other")], "a", "", id="the scheduler has put one elsewhere"),
        pytest.param(1, [pod("a")], "a", "", id="their owner wants fewer by now"),
    ],
)
def test_pods_that_had_no_uid_yet_are_bound_as_they_appear(
    wanted: int, live: list[Object], binds: str, words: str
) -> None:
    (step,) = steps(filled({WEB: 2}), web(wanted), *live)
    assert (step.binds, step.words, bool(step.patch)) == (called(*binds), words, not words)


def test_a_node_waits_for_nobody_whose_owner_is_gone() -> None:
    (step,) = steps(filled({WEB: 2}))
    assert (step.binds, step.words, step.patch[:3]) == ((), "", OPENED)


def test_of_two_nodes_that_wait_for_one_pod_to_be_created_the_first_does() -> None:
    first, second = steps(filled({WEB: 1}), filled({WEB: 1}, name="other", uid="other"), web(1))
    assert (first.words, second.words, bool(second.patch)) == ("1 pods are not created yet", "", True)


def test_with_the_scheduler_binding_nodes_are_opened_at_once() -> None:
    (starting,) = steps(node(taints=(STARTING,), closed=False), bind="scheduler")
    assert [one["path"] for one in starting.patch] == ["/metadata/uid", "/spec/taints/0", "/spec/taints/0"]
    (closed,) = steps(filled({WEB: {"uids": ["a"]}}), pod("a"), bind="scheduler")
    assert (closed.binds, closed.patch[:3]) == ((), OPENED)


def test_a_node_that_a_person_has_uncordoned_is_his() -> None:
    (step,) = steps(node({WEB: {"uids": ["a"]}}, CLOSED, taints=(), closed=False), pod("a"))
    assert step.binds == ()
    assert [one["path"] for one in step.patch if one["op"] != "test"] == [
        "/metadata/annotations/raypipe.io~1cordoned",
        "/metadata/annotations/raypipe.io~1pods",
    ]


def test_room_that_a_pod_of_another_node_would_take_is_kept_from_it_until_that_one_is_bound() -> None:
    other = filled({WEB: {"uids": ["b"]}}, name="other", uid="other", ready=False)
    step, coming = steps(filled({WEB: {"uids": ["a"]}}), other, pod("a"), pod("b"))
    assert (step.binds, step.patch, step.words) == (called("a"), (), "its room is kept from 1 pods of other nodes")
    assert coming.words == "it is not Ready yet"
    (step, _) = steps(filled({WEB: {"uids": ["a"]}}), other, pod("a", node="n"), pod("b", cpu="3500m"))
    assert (step.words, step.patch[:3]) == ("", OPENED)
    (step, _) = steps(filled({WEB: {"uids": ["a"]}}), other, pod("a", node="n"), pod("b"), now=LATE)
    assert step.patch[:3] == OPENED
