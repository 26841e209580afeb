"""Which alternatives to take: `choose` picks n_a of `raypipe.packing.choices`, and packs the demand that follows.

Where there are few lean choices, all are looked at, the one of the least bound by (A) first, until no bound is below
the best packing: then the best packing of all is found as well as `solve` finds one of a fixed demand, and it is the
optimum where those are proven. Else the choice is made inside the optimisation: (A), then the pattern LP, with the rows

    Σ_j x_kj − Σ_{a: k(a)=k} h_a n_a >= base_k     ∀ k            Σ_{a∈s} v_a n_a >= W_s     ∀ s

and n_a fractions; their n_a are rounded to lean choices, packed, and improved by shifting single replicas. Patterns
matter: (A) would fill nodes of four GPUs with pods of three.

The bound holds for every choice: the least of the bounds of all of them where they are few, else that of (A) with n_a
free, whose certificate takes the cheapest choice at its prices (`Choices.least_worth`).

Refused: n_a as integers of one model with the patterns. The search for nodes needs a fixed demand at every step, and
few lean choices come near the optimum anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.bound import Duals, aggregated_lp, unit_cost
from raypipe.packing.choices import Choices
from raypipe.packing.dominance import undominated
from raypipe.packing.exact import is_small
from raypipe.packing.master import FreeMasterLp
from raypipe.packing.patterns import PatternPool, Pricing
from raypipe.packing.problem import Problem
from raypipe.packing.solve import Found, Solved, nobody, solve
from raypipe.packing.solver import Effort
from raypipe.packing.warm import Columns
from raypipe.quantities import NANOS_PER_USD
from raypipe.settings import Settings

MOST_LISTED = 64
"""Most lean choices that are all looked at."""
MOST_PACKED = 8
"""Most choices that are packed where that takes more than a listed problem does; improving takes half of them."""
ROUNDS = 30
"""Most rounds of column generation with n_a free; the LP only has to tell shapes apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """A choice (A,), the packing of its demand, and how many choices were packed; solved.packing None: none fits."""

    replicas: Ints
    solved: Solved
    packed: int


def choose(
    problem: Problem,
    choices: Choices,
    standing: Ints | None,
    settings: Settings,
    effort: Effort,
    stop: Callable[[], bool] = lambda: False,
    found: Found = nobody,
    warm: Columns | None = None,
) -> Chosen | None:
    """The choice whose demand costs least to pack, or None where no choice that was looked at can be packed whole.

    standing: the choice as it stands, which is kept where no other is cheaper.
    """
    looked = _Looked(problem, choices, standing, settings, effort, stop, found, warm)
    listed = choices.lean(MOST_LISTED)
    if listed is not None:
        return looked.at_all(_with(listed, standing))
    return looked.at_good_ones()


def _with(listed: Iterable[Ints], standing: Ints | None) -> list[Ints]:
    """The choices, that which stands first."""
    others = [chosen for chosen in listed if standing is None or (chosen != standing).any()]
    return others if standing is None else [standing, *others]


class _Looked:
    """The choices packed so far, and the best of them."""

    def __init__(
        self,
        problem: Problem,
        choices: Choices,
        standing: Ints | None,
        settings: Settings,
        effort: Effort,
        stop: Callable[[], bool],
        found: Found,
        warm: Columns | None,
    ) -> None:
        self._problem = problem
        self._choices = choices
        self._standing = standing if standing is not None and choices.covered(standing) else None
        self._settings, self._effort, self._stop, self._found, self._warm = settings, effort, stop, found, warm
        self._best: tuple[tuple[int, bool, int], Ints, Solved] | None = None
        self._packed: set[bytes] = set()

    def at_all(self, listed: list[Ints]) -> Chosen | None:
        """Look at every choice, the most promising first, until none left can be cheaper."""
        bounds = {number: bound for number, one in enumerate(listed) if (bound := self._bound(one)) is not None}
        small = is_small(self._problem.with_demand(self._choices.highest), self._settings.enumerate_patterns)
        first = self._standing is not None and not small  # searches end anywhere: what stands is compared always
        order = sorted(bounds, key=lambda number: (not (first and number == 0), bounds[number], number))
        proven: list[int] = []
        for done, number in enumerate(order):
            beaten = self._best is not None and bounds[number] > self._best[0][0]
            if beaten or (done and self._stop()) or (done >= MOST_PACKED and not small):
                proven += [bounds[rest] for rest in order[done:]]
                break
            solved = self._pack(listed[number])
            if solved.packing is not None or not solved.proven:
                proven.append(max(solved.bound_usd_nanos, bounds[number]))
        return self._chosen(min(proven, default=0))

    def at_good_ones(self) -> Chosen | None:
        """Look at choices near those of the LPs with n_a free, and at their neighbours."""
        free = self._free()
        if free is None:
            return None
        bound, candidates = free
        for chosen in _with(candidates, self._standing)[:MOST_PACKED]:
            if self._best is None or not self._stop():
                self._pack(chosen)
        for _ in range(MOST_PACKED // 2):
            if self._best is None or self._stop():
                break
            best = self._best[1]
            untried = (one for one in self._choices.neighbours(best) if one.tobytes() not in self._packed)
            promising = min(untried, key=lambda one: (self._bound(one) or 2**62, one.tolist()), default=None)
            if promising is None or (self._bound(promising) or 2**62) > self._best[0][0]:
                break
            self._pack(promising)
        return self._chosen(bound)

    def _bound(self, chosen: Ints) -> int | None:
        """What the demand of a choice costs at least, by (A), rules left out; None where it cannot be packed."""
        problem = self._problem.with_demand(self._choices.demand(chosen))
        shapes = np.flatnonzero(problem.demand)
        if not len(shapes):
            return 0
        part = problem.only_shapes(shapes)
        flat = replace(part, beside=(), domains=(), cell=part.cell[:0])
        duals = aggregated_lp(flat.only_kinds(undominated(flat)), self._effort)
        return None if duals is None else int(np.floor(duals.usd_per_hour * NANOS_PER_USD + 0.5))

    def _pack(self, chosen: Ints) -> Solved:
        """Pack the demand of a choice."""
        self._packed.add(chosen.tobytes())
        problem = self._problem.with_demand(self._choices.demand(chosen))
        solved = solve(problem, self._settings, self._effort, self._stop, found=self._found, warm=self._warm)
        if solved.packing is None:
            return solved
        stands = self._standing is not None and bool((chosen == self._standing).all())
        cost, nodes = solved.packing.worth(problem)
        worth = (cost, not stands, nodes)
        if self._best is None or worth < self._best[0]:
            self._best = (worth, chosen, solved)
        return solved

    def _chosen(self, bound: int) -> Chosen | None:
        if self._best is None:
            return None
        (cost, *_), chosen, solved = self._best
        bound = min(bound, cost)
        proven = solved.proven and bound == cost
        kind = solved.bound_kind if bound == solved.bound_usd_nanos else "aggregated-lp"
        solved = replace(solved, bound_usd_nanos=bound, bound_kind=kind, proven=proven)
        return Chosen(replicas=chosen, solved=solved, packed=len(self._packed))

    def _free(self) -> tuple[int, list[Ints]] | None:
        """The bound of (A) with n_a free, and choices near its n_a and the pattern LP's; None where (A) has none."""
        whole = self._problem.with_demand(self._choices.highest)
        shapes = np.flatnonzero(whole.demand)
        part = whole.only_shapes(shapes)
        flat = replace(part, beside=(), domains=(), cell=part.cell[:0])
        small = flat.only_kinds(undominated(flat))
        choices = self._choices.only_shapes(shapes, len(whole.demand))
        duals = aggregated_lp(small, self._effort, choices=choices)
        if duals is None:
            return None
        bound = int(np.floor(duals.usd_per_hour * NANOS_PER_USD + 0.5))
        candidates: list[Ints] = []
        for fractions in (_by_patterns(small, choices, duals, self._effort, self._stop), duals.chosen):
            for one in choices.rounded(fractions) if fractions is not None else ():
                if not any((one == other).all() for other in candidates):
                    candidates.append(one)
        return bound, candidates


def _by_patterns(
    problem: Problem, choices: Choices, duals: Duals, effort: Effort, stop: Callable[[], bool]
) -> Floats | None:
    """n_a of the pattern LP with n_a free, (A,); None where its columns cannot cover the work."""
    pool = PatternPool(len(problem.demand))
    pricing = Pricing(problem=problem, duals=duals, unit_costs=unit_cost(problem).min(axis=1), pool=pool, effort=effort)
    kinds = pricing.promising
    lp, known, fractions = FreeMasterLp(problem, choices, effort), 0, None
    for k in range(len(problem.demand)):  # a first column for each shape: nodes full of its pods
        for j in kinds[problem.fits[k, kinds]][:3].tolist():
            pattern = np.zeros(len(problem.demand), dtype=np.int64)
            pattern[k] = min(int(problem.demand[k]), _most_alone(problem, k, j))
            pool.add(j, pattern)
    for number in range(ROUNDS):
        lp.add(*pool.since(known))
        known = len(pool)
        solved = lp.solve()
        if solved is None:
            break
        master, fractions = solved
        if stop() or not pricing.round(master, problem.demand, number, kinds):
            break
    return fractions


def _most_alone(problem: Problem, shape: int, kind: int) -> int:
    """How many pods of a shape an empty node of a kind holds."""
    need = problem.requests[shape]
    used = need > 0
    return max(1, int((problem.capacity[kind][used] // need[used]).min(initial=2**31)))
