"""Better plans from a good one: large-neighbourhood search by dives and by little MILPs.

First the half of the plan that wastes most (c_j − π·a) is dived for again, twice, unless the plan is near the LP: each
dive finds columns that the next one starts from, and where the first one fell badly another does not (services and
on-demand of 1,000 pods 0.1 to 0.2 % cheaper, beside existing nodes 0.6 %, for a tenth of the time). Then a few nodes
are taken out of the plan, those that waste most among them, and their pods are packed anew (`neighbourhood`). What is
found counts only if it is cheaper. The choice of nodes follows a fixed sequence, so a run can be repeated. A plan of
few nodes is one neighbourhood, and is searched once and widely: there rounding costs most, 4 to 10 % at 100 pods, and
the pattern LP tells least.

A neighbourhood of services takes five times the time of one of GPU nodes, and finds something less often; so they end
after so much work rather than after so many.

Refused: one MILP over the whole restricted master above some hundred pods, since its root alone outlasts the budget;
whole dives over again (twice the time of half a one, no cheaper); nodes that can take each other's pods as a
neighbourhood (a little better with GPUs, worse beside existing nodes).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from raypipe.packing.arrays import Ints
from raypipe.packing.master import Master
from raypipe.packing.neighbourhood import PART, WHOLE, Breadth, repacked
from raypipe.packing.patterns import Pricing
from raypipe.packing.problem import Packing, Problem, collected
from raypipe.packing.rounding import NEAR, dive, kept, nodes_of, trim
from raypipe.quantities import NANOS_PER_USD

DIVES, KEPT, SURE_OF_HALF = 2, 0.5, 0.8
"""So many dives, each of which keeps that share of the LP's cost in nodes; and `rounding.SURE` of them."""

WORK = 1_500
"""Columns and simplex iterations after which no further neighbourhood is begun."""

SEED = 20
LEAST_WASTE = 0.02
"""Share of its price that a node counts as wasting though it wastes nothing: it may still have to make room."""
FEW_NODES = 12
"""A plan of at most so many nodes is one neighbourhood."""
MANY_NODES = 1_000
"""Neighbourhoods of a plan of more nodes are not searched: each is less than a hundredth of it."""


def improve(pricing: Pricing, packing: Packing, master: Master, searches: int, stop: Callable[[], bool]) -> Packing:
    """Search at most `searches` neighbourhoods of `packing`; `master`: the pattern LP, at whose prices nodes waste."""
    if packing.nodes <= FEW_NODES:
        return _all_anew(pricing, packing, master) if searches and not stop() else packing
    best = packing
    for _ in range(min(searches, DIVES)):
        if stop():
            return best
        if best.usd_nanos(pricing.problem) <= (1 + NEAR) * master.objective * NANOS_PER_USD:
            break
        best = _dived_again(pricing, best, master)
    return _searched(pricing, best, master, searches - DIVES, stop)


def _dived_again(pricing: Pricing, packing: Packing, master: Master) -> Packing:
    """The packing with its half that wastes most dived for once more, or as it is where that is no cheaper."""
    dived = dive(pricing, SURE_OF_HALF, kept(pricing.problem, master, nodes_of(packing), KEPT))
    if dived is None:
        return packing
    return min(packing, trim(pricing.problem, dived), key=lambda one: one.worth(pricing.problem))


def _all_anew(pricing: Pricing, packing: Packing, master: Master) -> Packing:
    """All nodes of a plan of few as one neighbourhood."""
    if packing.nodes < 2:
        return packing
    nothing = replace(packing, counts=np.zeros_like(packing.counts))
    return _repacked(pricing, packing, nothing, master, WHOLE)


def _searched(pricing: Pricing, packing: Packing, master: Master, searches: int, stop: Callable[[], bool]) -> Packing:
    """The packing after at most so many neighbourhoods of a few nodes."""
    effort, sequence = pricing.effort, random.Random(SEED)
    most = effort.columns + effort.lp_iterations + WORK
    for number in range(searches if packing.nodes <= MANY_NODES else 0):
        if packing.nodes < 2 or effort.columns + effort.lp_iterations > most or stop():
            break
        taken = _neighbourhood(pricing.problem, packing, master, 4 + number % 5, sequence)
        packing = _repacked(pricing, packing, replace(packing, counts=packing.counts - taken), master, PART)
    return packing


def _repacked(pricing: Pricing, packing: Packing, others: Packing, master: Master, breadth: Breadth) -> Packing:
    """The packing with its nodes packed anew, those that are among `others` apart."""
    taken = packing.counts - others.counts
    nodes = [(j, pattern) for j, pattern, count in nodes_of(replace(packing, counts=taken)) for _ in range(count)]
    better = repacked(pricing, nodes, others, master.pods, breadth)
    if better is None:
        return packing
    problem = pricing.problem
    return trim(problem, collected(problem, [*nodes_of(others), *((j, pattern, 1) for j, pattern in better)]))


def _neighbourhood(problem: Problem, packing: Packing, master: Master, size: int, sequence: random.Random) -> Ints:
    """How many nodes of each row to take out, (P,), `size` in all.

    They are drawn by what they waste at the master's prices; an existing one has a price there.
    """
    paid = master.paid(problem)[packing.kinds]
    waste = np.maximum(paid - packing.patterns @ master.pods, LEAST_WASTE * paid) + 1e-6
    row = np.repeat(np.arange(len(waste)), packing.counts)
    keys = np.array([sequence.random() ** (1.0 / w) for w in (waste / waste.max())[row].tolist()])
    drawn = row[np.argsort(-keys, kind="stable")[:size]]
    taken: Ints = np.bincount(drawn, minlength=len(waste))
    return taken
