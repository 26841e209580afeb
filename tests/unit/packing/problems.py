"""Small random packing problems, and their optimum by trying everything (plain integers, nothing of raypipe's)."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator

import numpy as np

from raypipe.packing.arrays import Bools
from raypipe.packing.problem import UNLIMITED, Problem
from raypipe.packing.rules import Form
from raypipe.packing.wishes import DomainWish, NodeWish, Wish

CENT = 10**7


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


def wished_problem(seed: int) -> Problem:
    """A random problem whose pods prefer some kinds and wish things of each other, on nodes and in two domains."""
    problem, draw = random_problem(seed), random.Random(seed)
    shapes, kinds = problem.admits.shape
    penalty = [[draw.choice((0, 0, 1, 3)) * CENT for _ in range(kinds)] for _ in range(shapes)]
    domain = np.array([draw.choice((-1, 0, 1, 0, 1)) for _ in range(kinds)], dtype=np.int64)
    standing = np.array([0 if most == UNLIMITED else draw.choice((0, 0, 1, 2)) for most in problem.most])
    return dataclasses.replace(
        problem,
        penalty=np.array(penalty if draw.random() < 0.6 else np.zeros((0, 0)), dtype=np.int64),
        wishes=tuple(
            NodeWish(wish=_wish(draw, shapes), standing=standing.astype(np.int64)) for _ in range(draw.randint(0, 2))
        ),
        domain_wishes=tuple(
            DomainWish(
                wish=_wish(draw, shapes),
                domain=domain,
                base=np.array([draw.choice((0, 0, 1)), draw.choice((0, 0, 2))], dtype=np.int64),
                eligible=np.array([True, draw.random() < 0.7], dtype=bool),
                floor_zero=draw.random() < 0.2,
            )
            for _ in range(draw.randint(0, 2))
        ),
        cell=domain + 1,
    )


def _wish(draw: random.Random, shapes: int) -> Wish:
    own = draw.random() < 0.6
    owners = _some(draw, shapes)
    members = owners | _some(draw, shapes) if own else ~owners
    return Wish(
        form=draw.choice(list(Form)),
        owners=owners,
        members=members,
        usd_nanos=draw.choice((1, 2, 9)) * CENT,
        own=own,
        most=draw.choice((1, 1, 2)),
    )


def _some(draw: random.Random, shapes: int) -> Bools:
    return np.array([draw.random() < 0.5 or k == 0 for k in range(shapes)], dtype=bool)


def missed(problem: Problem, nodes: list[tuple[int, list[int]]]) -> int:
    """What the pods of nodes (a kind, and the shapes of its pods) miss, pod by pod."""
    cost = 0
    for kind, pods in nodes:
        cost += sum(int(problem.penalty[k, kind]) for k in pods) if problem.penalty.size else 0
        for one in problem.wishes:
            cost += _missed_in(one.wish, pods, int(one.standing[kind]), 0)
    for wide in problem.domain_wishes:
        there = [[k for j, pods in nodes if wide.domain[j] == d for k in pods] for d in range(len(wide.base))]
        total = [
            int(base) + sum(bool(wide.wish.members[k]) for k in pods)
            for base, pods in zip(wide.base, there, strict=True)
        ]
        least = 0 if wide.floor_zero else min(one for one, fine in zip(total, wide.eligible, strict=True) if fine)
        for base, pods in zip(wide.base, there, strict=True):
            cost += _missed_in(wide.wish, pods, int(base), least)
    return cost


def _missed_in(wish: Wish, pods: list[int], bound: int, least: int) -> int:
    """What the pods of one domain miss of one wish; owners are alike, so any of them may be the ones over the skew."""
    count = 0
    for place, owner in enumerate(pods):
        if not wish.owners[owner]:
            continue
        others = bound + sum(bool(wish.members[k]) for i, k in enumerate(pods) if i != place)
        if wish.form is Form.APART:
            count += others > 0
        elif wish.form is Form.TOGETHER:
            count += others == 0
        else:
            over = bound + sum(bool(wish.members[k]) for k in pods) - least - wish.most
            count += count < over
    return count * wish.usd_nanos


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
            cost = sum(price[j] for j in chosen) + missed(problem, list(zip(chosen, partition, strict=True)))
            best = cost if best is None else min(best, cost)
    return best
