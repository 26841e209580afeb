"""Shapes alike but for caps of their own: which are classed, and that any packing of the classes can be dealt."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from raypipe.packing import alike as module
from raypipe.packing.alike import Alike, alike
from raypipe.packing.arrays import Ints
from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected, verify
from raypipe.packing.rules import Apart


def capped(demand: list[int], caps: list[int | None], sizes: list[int] | None = None, kinds: int = 2) -> Problem:
    """Shapes of these sizes (all 1 unless said), each with a cap of its own or none, on nodes with room for 12."""
    own = [k for k, most in enumerate(caps) if most is not None]
    asked = np.zeros((len(demand), len(own)), dtype=np.int64)
    asked[own, np.arange(len(own))] = 1
    most = np.array([[caps[k] for k in own]] * kinds, dtype=np.int64).reshape(kinds, len(own))
    return Problem(
        demand=np.array(demand, dtype=np.int64),
        requests=np.column_stack((np.array(sizes or [1] * len(demand), dtype=np.int64), asked)),
        capacity=np.column_stack((np.full(kinds, 12, dtype=np.int64), most)),
        price=np.arange(1, kinds + 1, dtype=np.int64),
        admits=np.ones((len(demand), kinds), dtype=bool),
        most=np.full(kinds, UNLIMITED, dtype=np.int64),
        weights=np.zeros((0, kinds), dtype=np.int64),
        limits=np.zeros(0, dtype=np.int64),
        rank=np.arange(kinds, dtype=np.int64),
        caps=1 + np.arange(len(own)),
    )


@pytest.mark.parametrize(
    ("problem", "classes", "demand", "together"),
    [
        pytest.param(capped([4, 5], [None, None]), [0, 0], [9], [], id="pods that nothing caps are the same pods"),
        pytest.param(capped([4, 4, 4], [1, 1, 1]), [0, 0, 0], [12], [3], id="equal numbers lose nothing"),
        pytest.param(capped([8, 4], [2, 1]), [0, 0], [12], [3], id="twice as many with twice the cap lose nothing"),
        pytest.param(capped([9, 4, 4], [1, 1, 1]), [0, 1, 1], [9, 8], [1, 2], id="one of more pods stays by itself"),
        pytest.param(capped([4, 4], [1, None]), [0, 1], [4, 4], [1], id="capped and not capped differ"),
        pytest.param(capped([4, 4], [1, 1], [1, 2]), [0, 1], [4, 4], [1, 1], id="requests differ"),
    ],
)
def test_only_shapes_that_lose_no_packing_are_classed(
    problem: Problem, classes: list[int], demand: list[int], together: list[int]
) -> None:
    made = alike(problem)
    caps = made.problem.capacity[0, made.problem.caps].tolist()
    assert (made.class_of.tolist(), made.problem.demand.tolist(), caps) == (classes, demand, together)


def test_of_many_shapes_all_that_are_alike_are_classed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 2)
    problem = capped([9, 4, 4], [1, 1, 1])
    assert alike(problem).problem.demand.tolist() == [17]
    assert alike(problem).problem.capacity[0].tolist() == [12, 1]
    assert alike(problem, lossless=True).problem.demand.tolist() == [9, 8]


def test_who_is_kept_apart_from_others_is_like_nobody_else() -> None:
    rule = Apart(
        owners=np.array([True, False, False]), members=np.array([True, True, False]), most=np.array([1, 1], np.int64)
    )
    problem = dataclasses.replace(capped([2, 2, 2], [None, None, None]), apart=(rule,))
    assert alike(problem).class_of.tolist() == [0, 1, 2]


def test_a_cap_that_leaves_less_on_some_nodes_is_no_cap_of_its_own() -> None:
    problem = capped([4, 4], [1, 1])
    capacity = problem.capacity.copy()
    capacity[1, 1] = 0
    assert alike(dataclasses.replace(problem, capacity=capacity)).class_of.tolist() == [0, 1]


def test_a_class_costs_the_mean_of_its_pods() -> None:
    assert alike(capped([1, 3], [None, None])).averaged(np.array([2.0, 6.0])).tolist() == [5.0]


@pytest.mark.parametrize("seed", range(40))
def test_any_packing_of_classes_can_be_dealt(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 1)
    draw = random.Random(seed)
    shapes = draw.randint(2, 6)
    problem = capped(
        [draw.randint(1, 30) for _ in range(shapes)],
        [draw.choice((1, 1, 2, 3, None)) for _ in range(shapes)],
        [draw.randint(1, 2) for _ in range(shapes)],
    )
    classes = alike(problem)
    packing = _packed(classes, draw)
    assert verify(classes.problem, packing) == []
    assert verify(problem, classes.dealt(packing)) == []


def _packed(classes: Alike, draw: random.Random) -> Packing:
    """All pods in random order, each on the first node with room."""
    problem = classes.problem
    pods = [k for k, count in enumerate(problem.demand.tolist()) for _ in range(count)]
    draw.shuffle(pods)
    nodes: list[tuple[int, Ints]] = []
    for k in pods:
        here = next((pattern for j, pattern in nodes if problem.room_for(pattern + _one(problem, k), j)), None)
        if here is None:
            here = np.zeros(len(problem.demand), dtype=np.int64)
            nodes.append((draw.randrange(2), here))
        here[k] += 1
    return collected(problem, [(j, pattern, 1) for j, pattern in nodes])


def _one(problem: Problem, shape: int) -> Ints:
    one = np.zeros(len(problem.demand), dtype=np.int64)
    one[shape] = 1
    return one
