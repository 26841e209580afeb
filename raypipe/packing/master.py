"""The master problem over patterns, as a model: what the pattern LP, the listed problem and neighbourhoods all solve.

A column is one node of a kind filled with a pattern; rows are the pods to cover, the limits (as shares of their largest
weight) and the scarce kinds::

    min Σ_p c_p y_p         Σ_p a_pk y_p >= m_k    Σ_p w_q,j(p) y_p <= L_q    Σ_{p: j(p)=j} y_p <= u_j

c_p is what a node of the kind with the pattern costs (`Problem.cost`): its price, and what its pods miss.

`MasterLp` is its relaxation, kept in the solver while columns are found; `master_model` is the whole thing, for MILPs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.choices import Choices
from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected
from raypipe.packing.solver import Effort, GrowingLp, Model
from raypipe.quantities import NANOS_PER_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """A solved master: nodes of each pattern (P,), and the prices of pods (K,), limits (Q,) and scarce kinds (J,)."""

    objective: float
    values: Floats
    pods: Floats
    limits: Floats
    kinds: Floats

    def paid(self, problem: Problem) -> Floats:
        """What a node of each kind costs, with what it counts at these prices, (J,) $/h; what its pods miss apart."""
        paid: Floats = problem.price / NANOS_PER_USD + self.limits @ problem.scaled_weights + self.kinds
        return paid


class MasterLp:
    """The LP over patterns for `demand` (K,): columns are added, and each solve starts where the last one ended."""

    def __init__(self, problem: Problem, demand: Ints, effort: Effort) -> None:
        self._problem = problem
        self._shapes = np.flatnonzero(demand > 0)
        self._scarce = np.flatnonzero(problem.most < UNLIMITED)
        at_most = np.concatenate((problem.scaled_limits, problem.most[self._scarce].astype(np.float64)))
        self._lp = GrowingLp(effort, demand[self._shapes].astype(np.float64), at_most)
        self._of_kind = np.zeros((len(problem.price), len(at_most)))
        self._of_kind[:, : len(problem.limits)] = problem.scaled_weights.T
        self._of_kind[self._scarce, len(problem.limits) + np.arange(len(self._scarce))] = 1.0

    def add(self, kinds: Ints, patterns: Ints) -> None:
        """Add a column for each of `kinds` (P,) filled with `patterns` (P, K)."""
        pods, of_kind = patterns[:, self._shapes], self._of_kind[kinds]
        column, row = np.nonzero(pods)
        other_column, other_row = np.nonzero(of_kind)
        owner = np.concatenate((column, other_column))
        order = np.argsort(owner, kind="stable")
        rows = np.concatenate((row, len(self._shapes) + other_row))[order]
        values = np.concatenate((pods[column, row].astype(np.float64), of_kind[other_column, other_row]))[order]
        starts = np.searchsorted(owner[order], np.arange(len(kinds)))
        self._lp.add(self._problem.cost(kinds, patterns) / NANOS_PER_USD, starts, rows, values)

    def solve(self) -> Master | None:
        """Solve it; None where the patterns so far cannot cover the demand within the limits."""
        solution = self._lp.solve()
        if solution is None:
            return None
        problem, first = self._problem, len(self._shapes)
        last = first + len(problem.limits)
        pods, scarce = np.zeros(len(problem.demand)), np.zeros(len(problem.price))
        pods[self._shapes] = np.maximum(solution.duals[:first], 0.0)
        scarce[self._scarce] = np.maximum(-solution.duals[last:], 0.0)
        limits = np.maximum(-solution.duals[first:last], 0.0)
        return Master(objective=solution.objective, values=solution.values, pods=pods, limits=limits, kinds=scarce)


class FreeMasterLp:
    """The LP over patterns where the demand has choices in it: n_a are columns beside those of the patterns."""

    def __init__(self, problem: Problem, choices: Choices, effort: Effort) -> None:
        self._problem, self._choices = problem, choices
        self._scarce = np.flatnonzero(problem.most < UNLIMITED)
        at_least = np.concatenate((choices.base.astype(np.float64), choices.shares_of_work))
        at_most = np.concatenate((problem.scaled_limits, problem.most[self._scarce].astype(np.float64)))
        self._lp = GrowingLp(effort, at_least, at_most)
        self._lp.add(*choices.columns())
        self._of_kind = np.zeros((len(problem.price), len(choices.work) + len(at_most)))
        first = len(choices.work)
        self._of_kind[:, first : first + len(problem.limits)] = problem.scaled_weights.T
        self._of_kind[self._scarce, first + len(problem.limits) + np.arange(len(self._scarce))] = 1.0

    def add(self, kinds: Ints, patterns: Ints) -> None:
        """Add a column for each of `kinds` (P,) filled with `patterns` (P, K)."""
        entries: Floats = np.concatenate((patterns.astype(np.float64), self._of_kind[kinds]), axis=1)
        columns, rows = np.nonzero(entries)
        starts = np.searchsorted(columns, np.arange(len(kinds)))
        self._lp.add(self._problem.cost(kinds, patterns) / NANOS_PER_USD, starts, rows, entries[columns, rows])

    def solve(self) -> tuple[Master, Floats] | None:
        """Solve it: the master, and n_a (A,); None where the patterns so far cannot do the work within the limits."""
        solution = self._lp.solve()
        if solution is None:
            return None
        problem, first = self._problem, len(self._choices.base) + len(self._choices.work)
        last = first + len(problem.limits)
        scarce = np.zeros(len(problem.price))
        scarce[self._scarce] = np.maximum(-solution.duals[last:], 0.0)
        master = Master(
            objective=solution.objective,
            values=solution.values[len(self._choices.of) :],
            pods=np.maximum(solution.duals[: len(self._choices.base)], 0.0),
            limits=np.maximum(-solution.duals[first:last], 0.0),
            kinds=scarce,
        )
        return master, solution.values[: len(self._choices.of)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SideRows:
    """More rows to keep under `most` (X,): `columns` (X, P) for the patterns, and `more` variables with their entries.

    costs: $/h of some of these variables; the others are free.
    exact: (K,) which shapes may not be covered more than once.
    """

    columns: Floats
    most: Floats
    more: Mapping[str, tuple[float, Mapping[int, float]]]
    exact: Bools
    costs: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterModel:
    """A model with the meaning of its rows: first `shapes`, then the limits, then the `scarce` kinds."""

    model: Model
    shapes: Ints
    scarce: tuple[int, ...]


def master_model(
    problem: Problem,
    kinds: Ints,
    patterns: Ints,
    demand: Ints,
    effort: Effort,
    *,
    integer: bool = False,
    side: SideRows | None = None,
) -> MasterModel:
    """The master over columns `kinds` (P,) and `patterns` (P, K) for `demand` (K,), one column a pattern, in order."""
    shapes = np.flatnonzero(demand > 0)
    scarce = tuple(int(j) for j in np.unique(kinds) if problem.most[j] < UNLIMITED)
    first_limit = len(shapes)
    scarce_row = {j: first_limit + len(problem.limits) + i for i, j in enumerate(scarce)}
    model = Model(effort, integer=integer)
    model.cover(demand[shapes], "pods")
    model.keep_under(problem.scaled_limits, "limit")
    model.keep_under([float(problem.most[j]) for j in scarce], "scarce")
    first_side = first_limit + len(problem.limits) + len(scarce)
    exact_row: dict[int, int] = {}
    if side is not None:
        model.keep_under(side.most, "rule")
        exact = [i for i, k in enumerate(shapes.tolist()) if side.exact[k]]
        model.keep_under(demand[shapes[exact]], "exactly")
        exact_row = {i: first_side + len(side.most) + n for n, i in enumerate(exact)}
    narrowed = patterns[:, shapes]
    rows, columns = np.nonzero(narrowed)
    starts = np.searchsorted(rows, np.arange(len(kinds) + 1))
    limited = [np.flatnonzero(problem.weights[:, j]) for j in range(len(problem.price))]
    costs = (problem.cost(kinds, patterns) / NANOS_PER_USD).tolist()
    for p, j in enumerate(kinds.tolist()):
        used = columns[starts[p] : starts[p + 1]].tolist()
        entries = dict(zip(used, narrowed[p, used].astype(np.float64).tolist(), strict=True))
        entries |= {first_limit + int(q): float(problem.scaled_weights[q, j]) for q in limited[j]}
        if j in scarce_row:
            entries[scarce_row[j]] = 1.0
        if side is not None:
            entries |= {exact_row[i]: float(narrowed[p, i]) for i in used if i in exact_row}
            entries |= {first_side + int(x): float(side.columns[x, p]) for x in np.flatnonzero(side.columns[:, p])}
        model.column(costs[p], entries)
    more, priced = (side.more, side.costs) if side is not None else ({}, {})
    for name, (most, places) in more.items():
        model.column(priced.get(name, 0.0), {first_side + x: value for x, value in places.items()}, most)
    return MasterModel(model=model, shapes=shapes, scarce=scarce)


def decoded(problem: Problem, demand: Ints, kinds: Ints, patterns: Ints, values: Ints) -> Packing | None:
    """A solver's integers as a packing, what is covered twice taken off; None where a recount refuses them."""
    left = demand.copy()
    nodes: list[tuple[int, Ints, int]] = []
    for p in np.flatnonzero(values):
        for _ in range(int(values[p])):
            pattern = np.minimum(patterns[p], left)
            left = left - pattern
            nodes.append((int(kinds[p]), pattern, 1))
    packing = collected(problem, nodes)
    refused = left.any() or (packing.used(problem) > problem.most).any()
    return None if refused or (packing.usage(problem) > problem.limits).any() else packing
