"""What a plan asks to be done: each action names its object, what it sets, what it relied on, and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class ActionKind(StrEnum):
    """The actions that exist so far."""

    BUY_NODE = "BuyNode"
    SUSPEND_RAY_JOB = "SuspendRayJob"
    RESUME_RAY_JOB = "ResumeRayJob"
    SUSPEND_RAY_CLUSTER = "SuspendRayCluster"
    RESUME_RAY_CLUSTER = "ResumeRayCluster"
    SCALE_WORKER_GROUP = "ScaleWorkerGroup"
    BOUND_WORKER_GROUP = "BoundWorkerGroup"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """The object an action is about."""

    kind: str
    name: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing to do. `set` is a merge patch (null removes); `precondition` holds what must still be true.

    patch: where a merge patch would replace a whole list, the JSON patch (RFC 6902) that is written instead; in `set`
    and `precondition` items of such a list are then known by their name.
    """

    id: str
    kind: ActionKind
    object: ObjectRef
    set: Mapping[str, Any] = field(default_factory=dict)
    precondition: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    patch: tuple[Mapping[str, Any], ...] = ()


def action_id(decision_id: str, kind: ActionKind, target: ObjectRef) -> str:
    """A name for the action that is the same whenever the same decision is made: 12 hex digits."""
    text = "/".join((decision_id, kind, target.kind, target.namespace or "", target.name))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
