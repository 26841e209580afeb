"""What an instance type, a GPU or a shape costs.

Two questions. *Quotes*: which types have this name, this GPU or at least so much room, and what does each cost on
demand and on spot, by region. *Shapes*: what do so many replicas with so many GPUs each cost, as 4 x 1 T4, 2 x 2 L4 or
1 x 8 A100, on spot or on demand; each is planned by the planner itself, so the estimate is the price of what would be
bought.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from raypipe.catalog import Catalog, Filters, offerings_for
from raypipe.errors import InputError, Problem, nearest
from raypipe.model.nodes import Offering
from raypipe.model.plan import Scope
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.requirements import gpu_name
from raypipe.model.resources import CPU, GPU, MEMORY, PODS
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.planner import plan_cluster
from raypipe.quantities import parse_quantity, usd
from raypipe.settings import Settings, with_overrides

CAPACITY_TYPES = ("on-demand", "spot")
DEFAULT_REGION = "us-east-1"
MOST_REPLICAS = 10_000
_SHAPE = re.compile(r"(\d{1,5})x(\d{1,3})(?::([\w.,-]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One instance type in one region: what it is, and the least it costs in any zone, $/h (None: not to be had)."""

    provider: str
    region: str
    instance_type: str
    arch: str
    vcpu: float
    memory_gib: float
    gpu: str
    gpu_count: int
    on_demand_usd_per_hour: float | None
    spot_usd_per_hour: float | None
    interruption_bucket: int | None

    @property
    def least_usd_per_hour(self) -> float:
        """The cheaper of spot and on-demand."""
        return min(price for price in (self.on_demand_usd_per_hour, self.spot_usd_per_hour) if price is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """So many replicas, each with so many GPUs of one of these kinds (none named: any) on one node."""

    replicas: int
    gpus: int
    kinds: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.replicas}x{self.gpus}" + (f":{','.join(self.kinds)}" if self.kinds else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeQuote:
    """What a shape costs with one capacity type: the nodes that would be bought, or why there are none."""

    shape: str
    provider: str
    region: str
    capacity_type: str
    nodes: Mapping[str, int] = field(default_factory=dict)
    usd_per_hour: float | None = None
    chosen: bool = False
    why_not: str | None = None


def pod(*, cpu: str = "0", memory: str = "0", gpus: int = 0, kinds: str | None = None) -> PodSpec | None:
    """The pod that these options describe, None where they ask for nothing; raise InputError."""
    requests, problems = {PODS: 1}, []
    for name, text in ((CPU, cpu), (MEMORY, memory), (GPU, str(gpus))):
        try:
            if amount := parse_quantity(text, name):
                requests[name] = amount
        except ValueError as error:
            problems.append(Problem(field=f"--{name}", found=str(error)))
    if problems:
        raise InputError(problems)
    skus = _kinds(kinds)
    if skus and GPU not in requests:
        requests[GPU] = 1
    return PodSpec(requests=requests, gpu_skus=skus) if len(requests) > 1 else None


def _kinds(text: str | None) -> tuple[str, ...]:
    return tuple(gpu_name(kind) for kind in (text or "").split(",") if kind.strip())


def quotes(
    catalog: Catalog,
    *,
    words: Sequence[str] = (),
    spec: PodSpec | None = None,
    provider: str | None = None,
    region: str | None = None,
    settings: Settings | None = None,
) -> tuple[Quote, ...]:
    """Types that `words` name (a type, a family, a GPU) and that hold `spec`, the cheapest first.

    Provider and region narrow the places (None: all of the catalogue); types that are never bought unless they are
    named are quoted where they are. Raises InputError for a word or a place that the catalogue does not know.
    """
    chosen = settings or Settings()
    if words:
        chosen = with_overrides(chosen, {"exclude_instance_categories": ()})
    found: list[Quote] = []
    known: set[str] = set()
    gpus: set[str] = set()
    for one_place in _places(catalog, provider, region):
        cluster = _cluster(catalog, one_place, chosen)
        offered = offerings_for(cluster, catalog).offerings
        gpus.update(one.gpu_name for one in offered)
        known.update(*((one.instance_type, one.family, one.gpu_name) for one in offered))
        kept = [one for one in offered if not words or _is_named(one, words)]
        if spec is not None:
            mask = Filters(kept, cluster).mask(spec)
            kept = [one for one, passes in zip(kept, mask.tolist(), strict=True) if passes]
        found += _by_type(kept)
    place = " ".join(named for named in (provider, region) if named)
    among = f"the catalogue in {place}" if place else "the catalogue"
    _refuse_unknown(words, known - {""}, "TYPE|GPU", f"an instance type, a family or a GPU of {among}")
    _refuse_unknown(spec.gpu_skus if spec else (), gpus - {""}, "--gpu-sku", f"a GPU of {among}")
    return tuple(sorted(found, key=lambda one: (one.least_usd_per_hour, one.instance_type, one.provider, one.region)))


def _places(catalog: Catalog, provider: str | None, region: str | None) -> list[tuple[str, str]]:
    """The (provider, region) pairs of the catalogue that are asked about."""
    places = sorted(catalog.prices)
    for name, number, given in (("--provider", 0, provider), ("--region", 1, region)):
        have = {place[number] for place in places}
        if given is not None and given not in have:
            expected = "a place of the catalogue: " + ", ".join(sorted(have)[:20])
            raise InputError(Problem(field=name, found=repr(given), expected=expected, suggestion=nearest(given, have)))
        places = [place for place in places if given is None or place[number] == given]
    return places


def _cluster(catalog: Catalog, place: tuple[str, str], settings: Settings | None) -> ClusterSnapshot:
    """An empty cluster in every zone that prices name there."""
    provider, region = place
    zones = {row.zone or region for row in catalog.prices[place]}
    return ClusterSnapshot(
        name="prices",
        provider=provider,
        region=region,
        zones=tuple(sorted(zones)),
        arch="amd64+arm64",
        settings=settings or Settings(),
    )


def _is_named(offering: Offering, words: Sequence[str]) -> bool:
    names = {offering.instance_type.lower(), offering.family.lower()}
    return any(word.lower() in names or (offering.gpu_name and gpu_name(word) == offering.gpu_name) for word in words)


def _refuse_unknown(words: Iterable[str], known: set[str], where: str, expected: str) -> None:
    """Raise InputError for words that name nothing on offer; `where` is the argument that holds them."""
    lower = {name.lower() for name in known}
    problems = [
        Problem(
            field=where,
            found=repr(word),
            expected=expected,
            suggestion=nearest(word, known),
        )
        for word in words
        if word.lower() not in lower and gpu_name(word) not in lower
    ]
    if problems:
        raise InputError(problems)


def _by_type(offerings: Iterable[Offering]) -> list[Quote]:
    """One quote an instance type, at the least price of its zones."""
    kinds: dict[str, list[Offering]] = {}
    for one in offerings:
        kinds.setdefault(one.instance_type, []).append(one)
    return [_quote(same) for same in kinds.values()]


def _quote(same: Sequence[Offering]) -> Quote:
    first = same[0]
    least = {
        capacity_type: min((one for one in same if one.capacity_type == capacity_type), key=_price, default=None)
        for capacity_type in CAPACITY_TYPES
    }
    on_demand, spot = least["on-demand"], least["spot"]
    return Quote(
        provider=first.provider,
        region=first.region,
        instance_type=first.instance_type,
        arch=first.arch,
        vcpu=first.capacity[CPU] / 1000,
        memory_gib=first.capacity[MEMORY] / 2**30,
        gpu=first.gpu_name,
        gpu_count=first.gpu_count,
        on_demand_usd_per_hour=usd(on_demand.usd_nanos_per_hour) if on_demand else None,
        spot_usd_per_hour=usd(spot.usd_nanos_per_hour) if spot else None,
        interruption_bucket=spot.interruption_bucket if spot else None,
    )


def _price(offering: Offering) -> int:
    return offering.usd_nanos_per_hour


def parse_shape(text: str) -> Shape:
    """Read ``REPLICASxGPUS[:KIND,KIND]``; raise InputError.

    >>> parse_shape("2x1:T4,nvidia-l4")
    Shape(replicas=2, gpus=1, kinds=('t4', 'l4'))
    """
    found = _SHAPE.fullmatch(text.strip())
    if found is None or not 1 <= int(found[1]) <= MOST_REPLICAS:
        expected = f"REPLICASxGPUS[:KIND,KIND], as 2x1:t4,l4, of at most {MOST_REPLICAS} replicas"
        raise InputError(Problem(field="--shape", found=repr(text[:80]), expected=expected))
    return Shape(replicas=int(found[1]), gpus=int(found[2]), kinds=_kinds(found[3]))


def compare_shapes(
    catalog: Catalog,
    shapes: Sequence[Shape],
    *,
    replica: PodSpec | None = None,
    provider: str | None = None,
    region: str | None = None,
    settings: Settings | None = None,
) -> tuple[ShapeQuote, ...]:
    """What each shape costs on spot and on demand in one region, cheapest first.

    `replica` says what each replica requests beside its GPUs. Provider and region default as in a fleet file: aws,
    us-east-1; the catalogue's first region of another provider.
    """
    places = _places(catalog, provider or ("aws" if region is None else None), region)
    cluster = _cluster(catalog, next((one for one in places if one[1] == DEFAULT_REGION), places[0]), settings)
    names = {one.gpu_name for one in offerings_for(cluster, catalog).offerings} - {""}
    expected = f"a GPU of the catalogue in {cluster.provider} {cluster.region}"
    for shape in shapes:
        _refuse_unknown(shape.kinds, names, "--shape", expected)
    _refuse_unknown(replica.gpu_skus if replica else (), names, "--gpu-sku", expected)
    found = [
        _shape_quote(catalog, cluster, shape, capacity_type, replica or PodSpec(requests={PODS: 1}))
        for shape in shapes
        for capacity_type in CAPACITY_TYPES
    ]
    ordered = sorted(found, key=lambda one: (one.usd_per_hour is None, one.usd_per_hour or 0.0))
    return tuple(_compared(one, ordered[0]) for one in ordered)


def _shape_quote(
    catalog: Catalog, cluster: ClusterSnapshot, shape: Shape, capacity_type: str, replica: PodSpec
) -> ShapeQuote:
    """Plan the shape alone."""
    requests = {name: amount for name, amount in {**replica.requests, GPU: shape.gpus}.items() if amount}
    spec = dataclasses.replace(replica, requests=requests, gpu_skus=shape.kinds or replica.gpu_skus)
    group = PodGroup(key=f"Shape/{shape}", spec=spec, count=shape.replicas)
    plan = plan_cluster(
        dataclasses.replace(cluster, zones=cluster.zones[:1], capacity_types=(capacity_type,), demand=(group,)),
        catalog,
        scope=Scope.PENDING,
    )
    quote = ShapeQuote(shape=str(shape), provider=cluster.provider, region=cluster.region, capacity_type=capacity_type)
    if plan.unplaced:
        return dataclasses.replace(quote, why_not=plan.unplaced[0].message)
    nodes = Counter(node.instance_type for node in plan.nodes)
    return dataclasses.replace(quote, nodes=dict(sorted(nodes.items())), usd_per_hour=plan.usd_per_hour.after)


def _compared(one: ShapeQuote, best: ShapeQuote) -> ShapeQuote:
    """The quote with CHOSEN, or with how much more it costs than the best."""
    if one.usd_per_hour is None or best.usd_per_hour is None:
        return one
    if one is best:
        return dataclasses.replace(one, chosen=True)
    more = one.usd_per_hour / best.usd_per_hour - 1 if best.usd_per_hour else 0.0
    return dataclasses.replace(one, why_not=f"costs {more:.1%} more" if more > 0 else "costs the same")
