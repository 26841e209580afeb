"""The order of admission of one cluster, as units for `packing.admission`.

Priority (higher first), then the age of the topmost owner (without one last), then key. A gang is one unit, as often as
it is still to be admitted, and comes before its own further pods, which go with it where it is left out: pods of a Ray
cluster that does not start would be capacity for nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.model.workloads import Gang
from raypipe.packing.admission import Unit
from raypipe.packing.arrays import Ints
from raypipe.planner.demand import Shapes, Wanted

type Place = tuple[int, bool, str, str, int]
"""Where a unit stands in the order: priority (negative), age not known, age, key, after the gang of that key."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidate:
    """A unit with what it is: its place, pods of `wanted` by number, and the gang that it admits, or None."""

    unit: Unit
    place: Place
    pods: dict[int, int]
    gang: Gang | None = None


def candidates(wanted: Sequence[Wanted], gangs: Sequence[Gang], shapes: Shapes) -> list[Candidate]:
    """Everything that is wanted, in the order in which it is admitted."""
    by_key = {(one.gang, one.key): w for w, one in enumerate(wanted) if one.gang is not None}
    left = Counter({w: one.count for w, one in enumerate(wanted)})
    entries: list[tuple[Place, dict[int, int], int, Gang | None]] = []
    places: dict[str | None, Place] = {}
    for gang in gangs:
        members = {
            by_key[gang.name, key]: count
            for key, count in gang.minimum.items()
            if (gang.name, key) in by_key and count > 0
        }
        if gang.copies <= 0 or not members:
            continue
        copies = min(gang.copies, *(left[w] // count for w, count in members.items()))
        if copies <= 0:
            continue
        for w, count in members.items():
            left[w] -= count * copies
        first = min(wanted[w].key for w in members)
        places[gang.name] = place_of(gang.priority, gang.created, first, 0)
        entries.append((places[gang.name], members, copies, gang))
    for w, one in enumerate(wanted):
        if left[w] > 0:
            place = place_of(one.spec.priority, one.created, one.key, 1)
            if one.gang in places:
                place = max(place, (*places[one.gang][:-1], 1))
            entries.append((place, {w: 1}, left[w], None))
    entries.sort(key=lambda entry: entry[0])
    return _units(entries, wanted, shapes)


def place_of(priority: int, created: str | None, key: str, after: int) -> Place:
    """Where pods of a key stand, or the gang of that key (`after`: 0)."""
    return (-priority, created is None, created or "", key, after)


def _units(
    entries: Sequence[tuple[Place, dict[int, int], int, Gang | None]],
    wanted: Sequence[Wanted],
    shapes: Shapes,
) -> list[Candidate]:
    gang_units = {entry[3].name: number for number, entry in enumerate(entries) if entry[3] is not None}
    result = []
    for place, pods, times, gang in entries:
        after = None
        if gang is None:
            name = wanted[next(iter(pods))].gang
            after = gang_units.get(name) if name is not None else None
        unit = Unit(pods=_vector(pods, shapes), times=times, after=after)
        result.append(Candidate(unit=unit, place=place, pods=pods, gang=gang))
    return result


def _vector(pods: dict[int, int], shapes: Shapes) -> Ints:
    vector = np.zeros(len(shapes.demand), dtype=np.int64)
    for w, count in pods.items():
        vector[shapes.of[w]] += count
    return vector


def across(place: Place, cluster: str) -> tuple[int, bool, str, str, str, int]:
    """The place among the units of several clusters: the cluster's name comes after age and before key."""
    return (*place[:3], cluster, *place[3:])
