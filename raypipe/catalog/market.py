"""What a cluster may buy: the catalogue's rows for its provider and region, through its requirements and NodePools.

An offering is instance type x zone x capacity type; with NodePools also x pool (every bought node belongs to one, and
takes its labels and taints), and x sliced or whole where the cluster divides GPUs of that kind. What is left out on the
way is told in notes, a count each.

What a live cluster has shown comes last: an offering that could not be had a moment ago stays in the market, as
unavailable, so that a plan can say so; and a type whose nodes had another size than the catalogue has is of that size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import msgspec

from raypipe.catalog.custom import custom_types
from raypipe.catalog.left_out import LeftOut, listed
from raypipe.catalog.pools import Pool, named_by_pods
from raypipe.catalog.prices import is_burstable, surcharge_usd_nanos, usd_nanos
from raypipe.catalog.reserved import reservations
from raypipe.catalog.spot import spot_admitted
from raypipe.catalog.tables import Catalog, Price
from raypipe.model.nodes import Buyable, InstanceType, Offering
from raypipe.model.plan import Note
from raypipe.model.requirements import CAPACITY_TYPE, DEPRECATED_LABELS, REGION, ZONE
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY, Resources
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What may be bought, in order, and notes on what may not."""

    offerings: tuple[Offering, ...]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ware:
    """A type in a zone at a price: what an offering is before a pool is chosen. most: so many nodes of it, or None."""

    kind: InstanceType
    row: Price
    zone: str
    usd_nanos_per_hour: int
    most: int | None = None


_KEPT: WeakKeyDictionary[Catalog, dict[bytes, Market]] = WeakKeyDictionary()
MOST_KEPT = 4
"""Markets kept a catalogue: each is some 10 MB, and the clusters of a fleet mostly share one."""


def offerings_for(cluster: ClusterSnapshot, catalog: Catalog) -> Market:
    """Everything that may be bought for the cluster; SettingsError where `reserved` or `custom_shapes` is wrong.

    It takes a tenth of a second and is asked for several times a plan, so what was made for the same question is kept.
    """
    return _as_shown(_listed(cluster, catalog), cluster)


def _listed(cluster: ClusterSnapshot, catalog: Catalog) -> Market:
    """The market as the catalogue has it; clusters that differ in what they have seen alone share one."""
    named = named_by_pods(cluster)
    if cluster.settings.custom_shapes:  # made to the measure of the pods
        return _made(cluster, named, catalog)
    asked = _asked(cluster)
    key = msgspec.json.encode((asked, sorted(named)), order="sorted")
    kept = _KEPT.setdefault(catalog, {})
    market = kept.get(key)
    if market is None:
        market = _made(asked, named, catalog)
        while len(kept) >= MOST_KEPT:
            kept.pop(next(iter(kept)), None)
        kept[key] = market
    return market


def _as_shown(market: Market, cluster: ClusterSnapshot) -> Market:
    """The market with what the cluster has seen: offerings that could not be had, and types of another size."""
    if cluster.buyable is not None:
        market = _from_groups(market, cluster.buyable)
    if not cluster.unavailable and not cluster.learned:
        return market
    sold_out = {(one.instance_type, one.zone, one.capacity_type) for one in cluster.unavailable}
    offerings = tuple(_shown(one, cluster.learned.get(one.instance_type), sold_out) for one in market.offerings)
    return replace(market, offerings=offerings)


def _from_groups(market: Market, groups: Iterable[Buyable]) -> Market:
    """What groups of nodes leave of the market: their kinds alone, each as often as its groups may grow together."""
    room: dict[tuple[str, str, str], int] = {}
    for group in groups:
        room[group.kind] = room.get(group.kind, 0) + group.count
    offerings = tuple(replace(one, max_count=room[_kind(one)]) for one in market.offerings if _kind(one) in room)
    offered = {_kind(one) for one in offerings}
    notes = [_not_offered(group) for group in groups if group.kind not in offered]
    return Market(offerings=offerings, notes=(*market.notes, *notes))


def _kind(one: Offering) -> tuple[str, str, str]:
    return one.instance_type, one.zone, one.capacity_type


def _not_offered(group: Buyable) -> Note:
    message = f"{group.group}: {' '.join(group.kind)} has no price here or is kept out, so the group is not grown"
    return Note(kind="group-not-offered", subject=group.group, message=message)


def _shown(one: Offering, learned: Resources | None, sold_out: Set[tuple[str, str, str]]) -> Offering:
    if (one.instance_type, one.zone, one.capacity_type) in sold_out:
        one = replace(one, unavailable=True)
    return one if learned is None else replace(one, allocatable=as_learned(one.allocatable, learned))


def as_learned(allocatable: Resources, learned: Resources) -> Resources:
    """What pods may request of a type, as its nodes really had it; GPUs and the like are the catalogue's to know.

    >>> as_learned({"cpu": 3920, "memory": 1000, "nvidia.com/gpu": 1}, {"memory": 980, "pods": 58})
    {'cpu': 3920, 'memory': 980, 'nvidia.com/gpu': 1}
    """
    return {name: amount if "/" in name else learned.get(name, amount) for name, amount in allocatable.items()}


def _asked(cluster: ClusterSnapshot) -> ClusterSnapshot:
    """The cluster with nothing but what a market depends on."""
    return ClusterSnapshot(
        name="",
        provider=cluster.provider,
        region=cluster.region,
        zones=cluster.zones,
        capacity_types=cluster.capacity_types,
        requirements=cluster.requirements,
        gpu_slices=cluster.gpu_slices,
        settings=cluster.settings,
        node_pools=cluster.node_pools,
    )


def _made(cluster: ClusterSnapshot, named: frozenset[str], catalog: Catalog) -> Market:
    """The market; `named`: categories, families and types that pods name."""
    left_out = LeftOut()
    pools = [Pool.of(pool, cluster, catalog.own_labels, left_out) for pool in cluster.node_pools or (None,)]
    offerings: list[Offering] = []
    for ware in _wares(cluster, catalog, pools, left_out):
        common = _labels(ware, cluster.region)
        for pool in pools:
            offerings += _through(pool, ware, common, named, left_out)
    _note_gaps(cluster, catalog, left_out, nothing=not offerings)
    return Market(offerings=tuple(sorted(offerings, key=lambda one: one.order)), notes=tuple(left_out.notes()))


def _wares(cluster: ClusterSnapshot, catalog: Catalog, pools: list[Pool], left_out: LeftOut) -> Iterator[_Ware]:
    """Everything that has a price and is of a type that some pool may have, by name of type."""
    by_type: dict[str, list[Price]] = {}
    for price in catalog.prices.get((cluster.provider, cluster.region), ()):
        by_type.setdefault(price.instance_type, []).append(price)
    reserved: dict[str, list[_Ware]] = {}
    for ware in _reserved(cluster, catalog, left_out):
        reserved.setdefault(ware.kind.name, []).append(ware)
    for name in sorted({*by_type, *reserved}):
        kind = catalog.type_of(cluster.provider, name, cluster.settings.reserve)
        if kind is None or not _is_usable(kind, left_out) or not any(pool.may_be_of(kind) for pool in pools):
            continue
        listed = by_type.get(name, ())
        admitted = spot_admitted(listed, cluster.settings, left_out)
        yield from _priced(kind, _in_zones(admitted, listed, cluster), cluster.settings, left_out)
        yield from reserved.get(name, ())
    for kind, price in custom_types(cluster, left_out):
        yield from _priced(kind, [(price, zone) for zone in cluster.zones], cluster.settings, left_out)


def _is_usable(kind: InstanceType, left_out: LeftOut) -> bool:
    """Whether the type can be planned with; a part of a GPU is passed over, the rest of its node is not."""
    if kind.gpu_name and not kind.gpu_count:
        left_out.name("fractional-gpu", "fractional-gpu: types with a part of a GPU are used without it", kind.name)
    if not kind.memory_bytes:
        left_out.name("unknown-memory", "unknown-memory: types whose memory is given as 0 are left out", kind.name)
    return kind.memory_bytes > 0


def _in_zones(
    admitted: Iterable[Price], listed: Iterable[Price], cluster: ClusterSnapshot
) -> Iterator[tuple[Price, str]]:
    """One of the admitted rows a declared zone; a row with a zone wins there, be it admitted or left out."""
    prices = [price for price in admitted if price.capacity_type in cluster.capacity_types]
    zoned = {(price.capacity_type, price.zone) for price in (*listed, *prices) if price.zone}
    for price in prices:
        for zone in cluster.zones:
            if price.zone == zone or (not price.zone and (price.capacity_type, zone) not in zoned):
                yield price, zone


def _priced(
    kind: InstanceType, rows: Iterable[tuple[Price, str]], settings: Settings, left_out: LeftOut
) -> Iterator[_Ware]:
    """The rows at the price that sums and limits use."""
    for row, zone in rows:
        price = usd_nanos(row.usd_nanos_per_hour, kind, settings)
        if price is None:
            _note_burstable(kind, settings, left_out)
        else:
            yield _Ware(kind=kind, row=row, zone=zone, usd_nanos_per_hour=price)


def _note_burstable(kind: InstanceType, settings: Settings, left_out: LeftOut) -> None:
    if settings.burstable == "exclude":
        left_out.name("burstable", "burstable: types are left out by the setting", kind.name)
    elif surcharge_usd_nanos(kind) is None and is_burstable(kind):
        message = "burstable: types whose price under steady load is not known are left out unless burstable is list"
        left_out.name("burstable", message, kind.name)


def _reserved(cluster: ClusterSnapshot, catalog: Catalog, left_out: LeftOut) -> Iterator[_Ware]:
    """Reserved capacity, at its own price."""
    for one in reservations(cluster.settings, cluster.zones):
        kind = catalog.type_of(cluster.provider, one.instance_type, cluster.settings.reserve)
        if kind is None:
            message = f"{one.instance_type}: not in the catalogue, so its reserved nodes are left out"
            left_out.count("unknown-instance-type", message)
            continue
        row = Price(one.instance_type, "reserved", one.zone, one.usd_nanos_per_hour, None)
        yield _Ware(kind=kind, row=row, zone=one.zone, usd_nanos_per_hour=one.usd_nanos_per_hour, most=one.count)


def _note_gaps(cluster: ClusterSnapshot, catalog: Catalog, left_out: LeftOut, *, nothing: bool) -> None:
    """Say where the region has no price at all, or none for spot; `nothing`: nor is anything else offered."""
    prices = catalog.prices.get((cluster.provider, cluster.region))
    place = f"{cluster.provider} {cluster.region}"
    if not prices:
        regions = {region for provider, region in catalog.prices if provider == cluster.provider}
        has = listed(regions or {provider for provider, _ in catalog.prices} or {"none at all"})
        message = f"{place}: the catalogue has no prices there (it has {has})"
        left_out.count("no-offerings", message + ("; nothing can be bought" if nothing else ""))
        return
    has_spot = any(price.capacity_type == "spot" for price in prices)
    if "spot" in cluster.capacity_types and not has_spot and cluster.settings.spot_price_ratio_estimate is None:
        message = f"{place}: the catalogue has no spot prices there, so spot is not considered"
        left_out.count("no-spot-prices", message + " (setting spot_price_ratio_estimate estimates them)")


def _labels(ware: _Ware, region: str) -> dict[str, str]:
    """What every node of it carries, whatever its pool."""
    place = {REGION: region, ZONE: ware.zone, CAPACITY_TYPE: ware.row.capacity_type}
    place |= {old: place[new] for old, new in DEPRECATED_LABELS.items() if new in place}
    if ware.row.capacity_type == "spot" and ware.kind.provider == "gcp":
        place["cloud.google.com/gke-spot"] = "true"
    if ware.row.capacity_type == "spot" and ware.kind.provider == "azure":
        place["kubernetes.azure.com/scalesetpriority"] = "spot"
    return {**ware.kind.labels, **place}


def _through(
    pool: Pool, ware: _Ware, common: Mapping[str, str], named: frozenset[str], left_out: LeftOut
) -> Iterator[Offering]:
    """The ware as the pool offers it: once a variant of its labels, whole and sliced."""
    kind = ware.kind
    for labels in pool.labels(common):
        is_opened = pool.opens(kind)
        if not is_opened:
            left_out.exclude(kind.category, kind.name)
            if not named & {kind.category, kind.family, kind.name}:
                continue
        for slices in pool.slicings(kind):
            yield _offering(pool, ware, labels, is_opened, slices)


def _offering(pool: Pool, ware: _Ware, labels: Mapping[str, str], is_opened: bool, slices: int) -> Offering:
    kind, node_pool = ware.kind, pool.pool
    allocatable = dict(kind.allocatable)
    if slices:
        allocatable[GPU_SHARED] = allocatable.pop(GPU) * slices
    capacity = {CPU: kind.vcpu_millicores, MEMORY: kind.memory_bytes}
    capacity |= {name: amount for name, amount in kind.allocatable.items() if "/" in name}
    return Offering(
        provider=kind.provider,
        region=pool.cluster.region,
        zone=ware.zone,
        instance_type=kind.name,
        family=kind.family,
        category=kind.category,
        arch=kind.arch,
        capacity_type=ware.row.capacity_type,
        labels=labels,
        capacity=capacity,
        allocatable=allocatable if slices else kind.allocatable,
        list_usd_nanos_per_hour=ware.row.usd_nanos_per_hour,
        usd_nanos_per_hour=ware.usd_nanos_per_hour,
        taints=node_pool.taints if node_pool is not None else (),
        pool=node_pool.name if node_pool is not None else None,
        pool_weight=node_pool.weight if node_pool is not None else 0,
        gpu_name=kind.gpu_name,
        gpu_count=kind.gpu_count,
        gpu_memory_bytes=kind.gpu_memory_bytes,
        gpu_slices=slices,
        interruption_bucket=ware.row.interruption_bucket,
        arch_replaced=pool.arch_replaced,
        opened=is_opened,
        max_count=ware.most,
    )
