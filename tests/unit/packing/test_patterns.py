"""Column generation where nodes hold few pods: begun nodes find what filling from nothing does not."""

from __future__ import annotations

import random

import numpy as np
import pytest

from raypipe.packing import patterns
from raypipe.packing.bound import aggregated_lp, unit_cost
from raypipe.packing.patterns import PatternPool, Pricing, generate
from raypipe.packing.problem import Problem
from raypipe.packing.solver import Effort

from .test_cuts import problem_of

ROUNDS, LOWER = 160, 0.01


def pricing_of(problem: Problem) -> Pricing:
    """Column generation with a node for each shape to begin with."""
    duals = aggregated_lp(problem, Effort())
    assert duals is not None
    pool, cost = PatternPool(len(problem.demand)), unit_cost(problem)
    for k, kind in enumerate(cost.argmin(axis=1)):
        pool.add(int(kind), np.eye(len(problem.demand), dtype=np.int64)[k])
    return Pricing(problem=problem, duals=duals, unit_costs=cost.min(axis=1), pool=pool, effort=Effort())


def large_pods(seed: int) -> Problem:
    """Sixty shapes of which a node holds three to five."""
    chance = random.Random(seed)
    pods = [(chance.randint(1, 30), chance.randint(150, 350), chance.randint(150, 350)) for _ in range(60)]
    return problem_of(pods, [(1000, 1000, 1.0), (1500, 900, 1.3), (900, 1600, 1.35)])


def value(problem: Problem) -> float:
    master = generate(pricing_of(problem), ROUNDS)
    assert master is not None
    return master.objective


def test_begun_nodes_lower_the_pattern_lp_of_large_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [large_pods(seed) for seed in range(4)]
    begun = [value(problem) for problem in problems]
    monkeypatch.setattr(patterns, "BEGUN_ROUNDS", 0)
    alone = [value(problem) for problem in problems]
    assert all(with_begun <= without for with_begun, without in zip(begun, alone, strict=True))
    assert sum(begun) < (1 - LOWER) * sum(alone)


def test_nodes_of_many_pods_are_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> int:
        raise AssertionError("begun")

    monkeypatch.setattr(Pricing, "begin", never)
    chance = random.Random(1)
    pods = [(chance.randint(20, 90), chance.randint(20, 90), chance.randint(20, 90)) for _ in range(40)]
    assert generate(pricing_of(problem_of(pods, [(1000, 1000, 1.0)])), ROUNDS) is not None
