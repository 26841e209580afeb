"""The pods of a few nodes, packed anew: the step of which large-neighbourhood search is made.

The nodes bound what their pods may cost, which makes the problem small:

* where the pods can be filled in few ways, all are listed (`exact`);
* else columns are looked for: patterns known, cut down to these pods, and fillings of many kinds at the LP's prices and
  at what a pod costs by itself. An optimum of few nodes is far from the LP's, so most of its columns are worth less
  than their node and no column generation would find them; that is why kinds are not asked to be attractive here.
* columns whose reduced cost at the LP over all of them is more than the nodes cost above that LP are in no cheaper
  packing and are left out; a MILP over the rest has the nodes as its start.

Refused: column generation for these pods alone (it finds columns worth their node, of which a better packing of few
nodes has few), HiGHS' own heuristics (the start is better, and they take half of the time).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.exact import enumerate_fillings
from raypipe.packing.fill import Measure, fill, floored
from raypipe.packing.master import MasterLp, decoded, master_model
from raypipe.packing.patterns import MEASURES, PatternPool, Pricing
from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected
from raypipe.packing.rounding import trim
from raypipe.quantities import NANOS_PER_USD

type Node = tuple[int, Ints]
"""One node: its kind, and the pods of each shape on it."""

KNOWN = 350
"""Most of the patterns known that are tried, those that come nearest to paying."""
LISTED = 3_000
GAIN = 1e-7
"""$/h: what a packing has to be cheaper by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breadth:
    """How widely columns are looked for, and how long the MILP over them goes on.

    Attributes:
        slack: kinds worth less than this share of their price at the prices of (A) are not filled.
        measures: with which the fill is made. flat: whether (A)'s prices are filled at, too.
        columns: most of them in the MILP, those of the least reduced cost, and as many of scarce kinds.
        looks, search_nodes: as in `Model.solve`.
    """

    slack: float
    measures: tuple[Measure, ...]
    flat: bool
    columns: int
    looks: int | None
    search_nodes: int


PART = Breadth(slack=0.6, measures=MEASURES[:2], flat=False, columns=80, looks=20, search_nodes=100)
"""For some nodes of many: quickly, there are more neighbourhoods to search."""

WHOLE = Breadth(slack=0.3, measures=MEASURES, flat=True, columns=500, looks=None, search_nodes=300)
"""For all nodes of a plan of few: this is the plan."""


def repacked(
    pricing: Pricing, nodes: list[Node], others: Packing, prices: Floats, breadth: Breadth
) -> list[Node] | None:
    """Pack the pods of `nodes` anew beside `others`, which stay; None where nothing cheaper was found.

    prices: the pattern LP's, (K,) $/h a pod.
    """
    problem = pricing.problem
    demand: Ints = np.sum([pattern for _, pattern in nodes], axis=0)
    old = collected(problem, [(j, pattern, 1) for j, pattern in nodes])
    before = old.usd_nanos(problem)
    if before == 0:
        return None
    shapes = np.flatnonzero(demand)
    part = _part(problem, shapes, demand, others)
    listed = enumerate_fillings(part, LISTED)
    if listed is not None:
        found = listed.solve(part.demand, pricing.effort, breadth.search_nodes).packing
    else:
        local = replace(
            pricing,
            problem=part,
            duals=replace(pricing.duals, pods=pricing.duals.pods[shapes]),
            unit_costs=pricing.unit_costs[shapes],
            pool=PatternPool(len(shapes)),
        )
        start = [(j, pattern[shapes]) for j, pattern in nodes]
        known = (pricing.pool.kinds, pricing.pool.patterns[:, shapes])
        found = _milp(local, start, before / NANOS_PER_USD, known, prices[shapes], breadth)
    if found is None or found.usd_nanos(part) >= before:
        return None
    full = np.zeros((len(found.kinds), len(demand)), dtype=np.int64)
    full[:, shapes] = found.patterns
    return [
        (int(j), pattern)
        for j, pattern, count in zip(found.kinds, full, found.counts, strict=True)
        for _ in range(int(count))
    ]


def _part(problem: Problem, shapes: Ints, demand: Ints, others: Packing) -> Problem:
    """The problem of these pods alone: scarce kinds and limits as far as the other nodes leave them."""
    left = problem.most - others.used(problem)
    return replace(
        problem.only_shapes(shapes),
        demand=demand[shapes],
        most=np.where(problem.most < UNLIMITED, left, problem.most),
        limits=problem.limits - others.usage(problem),
    )


def _milp(
    local: Pricing, start: list[Node], cost: float, known: tuple[Ints, Ints], prices: Floats, breadth: Breadth
) -> Packing | None:
    """The MILP over columns for the pods of `local.problem`, which `start` holds at `cost`; None: nothing cheaper."""
    part, pool = local.problem, local.pool
    for j, pattern in start:
        pool.add(j, pattern)
    first = len(pool)
    _look(local, known, prices, breadth)
    worth_trying = _near(local, first, cost, breadth.columns)
    if worth_trying is None:
        return None
    kinds, patterns = pool.kinds[worth_trying], pool.patterns[worth_trying]
    number = {(int(kinds[p]), patterns[p].tobytes()): p for p in range(first)}
    at_first = [0.0] * len(kinds)
    for j, pattern in start:
        at_first[number[j, pattern.tobytes()]] += 1.0
    model = master_model(part, kinds, patterns, part.demand, local.effort, integer=True).model
    solution = model.solve(breadth.search_nodes, at_first, breadth.looks)
    if solution is None:
        return None
    packing = decoded(part, part.demand, kinds, patterns, np.rint(solution.values).astype(np.int64))
    return None if packing is None else trim(part, packing)


def _look(local: Pricing, known: tuple[Ints, Ints], prices: Floats, breadth: Breadth) -> None:
    """Add columns to the pool: the best of those known, cut down, and fillings."""
    part, pool = local.problem, local.pool
    kinds, patterns = known[0], np.minimum(known[1], part.demand)
    gain = patterns @ prices - part.cost(kinds, patterns) / NANOS_PER_USD
    for p in np.argsort(-gain, kind="stable")[:KNOWN]:
        if part.most[kinds[p]] > 0:
            pool.add(int(kinds[p]), patterns[p])
    to_fill = local.attractive(breadth.slack)
    to_fill = to_fill[(part.most[to_fill] > 0) & part.fits[:, to_fill].any(axis=0)]
    for value in (prices, local.unit_costs, *((local.duals.pods,) if breadth.flat else ())):
        for problem, measure in itertools.product(local.ways, breadth.measures):
            filled = fill(problem, floored(value, local.unit_costs), to_fill, part.demand, measure)
            for i, j in enumerate(to_fill.tolist()):
                pool.add(j, filled[i])


def _near(local: Pricing, first: int, cost: float, most: int) -> Ints | None:
    """Columns that a packing cheaper than `cost` may have, the `first` ones among them; None: there is no such packing.

    At most `most` of kinds without end, and as many of scarce kinds, which are many with few columns each.
    """
    part, pool = local.problem, local.pool
    lp = MasterLp(part, part.demand, local.effort)
    lp.add(pool.kinds, pool.patterns)
    master = lp.solve()
    if master is None or master.objective > cost - GAIN:
        return None
    reduced: Floats = master.paid(part)[pool.kinds] - pool.patterns @ master.pods
    reduced += part.penalties(pool.kinds, pool.patterns) / NANOS_PER_USD
    reduced[:first] = -np.inf
    order = np.argsort(reduced, kind="stable")
    order = order[reduced[order] < cost - master.objective]
    scarce = part.most[pool.kinds[order]] < UNLIMITED
    best: Ints = np.sort(np.concatenate((order[scarce][:most], order[~scarce][:most])))
    return best
