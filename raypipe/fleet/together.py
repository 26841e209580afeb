"""Whether demands of several clusters can be packed within what is left of what they share.

Clusters meet only in the rows that they share, so it is asked of each cluster alone how little of these rows its part
can do with (`raypipe.packing.scarce`), and added up:

* no, where the least uses together are more than is left, in one row or in a mix of rows;
* yes, where packings are known that are within it together;
* else it is not known.

It is answered from what is known first: bounds that were proven for other demands hold for every one, and packings that
there are already are extended. Else the clusters are packed anew, all that it takes at once, by the executor. That
is dear, so it is done where a yes is likely: packings of many pods take a little more than is proven to be needed, and
how much more the last search has shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from raypipe.fleet.asking import Asked, all_answered
from raypipe.fleet.choice import Columns, chosen
from raypipe.fleet.executor import Executor
from raypipe.fleet.frames import Frame
from raypipe.packing.admission import cut_down, extended
from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.dominance import undominated
from raypipe.packing.exact import is_small
from raypipe.packing.problem import Packing, empty_packing
from raypipe.packing.scarce import LeastUse
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD

WITHOUT_LIMIT = 2**60
LIKELY_EXCESS = 1.02
"""How much more than proven to be needed packings take that are too large to be listed, before one was seen."""


class Together:
    """Answers whether demands of all clusters can be packed within what is left of what is scarce.

    `demands` are those of the last yes, and `packings` are of them.
    """

    def __init__(self, frames: Sequence[Frame], left: Ints, efforts: Sequence[Effort], executor: Executor) -> None:
        self._frames, self._left, self._efforts, self._executor = frames, left, efforts, executor
        self._directions, steps = _directions(frames, left)
        self._most = self._directions @ left
        self._uses = [
            LeastUse(
                problem=frame.problem,
                rows=frame.rows,
                directions=frame.priced(self._directions),
                steps=steps,
                settings=frame.settings,
            )
            for frame in frames
        ]
        for use, effort in zip(self._uses, efforts, strict=True):
            use.begin(effort)
        self._kinds = [undominated(frame.problem) for frame in frames]
        self._warm = {(c, d): frame.warm for c, frame in enumerate(frames) for d in range(len(self._directions))}
        self.demands = [np.zeros_like(frame.problem.demand) for frame in frames]
        self.packings = [empty_packing(len(frame.problem.demand)) for frame in frames]
        self._known = [[packing] for packing in self.packings]
        listed = all(is_small(frame.problem, frame.settings.enumerate_patterns) for frame in frames)
        self._excess = np.full(len(self._directions), 1.0 if listed else LIKELY_EXCESS)

    def cannot(self, changed: Mapping[int, Ints]) -> bool:
        """Whether it is known that there is no way to pack these demands, beside those of the other clusters."""
        return self._too_much(self._floors(self._with(changed)))

    def is_likely(self, changed: Mapping[int, Ints]) -> bool:
        """Whether packings within it would be found, should they take as much more than proven as the last ones."""
        return not self._too_much(self._floors(self._with(changed)) * self._excess)

    def extends(self, changed: Mapping[int, Ints]) -> bool:
        """Whether the packings that there are can be extended to these demands; they are then."""
        packings = self._extended(changed)
        if packings is None:
            return False
        self._take(self._with(changed), packings, changed)
        return True

    def begin_from(self, packings: Sequence[Packing]) -> None:
        """Go on from other packings of the same demands."""
        self.packings, self._known = list(packings), [[one] for one in packings]

    def go_back(self, demands: Sequence[Ints], packings: Sequence[Packing]) -> None:
        """Go on from an earlier yes."""
        self.demands = list(demands)
        self.begin_from(packings)

    def cut_down(self, demands: Sequence[Ints]) -> None:
        """Go on from packings of less, with the free room that this leaves."""
        changed = [c for c, demand in enumerate(demands) if (demand != self.demands[c]).any()]
        for c in changed:
            self.packings[c] = cut_down(self._frames[c].problem, self.packings[c], demands[c])
            self._known[c] = [self.packings[c]]
        self.demands = list(demands)

    def packs(self, changed: Mapping[int, Ints]) -> bool:
        """Whether clusters packed anew are within it: those `changed`, then the others, as far as it is needed."""
        demands = self._with(changed)
        others = [c for c in range(len(demands)) if c not in changed]
        for asked in (sorted(changed), others):
            self._ask((c, demands[c]) for c in asked)
            if self._too_much(self._floors(demands)):
                return False
            if self._packed(demands, changed):
                return True
        return False

    def blamed(self, c: int, demand: Ints) -> int | None:
        """Number of the scarce row that keeps the demand of a cluster out by itself, else None."""
        total = self._floors(self._with({c: demand}))
        over = (total > self._most + 0.5)[: len(self._left)]
        return int(np.argmax(over)) if over.any() else None

    def has_room_without(self, c: int, demand: Ints, rows: Ints) -> bool:
        """Whether a cluster's packing can be extended to a demand where these limits of its problem are none."""
        problem = self._frames[c].problem
        limits = problem.limits.copy()
        limits[rows] = WITHOUT_LIMIT
        return extended(problem.under(limits), self.packings[c], demand, self._kinds[c]) is not None

    def _with(self, changed: Mapping[int, Ints]) -> list[Ints]:
        return [changed.get(c, demand) for c, demand in enumerate(self.demands)]

    def _floors(self, demands: Sequence[Ints]) -> Floats:
        """What all need at least, (D,)."""
        floors: Floats = np.sum([use.floors(demand) for use, demand in zip(self._uses, demands, strict=True)], axis=0)
        return floors

    def _too_much(self, floors: Floats) -> bool:
        return bool((floors > self._most + 0.5).any())

    def _ask(self, asked: Iterable[tuple[int, Ints]]) -> None:
        """Have clusters packed with little use in each direction, where that was not done yet."""
        questions = [(c, d, problem) for c, demand in asked for d, problem in self._uses[c].questions(demand).items()]
        answers = all_answered(
            self._executor,
            [
                Asked(name=self._frames[c].name, problem=problem, settings=self._uses[c].quick, warm=self._warm[c, d])
                for c, d, problem in questions
            ],
        )
        for (c, d, problem), answer in zip(questions, answers, strict=True):
            self._efforts[c].add(answer.effort)
            self._uses[c].learn(d, problem, answer.solved)
            self._warm[c, d] = answer.solved.columns or self._warm[c, d]

    def _take(self, demands: list[Ints], packings: list[Packing], changed: Iterable[int]) -> None:
        for c in changed:
            self._known[c] = [packings[c]]
        self.demands, self.packings = demands, packings

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

    def _packed(self, demands: list[Ints], changed: Mapping[int, Ints]) -> bool:
        """Take packings of each cluster that use little in one direction or another, so that all are within it."""
        options = [
            [*(() if c in changed else (self.packings[c], *self._known[c])), *self._uses[c].packings(demand)]
            for c, demand in enumerate(demands)
        ]
        if not all(options):
            return False
        uses = [np.array([self._use(c, one) for one in packings]) for c, packings in enumerate(options)]
        self._note_excess(demands, uses)
        numbers = self._within(uses)
        if numbers is None:
            return False
        self._take(demands, [packings[p] for packings, p in zip(options, numbers, strict=True)], ())
        for c in changed:
            self._known[c] = options[c]
        return True

    def _note_excess(self, demands: Sequence[Ints], uses: Sequence[Ints]) -> None:
        """How much more than is proven to be needed the packings take that use least."""
        least = np.sum([(use @ self._directions.T).min(axis=0) for use in uses], axis=0)
        floors = self._floors(demands)
        known = np.isfinite(floors) & (floors > 0)
        self._excess = np.where(known, np.maximum(1.0, least / np.where(known, floors, 1.0)), self._excess)

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
