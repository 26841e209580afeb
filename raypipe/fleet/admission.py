"""Who is admitted where clusters share what is scarce: one order over all of them.

Units of all clusters stand in one order (priority, age, cluster, key), and each is admitted if a plan within the limits
exists for all admitted so far and it. Clusters meet only in the rows that they share, so whether a plan exists is asked
of each cluster alone, as how little of these rows its part can do with (`raypipe.packing.scarce`), and added up:

* no, where the least uses together are more than is left, in one row or in a mix of rows;
* yes, where packings are known that are within it together;
* else it is not known; the unit is left out and the order is called heuristic.

With one scarce row and clusters small enough to be listed it is always known. As in `raypipe.packing.admission`, runs
of units are tried together and halved, and a unit like one that was refused is refused without asking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.fleet.choice import Columns, chosen
from raypipe.fleet.frames import Frame
from raypipe.packing.admission import Existence, Unit, extended
from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.dominance import undominated
from raypipe.packing.problem import Packing, Problem, empty_packing
from raypipe.packing.scarce import LeastUse
from raypipe.packing.solver import Effort
from raypipe.planner.order import across
from raypipe.quantities import NANOS_PER_USD

WITHOUT_LIMIT = 2**60


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


class Together:
    """Answers whether demands of all clusters can be packed within what is left of what is scarce."""

    def __init__(self, frames: Sequence[Frame], left: Ints, efforts: Sequence[Effort]) -> None:
        self._frames, self._left, self._efforts = frames, left, efforts
        self._directions, steps = _directions(frames, left)
        self._most = self._directions @ left
        self._uses = [
            LeastUse(
                problem=frame.problem,
                rows=frame.rows,
                directions=frame.priced(self._directions),
                steps=steps,
                settings=frame.settings,
                effort=effort,
            )
            for frame, effort in zip(frames, efforts, strict=True)
        ]
        self._kinds = [undominated(frame.problem) for frame in frames]
        self.demands = [np.zeros_like(frame.problem.demand) for frame in frames]
        self.packings = [empty_packing(len(frame.problem.demand)) for frame in frames]
        self._known = [[packing] for packing in self.packings]
        self.exact = True

    def hold(self, changed: Mapping[int, Ints]) -> bool:
        """Whether packings of these demands, beside those of the other clusters, are known to exist.

        Where they are, these are the `demands` from then on, and the `packings` are of them.
        """
        if not changed:
            return True
        demands = [changed.get(c, demand) for c, demand in enumerate(self.demands)]
        floors = np.array([self._floors(c, demand) for c, demand in enumerate(demands)])
        if self._too_much(floors):
            return False
        packings = self._extended(changed)
        if packings is not None:
            for c in changed:
                self._known[c] = [packings[c]]
        else:
            for c in (*sorted(changed), *(c for c in range(len(demands)) if c not in changed)):
                floors[c] = self._floors(c, demands[c], fresh=True)
                if self._too_much(floors):
                    return False
            packings = self._packed(demands, changed)
        if packings is None:
            self.exact = False
            return False
        self.demands, self.packings = demands, packings
        return True

    def blamed(self, c: int, demand: Ints) -> int | None:
        """Number of the scarce row that keeps the demand of a cluster out by itself, else None."""
        demands = [demand if number == c else one for number, one in enumerate(self.demands)]
        total = np.sum([self._floors(number, one) for number, one in enumerate(demands)], axis=0)
        over = (total > self._most + 0.5)[: len(self._left)]
        return int(np.argmax(over)) if over.any() else None

    def _floors(self, c: int, demand: Ints, *, fresh: bool = False) -> Floats:
        """Least uses of a cluster, (D,): from what is known, or asked for."""
        use = self._uses[c]
        ask = use.floor if fresh else use.known
        return np.array([ask(demand, d) for d in range(len(self._directions))])

    def _too_much(self, floors: Floats) -> bool:
        return bool((floors.sum(axis=0) > self._most + 0.5).any())

    def _extended(self, changed: Mapping[int, Ints]) -> list[Packing] | None:
        """The packings kept, those of `changed` with what is new in their free room and on further nodes."""
        packings = list(self.packings)
        left = self._left - sum((self._use(c, one) for c, one in enumerate(packings)), np.zeros_like(self._left))
        for c, demand in sorted(changed.items()):
            frame, before = self._frames[c], self._use(c, packings[c])
            limits = frame.problem.limits.copy()
            limits[frame.rows] = (left + before)[frame.of]
            packing = extended(frame.problem.under(limits), packings[c], demand, self._kinds[c])
            if packing is None:
                return None
            left = left + before - self._use(c, packing)
            packings[c] = packing
        return packings

    def _packed(self, demands: Sequence[Ints], changed: Mapping[int, Ints]) -> list[Packing] | None:
        """Packings of each cluster that use little in one direction or another, chosen so that all are within it."""
        options: list[list[Packing]] = []
        for c, demand in enumerate(demands):
            found = (self._uses[c].packing(demand, d) for d in range(len(self._directions)))
            kept = [] if c in changed else [self.packings[c], *self._known[c]]
            options.append([*kept, *(packing for packing in found if packing is not None)])
        if not all(options):
            return None
        uses = [np.array([self._use(c, one) for one in packings]) for c, packings in enumerate(options)]
        numbers = self._within(uses)
        if numbers is None:
            return None
        for c in changed:
            self._known[c] = options[c]
        return [packings[p] for packings, p in zip(options, numbers, strict=True)]

    def _within(self, uses: Sequence[Ints]) -> tuple[int, ...] | None:
        """One of each cluster's packings, by what they use (P, Q), so that all together are within what is left."""
        for direction in self._directions:
            numbers = tuple(int(np.argmin(use @ direction)) for use in uses)
            total = sum((use[p] for use, p in zip(uses, numbers, strict=True)), np.zeros_like(self._left))
            if (total <= self._left).all():
                return numbers
        if len(self._left) == 1:
            return None
        columns = [Columns(cost_usd_nanos=np.zeros(len(use), dtype=np.int64), use=use) for use in uses]
        return chosen(columns, self._left, self._efforts[0], self._frames[0].settings.search_nodes)

    def _use(self, c: int, packing: Packing) -> Ints:
        return self._frames[c].use(packing, len(self._left))


def _directions(frames: Sequence[Frame], left: Ints) -> tuple[Floats, Floats]:
    """Each scarce row alone, in whole numbers of about a nano-dollar's size, then all of them mixed; with their steps.

    A solver sees a node that counts most as about a dollar. Of the mix, what is left of each row is worth the same.
    """
    scarce = len(left)
    size = np.maximum(np.max([frame.largest(scarce) for frame in frames], axis=0), 1)
    factor = np.maximum(1, NANOS_PER_USD // size)
    steps = np.maximum(np.gcd.reduce([frame.step(scarce) for frame in frames], axis=0), 1) * factor
    directions = np.diag(factor).astype(np.float64)
    if scarce > 1:
        directions = np.vstack((directions, NANOS_PER_USD / np.maximum(left, size)))
        steps = np.append(steps, 1)
    return directions, steps.astype(np.float64)


def admitted(frames: Sequence[Frame], left: Ints, efforts: Sequence[Effort]) -> tuple[list[Admitted], bool]:
    """Admit the units of all clusters within what is `left` of what is scarce, (Q,); whether that order is proven."""
    walk = _Walk(frames, left, efforts)
    walk.go()
    return walk.outcome()


class _Walk:
    """The units in their order, and how far they were admitted."""

    def __init__(self, frames: Sequence[Frame], left: Ints, efforts: Sequence[Effort]) -> None:
        self._frames, self._efforts = frames, efforts
        self._claims = claims(frames)
        self._together = Together(frames, left, efforts)
        self._times = [[0] * len(frame.units) for frame in frames]
        self._refused: dict[tuple[int, bytes], int | None] = {}
        self._existence: dict[int, Existence] = {}

    def go(self) -> None:
        """Runs of units together: twice as many after a yes, half as many after a no."""
        entries, first = self._claims, 0
        run = len(entries)
        while first < len(entries):
            asked = [one for one in entries[first : first + run] if self._may_be_asked(one)]
            demands = self._with(asked)
            if self._together.hold(demands):
                for one in asked:
                    self._times[one.cluster][one.number] = one.unit.times
                first, run = first + run, run * 2
            elif run > 1:
                run = max(1, min(run, len(entries) - first) // 2)
            else:
                self._some_of(entries[first])
                first += 1
        if any(frame.problem.is_ruled for frame in self._frames):
            self._again()

    def _again(self) -> None:
        """Where pods need others that come later, those refused are tried again until nothing changes."""
        changed = True
        while changed:
            changed = False
            for one in self._claims:
                while self._times[one.cluster][one.number] < one.unit.times and self._leads(one):
                    demands = {one.cluster: self._together.demands[one.cluster] + one.unit.pods}
                    if not self._together.hold(demands):
                        break
                    self._times[one.cluster][one.number] += 1
                    changed = True
        out = any(self._times[one.cluster][one.number] < one.unit.times for one in self._claims)
        self._together.exact &= not out  # a run that does not hold says little about its parts

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
        """Admit as many of a unit as there can be, and remember what keeps out the next; by halving."""
        mark = (one.cluster, one.unit.pods.tobytes())
        if mark in self._refused or not self._leads(one):
            return
        before, low, high = self._together.demands[one.cluster], 0, one.unit.times
        while high - low > 1:
            middle = (low + high) // 2
            demands = {one.cluster: before + one.unit.pods * middle}
            if self._together.hold(demands):
                low = middle
            else:
                high = middle
        self._times[one.cluster][one.number] = low
        self._refused[mark] = self._blamed(one.cluster, before + one.unit.pods * (low + 1))

    def _blamed(self, c: int, demand: Ints) -> int | None:
        """Number in the cluster's problem of the limit that keeps the demand out; None: room itself."""
        frame = self._frames[c]
        row = self._together.blamed(c, demand)
        if row is not None and row in frame.of:
            return int(frame.rows[frame.of.tolist().index(row)])
        if c not in self._existence:
            self._existence[c] = Existence(_without(frame.problem, frame.rows), frame.settings, self._efforts[c])
        if not self._existence[c].holds(demand):
            return self._existence[c].blame(demand)
        return int(frame.rows[0])

    def outcome(self) -> tuple[list[Admitted], bool]:
        """What it came to, cluster by cluster, and whether the order is proven."""
        result = []
        for c, frame in enumerate(self._frames):
            result.append(
                Admitted(
                    times=tuple(self._times[c]),
                    limit=tuple(self._limit(c, i) for i in range(len(frame.units))),
                    demand=self._together.demands[c],
                    packing=self._together.packings[c],
                )
            )
        return result, self._together.exact

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
