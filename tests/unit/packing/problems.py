"""Small random packing problems, and their optimum by trying everything (plain integers, nothing of raypipe's)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np

from raypipe.packing.problem import UNLIMITED, Problem


def random_problem(seed: int) -> Problem:
    """At most 5 pods of 3 shapes, 4 kinds of which some are scarce, 2 resources, sometimes a limit."""
    draw = random.Random(seed)
    shapes, kinds = draw.randint(1, 3), draw.randint(1, 4)
    demand = [draw.randint(1, 2) for _ in range(shapes)]
    limited = draw.random() < 0.5
    return Problem(
        demand=np.array(demand, dtype=np.int64),
        requests=np.array([[draw.randint(1, 6), draw.randint(0, 5)] for _ in range(shapes)], dtype=np.int64),
        capacity=np.array([[draw.randint(2, 12), draw.randint(2, 10)] for _ in range(kinds)], dtype=np.int64),
        price=np.array([draw.choice([0, 0, 1, 2, 3, 5, 8]) * 10**8 + 10**7 for _ in range(kinds)], dtype=np.int64),
        admits=np.array([[draw.random() < 0.8 for _ in range(kinds)] for _ in range(shapes)], dtype=bool),
        most=np.array([1 if draw.random() < 0.3 else UNLIMITED for _ in range(kinds)], dtype=np.int64),
        weights=np.array(
            [[draw.randint(1, 4) for _ in range(kinds)]] if limited else np.zeros((0, kinds)), dtype=np.int64
        ),
        limits=np.array([draw.randint(1, 8)] if limited else [], dtype=np.int64),
        rank=np.arange(kinds, dtype=np.int64),
    )


def _partitions(items: list[int]) -> Iterator[list[list[int]]]:
    """Every way to deal items to unnamed nodes."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for partition in _partitions(rest):
        for i in range(len(partition)):
            yield [*partition[:i], [first, *partition[i]], *partition[i + 1 :]]
        yield [[first], *partition]


def cheapest(problem: Problem, demand: list[int]) -> int | None:
    """The least cost of a packing of `demand`, by trying all; None where there is none."""
    pods = [k for k, count in enumerate(demand) for _ in range(count)]
    requests, capacity = problem.requests.tolist(), problem.capacity.tolist()
    price, most = problem.price.tolist(), problem.most.tolist()
    weights, limits = problem.weights.tolist(), problem.limits.tolist()
    best: int | None = None
    for partition in _partitions(pods):
        options = []
        for node in partition:
            load = [sum(requests[k][r] for k in node) for r in range(2)]
            options.append(
                [
                    j
                    for j in range(len(price))
                    if all(problem.admits[k, j] for k in node) and all(load[r] <= capacity[j][r] for r in range(2))
                ]
            )
        for chosen in itertools.product(*options):
            if any(chosen.count(j) > most[j] for j in set(chosen)):
                continue
            if any(sum(row[j] for j in chosen) > limit for row, limit in zip(weights, limits, strict=True)):
                continue
            cost = sum(price[j] for j in chosen)
            best = cost if best is None else min(best, cost)
    return best
