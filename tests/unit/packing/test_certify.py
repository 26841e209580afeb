"""A certificate raises the bound of a packing, never above the optimum, and what is proven by a stop stands."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from raypipe.packing.certify import certified
from raypipe.packing.problem import Problem
from raypipe.packing.solve import Solved, nobody, solve
from raypipe.packing.solver import Effort
from raypipe.settings import Settings

from .problems import cheapest, random_problem
from .test_cuts import problem_of

WORK = 100_000
PLAIN = Settings(enumerate_patterns=0)
UNSEARCHED = Settings(enumerate_patterns=0, cut_rounds=0, bound_search=0)


def services(seed: int) -> Problem:
    """Some 60 pods of 12 shapes, as web services ask; 12 kinds of node of three families."""
    draw = random.Random(seed)
    pods = [
        (draw.randint(1, 9), cpu := draw.choice((250, 500, 1000, 2000, 4000)), round(cpu * draw.uniform(0.5, 4)))
        for _ in range(12)
    ]
    sizes = (2000, 4000, 8000, 16000)
    nodes = [(cpu - 100, cpu * ratio, cpu * price) for cpu in sizes for ratio, price in ((2, 1e-5), (4, 1.2e-5))]
    return problem_of(pods, nodes)


def gpus(seed: int) -> Problem:
    """Pods of 1, 2, 4 or 8 GPUs, some for the memory of the larger ones alone; nodes of 1, 4 and 8."""
    draw = random.Random(seed)
    pods = [(draw.randint(1, 7), draw.choice((1, 1, 1, 2, 4, 8)), draw.choice((8, 40))) for _ in range(6)]
    pods = [(count, of, memory * of) for count, of, memory in pods]
    return problem_of(pods, [(1, 48, 0.6), (4, 96, 1.9), (4, 192, 3.3), (8, 192, 4.6), (8, 640, 9.7)])


def plain(problem: Problem) -> Solved:
    return solve(problem, PLAIN, Effort())


@pytest.mark.parametrize("made", [services, gpus])
@pytest.mark.parametrize(
    ("settings", "least"),
    [(PLAIN, 0), (UNSEARCHED, 4)],
    ids=["beyond a plan's own search", "where nothing is searched"],
)
def test_the_bound_grows_and_stays_below_the_cost(
    settings: Settings, least: int, made: Callable[[int], Problem]
) -> None:
    grown = 0
    for seed in range(5):
        problem = made(seed)
        before = solve(problem, settings, Effort())
        assert before.packing is not None
        after = certified(problem, before, WORK, Effort(), lambda: False, nobody)
        assert before.bound_usd_nanos <= after.bound_usd_nanos <= before.packing.usd_nanos(problem), seed
        assert after.packing is before.packing
        grown += after.bound_usd_nanos > before.bound_usd_nanos
    assert grown >= least


def test_the_bound_is_never_above_the_optimum() -> None:
    met = 0
    for seed in range(120):
        problem = random_problem(seed)
        best = cheapest(problem, problem.demand.tolist())
        solved = plain(problem)
        if best is None or solved.packing is None:
            continue
        weak = Solved(
            packing=solved.packing,
            proven=False,
            bound_usd_nanos=0,
            bound_kind="aggregated-lp",
            pods=solved.pods,
            limits=solved.limits,
            worth=solved.worth,
        )
        bound = certified(problem, weak, WORK, Effort(), lambda: False, nobody).bound_usd_nanos
        assert bound <= best, seed
        met += bound == best
    assert met > 40


def test_only_the_pods_that_are_placed_count() -> None:
    problem = problem_of([(7, 4, 4)], [(8, 8, 1.0)])
    solved = plain(problem.with_demand(np.array([3])))
    assert certified(problem, solved, WORK, Effort(), lambda: False, nobody).bound_usd_nanos == 2 * 10**9


def test_what_is_proven_when_it_is_stopped_stands() -> None:
    problem = services(1)
    before = solve(problem, UNSEARCHED, Effort())
    bounds, kinds = [before.bound_usd_nanos], []
    for looks in (0, 2, 3, 1000):
        left = iter(range(looks))
        after = certified(problem, before, WORK, Effort(), lambda left=left: next(left, None) is None, nobody)
        bounds.append(after.bound_usd_nanos)
        kinds.append((after.bound_kind, after.stopped))
    assert bounds == sorted(bounds)
    assert kinds[0] == ("aggregated-lp", "time")
    assert kinds[-1] == ("aggregated-milp", "budget")
    assert bounds[1] == bounds[0] < bounds[-1]


def test_each_better_bound_is_told_with_the_cost() -> None:
    problem, told = services(1), list[tuple[int, int]]()
    before = plain(problem)
    assert before.packing is not None
    after = certified(problem, before, WORK, Effort(), lambda: False, lambda cost, bound: told.append((cost, bound)))
    assert told
    assert {cost for cost, _ in told} == {before.packing.usd_nanos(problem)}
    assert [bound for _, bound in told] == sorted({bound for _, bound in told})
    assert told[-1][1] == after.bound_usd_nanos


def test_no_work_is_no_search() -> None:
    problem, effort = services(1), Effort()
    before = plain(problem)
    assert certified(problem, before, 0, effort, lambda: False, nobody) is before
    assert effort == Effort()
