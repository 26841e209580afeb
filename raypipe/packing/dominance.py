"""Leave out kinds of node that another kind beats in every respect.

Kind i dominates j when C_i >= C_j in every resource, c_i <= c_j, K_.i ⊇ K_.j, w_i <= w_j for every limit, W_ki <= W_kj
for every pod k that j takes, both are of one cell, and i can be bought without end. Of equals the one of the least rank
stays. No optimum is lost: in any packing a node of kind j can be swapped for one of kind i. 1,300 offerings become 100
to 250.
"""

from __future__ import annotations

import numpy as np

from raypipe.packing.arrays import Bools, Ints
from raypipe.packing.problem import UNLIMITED, Problem

AT_ONCE = 64
"""Kinds that are held against those kept before them together; most are beaten there."""
NEVER = np.iinfo(np.int64).max
"""What a pod costs where it does not fit."""


def undominated(problem: Problem) -> Ints:
    """The kinds worth looking at, in order of price then rank; those on which nothing fits are left out."""
    useful = np.flatnonzero(problem.fits.any(axis=0) & (problem.most > 0))
    order = useful[np.lexsort((problem.rank[useful], problem.price[useful]))]
    facts, kept, rivals = _Facts(problem, order), list[int](), list[int]()
    for first in range(0, len(order), AT_ONCE):
        some = np.arange(first, min(first + AT_ONCE, len(order)))
        some = some[~facts.beats(some, np.array(rivals, dtype=np.int64)).any(axis=1)]
        among, chosen = facts.beats(some, some), list[int]()
        for i, position in enumerate(some.tolist()):
            if not among[i, chosen].any():
                kept.append(position)
                if facts.endless[position]:
                    chosen.append(i)
                    rivals.append(position)
    undominated_kinds: Ints = order[np.array(kept, dtype=np.int64)]
    return undominated_kinds


class _Facts:
    """What kinds are compared by, in the positions of `order`."""

    def __init__(self, problem: Problem, order: Ints) -> None:
        columns, of = problem.fit_columns
        superset = (~columns.T).astype(np.float32) @ columns.astype(np.float32) == 0
        self._superset: Bools = superset  # [a, b]: a admits whatever b admits
        self._column = of[order]
        capacity = problem.capacity[order]
        relevant = (problem.requests > 0).any(axis=0) & (capacity != capacity[:1]).any(axis=0)
        self._capacity, self._weights = capacity[:, relevant], problem.weights[:, order]
        self._price, self.endless = problem.price[order], problem.most[order] >= UNLIMITED
        self._cell = problem.cell[order] if len(problem.cell) else np.zeros(len(order), dtype=np.int64)
        self._penalty = problem.penalty[:, order] if problem.penalty.size else problem.penalty
        if problem.penalty.size:
            self._penalty = np.where(problem.fits[:, order], self._penalty, NEVER)
        slicing = problem.slicing or (None,) * len(problem.price)
        self._sliced = np.array([slicing[j] is not None for j in order], dtype=bool)

    def beats(self, positions: Ints, rivals: Ints) -> Bools:
        """Whether each of `rivals` (n,), to be had without end, beats the kinds at `positions` (P,), (P, n)."""
        here, there = positions[:, None], rivals[None, :]
        beats: Bools = self._superset[self._column[there], self._column[here]] & (self._cell[there] == self._cell[here])
        for amount in self._capacity.T:
            beats &= amount[there] >= amount[here]
        for weight in self._weights:
            beats &= weight[there] <= weight[here]
        for missed in self._penalty if self._penalty.size else ():
            beats &= missed[there] <= missed[here]
        # what exists is kept rather than bought again at the same price
        beats &= self.endless[here] | (self._price[there] < self._price[here])
        beats &= ~self._sliced[here]
        return beats
