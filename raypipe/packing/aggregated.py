"""The model of (A), over the pairs of shape and kind that are opened, kept in the solver.

`raypipe.packing.bound` states it, and says when to open which pairs; with whole numbers of nodes it is (A').
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.branch import Search
from raypipe.packing.choices import Choices
from raypipe.packing.problem import UNLIMITED, Packing, Problem
from raypipe.packing.solver import Branched, Effort, GrowingLp
from raypipe.quantities import NANOS_PER_USD

NOTHING = 1e-11
"""$/h: a pod's price below this is the solver's noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What the LP would buy, in fractions: `pods` x (K, J) and `nodes` y (J,)."""

    pods: Floats
    nodes: Floats


NO_MIX = Mix(pods=np.zeros((0, 0)), nodes=np.zeros(0))


class Aggregated:
    """(A) over the pairs opened so far, kept in the solver: opening more adds columns, and the rows they lack."""

    def __init__(self, problem: Problem, effort: Effort, choices: Choices | None = None) -> None:
        self._problem = problem
        pods = problem.demand if choices is None else choices.base
        work = np.zeros(0) if choices is None else choices.shares_of_work
        self._first_limit, self._choices = len(pods) + len(work), 0 if choices is None else len(choices.of)
        self._lp = GrowingLp(effort, np.concatenate((pods.astype(np.float64), work)), problem.scaled_limits)
        self._fixed = self._lp.rows
        if choices is not None:
            self._lp.add(*choices.columns())
        self._opened: Bools = np.zeros_like(problem.fits)
        self._node_column = np.full(len(problem.price), -1, dtype=np.int64)
        self._room_row = np.full(problem.capacity.shape, -1, dtype=np.int64)
        self._pair_column = np.full(problem.fits.shape, -1, dtype=np.int64)
        self._values = np.zeros(0)

    @property
    def mix(self) -> Mix:
        """What the last solve would buy."""
        pods, nodes = np.zeros(self._pair_column.shape), np.zeros(self._node_column.shape)
        for amounts, columns in ((pods, self._pair_column), (nodes, self._node_column)):
            seen = columns >= 0
            amounts[seen] = self._values[columns[seen]]
        return Mix(pods=pods, nodes=nodes)

    @property
    def chosen(self) -> Floats:
        """n_a of the last solve."""
        return self._values[: self._choices]

    def solve(self, opened: Bools) -> tuple[tuple[Floats, Floats], Floats] | None:
        """Open these pairs too; return (π, σ) and λ (J, R), or None if infeasible."""
        self._open(opened & ~self._opened)
        self._opened = self._opened | opened
        solution = self._lp.solve()
        if solution is None:
            return None
        self._values = solution.values
        problem, shapes = self._problem, len(self._problem.demand)
        prices = np.where(solution.duals[:shapes] > NOTHING, solution.duals[:shapes], 0.0)
        limits = np.maximum(-solution.duals[self._first_limit : self._fixed], 0.0)
        room = np.zeros(problem.capacity.shape)
        has_row = self._room_row >= 0
        room[has_row] = np.maximum(-solution.duals[self._room_row[has_row]], 0.0)
        return (prices, limits), room / np.maximum(problem.capacity, 1)

    def _open(self, new: Bools) -> None:
        problem = self._problem
        self._add_nodes(np.flatnonzero(new.any(axis=0) & (self._node_column < 0)))
        asked = (new.T.astype(np.float32) @ (problem.requests > 0).astype(np.float32)) > 0
        kinds, resources = np.nonzero(asked & (self._room_row < 0))
        self._room_row[kinds, resources] = self._lp.rows + np.arange(len(kinds))
        self._lp.add_rows(np.zeros(len(kinds)), self._node_column[kinds], np.full(len(kinds), -1.0))
        kinds, shapes = np.nonzero(new.T)
        self._pair_column[shapes, kinds] = self._lp.columns + np.arange(len(kinds))
        need = problem.requests[shapes]
        pairs, resources = np.nonzero(need)
        rows = np.concatenate((shapes, self._room_row[kinds[pairs], resources]))
        share = need[pairs, resources] / np.maximum(problem.capacity[kinds[pairs], resources], 1)
        owner = np.concatenate((np.arange(len(shapes)), pairs))
        order = np.argsort(owner, kind="stable")
        values = np.concatenate((np.ones(len(shapes)), share))
        starts = np.searchsorted(owner[order], np.arange(len(shapes)))
        missed = problem.penalty[shapes, kinds] / NANOS_PER_USD if problem.penalty.size else np.zeros(len(shapes))
        self._lp.add(missed, starts, rows[order], values[order])

    def _add_nodes(self, kinds: Ints) -> None:
        problem = self._problem
        self._node_column[kinds] = self._lp.columns + np.arange(len(kinds))
        columns, limits = np.nonzero(problem.weights[:, kinds].T)
        most = np.where(problem.most[kinds] < UNLIMITED, problem.most[kinds].astype(np.float64), np.inf)
        self._lp.add(
            problem.price[kinds] / NANOS_PER_USD,
            np.searchsorted(columns, np.arange(len(kinds))),
            self._first_limit + limits,
            problem.scaled_weights[limits, kinds[columns]],
            most,
        )

    def with_whole_nodes(self, opened: Bools, known: Packing | None, search_nodes: int) -> Branched | None:
        """Have HiGHS search with y in whole numbers over the pairs `opened`; `known` is a way to do it."""
        self._open_in_bounds(opened)
        start = None if known is None else self._start(known)
        return self._lp.branch(self._node_column[self._node_column >= 0], start, search_nodes)

    def branched(self, opened: Bools, cutoff: float, work: int) -> Branched | None:
        """Search the same by hand for `work` simplex iterations; a packing that costs `cutoff`, $/h, is in hand."""
        self._open_in_bounds(opened)
        kinds = np.flatnonzero(self._node_column >= 0)
        most = np.where(self._problem.most < UNLIMITED, self._problem.most.astype(np.float64), np.inf)[kinds]
        prices = self._problem.price[kinds] / NANOS_PER_USD
        return Search(self._lp, self._node_column[kinds], prices, most, cutoff).run(work)

    def _open_in_bounds(self, opened: Bools) -> None:
        """Open these pairs, and let no pair have more pods than there are."""
        self._open(opened & ~self._opened)
        self._opened = self._opened | opened
        shapes, kinds = np.nonzero(self._pair_column >= 0)
        most = self._problem.demand[shapes].astype(np.float64)
        self._lp.keep_within(self._pair_column[shapes, kinds], np.zeros(len(shapes)), most)

    def _start(self, packing: Packing) -> Floats | None:
        """The columns of a packing; None where it uses a pair that is not opened."""
        start = np.zeros(self._lp.columns)
        pods = np.zeros(self._pair_column.shape)
        np.add.at(pods.T, packing.kinds, packing.patterns * packing.counts[:, None])
        used = pods > 0
        if (self._pair_column[used] < 0).any():
            return None
        start[self._pair_column[used]] = pods[used]
        nodes = packing.used(self._problem)
        start[self._node_column[nodes > 0]] = nodes[nodes > 0]
        return start
