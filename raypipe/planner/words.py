"""The decision in the words of the plan: costs, bound, gap, alternatives, notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from raypipe.model.plan import (
    Admission,
    Bought,
    Bound,
    ClusterPlan,
    Considered,
    Consolidation,
    Cost,
    Note,
    Objective,
    Scope,
    Status,
    Work,
)
from raypipe.planner.actions import actions
from raypipe.planner.consolidation import consolidation
from raypipe.planner.decide import Decision
from raypipe.planner.groups import divided_sets
from raypipe.planner.limits import unit
from raypipe.planner.nodes import Placement, planned_nodes
from raypipe.planner.preferred import preferred
from raypipe.planner.refusals import refusals
from raypipe.planner.standby import idle_nodes, spare, with_standby
from raypipe.quantities import NANOS_PER_USD, usd

OPTIMAL_GAP = 1e-6
MOST_DEARER = 100.0
"""Kinds that would cost more than this many times what they are worth are no alternative."""


def gap_fraction(after: int, lower_bound: int) -> float | None:
    """after / lower_bound - 1, rounded; 0 where both are 0, None where only the bound is.

    >>> gap_fraction(0, 0), gap_fraction(5, 0), gap_fraction(1_010_000_000, 1_000_000_000)
    (0.0, None, 0.01)
    """
    if lower_bound == 0:
        return 0.0 if after == 0 else None
    return round(after / lower_bound - 1, 9)


def status_of(gap: float | None, target: float) -> Status:
    """How close to the bound a plan is."""
    if gap is not None and gap <= OPTIMAL_GAP:
        return Status.OPTIMAL
    return Status.WITHIN_GAP if gap is not None and gap <= target else Status.BUDGET_SPENT


def told(decision: Decision, stop: Callable[[], bool]) -> ClusterPlan:
    """Put the decision into words."""
    cluster, solved, pending = decision.cluster, decision.solved, decision.scope is Scope.PENDING
    chosen = preferred(decision, stop)
    spared = spare(decision, chosen.placement)
    placement = with_standby(decision, chosen.placement, spared.missing)
    nodes = planned_nodes(decision, placement, without=spared.idle, wished="preferences" in chosen.terms)
    unplaced = refusals(decision)
    removed = (*idle_nodes(decision, spared.idle), *decision.given_back)
    to_do, ray_notes = actions(decision, nodes, placement, unplaced, removed)
    rooms = [room for number, room in enumerate(decision.supply.nodes) if number not in spared.idle]
    there = sum(room.existing.usd_nanos_per_hour or 0 for room in rooms)
    before = there + sum(one.usd_nanos or 0 for one in removed)
    kept = there if pending else 0
    waiting = sum(decision.supply.offerings[j].usd_nanos_per_hour for j in spared.missing)
    bought, beside = chosen.bought_usd_nanos + waiting, sum(chosen.terms.values())
    bound, by_prices = min(solved.bound_usd_nanos + waiting, bought), solved.by_prices_usd_nanos
    lowest = kept + bound if decision.floor_usd_nanos is None else min(kept + bound, decision.floor_usd_nanos + waiting)
    gap = gap_fraction(kept + bought, lowest)
    unpriced = sum(room.existing.usd_nanos_per_hour is None for room in rooms)
    effort = decision.effort
    return ClusterPlan(
        name=cluster.name,
        context=cluster.context,
        nodes_backend=cluster.nodes_backend,
        decision_id=decision.decision_id,
        status=status_of(gap, cluster.settings.gap_target_fraction),
        admission=Admission.EXACT if decision.exact else Admission.HEURISTIC,
        unpriced_nodes=unpriced,
        usd_per_hour=Cost(before=usd(before), after=usd(kept + bought), lower_bound=usd(lowest)),
        gap_fraction=gap,
        objective=Objective(
            value=usd(kept + bought + beside),
            lower_bound=usd(lowest + max(0, chosen.bound_usd_nanos + waiting - bound)),
            terms={"price": usd(kept + bought)} | {name: usd(amount) for name, amount in chosen.terms.items()},
        ),
        missed=chosen.missed,
        bought=Bought(usd_per_hour=usd(bought), lower_bound=usd(bound), gap_fraction=gap_fraction(bought, bound)),
        consolidation=consolidation(decision, kept + bought, stop) if pending else Consolidation(),
        bound=Bound(
            kind=solved.bound_kind,
            left_out=_left_out(decision),
            pods=sum(decision.admitted),
            prices=_limit_prices(decision),
            by_prices_usd_per_hour=None if by_prices is None else usd(min(bound, by_prices)),
        ),
        marginal_usd_per_hour=_marginals(decision),
        nodes=nodes,
        unplaced=unplaced,
        excluded=cluster.excluded,
        actions=to_do,
        considered=_considered(decision, placement),
        alternatives=divided_sets(decision),
        relaxed=decision.relaxed,
        work=Work(
            lp_iterations=effort.lp_iterations,
            columns=effort.columns,
            search_nodes=effort.search_nodes,
            solver_calls=effort.solver_calls,
            stopped=solved.stopped,
        ),
        notes=_notes(decision, (*ray_notes, *decision.notes, *spared.notes)),
    )


def _left_out(decision: Decision) -> tuple[str, ...]:
    """Families of constraints that the bound does not know."""
    families = {family for one in decision.wanted for family in one.spec.unchecked}
    if decision.solved.bound_kind != "pattern-milp":
        families.update(decision.roles.families(one.spec for one in decision.wanted))
    return tuple(sorted(families))


def _limit_prices(decision: Decision) -> dict[str, float]:
    """What one more unit of each binding limit would save, $/h a core, a byte, a GPU, a node or a dollar."""
    size = decision.kinds.problem.limit_size
    return {
        row.name: _told_price(float(sigma / size[q]) * unit(row))
        for q, (row, sigma) in enumerate(zip(decision.limits.rows, decision.solved.limits, strict=True))
        if sigma > 0
    }


def _marginals(decision: Decision) -> dict[str, float]:
    """What one more pod of each key costs, by the duals of the bound."""
    prices: dict[str, float] = {}
    for w, one in enumerate(decision.wanted):
        if decision.number[w] >= 0 and one.count:
            prices[one.key] = _told_price(float(decision.solved.pods[decision.shapes.of[decision.number[w]]]))
    return dict(sorted(prices.items()))


def _told_price(usd_per_hour: float) -> float:
    """A dual price with the digits that a recount of the bound needs: nano-dollars are too coarse.

    A node holds hundreds of pods, so that half a nano-dollar on each makes it worth more than it costs, and the price
    of a byte of memory is far below a nano-dollar.

    >>> _told_price(0.1 / 3), _told_price(5e-12 / 3)
    (0.0333333333333, 1.66666666667e-12)
    """
    return float(f"{usd_per_hour:.12g}")


def _considered(decision: Decision, placement: Placement) -> tuple[Considered, ...]:
    """Every kind bought, then the best not bought with what they would cost more."""
    offerings = decision.supply.offerings
    bought: dict[tuple[str, str], int] = {}
    for node in placement.bought:
        one = offerings[node.offering]
        bought.setdefault((one.instance_type, one.capacity_type), one.usd_nanos_per_hour)
    chosen = [
        Considered(instance_type=kind, capacity_type=capacity, usd_per_hour=usd(price), chosen=True)
        for (kind, capacity), price in sorted(bought.items())
    ]
    return (*chosen, *_alternatives(decision, set(bought)))


def _alternatives(decision: Decision, bought: set[tuple[str, str]]) -> list[Considered]:
    """The kinds whose price is nearest to what they are worth at the prices of the bound."""
    problem, solved, offerings = decision.kinds.problem, decision.solved, decision.supply.offerings
    if not bought:  # beside nothing there is no alternative
        return []
    paid = problem.price / NANOS_PER_USD + solved.limits @ problem.scaled_weights
    with np.errstate(divide="ignore", invalid="ignore"):
        dearer = np.where((solved.worth > 0) & (decision.kinds.offering >= 0), paid / solved.worth - 1, np.inf)
    dearer = np.nan_to_num(dearer, nan=np.inf, posinf=np.inf)
    dearer[dearer > MOST_DEARER] = np.inf  # worth next to nothing to these pods
    result: list[Considered] = []
    seen = set(bought)
    for j in np.lexsort((problem.rank, np.round(dearer, 9))):
        if len(result) >= decision.cluster.settings.max_alternatives or not np.isfinite(dearer[j]):
            break
        one = offerings[int(decision.kinds.offering[j])]
        if (one.instance_type, one.capacity_type) in seen:
            continue
        seen.add((one.instance_type, one.capacity_type))
        more = max(0.0, float(dearer[j]))
        result.append(
            Considered(
                instance_type=one.instance_type,
                capacity_type=one.capacity_type,
                usd_per_hour=usd(one.usd_nanos_per_hour),
                chosen=False,
                why_not=f"would cost {more:.1%} more" if more >= 0.0005 else "costs the same for a part of a node",
            )
        )
    return result


def _notes(decision: Decision, more: tuple[Note, ...]) -> tuple[Note, ...]:
    relaxed = [
        Note(kind="relaxed", subject=one.pods, count=one.count, message=f"{one.pods}: {one.message}")
        for one in decision.relaxed
    ]
    notes = [*relaxed, *decision.cluster.notes, *decision.supply.notes, *decision.limits.notes, *more]
    unchecked: Counter[str] = Counter()
    for one in decision.wanted:
        unchecked.update(dict.fromkeys(one.spec.unchecked, one.count))
    notes += [
        Note(
            kind="unchecked-constraint",
            subject=family,
            count=count,
            message=f"{family}: this plan does not keep it yet; {count} pods ask for it",
        )
        for family, count in unchecked.items()
    ]
    if len({pool.weight for pool in decision.cluster.node_pools}) > 1:
        message = "the weight of NodePools breaks ties of price and nothing else"
        notes.append(Note(kind="nodepool-weight", subject=decision.cluster.name, message=message))
    return tuple(sorted(notes, key=lambda note: (note.kind, note.subject, note.message)))
