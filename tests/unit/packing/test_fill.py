"""Filling nodes: what is filled together comes out as if each node were filled alone."""

from __future__ import annotations

import numpy as np
import pytest

from raypipe.packing import fill as filling
from raypipe.packing.fill import Measure, fill
from raypipe.packing.problem import Problem
from tests.unit.packing.problems import random_problem

MEASURES = (Measure.SUM, Measure.MAX, Measure.L2)


def _filled(problem: Problem, kinds: np.ndarray, measures: tuple[Measure, ...]) -> np.ndarray:
    prices = 1.0 + problem.requests.sum(axis=1)
    return fill(problem, prices, np.tile(kinds, len(measures)), 9 * problem.demand, measures)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("at_once", [1, 10**6], ids=["a node at a time", "all at once"])
def test_nodes_filled_together_are_filled_as_each_alone(
    seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = random_problem(seed)
    kinds = np.arange(len(problem.price))
    alone = [_filled(problem, kinds[j : j + 1], (measure,))[0] for measure in MEASURES for j in kinds]
    monkeypatch.setattr(filling, "NUMBERS_AT_ONCE", at_once)
    together = _filled(problem, kinds, MEASURES)
    assert together.tolist() == [pattern.tolist() for pattern in alone]


@pytest.mark.parametrize("seed", range(12))
def test_a_filled_node_holds_its_pods_and_no_more(seed: int) -> None:
    problem = random_problem(seed)
    most = 9 * problem.demand
    for kind, pattern in enumerate(fill(problem, np.ones(len(most)), np.arange(len(problem.price)), most)):
        assert problem.room_for(pattern, kind)
        more = [pattern + one for one in np.eye(len(most), dtype=np.int64) if (pattern + one <= most).all()]
        assert not any(problem.room_for(fuller, kind) for fuller in more)
