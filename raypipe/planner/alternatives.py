"""Sets of worker groups that one demand is divided among: what a plan may choose, and what it chose.

A set is *free* where its division can be chosen: its gang is not kept out by a member that no division avoids, its
bounds leave enough replicas, and some group has a place somewhere. Others stay as they stand. What a free set does
not need whatever is chosen (pods that stay, the least of each group) is demand like any other; the rest is a choice of
the packing (`raypipe.packing.alternatives`).

Admission comes before cost: where no division can be packed whole, every one that is looked at goes through the order
of admission, in which a set stands where the first of its groups would, and counts by the work that is placed. The one
that admits most in that order is taken, of those that admit the same the cheapest. (The least of a group that fits
nowhere is left out in its own name; no other group does its work.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from raypipe.model.alternatives import Alternatives, Division, WorkerGroup, divided_demand, divided_gangs
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.alternatives import MOST_LISTED, MOST_PACKED
from raypipe.packing.arrays import Ints
from raypipe.packing.choices import Choices
from raypipe.planner.demand import Masks, Shapes, Wanted
from raypipe.planner.order import Candidate, Place, place_of

type Admission = Mapping[tuple[Place, str], Fraction]
"""How much was admitted of what stands at each place: pods, gangs, or work of a set."""


def with_members(wanted: Sequence[Wanted], sets: Sequence[Alternatives]) -> tuple[Wanted, ...]:
    """Who wants a place, with the groups of sets that want none as things stand: they may be chosen."""
    known = {one.key for one in wanted}
    absent = [
        Wanted(key=group.pods, spec=group.spec, count=0, created=one.created, gang=one.owner)
        for one in sets
        for group in one.groups
        if group.pods not in known
    ]
    return tuple(sorted((*wanted, *absent), key=lambda one: (one.key, one.gang or ""))) if absent else tuple(wanted)


def divided(cluster: ClusterSnapshot, division: Division) -> ClusterSnapshot:
    """The cluster as if its sets stood divided so."""
    return replace(
        cluster,
        demand=divided_demand(cluster.demand, cluster.alternatives, division),
        gangs=divided_gangs(cluster.gangs, cluster.alternatives, division),
    )


def as_divided(wanted: Sequence[Wanted], sets: Sequence[Alternatives], division: Division) -> tuple[Wanted, ...]:
    """Who wants a place under a division; a group that gets none is left in it with a count of 0."""
    counts = {
        group.pods: group.to_place(n)
        for one in sets
        if one.key in division
        for group, n in zip(one.groups, division[one.key], strict=True)
        if n != group.replicas
    }
    return tuple(
        replace(one, count=counts[one.key]) if one.key in counts and one.gang is not None else one for one in wanted
    )


def free_sets(
    cluster: ClusterSnapshot, masks: Masks, broken: Callable[[frozenset[str]], Mapping[str, int]]
) -> tuple[Alternatives, ...]:
    """The sets whose division can be chosen; `broken` says which gangs are, members that can be avoided left out."""
    groups = [group for one in cluster.alternatives for group in one.groups]
    fits = {group.pods: bool(masks.of(group.spec)[1].any()) for group in groups}
    avoidable = frozenset(group.pods for group in groups if fits[group.pods] or not group.to_place(group.least))
    hopeless = broken(avoidable)
    starting = {gang.name for gang in cluster.gangs if gang.copies > 0}
    return tuple(
        one
        for one in cluster.alternatives
        if one.owner not in hopeless and _has_choice(one, fits, whole=one.owner in starting and not one.autoscaling)
    )


def _has_choice(one: Alternatives, fits: Mapping[str, bool], *, whole: bool) -> bool:
    """Whether some division does the work; `whole`: with groups that fit somewhere alone, but for the least of others.

    Pods of a gang that starts are placed together, so one that fits nowhere keeps out all.
    """
    most = [group.most if fits[group.pods] or not whole else group.least for group in one.groups]
    return any(fits[group.pods] for group in one.groups) and one.work_of(most) >= one.work_millionths


class FreeDivision:
    """The choice that free sets leave, in the numbers of a packing problem."""

    def __init__(self, sets: Sequence[Alternatives], placeable: Sequence[Wanted], shapes: Shapes) -> None:
        self._sets = tuple(sets)
        numbers = {(one.key, one.gang): i for i, one in enumerate(placeable)}
        self._groups = [
            (s, group, number)
            for s, one in enumerate(self._sets)
            for group in one.groups
            if (number := numbers.get((group.pods, one.owner))) is not None
        ]
        base = shapes.demand.copy()
        shape = _column(shapes.of[number] for *_, number in self._groups)
        for (_, group, number), k in zip(self._groups, shape.tolist(), strict=True):
            base[k] += group.to_place(group.least) - placeable[number].count
        left = [one.work_millionths - one.work_of([group.least for group in one.groups]) for one in self._sets]
        able = [0] * len(self._sets)
        for s, group, _ in self._groups:
            able[s] += (group.most - group.least) * group.speed_millionths
        self.choices = Choices(
            base=base,
            shape=shape,
            hosts=_column(group.hosts for _, group, _ in self._groups),
            speed=_column(group.speed_millionths for _, group, _ in self._groups),
            most=_column(_useful(left[s], group) for s, group, _ in self._groups),
            of=_column(s for s, *_ in self._groups),
            work=_column(max(0, min(work, most)) for work, most in zip(left, able, strict=True)),
        )

    @property
    def standing(self) -> Ints | None:
        """The choice that leaves every set as it stands; None where that does not do its work."""
        chosen = _column(group.replicas - group.least for _, group, _ in self._groups)
        stands = self.choices.covered(chosen) and self.division(chosen) == {one.key: one.standing for one in self._sets}
        return chosen if stands else None

    def division(self, chosen: Ints) -> dict[str, tuple[int, ...]]:
        """A choice as replicas of the groups; what groups that fit somewhere cannot do is left to the others."""
        more = {group.pods: int(n) for (_, group, _), n in zip(self._groups, chosen, strict=True)}
        return {one.key: _completed(one, [g.least + more.get(g.pods, 0) for g in one.groups]) for one in self._sets}

    def to_admit(self) -> list[Ints]:
        """Choices to take through the order of admission: all where they are few, else those of few groups."""
        choices, standing = self.choices, self.standing
        found = [] if standing is None else [standing]
        listed = choices.lean(MOST_LISTED)
        if listed is None:
            alone = np.eye(len(choices.of), dtype=np.float64) * choices.useful
            listed = [one for fractions in alone for one in choices.rounded(fractions)[:1]][:MOST_PACKED]
        return found + [one for one in listed if not any((one == other).all() for other in found)]

    @property
    def is_listed(self) -> bool:
        """Whether `to_admit` holds every choice worth looking at."""
        return self.choices.lean(MOST_LISTED) is not None

    def admission(self, units: Sequence[Candidate], times: Sequence[int], wanted: Sequence[Wanted]) -> Admission:
        """How much of what was admitted, by place in the order."""
        sets = {group.pods: (one, group) for one in self._sets for group in one.groups}
        places = {one.key: _place(one) for one in self._sets}
        placeable = {group.pods for _, group, _ in self._groups}
        admitted: dict[tuple[Place, str], Fraction] = {}
        for unit, count in zip(units, times, strict=True):
            key = "" if unit.gang is not None else wanted[next(iter(unit.pods))].key
            if key in sets:
                one, group = sets[key]
                mark, each = (places[one.key], one.key), Fraction(group.speed_millionths, group.hosts)
            elif unit.gang is not None:  # its first key may be that of a group, which differs between divisions
                mark, each = (place_of(unit.gang.priority, unit.gang.created, unit.gang.name, 0), ""), Fraction(1)
            else:
                mark, each = (unit.place, key), Fraction(1)
            admitted[mark] = admitted.get(mark, Fraction(0)) + each * count
        for one in self._sets:
            mark = (places[one.key], one.key)
            left = Fraction(one.work_millionths)
            for group in one.groups:
                pods = group.staying if group.pods in placeable else group.least * group.hosts
                left -= Fraction(pods * group.speed_millionths, group.hosts)
            admitted[mark] = min(admitted.get(mark, Fraction(0)), max(Fraction(0), left))
        return admitted


def _useful(work: int, group: WorkerGroup) -> int:
    """Most replicas beyond its least that are of use to a group where so much work is left."""
    return max(0, min(group.most - group.least, -(-work // group.speed_millionths)))


def _completed(one: Alternatives, replicas: list[int]) -> tuple[int, ...]:
    """A division that does all the work: groups get more replicas, in order, while some is left."""
    for number, group in enumerate(one.groups):
        left = one.work_millionths - one.work_of(replicas)
        replicas[number] += max(0, min(-(-left // group.speed_millionths), group.most - replicas[number]))
    return tuple(replicas)


def most_admitting(admissions: Sequence[Admission], costs: Sequence[int]) -> int:
    """The one that admits more at the first place where it differs from another; of those alike the cheapest."""
    marks = sorted({mark for one in admissions for mark in one})
    worth = [
        (tuple(one.get(mark, Fraction(0)) for mark in marks), -cost)
        for one, cost in zip(admissions, costs, strict=True)
    ]
    return worth.index(max(worth))


def _place(one: Alternatives) -> Place:
    """Where a set stands: where the first of its groups would."""
    return min(place_of(group.spec.priority, one.created, group.pods, 1) for group in one.groups)


def _column(numbers: Iterable[int]) -> Ints:
    return np.array([int(number) for number in numbers], dtype=np.int64)
