"""Who is admitted where clusters share what is scarce: one order over all of them.

Units of all clusters stand in one order (priority, age, cluster, key), and each is admitted if a plan within the limits
exists for all admitted so far and it (`together`). Where that is not known, the unit is left out and the order is
called heuristic; with one scarce row and clusters small enough to be listed it is always known.

As in `raypipe.packing.admission`, runs of units are tried together, and a unit like one that was refused is refused
without asking. A run is as long as it may be by what is proven; where the packings that there are cannot be extended
to it, clusters are packed anew for a run as long as is likely to succeed, and the last few units are tried in halves.

Packings at less cost leave room again: it is *offered* in the same order to those left out, first beside all others,
and to the first few of them beside those before them alone, who are then followed by whoever still fits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raypipe.fleet.executor import Executor
from raypipe.fleet.frames import Frame
from raypipe.fleet.together import WITHOUT_LIMIT, Together
from raypipe.packing.admission import Existence, Unit
from raypipe.packing.arrays import Ints
from raypipe.packing.problem import Packing, Problem
from raypipe.packing.solver import Effort
from raypipe.planner.order import across

INSISTING = 4
"""How many of those left out are offered room that others after them in the order have."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Admitted:
    """Who is admitted in one cluster.

    Attributes:
        times: how often each unit. limit: number of the limit in the cluster's problem that keeps the rest out.
        demand: pods of each shape, (K,). packing: one of them, within what is left together with the others'.
    """

    times: tuple[int, ...]
    limit: tuple[int | None, ...]
    demand: Ints
    packing: Packing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Claim:
    """A unit of one of the clusters, both by number."""

    cluster: int
    number: int
    unit: Unit


def claims(frames: Sequence[Frame]) -> list[Claim]:
    """The units of all clusters in the order in which they are admitted."""
    placed = [
        (across(place, frame.name), Claim(cluster=c, number=i, unit=unit))
        for c, frame in enumerate(frames)
        for i, (place, unit) in enumerate(zip(frame.places, frame.units, strict=True))
    ]
    return [claim for _, claim in sorted(placed, key=lambda entry: entry[0])]


class Admission:
    """The units of all clusters in their order, and how far they were admitted within what is `left`, (Q,)."""

    def __init__(self, frames: Sequence[Frame], left: Ints, efforts: Sequence[Effort], executor: Executor) -> None:
        self._frames, self._efforts = frames, efforts
        self._claims = claims(frames)
        self._together = Together(frames, left, efforts, executor)
        self._times = [[0] * len(frame.units) for frame in frames]
        self._refused: dict[tuple[int, bytes], int | None] = {}
        self._existence: dict[int, Existence] = {}
        self._offering = False
        self.exact = True

    def go(self) -> None:
        """Admit whoever can be; afterwards it is known whether the order is `exact`ly kept."""
        self._admit_from(0)
        if any(frame.problem.is_ruled for frame in self._frames):
            self._again()

    def offer(self, packings: Sequence[Packing]) -> bool:
        """Offer the room that other packings of those admitted leave; whether more are admitted by it."""
        if self.exact or any(frame.problem.is_ruled for frame in self._frames):
            return False
        self._together.begin_from(packings)
        before, self._offering = [list(times) for times in self._times], True
        insisting = INSISTING
        for position, one in enumerate(self._claims):
            if self._is_whole(one) or not self._leads(one):
                continue
            self._as_many_as_there_can_be(one)
            if insisting and not self._is_whole(one):
                insisting -= 1
                self._insist(position)
        return self._times != before

    def _insist(self, position: int) -> None:
        """Admit more of a unit beside those before it alone, then those after it as far as they still fit."""
        one, later = self._claims[position], self._claims[position + 1 :]
        demands, packings = list(self._together.demands), list(self._together.packings)
        times = [list(times) for times in self._times]
        fewer = list(demands)
        for other in later:
            fewer[other.cluster] = fewer[other.cluster] - other.unit.pods * times[other.cluster][other.number]
        self._together.cut_down(fewer)
        for other in later:
            self._times[other.cluster][other.number] = 0
        if self._as_many_as_there_can_be(one):
            self._admit_from(position + 1)
        else:
            self._times = times
            self._together.go_back(demands, packings)

    def _admit_from(self, first: int) -> None:
        """Runs of units together: longer after a yes, shorter after a no."""
        run = len(self._claims)
        while first < len(self._claims):
            run = min(run, len(self._claims) - first)
            asked = self._asked(first, run)
            if self._holds(self._with(asked)):
                for one in asked:
                    self._times[one.cluster][one.number] = one.unit.times
                first, run = first + run, run * 2
            elif (shorter := self._shorter(first, run)) > 0:
                run = shorter
            else:
                self._some_of(self._claims[first])
                first, run = first + 1, len(self._claims)

    def _shorter(self, first: int, run: int) -> int:
        """The next run after one that does not hold: 0 where its first unit alone does not."""
        demands = self._with(self._asked(first, run))
        if self._together.cannot(demands):
            return self._longest(first, run, lambda demands: not self._together.cannot(demands))
        if self._offering or self._together.is_likely(demands):  # clusters packed anew, if they were, taught nothing
            return run // 2
        return min(run // 2, self._longest(first, run, self._together.is_likely)) or run // 2

    def _holds(self, demands: Mapping[int, Ints], *, sure: bool = False) -> bool:
        """Whether packings of these demands are known to exist, beside those of the other clusters.

        They are looked for where they are likely; `sure`: and elsewhere. While room is offered they are extended alone.
        """
        if not demands:
            return True
        if self._together.cannot(demands):
            return False
        if self._together.extends(demands):
            return True
        if self._offering or (not sure and not self._together.is_likely(demands)):
            return False
        holds = self._together.packs(demands)
        self.exact &= not sure or holds or self._together.cannot(demands)
        return holds

    def _asked(self, first: int, run: int) -> list[Claim]:
        return [one for one in self._claims[first : first + run] if self._may_be_asked(one)]

    def _longest(self, first: int, run: int, may: Callable[[Mapping[int, Ints]], bool]) -> int:
        """The longest run below `run` whose demands may be, by halving."""
        low, high = 0, run
        while high - low > 1:
            middle = (low + high) // 2
            if may(self._with(self._asked(first, middle))):
                low = middle
            else:
                high = middle
        return low

    def _again(self) -> None:
        """Where pods need others that come later, those refused are tried again until nothing changes."""
        changed = True
        while changed:
            changed = False
            for one in self._claims:
                while self._times[one.cluster][one.number] < one.unit.times and self._leads(one):
                    demands = {one.cluster: self._together.demands[one.cluster] + one.unit.pods}
                    if not self._holds(demands, sure=True):
                        break
                    self._times[one.cluster][one.number] += 1
                    changed = True
        out = any(self._times[one.cluster][one.number] < one.unit.times for one in self._claims)
        self.exact &= not out  # a run that does not hold says little about its parts

    def _may_be_asked(self, one: Claim) -> bool:
        return (one.cluster, one.unit.pods.tobytes()) not in self._refused and self._leads(one)

    def _leads(self, one: Claim) -> bool:
        """Whether the gang that the unit comes after is not left out, as far as is known."""
        if one.unit.after is None:
            return True
        leader = self._frames[one.cluster].units[one.unit.after]
        admitted = self._times[one.cluster][one.unit.after]
        return admitted == leader.times or (one.cluster, leader.pods.tobytes()) not in self._refused

    def _with(self, asked: Sequence[Claim]) -> dict[int, Ints]:
        """The demands of the clusters concerned, with these units."""
        demands: dict[int, Ints] = {}
        for one in asked:
            before = demands.get(one.cluster, self._together.demands[one.cluster])
            demands[one.cluster] = before + one.unit.pods * one.unit.times
        return demands

    def _some_of(self, one: Claim) -> None:
        """Admit as many of a unit as there can be, and remember what keeps out the next."""
        mark = (one.cluster, one.unit.pods.tobytes())
        if mark in self._refused or not self._leads(one):
            return
        self._as_many_as_there_can_be(one)
        if not self._is_whole(one):
            demand = self._together.demands[one.cluster] + one.unit.pods
            self._refused[mark] = self._blamed(one.cluster, demand)

    def _as_many_as_there_can_be(self, one: Claim) -> bool:
        """Admit more of a unit, by halving; whether there were any."""
        before, first = self._together.demands[one.cluster], self._times[one.cluster][one.number]
        low, high = first, one.unit.times
        while high - low > 1:
            middle = (low + high) // 2
            if self._holds({one.cluster: before + one.unit.pods * (middle - first)}):
                low = middle
            else:
                high = middle
        while low < one.unit.times:
            if not self._holds({one.cluster: before + one.unit.pods * (low + 1 - first)}, sure=True):
                break
            low += 1
        self._times[one.cluster][one.number] = low
        return low > first

    def _is_whole(self, one: Claim) -> bool:
        return self._times[one.cluster][one.number] == one.unit.times

    def _blamed(self, c: int, demand: Ints) -> int | None:
        """Number in the cluster's problem of the limit that keeps the demand out; None: room itself."""
        frame = self._frames[c]
        row = self._together.blamed(c, demand)
        if row is not None and row in frame.of:
            return int(frame.rows[frame.of.tolist().index(row)])
        if self._together.has_room_without(c, demand, frame.rows):
            return int(frame.rows[0])
        if c not in self._existence:
            self._existence[c] = Existence(_without(frame.problem, frame.rows), frame.settings, self._efforts[c])
        if not self._existence[c].holds(demand):
            return self._existence[c].blame(demand)
        return int(frame.rows[0])

    def outcome(self) -> list[Admitted]:
        """What it came to, cluster by cluster."""
        return [
            Admitted(
                times=tuple(self._times[c]),
                limit=tuple(self._limit(c, i) for i in range(len(frame.units))),
                demand=self._together.demands[c],
                packing=self._together.packings[c],
            )
            for c, frame in enumerate(self._frames)
        ]

    def _limit(self, c: int, number: int) -> int | None:
        """What keeps out the rest of a unit, or of the gang that it comes after."""
        unit = self._frames[c].units[number]
        if self._times[c][number] == unit.times:
            return None
        if unit.after is not None and self._times[c][unit.after] < self._frames[c].units[unit.after].times:
            return self._limit(c, unit.after)
        return self._refused.get((c, unit.pods.tobytes()))


def _without(problem: Problem, rows: Ints) -> Problem:
    """The problem without these limits."""
    limits = problem.limits.copy()
    limits[rows] = WITHOUT_LIMIT
    return problem.under(limits)
