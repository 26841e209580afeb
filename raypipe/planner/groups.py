"""What the division of a demand among worker groups comes to in the plan: replicas, and prices a unit of work.

The price of a group is that of a unit of work done by its pods alone, on the kind of node where that is least when it
is full of them: $/h of the node / pods on it x pods a replica / speed. It tells groups apart; the division itself
follows from the packing, in which pods share nodes, use free room and keep limits. What is written for it: `writes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.model.alternatives import WORK_UNIT, Alternatives, WorkerGroup
from raypipe.model.plan import DividedGroup, DividedSet
from raypipe.packing.problem import UNLIMITED
from raypipe.planner.decide import Decision
from raypipe.quantities import NANOS_PER_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """What a unit of work costs, in nano-dollars an hour, and the kind of node that it is cheapest on."""

    usd_nanos_per_hour: float
    kind: str


def divided_sets(decision: Decision) -> tuple[DividedSet, ...]:
    """Every set as the plan divides it, in order of key."""
    return tuple(_told(decision, one) for one in decision.cluster.alternatives)


def replicas_of(decision: Decision, one: Alternatives) -> tuple[int, ...]:
    """The replicas of a set's groups after the plan."""
    return tuple(decision.division.get(one.key, one.standing))


def _told(decision: Decision, one: Alternatives) -> DividedSet:
    prices = [unit_price(decision, one, group) for group in one.groups]
    replicas = replicas_of(decision, one)
    groups = [
        DividedGroup(
            group=group.name,
            pods=group.pods,
            speed=group.speed_millionths / WORK_UNIT,
            requested=group.wish,
            replicas=n,
            usd_per_hour_per_unit=round(price.usd_nanos_per_hour / NANOS_PER_USD, 9) if price is not None else None,
            instance_type=price.kind if price is not None else None,
            reason=_reason(one, replicas, prices, number) if one.key in decision.division else NOT_DIVIDED,
        )
        for number, (group, n, price) in enumerate(zip(one.groups, replicas, prices, strict=True))
    ]
    return DividedSet(set=one.key, work=one.work_millionths / WORK_UNIT, groups=tuple(groups))


NOT_DIVIDED = (
    "left as it stands: its gang cannot be placed, no division does the work within its bounds, or clusters share what "
    "is scarce"
)


def unit_price(decision: Decision, one: Alternatives, group: WorkerGroup) -> UnitPrice | None:
    """The price of a group; None where its pods fit on nothing that can be bought."""
    w = next(
        (w for w, wanted in enumerate(decision.wanted) if (wanted.key, wanted.gang) == (group.pods, one.owner)), None
    )
    if w is None or decision.number[w] < 0:
        return None
    problem, kinds = decision.kinds.problem, decision.kinds
    k = int(decision.shapes.of[decision.number[w]])
    able = np.flatnonzero(problem.fits[k] & (kinds.offering >= 0) & (problem.most >= UNLIMITED))
    if not len(able):
        return None
    need = problem.requests[k]
    used = need > 0
    held = (problem.capacity[np.ix_(able, np.flatnonzero(used))] // need[used]).min(axis=1)
    held = np.minimum(held, max(1, group.to_place(_useful(one, group))))
    each = problem.price[able] / held * group.hosts * WORK_UNIT / group.speed_millionths
    best = int(np.lexsort((problem.rank[able], np.round(each)))[0])
    offering = decision.supply.offerings[int(kinds.offering[able[best]])]
    return UnitPrice(usd_nanos_per_hour=float(each[best]), kind=f"{offering.instance_type} {offering.capacity_type}")


def _useful(one: Alternatives, group: WorkerGroup) -> int:
    """Replicas with which the group would do all the work alone, or as many as it may have."""
    return min(group.most, max(group.least, -(-one.work_millionths // group.speed_millionths)))


def _reason(one: Alternatives, replicas: Sequence[int], prices: Sequence[UnitPrice | None], number: int) -> str:
    """Why the group has so many replicas: its price beside that of the cheapest, and what else decides."""
    group, n, price = one.groups[number], replicas[number], prices[number]
    if price is None:
        return f"its pods fit on nothing that can be bought{_kept(group, n)}"
    known = [(one.usd_nanos_per_hour, i) for i, one in enumerate(prices) if one is not None]
    least, cheapest = min(known)
    told = f"${price.usd_nanos_per_hour / NANOS_PER_USD:.4g}/h a unit of work on {price.kind}"
    if price.usd_nanos_per_hour <= least * (1 + 1e-9):
        told += ", the least of the set"
        return told + (_kept(group, n) or ("" if n else "; the plan as a whole costs less without"))
    told += f", {price.usd_nanos_per_hour / max(least, 1.0) - 1:.1%} more than {one.groups[cheapest].name}"
    if n <= group.least:
        return told + _kept(group, n)
    full = all(replicas[i] >= one.groups[i].most for known_price, i in known if known_price < price.usd_nanos_per_hour)
    return told + (
        "; cheaper groups have all the replicas they may" if full else "; the plan as a whole costs less with it"
    )


def _kept(group: WorkerGroup, replicas: int) -> str:
    """What the group has whatever it costs."""
    if not replicas or replicas > group.least:
        return ""
    return f"; {group.kept} run already" if group.kept >= group.low else f"; minReplicas is {group.low}"
