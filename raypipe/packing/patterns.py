"""(B) The pattern LP (Gilmore and Gomory, 1961), its columns found by filling nodes at the LP's own prices.

y_jp nodes of kind j filled with pattern p, which puts a_pk pods of shape k on one node::

    min Σ c_jp y_jp
    Σ a_pk y_jp >= n_k           ∀ k     dual π_k
    Σ w_qj y_jp <= L_q           ∀ q     dual σ_q (as a price, >= 0)
    Σ_p y_jp    <= u_j           ∀ scarce j     dual μ_j (as a price, >= 0)

c_jp is c_j and what the pods of p miss on j. A column is worth adding when π·a > c_jp + σ·w_j + μ_j. Pricing is `fill`
at half-and-half of these prices and those of (A), which settles in 10 to 40 rounds instead of 150 to 500; a fill gives
good columns and no bound, so the value of the LP over the columns found is no bound either.

Where nodes hold few pods, a filling has few steps and its first one decides, so that the LP stays too high. Then nodes
of the kinds most in use are begun with one pod of each shape in turn and filled up from there, for some rounds more
(openb: the LP 0.5 and the plan 0.7 % lower, for a third of the time more; four pods of two resources a node: the LP 2 %
lower; with a dozen pods a node, next to nothing).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.bound import Duals, unit_cost
from raypipe.packing.fill import Measure, fill, floored
from raypipe.packing.master import Master, MasterLp
from raypipe.packing.problem import UNLIMITED, Problem
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD

MEASURES = (Measure.SUM, Measure.MAX, Measure.L2)
WAYS = (((0.5,), 3), ((0.0,), 3), ((0.0,), 1), ((0.25,), 100))
"""How columns are looked for, one way after the other: shares of (A)'s prices, and the part of `fill`."""

DEAR = 0.02
"""Columns whose node costs more than its pods are worth by this share are dropped once the LP is solved."""

COLUMNS_A_ROUND = 45
"""About as many columns are looked for in a round: more slow the master down by more than they lower it."""

LOOKING_BACK, TOO_LITTLE = 24, 1.5e-4
"""Column generation ends where so many rounds lowered the master by less than this share."""

MANY_SHAPES = 500
"""With more shapes than this a round of the LP is dear, and the last of them tell a dive nothing:"""
LOOKING_BACK_AT_MANY, TOO_LITTLE_AT_MANY = 16, 4e-4
"""the LP ends half a percent higher in a third of the time, and the packing a quarter of a percent dearer."""

FEW_PODS = 6
"""With fewer pods a node than this a filling has few steps, and the first one decides: so nodes are begun, too."""
BEGUN_ROUNDS, BEGUN_A_ROUND, BEGUN_SHARE = 1 / 16, 300, 0.05
"""Rounds in which nodes are begun as a share of all, most columns of one, and the share of (A)'s prices there."""
WORTH_BEGINNING = 0.01
"""Kinds that take less than this share of the LP's cost are not begun."""

PROMISING = 0.85
"""Kinds worth less than this share of their price at the prices of (A) are not filled while others can be."""

WORTH_PRICING = 0.95
"""Kinds whose bound is under this share of their price are not priced: they cannot give a column soon."""

type Mix = tuple[float, Measure]
"""At which prices nodes are filled: the share of (A)'s, and how their room is measured."""


LEAST_GROWTH = 64
"""Rows by which a pool grows at least."""


class PatternPool:
    """Patterns found so far, each once: `kinds` (P,) and `patterns` (P, K)."""

    def __init__(self, shapes: int) -> None:
        self.shapes = shapes
        self._count = 0
        self._kinds = np.zeros(LEAST_GROWTH, dtype=np.int64)
        self._patterns = np.zeros((LEAST_GROWTH, shapes), dtype=np.int64)  # rows beyond `_count` are free
        self._seen: set[tuple[int, bytes]] = set()

    def add(self, kind: int, pattern: Ints) -> bool:
        """Add a pattern; False where it is empty or known."""
        mark = (kind, _short(pattern))
        if mark in self._seen or not pattern.any():
            return False
        self._seen.add(mark)
        if self._count == len(self._kinds):
            more = LEAST_GROWTH + self._count // 4
            self._kinds = np.concatenate((self._kinds, np.zeros(more, dtype=np.int64)))
            self._patterns = np.concatenate((self._patterns, np.zeros((more, self.shapes), dtype=np.int64)))
        self._kinds[self._count], self._patterns[self._count] = kind, pattern
        self._count += 1
        return True

    def __len__(self) -> int:
        return self._count

    def keep(self, wanted: Bools) -> None:
        """Forget all patterns but those wanted, (P,)."""
        self._kinds, self._patterns = self.kinds[wanted], self.patterns[wanted]
        self._count = len(self._kinds)

    def since(self, first: int) -> tuple[Ints, Ints]:
        """Kinds (P,) and patterns (P, K) of what was added from number `first` on."""
        return self._kinds[first : self._count], self._patterns[first : self._count]

    @property
    def kinds(self) -> Ints:
        return self._kinds[: self._count]

    @property
    def patterns(self) -> Ints:
        return self._patterns[: self._count]


def _short(pattern: Ints) -> bytes:
    """A pattern told from others in few bytes: most of it is zeros."""
    used = np.flatnonzero(pattern)
    return np.concatenate((used, pattern[used])).astype(np.int32).tobytes()


@dataclass
class Pricing:
    """Finds columns: fills the kinds that may give one, at smoothed prices.

    columns_a_round: about as many are looked for at once.
    """

    problem: Problem
    duals: Duals
    unit_costs: Floats
    pool: PatternPool
    effort: Effort
    columns_a_round: int = COLUMNS_A_ROUND

    def attractive(self, slack: float = WORTH_PRICING) -> Ints:
        """Kinds that at the prices of (A) are worth nearly what they cost, and the scarce ones."""
        paid = self.problem.price / NANOS_PER_USD + self.duals.limits @ self.problem.scaled_weights
        return np.flatnonzero((self.duals.worth >= slack * paid) | (self.problem.most < UNLIMITED))

    @property
    def has_many_shapes(self) -> bool:
        return len(self.problem.demand) > MANY_SHAPES

    @cached_property
    def promising(self) -> Ints:
        """Kinds worth filling at all: those of use at the prices of (A), and the cheapest for each shape."""
        cheapest = np.where(self.problem.fits, unit_cost(self.problem), np.inf).argmin(axis=1)
        return np.union1d(self.attractive(PROMISING), cheapest)

    @cached_property
    def ways(self) -> tuple[Problem, ...]:
        """The problem as nodes are filled for it: as it is, and with wishes about the pods on a node as rules."""
        return (self.problem, self.problem.as_wished) if self.problem.wishes else (self.problem,)

    def round(self, master: Master, demand: Ints, number: int, kinds: Ints) -> int:
        """Fill `kinds` and add what pays at the master's prices; return how many columns were new."""
        at_once = max(1, self.columns_a_round // max(1, len(kinds)))
        measures = tuple(MEASURES[(number + turn) % len(MEASURES)] for turn in range(len(MEASURES)))
        for shares, part in WAYS:
            mixes = [(share, measure) for share in shares for measure in measures]
            for some in itertools.batched(mixes, at_once):
                found = sum(self._added(problem, master, demand, kinds, some, part) for problem in self.ways)
                if found:
                    return found
        return 0

    def begin(self, master: Master, number: int) -> int:
        """Fill nodes of the kinds most in use, begun with a pod of each shape in turn; how many columns were new."""
        problem, prices = self.problem, (1 - BEGUN_SHARE) * master.pods + BEGUN_SHARE * self.duals.pods
        paid = self.problem.price / NANOS_PER_USD
        nodes = np.bincount(self.pool.kinds[: len(master.values)], master.values, minlength=len(paid))
        used = np.flatnonzero(nodes * paid >= WORTH_BEGINNING * master.objective)
        shapes, which = np.nonzero(problem.fits[:, used] & (problem.demand > 0)[:, None])
        kinds, begun = used[which], np.zeros((len(shapes), len(prices)), dtype=np.int64)
        begun[np.arange(len(shapes)), shapes] = 1
        measure = MEASURES[number % len(MEASURES)]
        patterns = fill(problem, floored(prices, self.unit_costs), kinds, problem.demand, measure, start=begun)
        return self._kept(patterns, master, kinds, BEGUN_A_ROUND)

    def _added(
        self, problem: Problem, master: Master, demand: Ints, kinds: Ints, mixes: Sequence[Mix], part: int
    ) -> int:
        """Fill `kinds` in each of these ways at once, and add what pays; how many columns were new."""
        prices = [floored((1 - share) * master.pods + share * self.duals.pods, self.unit_costs) for share, _ in mixes]
        rows, repeated = np.tile(kinds, len(mixes)), np.repeat(prices, len(kinds), axis=0)
        patterns = fill(problem, repeated, rows, demand, [measure for _, measure in mixes], part)
        return self._kept(self._worthwhile(patterns, master, rows), master, rows, len(rows))

    def _kept(self, patterns: Ints, master: Master, kinds: Ints, most: int) -> int:
        """Add those of `patterns` (P, K) on `kinds` (P,) that pay, the best `most` of them; how many were new."""
        gain = patterns @ master.pods - master.paid(self.problem)[kinds]
        if self.problem.is_wished:
            gain -= self.problem.penalties(kinds, patterns) / NANOS_PER_USD
        paying = np.flatnonzero(gain > 1e-7)
        if len(paying) > most:
            paying = paying[np.argsort(-gain[paying], kind="stable")[:most]]
        return sum(self.pool.add(int(kinds[i]), patterns[i]) for i in paying)

    def _worthwhile(self, patterns: Ints, master: Master, kinds: Ints) -> Ints:
        """The patterns (kinds, K) without pods that miss more there than the master gives for them."""
        if not self.problem.penalty.size:
            return patterns
        return np.where(master.pods > self.problem.penalty[:, kinds].T / NANOS_PER_USD, patterns, 0)


def generate(pricing: Pricing, rounds: int, stop: Callable[[], bool] = lambda: False) -> Master | None:
    """Run column generation from the pool; return the last master, or None where its columns cannot cover it all."""
    problem, pool = pricing.problem, pricing.pool
    kinds = pricing.attractive()
    lp, known = MasterLp(problem, problem.demand, pricing.effort), 0
    master: Master | None = None
    values: list[float] = []
    many = pricing.has_many_shapes
    looking_back, too_little = (LOOKING_BACK_AT_MANY, TOO_LITTLE_AT_MANY) if many else (LOOKING_BACK, TOO_LITTLE)
    for number in range(rounds):
        lp.add(*pool.since(known))
        known = len(pool)
        solved = lp.solve()
        if solved is None:
            break
        master = solved
        values.append(master.objective)
        if len(values) > looking_back and values[-looking_back] - values[-1] < too_little * values[-1]:
            break
        if stop() or not pricing.round(master, problem.demand, number, kinds):
            break
    if master is not None:
        master = _with_begun(pricing, lp, master, int(BEGUN_ROUNDS * rounds), stop)
        _forget_dear(pricing, master)
    return master


def _with_begun(pricing: Pricing, lp: MasterLp, master: Master, rounds: int, stop: Callable[[], bool]) -> Master:
    """The master with columns of begun nodes, where nodes hold few pods."""
    if float(pricing.problem.demand.sum()) > FEW_PODS * float(master.values.sum()):
        return master
    for number in range(rounds):
        if stop() or not pricing.begin(master, number):
            break
        lp.add(*pricing.pool.since(len(master.values)))
        solved = lp.solve()
        if solved is None:
            break
        master = solved
    return master


def _forget_dear(pricing: Pricing, master: Master) -> None:
    """Drop columns that cost much more than they are worth: no rounding wants them, and each solve carries them."""
    problem, pool = pricing.problem, pricing.pool
    paid, kinds = master.paid(problem)[pool.kinds], pool.kinds
    if problem.is_wished:
        paid += problem.penalties(kinds, pool.patterns) / NANOS_PER_USD
    pool.keep((pool.patterns @ master.pods >= (1 - DEAR) * paid) | (problem.most[kinds] < UNLIMITED))
