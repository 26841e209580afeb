"""A search over whole numbers ends at the optimum, and states a bound whenever it ends before."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from raypipe.packing.branch import Search
from raypipe.packing.solver import Effort, GrowingLp

MOST, DEAR = 4.0, 1e6


class Covering:
    """min Σ c_j y_j; Σ_j a_ij y_j >= b_i; 0 <= y <= 4."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.cost = np.array([float(chance.randint(3, 20)) for _ in range(5)])
        self.entries = np.array([[float(chance.randint(0, 6)) for _ in range(5)] for _ in range(3)])
        self.need = np.array([float(chance.randint(5, 25)) for _ in range(3)])

    def lp(self) -> GrowingLp:
        lp = GrowingLp(Effort(), self.need, np.zeros(0))
        column, row = np.nonzero(self.entries.T)
        starts = np.searchsorted(column, np.arange(5))
        lp.add(self.cost, starts, row, self.entries.T[column, row], np.full(5, MOST))
        return lp

    def search(self, cutoff: float = DEAR) -> Search:
        return Search(self.lp(), np.arange(5), self.cost, np.full(5, MOST), cutoff)

    def optimum(self) -> float | None:
        """The least cost among all vectors of whole numbers."""
        all_of_them = np.array(list(itertools.product(range(int(MOST) + 1), repeat=5)), dtype=np.float64)
        good = all_of_them[(all_of_them @ self.entries.T >= self.need).all(axis=1)]
        return float((good @ self.cost).min()) if len(good) else None


def test_a_search_that_ends_proves_the_optimum() -> None:
    searched = 0
    for seed in range(60):
        covering = Covering(seed)
        optimum, found = covering.optimum(), covering.search().run(10_000)
        if optimum is None:
            assert found is None or (found.done and found.bound == DEAR), seed
            continue
        assert found is not None
        assert found.done, seed
        assert found.bound == pytest.approx(optimum), seed
        searched += 1
    assert searched > 40


def test_more_work_never_lowers_the_bound_and_none_is_above_the_optimum() -> None:
    rose = 0
    for seed in range(40):
        covering = Covering(seed)
        optimum = covering.optimum()
        if optimum is None:
            continue
        bounds = [found.bound for work in (0, 100, 300, 10_000) if (found := covering.search().run(work)) is not None]
        assert len(bounds) == 4
        assert bounds == sorted(bounds), seed
        assert bounds[-1] <= optimum + 1e-6, seed
        rose += bounds[0] < bounds[1]
    assert rose > 10


def test_nothing_dearer_than_the_packing_in_hand_is_looked_at() -> None:
    covering = next(one for one in map(Covering, range(60)) if one.optimum() is not None)
    optimum = covering.optimum()
    assert optimum is not None
    found = covering.search(cutoff=optimum - 1).run(10_000)
    assert found is not None
    assert (found.done, found.bound) == (True, optimum - 1)


def test_a_search_leaves_the_model_as_it_was() -> None:
    covering = Covering(3)
    lp = covering.lp()
    before = lp.solve()
    Search(lp, np.arange(5), covering.cost, np.full(5, MOST), DEAR).run(10_000)
    after = lp.solve()
    assert before is not None
    assert after is not None
    assert after.objective == pytest.approx(before.objective)
