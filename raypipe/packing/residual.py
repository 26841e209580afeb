"""The pattern LP for what is left, while a dive takes nodes: the same model, whose rows fall and whose columns shrink.

With m_k <= n_k left of demand, patterns are cut down to it, since more of a shape than is left is of no use::

    min Σ_p c_j(p) y_p    Σ_p min(a_pk, m_k) y_p >= m_k    and the limits and scarce kinds that are left

After each step few rows and entries differ, so the last basis is nearly right: solving on from it takes a fifth of the
time of a model built anew.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.master import Master, MasterLp
from raypipe.packing.patterns import PatternPool
from raypipe.packing.problem import Problem
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD

AT_ONCE = 1_000
"""Patterns taken in at a time: of hundreds of shapes all at once would be a copy of the pool."""


class ResidualLp(MasterLp):
    """The LP over the patterns of a pool; each solve is for another, smaller rest of the problem."""

    def __init__(self, problem: Problem, pool: PatternPool, demand: Ints, effort: Effort) -> None:
        """`demand` (K,) is what is left at first; every later one is at most this."""
        super().__init__(problem, demand, effort)
        self._pool, self._left = pool, demand[self._shapes]
        self._open: Bools = np.zeros(0, dtype=bool)
        self._row, self._column = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self._entry = np.zeros(0, dtype=np.int64)

    def solve_for(self, left: Problem, affordable: Ints) -> Master | None:
        """Solve it for the problem that is `left`, with the kinds of which one more may be had; None: no solution."""
        demand = left.demand[self._shapes]
        self._take_in(left.demand)
        self._change_rows(left, demand)
        self._cut(demand)
        self._close(demand, affordable)
        master = self.solve()
        return None if master is None else replace(master, values=np.where(self._open, master.values, 0.0))

    def _take_in(self, demand: Ints) -> None:
        """Add the pool's columns that are not there yet, cut down to `demand`."""
        while len(self._open) < len(self._pool):
            known = len(self._open)
            kinds, patterns = self._pool.since(known)
            self._append(known, kinds[:AT_ONCE], np.minimum(patterns[:AT_ONCE], demand))

    def _append(self, known: int, kinds: Ints, patterns: Ints) -> None:
        self.add(kinds, patterns)
        column, row = np.nonzero(patterns[:, self._shapes])
        self._open = np.concatenate((self._open, np.ones(len(kinds), dtype=bool)))
        self._row = np.concatenate((self._row, row))
        self._column = np.concatenate((self._column, known + column))
        self._entry = np.concatenate((self._entry, patterns[column, self._shapes[row]]))

    def _change_rows(self, left: Problem, demand: Ints) -> None:
        """Ask of each row what is left."""
        changed = np.flatnonzero(demand != self._left)
        lower = np.where(demand > 0, demand, -np.inf)
        self._lp.change_rows(changed, lower[changed], np.full(len(changed), np.inf))
        self._left = demand
        at_most: Floats = np.concatenate((left.scaled_limits, left.most[self._scarce].astype(np.float64)))
        rows = len(self._shapes) + np.arange(len(at_most))
        self._lp.change_rows(rows, np.full(len(rows), -np.inf), at_most)

    def _cut(self, demand: Ints) -> None:
        """Cut the patterns down to what is left."""
        most = demand[self._row]
        cut = np.flatnonzero((self._entry > most) & (most > 0))
        self._lp.change_entries(self._row[cut], self._column[cut], most[cut].astype(np.float64))
        self._entry[cut] = most[cut]
        if self._problem.is_wished and len(cut):  # fewer pods miss less
            columns = np.unique(self._column[cut])
            patterns = np.zeros((len(columns), len(self._problem.demand)), dtype=np.int64)
            patterns[:, self._shapes] = np.minimum(self._pool.patterns[np.ix_(columns, self._shapes)], demand)
            self._lp.change_costs(columns, self._problem.cost(self._pool.kinds[columns], patterns) / NANOS_PER_USD)

    def _close(self, demand: Ints, affordable: Ints) -> None:
        """Close the columns that hold nothing of what is left, and those of kinds that may not be had any more."""
        useful = np.bincount(self._column[demand[self._row] > 0], minlength=len(self._open)) > 0
        useful &= np.isin(self._pool.kinds, affordable)
        closed = np.flatnonzero(self._open & ~useful)
        self._lp.close(closed)
        self._open = self._open & useful
