"""Searching neighbourhoods of a plan: what is kept of it, what is found, and when the search ends."""

from __future__ import annotations

import random

import numpy as np
import pytest

from raypipe.packing import improve as searched
from raypipe.packing.bound import aggregated_lp, unit_cost
from raypipe.packing.improve import improve
from raypipe.packing.master import Master
from raypipe.packing.patterns import PatternPool, Pricing, generate
from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected, verify
from raypipe.packing.rounding import kept
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD


def _problem(shapes: int = 12, pods: int = 14, kinds: int = 9) -> Problem:
    """Pods of two resources, and kinds whose price grows a little slower than their size."""
    draw = random.Random(7)
    sizes = [draw.randint(8, 60) for _ in range(kinds)]
    return Problem(
        demand=np.array([draw.randint(2, pods) for _ in range(shapes)], dtype=np.int64),
        requests=np.array([[draw.randint(1, 7), draw.randint(1, 7)] for _ in range(shapes)], dtype=np.int64),
        capacity=np.array([[size, draw.randint(size // 2, 2 * size)] for size in sizes], dtype=np.int64),
        price=np.array([int(size**0.95 * 1e7) for size in sizes], dtype=np.int64),
        admits=np.ones((shapes, kinds), dtype=bool),
        most=np.full(kinds, UNLIMITED),
        weights=np.zeros((0, kinds), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.arange(kinds, dtype=np.int64),
    )


def _priced(problem: Problem) -> tuple[Pricing, Master]:
    """Column generation of a problem, and its last master."""
    effort = Effort()
    duals = aggregated_lp(problem, effort)
    assert duals is not None
    pool = PatternPool(len(problem.demand))
    for j in range(len(problem.price)):
        for pattern in np.eye(len(problem.demand), dtype=np.int64):
            pool.add(j, pattern)
    costs = unit_cost(problem).min(axis=1)
    pricing = Pricing(problem=problem, duals=duals, unit_costs=costs, pool=pool, effort=effort)
    master = generate(pricing, 40)
    assert master is not None
    return pricing, master


def _one_a_node(problem: Problem) -> Packing:
    """Each pod on the cheapest node."""
    cheapest = int(problem.price.argmin())
    patterns = np.eye(len(problem.demand), dtype=np.int64)
    return collected(problem, [(cheapest, patterns[k], int(n)) for k, n in enumerate(problem.demand)])


@pytest.mark.parametrize(
    ("share", "most_wasteful", "expected"),
    [
        pytest.param(1.0, np.inf, [(0, 3, 2), (0, 2, 1)], id="all that the master pays for, the fullest first"),
        pytest.param(0.5, np.inf, [(0, 3, 1)], id="half of it, in whole nodes"),
        pytest.param(1.0, 0.1, [(0, 3, 2)], id="none that waste more than they may"),
        pytest.param(0.1, np.inf, [], id="nothing where one node is more than that"),
    ],
)
def test_the_nodes_that_waste_least_are_kept(
    share: float, most_wasteful: float, expected: list[tuple[int, int, int]]
) -> None:
    one = np.array([[1]], dtype=np.int64)
    problem = Problem(
        demand=np.array([9], dtype=np.int64),
        requests=one,
        capacity=3 * one,
        price=np.array([NANOS_PER_USD], dtype=np.int64),
        admits=np.ones((1, 1), dtype=bool),
        most=np.full(1, UNLIMITED),
        weights=np.zeros((0, 1), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.zeros(1, dtype=np.int64),
    )
    none = np.zeros(0)
    master = Master(objective=3.0, values=none, pods=np.array([1 / 3]), limits=none, kinds=np.zeros(1))
    ledger = kept(problem, master, [(0, 2 * one[0], 1), (0, 3 * one[0], 2)], share, most_wasteful)
    assert [(kind, int(pattern[0]), count) for kind, pattern, count in ledger.taken] == expected
    assert ledger.demand.tolist() == [9 - sum(pods * count for _, pods, count in expected)]


def test_a_bad_plan_gets_better_with_each_kind_of_search() -> None:
    problem = _problem()
    start = _one_a_node(problem)
    costs = [start.usd_nanos(problem)]
    for searches in (0, searched.DIVES, searched.DIVES + 6):
        pricing, master = _priced(problem)
        found = improve(pricing, start, master, searches, lambda: False)
        assert verify(problem, found) == []
        costs.append(found.usd_nanos(problem))
    assert costs[1] == costs[0]
    assert costs[2] < 0.8 * costs[0]
    assert costs[3] <= costs[2]


def test_searches_end_after_so_much_work(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, efforts = _problem(), []
    for work in (0, 10**6):
        monkeypatch.setattr(searched, "WORK", work)
        pricing, master = _priced(problem)
        improve(pricing, _one_a_node(problem), master, searched.DIVES + 8, lambda: False)
        efforts.append(pricing.effort.solver_calls)
    assert efforts[0] + 7 <= efforts[1]


def test_a_search_that_is_stopped_keeps_what_it_has() -> None:
    problem = _problem()
    pricing, master = _priced(problem)
    start = _one_a_node(problem)
    assert improve(pricing, start, master, 8, lambda: True) is start
