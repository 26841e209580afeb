"""Cuts keep every filling of whole pods, and bring the bound to what whole pods cost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from raypipe.packing.bound import aggregated_lp, strengthened
from raypipe.packing.cuts import Rounded, Wanted, with_cuts
from raypipe.packing.problem import UNLIMITED, Problem
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD

from .problems import cheapest, random_problem


def problem_of(pods: list[tuple[int, int, int]], nodes: list[tuple[int, int, float]]) -> Problem:
    """Pods as (count, cpu, memory), kinds without end as (cpu, memory, $/h)."""
    return Problem(
        demand=np.array([count for count, _, _ in pods]),
        requests=np.array([[cpu, memory] for _, cpu, memory in pods]),
        capacity=np.array([[cpu, memory] for cpu, memory, _ in nodes]),
        price=np.array([round(price * NANOS_PER_USD) for _, _, price in nodes]),
        admits=np.ones((len(pods), len(nodes)), dtype=bool),
        most=np.full(len(nodes), UNLIMITED),
        weights=np.zeros((0, len(nodes)), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.arange(len(nodes)),
    )


@pytest.mark.parametrize(
    ("pods", "nodes", "plain", "cut"),
    [
        pytest.param([(70, 8, 1)], [(63, 999, 1.0)], 70 * 8 / 63, 10.0, id="a node of 63 cores holds 7 pods of 8"),
        pytest.param([(30, 1, 9)], [(99, 40, 1.0)], 30 * 9 / 40, 7.5, id="memory is counted as cpu is"),
        pytest.param([(40, 8, 1)], [(64, 999, 1.0)], 5.0, 5.0, id="where pods fit without rest there is no cut"),
        pytest.param(
            [(70, 8, 1), (70, 7, 1)], [(63, 999, 1.0)], 70 * 15 / 63, 70 * 15 / 63, id="small pods fill the rest"
        ),
        pytest.param([(6, 5, 1)], [(9, 99, 1.0), (5, 99, 0.7)], 10 / 3, 4.2, id="then smaller nodes are cheaper"),
        pytest.param([(9, 4, 1), (9, 8, 1)], [(15, 99, 1.0)], 7.2, 9.0, id="a large pod counts for two small ones"),
        pytest.param([(1, 1, 1)], [(8, 99, 1.0)], 0.125, 1.0, id="a node holds no more pods than there are"),
        pytest.param(
            [(1, 1, 1), (1, 2, 1)], [(9, 99, 1.0), (3, 99, 0.9)], 1 / 3, 0.9, id="nor more than all that are there"
        ),
    ],
)
def test_whole_pods_are_counted(
    pods: list[tuple[int, int, int]], nodes: list[tuple[int, int, float]], plain: float, cut: float
) -> None:
    problem = problem_of(pods, nodes)
    duals = aggregated_lp(problem, Effort())
    assert duals is not None
    better = strengthened(problem, duals, Effort(), rounds=2)
    assert (duals.usd_per_hour, better.usd_per_hour) == (pytest.approx(plain), pytest.approx(cut))
    assert better.kind == ("pattern-lp" if cut > plain + 1e-9 else "aggregated-lp")


def test_every_filling_of_whole_pods_obeys_every_cut() -> None:
    for seed in range(60):
        problem = random_problem(seed)
        units = sorted({(r, int(d)) for r in range(2) for d in problem.requests[:, r] if d > 1})
        rounded = [Rounded(resource=r, unit=unit) for r, unit in units]
        cuts = (*rounded, *(Wanted(shape=k) for k in range(len(problem.demand))))
        cut = with_cuts(problem, cuts)
        assert cut.requests.shape[1] == 2 + len(cuts)
        for pattern in itertools.product(*(range(count + 1) for count in problem.demand.tolist())):
            loads = np.array(pattern) @ cut.requests
            fits = (loads[:2] <= problem.capacity).all(axis=1) & problem.fits[np.array(pattern) > 0].all(axis=0)
            assert (loads[None, :] <= cut.capacity)[fits].all(), seed


def test_a_bound_with_cuts_is_never_above_the_optimum_and_never_below_the_one_without() -> None:
    cut = 0
    for seed in range(120):
        problem = random_problem(seed)
        duals = aggregated_lp(problem, Effort())
        best = cheapest(problem, problem.demand.tolist())
        if duals is None or best is None:
            continue
        better = strengthened(problem, duals, Effort(), rounds=3)
        assert duals.usd_per_hour <= better.usd_per_hour <= best / NANOS_PER_USD + 1e-9, seed
        cut += better.usd_per_hour > duals.usd_per_hour + 1e-6
    assert cut > 10
