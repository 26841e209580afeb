"""What is scarce gets a price, and each cluster is packed again under it, a fixed number of rounds.

Who is admitted is decided before (`admission`); here the n_c are fixed and Σ_c price is minimised within what is left L
of the scarce rows. With V_c(σ) the least cost of cluster c where a unit of row q costs σ_q more (`packing.scarce`)::

    round 1      σ = 0: each cluster for itself; where that is within L, it is the answer
    round r      where no packings seen in rounds are within L together: σ_q of the rows that the last ones exceed is
                 raised, first to what all costs a unit of L_q, then RAISE-fold;
                 else σ = half of the master's prices (`choice`), half of those of the best bound so far
    bound        max over rounds of Σ_c V_c(σ) − σ·L        (V_c by its own bound, so it is one too)
    repair       of all packings seen, one a cluster, at least cost within L

The packings that admission showed are among them, so that the repair never fails; they spare what is scarce at any
cost, so the master, which would take its prices from that cost, does not see them. Gangs and whole nodes make the
answer to a price jump, so the rounds do not "agree" in general: they are counted, not waited for.

What a cluster's own bound says: with A_c its part of L, what it uses and a share of what all leave, V_c(σ) − σ·A_c is
below the cost of whatever places its pods within A_c. These add up to the bound above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raypipe.fleet.admission import Admitted
from raypipe.fleet.asking import Asked, all_answered
from raypipe.fleet.choice import Columns, chosen, prices
from raypipe.fleet.executor import Executor
from raypipe.fleet.frames import Frame
from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.problem import Packing
from raypipe.packing.scarce import repriced
from raypipe.packing.solve import Solved
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD

RAISE = 4.0
"""How many times as dear what is scarce gets where it is still too cheap."""
DEAREST = 1000.0
"""Most that a price is of what all costs a unit of its row: beyond that it says "at any cost", which 1000 says, too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Divided:
    """What the division came to.

    Attributes:
        prices: σ (Q,), nano-dollars a unit. packings: each cluster's; solved: the same with its bound.
    """

    prices: Floats
    packings: tuple[Packing, ...]
    solved: tuple[Solved, ...]


class Division:
    """The rounds in which what is admitted is packed at little cost within what is `left`, (Q,).

    `efforts` are added to.
    """

    def __init__(
        self, frames: Sequence[Frame], admitted: Sequence[Admitted], left: Ints, efforts: Sequence[Effort]
    ) -> None:
        self._frames, self._left, self._efforts = frames, left, efforts
        self._problems = [frame.problem.with_demand(one.demand) for frame, one in zip(frames, admitted, strict=True)]
        self._packings = [[one.packing] for one in admitted]
        self._warm = [frame.warm for frame in frames]
        self._prices: Floats = np.zeros(len(left))
        self._last: list[Solved] = []
        self._best: tuple[int, Floats, list[Solved]] | None = None

    def go(self, executor: Executor, rounds: int, stop: Callable[[], bool]) -> None:
        """Up to so many rounds."""
        for number in range(rounds):
            self.ask(executor, range(len(self._frames)))
            if (number == 0 and self.is_within()) or stop() or not self.reprice():
                break

    def admit(self, admitted: Sequence[Admitted], executor: Executor) -> None:
        """Go on with more pods: one round of the clusters that got some, at the best prices so far."""
        if self._best is not None:
            _, self._prices, self._last = self._best
        changed = []
        for c, one in enumerate(admitted):
            if (one.demand != self._problems[c].demand).any():
                changed.append(c)
                self._problems[c] = self._frames[c].problem.with_demand(one.demand)
                self._packings[c] = [one.packing]
            else:
                self._packings[c][0] = one.packing
        self._best = None
        self.ask(executor, changed)

    def ask(self, executor: Executor, clusters: Sequence[int]) -> None:
        """One round: these clusters at the prices as they are."""
        asked = [
            Asked(
                name=self._frames[c].name,
                problem=repriced(self._problems[c], self._frames[c].rows, self._frames[c].priced(self._prices)),
                settings=self._frames[c].settings,
                known=self._cheapest(c),
                warm=self._warm[c],
            )
            for c in clusters
        ]
        last = dict(enumerate(self._last))
        for c, answer in zip(clusters, all_answered(executor, asked), strict=True):
            self._efforts[c].add(answer.effort)
            self._warm[c] = answer.solved.columns or self._warm[c]
            self._packings[c].append(answer.solved.packing or self._cheapest(c))
            last[c] = answer.solved
        self._last = [last[c] for c in range(len(self._frames))]
        bound = sum(one.bound_usd_nanos for one in self._last) - self._paid(self._left)
        if self._best is None or bound > self._best[0]:
            self._best = bound, self._prices, self._last

    def is_within(self) -> bool:
        """Whether the last answers are within what is left together."""
        return bool((self._use([packings[-1] for packings in self._packings]) <= self._left).all())

    def reprice(self) -> bool:
        """Take the next prices; False where they would be the same again."""
        master = prices([one.rest for one in self._columns()], self._left, self._efforts[0])
        if master is None:
            following = self._raised()
        else:
            best = self._best[1] if self._best is not None else self._prices
            following = np.minimum((master + best) / 2 if best.any() else master, DEAREST * self._natural())
        if np.allclose(following, self._prices, rtol=1e-6, atol=0.0):
            return False
        self._prices = following
        return True

    def _raised(self) -> Floats:
        """The prices, higher for the rows that the last answers exceed."""
        natural = self._natural()
        higher = np.where(self._prices > 0, self._prices * RAISE, natural)
        exceeded = self._use([packings[-1] for packings in self._packings]) > self._left
        raised: Floats = np.where(exceeded, np.minimum(higher, DEAREST * natural), self._prices)
        return raised

    def _natural(self) -> Floats:
        """What all costs a unit of what is left of each row, or of the largest node where that is more."""
        cost = sum(
            packings[1].usd_nanos(problem) for packings, problem in zip(self._packings, self._problems, strict=True)
        )
        largest = np.max([frame.largest(len(self._left)) for frame in self._frames], axis=0)
        natural: Floats = max(cost, 1) / np.maximum(np.maximum(self._left, largest), 1)
        return natural

    def _cheapest(self, c: int) -> Packing:
        """Of the packings known of a cluster, the cheapest at the prices as they are."""
        frame = self._frames[c]

        def paid(packing: Packing) -> float:
            use = frame.use(packing, len(self._left))
            return packing.usd_nanos(frame.problem) + float(self._prices @ use)

        return min(self._packings[c], key=paid)

    def _use(self, packings: Sequence[Packing]) -> Ints:
        """What one packing of each cluster count together, (Q,)."""
        uses = [frame.use(one, len(self._left)) for frame, one in zip(self._frames, packings, strict=True)]
        total: Ints = np.sum(uses, axis=0)
        return total

    def _columns(self) -> list[Columns]:
        return [
            Columns(
                cost_usd_nanos=np.array([one.usd_nanos(frame.problem) for one in packings], dtype=np.int64),
                use=np.array([frame.use(one, len(self._left)) for one in packings], dtype=np.int64),
            )
            for frame, packings in zip(self._frames, self._packings, strict=True)
        ]

    def _paid(self, use: Ints, at: Floats | None = None) -> int:
        """What this much of what is scarce costs, rounded up."""
        return int(np.ceil(float((self._prices if at is None else at) @ use)))

    def outcome(self) -> Divided:
        """The repair, and the bounds at the best prices."""
        if self._best is None:
            raise ValueError("no round was asked for")
        bound, best, solved = self._best
        columns = self._columns()
        numbers = chosen(columns, self._left, self._efforts[0], self._frames[0].settings.search_nodes)
        numbers = self._no_worse(columns, numbers)
        uses = [one.use[p] for one, p in zip(columns, numbers, strict=True)]
        bounds = [one.bound_usd_nanos - self._paid(use, best) for one, use in zip(solved, uses, strict=True)]
        packings = [self._packings[c][p] for c, p in enumerate(numbers)]
        return Divided(
            prices=best,
            packings=tuple(packings),
            solved=tuple(
                self._told(c, solved[c], packings[c], own, best) for c, own in enumerate(_shares(bounds, bound))
            ),
        )

    def _no_worse(self, columns: Sequence[Columns], numbers: tuple[int, ...] | None) -> tuple[int, ...]:
        """The packings chosen, or those of admission where there are none or they are cheaper."""

        def cost(numbers: tuple[int, ...]) -> int:
            return sum(int(one.cost_usd_nanos[p]) for one, p in zip(columns, numbers, strict=True))

        first = (0,) * len(columns)
        return first if numbers is None or cost(first) < cost(numbers) else numbers

    def _told(self, c: int, solved: Solved, packing: Packing, bound: int, best: Floats) -> Solved:
        """A cluster's answer at the best prices with the packing that it got and its own bound."""
        frame = self._frames[c]
        limits = solved.limits.copy()
        limits[frame.rows] += frame.priced(best) * frame.problem.limit_size[frame.rows] / NANOS_PER_USD
        cost = packing.usd_nanos(frame.problem)
        bound = min(bound, cost)
        return replace(
            solved,
            packing=packing,
            bound_usd_nanos=bound,
            by_prices_usd_nanos=None,
            limits=limits,
            proven=bound == cost,
        )


def _shares(bounds: Sequence[int], total: int) -> list[int]:
    """The bounds of clusters scaled down so that they add up to no more than `total`, and to nothing below 0."""
    own = [max(0, bound) for bound in bounds]
    whole = sum(own)
    if whole <= total:
        return own
    return [bound * max(0, total) // whole for bound in own]
