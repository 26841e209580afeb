"""The LP that a dive carries on with, against one built anew for what is left."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from raypipe.packing.master import MasterLp
from raypipe.packing.patterns import PatternPool
from raypipe.packing.residual import ResidualLp
from raypipe.packing.solver import Effort

from .problems import random_problem


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_what_is_left_costs_what_a_model_built_anew_says(first: int) -> None:
    for seed in range(first, first + 20):
        draw, problem = random.Random(seed), random_problem(seed)
        problem = replace(problem, demand=problem.demand * 3)
        pool = PatternPool(len(problem.demand))
        lp = ResidualLp(problem, pool, problem.demand, Effort())
        left, affordable = problem, np.arange(len(problem.price))
        for _ in range(4):
            for _ in range(4):
                pattern = np.array([draw.randint(0, most) for most in left.demand.tolist()], dtype=np.int64)
                pool.add(draw.choice(affordable.tolist()), pattern)
            carried_on, anew = lp.solve_for(left, affordable), MasterLp(left, left.demand, Effort())
            had = np.isin(pool.kinds, affordable)
            anew.add(pool.kinds[had], np.minimum(pool.patterns[had], left.demand))
            expected = anew.solve()
            assert (carried_on is None) == (expected is None), seed
            if carried_on is not None and expected is not None:
                assert carried_on.objective == pytest.approx(expected.objective, abs=1e-9), seed
                assert not carried_on.values[~had].any(), seed
            taken = np.array([draw.randint(0, 1) for _ in left.demand], dtype=np.int64)
            left = replace(left, demand=np.maximum(left.demand - taken, 0), limits=np.maximum(left.limits - 1, 0))
            if len(affordable) > 1 and draw.random() < 0.3:
                affordable = affordable[1:]
