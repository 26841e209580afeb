"""Fullness-aware fill: what to put on a node at given pod prices.

The next shape on a node of kind j is argmax_k π_k / g(d_k / R_j), R_j the room that is left and g one of sum, max, l2
over the resources; about a third of what still fits is added, then the densities are looked at again. At the prices of
the LP all densities are nearly equal, so a fixed order fills one resource and strands the others (2 to 7 % above the
pattern LP); weighing by the room that is left does not (0.1 to 0.6 %). Prices are floored at 2 % of the unit cost, or
shapes of price zero would never be picked.

All kinds are filled at once: arrays are (shapes, kinds).
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from raypipe.packing.problem import Floats, Ints, Problem


class Measure(StrEnum):
    """How the shares of the room left are added up."""

    SUM = "sum"
    MAX = "max"
    L2 = "l2"


FLOOR = 0.02


def floored(prices: Floats, unit_costs: Floats) -> Floats:
    """Prices of at least 2 % of the unit cost, (K,)."""
    return np.maximum(prices, FLOOR * np.where(np.isfinite(unit_costs), unit_costs, 0.0))


def fill(
    problem: Problem, prices: Floats, kinds: Ints, most: Ints, measure: Measure = Measure.SUM, part: int = 3
) -> Ints:
    """Fill one node of each of `kinds` with at most `most` (K,) pods of each shape; return patterns (kinds, K).

    One `part`-th of what still fits is added at a time.
    """
    shapes = np.flatnonzero((most > 0) & (prices > 0))
    patterns = np.zeros((len(kinds), len(most)), dtype=np.int64)
    if not len(shapes) or not len(kinds):
        return patterns
    resources = np.flatnonzero((problem.requests[shapes] > 0).any(axis=0))
    requests = problem.requests[np.ix_(shapes, resources)]
    room = problem.capacity[np.ix_(kinds, resources)]
    admits = problem.fits[np.ix_(shapes, kinds)]
    left = np.repeat(most[shapes][:, None], len(kinds), axis=1)
    filled = np.zeros((len(shapes), len(kinds)), dtype=np.int64)
    active = np.arange(len(kinds))
    price = prices[shapes][:, None]
    while len(active):
        density = np.where(admits[:, active] & (left[:, active] > 0), price, -1.0)
        density /= _load(requests, room[active], measure)
        best = density.argmax(axis=0)
        going = density[best, np.arange(len(active))] > 0
        active, best = active[going], best[going]
        if not len(active):
            break
        need = requests[best]
        still = np.where(need > 0, room[active] // np.maximum(need, 1), np.iinfo(np.int64).max).min(axis=1)
        added = np.maximum(1, -(-np.minimum(still, left[best, active]) // part))
        filled[best, active] += added
        left[best, active] -= added
        room[active] -= need * added[:, None]
    patterns[:, shapes] = filled.T
    return _slices_repaired(problem, kinds, patterns)


def _load(requests: Ints, room: Ints, measure: Measure) -> Floats:
    """g(d_k / R_j), (shapes, kinds); inf where not one pod fits."""
    total = np.full((len(requests), len(room)), 1e-12)
    for r in range(requests.shape[1]):
        need, free = requests[:, r], room[:, r]
        share = need.astype(np.float64)[:, None] * (1.0 / np.maximum(free, 1))[None, :]
        share[need[:, None] > free[None, :]] = np.inf
        if measure is Measure.SUM:
            total += share
        elif measure is Measure.L2:
            total += share * share
        else:
            np.maximum(total, share, out=total)
    return np.sqrt(total) if measure is Measure.L2 else total


def _slices_repaired(problem: Problem, kinds: Ints, patterns: Ints) -> Ints:
    """Take pods with GPU slices off again where the slices cannot be dealt to the GPUs."""
    for i in np.flatnonzero(problem.slices_matter[kinds]):
        users = [int(k) for k in np.flatnonzero(patterns[i]) if problem.slice_use[k, 0] > 0]
        users.sort(key=lambda k: -int(problem.slice_use[k, 1]))
        while users and not problem.slices_fit(patterns[i], int(kinds[i])):
            patterns[i, users[0]] -= 1
            if patterns[i, users[0]] == 0:
                users.pop(0)
    return patterns
