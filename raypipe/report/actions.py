"""What a plan asks to be done and what became of it, for the person who is about to say yes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from raypipe.model.plan import ClusterPlan
from raypipe.model.results import Outcome, Result
from raypipe.report.amounts import counted


def render_actions(plan: ClusterPlan) -> str:
    """One line on the cluster and its cost, one an action with its reason."""
    cost = f"${plan.usd_per_hour.before:.3f}/h now, ${plan.usd_per_hour.after:.3f}/h after"
    head = f"{plan.name}   context {plan.context} · {counted(len(plan.actions), 'action')} · {cost}\n"
    if plan.error is not None:
        return f"{plan.name}   nothing to do: it could not be planned: {plan.error}\n"
    if plan.stale:
        return f"{plan.name}   nothing to do: the plan is stale\n"
    return head + "".join(f"  {one.kind} {one.object.name}: {one.reason}\n" for one in plan.actions)


def render_results(plan: ClusterPlan, results: Sequence[Result], waiting: Mapping[str, str]) -> str:
    """How many of each outcome; a line for each action that was not done, and for each node that is not in use."""
    counts = Counter(one.outcome for one in results)
    said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome)
    lines = [f"{plan.name}   {said}"]
    lines += [
        f"  {one.outcome} {one.action.kind} {one.action.object.name}: {one.words}"
        for one in results
        if one.outcome is not Outcome.DONE
    ]
    lines += [f"  not in use {name}: {words}" for name, words in waiting.items()]
    return "\n".join(lines) + "\n"
