"""The packing core against an optimum found by trying everything."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raypipe.packing.admission import Unit, admit
from raypipe.packing.problem import UNLIMITED, Problem, Slicing, verify
from raypipe.packing.solve import solve
from raypipe.packing.solver import Effort
from raypipe.settings import Settings

from .problems import cheapest, random_problem

PIPELINE_ONLY = Settings(enumerate_patterns=0, neighbourhoods=4)


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_small_problems_are_solved_to_the_optimum(first: int) -> None:
    for seed in range(first, first + 20):
        problem = random_problem(seed)
        best = cheapest(problem, problem.demand.tolist())
        solved = solve(problem, Settings(), Effort())
        assert solved.proven, seed
        if best is None:
            assert solved.packing is None, seed
        else:
            assert solved.packing is not None, seed
            assert solved.packing.usd_nanos(problem) == best, seed
            assert solved.bound_usd_nanos == best, seed
            assert verify(problem, solved.packing) == []


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_the_pipeline_for_large_problems_never_beats_the_optimum_or_its_own_bound(first: int) -> None:
    for seed in range(first, first + 20):
        problem = random_problem(seed)
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


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_admission_follows_the_order_one_by_one(first: int) -> None:
    for seed in range(first, first + 20):
        problem = random_problem(seed)
        units = [
            Unit(pods=np.eye(len(problem.demand), dtype=np.int64)[k], times=int(count))
            for k, count in enumerate(problem.demand)
        ]
        outcome = admit(problem, units, Settings(), Effort())
        admitted = [0] * len(problem.demand)
        for k, count in enumerate(problem.demand):
            for _ in range(int(count)):
                tried = [n + (i == k) for i, n in enumerate(admitted)]
                if cheapest(problem, tried) is not None:
                    admitted = tried
        assert outcome.exact, seed
        assert list(outcome.times) == admitted, seed


def sliced_problem(pods: int, *, memory: int, gpus: int, each: int) -> Problem:
    """Pods of one slice on a node of `gpus` GPUs in 4 slices."""
    return Problem(
        demand=np.array([pods]),
        requests=np.array([[1]]),
        capacity=np.array([[4 * gpus]]),
        price=np.array([10**8]),
        admits=np.array([[True]]),
        most=np.array([UNLIMITED]),
        weights=np.zeros((0, 1), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.array([0]),
        slicing=(Slicing(gpus=gpus, slices=4, memory_bytes=memory),),
        slice_use=np.array([[1, each]]),
    )


@pytest.mark.parametrize(
    ("pods", "each", "nodes"),
    [(8, 0, 2), (8, 4, 2), (9, 4, 3), (8, 5, 3), (8, 8, 4), (8, 9, 8)],
    ids=["ceil(8/4)", "four of 4 fill 16", "a ninth needs a third", "three of 5 fit", "two of 8", "one of 9"],
)
def test_slices_need_ceil_of_n_over_k_gpus_and_never_more_memory_than_a_gpu_has(
    pods: int, each: int, nodes: int
) -> None:
    solved = solve(sliced_problem(pods, memory=16, gpus=1, each=each), Settings(), Effort())
    assert solved.packing is not None
    assert solved.packing.nodes == nodes


def test_slices_are_dealt_to_single_gpus_not_to_their_sum() -> None:
    problem = sliced_problem(3, memory=16, gpus=2, each=9)
    assert not problem.slices_fit(np.array([3]), 0)
    assert problem.slices_fit(np.array([2]), 0)
    solved = solve(problem, dataclasses.replace(Settings(), enumerate_patterns=0), Effort())
    assert solved.packing is not None
    assert solved.packing.nodes == 2


def test_room_that_costs_nothing_is_filled_though_no_pod_has_a_price() -> None:
    shapes, nodes = 15, 6
    demand = np.full(shapes, 2, dtype=np.int64)
    problem = Problem(
        demand=demand,
        requests=np.column_stack((np.arange(100, 100 + shapes), np.ones(shapes))).astype(np.int64),
        capacity=np.full((nodes, 2), 4000, dtype=np.int64),
        price=np.zeros(nodes, dtype=np.int64),
        admits=np.ones((shapes, nodes), dtype=bool),
        most=np.ones(nodes, dtype=np.int64),
        weights=np.zeros((0, nodes), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.arange(nodes, dtype=np.int64),
    )
    solved = solve(problem, Settings(), Effort())
    assert solved.packing is not None
    assert (solved.packing.counts @ solved.packing.patterns == demand).all()
    assert solved.proven
