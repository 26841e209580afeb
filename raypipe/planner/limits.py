"""What limits leave for the plan: rows named after their owner, over all nodes, kept and bought.

A limit counts cpu and memory by node capacity, ``nvidia.com/gpu`` by physical GPUs, ``nodes`` by one and ``usdPerHour``
by price. Where kept nodes are above it already, nothing that counts against it is bought, and nothing is removed for
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.model.nodes import Offering
from raypipe.model.plan import Note
from raypipe.model.requirements import NODEPOOL
from raypipe.model.resources import CPU, NODES, USD_PER_HOUR
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.arrays import Ints
from raypipe.planner.rooms import Room
from raypipe.quantities import NANOS_PER_USD, format_quantity, usd

RESERVED = "reserved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One row: `pool` is the NodePool whose nodes alone it counts, or None for all.

    `reserved` is the (instance type, zone) of reserved capacity, whose nodes alone it counts, whatever their pool.
    Of a limit `of_fleet`, `amount` is what existing nodes of all clusters and clusters planned before leave.
    """

    name: str
    resource: str
    amount: int
    pool: str | None = None
    reserved: tuple[str, str] | None = None
    of_fleet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Limits:
    """The limits of a cluster: `rows`, and what kept nodes leave of each, (Q,)."""

    rows: tuple[Limit, ...]
    left: Ints
    notes: tuple[Note, ...] = ()

    def weights(self, offerings: Sequence[Offering], numbers: Sequence[int]) -> Ints:
        """What one node of each of these offerings counts, (Q, len(numbers))."""
        chosen = [offerings[j] for j in numbers]
        rows = [[_counted(row, one, one.pool, one.usd_nanos_per_hour) for one in chosen] for row in self.rows]
        return np.array(rows, dtype=np.int64).reshape(len(self.rows), len(chosen))

    def node_weights(self, nodes: Sequence[Room], numbers: Sequence[int], *, counted: bool) -> Ints:
        """What these existing nodes count, (Q, len(numbers)): nothing where they are kept anyway."""
        rows = [[_node_counts(row, nodes[n]) if counted else 0 for n in numbers] for row in self.rows]
        return np.array(rows, dtype=np.int64).reshape(len(self.rows), len(numbers))

    def mark(self, offering: Offering) -> tuple[int, ...]:
        """What tells offerings apart under these limits."""
        return tuple(_counted(row, offering, offering.pool, offering.usd_nanos_per_hour) for row in self.rows)


def _counted(row: Limit, offering: Offering, pool: str | None, price: int) -> int:
    if row.pool is not None and row.pool != pool:
        return 0
    if row.reserved is not None and not _is_reserved(row, offering):
        return 0
    if row.resource == NODES:
        return 1
    return price if row.resource == USD_PER_HOUR else offering.capacity.get(row.resource, 0)


def _is_reserved(row: Limit, offering: Offering) -> bool:
    return offering.capacity_type == RESERVED and (offering.instance_type, offering.zone) == row.reserved


def _node_counts(row: Limit, room: Room) -> int:
    node = room.existing.node
    if row.reserved is not None and not _is_reserved(row, room.existing.offering):
        return 0
    if row.pool is not None and row.pool != node.labels.get(NODEPOOL):
        return 0
    if row.resource == NODES:
        return 1
    if row.resource == USD_PER_HOUR:
        return room.existing.usd_nanos_per_hour or 0
    return room.existing.offering.capacity.get(row.resource, 0)


def _reserved_rows(offerings: Sequence[Offering]) -> list[Limit]:
    """One row for each reservation: its nodes may be of several pools, and sliced or whole."""
    counts = {
        (one.instance_type, one.zone): one.max_count
        for one in offerings
        if one.capacity_type == RESERVED and one.max_count is not None
    }
    return [
        Limit(name=f"reserved/{kind}/{zone}", resource=NODES, amount=count, reserved=(kind, zone))
        for (kind, zone), count in counts.items()
    ]


def limits_of(
    cluster: ClusterSnapshot,
    kept: Sequence[Room],
    offerings: Sequence[Offering] = (),
    fleet_left: Mapping[str, int] | None = None,
) -> Limits:
    """Limits of cluster, NodePools, reservations, and what is left of the fleet's, less what `kept` nodes count."""
    rows = [
        Limit(name=f"fleet/{name}", resource=name, amount=amount, of_fleet=True)
        for name, amount in (fleet_left or {}).items()
    ]
    rows += [
        Limit(name=f"cluster/{cluster.name}/{name}", resource=name, amount=amount)
        for name, amount in cluster.limits.items()
    ]
    rows += [
        Limit(name=f"nodepool/{pool.name}/{name}", resource=name, amount=amount, pool=pool.name)
        for pool in cluster.node_pools
        for name, amount in pool.limits.items()
    ]
    rows += _reserved_rows(offerings)
    rows.sort(key=lambda row: row.name)
    used = [0 if row.of_fleet else sum(_node_counts(row, room) for room in kept) for row in rows]
    notes = tuple(exceeded(row, count) for row, count in zip(rows, used, strict=True) if count > row.amount)
    left = np.array([max(0, row.amount - count) for row, count in zip(rows, used, strict=True)], dtype=np.int64)
    return Limits(rows=tuple(rows), left=left, notes=notes)


def exceeded(row: Limit, count: int) -> Note:
    """Existing nodes are above the limit already."""
    return Note(
        kind="limit-exceeded",
        subject=row.name,
        message=f"existing nodes count {shown(row, count)} of {shown(row, row.amount)}: nothing that counts "
        "against it is bought, and nothing is removed for it",
    )


def shown(row: Limit, amount: int) -> str:
    """An amount as people write it."""
    if row.resource == USD_PER_HOUR:
        return f"${usd(amount):g}/h"
    return format_quantity(amount, row.resource)


def unit(row: Limit) -> int:
    """Smallest units in the unit in which the price of a limit is told: a core, a dollar an hour, a byte, a thing."""
    return {CPU: 1000, USD_PER_HOUR: NANOS_PER_USD}.get(row.resource, 1)
