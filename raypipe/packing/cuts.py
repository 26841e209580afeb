"""Cuts: what whole pods on one node obey and fractions of pods do not.

(A) fills a node of 63.7 free cores with 7.96 pods of 8 cores, of which it holds 7. For any unit u of a resource r and
whole a_k >= 0 (Gomory and Chvátal),

    Σ_k d_kr a_k <= C_jr   ⇒   Σ_k ⌊d_kr / u⌋ a_k <= ⌊C_jr / u⌋

on every node of every kind. So a cut is one resource more: pods ask ⌊d_kr / u⌋ of it, nodes have ⌊C_jr / u⌋. Whatever
is said of resources in `raypipe.packing.bound` holds of cuts, the certificate above all, and (A) with cuts lies between
(A) and (B): at its prices no node filled with whole pods is worth more than it costs, which anybody who can solve a
knapsack can check. Kind of bound: `pattern-lp`.

Units are the requests of the pods themselves. Those are taken whose cuts the mix of (A) breaks most, measured by what
the nodes that it lacks would cost; two rounds of a few are worth nearly as much as all units at once (services: 0.1 to
11 % of the cost within a tenth of a second, where the pattern LP has 0.1 to 11.4 % to give).

Refused: rounding with a remainder (MIR), thirds of units, and sums of resources: nothing on the same instances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.arrays import Floats
from raypipe.packing.problem import Problem
from raypipe.quantities import NANOS_PER_USD

CUTS_A_ROUND = 6
WORTH_CUTTING = 1e-4
"""Cuts that the mix breaks by less than this share of the bound are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One resource, by number, counted in whole `unit`s."""

    resource: int
    unit: int


def with_cuts(problem: Problem, cuts: tuple[Cut, ...]) -> Problem:
    """The problem with a resource more for each cut."""
    if not cuts:
        return problem
    requests = [problem.requests[:, cut.resource] // cut.unit for cut in cuts]
    capacity = [problem.capacity[:, cut.resource] // cut.unit for cut in cuts]
    cut_down = replace(
        problem,
        requests=np.column_stack((problem.requests, *requests)),
        capacity=np.column_stack((problem.capacity, *capacity)),
    )
    cut_down.__dict__["fits"] = problem.fits  # what holds one pod still does
    return cut_down


def broken_cuts(
    problem: Problem, pods: Floats, nodes: Floats, worth: Floats, bound: float, known: tuple[Cut, ...]
) -> tuple[Cut, ...]:
    """The cuts that a mix breaks most, at most `CUTS_A_ROUND`, without those `known`.

    pods: x (K, J), nodes: y (J,), worth: what a node of each kind is worth (J,) $/h, bound: of the mix, $/h.
    """
    used = np.flatnonzero(nodes > 0)
    paid = np.maximum(problem.price / NANOS_PER_USD, worth)[used]
    found: list[tuple[float, int, int]] = []
    for r in range(problem.requests.shape[1]):
        units = np.unique(problem.requests[:, r])
        units = units[units > 1]
        whole = (problem.requests[None, :, r] // units[:, None]).astype(np.float64)
        room = np.maximum(problem.capacity[None, used, r] // units[:, None], 1)
        lacking = np.maximum(whole @ pods[:, used] / room - nodes[used], 0.0) @ paid
        found += [(-cost, r, unit) for cost, unit in zip(lacking.tolist(), units.tolist(), strict=True)]
    cuts = (Cut(resource=r, unit=unit) for cost, r, unit in sorted(found) if -cost > WORTH_CUTTING * bound)
    return tuple(cut for cut in cuts if cut not in known)[:CUTS_A_ROUND]
