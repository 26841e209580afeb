"""What is scarce beyond one problem: limits that several problems share, asked of one of them.

Letters as in `raypipe.packing.problem`; c numbers the problems (clusters), and only rows q that they share are meant::

    V_c(n; σ) = min Σ_j (c_j + Σ_q σ_q w_qj) y_j   over the packings of n in problem c        (`repriced`)
    U_c(n; δ) = min Σ_j (Σ_q δ_q w_qj) y_j         over the same                              (`LeastUse`)

For any σ >= 0, Σ_c V_c(n_c; σ) − Σ_q σ_q L_q is a lower bound on what all cost together within the limits (Lagrange),
and where Σ_c U_c(n_c; δ) > Σ_q δ_q L_q for some δ >= 0, no packings of the n_c are within the limits together. With one
row that is shared the converse holds too, if the U_c are known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.problem import UNLIMITED, Packing, Problem
from raypipe.packing.solve import Solved, solve
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD
from raypipe.settings import Settings

QUICK_ROUNDS = 8
"""Rounds of column generation while it is only asked whether there is a way."""
LISTING_PRICE, SEARCH_PRICE = 1, 40
"""What an answer costs of the setting `admission_checks`: proven, by listing what there is, or searched for."""


def repriced(problem: Problem, rows: Ints, prices: Floats, *, cost: bool = True) -> Problem:
    """The problem with c_j + Σ σ_q w_qj for c_j, σ the `prices` (Q,) of `rows` in nano-dollars a unit.

    Without `cost`: with the sum alone, and without what pods would like. Rounded down, so that bounds of the new
    problem are bounds of the formula.
    """
    more = np.floor(prices @ problem.weights[rows]).astype(np.int64)
    if cost:
        return problem.at_prices(problem.price + more)
    nothing_liked = replace(problem, penalty=np.zeros((0, 0), dtype=np.int64), wishes=(), domain_wishes=())
    return nothing_liked.at_prices(more)


ROUNDING = 1e-6
"""Share of a step by which a bound may be off in floats."""


@dataclass(slots=True, kw_only=True)
class LeastUse:
    """How little of the rows that it shares one problem can do with; remembers what it was asked.

    Attributes:
        rows: numbers of the shared rows, (Q,). Their limits in `problem` are what is left for all problems.
        directions: δ that may be asked for, (D, Q). steps: what U is a multiple of in each direction, (D,).
    """

    problem: Problem
    rows: Ints
    directions: Floats
    steps: Floats
    settings: Settings
    effort: Effort
    _priced: list[Problem] = field(init=False)
    _left: int = field(init=False)
    _answers: dict[tuple[int, bytes], Solved | None] = field(init=False, default_factory=dict)
    _certificates: dict[int, list[tuple[Floats, float]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._left = self.settings.admission_checks
        self._priced = [repriced(self.problem, self.rows, one, cost=False) for one in self.directions]

    def known(self, demand: Ints, direction: int) -> float:
        """A lower bound on U of `demand` from what was solved before: duals for another demand stay feasible."""
        if self._answers.get((direction, demand.tobytes())) is not None:
            return self.floor(demand, direction)
        return self._certified(demand, direction)

    def _certified(self, demand: Ints, direction: int) -> float:
        certified = (float(prices @ demand) - fixed for prices, fixed in self._certificates.get(direction, ()))
        return self._whole(max((0.0, *certified)), direction)

    def floor(self, demand: Ints, direction: int) -> float:
        """A lower bound on U of `demand`, infinite where it cannot be packed at all."""
        solved = self.solved(demand, direction)
        if solved is None:
            return self._certified(demand, direction)
        if solved.packing is None and solved.proven:
            return float("inf")
        return max(self._certified(demand, direction), self._whole(float(solved.bound_usd_nanos), direction))

    def packing(self, demand: Ints, direction: int) -> Packing | None:
        """A packing of `demand` with little use, or None where none was found."""
        solved = self.solved(demand, direction)
        return None if solved is None else solved.packing

    def use(self, packing: Packing) -> Ints:
        """What a packing counts against the shared rows, (Q,)."""
        use: Ints = packing.usage(self.problem)[self.rows]
        return use

    def solved(self, demand: Ints, direction: int) -> Solved | None:
        """The problem of U for `demand`, solved; None where too much was asked already."""
        mark = (direction, demand.tobytes())
        if mark not in self._answers:
            self._answers[mark] = self._solved(demand, direction) if self._left > 0 else None
        return self._answers[mark]

    def _solved(self, demand: Ints, direction: int) -> Solved:
        priced = self._priced[direction].with_demand(demand)
        solved = solve(priced, self._quick, self.effort)
        self._left -= LISTING_PRICE if solved.proven else SEARCH_PRICE
        self._certificates.setdefault(direction, []).append(_certificate(priced, solved))
        return solved

    @property
    def _quick(self) -> Settings:
        return replace(self.settings, lp_rounds=min(QUICK_ROUNDS, self.settings.lp_rounds), neighbourhoods=0)

    def _whole(self, bound: float, direction: int) -> float:
        """The bound rounded up to what a use can be."""
        step = float(self.steps[direction])
        return float(np.ceil(bound / step - ROUNDING)) * step


def _certificate(problem: Problem, solved: Solved) -> tuple[Floats, float]:
    """π in nano-dollars and what is taken off π·n: LB of `raypipe.packing.bound` for whatever demand n."""
    paid = problem.price / NANOS_PER_USD + solved.limits @ problem.scaled_weights
    scarce = problem.most < UNLIMITED
    excess = np.where(scarce, np.maximum(0.0, np.nan_to_num(solved.worth) - paid), 0.0)
    fixed = float((excess * np.where(scarce, problem.most, 0)).sum()) + float(solved.limits @ problem.scaled_limits)
    return solved.pods * NANOS_PER_USD, fixed * NANOS_PER_USD
