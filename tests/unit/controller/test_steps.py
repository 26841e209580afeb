"""Pods bound and evicted between decisions are told as results."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.adapters.kubernetes.server import RefusedError
from raypipe.controller.steps import StepWriter
from raypipe.errors import ClusterError
from raypipe.model.actions import ObjectRef

A, B = (ObjectRef(kind="Pod", namespace="shop", name=name) for name in ("a", "b"))


class ApiServer:
    """Takes every write but those of pods that it refuses, by name of the pod."""

    def __init__(self, refused: dict[str, int]) -> None:
        self._refused = refused

    def send(self, method: str, path: str, body: object = None, **more: Any) -> None:
        del body, more
        status = self._refused.get(path.split("/")[-2])
        if status is not None:
            raise RefusedError(f"{method}: no", status)


def told(writer: StepWriter) -> list[tuple[str, str, str, str, str]]:
    return [
        (one.action.kind, one.action.object.key, one.outcome, one.action.reason, one.words) for one in writer.taken()
    ]


def test_pods_bound_are_told_a_node_and_once() -> None:
    writer = StepWriter(ApiServer({}))  # type: ignore[arg-type]
    for pod, node in ((A, "n-2"), (B, "n-2"), (A, "n-1")):
        writer.bind(pod, "u", node)

    assert told(writer) == [
        ("BindPods", "Node//n-1", "done", "1 pod that it was bought for", ""),
        ("BindPods", "Node//n-2", "done", "2 pods that it was bought for", ""),
    ]
    assert told(writer) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(None, [("EvictPod", "Pod/shop/a", "done", "its node is given back", "")], id="it goes"),
        pytest.param(404, [], id="it was gone"),
        pytest.param(429, [], id="a disruption budget holds it, which is waited for"),
        pytest.param(
            403, [("EvictPod", "Pod/shop/a", "failed", "its node is given back", "POST: no")], id="a right is missing"
        ),
    ],
)
def test_an_eviction_is_told_unless_nothing_has_happened(status: int | None, expected: list[object]) -> None:
    writer = StepWriter(ApiServer({} if status is None else {"a": status}))  # type: ignore[arg-type]
    try:
        writer.evict(A, "u")
    except ClusterError:
        assert status in (403, 429)

    assert told(writer) == expected


def test_a_pod_that_was_not_bound_is_not_told() -> None:
    writer = StepWriter(ApiServer({"a": 409}))  # type: ignore[arg-type]
    with pytest.raises(ClusterError):
        writer.bind(A, "u", "n-1")

    assert told(writer) == []
