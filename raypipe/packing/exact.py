"""Small problems, listed whole: every filling of a node, and the MILP over them, to proven optimality.

The fillings of a node are vectors v with 0 <= v <= n; where there are few (Π_k (n_k + 1) at most a setting), all are
listed. (j, v) is a column when v goes on kind j, nothing more of the demand goes on with it, and no kind without end
that is as cheap and counts no more holds v as well. Then

    min Σ c_j y_jv   s.t.  Σ v_k y_jv >= m_k,  Σ w_qj y_jv <= L_q,  Σ_v y_jv <= u_j,  y integer

is the packing problem itself, for every demand m <= n: its optimum is the optimum, its infeasibility a proof, which is
what the order of admission needs. Kind of bound: `pattern-milp`.

Where pods ask things of each other across nodes, taking one off can be wrong: then every filling that fits is listed,
pods are covered exactly, and the rows of `raypipe.packing.domains` and of `Beside` stand below. Where pods would like
things, a node costs by what is on it, so every filling is listed as well, each on the kind where it costs least, and
wishes over domains are rows with priced variables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raypipe.packing.arrays import Bools, Ints
from raypipe.packing.domains import aux_limits, rows_of, wish_costs
from raypipe.packing.master import SideRows, decoded, master_model
from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD

MOST_COLUMNS = 4_000
MARKS_AT_ONCE = 400_000
"""Kinds x vectors looked at together: what a processor keeps near."""
HELD_BY_NONE = np.iinfo(np.int64).max
"""What a filling costs that no kind holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """What the MILP found: a packing (None: none exists, if `proven`), and a bound on its cost in nano-dollars."""

    packing: Packing | None
    proven: bool
    bound_usd_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enumeration:
    """All columns worth having: `kinds` (P,), `patterns` (P, K), for demands up to that of `problem`."""

    problem: Problem
    kinds: Ints
    patterns: Ints

    def solve(self, demand: Ints, effort: Effort, search_nodes: int, limits: Ints | None = None) -> Optimum:
        """Solve the MILP for a demand of at most the problem's, under its limits or under others."""
        problem = self.problem if limits is None else self.problem.under(limits)
        if not demand.any():
            return Optimum(packing=collected(problem, []), proven=True, bound_usd_nanos=0)
        if problem.is_ruled or problem.is_wished:
            useful = np.flatnonzero((self.patterns <= demand).all(axis=1))
            kinds, patterns = self.kinds[useful], self.patterns[useful]
            side = _side_rows(problem.with_demand(demand), kinds, patterns)
        else:
            useful = np.flatnonzero(np.minimum(self.patterns, demand).any(axis=1))
            kinds, patterns, side = self.kinds[useful], np.minimum(self.patterns[useful], demand), None
        model = master_model(problem, kinds, patterns, demand, effort, integer=True, side=side).model
        solution = model.solve(search_nodes) if len(useful) else None
        if solution is None:
            return Optimum(packing=None, proven=model.infeasible or not len(useful), bound_usd_nanos=0)
        packing = decoded(problem, demand, kinds, patterns, np.rint(solution.values[: len(kinds)]).astype(np.int64))
        if packing is None:
            return Optimum(packing=None, proven=False, bound_usd_nanos=0)
        cost = packing.usd_nanos(problem)
        bound = cost if solution.optimal else max(0, int(np.floor(solution.bound * NANOS_PER_USD - 1)))
        return Optimum(packing=packing, proven=solution.optimal, bound_usd_nanos=min(bound, cost))


def is_small(problem: Problem, most: int) -> bool:
    """Whether there are at most `most` vectors of pods that a node might hold."""
    return len(problem.demand) > 0 and math.prod((problem.demand + 1).tolist()) <= most


def enumerate_fillings(problem: Problem, most: int) -> Enumeration | None:
    """List every column worth having, or return None where there are more than `most` vectors or too many columns."""
    if not is_small(problem, most):
        return None
    sizes = problem.demand + 1
    strides = np.concatenate((np.cumprod(sizes[::-1])[::-1][1:], [1]))
    numbers = np.arange(int(np.prod(sizes)))
    vectors = (numbers[:, None] // strides[None, :]) % sizes[None, :]
    order = np.lexsort((problem.rank, problem.price))
    order = order[(problem.most[order] > 0) & problem.fits[:, order].any(axis=0)]
    held: list[tuple[Ints, int, Ints]] = []
    kinds: list[Ints] = [np.zeros(0, dtype=np.int64)]
    patterns: list[Ints] = [vectors[:0]]
    whole = problem.is_ruled or problem.is_wished
    for j, fits, maximal in _rows(problem, order, vectors, sizes, strides):
        wanted = fits if whole else maximal
        costs = problem.cost(np.full(len(vectors), j), vectors) if problem.is_wished else problem.price[j]
        weight, cell = problem.weights[:, j], int(problem.cell[j]) if len(problem.cell) else 0
        for other, same, least in held:
            if same == cell and (other <= weight).all():
                wanted = wanted & (costs < least)
        if problem.most[j] >= UNLIMITED:
            _remember(held, weight, cell, np.where(fits, costs, HELD_BY_NONE))
        found = np.flatnonzero(wanted[1:]) + 1
        if len(found):
            kinds.append(np.full(len(found), j))
            patterns.append(vectors[found])
    if sum(len(found) for found in kinds) > MOST_COLUMNS:
        return None
    return Enumeration(problem=problem, kinds=np.concatenate(kinds), patterns=np.concatenate(patterns))


def _remember(held: list[tuple[Ints, int, Ints]], weight: Ints, cell: int, costs: Ints) -> None:
    """Note what the vectors cost at least on kinds without end of this weight and in this cell."""
    for other, same, least in held:
        if same == cell and (other == weight).all():
            np.minimum(least, costs, out=least)
            return
    held.append((weight, cell, costs))


def _side_rows(problem: Problem, kinds: Ints, patterns: Ints) -> SideRows:
    """The rows that the rules of the problem put under the fillings."""
    rows = rows_of(problem)
    columns = [(patterns * row.pods[:, problem.cell[kinds]].T).sum(axis=1) for row in rows]
    most = [row.most for row in rows]
    more = {
        name: (limit, {x: row.aux[name] for x, row in enumerate(rows) if name in row.aux})
        for name, limit in aux_limits(problem, rows).items()
    }
    for rule in problem.beside:
        lonely = rule.lonely(patterns, kinds)
        begins = rule.may_begin(patterns)
        columns.append(np.where(lonely, np.where(begins, 1.0, 2.0), 0.0))
        most.append(1.0 if rule.seed else 0.0)
    asking = [rule.owners | rule.members for rule in problem.domains]
    asking += [rule.owners | rule.members for rule in problem.beside]
    wishes = [one.wish for one in problem.wishes] + [one.wish for one in problem.domain_wishes]
    asking += [wish.owners | wish.members for wish in wishes]
    return SideRows(
        columns=np.array(columns, dtype=np.float64).reshape(len(columns), len(kinds)),
        most=np.array(most, dtype=np.float64),
        more=more,
        exact=np.any(asking, axis=0) if asking else np.zeros(len(problem.demand), dtype=bool),
        costs=wish_costs(problem, more),
    )


def _rows(
    problem: Problem, kinds: Ints, vectors: Ints, sizes: Ints, strides: Ints
) -> Iterator[tuple[int, Bools, Bools]]:
    """Each kind with the vectors that go on a node of it, and those of them with which no pod more goes, (V,) each."""
    used = vectors > 0
    more = [(np.flatnonzero(vectors[:, k] < sizes[k] - 1), stride) for k, stride in enumerate(strides.tolist())]
    loads, at_once = vectors @ problem.requests, max(1, MARKS_AT_ONCE // len(vectors))
    for first in range(0, len(kinds), at_once):
        some = kinds[first : first + at_once]
        fits = _fitting(problem, some, vectors, used, loads)
        maximal = fits.copy()
        for room, stride in more:
            maximal[:, room] &= ~fits[:, room + stride]
        yield from zip(some.tolist(), fits, maximal, strict=True)


def _fitting(problem: Problem, kinds: Ints, vectors: Ints, used: Bools, loads: Ints) -> Bools:
    """Which vectors go on a node of each of `kinds`, (kinds, V)."""
    fits: Bools = (~problem.fits[:, kinds]).T.astype(np.float32) @ used.T.astype(np.float32) == 0
    for r in range(loads.shape[1]):
        fits &= loads[:, r] <= problem.capacity[kinds, r, None]
    for rule in problem.apart:
        fits &= ~rule.asked(vectors) | (vectors[:, rule.members].sum(axis=1) <= rule.most[kinds, None])
    for i in np.flatnonzero(problem.slices_matter[kinds]):
        for v in np.flatnonzero(fits[i]):
            fits[i, v] = problem.slices_fit(vectors[v], int(kinds[i]))
    return fits
