"""Versions of a catalogue: what prices are believed, refresh by refresh.

Prices come from outside, again and again, and some day a feed is down, or says NaN, or counts in cents. The rule:

* A refresh that fails changes nothing. The last good version stays, grows older, and says why.
* A price that is none (NaN, zero, negative), or more than `FAR` times the last one, or less than a `FAR`-th of it, is
  set aside: the offering keeps the last price that was believed, with a note. Where there is none, it is left out.
* A version never changes. It has a number, which grows with each change of what it says, a source, and a time.

A price that has truly moved so far is believed once the prices are read anew from nothing. Refused: to believe it when
it comes a second time, because a broken feed repeats itself, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from raypipe.catalog.tables import Catalog, Doubts, Offered, Place, Price
from raypipe.errors import CatalogError
from raypipe.model.plan import Note
from raypipe.quantities import usd

FAR = 10
"""Times the last price. Spot prices move by a factor of three in a year; one of ten is a wrong unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A catalogue as it was believed.

    Attributes:
        source: where it was read from. read_at: when that last went well. failure: why the refresh after that did not.
    """

    number: int
    catalog: Catalog
    source: str
    read_at: datetime
    failure: str | None = None

    def age_s(self, now: datetime) -> float:
        """Seconds since it was read."""
        return (now - self.read_at).total_seconds()

    def seen_again(self, now: datetime) -> Version:
        """The same, read again without a change."""
        return replace(self, read_at=now)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What a plan made from an old version says of it, beside what its catalogue says of prices set aside."""
        if self.failure is None:
            return ()
        first = self.failure.splitlines()[0]
        message = f"{self.source} could not be read again ({first:.300}): prices are those of {self.read_at:%F %T} UTC"
        return (Note(kind="old-prices", subject=self.source, message=message),)


def refreshed(last: Version | None, found: Catalog, doubts: Doubts, source: str, read_at: datetime) -> Version:
    """The version after a refresh that found this, and doubted that."""
    believed = found if last is None and not doubts else _believed(last, found, doubts)
    number = 1 if last is None else last.number + (believed.digest != last.catalog.digest)
    return Version(number=number, catalog=believed, source=source, read_at=read_at)


def not_refreshed(last: Version | None, error: CatalogError) -> Version:
    """The version after a refresh that failed: the last good one; the error itself where there is none."""
    if last is None:
        raise error
    return replace(last, failure=str(error))


def _believed(last: Version | None, found: Catalog, doubts: Doubts) -> Catalog:
    """What was found, with the last believed prices in the place of those that cannot be."""
    before = {} if last is None else last.catalog.prices
    prices: dict[Place, Sequence[Price]] = {}
    notes: list[Note] = []
    for place in sorted({*found.prices, *(place for place, _ in doubts)}):
        old = {one[:3]: one for one in before.get(place, ())}
        new = {one[:3]: one for one in found.prices.get(place, ())}
        absurd = {offered: text for (where, offered), text in doubts.items() if where == place}
        absurd |= dict(_far(old, new))
        kept = {offered: old[offered] for offered in absurd if offered in old}
        sold = {offered: one for offered, one in new.items() if offered not in absurd} | kept
        if sold:
            prices[place] = [sold[offered] for offered in sorted(sold)]
        if absurd:
            notes.append(_note(place, absurd, kept))
    return found.with_prices(prices, notes) if notes else found


def _far(old: Mapping[Offered, Price], new: Mapping[Offered, Price]) -> Iterator[tuple[Offered, str]]:
    """Prices that are too far from the last."""
    for offered, one in new.items():
        last = old[offered].usd_nanos_per_hour if offered in old else one.usd_nanos_per_hour
        if not last <= FAR * one.usd_nanos_per_hour <= FAR**2 * last:
            yield offered, f"{usd(one.usd_nanos_per_hour):g}"


def _note(place: Place, absurd: Mapping[Offered, str], kept: Mapping[Offered, Price]) -> Note:
    """One note a place: how many, and the first of them."""
    first = min(absurd)
    last = f"the last one, {usd(kept[first].usd_nanos_per_hour):g}, is kept" if first in kept else "it is left out"
    name = " ".join(filter(None, first))
    message = f"{' '.join(place)}: {len(absurd)} prices were set aside: {name} at {absurd[first]:.40} $/h; {last}"
    return Note(kind="absurd-price", subject=" ".join(place), count=len(absurd), message=message)
