"""The catalogue: a pair of CSV files, ``instance_types.csv`` and ``offerings.csv``, read whole and checked row by row.

A row that cannot be read is an error with its line; all errors are reported together. A missing price, or a price for a
type that the other file does not have, is a note. Unknown columns of types become labels. The digest covers what the
files say, not the order in which they say it.

The package ships a small pair of its own (``data/``). Its types: AWS from Karpenter's instance types page (2026-08,
allocatable of AL2023), Google Cloud from its price list and family ratios (2026-08), Azure from Cluster Autoscaler's
list (2026-01); shapes with a part of a GPU are left out. Each price there has its source and date beside it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from raypipe.catalog.cells import Sheet, plain_number
from raypipe.catalog.rows import TypeRow
from raypipe.catalog.types import instance_type, label_of
from raypipe.errors import CatalogError, Problem, nearest
from raypipe.model.nodes import InstanceType
from raypipe.model.plan import Note
from raypipe.quantities import LARGEST_USD_PER_HOUR, NANOS_PER_USD

SHIPPED = Path(__file__).parent / "data"
FILES = ("instance_types.csv", "offerings.csv")
MOST_PROBLEMS = 50
TYPE_COLUMNS = (
    "provider",
    "instance_type",
    "family",
    "arch",
    "vcpu",
    "memory_mib",
    "gpu_manufacturer",
    "gpu_name",
    "gpu_count",
    "gpu_memory_mib",
    "local_nvme_gb",
    "network_mbps",
    "hypervisor",
    "allocatable_cpu_m",
    "allocatable_memory_mib",
    "allocatable_pods",
    "allocatable_ephemeral_gib",
)
REQUIRED_TYPE_COLUMNS = ("provider", "instance_type", "family", "arch", "vcpu", "memory_mib")
_TYPE_COLUMNS = frozenset(TYPE_COLUMNS)
OFFERING_COLUMNS = (
    "provider",
    "region",
    "instance_type",
    "capacity_type",
    "usd_per_hour",
    "interruption_bucket",
    "zone",
)
REQUIRED_OFFERING_COLUMNS = OFFERING_COLUMNS[:5]
KNOWN_OFFERING_COLUMNS = (*OFFERING_COLUMNS, "basis", "source", "date")
"""What is read, and where a price comes from, which is for people."""

UNPRICED = "offerings without a price are left out"
UNKNOWN_TYPE = "offerings of types that instance_types.csv does not have are left out"
CAPACITY_TYPES = frozenset({"spot", "on-demand"})
_INTEGERS = (
    "gpu_count",
    "gpu_memory_mib",
    "allocatable_cpu_m",
    "allocatable_memory_mib",
    "allocatable_pods",
    "allocatable_ephemeral_gib",
)


type Place = tuple[str, str]
"""Provider and region."""

type Offered = tuple[str, str, str]
"""What is offered there: instance type, capacity type, zone ("" for every zone)."""

type Doubts = dict[tuple[Place, Offered], str]
"""Prices that are none (NaN, zero, negative, words), as they are written."""


class Price(NamedTuple):
    """One row of offerings: list price in nano-dollars an hour; `zone` "" where it holds in every zone."""

    instance_type: str
    capacity_type: str
    zone: str
    usd_nanos_per_hour: int
    interruption_bucket: int | None


@dataclass(eq=False)
class Catalog:
    """What can be bought and for how much. Do not change it: plans carry its digest.

    Attributes:
        prices: rows by (provider, region). digest: ``sha256:…`` over all rows. notes: what was left out on reading.
    """

    digest: str
    prices: Mapping[tuple[str, str], Sequence[Price]]
    notes: tuple[Note, ...]
    _rows: Mapping[tuple[str, str], TypeRow]
    _types: dict[tuple[str, str, str], InstanceType] = field(default_factory=dict)

    def type_of(self, provider: str, name: str, reserve: str = "published") -> InstanceType | None:
        """The instance type, its allocatable by `reserve` (settings), or None where the catalogue does not have it."""
        known = self._types.get((provider, name, reserve))
        if known is None and (row := self._rows.get((provider, name))) is not None:
            known = self._types[provider, name, reserve] = instance_type(row, reserve)
        return known

    def with_prices(self, prices: Mapping[Place, Sequence[Price]], notes: Sequence[Note]) -> Catalog:
        """The same types at these prices, with notes of why they are not those that were read."""
        told = (*self.notes, *notes)
        digest = hashlib.sha256(repr((self.digest, sorted(prices.items()), told)).encode()).hexdigest()
        return Catalog(digest=f"sha256:{digest}", prices=prices, notes=told, _rows=self._rows)

    @cached_property
    def own_labels(self) -> frozenset[str]:
        """Labels that types carry from columns of the catalogue's own."""
        return frozenset(label_of(name) for row in self._rows.values() for name, _ in row.extra)

    @property
    def type_names(self) -> tuple[tuple[str, str], ...]:
        """(provider, name) of every type, in order."""
        return tuple(sorted(self._rows))


def load(path: str | Path | None = None, doubts: Doubts | None = None) -> Catalog:
    """Read the catalogue in the folder `path` (None: the shipped one), or raise CatalogError with all that is wrong.

    With `doubts`, rows whose price is none are left out and told there, and are no error.
    """
    folder = SHIPPED if path is None else Path(path)
    types_file, offerings_file = (folder / name for name in FILES)
    problems = [
        Problem(file=str(file), found="no such file", expected="a catalogue: two CSV files")
        for file in (types_file, offerings_file)
        if not file.is_file()
    ]
    if problems:
        raise CatalogError(problems)
    types = Sheet.read(types_file, REQUIRED_TYPE_COLUMNS, TYPE_COLUMNS, problems)
    offerings = Sheet.read(offerings_file, REQUIRED_OFFERING_COLUMNS, KNOWN_OFFERING_COLUMNS, problems)
    rows = _types(types)
    notes: Counter[tuple[str, str, str]] = Counter()
    prices = _prices(offerings, rows, notes, doubts)
    _note_columns(types, TYPE_COLUMNS, notes, unknown_are_labels=True)
    _note_columns(offerings, KNOWN_OFFERING_COLUMNS, notes, unknown_are_labels=False)
    if problems:
        raise CatalogError(_first(problems, folder))
    told = tuple(
        Note(kind=kind, subject=subject, count=count, message=f"{subject}: {_counted(count, words)}")
        for (kind, subject, words), count in sorted(notes.items())
    )
    return Catalog(digest=_digest(rows, prices, notes), prices=prices, notes=told, _rows=rows)


def _counted(count: int, words: str) -> str:
    return f"{count} {words}" if words in (UNPRICED, UNKNOWN_TYPE) else words


def _first(problems: list[Problem], folder: Path) -> list[Problem]:
    """The first problems, and how many more there are."""
    more = len(problems) - MOST_PROBLEMS
    rest = [Problem(file=str(folder), found=f"{more} more problems", expected="none")] if more > 0 else []
    return problems[:MOST_PROBLEMS] + rest


def _digest(
    rows: Mapping[tuple[str, str], TypeRow],
    prices: Mapping[tuple[str, str], Sequence[Price]],
    notes: Mapping[tuple[str, str, str], int],
) -> str:
    """``sha256:…`` of all that a plan may depend on or tell, in an order of its own."""
    digest = hashlib.sha256()
    for name in sorted(rows):
        digest.update(repr(rows[name]).encode())
    for place in sorted(prices):
        digest.update(repr((place, [tuple(one) for one in prices[place]])).encode())
    for note, count in sorted(notes.items()):
        digest.update(repr((note, count)).encode())
    return f"sha256:{digest.hexdigest()}"


def _note_columns(
    sheet: Sheet, known: Sequence[str], notes: Counter[tuple[str, str, str]], *, unknown_are_labels: bool
) -> None:
    """Say which columns are not read; one that becomes a label is told only where it looks like a typing error."""
    missing = [column for column in known if column not in sheet.header]
    for column in sheet.header:
        near = nearest(column, missing) if column not in known else None
        if column not in known and (near is not None or not unknown_are_labels):
            use = "is taken for a label" if unknown_are_labels else "is not read"
            hint = f" (did you mean {near!r}?)" if near is not None else ""
            notes["unknown-column", Path(sheet.file).name, f"column {column!r} {use}{hint}"] = 1


def _types(sheet: Sheet) -> dict[tuple[str, str], TypeRow]:
    """The rows of instance_types.csv by provider and name."""
    result: dict[tuple[str, str], TypeRow] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, cells in sheet.rows:
        row = _type_row(sheet, line, dict(zip(sheet.header, cells, strict=True)))
        if row is None:
            continue
        key = (row.provider, row.name)
        if key in result and result[key] != row:
            found = f"{row.name} again, otherwise than in line {lines[key]}"
            sheet.wrong(line, "instance_type", found, "each type once")
        result[key], lines[key] = row, line
    return result


def _type_row(sheet: Sheet, line: int, cells: dict[str, str]) -> TypeRow | None:
    """A row of types, or None with its problems noted."""
    before = len(sheet.problems)
    for name in ("provider", "instance_type", "family"):
        sheet.name(cells[name], line, name)
    if cells["arch"] not in ("amd64", "arm64"):
        sheet.wrong(line, "arch", repr(cells["arch"])[:80], "amd64 or arm64")
    vcpu = sheet.number(cells["vcpu"], 0.01, 100_000, line, "vcpu")
    memory = sheet.number(cells["memory_mib"], 0, 1e9, line, "memory_mib")
    numbers = {name: sheet.whole(text, line, name) for name in _INTEGERS if (text := cells.get(name, "").strip())}
    if len(sheet.problems) > before:
        return None
    extra = tuple(sorted((name, text) for name, text in cells.items() if name not in _TYPE_COLUMNS and text))
    return TypeRow(
        provider=cells["provider"],
        name=cells["instance_type"],
        family=cells["family"],
        arch=cells["arch"],
        vcpu_millicores=round(vcpu * 1000),
        memory_mib=int(memory),
        gpu_manufacturer=cells.get("gpu_manufacturer", "").lower(),
        gpu_name=cells.get("gpu_name", ""),
        gpu_count=numbers.get("gpu_count", 0),
        gpu_memory_mib=numbers.get("gpu_memory_mib", 0),
        local_nvme_gb=cells.get("local_nvme_gb", ""),
        network_mbps=cells.get("network_mbps", ""),
        hypervisor=cells.get("hypervisor", ""),
        allocatable_cpu_m=numbers.get("allocatable_cpu_m"),
        allocatable_memory_mib=numbers.get("allocatable_memory_mib"),
        allocatable_pods=numbers.get("allocatable_pods"),
        allocatable_ephemeral_gib=numbers.get("allocatable_ephemeral_gib"),
        extra=extra,
    )


def _prices(
    sheet: Sheet,
    types: Mapping[tuple[str, str], TypeRow],
    notes: Counter[tuple[str, str, str]],
    doubts: Doubts | None,
) -> dict[Place, list[Price]]:
    """The rows of offerings.csv by provider and region, in order; one loop, since they are tens of thousands."""
    at = [sheet.header.index(name) if name in sheet.header else -1 for name in OFFERING_COLUMNS]
    provider_at, region_at, type_at, capacity_at, usd_at, bucket_at, zone_at = at
    seen: dict[tuple[str, ...], tuple[int, Price]] = {}
    by_region: dict[Place, list[Price]] = {}
    for line, cells in sheet.rows:
        provider, region, kind, capacity = cells[provider_at], cells[region_at], cells[type_at], cells[capacity_at]
        if capacity not in CAPACITY_TYPES:
            sheet.wrong(line, "capacity_type", repr(capacity)[:80], "on-demand or spot")
            continue
        if not cells[usd_at].strip():
            notes["unpriced-offering", f"{provider} {region}", UNPRICED] += 1
            continue
        if (provider, kind) not in types:
            notes["unknown-instance-type", f"{provider} {region}", UNKNOWN_TYPE] += 1
            continue
        zone = sheet.name(cells[zone_at], line, "zone") if zone_at >= 0 and cells[zone_at] else ""
        bucket = _bucket(sheet, cells[bucket_at] if bucket_at >= 0 else "", line)
        nanos = usd_nanos(cells[usd_at])
        if nanos is None and doubts is not None:
            doubts[(provider, region), (kind, capacity, zone)] = cells[usd_at].strip()
            continue
        if nanos is None:
            expected = f"dollars an hour above 0 and at most {LARGEST_USD_PER_HOUR}"
            sheet.wrong(line, "usd_per_hour", repr(cells[usd_at])[:80], expected)
        price = Price(kind, capacity, zone, nanos or 1, bucket)
        known = seen.setdefault((provider, region, kind, capacity, zone), (line, price))
        if known[0] == line:
            if (provider, region) not in by_region:
                sheet.name(region, line, "region")
            by_region.setdefault((provider, region), []).append(price)
        elif known[1] != price:
            found = f"{kind} {capacity} in {region} again, otherwise than in line {known[0]}"
            sheet.wrong(line, None, found, "each offering once")
    for prices in by_region.values():
        prices.sort(key=lambda one: one[:3])
    return by_region


def usd_nanos(text: str) -> int | None:
    """Nano-dollars an hour; None where the text is no price above 0.

    >>> usd_nanos("0.096"), usd_nanos("0"), usd_nanos("nan")
    (96000000, None, None)
    """
    value = plain_number(text)
    return (round(value * NANOS_PER_USD) or None) if 0 < value <= LARGEST_USD_PER_HOUR else None


def _bucket(sheet: Sheet, text: str, line: int) -> int | None:
    if not text:
        return None
    if text in ("0", "1", "2", "3", "4"):
        return int(text)
    sheet.wrong(line, "interruption_bucket", repr(text)[:80], "0, 1, 2, 3, 4 or nothing")
    return None
