"""Leave out kinds of node that another kind beats in every respect.

Kind i dominates j when C_i >= C_j in every resource, c_i <= c_j, K_.i ⊇ K_.j, w_i <= w_j for every limit, W_ki <= W_kj
for every pod k that j takes, both are of one cell, and i can be bought without end. Of equals the one of the least rank
stays. No optimum is lost: in any packing a node of kind j can be swapped for one of kind i. 1,300 offerings become 100
to 250.
"""

from __future__ import annotations

import numpy as np

from raypipe.packing.arrays import Ints
from raypipe.packing.problem import UNLIMITED, Problem

NEVER = np.iinfo(np.int64).max
"""What a pod costs where it does not fit."""


def undominated(problem: Problem) -> Ints:
    """The kinds worth looking at, in order of price then rank; those on which nothing fits are left out."""
    useful = np.flatnonzero(problem.fits.any(axis=0) & (problem.most > 0))
    order = useful[np.lexsort((problem.rank[useful], problem.price[useful]))]
    columns, column_of = np.unique(problem.fits[:, order].T, axis=0, return_inverse=True)
    superset = (~columns).astype(np.float32) @ columns.astype(np.float32).T == 0  # [a, b]: a admits whatever b admits
    capacity, price = problem.capacity[order], problem.price[order]
    relevant = (problem.requests > 0).any(axis=0) & (capacity != capacity[:1]).any(axis=0)
    capacity, weights = capacity[:, relevant], problem.weights[:, order]
    cell = problem.cell[order] if len(problem.cell) else problem.cell
    penalty = np.where(problem.fits[:, order], problem.penalty[:, order], NEVER) if problem.penalty.size else None
    endless = problem.most[order] >= UNLIMITED
    sliced = [problem.slicing[j] is not None for j in order] if problem.slicing else [False] * len(order)
    kept: list[int] = []
    kept_endless: dict[int, list[int]] = {}
    of_cell = (cell if len(cell) else np.zeros(len(order), dtype=np.int64)).tolist()
    for position, here in enumerate(of_cell):
        rivals = np.array(kept_endless.setdefault(here, []), dtype=np.int64)
        if len(rivals):
            beaten = superset[column_of[rivals], column_of[position]]
            beaten &= (capacity[rivals] >= capacity[position]).all(axis=1)
            beaten &= (weights[:, rivals] <= weights[:, position, None]).all(axis=0)
            if penalty is not None:
                beaten &= (penalty[:, rivals] <= penalty[:, position, None]).all(axis=0)
            if not endless[position]:  # what exists is kept rather than bought again at the same price
                beaten &= price[rivals] < price[position]
            if beaten.any() and not sliced[position]:
                continue
        kept.append(position)
        if endless[position]:
            kept_endless[here].append(position)
    undominated_kinds: Ints = order[np.array(kept, dtype=np.int64)]
    return undominated_kinds
