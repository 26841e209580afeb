"""What a plan says of preferences: what is missed, what that counts, and how sure it is that no plan is worth more."""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.model.plan import ClusterPlan, FleetPlan, Missed, Objective
from raypipe.report.amounts import hourly, percent
from raypipe.report.layout import entries, labelled

MOST_MISSED = 5
OPTIMAL_GAP = 1e-6
_TERMS = {"preferences": "preferences missed", "node_overhead": "nodes to operate"}


def objective(plan: ClusterPlan | FleetPlan, width: int | None) -> list[str]:
    """The objective where it is more than the cost, with its bound; what pods prefer and do not get."""
    told, lines = plan.objective, list[str]()
    beside = {name: usd for name, usd in told.terms.items() if name != "price" and usd}
    if beside:
        terms = " and ".join(f"{hourly(usd)} for {_TERMS.get(name, name)}" for name, usd in beside.items())
        lines += labelled("objective", f"{hourly(told.value)} with {terms}: {_bound(told)}", width)
    elif "preferences" in told.terms:
        lines += labelled("preferences", "all are met", width)
    if isinstance(plan, ClusterPlan):
        dearest = sorted(plan.missed, key=lambda one: -one.usd_per_hour)
        lines += entries("missed", [_missed(one) for one in dearest], MOST_MISSED, width)
    return lines


def is_best(told: Objective) -> bool:
    """Whether no plan has a lower objective."""
    return told.value - told.lower_bound <= OPTIMAL_GAP * told.value


def _bound(told: Objective) -> str:
    if is_best(told):
        return "no plan is lower"
    if not told.lower_bound:
        return "nothing is proven of it"
    return f"no plan is lower by more than {percent(1 - told.lower_bound / told.value)}"


def _missed(one: Missed) -> str:
    return f"{one.missed:,} of {one.placed:,} × {one.pods}: {one.preference} ({hourly(one.usd_per_hour)})"


def missed(found: Iterable[Missed], *, best: bool, width: int | None) -> list[str]:
    """For the pods of one key: what they miss, and why that was worth it."""
    why = "meeting it would raise the objective" if best else "no plan was found that meets it and is worth more"
    texts = [
        f"{one.preference}: {one.missed:,} of {one.placed:,} miss it, which counts {hourly(one.usd_per_hour)}; {why}"
        for one in found
    ]
    return entries("preferred", texts, MOST_MISSED, width)
