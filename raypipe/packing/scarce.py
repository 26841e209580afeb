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
from raypipe.packing.bound import aggregated_lp
from raypipe.packing.dominance import undominated
from raypipe.packing.problem import UNLIMITED, Packing, Problem
from raypipe.packing.solve import Solved, without_rules_across
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD
from raypipe.settings import Settings

QUICK_ROUNDS = 8
"""Rounds of column generation while it is only asked whether there is a way."""
LISTING_PRICE, SEARCH_PRICE, SHAPE_PRICE = 1, 40, 2
"""What an answer costs of the setting `admission_checks`: proven, by listing what there is, or searched for, and then
so much a shape of pods more, as it takes longer."""


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
    """How little of the rows that it shares one problem can do with: what is known of it, and what would be asked.

    Attributes:
        rows: numbers of the shared rows, (Q,). Their limits in `problem` are what is left for all problems.
        directions: δ that may be asked for, (D, Q). steps: what U is a multiple of in each direction, (D,).
    """

    problem: Problem
    rows: Ints
    directions: Floats
    steps: Floats
    settings: Settings
    _priced: list[Problem] = field(init=False)
    _left: int = field(init=False)
    _answers: dict[tuple[int, bytes], Solved] = field(init=False, default_factory=dict)
    _certificates: dict[int, list[tuple[Floats, float]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._left = self.settings.admission_checks
        self._priced = [repriced(self.problem, self.rows, one, cost=False) for one in self.directions]

    def floors(self, demand: Ints) -> Floats:
        """Lower bounds on U of `demand`, (D,), infinite where it cannot be packed at all.

        Duals for another demand stay feasible, so all that was solved before says something of every demand.
        """
        return np.array([self._floor(demand, d) for d in range(len(self.directions))])

    def _floor(self, demand: Ints, direction: int) -> float:
        certified = (float(prices @ demand) - fixed for prices, fixed in self._certificates.get(direction, ()))
        known = self._whole(max((0.0, *certified)), direction)
        solved = self._answers.get((direction, demand.tobytes()))
        if solved is None:
            return known
        if solved.packing is None and solved.proven:
            return float("inf")
        return max(known, self._whole(float(solved.bound_usd_nanos), direction))

    def packings(self, demand: Ints) -> list[Packing]:
        """Packings of `demand` with little use in one direction or another, as far as they were found."""
        answers = (self._answers.get((d, demand.tobytes())) for d in range(len(self.directions)))
        return [one.packing for one in answers if one is not None and one.packing is not None]

    def questions(self, demand: Ints) -> dict[int, Problem]:
        """The problems of U for `demand` that were not solved yet, by direction; none where enough was asked."""
        if self._left <= 0:
            return {}
        return {
            d: priced.with_demand(demand)
            for d, priced in enumerate(self._priced)
            if (d, demand.tobytes()) not in self._answers
        }

    @property
    def quick(self) -> Settings:
        """The settings of one question: there are several, and what is asked is whether there is a way."""
        rounds = min(QUICK_ROUNDS, self.settings.lp_rounds)
        return replace(self.settings, lp_rounds=rounds, neighbourhoods=0, bound_search=0)

    def learn(self, direction: int, asked: Problem, solved: Solved) -> None:
        """Take in the answer to one of the `questions`."""
        searched = SEARCH_PRICE + SHAPE_PRICE * int(np.count_nonzero(asked.demand))
        self._left -= LISTING_PRICE if solved.proven else searched
        self._answers[direction, asked.demand.tobytes()] = solved
        found = _certificate(asked, solved.pods, solved.limits, solved.worth)
        self._certificates.setdefault(direction, []).append(found)

    def begin(self, effort: Effort) -> None:
        """Take certificates from (A) for the whole demand, which cost little."""
        flat = without_rules_across(self.problem)
        shapes = np.flatnonzero(flat.demand)
        for d, priced in enumerate(self._priced if len(shapes) else ()):
            part = without_rules_across(priced).only_shapes(shapes)
            kinds = undominated(part)
            duals = aggregated_lp(part.only_kinds(kinds), effort)
            if duals is None:
                continue
            pods, worth = np.zeros(len(priced.demand)), np.full(len(priced.price), np.nan)
            pods[shapes], worth[kinds] = duals.pods, duals.worth
            self._certificates.setdefault(d, []).append(_certificate(priced, pods, duals.limits, worth))

    def _whole(self, bound: float, direction: int) -> float:
        """The bound rounded up to what a use can be."""
        step = float(self.steps[direction])
        return float(np.ceil(bound / step - ROUNDING)) * step


def _certificate(problem: Problem, pods: Floats, limits: Floats, worth: Floats) -> tuple[Floats, float]:
    """π in nano-dollars and what is taken off π·n: LB of `raypipe.packing.bound` for whatever demand n."""
    paid = problem.price / NANOS_PER_USD + limits @ problem.scaled_weights
    scarce = problem.most < UNLIMITED
    excess = np.where(scarce, np.maximum(0.0, np.nan_to_num(worth) - paid), 0.0)
    fixed = float((excess * np.where(scarce, problem.most, 0)).sum()) + float(limits @ problem.scaled_limits)
    return pods * NANOS_PER_USD, fixed * NANOS_PER_USD
