"""Demand with a choice in it: lean choices, the bound that holds for all of them, and the choice against all tried."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from raypipe.packing import alternatives
from raypipe.packing.alternatives import choose
from raypipe.packing.bound import aggregated_lp
from raypipe.packing.choices import Choices
from raypipe.packing.problem import UNLIMITED, Problem, verify
from raypipe.packing.solver import Effort
from raypipe.settings import Settings

from .problems import cheapest, random_problem

PIPELINE_ONLY = Settings(enumerate_patterns=0, neighbourhoods=4)


def choices(*groups: tuple[int, int, int, int, int], work: tuple[int, ...], base: tuple[int, ...]) -> Choices:
    """Groups as (set, shape, pods a replica, speed, most)."""
    columns = np.array(groups, dtype=np.int64).reshape(-1, 5).T
    return Choices(
        base=np.array(base, dtype=np.int64),
        of=columns[0],
        shape=columns[1],
        hosts=columns[2],
        speed=columns[3],
        most=columns[4],
        work=np.array(work, dtype=np.int64),
    )


def random_choices(seed: int) -> tuple[Problem, Choices]:
    """A random problem of which the last shapes are alternatives, sometimes with a set of the first shape, too."""
    problem, draw = random_problem(seed), random.Random(1000 + seed)
    shapes = len(problem.demand)
    groups = [(0, k, draw.choice((1, 1, 2)), draw.choice((1, 2, 3)), draw.randint(1, 3)) for k in range(1, shapes)]
    groups += [(0, 0, 1, draw.choice((1, 2)), draw.randint(1, 3))]
    base = [draw.randint(0, 1) if k == 0 else 0 for k in range(shapes)]
    work = draw.randint(1, min(4, sum(speed * most for *_, speed, most in groups)))
    return problem, choices(*groups, work=(work,), base=tuple(base))


def tried(problem: Problem, one: Choices) -> int | None:
    """The least cost over every choice that does the work, by trying all."""
    costs = []
    for chosen in itertools.product(*(range(most + 1) for most in one.most.tolist())):
        if int(one.speed @ np.array(chosen)) >= one.work[0]:
            demand = one.base.tolist()
            for k, hosts, n in zip(one.shape.tolist(), one.hosts.tolist(), chosen, strict=True):
                demand[k] += hosts * n
            if sum(demand) <= 6:
                cost = cheapest(problem, demand)
                costs += [] if cost is None else [cost]
    return min(costs, default=None)


def test_lean_choices_have_no_replica_to_spare() -> None:
    one = choices((0, 0, 1, 2, 9), (0, 1, 1, 1, 3), work=(5,), base=(0, 0))
    assert [found.tolist() for found in one.lean(9) or []] == [[1, 3], [2, 1], [3, 0]]
    assert one.lean(2) is None
    assert one.highest.tolist() == [3, 3]


def test_lean_choices_of_sets_are_combined() -> None:
    one = choices((0, 0, 1, 1, 1), (0, 1, 1, 1, 1), (1, 2, 1, 1, 2), work=(1, 2), base=(0, 0, 0))
    assert [found.tolist() for found in one.lean(9) or []] == [[0, 1, 2], [1, 0, 2]]


def test_there_is_no_lean_choice_of_too_little() -> None:
    assert choices((0, 0, 1, 1, 2), (0, 1, 1, 1, 10**9), work=(10**9 + 3,), base=(0, 0)).lean(9) == []


def test_lean_choices_hidden_among_others_are_not_searched_for_ever() -> None:
    assert choices((0, 0, 1, 1, 10**9), (0, 1, 1, 10**9, 1), work=(10**9,), base=(0, 0)).lean(64) is None


def test_a_choice_is_rounded_to_lean_ones_near_it() -> None:
    one = choices((0, 0, 1, 2, 9), (0, 1, 1, 3, 9), work=(20,), base=(0, 0))
    assert [found.tolist() for found in one.rounded(np.array([4.7, 3.5]))] == [[4, 4], [6, 3]]
    assert [found.tolist() for found in one.neighbours(np.array([4, 4]))] == [[3, 5], [6, 3]]
    assert all(one.covered(found) and one.is_lean(found, 0) for found in one.neighbours(np.array([4, 4])))


def test_the_cheapest_choice_at_prices_is_a_bound() -> None:
    one = choices((0, 0, 2, 2, 1), (0, 1, 1, 1, 9), work=(5,), base=(1, 0))
    assert one.least_worth(np.array([0.5, 0.6])) == pytest.approx(0.5 + 2 * 0.5 + 3 * 0.6)


@pytest.mark.parametrize("settings", [Settings(), PIPELINE_ONLY], ids=["listed", "pipeline"])
@pytest.mark.parametrize("guided", [False, True], ids=["all", "guided"])
@pytest.mark.parametrize("first", range(0, 60, 20))
def test_choices_of_small_problems(
    first: int, guided: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if guided:
        monkeypatch.setattr(alternatives, "MOST_LISTED", 0)
    for seed in range(first, first + 20):
        problem, one = random_choices(seed)
        best = tried(problem, one)
        chosen = choose(problem, one, None, settings, Effort())
        if chosen is None:
            assert best is None or settings is PIPELINE_ONLY or guided, seed
            continue
        assert best is not None, seed
        demand = one.demand(chosen.replicas)
        packing = chosen.solved.packing
        assert packing is not None
        assert one.covered(chosen.replicas), seed
        assert verify(problem.with_demand(demand), packing) == [], seed
        assert chosen.solved.bound_usd_nanos <= best <= packing.usd_nanos(problem), seed
        if not guided and settings is not PIPELINE_ONLY:
            assert packing.usd_nanos(problem) == best == chosen.solved.bound_usd_nanos, seed


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_the_bound_with_a_free_choice_is_below_that_of_each(first: int) -> None:
    for seed in range(first, first + 20):
        problem, one = random_choices(seed)
        problem = replace(problem, most=np.full_like(problem.most, UNLIMITED))
        free = aggregated_lp(problem.with_demand(one.highest), Effort(), choices=one)
        each = [aggregated_lp(problem.with_demand(one.demand(chosen)), Effort()) for chosen in one.lean(99) or []]
        known = [duals.usd_per_hour for duals in each if duals is not None]
        if free is not None and known:
            assert free.usd_per_hour <= min(known) + 1e-9, seed
            assert free.usd_per_hour >= 0.2 * min(known), seed  # and says something


def test_what_stands_is_kept_where_nothing_is_cheaper() -> None:
    problem = Problem(
        demand=np.array([0, 0]),
        requests=np.array([[1], [1]]),
        capacity=np.array([[4]]),
        price=np.array([10**9]),
        admits=np.ones((2, 1), dtype=bool),
        most=np.array([UNLIMITED]),
        weights=np.zeros((0, 1), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.arange(1),
    )
    one = choices((0, 0, 1, 1, 9), (0, 1, 1, 1, 9), work=(4,), base=(0, 0))
    for standing in ([4, 0], [1, 3], [0, 4]):
        chosen = choose(problem, one, np.array(standing), Settings(), Effort())
        assert chosen is not None
        assert chosen.replicas.tolist() == standing
    worse = choose(problem, one, np.array([5, 3]), Settings(), Effort())
    assert worse is not None
    assert int(worse.replicas.sum()) == 4


def test_patterns_tell_shapes_apart_that_the_lp_does_not() -> None:
    """A node of four GPUs holds one pod of three: (A) would fill it with four thirds."""
    problem = Problem(
        demand=np.array([0, 0]),
        requests=np.array([[3], [2]]),
        capacity=np.array([[4]]),
        price=np.array([10**9]),
        admits=np.ones((2, 1), dtype=bool),
        most=np.array([UNLIMITED]),
        weights=np.zeros((0, 1), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.arange(1),
    )
    one = choices((0, 0, 1, 3, 999), (0, 1, 1, 2, 999), work=(1200,), base=(0, 0))
    chosen = choose(problem, one, np.array([400, 0]), Settings(), Effort())
    assert chosen is not None
    assert chosen.replicas.tolist() == [0, 600]
    assert chosen.solved.packing is not None
    assert chosen.solved.packing.usd_nanos(problem) == chosen.solved.bound_usd_nanos == 300 * 10**9
