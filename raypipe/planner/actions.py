"""What the plan asks to be done: nodes to buy, Ray objects to suspend or resume, worker groups to scale (`writes`).

Only gangs none of whose pods runs are ever suspended, and only where a limit keeps them out; a gang that fits and is
suspended is resumed. Where a gang cannot be suspended, a note says why.
"""

from __future__ import annotations

from collections.abc import Sequence

from raypipe.model.actions import REMOVING, Action, ActionKind, ObjectRef, action_id
from raypipe.model.plan import Note, PlannedNode, Scope, Unplaced
from raypipe.model.workloads import RayObject
from raypipe.planner.decide import Decision, Removed
from raypipe.planner.nodes import Placement
from raypipe.planner.patches import Change, Operation, annotation_change, json_patch
from raypipe.planner.purchases import purchases
from raypipe.planner.refusals import gang_is_out
from raypipe.planner.writes import group_actions
from raypipe.quantities import usd

SUSPENDED_BY = "raypipe.io/suspended-by"
_SUSPEND = {"RayJob": ActionKind.SUSPEND_RAY_JOB, "RayCluster": ActionKind.SUSPEND_RAY_CLUSTER}
_RESUME = {"RayJob": ActionKind.RESUME_RAY_JOB, "RayCluster": ActionKind.RESUME_RAY_CLUSTER}


def actions(
    decision: Decision,
    nodes: Sequence[PlannedNode],
    placement: Placement,
    unplaced: Sequence[Unplaced],
    removed: Sequence[Removed] = (),
) -> tuple[tuple[Action, ...], tuple[Note, ...]]:
    """Actions in the order in which they are carried out, and notes on what cannot be.

    Suspend, scale, buy, resume, remove: a node goes when what replaces it is there, those first whose pods are fewest.
    """
    if decision.scope is not Scope.PENDING:
        return (), ()
    suspend, resume, notes = _ray_actions(decision, unplaced)
    buy = purchases(decision, nodes, placement)
    remove = [_remove(decision, one) for one in removed]
    return (*suspend, *group_actions(decision), *buy, *resume, *remove), tuple(notes)


def _remove(decision: Decision, one: Removed) -> Action:
    """Mark a node as being removed; what follows from the mark is `raypipe.controller.removing`'s."""
    target = ObjectRef(kind="Node", name=one.node.name)
    price = "" if one.usd_nanos is None else f" and cost ${usd(one.usd_nanos):g}/h"
    return Action(
        id=action_id(decision.decision_id, ActionKind.REMOVE_NODE, target),
        kind=ActionKind.REMOVE_NODE,
        object=target,
        set={
            "metadata": {"annotations": {REMOVING: decision.decision_id}},
            "spec": {"unschedulable": True},
        },
        precondition={"uid": one.node.uid, "pods": dict(one.pods)},
        reason=f"{one.reason} ({sum(one.pods.values())} pods move{price})",
    )


def _ray_actions(decision: Decision, unplaced: Sequence[Unplaced]) -> tuple[list[Action], list[Action], list[Note]]:
    left_out = {entry.pods: entry for entry in unplaced}
    suspend: list[Action] = []
    resume: list[Action] = []
    notes: list[Note] = []
    for gang in decision.cluster.gangs:
        ray = gang.ray
        if ray is None or gang.copies <= 0:
            continue
        entry = next(
            (left_out[key] for key in sorted(gang.minimum) if key in left_out and gang_is_out(decision, gang)), None
        )
        if entry is None:
            if ray.suspended and ray.kind in _RESUME:
                resume.append(_resume(decision, ray))
        elif entry.reason == "limit" and entry.limit is not None and not ray.suspended and not ray.running:
            if ray.suspendable and ray.kind in _SUSPEND:
                suspend.append(_suspend(decision, ray, entry))
            else:
                why = ray.why_not or f"a {ray.kind} has no suspend"
                subject = f"{ray.kind}/{ray.namespace}/{ray.name}"
                message = f"{entry.limit} keeps {subject} out, and it is not suspended: {why}"
                notes.append(Note(kind="not-suspended", subject=subject, message=message))
    return suspend, resume, notes


def _suspend(decision: Decision, ray: RayObject, entry: Unplaced) -> Action:
    target = ObjectRef(kind=ray.kind, name=ray.name, namespace=ray.namespace)
    return Action(
        id=action_id(decision.decision_id, _SUSPEND[ray.kind], target),
        kind=_SUSPEND[ray.kind],
        object=target,
        set={"spec": {"suspend": True}, "metadata": {"annotations": {SUSPENDED_BY: entry.limit}}},
        precondition={"uid": ray.uid, "spec": {"suspend": False}, "running": False},
        reason=f"{entry.message}; none of its pods runs",
        patch=_patch(ray, entry.limit),
    )


def _resume(decision: Decision, ray: RayObject) -> Action:
    target = ObjectRef(kind=ray.kind, name=ray.name, namespace=ray.namespace)
    change: dict[str, object] = {"spec": {"suspend": False}}
    if ray.suspended_by is not None:
        change["metadata"] = {"annotations": {SUSPENDED_BY: None}}
    return Action(
        id=action_id(decision.decision_id, _RESUME[ray.kind], target),
        kind=_RESUME[ray.kind],
        object=target,
        set=change,
        precondition={"uid": ray.uid, "spec": {"suspend": True}},
        reason="the whole gang has a place in this plan",
        patch=_patch(ray, None),
    )


def _patch(ray: RayObject, limit: str | None) -> tuple[Operation, ...]:
    """Suspend a Ray object because of a limit, or resume it: None."""
    suspend = Change(path="/spec/suspend", old=ray.suspended if ray.suspend_stated else None, new=limit is not None)
    if limit == ray.suspended_by:
        return json_patch(ray.uid, [suspend])
    return json_patch(
        ray.uid, [suspend, annotation_change(SUSPENDED_BY, ray.suspended_by, limit, annotated=ray.annotated)]
    )
