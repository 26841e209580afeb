"""Better plans from a good one: large-neighbourhood search with little MILPs.

A few nodes are taken out of the plan, the ones that waste most (c_j − π·a) among them, and their pods are packed anew
(`neighbourhood`). What is found counts only if it is cheaper. The choice of nodes follows a fixed sequence, so a run
can be repeated. A plan of few nodes is one neighbourhood, and is searched once and widely: there rounding costs most,
4 to 10 % at 100 pods, and the pattern LP tells least.

Refused: one MILP over the whole restricted master above some hundred pods; its root alone outlasts the budget.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from raypipe.packing.master import Master
from raypipe.packing.neighbourhood import PART, WHOLE, Node, repacked
from raypipe.packing.patterns import Pricing
from raypipe.packing.problem import Packing, Problem, collected
from raypipe.packing.rounding import trim

SEED = 20
LEAST_WASTE = 0.02
"""Share of its price that a node counts as wasting though it wastes nothing: it may still have to make room."""
FEW_NODES = 12
"""A plan of at most so many nodes is one neighbourhood."""


def improve(pricing: Pricing, packing: Packing, master: Master, searches: int, stop: Callable[[], bool]) -> Packing:
    """Search `searches` neighbourhoods of `packing`; `master`: the pattern LP, at whose prices nodes waste."""
    problem = pricing.problem
    sequence = random.Random(SEED)
    nodes = _single(packing)
    few = len(nodes) <= FEW_NODES
    for number in range(min(searches, 1) if few else searches):
        if len(nodes) < 2 or stop():
            break
        chosen = set(range(len(nodes))) if few else _neighbourhood(problem, nodes, master, 4 + number % 5, sequence)
        others = [node for i, node in enumerate(nodes) if i not in chosen]
        taken_out = [nodes[i] for i in sorted(chosen)]
        beside = collected(problem, [(j, a, 1) for j, a in others])
        better = repacked(pricing, taken_out, beside, master.pods, WHOLE if few else PART)
        if better is not None:
            nodes = others + better
    return trim(problem, collected(problem, [(j, a, 1) for j, a in nodes]))


def _single(packing: Packing) -> list[Node]:
    """One entry a node."""
    return [
        (int(j), pattern)
        for j, pattern, count in zip(packing.kinds, packing.patterns, packing.counts, strict=True)
        for _ in range(int(count))
    ]


def _neighbourhood(problem: Problem, nodes: list[Node], master: Master, size: int, sequence: random.Random) -> set[int]:
    """`size` nodes to take out, drawn by what they waste at the master's prices; an existing one has a price there."""
    kinds, patterns = np.array([j for j, _ in nodes]), np.array([pattern for _, pattern in nodes])
    paid = master.paid(problem)[kinds]
    waste = np.maximum(paid - patterns @ master.pods, LEAST_WASTE * paid) + 1e-6
    keys = [sequence.random() ** (1.0 / w) for w in (waste / waste.max()).tolist()]
    return set(sorted(range(len(nodes)), key=lambda i: -keys[i])[:size])
