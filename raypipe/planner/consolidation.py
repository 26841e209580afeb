"""The cheapest cluster for the same pods, were those of some nodes free to move: what consolidation saves at most.

The same problem once more, with existing nodes at their own price and all their counted pods free to move. A node stays
as it is where it has no known price, takes no demand, or holds a pod that may not be moved; its free room can be used.
An existing node and an offering of the same price are not the same: the one that exists is kept, because moving has no
gain. What of this is carried out, where that is asked for, `removals` decides: pods of nodes that are kept stay there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from raypipe.catalog import Filters
from raypipe.model.plan import Consolidation
from raypipe.model.resources import minus
from raypipe.packing.arrays import Ints
from raypipe.packing.solve import solve
from raypipe.packing.solver import Effort
from raypipe.planner.constraints import Roles
from raypipe.planner.decide import Decision
from raypipe.planner.demand import Masks, Wanted, movable, resource_names, shapes_of
from raypipe.planner.limits import Limits, left_name, limits_of, weight
from raypipe.planner.question import Sharing
from raypipe.planner.rooms import Room
from raypipe.planner.standby import is_waiting
from raypipe.planner.supply import Kinds, kinds_of
from raypipe.quantities import usd

WORTH_MOVING_USD_NANOS = 10_000
"""A node that exists is cheaper than a like one by this much an hour, so that nothing moves for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moved:
    """The cluster with the pods of some nodes moved.

    Attributes:
        unused: the nodes of these that nobody needs any more, by number in `Supply.nodes`. bought: how many new ones.
        usd_nanos: what all nodes cost then. floor_usd_nanos: no way to place these pods costs less.
    """

    unused: tuple[int, ...]
    bought: int
    usd_nanos: int
    floor_usd_nanos: int


def consolidation(decision: Decision, after_usd_nanos: int, stop: Callable[[], bool]) -> Consolidation:
    """What deletions and replacements would save beside this plan, whoever made the nodes, and in how many actions."""
    found = moved(decision, prices_of_movable(decision), WORTH_MOVING_USD_NANOS, stop)
    if found is None or found.usd_nanos >= after_usd_nanos:
        return Consolidation()
    saved = after_usd_nanos - found.usd_nanos
    return Consolidation(usd_per_hour_saved=usd(saved), actions=len(found.unused) + found.bought)


def prices_of_movable(decision: Decision) -> dict[int, int]:
    """The price of each node that may be given back, its owner apart; nodes on standby stay."""
    priced = ((number, _price_if_movable(room)) for number, room in enumerate(decision.supply.nodes))
    return {number: price for number, price in priced if price is not None and not is_waiting(decision, number)}


def moved(
    decision: Decision, prices: Mapping[int, int], worth: int | Mapping[int, int], stop: Callable[[], bool]
) -> Moved | None:
    """Pack the admitted pods and those of the nodes in `prices` anew; None where that cannot be done.

    worth: by how much less than its price a node counts that is kept, of each node or of all: what moving is to save.
    """
    supply = decision.supply
    if not prices or stop():
        return None
    placed = [
        dataclasses.replace(one, count=decision.admitted[w], gang=None)
        for w, one in enumerate(decision.wanted)
        if decision.admitted[w] > 0
    ]
    names = [supply.nodes[number].name for number in prices]
    wanted: tuple[Wanted, ...] = (*placed, *movable(decision.cluster, names))
    rooms = [
        minus(room.existing.node.allocatable, room.reserved) if number in prices else room.free
        for number, room in enumerate(supply.nodes)
    ]
    filters = Filters(
        [room.existing.offering for room in supply.nodes],
        decision.cluster,
        rooms=rooms,
        existing=True,
        priced=[room.existing.usd_nanos_per_hour is not None for room in supply.nodes],
    )
    nodes = [room.existing.node.open and not is_waiting(decision, n) for n, room in enumerate(supply.nodes)]
    usable = np.array([True] * len(supply.offerings) + nodes, dtype=bool)
    emptied = set(names)
    fixed = [one for one in decision.cluster.bound if not (one.counted and one.node in emptied)]
    daemonsets = decision.cluster.daemonsets
    roles = Roles((one.spec for one in wanted), fixed, supply.offerings, supply.nodes, daemonsets=daemonsets)
    masks = Masks((supply.filters, filters), usable, roles)
    if not all(masks.of(one.spec)[1].any() for one in wanted):
        return None
    resources = resource_names(wanted)
    shapes = shapes_of(wanted, masks, resources)
    limits = _limits(decision, prices)
    favoured = {
        number: max(0, price - (worth if isinstance(worth, int) else worth[number])) for number, price in prices.items()
    }
    sharing = Sharing(decision.cluster)
    rules = roles.rules(shapes.specs)
    kinds = kinds_of(supply, shapes, limits, resources, rules, node_prices=favoured, told_apart=sharing.occupancy)
    problem = sharing.problem(kinds, shapes, supply)
    settings = dataclasses.replace(decision.cluster.settings, neighbourhoods=0, bound_search=0)
    solved = solve(problem, settings, Effort(), stop)
    if solved.packing is None:
        return None
    stuck = sum(room.existing.usd_nanos_per_hour or 0 for n, room in enumerate(supply.nodes) if n not in prices)
    used = solved.packing.used(problem)
    unused = _unused(decision, kinds, used, prices)
    kept = sum(price for number, price in prices.items() if number not in unused)
    bought = kinds.offering >= 0
    paid = int(used[bought] @ problem.price[bought])
    return Moved(
        unused=unused,
        bought=int(used[bought].sum()),
        usd_nanos=stuck + kept + paid,
        floor_usd_nanos=stuck + min(solved.bound_usd_nanos, solved.packing.usd_nanos(problem)),
    )


def _unused(decision: Decision, kinds: Kinds, used: Ints, prices: Mapping[int, int]) -> tuple[int, ...]:
    """Nodes that a packing leaves empty; of like ones those stay from which most pods would have to move."""
    nodes = decision.supply.nodes
    kept: set[int] = set()
    for members, count in zip(kinds.members, used.tolist(), strict=True):
        movable_ones = [number for number in members if number in prices]
        movable_ones.sort(key=lambda number: (-pods_on(nodes[number]), number))
        kept.update(movable_ones[:count])
    return tuple(number for number in prices if number not in kept)


def pods_on(room: Room) -> int:
    """How many pods have to move where the node goes."""
    return sum(one.count for one in room.bound if one.counted)


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
    node = room.existing.node
    if not node.open or node.coming or node.filling or any(one.stays for one in room.bound):
        return None
    return room.existing.usd_nanos_per_hour
