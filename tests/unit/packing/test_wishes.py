"""What pods would like and what it costs to miss it, against an optimum found by trying everything."""

from __future__ import annotations

import pytest

from raypipe.packing.problem import UNLIMITED, verify
from raypipe.packing.solve import solve
from raypipe.packing.solver import Effort
from raypipe.settings import Settings

from .problems import cheapest, wished_problem

PIPELINE_ONLY = Settings(enumerate_patterns=0, neighbourhoods=4)


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_small_problems_are_solved_to_the_optimum(first: int) -> None:
    for seed in range(first, first + 20):
        problem = wished_problem(seed)
        best = cheapest(problem, problem.demand.tolist())
        solved = solve(problem, Settings(), Effort())
        assert solved.proven, seed
        if best is None:
            assert solved.packing is None, seed
        else:
            assert solved.packing is not None, seed
            assert verify(problem, solved.packing) == []
            assert (solved.packing.usd_nanos(problem), solved.bound_usd_nanos) == (best, best), seed


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_the_pipeline_for_large_problems_never_beats_the_optimum_or_its_own_bound(first: int) -> None:
    for seed in range(first, first + 20):
        problem = wished_problem(seed)
        best = cheapest(problem, problem.demand.tolist())
        solved = solve(problem, PIPELINE_ONLY, Effort())
        if best is None:
            assert solved.packing is None, seed
        else:
            assert solved.bound_usd_nanos <= best, seed
            if solved.packing is not None:
                assert verify(problem, solved.packing) == [], seed
                assert best <= solved.packing.usd_nanos(problem), seed
            elif not len(problem.limits) and (problem.most >= UNLIMITED).all():
                pytest.fail(f"{seed}: no packing though nothing is scarce")
