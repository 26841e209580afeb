"""What limits leave for the plan: rows named after their owner, over all nodes, kept and bought.

A limit counts cpu and memory by node capacity, ``nvidia.com/gpu`` by physical GPUs, ``nodes`` by one and ``usdPerHour``
by price. Where kept nodes are above it already, nothing that counts against it is bought, and nothing is removed for
it. A quota of the cloud account is such a row, too; it counts some kinds of node alone, and what is used elsewhere.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raypipe.errors import nearest
from raypipe.model.nodes import Offering
from raypipe.model.plan import Note
from raypipe.model.requirements import gpu_name
from raypipe.model.resources import CPU, NODES, USD_PER_HOUR
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.arrays import Ints
from raypipe.planner.rooms import Room
from raypipe.quantities import NANOS_PER_USD, format_quantity, usd
from raypipe.settings import Quota, quotas_of

RESERVED = "reserved"
COUNTS_NOTHING = "quota-counts-nothing"
"""Kind of the note on a quota that nothing on offer to a cluster counts against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One row: `pool` is the NodePool whose nodes alone it counts, or None for all.

    `reserved` is the (instance type, zone) of reserved capacity, whose nodes alone it counts, whatever their pool.
    `group` is the kind of node (instance type, zone, capacity type) that node groups may grow by: bought nodes alone
    count. `quota` is the quota that it stands for: it counts what that selects, and `outside` counts already elsewhere.
    Of a row `of_fleet`, which clusters share, `amount` is what existing nodes of all of them leave.
    """

    name: str
    resource: str
    amount: int
    pool: str | None = None
    reserved: tuple[str, str] | None = None
    group: tuple[str, str, str] | None = None
    quota: Quota | None = None
    outside: int = 0
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
        rows = [[weight(row, one) for one in chosen] for row in self.rows]
        return np.array(rows, dtype=np.int64).reshape(len(self.rows), len(chosen))

    def node_weights(self, nodes: Sequence[Room], numbers: Sequence[int], *, counted: Container[int]) -> Ints:
        """What these existing nodes count, (Q, len(numbers)): only those in `counted`, as others are kept anyway."""
        rows = [[weight(row, nodes[n].existing.offering) if n in counted else 0 for n in numbers] for row in self.rows]
        return np.array(rows, dtype=np.int64).reshape(len(self.rows), len(numbers))

    def mark(self, offering: Offering) -> tuple[int, ...]:
        """What tells offerings apart under these limits."""
        return tuple(weight(row, offering) for row in self.rows)


def weight(row: Limit, offering: Offering) -> int:
    """What one node counts against a limit: to be bought, or existing and seen as an offering."""
    if row.pool is not None and row.pool != offering.pool:
        return 0
    if row.reserved is not None and not _is_reserved(row, offering):
        return 0
    if row.group is not None and not _is_grown(row, offering):
        return 0
    if row.quota is not None and not _is_selected(row.quota, offering):
        return 0
    if row.resource == NODES:
        return 1
    return offering.usd_nanos_per_hour if row.resource == USD_PER_HOUR else offering.capacity.get(row.resource, 0)


def _is_reserved(row: Limit, offering: Offering) -> bool:
    return offering.capacity_type == RESERVED and (offering.instance_type, offering.zone) == row.reserved


def _is_grown(row: Limit, offering: Offering) -> bool:
    """Whether it is a node to be bought of the kind; existing ones are in their group's size already."""
    kind = (offering.instance_type, offering.zone, offering.capacity_type)
    return offering.max_count is not None and kind == row.group


def _is_selected(quota: Quota, offering: Offering) -> bool:
    """Whether a node of the cluster counts against the quota; one that exists may be in another region."""
    if not quota.is_for(offering.provider, offering.region):
        return False
    return all(not asked or word in asked for asked, word in _asked(quota, offering))


def _asked(quota: Quota, offering: Offering) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Each list of a quota beside the word of an offering that must be in it, if it is not empty."""
    return (
        (quota.capacity_types, offering.capacity_type),
        (quota.families, offering.family.lower()),
        (quota.categories, offering.category.lower()),
        (quota.gpu_kinds, offering.gpu_name),
    )


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


def _group_rows(cluster: ClusterSnapshot) -> list[Limit]:
    """One row for each kind of node that node groups may grow by."""
    room: dict[tuple[str, str, str], int] = {}
    for group in cluster.buyable or ():
        room[group.kind] = room.get(group.kind, 0) + group.count
    return [
        Limit(name=f"node-group/{'/'.join(kind)}", resource=NODES, amount=count, group=kind)
        for kind, count in room.items()
    ]


def quota_rows(cluster: ClusterSnapshot) -> tuple[Limit, ...]:
    """The quotas that the cluster is under, as if no other shared them; SettingsError where the setting is wrong."""
    return tuple(
        Limit(name=one.limit_name, resource=one.resource, amount=one.amount, quota=_canonical(one), outside=one.used)
        for one in quotas_of(cluster.settings)
        if one.is_for(cluster.provider, cluster.region)
    )


def _canonical(quota: Quota) -> Quota:
    """The quota with GPU kinds as offerings spell them."""
    return replace(quota, gpu_kinds=tuple(sorted({gpu_name(kind) for kind in quota.gpu_kinds})))


def left_name(row: Limit) -> str:
    """What `limits_of` calls a row that clusters share."""
    return row.resource if row.quota is None else row.name


def _shared(row: Limit, left: int | None) -> Limit:
    """The row of a quota of which existing nodes of all clusters leave so much; as it is where none shares it."""
    return row if left is None else replace(row, amount=left, outside=0, of_fleet=True)


def limits_of(
    cluster: ClusterSnapshot,
    kept: Sequence[Room],
    offerings: Sequence[Offering] = (),
    fleet_left: Mapping[str, int] | None = None,
    *,
    anew: bool = False,
) -> Limits:
    """Limits of cluster, NodePools, reservations and quotas, less what `kept` nodes count, and what the fleet leaves.

    `anew`: planned as if no node existed, so that what node groups may grow by says nothing.
    `fleet_left`: what is left of limits of the fleet, by resource, and of quotas that clusters share, by name.
    SettingsError where the setting `quotas` is wrong.
    """
    shared = dict(fleet_left or {})
    quotas = [_shared(row, shared.pop(row.name, None)) for row in quota_rows(cluster)]
    rows = [Limit(name=f"fleet/{name}", resource=name, amount=amount, of_fleet=True) for name, amount in shared.items()]
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
    rows += [] if anew else _group_rows(cluster)
    rows += quotas
    rows.sort(key=lambda row: row.name)
    used = [
        0 if row.of_fleet else row.outside + sum(weight(row, room.existing.offering) for room in kept) for row in rows
    ]
    notes = [exceeded(row, count) for row, count in zip(rows, used, strict=True) if count > row.amount]
    notes += _idle(quotas, offerings, kept)
    left = np.array([max(0, row.amount - count) for row, count in zip(rows, used, strict=True)], dtype=np.int64)
    return Limits(rows=tuple(rows), left=left, notes=tuple(notes))


def exceeded(row: Limit, count: int) -> Note:
    """Existing nodes are above the limit already."""
    return Note(
        kind="limit-exceeded",
        subject=row.name,
        message=f"existing nodes count {shown(row, count)} of {shown(row, row.amount)}: nothing that counts "
        "against it is bought, and nothing is removed for it",
    )


def _idle(rows: Sequence[Limit], offerings: Sequence[Offering], kept: Sequence[Room]) -> Iterator[Note]:
    """A note for each quota that nothing counts against, on offer or kept: somebody's typing error, most likely."""
    nodes = [*offerings, *(room.existing.offering for room in kept)]
    for row in rows:
        if row.quota is not None and not any(weight(row, one) for one in nodes):
            why = _misspelt(row.quota, nodes)
            message = f"{row.name}: nothing that can be bought counts against it{why}, so it keeps nothing out"
            yield Note(kind=COUNTS_NOTHING, subject=row.name, message=message)


def _misspelt(quota: Quota, nodes: Sequence[Offering]) -> str:
    """The names in a quota that no node has, with the nearest that one has."""
    for column in zip(*(_asked(quota, one) for one in nodes), strict=True):
        asked, known = column[0][0], {word for _, word in column if word}
        if asked and known.isdisjoint(asked):
            near = next((found for name in asked if (found := nearest(name, known))), None)
            return f" (no {', '.join(asked)}" + (f"; did you mean {near!r}?)" if near else ")")
    return ""


def shown(row: Limit, amount: int) -> str:
    """An amount as people write it."""
    if row.resource == USD_PER_HOUR:
        return f"${usd(amount):g}/h"
    return format_quantity(amount, row.resource)


def unit(row: Limit) -> int:
    """Smallest units in the unit in which the price of a limit is told: a core, a dollar an hour, a byte, a thing."""
    return {CPU: 1000, USD_PER_HOUR: NANOS_PER_USD}.get(row.resource, 1)
