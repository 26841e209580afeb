"""Whole numbers of nodes bound what fractions of nodes do not, and never more than the optimum."""

from __future__ import annotations

import pytest

from raypipe.packing.bound import Duals, aggregated_lp, strengthened
from raypipe.packing.problem import Problem
from raypipe.packing.solve import solve
from raypipe.packing.solver import Effort
from raypipe.packing.whole import whole_nodes_bound
from raypipe.quantities import NANOS_PER_USD
from raypipe.settings import Settings

from .problems import cheapest, random_problem
from .test_cuts import problem_of

WORK = 10_000


def duals_of(problem: Problem) -> Duals:
    duals = aggregated_lp(problem, Effort())
    assert duals is not None
    return strengthened(problem, duals, Effort(), rounds=2)


@pytest.mark.parametrize("dearer", [0, 3 * 10**8], ids=["an optimal packing in hand", "a dear one in hand"])
def test_the_bound_is_never_above_the_optimum_and_often_is_the_optimum(dearer: int) -> None:
    met = 0
    for seed in range(120):
        problem = random_problem(seed)
        best = cheapest(problem, problem.demand.tolist())
        if best is None:
            continue
        bound = whole_nodes_bound(problem, duals_of(problem), best + dearer, Effort(), WORK)
        assert bound <= best, seed
        met += bound == best
    assert met > 10


def test_three_and_a_half_nodes_are_four() -> None:
    problem = problem_of([(7, 4, 4)], [(8, 8, 1.0)])
    duals = duals_of(problem)
    assert duals.usd_per_hour == pytest.approx(3.5)
    assert whole_nodes_bound(problem, duals, 5 * NANOS_PER_USD, Effort(), WORK) == 4 * NANOS_PER_USD
    assert whole_nodes_bound(problem, duals, 5 * NANOS_PER_USD, Effort(), 0) == 0


def test_nothing_is_searched_where_whole_nodes_cost_no_more() -> None:
    problem, effort = problem_of([(8, 4, 4)], [(8, 8, 1.0)]), Effort()
    assert whole_nodes_bound(problem, duals_of(problem), 5 * NANOS_PER_USD, effort, WORK) == 0
    assert effort.search_nodes == 0


@pytest.mark.parametrize(
    ("work", "kind", "bound"),
    [(WORK, "aggregated-milp", 4), (0, "aggregated-lp", 3.5)],
    ids=["searched", "switched off"],
)
def test_a_packing_is_bounded_by_whole_nodes(work: int, kind: str, bound: float) -> None:
    settings = Settings(enumerate_patterns=0, bound_search=work)
    solved = solve(problem_of([(7, 4, 4)], [(8, 8, 1.0)]), settings, Effort())
    assert (solved.bound_kind, solved.bound_usd_nanos) == (kind, bound * NANOS_PER_USD)
