"""The order of admission where there are too many pods to list every filling."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raypipe.packing.admission import Unit, admit
from raypipe.packing.problem import UNLIMITED, Problem, verify
from raypipe.packing.solve import solve
from raypipe.packing.solver import Effort
from raypipe.settings import Settings


def large_problem(seed: int) -> Problem:
    """Sixty shapes of about six pods each, and twelve kinds of node with economies of scale."""
    rng = np.random.default_rng(seed)
    cpus = np.array([4, 4, 8, 8, 16, 16, 32, 32, 48, 64, 64, 96]) * 1000
    memory = cpus * rng.choice([2, 4, 8], size=len(cpus))
    price = (cpus * 50_000 * rng.uniform(0.8, 1.2, size=len(cpus)) + memory * 5_000).astype(np.int64)
    return Problem(
        demand=rng.integers(1, 12, size=60),
        requests=np.column_stack((rng.choice([250, 500, 1000, 3000], size=60), rng.integers(200, 9000, size=60))),
        capacity=np.column_stack((cpus - 200, memory - 500)),
        price=price,
        admits=rng.random((60, 12)) < 0.9,
        most=np.full(12, UNLIMITED),
        weights=np.zeros((0, 12), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.arange(12),
    )


@pytest.mark.parametrize(("seed", "share"), [(1, 0.6), (2, 0.9), (3, 0.99), (4, 0.999)])
def test_admission_under_a_cost_limit_is_filled_in_order_and_shown(seed: int, share: float) -> None:
    free = large_problem(seed)
    cost = solve(free, Settings(), Effort()).packing
    assert cost is not None
    limit = int(cost.usd_nanos(free) * share)
    problem = dataclasses.replace(free, weights=free.price[None, :], limits=np.array([limit]))
    units = [Unit(pods=row, times=int(n)) for row, n in zip(np.eye(60, dtype=np.int64), free.demand, strict=True)]
    outcome = admit(problem, units, Settings(), Effort())
    assert outcome.packing is not None
    assert verify(problem.with_demand(np.array(outcome.times)), outcome.packing) == []
    assert sum(outcome.times) >= share * 0.85 * int(free.demand.sum())
    assert outcome.times[0] == free.demand[0]
    solved = solve(problem.with_demand(np.array(outcome.times)), Settings(), Effort(), known=outcome.packing)
    assert solved.packing is not None
    assert solved.bound_usd_nanos <= solved.packing.usd_nanos(problem) <= limit
