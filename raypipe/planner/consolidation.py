"""What moving pods would save in full: said, not done.

The same problem once more, with existing nodes at their own price and all their counted pods free to move. A node stays
as it is where it has no known price, takes no demand, or holds a protected pod. An existing node and an offering of the
same price are not the same: the one that exists is kept, because moving has no gain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from raypipe.catalog import Filters
from raypipe.model.plan import Consolidation
from raypipe.model.resources import minus
from raypipe.packing.problem import UNLIMITED
from raypipe.packing.solve import solve
from raypipe.packing.solver import Effort
from raypipe.planner.decide import Decision, as_packed
from raypipe.planner.demand import Masks, Wanted, movable, resource_names, shapes_of
from raypipe.planner.limits import limits_of
from raypipe.planner.supply import Room, kinds_of
from raypipe.quantities import usd


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
    masks = Masks((supply.filters, filters), usable)
    if not all(masks.of(one.spec)[1].any() for one in wanted):
        return Consolidation()
    resources = resource_names(wanted)
    shapes = shapes_of(wanted, masks, resources)
    limits = limits_of(decision.cluster, [room for n, room in enumerate(supply.nodes) if n not in emptied])
    kinds = kinds_of(supply, shapes, limits, resources, node_prices=emptied)
    problem = as_packed(kinds, shapes, supply, decision.cluster)
    settings = dataclasses.replace(decision.cluster.settings, neighbourhoods=0)
    packing = solve(problem, settings, Effort(), stop).packing
    if packing is None:
        return Consolidation()
    stuck = sum(room.existing.usd_nanos_per_hour or 0 for n, room in enumerate(supply.nodes) if n not in emptied)
    saved = after_usd_nanos - stuck - packing.usd_nanos(problem)
    if saved <= 0:
        return Consolidation()
    used = packing.used(problem)
    existing = problem.most < UNLIMITED
    kept = int(used[existing & (kinds.offering < 0)].sum())
    bought = int(used[kinds.offering >= 0].sum())
    return Consolidation(usd_per_hour_saved=usd(saved), actions=len(emptied) - kept + bought)


def _price_if_movable(room: Room) -> int | None:
    """The price of a node that may be given back, or None where it stays."""
    if not room.existing.node.open or any(bound.counted and bound.spec.protected for bound in room.bound):
        return None
    return room.existing.usd_nanos_per_hour
