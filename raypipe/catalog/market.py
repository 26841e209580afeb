"""What a cluster may buy: the catalogue's rows for its provider and region, through its requirements and NodePools.

An offering is instance type x zone x capacity type; with NodePools also x pool (every bought node belongs to one, and
takes its labels and taints), and x sliced or whole where the cluster divides GPUs of that kind. What is left out on the
way is told in notes, a count each.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal

from raypipe.catalog.custom import custom_families, smallest_holding
from raypipe.catalog.prices import is_burstable, surcharge_usd_nanos, usd_nanos
from raypipe.catalog.tables import Catalog, Price
from raypipe.errors import SettingsError, nearest
from raypipe.model.nodes import InstanceType, NodePool, Offering
from raypipe.model.plan import Note
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import (
    ARCH,
    CAPACITY_TYPE,
    DEPRECATED_LABELS,
    INSTANCE_TYPE,
    NODEPOOL,
    OS,
    REGION,
    ZONE,
    Operator,
    Requirement,
)
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.quantities import parse_usd_per_hour
from raypipe.settings import Settings

MOST_VARIANTS = 16
"""Most combinations of values of a NodePool's own labels that are looked at."""

NAMING_KEYS = {
    "karpenter.k8s.aws/instance-category": "category",
    "karpenter.k8s.aws/instance-family": "family",
    "cloud.google.com/machine-family": "family",
    INSTANCE_TYPE: "instance_type",
    "beta.kubernetes.io/instance-type": "instance_type",
}
"""Labels by which a requirement names a category, family or type."""

_ARCH_KEYS = frozenset({ARCH, "beta.kubernetes.io/arch"})
_PROVIDER_PREFIXES = (
    "kubernetes.io/",
    "beta.kubernetes.io/",
    "failure-domain.beta.kubernetes.io/",
    "node.kubernetes.io/",
    "topology.kubernetes.io/",
    "karpenter.",
    "cloud.google.com/",
    "kubernetes.azure.com/",
    "topology.k8s.aws/",
    "eks.amazonaws.com/",
    "raypipe.io/",
)
_RESERVED_KEYS = ("instanceType", "zone", "count", "usdPerHour")


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """What may be bought, in order, and notes on what may not."""

    offerings: tuple[Offering, ...]
    notes: tuple[Note, ...]


@dataclass(slots=True)
class _LeftOut:
    """What was left out on the way, for the notes."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    excluded: dict[str, set[str]] = field(default_factory=dict)

    def notes(self) -> Iterator[Note]:
        for category, types in sorted(self.excluded.items()):
            message = f"{category}: {len(types)} types are left out unless a requirement or a pod names them"
            yield Note(kind="excluded-category", subject=category, count=len(types), message=message)
        for (kind, message), count in sorted(self.counts.items()):
            yield Note(kind=kind, subject=message.partition(":")[0], count=count, message=message)


def offerings_for(cluster: ClusterSnapshot, catalog: Catalog) -> Market:
    """Everything that may be bought for the cluster; SettingsError where `reserved` or `custom_shapes` is wrong."""
    left_out = _LeftOut()
    pools = [_Pool.of(pool, cluster, left_out) for pool in cluster.node_pools or (None,)]
    named = _named_by_pods(cluster)
    offerings: list[Offering] = []
    for kind, rows in _rows(cluster, catalog, left_out):
        if not any(pool.may_be_of(kind) for pool in pools):
            continue
        for row, zone, most in rows:
            price = row.usd_nanos_per_hour
            if row.capacity_type != "reserved":
                known = usd_nanos(price, kind, cluster.settings)
                if known is None:
                    _note_burstable(kind, cluster.settings, left_out)
                    continue
                price = known
            for pool in pools:
                offerings += pool.offerings(kind, row, zone, price, most, named, left_out)
    if not catalog.prices.get((cluster.provider, cluster.region)):
        message = f"{cluster.provider} {cluster.region}: the catalogue has no prices there; nothing can be bought"
        left_out.counts["no-offerings", message] += 1
    return Market(offerings=tuple(sorted(offerings, key=lambda one: one.order)), notes=tuple(left_out.notes()))


def _note_burstable(kind: InstanceType, settings: Settings, left_out: _LeftOut) -> None:
    if settings.burstable == "exclude":
        left_out.counts["burstable", "burstable: types are left out by the setting"] += 1
    elif surcharge_usd_nanos(kind) is None and is_burstable(kind):
        message = "burstable: types whose price under steady load is not known are left out unless burstable is list"
        left_out.counts["burstable", message] += 1


type _Rows = list[tuple[Price, str, int | None]]


def _rows(cluster: ClusterSnapshot, catalog: Catalog, left_out: _LeftOut) -> Iterator[tuple[InstanceType, _Rows]]:
    """Each type with its (price, zone, most nodes), spot filters and estimates applied."""
    by_type: dict[str, list[Price]] = {}
    for price in catalog.prices.get((cluster.provider, cluster.region), ()):
        by_type.setdefault(price.instance_type, []).append(price)
    reserved = _reserved(cluster.settings, cluster.zones)
    for name in sorted({*by_type, *reserved}):
        kind = catalog.type_of(cluster.provider, name, cluster.settings.reserve)
        if kind is None:
            left_out.counts[
                "unknown-instance-type", f"{name}: not in the catalogue, so its reserved nodes are left out"
            ] += 1
            continue
        if kind.gpu_name and not kind.gpu_count:
            left_out.counts["fractional-gpu", "fractional-gpu: types with a part of a GPU are used without it"] += 1
        prices = _with_spot(by_type.get(name, []), cluster.settings, left_out)
        yield kind, [*_in_zones(prices, cluster), *reserved.get(name, ())]
    yield from _custom(cluster, left_out)


def _with_spot(prices: list[Price], settings: Settings, left_out: _LeftOut) -> list[Price]:
    """Prices with spot estimated where it is not known, and spot offerings left out by ratio and interruption."""
    listed = {price.zone: price.usd_nanos_per_hour for price in prices if price.capacity_type == "on-demand"}
    ratio, estimate = settings.max_spot_price_ratio, settings.spot_price_ratio_estimate
    if prices and estimate is not None and not any(price.capacity_type == "spot" for price in prices):
        message = f"spot: price estimated as {estimate:g} of on-demand where the catalogue has none"
        left_out.counts["spot-price-estimated", message] += len(prices)
        prices = prices + [
            price._replace(
                capacity_type="spot",
                usd_nanos_per_hour=_share(price.usd_nanos_per_hour, estimate),
                interruption_bucket=None,
            )
            for price in prices
        ]
    result = []
    for price in prices:
        if price.capacity_type == "spot":
            base = listed.get(price.zone, listed.get(""))
            if ratio < 1.0 and base is not None and price.usd_nanos_per_hour > _share(base, ratio):
                left_out.counts["spot-price-ratio", f"spot: dearer than {ratio:g} of on-demand is left out"] += 1
                continue
            if (price.interruption_bucket or 0) > settings.max_spot_interrupt_bucket:
                message = f"spot: interruption bucket above {settings.max_spot_interrupt_bucket} is left out"
                left_out.counts["spot-interruption", message] += 1
                continue
        result.append(price)
    return result


def _share(usd_nanos: int, ratio: float) -> int:
    """A fraction of a price, to the nano-dollar."""
    return int((Decimal(usd_nanos) * Decimal(str(ratio))).to_integral_value(ROUND_HALF_EVEN))


def _in_zones(prices: Iterable[Price], cluster: ClusterSnapshot) -> _Rows:
    """One row a declared zone; a row with a zone wins there."""
    zoned = {(price.capacity_type, price.zone) for price in prices if price.zone}
    rows: _Rows = []
    for price in prices:
        if price.capacity_type not in cluster.capacity_types:
            continue
        if price.zone:
            rows += [(price, price.zone, None)] if price.zone in cluster.zones else []
        else:
            rows += [(price, zone, None) for zone in cluster.zones if (price.capacity_type, zone) not in zoned]
    return rows


def _reserved(settings: Settings, zones: Sequence[str]) -> dict[str, _Rows]:
    """The setting `reserved` by instance type."""
    result: dict[str, _Rows] = {}
    for number, entry in enumerate(settings.reserved):
        where = f"settings.reserved[{number}]"
        for key in entry:
            if key not in _RESERVED_KEYS:
                near = nearest(str(key), _RESERVED_KEYS)
                raise SettingsError(f"{where}.{key}: unknown key" + (f" (did you mean {near!r}?)" if near else ""))
        missing = [key for key in _RESERVED_KEYS if key not in entry]
        if missing:
            raise SettingsError(f"{where}.{missing[0]}: found nothing, expected a value")
        count, name = entry["count"], entry["instanceType"]
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 1_000_000:
            raise SettingsError(f"{where}.count: found {count!r:.80}, expected a whole number from 0 to 1000000")
        try:
            nanos = parse_usd_per_hour(entry["usdPerHour"])
        except ValueError as error:
            raise SettingsError(f"{where}.usdPerHour: found {error}") from None
        if entry["zone"] not in zones:
            raise SettingsError(f"{where}.zone: found {entry['zone']!r:.80}, expected one of {', '.join(zones)}")
        if any(zone == entry["zone"] for _, zone, _ in result.get(str(name), ())):
            raise SettingsError(f"{where}: found {name!r:.80} in {entry['zone']} again, expected each once")
        price = Price(str(name), "reserved", str(entry["zone"]), nanos, None)
        result.setdefault(str(name), []).append((price, price.zone, count))
    return result


def _custom(cluster: ClusterSnapshot, left_out: _LeftOut) -> Iterator[tuple[InstanceType, _Rows]]:
    """Custom shapes for the pods of the demand, one a distinct size."""
    families = custom_families(cluster.settings.custom_shapes)
    if not families or cluster.provider != "gcp" or "on-demand" not in cluster.capacity_types:
        return
    sizes = {(group.spec.requests.get(CPU, 0), group.spec.requests.get(MEMORY, 0)) for group in cluster.demand}
    for family in families:
        seen: set[str] = set()
        for cpu, memory in sorted(sizes):
            kind = smallest_holding(family, {CPU: cpu, MEMORY: memory}, cluster.settings.reserve)
            if kind is None or kind.name in seen:
                continue
            seen.add(kind.name)
            nanos = family.usd_nanos(kind.vcpu_millicores // 1000, kind.memory_bytes // 2**20)
            price = Price(kind.name, "on-demand", "", nanos, None)
            yield kind, [(price, zone, None) for zone in cluster.zones]
        left_out.counts["custom-shape", f"{family.family}: custom shapes sized for single pods are candidates"] += len(
            seen
        )


def _named_by_pods(cluster: ClusterSnapshot) -> frozenset[str]:
    """Categories, families and types that some pod names with In."""
    names: set[str] = set()
    seen: set[int] = set()
    for spec in itertools.chain((one.spec for one in cluster.demand), (one.spec for one in cluster.bound)):
        if id(spec) not in seen:
            seen.add(id(spec))
            names |= names_of(spec)
    return frozenset(names)


def names_of(spec: PodSpec) -> set[str]:
    """Categories, families and types that a pod names: by selector, by In in its affinity, by its inclusions."""
    names = {value for key, value in spec.node_selector.items() if key in NAMING_KEYS}
    for term in spec.node_affinity:
        for part in term:
            if part.key in NAMING_KEYS and part.operator is Operator.IN:
                names.update(part.values)
    return names | set(spec.family_inclusions)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    """One NodePool (or none) of a cluster, its requirements together with the cluster's."""

    cluster: ClusterSnapshot
    pool: NodePool | None
    requirements: tuple[Requirement, ...]
    variants: tuple[Mapping[str, str], ...]
    arch_replaced: bool
    opened: frozenset[str]

    @classmethod
    def of(cls, pool: NodePool | None, cluster: ClusterSnapshot, left_out: _LeftOut) -> _Pool:
        own = pool.requirements if pool is not None else ()
        labels = dict(pool.labels) if pool is not None else {}
        custom = [one for one in own if not one.key.startswith(_PROVIDER_PREFIXES) and one.key not in labels]
        checked = (*cluster.requirements, *(one for one in own if one not in custom))
        opened = {
            value for one in checked if one.key in NAMING_KEYS and one.operator is Operator.IN for value in one.values
        }
        return cls(
            cluster=cluster,
            pool=pool,
            requirements=checked,
            variants=_variants(custom, labels, pool, left_out),
            arch_replaced=any(one.key in _ARCH_KEYS for one in checked),
            opened=frozenset(opened),
        )

    def may_be_of(self, kind: InstanceType) -> bool:
        """Whether the type's own labels leave a chance; requirements on what zone or pool decides are kept open."""
        return all(one.admits(kind.labels) for one in self.requirements if one.key in kind.labels)

    def offerings(
        self,
        kind: InstanceType,
        row: Price,
        zone: str,
        price: int,
        most: int | None,
        named: frozenset[str],
        left_out: _LeftOut,
    ) -> Iterator[Offering]:
        place = {REGION: self.cluster.region, ZONE: zone, CAPACITY_TYPE: row.capacity_type}
        place |= {old: place[new] for old, new in DEPRECATED_LABELS.items() if new in place}
        if row.capacity_type == "spot" and kind.provider == "gcp":
            place["cloud.google.com/gke-spot"] = "true"
        if row.capacity_type == "spot" and kind.provider == "azure":
            place["kubernetes.azure.com/scalesetpriority"] = "spot"
        for variant in self.variants:
            labels = {**kind.labels, **place, **variant}
            if not all(one.admits(labels) for one in self.requirements):
                continue
            is_opened = self._is_opened(kind)
            if not is_opened:
                left_out.excluded.setdefault(kind.category, set()).add(kind.name)
                if not named & {kind.category, kind.family, kind.name}:
                    continue
            for slices in self._slicings(kind):
                yield self._offering(kind, row, zone, price, most, labels, is_opened, slices)

    def _is_opened(self, kind: InstanceType) -> bool:
        excluded = kind.category in self.cluster.settings.exclude_instance_categories
        return not excluded or bool(self.opened & {kind.category, kind.family, kind.name})

    def _slicings(self, kind: InstanceType) -> tuple[int, ...]:
        slices = self.cluster.gpu_slices.get(kind.gpu_name, 0) if kind.allocatable.get(GPU) else 0
        return (0, slices) if slices else (0,)

    def _offering(
        self,
        kind: InstanceType,
        row: Price,
        zone: str,
        price: int,
        most: int | None,
        labels: Mapping[str, str],
        is_opened: bool,
        slices: int,
    ) -> Offering:
        allocatable = dict(kind.allocatable)
        if slices:
            allocatable[GPU_SHARED] = allocatable.pop(GPU) * slices
        capacity = {CPU: kind.vcpu_millicores, MEMORY: kind.memory_bytes}
        capacity |= {name: amount for name, amount in kind.allocatable.items() if "/" in name}
        return Offering(
            provider=kind.provider,
            region=self.cluster.region,
            zone=zone,
            instance_type=kind.name,
            family=kind.family,
            category=kind.category,
            arch=kind.arch,
            capacity_type=row.capacity_type,
            labels=labels,
            capacity=capacity,
            allocatable=allocatable if slices else kind.allocatable,
            list_usd_nanos_per_hour=row.usd_nanos_per_hour,
            usd_nanos_per_hour=price,
            taints=self.pool.taints if self.pool is not None else (),
            pool=self.pool.name if self.pool is not None else None,
            pool_weight=self.pool.weight if self.pool is not None else 0,
            gpu_name=kind.gpu_name,
            gpu_count=kind.gpu_count,
            gpu_memory_bytes=kind.gpu_memory_bytes,
            gpu_slices=slices,
            interruption_bucket=row.interruption_bucket,
            arch_replaced=self.arch_replaced,
            opened=is_opened,
            max_count=most,
        )


def _variants(
    custom: Sequence[Requirement], labels: dict[str, str], pool: NodePool | None, left_out: _LeftOut
) -> tuple[Mapping[str, str], ...]:
    """The labels that nodes of the pool may carry: its own, and one combination of values of its own requirements."""
    if pool is None:
        return ({},)
    fixed = {**labels, NODEPOOL: pool.name}
    choices: list[list[tuple[str, str]]] = []
    for one in custom:
        if one.operator is Operator.IN and one.key != OS:
            choices.append([(one.key, value) for value in one.values])
        elif one.operator in (Operator.EXISTS, Operator.GT, Operator.LT):
            message = f"{pool.name}: {one} sets no value, so no pod is taken to select it"
            left_out.counts["nodepool-requirement", message] += 1
    combinations = list(itertools.islice(itertools.product(*choices), MOST_VARIANTS + 1))
    if len(combinations) > MOST_VARIANTS:
        message = f"{pool.name}: only {MOST_VARIANTS} combinations of its own labels are looked at"
        left_out.counts["nodepool-requirement", message] += 1
    return tuple({**fixed, **dict(one)} for one in combinations[:MOST_VARIANTS])
