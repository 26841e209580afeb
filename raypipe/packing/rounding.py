"""From fractions of nodes to nodes: cover, dive, trim.

`cover` takes, again and again, the filled node that gives most for its price at the prices of the LP. `dive` fixes what
the pattern LP is sure of (whole nodes, then the largest fractions), and solves it again for what is left, with columns
clipped to that. `trim` takes off what is covered twice and swaps each node for the cheapest kind that still holds its
pods. Every limit is kept exactly, in integers, at every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.fill import Measure, fill, floored
from raypipe.packing.master import Master
from raypipe.packing.patterns import PatternPool, Pricing
from raypipe.packing.problem import ENDLESS, UNLIMITED, Packing, Problem, collected
from raypipe.packing.residual import ResidualLp
from raypipe.quantities import NANOS_PER_USD

AT_ONCE = 100
"""Where it is sure of none, a dive takes one doubtful fraction a step, and one more for every so many there are."""

NEAR = 0.005
"""Where a packing costs at most this share more than the LP, no other dive is made: hardly any ends nearer."""

SURE = 0.9
"""Fraction of a node from which a dive takes it as decided: lower is quicker and dearer."""

SURE_OF_MANY = 0.85
"""The same with many shapes, where each step takes long and no node weighs much."""

LASTING = 0.7
"""A filling that keeps this share of its worth is topped up: filling it anew takes twice as long and gives no more."""

type Nodes = list[tuple[int, Ints, int]]
"""Kind, pods of each shape on one, and how many."""


def nodes_of(packing: Packing) -> Nodes:
    """The rows of a packing one by one."""
    rows = zip(packing.kinds, packing.patterns, packing.counts, strict=True)
    return [(int(kind), pattern, int(count)) for kind, pattern, count in rows]


@dataclass(slots=True)
class Ledger:
    """Nodes taken so far, and what is left of demand, of scarce kinds and of the limits."""

    problem: Problem
    demand: Ints
    available: Ints
    limits: Ints
    taken: Nodes

    @classmethod
    def of(cls, problem: Problem) -> Ledger:
        return cls(problem, problem.demand.copy(), problem.most.copy(), problem.limits.copy(), [])

    def affordable(self) -> Ints:
        """Kinds of which one more node may be had, ascending."""
        within = (self.problem.weights <= self.limits[:, None]).all(axis=0)
        return np.flatnonzero((self.available > 0) & within)

    def repeats(self, kind: int, pattern: Ints) -> int:
        """How many nodes of `kind` with the whole `pattern` demand, availability and limits allow."""
        used = pattern > 0
        times = int((self.demand[used] // pattern[used]).min())
        weight = self.problem.weights[:, kind]
        within = (self.limits[weight > 0] // weight[weight > 0]).min(initial=UNLIMITED)
        return int(min(times, self.available[kind], within))

    def take(self, kind: int, pattern: Ints, count: int) -> None:
        self.taken.append((kind, pattern, count))
        self.demand -= pattern * count
        self.available[kind] -= count
        self.limits -= self.problem.weights[:, kind] * count

    def residual(self) -> Problem:
        """What is left, as a problem."""
        most = np.where(self.problem.most < UNLIMITED, self.available, self.problem.most)
        return replace(self.problem, demand=self.demand, most=most, limits=self.limits)

    def packing(self) -> Packing | None:
        """The packing, or None while some demand is left."""
        if self.demand.any():
            return None
        return collected(self.problem, self.taken)


def cover(ledger: Ledger, pricing: Pricing, measure: Measure) -> None:
    """Take nodes until nothing is left that can be placed, the one that gives most for its price first.

    The price of a node is what it costs and what it counts against limits at their prices.
    """
    paid = ledger.problem.price / NANOS_PER_USD + pricing.duals.limits @ ledger.problem.scaled_weights
    value = floored(pricing.duals.pods, pricing.unit_costs)
    for kinds in (pricing.promising, np.arange(len(paid))):
        for kind, pattern in cover_at(ledger, value, paid, measure, kinds):
            pricing.pool.add(kind, pattern)


def cover_at(ledger: Ledger, value: Floats, paid: Floats, measure: Measure, among: Ints) -> list[tuple[int, Ints]]:
    """Cover at pod prices `value` (K,) and node prices `paid` (J,), in $/h, with nodes of the kinds `among`.

    Return the kinds and patterns taken.

    A filled node stays the best filling of its kind while what is left of demand covers it, so only kinds whose filling
    holds a pod that is gone are filled again.
    """
    problem, taken = ledger.problem, list[tuple[int, Ints]]()
    kinds = np.intersect1d(ledger.affordable(), among)
    patterns = fill(problem, value, kinds, ledger.demand, measure)
    ratio = _ratio(problem, kinds, patterns, value, paid)
    while ledger.demand.any() and (ratio > 0).any():
        best = int(np.lexsort((problem.rank[kinds], -ratio))[0])
        kind, pattern = int(kinds[best]), patterns[best].copy()  # a view would keep all the others, too
        ledger.take(kind, pattern, max(1, ledger.repeats(kind, pattern)))
        taken.append((kind, pattern))
        kept = np.isin(kinds, ledger.affordable())
        if not kept.all():
            kinds, patterns, ratio = kinds[kept], patterns[kept], ratio[kept]
        stale = np.flatnonzero((patterns > ledger.demand).any(axis=1))
        patterns[stale] = _filled_again(problem, value, kinds[stale], patterns[stale], ledger.demand, measure)
        ratio[stale] = _ratio(problem, kinds[stale], patterns[stale], value, paid)
    return taken


def _filled_again(problem: Problem, value: Floats, kinds: Ints, patterns: Ints, demand: Ints, measure: Measure) -> Ints:
    """Fillings (kinds, K) of which some pods are gone: topped up where most of their worth is left, else made anew."""
    left = np.minimum(patterns, demand)
    lasting = left @ value >= LASTING * (patterns @ value)
    start = np.where(lasting[:, None], left, 0)
    return fill(problem, value, kinds, demand, measure, start=start)


def _ratio(problem: Problem, kinds: Ints, patterns: Ints, value: Floats, paid: Floats) -> Floats:
    """What each filled node gives for its price and what its pods miss; -1 where it gives nothing."""
    worth, cost = patterns @ value, paid[kinds]
    if problem.is_wished:
        cost = cost + problem.penalties(kinds, patterns) / NANOS_PER_USD
    return np.where(worth > 0, worth / np.maximum(cost, 1e-9), -1.0)


def kept(problem: Problem, master: Master, nodes: Nodes, share: float, most_wasteful: float = np.inf) -> Ledger:
    """A ledger with those of `nodes` that waste least at the master's prices, up to `share` of what it costs.

    most_wasteful: nodes that waste more than this share of their price are left out.
    """
    paid, left = master.paid(problem), share * master.objective
    ledger = Ledger.of(problem)
    waste = [(paid[kind] - pattern @ master.pods) / max(float(paid[kind]), 1e-9) for kind, pattern, _ in nodes]
    for i in np.argsort(waste, kind="stable"):
        kind, pattern, count = nodes[i]
        count = min(count, int(left / max(float(paid[kind]), 1e-9)))
        if waste[i] > most_wasteful or count <= 0:
            break
        ledger.take(kind, pattern, count)
        left -= count * float(paid[kind])
    return ledger


def dive(pricing: Pricing, sure: float = SURE, start: Ledger | None = None) -> Packing | None:
    """Fix the pattern LP node by node, pricing again for what is left; None where it ends in a blind alley.

    Fractions of at least `sure` of a node are taken as decided. start: the nodes taken already.
    """
    problem = pricing.problem
    ledger = Ledger.of(problem) if start is None else start
    kinds_to_price = pricing.attractive(0.9)
    lp = ResidualLp(problem, pricing.pool, ledger.demand, pricing.effort)
    while ledger.demand.any():
        before = len(pricing.pool)
        master = lp.solve_for(ledger.residual(), ledger.affordable())
        if master is not None and pricing.round(master, ledger.demand, 0, kinds_to_price):
            master = lp.solve_for(ledger.residual(), ledger.affordable())
        if master is None:
            break
        if not _fix(ledger, pricing.pool, master.values, sure) and before == len(pricing.pool):
            break
    cover(ledger, pricing, Measure.MAX)
    return ledger.packing()


def _fix(ledger: Ledger, pool: PatternPool, values: Floats, sure: float) -> bool:
    """Take whole nodes, then those the LP is nearly sure of, at least the largest; return whether any was taken."""
    taken = False
    used = np.flatnonzero(values > 1e-6)
    kinds, values = pool.kinds[used], values[used]
    patterns = np.minimum(pool.patterns[used], ledger.demand)
    order = np.argsort(-values, kind="stable")
    for p in order[values[order] >= 1.0 - 1e-6]:
        kind, pattern = int(kinds[p]), patterns[p]
        count = min(int(values[p] + 1e-6), ledger.repeats(kind, pattern))
        if count > 0:
            ledger.take(kind, pattern, count)
            taken = True
    fractions = values - np.floor(values + 1e-6)
    order = np.argsort(-fractions, kind="stable")
    doubtful = 0 if taken else 1 + int((fractions > 1e-6).sum()) // AT_ONCE
    for p in order:
        if fractions[p] < sure:
            if taken and doubtful <= 0:
                break
            doubtful -= 1
        if fractions[p] <= 1e-6:
            break
        kind, pattern = int(kinds[p]), np.minimum(patterns[p], ledger.demand)
        if pattern.sum() < 0.9 * patterns[p].sum() or kind not in ledger.affordable():
            continue
        ledger.take(kind, pattern, 1)
        taken = True
    return taken


def trim(problem: Problem, packing: Packing) -> Packing:
    """Swap each node for the cheapest kind without end that still holds its pods and counts no more."""
    if not len(packing.kinds):
        return packing
    endless = np.flatnonzero(problem.most >= UNLIMITED)
    holds = holding(problem, packing, endless)
    for q in range(len(problem.limits)):
        holds &= problem.weights[q, endless][None, :] <= problem.weights[q, packing.kinds][:, None]
    costs, orders = _costs(problem, packing, endless)
    paid = problem.cost(packing.kinds, packing.patterns)
    swapped = packing.kinds.copy()
    for p, order in enumerate(orders):
        for i in order[holds[p, order]].tolist():
            if costs[p, i] >= paid[p]:
                break
            if problem.slices_fit(packing.patterns[p], int(endless[i])):
                swapped[p] = endless[i]
                break
    rows = [(int(j), a, int(c)) for j, a, c in zip(swapped, packing.patterns, packing.counts, strict=True)]
    return collected(problem, rows)


def settle(problem: Problem, packing: Packing) -> Packing:
    """Choose among kinds of equal price (or less) by rank, node by node, within the limits; existing nodes stay."""
    endless = np.flatnonzero(problem.most >= UNLIMITED)
    holds = holding(problem, packing, endless)
    costs, orders = _costs(problem, packing, endless)
    paid = problem.cost(packing.kinds, packing.patterns)
    left = problem.limits - packing.usage(problem)
    rows: list[tuple[int, Ints, int]] = []
    for p, (kind, pattern, count) in enumerate(zip(packing.kinds, packing.patterns, packing.counts, strict=True)):
        chosen = int(kind)
        if problem.most[kind] >= UNLIMITED:
            for i in orders[p][holds[p, orders[p]]].tolist():
                j = int(endless[i])
                if (costs[p, i], problem.rank[j]) >= (paid[p], problem.rank[kind]):
                    break
                more = (problem.weights[:, j] - problem.weights[:, kind]) * int(count)
                if (more <= left).all() and problem.slices_fit(pattern, j):
                    chosen, left = j, left - more
                    break
        rows.append((chosen, pattern, int(count)))
    return collected(problem, rows)


def _costs(problem: Problem, packing: Packing, kinds: Ints) -> tuple[Ints, Sequence[Ints]]:
    """What each of the packing's nodes would cost as one of `kinds` without end, (P, kinds), and their order by it."""
    alone = np.broadcast_to(problem.price[kinds], (len(packing.kinds), len(kinds)))
    if not problem.is_wished:
        order = np.lexsort((problem.rank[kinds], problem.price[kinds]))
        return alone, [order] * len(packing.kinds)
    costs = alone + (packing.patterns @ problem.penalty[:, kinds] if problem.penalty.size else 0)
    for one in problem.wishes:  # what can be bought is empty
        costs += (one.wish.usd_nanos * one.missed(packing.patterns, np.int64(0)))[:, None]
    return costs, [np.lexsort((problem.rank[kinds], row)) for row in costs]


def holding(problem: Problem, packing: Packing, kinds: Ints) -> Bools:
    """Whether a node of each of `kinds` can stand for each of the packing's, GPU slices apart, (P, kinds)."""
    patterns = packing.patterns
    load = patterns @ problem.requests
    holds: Bools = (patterns > 0).astype(np.float32) @ (~problem.fits[:, kinds]).astype(np.float32) == 0
    for r in np.flatnonzero(load.max(axis=0, initial=0) > problem.capacity[kinds].min(axis=0, initial=ENDLESS)):
        holds &= load[:, r, None] <= problem.capacity[None, kinds, r]
    for rule in problem.apart:
        holds &= ~rule.asked(patterns)[:, None] | (patterns[:, rule.members].sum(axis=1)[:, None] <= rule.most[kinds])
    if len(problem.cell):
        holds &= problem.cell[packing.kinds][:, None] == problem.cell[kinds][None, :]
    return holds
