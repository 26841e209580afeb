"""What moving pods would save in full: said, not done.

The same problem once more, with existing nodes at their own price and all their counted pods free to move. A node stays
as it is where it has no known price, takes no demand, or holds a protected pod. An existing node and an offering of the
same price are not the same: the one that exists is kept, because moving has no gain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

import numpy as np

from raypipe.catalog import Filters
from raypipe.model.plan import Consolidation
from raypipe.model.resources import minus
from raypipe.packing.solve import solve
from raypipe.packing.solver import Effort
from raypipe.planner.constraints import Roles
from raypipe.planner.decide import Decision
from raypipe.planner.demand import Masks, Wanted, movable, resource_names, shapes_of
from raypipe.planner.limits import Limits, left_name, limits_of, weight
from raypipe.planner.question import Sharing
from raypipe.planner.rooms import Room
from raypipe.planner.supply import kinds_of
from raypipe.quantities import usd

WORTH_MOVING_USD_NANOS = 10_000
"""A node that exists is cheaper than a like one by this much an hour, so that nothing moves for nothing."""


def consolidation(decision: Decision, after_usd_nanos: int, stop: Callable[[], bool]) -> Consolidation:
    """What deletions and replacements would save beside this plan, and in how many actions."""
    supply = decision.supply
    emptied = {
        number: price for number, room in enumerate(supply.nodes) if (price := _price_if_movable(room)) is not None
    }
    if not emptied or stop():
        return Consolidation()
    placed = [
        dataclasses.replace(one, count=decision.admitted[w], gang=None)
        for w, one in enumerate(decision.wanted)
        if decision.admitted[w] > 0
    ]
    names = [supply.nodes[number].name for number in emptied]
    wanted: tuple[Wanted, ...] = (*placed, *movable(decision.cluster, names))
    whole = [minus(room.existing.node.allocatable, room.reserved) for room in supply.nodes]
    filters = Filters(
        [room.existing.offering for room in supply.nodes],
        decision.cluster,
        rooms=whole,
        existing=True,
        priced=[room.existing.usd_nanos_per_hour is not None for room in supply.nodes],
    )
    usable = np.array([True] * len(supply.offerings) + [n in emptied for n in range(len(supply.nodes))], dtype=bool)
    moved = set(names)
    fixed = [one for one in decision.cluster.bound if not (one.counted and one.node in moved)]
    daemonsets = decision.cluster.daemonsets
    roles = Roles((one.spec for one in wanted), fixed, supply.offerings, supply.nodes, daemonsets=daemonsets)
    masks = Masks((supply.filters, filters), usable, roles)
    if not all(masks.of(one.spec)[1].any() for one in wanted):
        return Consolidation()
    resources = resource_names(wanted)
    shapes = shapes_of(wanted, masks, resources)
    limits = _limits(decision, emptied)
    favoured = {number: max(0, price - WORTH_MOVING_USD_NANOS) for number, price in emptied.items()}
    sharing = Sharing(decision.cluster)
    rules = roles.rules(shapes.specs)
    kinds = kinds_of(supply, shapes, limits, resources, rules, node_prices=favoured, told_apart=sharing.occupancy)
    problem = sharing.problem(kinds, shapes, supply)
    settings = dataclasses.replace(decision.cluster.settings, neighbourhoods=0, bound_search=0)
    packing = solve(problem, settings, Effort(), stop).packing
    if packing is None:
        return Consolidation()
    stuck = sum(room.existing.usd_nanos_per_hour or 0 for n, room in enumerate(supply.nodes) if n not in emptied)
    used, exists = packing.used(problem), kinds.offering < 0
    kept, bought = int(used[exists].sum()), int(used[~exists].sum())
    prices = [
        emptied[members[0]] if members else int(price)
        for members, price in zip(kinds.members, problem.price, strict=True)
    ]
    saved = after_usd_nanos - stuck - int(used @ np.array(prices, dtype=np.int64))
    if saved <= 0:
        return Consolidation()
    return Consolidation(usd_per_hour_saved=usd(saved), actions=len(emptied) - kept + bought)


def _limits(decision: Decision, emptied: Collection[int]) -> Limits:
    """What limits leave once these nodes are given back; of what clusters share, what this one may use by itself."""
    rooms = decision.supply.nodes
    left = {
        left_name(row): row.amount + sum(weight(row, rooms[number].existing.offering) for number in emptied)
        for row in decision.limits.rows
        if row.of_fleet
    }
    stuck = [room for number, room in enumerate(rooms) if number not in emptied]
    return limits_of(decision.cluster, stuck, decision.supply.offerings, left)


def _price_if_movable(room: Room) -> int | None:
    """The price of a node that may be given back, or None where it stays."""
    if not room.existing.node.open or any(bound.counted and bound.spec.protected for bound in room.bound):
        return None
    return room.existing.usd_nanos_per_hour
