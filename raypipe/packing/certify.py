"""A better bound than a plan takes time for, once the plan is made: `--certify`, setting `certify_search`.

The bounds are those of a plan, carried further, each on what the one before has proven:

1. (A) is solved again with cuts (`raypipe.packing.cuts`) for as long as its mix breaks any, not for two rounds alone;
2. (A') is searched (`raypipe.packing.whole`) whatever it promises, in parts: each takes ten times the search nodes of
   the one before, which together is little more than the last part takes by itself.

The packing stays as it is; what is proven of its cost grows, and the prices that explain it become those of the better
(A). Rules and wishes across nodes are left out of the bound, as `raypipe.packing.solve` leaves them out.

After each part the bound is told, and `stop` is asked; what was proven by then stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.aggregated import Aggregated
from raypipe.packing.arrays import Ints
from raypipe.packing.bound import Duals, aggregated_lp, cut_again
from raypipe.packing.cuts import with_cuts
from raypipe.packing.dominance import undominated
from raypipe.packing.problem import Packing, Problem
from raypipe.packing.solve import Found, Solved, narrowed, without_rules_across
from raypipe.packing.solver import Effort
from raypipe.packing.whole import open_pairs, proven_usd_nanos
from raypipe.quantities import NANOS_PER_USD

CUT_ROUNDS = 20
"""Most rounds of cuts. Measured: after two to six there are none left that the mix breaks."""
FIRST_NODES, MORE_NODES = 10, 10
"""Search nodes of the first part, and how many times more the next one takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A bound of the cost of all packings, in nano-dollars, what plans call it, and the prices that it rests on."""

    usd_nanos: int
    kind: str
    duals: Duals


def certified(
    problem: Problem, solved: Solved, work: int, effort: Effort, stop: Callable[[], bool], found: Found
) -> Solved:
    """The result with the best bound that `work`, search nodes times pairs of shape and kind, proves of its packing.

    problem: the one that was solved; its demand counts as what is packed.
    """
    packing = solved.packing
    if packing is None or not work:
        return solved
    cost = packing.usd_nanos(problem)
    demand = packing.counts @ packing.patterns
    shapes = np.flatnonzero(demand)
    part = problem.with_demand(demand).only_shapes(shapes)
    if solved.bound_usd_nanos >= cost:
        return solved
    if stop():
        return replace(solved, stopped="time")
    known = None if part.is_ruled else replace(packing, patterns=packing.patterns[:, shapes])
    for proven in _parts(part, known, cost, work, effort):
        if proven.usd_nanos > solved.bound_usd_nanos:
            solved = replace(solved, bound_usd_nanos=min(cost, proven.usd_nanos), bound_kind=proven.kind)
            solved = _priced(solved, part, shapes, proven.duals)
            found(cost, solved.bound_usd_nanos)
        if solved.bound_usd_nanos >= cost:
            return solved
        if stop():
            return replace(solved, stopped="time")
    return solved


def _priced(solved: Solved, part: Problem, shapes: Ints, duals: Duals) -> Solved:
    """The result with the prices of `duals`, which are of the `shapes` of `part`."""
    pods, worth = np.zeros_like(solved.pods), np.full_like(solved.worth, np.nan)
    kinds = undominated(part)
    pods[shapes] = duals.pods
    worth[kinds] = duals.for_kinds_of(part.only_kinds(kinds)).worth
    return replace(solved, pods=pods, limits=duals.limits, worth=worth, by_prices_usd_nanos=duals.usd_nanos)


def _parts(problem: Problem, packing: Packing | None, cost: int, work: int, effort: Effort) -> Iterator[Proven]:
    """What is proven, part by part, of all packings that cost less than `cost`; `packing` is a way to do it."""
    flat = without_rules_across(problem)
    kinds = undominated(flat)
    known = narrowed(packing, np.arange(len(flat.demand)), kinds)
    flat = flat.only_kinds(kinds)
    duals: Duals | None = None
    for duals in _cut(flat, effort):
        yield Proven(usd_nanos=duals.usd_nanos, kind=duals.kind, duals=duals)
    if duals is None:
        return
    opened = open_pairs(flat, duals, cost / NANOS_PER_USD)
    pairs, search_nodes = int(opened.sum()), FIRST_NODES
    while 0 < pairs <= work:
        most = min(search_nodes, work // pairs)
        searched = Aggregated(with_cuts(flat, duals.cuts), effort).with_whole_nodes(opened, known, most)
        if searched is not None:
            yield Proven(usd_nanos=proven_usd_nanos(flat, searched), kind="aggregated-milp", duals=duals)
        if most < search_nodes or (searched is not None and searched.done):
            return
        search_nodes *= MORE_NODES


def _cut(problem: Problem, effort: Effort) -> Iterator[Duals]:
    """(A), then with the cuts that its mix breaks, round by round; always the best so far."""
    best = last = aggregated_lp(problem, effort)
    for _ in range(CUT_ROUNDS):
        if best is None or last is None:
            return
        yield best
        last = cut_again(problem, last, effort)
        best = best if last is None else max(best, last, key=lambda one: one.usd_per_hour)
