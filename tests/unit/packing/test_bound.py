"""What a node is worth at most, held against its definition; and pairs that are seen from the beginning."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from raypipe.packing import bound
from raypipe.packing.bound import aggregated_lp, node_worth, strengthened
from raypipe.packing.problem import Problem
from raypipe.packing.solver import Effort
from raypipe.packing.warm import Columns
from raypipe.quantities import NANOS_PER_USD

from .problems import random_problem, wished_problem
from .test_cuts import problem_of

DIRECTIONS = np.array([[1.0, 0.0], [0.0, 1.0], [0.3, 0.7], [0.0, 0.0]])


def worth_of(problem: Problem, prices: list[float], weight: list[float], kind: int) -> float:
    """(Σ_r λ_r C_jr) · max_k π_k / (Σ_r λ_r d_kr) over the pods that fit; inf where it is no number."""
    size, steepest = math.fsum(np.multiply(problem.capacity[kind], weight)), 0.0
    for k in np.flatnonzero(problem.fits[:, kind]).tolist():
        missed = problem.penalty[k, kind] / NANOS_PER_USD if problem.penalty.size else 0.0
        load, price = math.fsum(np.multiply(problem.requests[k], weight)), prices[k] - missed
        if price > 0:
            steepest = max(steepest, price / load if load > 0 else math.inf)
    return math.inf if size == 0 and math.isinf(steepest) else size * steepest


@pytest.mark.parametrize("at_once", [pytest.param(1, id="one by one"), pytest.param(10**6, id="together")])
def test_a_node_is_worth_the_least_that_any_direction_says(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound, "NUMBERS_AT_ONCE", at_once)
    for seed in range(60):
        problem = (random_problem, wished_problem)[seed % 2](seed)
        prices = [random.Random(seed + k).choice((0.0, 0.1, 0.4)) for k in range(len(problem.demand))]
        worth, chosen = node_worth(problem, np.array(prices), DIRECTIONS)
        for j in range(len(problem.price)):
            said = [worth_of(problem, prices, weight, j) for weight in DIRECTIONS.tolist()]
            assert worth[j] == pytest.approx(min(said))
            assert said[chosen[j]] == pytest.approx(min(said))


def test_pairs_that_a_pool_has_give_the_same_bound_in_fewer_rounds() -> None:
    chance = random.Random(7)
    pods = [(chance.randint(1, 30), chance.randint(50, 350), chance.randint(50, 350)) for _ in range(40)]
    sizes = [(chance.randint(300, 2000), chance.randint(300, 2000)) for _ in range(30)]
    problem = problem_of(pods, [(cpu, memory, cpu / 900 + memory / 1200) for cpu, memory in sizes])
    cold, warm = Effort(), Effort()
    first = aggregated_lp(problem, cold)
    assert first is not None
    columns = Columns(
        kinds=np.arange(len(problem.price)),
        patterns=(first.mix.pods.T > 0).astype(np.int64),
        nodes=np.zeros(len(problem.price), dtype=np.int64),
        pods=first.pods,
    )
    assert columns.pairs(problem).tolist() == (first.mix.pods > 0).tolist()
    again = aggregated_lp(problem, warm, columns.pairs(problem))
    assert again is not None
    assert again.usd_per_hour == pytest.approx(first.usd_per_hour, rel=1e-6)
    assert warm.solver_calls < cold.solver_calls
    stronger = [strengthened(problem, first, Effort(), 2, start) for start in (None, columns.pairs(problem))]
    assert stronger[1].usd_per_hour == pytest.approx(stronger[0].usd_per_hour, rel=1e-4)
