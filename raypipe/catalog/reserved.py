"""Reserved capacity: nodes that are paid for already, or at a price of their own (setting `reserved`).

Each entry is an offering of capacity type ``reserved`` beside the cluster's capacity types, at most `count` nodes of
it; multiplier and surcharge do not apply, since the price is what was agreed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.errors import SettingsError, nearest
from raypipe.quantities import parse_usd_per_hour
from raypipe.settings import Settings

KEYS = ("instanceType", "zone", "count", "usdPerHour")
MOST_NODES = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """So many nodes of a type in a zone, each at this price in nano-dollars an hour."""

    instance_type: str
    zone: str
    count: int
    usd_nanos_per_hour: int


def reservations(settings: Settings, zones: Sequence[str]) -> tuple[Reservation, ...]:
    """Read the setting `reserved`, or raise SettingsError with all that is wrong in it."""
    wrong: list[str] = []
    found: dict[tuple[str, str], Reservation] = {}
    for number, entry in enumerate(settings.reserved):
        where = f"settings.reserved[{number}]"
        problems = [f"{where}{problem}" for problem in _problems(entry, zones)]
        wrong += problems
        if problems:
            continue
        one = _reservation(entry)
        if (one.instance_type, one.zone) in found:
            wrong.append(f"{where}: found {one.instance_type!r:.80} in {one.zone} again, expected each once")
        found[one.instance_type, one.zone] = one
    if wrong:
        raise SettingsError("\n".join(wrong))
    return tuple(found.values())


def reserved_price(settings: Settings, instance_type: str, zone: str) -> int | None:
    """What a reserved node that exists costs, or None; a wrong entry is told where nodes are bought, not here."""
    for entry in settings.reserved:
        if (entry.get("instanceType"), entry.get("zone")) == (instance_type, zone):
            try:
                return parse_usd_per_hour(entry.get("usdPerHour"))
            except ValueError:
                return None
    return None


def _reservation(entry: Mapping[str, Any]) -> Reservation:
    return Reservation(
        instance_type=entry["instanceType"],
        zone=entry["zone"],
        count=entry["count"],
        usd_nanos_per_hour=parse_usd_per_hour(entry["usdPerHour"]),
    )


def _problems(entry: Mapping[str, Any], zones: Sequence[str]) -> Iterator[str]:
    """What is wrong with one entry."""
    for key in entry:
        if key not in KEYS:
            near = nearest(str(key), KEYS)
            yield f".{key}: unknown key" + (f" (did you mean {near!r}?)" if near else "")
    missing = [key for key in KEYS if key not in entry]
    if missing:
        yield from (f".{key}: found nothing, expected a value" for key in missing)
        return
    name, count, zone = entry["instanceType"], entry["count"], entry["zone"]
    if not isinstance(name, str) or not name:
        yield f".instanceType: found {name!r:.80}, expected the name of an instance type"
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_NODES:
        yield f".count: found {count!r:.80}, expected a whole number from 0 to {MOST_NODES}"
    if zone not in zones:
        yield f".zone: found {zone!r:.80}, expected one of {', '.join(zones)}"
    try:
        parse_usd_per_hour(entry["usdPerHour"])
    except ValueError as error:
        yield f".usdPerHour: found {error}"
