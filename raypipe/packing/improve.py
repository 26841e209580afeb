"""Better plans from a good one: large-neighbourhood search with little MILPs.

A few nodes are taken out of the plan, the ones that waste most (c_j − π·a) among them, and their pods are packed anew:
by listing all fillings where they are few, else by a MILP over the patterns known, cut down to these pods, with the old
nodes as its start. What is found counts only if it is cheaper. The choice of nodes follows a fixed sequence, so a run
can be repeated.

Refused: one MILP over the whole restricted master above some hundred pods; its root alone outlasts the budget.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.exact import enumerate_fillings
from raypipe.packing.fill import fill, floored
from raypipe.packing.master import decoded, master_model
from raypipe.packing.patterns import MEASURES, PatternPool, Pricing
from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected
from raypipe.packing.rounding import trim
from raypipe.quantities import NANOS_PER_USD

SEED = 20
MOST_COLUMNS = 350
LISTED = 3_000
MOST_SEARCH_NODES = 100


def improve(
    pricing: Pricing, packing: Packing, prices: Floats, searches: int, search_nodes: int, stop: Callable[[], bool]
) -> Packing:
    """Search `searches` neighbourhoods of `packing`; `prices` are the pattern LP's, (K,) $/h a pod."""
    problem = pricing.problem
    sequence = random.Random(SEED)
    nodes, search_nodes = _single(packing), min(search_nodes, MOST_SEARCH_NODES)
    for number in range(searches):
        if len(nodes) < 2 or stop():
            break
        size = min(len(nodes), 4 + number % 5)
        chosen = _neighbourhood(problem, nodes, prices, size, sequence)
        better = _repacked(pricing, [nodes[i] for i in chosen], prices, search_nodes)
        if better is not None:
            nodes = [node for i, node in enumerate(nodes) if i not in chosen] + better
    return trim(problem, collected(problem, [(j, a, 1) for j, a in nodes]))


def _single(packing: Packing) -> list[tuple[int, Ints]]:
    """One entry a node."""
    return [
        (int(j), pattern)
        for j, pattern, count in zip(packing.kinds, packing.patterns, packing.counts, strict=True)
        for _ in range(int(count))
    ]


def _neighbourhood(
    problem: Problem, nodes: list[tuple[int, Ints]], prices: Floats, size: int, sequence: random.Random
) -> set[int]:
    """Nodes to take out: drawn by what they waste at these prices."""
    patterns = np.array([pattern for _, pattern in nodes])
    cost = problem.price[[j for j, _ in nodes]] / NANOS_PER_USD
    waste = np.maximum(cost - patterns @ prices, 0.02 * cost) + 1e-6
    keys = [sequence.random() ** (1.0 / w) if w < 1e3 else 1.0 for w in (waste / waste.max()).tolist()]
    return set(sorted(range(len(nodes)), key=lambda i: -keys[i])[:size])


def _repacked(
    pricing: Pricing, nodes: list[tuple[int, Ints]], prices: Floats, search_nodes: int
) -> list[tuple[int, Ints]] | None:
    """Pack the pods of `nodes` anew; None where nothing cheaper was found."""
    problem = pricing.problem
    demand: Ints = np.sum([pattern for _, pattern in nodes], axis=0)
    old = collected(problem, [(j, pattern, 1) for j, pattern in nodes])
    before = old.usd_nanos(problem)
    if before == 0:
        return None
    shapes = np.flatnonzero(demand)
    part = _part(problem, shapes, demand, old)
    listed = enumerate_fillings(part, LISTED)
    if listed is not None:
        found = listed.solve(part.demand, pricing.effort, search_nodes).packing
    else:
        found = _milp(pricing, part, shapes, nodes, prices, search_nodes)
    if found is None or found.usd_nanos(part) >= before:
        return None
    full = np.zeros((len(found.kinds), len(demand)), dtype=np.int64)
    full[:, shapes] = found.patterns
    return [
        (int(j), pattern)
        for j, pattern, count in zip(found.kinds, full, found.counts, strict=True)
        for _ in range(int(count))
    ]


def _part(problem: Problem, shapes: Ints, demand: Ints, old: Packing) -> Problem:
    """The problem of these pods alone: scarce kinds and limits as far as the old nodes used them."""
    return replace(
        problem.only_shapes(shapes),
        demand=demand[shapes],
        most=np.where(problem.most < UNLIMITED, old.used(problem), problem.most),
        limits=old.usage(problem),
    )


def _milp(
    pricing: Pricing, part: Problem, shapes: Ints, nodes: list[tuple[int, Ints]], prices: Floats, search_nodes: int
) -> Packing | None:
    """The MILP over known patterns cut down to these pods, and fillings at several prices."""
    demand = part.demand
    columns = PatternPool(len(demand))
    for j, pattern in nodes:
        columns.add(j, pattern[shapes])
    start_columns = len(columns)
    local, unit = prices[shapes], pricing.unit_costs[shapes]
    kinds = pricing.attractive(0.8)
    for measure in MEASURES:
        patterns = fill(part, floored(local, unit), kinds, demand, measure)
        for i, j in enumerate(kinds):
            columns.add(int(j), patterns[i])
    known = np.minimum(pricing.pool.patterns[:, shapes], demand)
    gain = known @ local - part.price[pricing.pool.kinds] / NANOS_PER_USD
    for p in np.argsort(-gain, kind="stable")[:MOST_COLUMNS]:
        if part.most[pricing.pool.kinds[p]] > 0:
            columns.add(int(pricing.pool.kinds[p]), known[p])
    return _solve_columns(pricing, part, columns, start_columns, nodes, shapes, search_nodes)


def _solve_columns(
    pricing: Pricing,
    part: Problem,
    columns: PatternPool,
    start_columns: int,
    nodes: list[tuple[int, Ints]],
    shapes: Ints,
    search_nodes: int,
) -> Packing | None:
    """Solve the covering MILP over `columns`, the old nodes as its start; None where integers refuse its answer."""
    kinds, patterns = columns.kinds, columns.patterns
    model = master_model(part, kinds, patterns, part.demand, pricing.effort, integer=True).model
    start = [0.0] * len(kinds)
    marks = [(int(kinds[p]), patterns[p].tobytes()) for p in range(start_columns)]
    for j, pattern in nodes:
        start[marks.index((j, pattern[shapes].tobytes()))] += 1.0
    solution = model.solve(search_nodes, start)
    if solution is None:
        return None
    packing = decoded(part, part.demand, kinds, patterns, np.rint(solution.values).astype(np.int64))
    return None if packing is None else trim(part, packing)
