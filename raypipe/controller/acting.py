"""Carry a cluster's plan out, action by action, each with what it relied on.

    results = carry_out(plan, writer, Karpenter(writer))

Promises, on which whoever calls again and again may rely:

* It may end after any action, by a kill too, and be called again with the same plan: names follow from the decision, so
  what was bought is found by its name and not bought twice, and a patch that was written fails its tests.
* Actions go in the plan's order. One that is refused does not keep the others from being tried.
* There is one `Result` an action, in order. ``done``: it is so, now or since an earlier call (its words then say so).
  ``skipped``: what it relied on no longer holds, and nothing was changed. ``failed``: refused, or nobody answered;
  where the answer got lost it may have been done, and the next call finds out.
* It waits for nothing but answers: nodes come up, pods are bound and nodes emptied by what is seen later (`binding`).

A plan that is stale or has an error asks for nothing.
"""

from __future__ import annotations

from raypipe.adapters.kubernetes.writing import ConflictError, Writer
from raypipe.adapters.nodes import NodeBackend
from raypipe.controller.removing import mark
from raypipe.errors import ClusterError
from raypipe.model.actions import Action, ActionKind, written
from raypipe.model.plan import ClusterPlan
from raypipe.model.results import Outcome, Result


def carry_out(plan: ClusterPlan, writer: Writer, backend: NodeBackend) -> tuple[Result, ...]:
    """Do what the plan asks for; what became of each of its actions, in order."""
    if plan.error is not None or plan.stale:
        return ()
    return tuple(_tried(action, writer, backend) for action in plan.actions)


def _tried(action: Action, writer: Writer, backend: NodeBackend) -> Result:
    try:
        words = _done(action, writer, backend)
    except ConflictError as error:
        return Result(action=action, outcome=Outcome.SKIPPED, words=str(error))
    except ClusterError as error:
        return Result(action=action, outcome=Outcome.FAILED, words=str(error))
    return Result(action=action, outcome=Outcome.DONE, words=words)


def _done(action: Action, writer: Writer, backend: NodeBackend) -> str:
    """Carry one action out; words to add, and ClusterError where it is not done."""
    if action.kind is ActionKind.BUY_NODE:
        return backend.buy(action, written(action))
    if action.kind is ActionKind.REMOVE_NODE:
        return mark(action, writer)
    if action.patch:
        writer.patch(action.object, action.patch)
        return ""
    raise ClusterError(f"{action.kind} is not carried out by this version")
