"""Nodes without pods after a plan: those to keep, those to give back, and those to buy.

*Standby* nodes wait for pods to come, so that these start without a node's boot: of each kind that the cluster asks
for, so many own nodes have no pod after the plan. Pods take their room like any other (it costs nothing more), and what
is taken is bought again, within the limits. Own nodes that have been empty for long enough (EMPTY), that the plan puts
nothing on and that are not on standby are given back.

A standby node is the cheapest offering of its kind, in order of zone and pool among equals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from raypipe.disruption import blockers, is_empty
from raypipe.model.nodes import Fact, Standby
from raypipe.model.plan import Note, Scope
from raypipe.packing.arrays import Ints
from raypipe.planner.decide import Decision, Removed
from raypipe.planner.limits import weight
from raypipe.planner.nodes import BoughtNode, Placement, bought_name
from raypipe.planner.rooms import Room


@dataclass(frozen=True, slots=True, kw_only=True)
class Spare:
    """Nodes without pods: `idle` are given back (by number in `Supply.nodes`), `missing` offerings are bought."""

    idle: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    notes: tuple[Note, ...] = ()

    def usd_nanos(self, decision: Decision) -> int:
        """What these add to the cost of kept and bought nodes."""
        supply = decision.supply
        given_back = sum(supply.nodes[n].existing.usd_nanos_per_hour or 0 for n in self.idle)
        return sum(supply.offerings[j].usd_nanos_per_hour for j in self.missing) - given_back


def spare(decision: Decision, placement: Placement) -> Spare:
    """Look at the nodes on which a placement leaves no pod."""
    if decision.scope is not Scope.PENDING:
        return Spare()
    free = [n for n, room in enumerate(decision.supply.nodes) if _is_free(room, placement.added.get(n, {}))]
    waiting: set[int] = set()
    missing: list[int] = []
    notes: list[Note] = []
    left = _left(decision, placement)
    for one in decision.cluster.standby:
        fitting = [n for n in free if n not in waiting and _is_of(decision.supply.nodes[n], one)][: one.count]
        waiting.update(fitting)
        bought, why = _bought(decision, one, one.count - len(fitting), left)
        missing += bought
        if why:
            notes.append(Note(kind="standby", subject=decision.cluster.name, message=_told(one, why)))
    idle = tuple(n for n in free if n not in waiting and _is_idle(decision, decision.supply.nodes[n]))
    return Spare(idle=idle, missing=tuple(missing), notes=tuple(notes))


def with_standby(decision: Decision, placement: Placement, missing: tuple[int, ...]) -> Placement:
    """The placement with standby nodes bought after the others."""
    first = len(placement.bought) + 1
    more = (
        BoughtNode(name=bought_name(decision, first + number), offering=offering, pods={})
        for number, offering in enumerate(missing)
    )
    return Placement(added=placement.added, bought=(*placement.bought, *more))


def idle_nodes(decision: Decision, idle: tuple[int, ...]) -> tuple[Removed, ...]:
    """Nodes that are given back because nothing is on them."""
    seconds = decision.cluster.settings.empty_after_s
    return tuple(
        Removed(
            node=room.existing.node,
            usd_nanos=room.existing.usd_nanos_per_hour,
            pods={},
            reason=f"it has been empty for {seconds} s, and nothing of this plan goes there",
        )
        for room in (decision.supply.nodes[n] for n in idle)
    )


def is_waiting(decision: Decision, number: int) -> bool:
    """Whether an existing node may be one on standby: it is for pods that come, and not for pods that are moved."""
    room = decision.supply.nodes[number]
    return _is_free(room, {}) and any(_is_of(room, one) for one in decision.cluster.standby)


def _is_free(room: Room, added: Mapping[int, int]) -> bool:
    node = room.existing.node
    return node.own and node.open and is_empty(room.bound) and not added


def _is_of(room: Room, one: Standby) -> bool:
    offering = room.existing.offering
    return (offering.instance_type, offering.capacity_type) == (one.instance_type, one.capacity_type)


def _is_idle(decision: Decision, room: Room) -> bool:
    cluster = decision.cluster
    is_long_empty = Fact.EMPTY in cluster.facts.get(room.name, ())
    return is_long_empty and not blockers(room.existing.node, room.bound, cluster)


def _left(decision: Decision, placement: Placement) -> Ints:
    """What limits leave beside what is bought for pods."""
    rows, offerings = decision.limits.rows, decision.supply.offerings
    counts = Counter(node.offering for node in placement.bought)
    used = [sum(weight(row, offerings[j]) * count for j, count in counts.items()) for row in rows]
    left: Ints = decision.limits.left - np.array(used, dtype=np.int64)
    return left


def _bought(decision: Decision, one: Standby, count: int, left: Ints) -> tuple[list[int], str]:
    """Offerings for as many standby nodes as can be had, and why not for all; takes them off `left`."""
    offerings = decision.supply.offerings
    chosen: list[int] = []
    kinds = sorted(_offered(decision, one), key=lambda j: (offerings[j].usd_nanos_per_hour, offerings[j].order))
    why = "" if kinds else "no such offering can be had now"
    while kinds and len(chosen) < count:
        weights = [np.array([weight(row, offerings[j]) for row in decision.limits.rows], dtype=np.int64) for j in kinds]
        within = [j for j, used in zip(kinds, weights, strict=True) if (used <= left).all()]
        if not within:
            over = (weights[0] > left).argmax()
            return chosen, f"{decision.limits.rows[int(over)].name} leaves no room"
        left -= weights[kinds.index(within[0])]
        chosen.append(within[0])
    return chosen, why if count > len(chosen) else ""


def _offered(decision: Decision, one: Standby) -> Iterator[int]:
    for j, offering in enumerate(decision.supply.offerings):
        kind = (offering.instance_type, offering.capacity_type)
        if kind == (one.instance_type, one.capacity_type) and not offering.unavailable:
            yield j


def _told(one: Standby, why: str) -> str:
    return f"standby {one.count} × {one.instance_type} {one.capacity_type} is not complete: {why}"
