"""`packing: dedicated` and `packing: shared` as special cases of the joint problem.

One more resource, the slot, says who may share a node (S6). With S slots a node,

* dedicated: every pod takes all S slots of its node; of existing nodes only empty ones have slots;
* shared: a large pod (at or above `dedicatedFrom` in cpu or memory, with a GPU, or with an instance annotation) takes
  all S, a small one takes 1. Small pods are admitted only to the cheapest kind of at least the size `sharedNode` that
  admits them, and to the room of existing nodes that hold no large pod.

Joint packing is the same problem without slots and without the narrowed choice, so its optimum is never dearer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raypipe.packing.arrays import Bools, Ints
from raypipe.packing.problem import Problem

SLOTS = 100_000


def dedicated(problem: Problem, existing: Bools, empty: Bools) -> Problem:
    """Each pod on a node of its own. existing, empty: (J,), kinds that exist, and those with no pod on them."""
    slots = np.where(existing & ~empty, 0, SLOTS)
    return _with_slots(problem, np.full(len(problem.demand), SLOTS), slots)


def shared(problem: Problem, large: Bools, size: Bools, existing: Bools, empty: Bools, holds_large: Bools) -> Problem:
    """Small pods share nodes, large ones get their own.

    large: (K,). size: (J,), kinds of at least `sharedNode`. existing, empty, holds_large: (J,), as for `dedicated`.
    """
    admits = problem.admits.copy()
    for k in np.flatnonzero(~large):
        candidates = np.flatnonzero(problem.fits[k] & size & ~existing)
        if len(candidates):
            best = candidates[np.lexsort((problem.rank[candidates], problem.price[candidates]))[0]]
            cheapest = problem.price == problem.price[best]
            alike = (problem.capacity == problem.capacity[best]).all(axis=1)
            admits[k] &= existing | (size & cheapest & alike)
        elif (others := problem.fits[k] & ~existing).any():  # no node of that size takes it: the cheapest that does
            admits[k] &= existing | (problem.price == problem.price[others].min())
    slots = np.where(existing, np.where(empty, SLOTS, np.where(holds_large, 0, SLOTS - 1)), SLOTS)
    return _with_slots(replace(problem, admits=admits), np.where(large, SLOTS, 1), slots)


def _with_slots(problem: Problem, requests: Ints, slots: Ints) -> Problem:
    """The problem with the slot as its last resource."""
    return replace(
        problem,
        requests=np.column_stack((problem.requests, requests)).astype(np.int64),
        capacity=np.column_stack((problem.capacity, slots)).astype(np.int64),
    )
