"""The catalogue: a pair of CSV files, ``instance_types.csv`` and ``offerings.csv``, read whole and checked row by row.

A row that cannot be read is an error with its line; all errors are reported together. A missing price, or a price for a
type that the other file does not have, is a note. Unknown columns of types become labels. The digest covers what the
files say, not the order in which they say it.

The package ships a small pair of its own (``data/``). Its types: AWS from Karpenter's instance types page (2026-08,
allocatable of AL2023), Google Cloud from its price list and family ratios (2026-08), Azure from Cluster Autoscaler's
list (2026-01); shapes with a part of a GPU are left out. Each price there has its source and date beside it.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from raypipe.catalog.rows import TypeRow
from raypipe.catalog.types import instance_type, label_of
from raypipe.errors import CatalogError, Problem, nearest
from raypipe.model.nodes import InstanceType
from raypipe.model.plan import Note
from raypipe.quantities import LARGEST_USD_PER_HOUR, NANOS_PER_USD

SHIPPED = Path(__file__).parent / "data"
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
OFFERING_COLUMNS = ("provider", "region", "instance_type", "capacity_type", "usd_per_hour", "interruption_bucket")
REQUIRED_OFFERING_COLUMNS = OFFERING_COLUMNS[:5]
CAPACITY_TYPES = frozenset({"spot", "on-demand"})
_INTEGERS = (
    "gpu_count",
    "gpu_memory_mib",
    "allocatable_cpu_m",
    "allocatable_memory_mib",
    "allocatable_pods",
    "allocatable_ephemeral_gib",
)


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

    @cached_property
    def own_labels(self) -> frozenset[str]:
        """Labels that types carry from columns of the catalogue's own."""
        return frozenset(label_of(name) for row in self._rows.values() for name, _ in row.extra)

    @property
    def type_names(self) -> tuple[tuple[str, str], ...]:
        """(provider, name) of every type, in order."""
        return tuple(sorted(self._rows))


def load(path: str | Path | None = None) -> Catalog:
    """Read the catalogue in the folder `path` (None: the shipped one), or raise CatalogError with all that is wrong."""
    folder = SHIPPED if path is None else Path(path)
    types_file, offerings_file = folder / "instance_types.csv", folder / "offerings.csv"
    problems: list[Problem] = []
    for file in (types_file, offerings_file):
        if not file.is_file():
            problems.append(Problem(file=str(file), found="no such file", expected="a catalogue: two CSV files"))
    if problems:
        raise CatalogError(problems)
    digest = hashlib.sha256()
    rows = _types(types_file, problems, digest)
    notes: Counter[tuple[str, str]] = Counter()
    prices = _prices(offerings_file, rows, problems, notes, digest)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        shown = problems[:MOST_PROBLEMS]
        if more > 0:
            shown.append(Problem(file=str(folder), found=f"{more} more problems", expected="none"))
        raise CatalogError(shown)
    return Catalog(digest=f"sha256:{digest.hexdigest()}", prices=prices, notes=tuple(_noted(notes)), _rows=rows)


def _noted(notes: Mapping[tuple[str, str], int]) -> Iterator[Note]:
    words = {
        "unpriced-offering": "offerings without a price are left out",
        "unknown-instance-type": "offerings of types that instance_types.csv does not have are left out",
    }
    for (kind, subject), count in sorted(notes.items()):
        yield Note(kind=kind, subject=subject, count=count, message=f"{subject}: {count} {words[kind]}")


def _read(
    file: Path, required: Sequence[str], known: Sequence[str], problems: list[Problem]
) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV file; both are empty where the header is wrong."""
    before = len(problems)
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.reader(lines, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(Problem(file=str(file), found=f"{error}"[:200], expected="a CSV file in UTF-8"))
        return [], []
    header = [name.strip() for name in rows[0]] if rows else []
    for name in required:
        if name not in header:
            others = [column for column in header if column not in known]
            problems.append(
                Problem(
                    file=str(file),
                    line=1,
                    field=name,
                    found="no such column",
                    expected="it",
                    suggestion=nearest(name, others),
                )
            )
    twice = [name for name, count in Counter(header).items() if count > 1]
    problems.extend(
        Problem(file=str(file), line=1, field=name, found="a column twice", expected="it once") for name in twice
    )
    return (header, rows[1:]) if len(problems) == before else ([], [])


def _types(file: Path, problems: list[Problem], digest: hashlib._Hash) -> dict[tuple[str, str], TypeRow]:
    header, rows = _read(file, REQUIRED_TYPE_COLUMNS, TYPE_COLUMNS, problems)
    result: dict[tuple[str, str], TypeRow] = {}
    lines: dict[tuple[str, str], int] = {}
    for line, cells in enumerate(rows, start=2):
        if not any(cells):
            continue
        if len(cells) != len(header):
            problems.append(_cells(file, line, len(cells), len(header)))
            continue
        row = _type_row(dict(zip(header, cells, strict=True)), str(file), line, problems)
        if row is None:
            continue
        key = (row.provider, row.name)
        if key in result and result[key] != row:
            problems.append(
                Problem(
                    file=str(file),
                    line=line,
                    field="instance_type",
                    found=f"{row.name} again, otherwise than in line {lines[key]}",
                    expected="each type once",
                )
            )
        result[key], lines[key] = row, line
    for key in sorted(result):
        digest.update(repr(result[key]).encode())
    return result


def _cells(file: Path, line: int, found: int, expected: int) -> Problem:
    return Problem(file=str(file), line=line, found=f"{found} cells", expected=f"{expected}, as in the header")


def _type_row(cells: dict[str, str], file: str, line: int, problems: list[Problem]) -> TypeRow | None:
    """A row of types, or None with its problems noted."""
    before = len(problems)
    for name in ("provider", "instance_type", "family"):
        if not cells[name].strip():
            problems.append(Problem(file=file, line=line, field=name, found="nothing", expected="a name"))
    if cells["arch"] not in ("amd64", "arm64"):
        problems.append(
            Problem(file=file, line=line, field="arch", found=repr(cells["arch"])[:80], expected="amd64 or arm64")
        )
    vcpu = _number(cells["vcpu"], 0.01, 100_000, file, line, "vcpu", problems)
    memory = _number(cells["memory_mib"], 0, 1e9, file, line, "memory_mib", problems)
    numbers: dict[str, int] = {}
    for name in _INTEGERS:
        text = cells.get(name, "").strip()
        if text:
            numbers[name] = _whole(text, file, line, name, problems)
    if len(problems) > before:
        return None
    extra = tuple(sorted((name, text) for name, text in cells.items() if name not in TYPE_COLUMNS and text))
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


def _number(
    text: str, low: float, high: float, file: str, line: int, field_name: str, problems: list[Problem]
) -> float:
    """A number within bounds; a problem and the lower bound where it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if low <= value <= high:
        return value
    expected = f"a number from {low:g} to {high:g}"
    problems.append(Problem(file=file, line=line, field=field_name, found=repr(text)[:80], expected=expected))
    return low


def _whole(text: str, file: str, line: int, field_name: str, problems: list[Problem]) -> int:
    """A whole number of at least 0; a part of a GPU is no GPU, so nothing is rounded."""
    value = _number(text, 0, 1e9, file, line, field_name, problems)
    if value != int(value):
        problems.append(
            Problem(file=file, line=line, field=field_name, found=repr(text)[:80], expected="a whole number")
        )
    return int(value)


def _prices(
    file: Path,
    types: Mapping[tuple[str, str], TypeRow],
    problems: list[Problem],
    notes: Counter[tuple[str, str]],
    digest: hashlib._Hash,
) -> dict[tuple[str, str], list[Price]]:
    header, rows = _read(file, REQUIRED_OFFERING_COLUMNS, (*OFFERING_COLUMNS, "zone", "basis"), problems)
    if not header:
        return {}
    at = [header.index(name) if name in header else -1 for name in (*OFFERING_COLUMNS, "zone")]
    provider_at, region_at, type_at, capacity_at, usd_at, bucket_at, zone_at = at
    seen: dict[tuple[str, ...], tuple[int, Price]] = {}
    by_region: dict[tuple[str, str], list[Price]] = {}
    width, name = len(header), str(file)
    for line, cells in enumerate(rows, start=2):
        if len(cells) != width:
            if any(cells):
                problems.append(_cells(file, line, len(cells), width))
            continue
        provider, region, kind, capacity = cells[provider_at], cells[region_at], cells[type_at], cells[capacity_at]
        zone = cells[zone_at] if zone_at >= 0 else ""
        if capacity not in CAPACITY_TYPES:
            expected = "on-demand or spot"
            problems.append(
                Problem(file=name, line=line, field="capacity_type", found=repr(capacity)[:80], expected=expected)
            )
            continue
        if not cells[usd_at].strip():
            notes["unpriced-offering", f"{provider} {region}"] += 1
            continue
        if (provider, kind) not in types:
            notes["unknown-instance-type", f"{provider} {region}"] += 1
            continue
        nanos = _usd_nanos(cells[usd_at], name, line, problems)
        price = Price(
            kind, capacity, zone, nanos, _bucket(cells[bucket_at] if bucket_at >= 0 else "", name, line, problems)
        )
        mark = (provider, region, kind, capacity, zone)
        known = seen.setdefault(mark, (line, price))
        if known[0] == line:
            by_region.setdefault((provider, region), []).append(price)
        elif known[1] != price:
            found = f"{kind} {capacity} in {region} again, otherwise than in line {known[0]}"
            problems.append(Problem(file=name, line=line, found=found, expected="each offering once"))
    for key in sorted(by_region):
        by_region[key].sort(key=lambda one: one[:3])
        digest.update(repr((key, [tuple(one) for one in by_region[key]])).encode())
    return by_region


def _usd_nanos(text: str, file: str, line: int, problems: list[Problem]) -> int:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 < value <= LARGEST_USD_PER_HOUR and (nanos := round(value * NANOS_PER_USD)):
        return nanos
    expected = f"dollars an hour above 0 and at most {LARGEST_USD_PER_HOUR}"
    problems.append(Problem(file=file, line=line, field="usd_per_hour", found=repr(text)[:80], expected=expected))
    return 1


def _bucket(text: str, file: str, line: int, problems: list[Problem]) -> int | None:
    if not text:
        return None
    if text in ("0", "1", "2", "3", "4"):
        return int(text)
    expected = "0, 1, 2, 3, 4 or nothing"
    problems.append(
        Problem(file=file, line=line, field="interruption_bucket", found=repr(text)[:80], expected=expected)
    )
    return None
