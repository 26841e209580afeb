"""Gangs and the Ray objects that can be suspended and resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RayObject:
    """A RayJob or RayCluster that raypipe may suspend or resume.

    Attributes:
        suspended: ``spec.suspend`` as read. suspended_by: annotation ``raypipe.io/suspended-by``, or None.
        admit: annotation ``raypipe.io/admit`` is "true".
        suspendable: whether raypipe may suspend it at all; why_not says why it may not.
        running: some pod of it is bound.
        suspend_stated: ``spec.suspend`` is there, so that a patch can test it. annotated: it has annotations.
    """

    kind: str
    namespace: str
    name: str
    uid: str | None = None
    suspended: bool = False
    suspended_by: str | None = None
    admit: bool = False
    suspendable: bool = False
    why_not: str = ""
    running: bool = False
    suspend_stated: bool = False
    annotated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gang:
    """Pods that are placed together or not at all at first admission.

    Attributes:
        name: ``Kind/namespace/name`` of the object that makes the gang.
        minimum: pods of each key that one copy of the gang needs.
        copies: how many such gangs are still to be admitted (a LeaderWorkerSet has one a replica). 0: growth only.
        priority: the highest of its templates'. created: creationTimestamp of the topmost owner.
        ray: the Ray object behind it, or None.
    """

    name: str
    minimum: Mapping[str, int] = field(default_factory=dict)
    copies: int = 1
    priority: int = 0
    created: str | None = None
    ray: RayObject | None = None
