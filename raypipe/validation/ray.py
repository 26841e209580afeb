"""Ray objects that are suspended and resumed: only those that may be, all that must be, each by the right patch.

A gang that a limit keeps out and none of whose pods runs is suspended where it can be, so that nothing waits half
started; a gang that is suspended and placed is resumed, since nodes are bought for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raypipe.model.actions import Action, ActionKind
from raypipe.model.plan import ClusterPlan
from raypipe.model.workloads import Gang, RayObject
from raypipe.validation.ground import Ground
from raypipe.validation.patches import tests_of, tried

SUSPENDED_BY = "raypipe.io/suspended-by"
SUSPENDED = {"RayJob": ActionKind.SUSPEND_RAY_JOB, "RayCluster": ActionKind.SUSPEND_RAY_CLUSTER}
RESUMED = {"RayJob": ActionKind.RESUME_RAY_JOB, "RayCluster": ActionKind.RESUME_RAY_CLUSTER}

type Named = tuple[str, str, str]
"""Kind, namespace and name of an object."""


def ray_violations(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Everything wrong with what is suspended and resumed."""
    gangs = {
        (gang.ray.kind, gang.ray.namespace, gang.ray.name): (gang, gang.ray)
        for gang in ground.cluster.gangs
        if gang.ray is not None
    }
    asked: set[tuple[ActionKind, Named]] = set()
    for action in plan.actions:
        if action.kind not in (*SUSPENDED.values(), *RESUMED.values()):
            continue
        name = (action.object.kind, action.object.namespace or "", action.object.name)
        asked.add((action.kind, name))
        if name not in gangs:
            yield f"{action.kind} of {action.object.name}, which is no gang"
            continue
        for text in _action(action, *gangs[name], plan):
            yield f"{action.kind} of {action.object.name}: {text}"
    for name, (gang, ray) in gangs.items():
        wanted = _wanted(gang, ray, plan) if ground.pending else None
        if wanted is not None and (wanted, name) not in asked:
            yield f"{gang.name} is {'suspended and placed' if ray.suspended else 'kept out by a limit'}: no {wanted}"


def _limits(gang: Gang, plan: ClusterPlan) -> set[str | None]:
    """The limits that keep members of a gang out, None for another reason; empty where nobody is out."""
    return {entry.limit for entry in plan.unplaced if entry.pods in gang.minimum}


def _wanted(gang: Gang, ray: RayObject, plan: ClusterPlan) -> ActionKind | None:
    """What has to be done about a gang that is still to be admitted."""
    if gang.copies <= 0 or not gang.minimum:
        return None
    limits = _limits(gang, plan)
    if not limits:
        return RESUMED.get(ray.kind) if ray.suspended else None
    if None in limits or ray.suspended or ray.running or not ray.suspendable or not _is_out(gang, plan):
        return None
    return SUSPENDED.get(ray.kind)


def _is_out(gang: Gang, plan: ClusterPlan) -> bool:
    """Whether a member of the gang itself is left out, and not only one beyond its size."""
    added = {key: sum(node.added.get(key, 0) for node in plan.nodes) for key in gang.minimum}
    return any(added[key] < count * gang.copies for key, count in gang.minimum.items())


def _action(action: Action, gang: Gang, ray: RayObject, plan: ClusterPlan) -> Iterator[str]:
    limits = _limits(gang, plan)
    if action.kind is SUSPENDED.get(ray.kind):
        if ray.running or not ray.suspendable or ray.suspended or not limits:
            yield f"running {ray.running}, suspended {ray.suspended}, left out {bool(limits)}"
        patches: list[Mapping[str, Any]] = [
            {"spec": {"suspend": True}, "metadata": {"annotations": {SUSPENDED_BY: limit}}} for limit in limits if limit
        ]
        relied: Mapping[str, Any] = {"uid": ray.uid, "spec": {"suspend": False}, "running": False}
    else:
        if action.kind is not RESUMED.get(ray.kind) or not ray.suspended or limits:
            yield f"is a {ray.kind}, suspended {ray.suspended}, left out {bool(limits)}"
        mark = {} if ray.suspended_by is None else {"metadata": {"annotations": {SUSPENDED_BY: None}}}
        patches = [{"spec": {"suspend": False}, **mark}]
        relied = {"uid": ray.uid, "spec": {"suspend": True}}
    if dict(action.set) not in patches:
        yield f"sets {dict(action.set)}, not {patches[0] if patches else 'what a limit asks for'}"
    if any(action.precondition.get(key, "nothing") != value for key, value in relied.items()):
        yield f"relies on {dict(action.precondition)}, not on {dict(relied)}"
    yield from _patch(action, ray)


def _patch(action: Action, ray: RayObject) -> Iterator[str]:
    """Whether the JSON patch does what `set` says, after tests of what it relies on."""
    document = _document(ray)
    yield from tried(action.patch, document)
    if ray.uid is not None and tests_of(action.patch).get("/metadata/uid") != ray.uid:
        yield "is written without a test of the uid"
    wanted = _document(ray)
    wanted["spec"]["suspend"] = action.set.get("spec", {}).get("suspend")
    for name, value in action.set.get("metadata", {}).get("annotations", {}).items():
        wanted["metadata"].setdefault("annotations", {})[name] = value
        if value is None:
            del wanted["metadata"]["annotations"][name]
    if document != wanted:
        yield f"its patch makes {document}, not {wanted}"


def _document(ray: RayObject) -> dict[str, Any]:
    """The object as far as it is known."""
    metadata: dict[str, Any] = {"uid": ray.uid}
    if ray.annotated or ray.suspended_by is not None:
        metadata["annotations"] = {} if ray.suspended_by is None else {SUSPENDED_BY: ray.suspended_by}
    return {"metadata": metadata, "spec": {"suspend": ray.suspended} if ray.suspend_stated else {}}
