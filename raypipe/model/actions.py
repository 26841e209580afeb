"""What a plan asks to be done: each action names its object, what it sets, what it relied on, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec


class ActionKind(StrEnum):
    """The actions that exist so far."""

    BUY_NODE = "BuyNode"
    BIND_PODS = "BindPods"
    REMOVE_NODE = "RemoveNode"
    SUSPEND_RAY_JOB = "SuspendRayJob"
    RESUME_RAY_JOB = "ResumeRayJob"
    SUSPEND_RAY_CLUSTER = "SuspendRayCluster"
    RESUME_RAY_CLUSTER = "ResumeRayCluster"
    SCALE_WORKER_GROUP = "ScaleWorkerGroup"
    BOUND_WORKER_GROUP = "BoundWorkerGroup"
    EVICT_POD = "EvictPod"


DECISION = "raypipe.io/decision"
"""Annotation of what was bought: the id of the decision."""

REMOVING = "raypipe.io/removing"
"""Annotation of a node that raypipe is emptying in order to give it back: the id of the decision."""

GROUP_ACTIONS = (ActionKind.SCALE_WORKER_GROUP, ActionKind.BOUND_WORKER_GROUP)
"""Actions that write to ``workerGroupSpecs``."""


API_VERSIONS: Mapping[str, str] = {
    "NodeClaim": "karpenter.sh/v1",
    "NodeGroup": "raypipe.io/v1",
    "Node": "v1",
    "Pod": "v1",
    "RayJob": "ray.io/v1",
    "RayCluster": "ray.io/v1",
    "RayService": "ray.io/v1",
}
"""The API that each kind of object belongs to, in the version that is written. A NodeGroup is none of Kubernetes': it
says what a backend of node groups is to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """The object an action is about."""

    kind: str
    name: str
    namespace: str | None = None

    @property
    def key(self) -> str:
        """What snapshots call it."""
        return f"{self.kind}/{self.namespace or ''}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do. `set` is a merge patch (null removes); `precondition` holds what must still be true.

    patch: what is written where others write to the object, too: the JSON patch (RFC 6902) that does the same as `set`
    and tests first what it relies on. Lists, which a merge patch would replace, have their items in `set` and
    `precondition` known by their name.
    """

    id: str
    kind: ActionKind
    object: ObjectRef
    set: Mapping[str, Any] = field(default_factory=dict)
    precondition: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    patch: tuple[Mapping[str, Any], ...] = ()


def at_version(action: Action, version: str | None) -> Action:
    """The action relying on a version of its object, where it writes to a list that others write to.

    The place of an entry in ``workerGroupSpecs`` says nothing about an object that has changed since. Every heartbeat
    changes the version, and no decision depends on it: it is added to what was decided.
    """
    if version is None or action.kind not in GROUP_ACTIONS:
        return action
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    return replace(
        action,
        precondition={**action.precondition, "resourceVersion": version},
        patch=(test, *action.patch),
    )


def action_id(decision_id: str, kind: ActionKind, target: ObjectRef) -> str:
    """A name for the action that is the same whenever the same decision is made: 12 hex digits."""
    text = "/".join((decision_id, kind, target.kind, target.namespace or "", target.name))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def written(action: Action) -> dict[str, Any]:
    """The object that an action makes, or the merge patch with the names of its object: what `set` says, whole."""
    change = msgspec.to_builtins(action.set)
    target = action.object
    metadata = {"name": target.name} | ({"namespace": target.namespace} if target.namespace else {})
    metadata |= change.pop("metadata", {})
    return {"apiVersion": API_VERSIONS[target.kind], "kind": target.kind, "metadata": metadata, **change}
