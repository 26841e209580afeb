"""A packing that starts from what the last one knew: its nodes, the patterns beside them, and the prices of pods.

Where little has changed, most nodes of the last packing are still right, so

1. they are put up again, cut down to what is wanted now and topped up with what is new; what is left is covered. That
   is the first packing;
2. column generation starts from the patterns known, its prices smoothed with the last ones instead of those of (A), and
   ends as soon as it settles: some five rounds instead of a hundred, each of which looks for more columns;
3. the nodes that waste most at the LP's prices are given up, and a dive fills their place; where it ends far above the
   LP, as it does with few nodes, two more give up what then wastes most.

It is advice that is checked: patterns are cut down and counted anew before anything else, and where the LP does not
settle in the rounds allowed, or a step finds no packing, there is no answer and the problem is packed from the start.

Refused: keeping nine nodes of ten (dearer by half a percent: the pods left over fit nothing well), neighbourhoods after
the dive (a fifth of the time, and they rarely find anything), the dive over the whole (twice as long, no cheaper).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.fill import Measure, fill, floored
from raypipe.packing.master import Master, MasterLp
from raypipe.packing.patterns import DEAR, Pricing
from raypipe.packing.problem import UNLIMITED, Packing, Problem
from raypipe.packing.rounding import NEAR, Ledger, Nodes, cover, dive, kept, nodes_of, trim
from raypipe.quantities import NANOS_PER_USD


@dataclass(frozen=True, slots=True, kw_only=True)
class Dive:
    """A dive for what the nodes that are kept leave open.

    Attributes:
        kept: how much of the LP's cost stays in nodes that are kept.
        sure: as `rounding.SURE`; lower, because a dive over the rest has few nodes to be unsure of.
        far: only where the packing is farther than this share from the LP.
    """

    kept: float
    sure: float
    far: float


DIVES = (
    Dive(kept=0.75, sure=0.8, far=NEAR),
    Dive(kept=0.5, sure=0.7, far=0.015),
    Dive(kept=0.5, sure=0.7, far=0.015),
)
"""The first from the nodes put up again, the others from the best packing so far. Two of these instead of one make
plans of some 60 nodes 0.2 % cheaper, in the same time."""

WASTEFUL = 0.02
"""Nodes that cost this share more than their pods are worth are always given up."""

PATIENCE, TOO_LITTLE = 2, 1e-3
"""Column generation has settled where so many rounds lowered the master by less than this share."""

COLUMNS_A_ROUND = 170
"""As `patterns.COLUMNS_A_ROUND`; more, because few rounds are made and each should tell much: as a rule a node of every
kind by every measure. Plans became 0.2 % cheaper (services of 1,000 and of 10,000), in the same time."""

A_SHAPE, AT_MOST = 4, 2_000
"""Most patterns handed on: so many a shape, and never more than this."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """What one packing hands on to the next.

    Attributes:
        kinds: (P,). patterns: (P, K). nodes: (P,) how many nodes of the packing are filled so.
        pods: (K,) $/h, the price of a pod of each shape; nan where it is not known.
    """

    kinds: Ints
    patterns: Ints
    nodes: Ints
    pods: Floats

    def narrowed(self, problem: Problem, shapes: Ints, kinds: Ints) -> Columns | None:
        """What is of use to a problem of these shapes and kinds alone; None where nothing is.

        Patterns are cut down to what is wanted. One of a kind that is left out is given to the first kind that costs no
        more and holds it.
        """
        number = {int(j): i for i, j in enumerate(kinds)}
        part = problem.only_shapes(shapes)
        cuts = np.minimum(self.patterns[:, shapes], part.demand)
        held = part.room_for_all(cuts, self.kinds)
        kept: Nodes = []
        for p in np.flatnonzero(cuts.any(axis=1)).tolist():
            j, cut = int(self.kinds[p]), cuts[p]
            if j in number:
                swap = j if held[p] else None
            else:
                swap = next((i for i in _cheaper(part, j, kinds) if part.room_for(cut, i)), None)
            if swap is not None:
                kept.append((number[swap], cut, int(self.nodes[p])))
        if not kept:
            return None
        return Columns(
            kinds=np.array([j for j, _, _ in kept], dtype=np.int64),
            patterns=np.array([cut for _, cut, _ in kept], dtype=np.int64),
            nodes=np.array([nodes for _, _, nodes in kept], dtype=np.int64),
            pods=self.pods[shapes],
        )

    def pairs(self, problem: Problem) -> Bools:
        """The pairs of shape and kind, (K, J), that patterns have: where (A) finds most of what it uses."""
        pairs = np.zeros_like(problem.fits)
        rows, shapes = np.nonzero(self.patterns)
        pairs[shapes, self.kinds[rows]] = True
        return pairs & problem.fits

    def widened(self, shapes: Ints, kinds: Ints, all_shapes: int) -> Columns:
        """The same in the numbers of the problem that these shapes and kinds were taken from."""
        patterns = np.zeros((len(self.kinds), all_shapes), dtype=np.int64)
        pods = np.full(all_shapes, np.nan)
        patterns[:, shapes], pods[shapes] = self.patterns, self.pods
        return Columns(kinds=kinds[self.kinds], patterns=patterns, nodes=self.nodes, pods=pods)


def _cheaper(problem: Problem, kind: int, kinds: Ints) -> list[int]:
    """Those of `kinds` that can be had without end for no more than `kind`, the dearest first: the likest."""
    endless = kinds[(problem.most[kinds] >= UNLIMITED) & (problem.price[kinds] <= problem.price[kind])]
    return [int(j) for j in endless[np.lexsort((problem.rank[endless], -problem.price[endless]))]]


def best_columns(pricing: Pricing, master: Master) -> Columns:
    """The columns worth handing on: those that come nearest to paying at the master's prices; no existing nodes."""
    problem, kinds, patterns = pricing.problem, pricing.pool.kinds, pricing.pool.patterns
    gain = patterns @ master.pods - master.paid(problem)[kinds]
    order = np.argsort(-gain, kind="stable")
    order = order[problem.most[kinds[order]] >= UNLIMITED][: min(A_SHAPE * len(problem.demand), AT_MOST)]
    none = np.zeros(len(order), dtype=np.int64)
    return Columns(kinds=kinds[order].copy(), patterns=patterns[order].copy(), nodes=none, pods=master.pods)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Warm:
    """A packing made from columns, and what it hands on; None where it was stopped before there was an LP."""

    packing: Packing
    columns: Columns | None


def packed_again(
    pricing: Pricing,
    columns: Columns,
    rounds: int,
    stop: Callable[[], bool],
    tell: Callable[[Packing], None],
) -> Warm | None:
    """Pack from `columns`, or return None where they are of no use. `tell` hears of each better packing."""
    prices = _known_prices(columns.pods, pricing)
    pricing = replace(pricing, duals=replace(pricing.duals, pods=prices), columns_a_round=COLUMNS_A_ROUND)
    for kind, pattern in zip(columns.kinds, columns.patterns, strict=True):
        pricing.pool.add(int(kind), pattern)
    standing = _put_up_again(pricing, columns)
    best = _covered(pricing, standing.taken)
    if best is None:
        return None
    if stop():
        tell(best)
        return Warm(packing=best, columns=None)
    master = _settled(pricing, rounds)
    if master is None:
        return None
    tell(best)
    _forget_dear(pricing, master)
    for one in DIVES:
        if stop() or best.usd_nanos(pricing.problem) <= (1 + one.far) * master.objective * NANOS_PER_USD:
            break
        nodes = standing.taken if one is DIVES[0] else nodes_of(best)
        dived = _dived(pricing, master, nodes, one)
        if dived is not None and dived.worth(pricing.problem) < best.worth(pricing.problem):
            best = dived
            tell(best)
    return Warm(packing=best, columns=best_columns(pricing, master))


def _known_prices(known: Floats, pricing: Pricing) -> Floats:
    """The last prices; for shapes that are new those of (A), raised as much as the last prices stand above them."""
    new, flat, demand = np.isnan(known), pricing.duals.pods, pricing.problem.demand
    was, now = np.where(new, 0.0, known) @ demand, np.where(new, 0.0, flat) @ demand
    raised = was / now if was > 0 and now > 0 else 1.0
    prices: Floats = np.where(new, flat * raised, known)
    return prices


def _put_up_again(pricing: Pricing, columns: Columns) -> Ledger:
    """The nodes that there were, the best first, cut down to what is wanted; then topped up with what nobody holds."""
    problem, prices = pricing.problem, pricing.duals.pods
    ledger = Ledger.of(problem)
    used = np.flatnonzero(columns.nodes > 0)
    cost = problem.price[columns.kinds[used]] / NANOS_PER_USD
    waste = (cost - columns.patterns[used] @ prices) / np.maximum(cost, 1e-9)
    for p in used[np.argsort(waste, kind="stable")]:
        kind, left = int(columns.kinds[p]), int(columns.nodes[p])
        while left > 0:
            pattern = np.minimum(columns.patterns[p], ledger.demand)
            count = min(left, ledger.repeats(kind, pattern)) if pattern.any() else 0
            if count <= 0:
                break
            ledger.take(kind, pattern, count)
            left -= count
    value = floored(prices, pricing.unit_costs)
    ledger.taken = [node for row in ledger.taken for node in _topped_up(ledger, value, *row)]
    for kind, pattern, _ in ledger.taken:
        pricing.pool.add(kind, pattern)
    return ledger


def _topped_up(ledger: Ledger, value: Floats, kind: int, pattern: Ints, count: int) -> Iterator[tuple[int, Ints, int]]:
    """The nodes of a row with pods added that nobody holds yet."""
    problem = ledger.problem
    while count:
        room = problem.capacity[kind] - pattern @ problem.requests
        fitting = (ledger.demand > 0) & problem.fits[:, kind] & (problem.requests <= room).all(axis=1)
        if not fitting.any():
            break
        most = np.where(fitting, ledger.demand, 0) + pattern
        start = pattern[None, :]
        filled = fill(problem, value, np.array([kind], dtype=np.int64), most, Measure.MAX, start=start)[0]
        added = filled - pattern
        if not (added > 0).any() or (added < 0).any():
            break
        times = min(count, int((ledger.demand[added > 0] // added[added > 0]).min()))
        ledger.demand -= added * times
        count -= times
        yield kind, filled, times
    if count:
        yield kind, pattern, count


def _covered(pricing: Pricing, nodes: Nodes) -> Packing | None:
    """These nodes and what it takes beside them; None where that cannot be had."""
    ledger = Ledger.of(pricing.problem)
    for node in nodes:
        ledger.take(*node)
    cover(ledger, pricing, Measure.MAX)
    packing = ledger.packing()
    return None if packing is None else trim(pricing.problem, packing)


def _settled(pricing: Pricing, rounds: int) -> Master | None:
    """Column generation until it settles; None where it does not in so many rounds."""
    problem, pool, kinds = pricing.problem, pricing.pool, pricing.attractive()
    lp, known = MasterLp(problem, problem.demand, pricing.effort), 0
    values: list[float] = []
    for number in range(rounds):
        lp.add(*pool.since(known))
        known = len(pool)
        master = lp.solve()
        if master is None:
            return None
        values.append(master.objective)
        if len(values) > PATIENCE and values[-1 - PATIENCE] - values[-1] < TOO_LITTLE * values[-1]:
            return master
        if not pricing.round(master, problem.demand, number, kinds):
            return master
    return None


def _forget_dear(pricing: Pricing, master: Master) -> None:
    """Drop the columns that no dive wants, as a cold start does; the LP's own are worth what they cost."""
    pool = pricing.pool
    pool.keep(pool.patterns @ master.pods >= (1 - DEAR) * master.paid(pricing.problem)[pool.kinds])


def _dived(pricing: Pricing, master: Master, nodes: Nodes, one: Dive) -> Packing | None:
    """A packing that keeps the best of `nodes` and dives for the rest."""
    problem = pricing.problem
    packing = dive(pricing, one.sure, kept(problem, master, nodes, one.kept, WASTEFUL))
    return None if packing is None else trim(problem, packing)
