"""Cuts: what whole pods on one node obey and fractions of pods do not.

(A) fills a node of 63.7 free cores with 7.96 pods of 8 cores, of which it holds 7, and an eighth of a node of 8 GPUs
with the only pod that wants one. A cut is one resource more, of which pods ask f_k and nodes have F_j so that every
filling a of whole pods obeys Σ_k f_k a_k <= F_j. Two families:

* `Rounded`, for a unit u of a resource r (Gomory and Chvátal): f_k = ⌊d_kr / u⌋, F_j = ⌊C_jr / u⌋;
* `Wanted`, of one shape: no node holds more pods of it than there are, f_k = 1, F_j = n_k. In the same way no C_jr is
  taken for more than all pods that fit there ask for together.

Whatever is said of resources in `raypipe.packing.bound` holds of cuts, the certificate above all, and (A) with cuts
lies between (A) and (B): at its prices no node filled with whole pods is worth more than it costs, which anybody who
can solve a knapsack can check. Kind of bound: `pattern-lp`.

Units are the requests of the pods themselves. Those cuts are taken that the mix of (A) breaks most, measured by what
the nodes that it lacks would cost; two rounds of a few are worth nearly as much as all at once (services of 1,000 pods:
0.1 to 11.3 % of the cost within a tenth of a second, where the pattern LP has 0.1 to 11.4 % to give).

Refused: rounding with a remainder (MIR), thirds of units, and sums of resources: nothing on the same instances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.problem import Problem
from raypipe.quantities import NANOS_PER_USD

ROUNDED_A_ROUND, WANTED_A_ROUND = 6, 12
WORTH_CUTTING = 1e-4
"""Cuts that the mix breaks by less than this share of the bound are left out."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Rounded:
    """One resource, by number, counted in whole `unit`s."""

    resource: int
    unit: int

    def requests(self, problem: Problem) -> Ints:
        """f, (K,)."""
        asked: Ints = problem.requests[:, self.resource] // self.unit
        return asked

    def capacity(self, problem: Problem) -> Ints:
        """F, (J,)."""
        most: Ints = problem.capacity[:, self.resource] // self.unit
        return most


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Wanted:
    """The pods of one shape, by number."""

    shape: int

    def requests(self, problem: Problem) -> Ints:
        """f, (K,)."""
        asked: Ints = (np.arange(len(problem.demand)) == self.shape).astype(np.int64)
        return asked

    def capacity(self, problem: Problem) -> Ints:
        """F, (J,)."""
        return np.full(len(problem.price), problem.demand[self.shape])


type Cut = Rounded | Wanted


def with_cuts(problem: Problem, cuts: tuple[Cut, ...]) -> Problem:
    """The problem with a resource more for each cut, and no room that nobody wants; as it is without cuts."""
    if not cuts:
        return problem
    wanted = problem.fits.T.astype(np.float64) @ (problem.requests.astype(np.float64) * problem.demand[:, None])
    clipped = replace(problem, capacity=np.minimum(problem.capacity, wanted).astype(np.int64))  # exact below 2^53
    cut_down = replace(
        clipped,
        requests=np.column_stack((problem.requests, *(cut.requests(clipped) for cut in cuts))),
        capacity=np.column_stack((clipped.capacity, *(cut.capacity(clipped) for cut in cuts))),
    )
    cut_down.__dict__["fits"] = problem.fits  # what holds one pod still does
    cut_down.__dict__["fit_columns"] = problem.fit_columns
    return cut_down


def broken_cuts(
    problem: Problem, pods: Floats, nodes: Floats, worth: Floats, bound: float, known: tuple[Cut, ...]
) -> tuple[Cut, ...]:
    """The few cuts that a mix breaks most, without those `known`.

    pods: x (K, J), nodes: y (J,), worth: what a node of each kind is worth (J,) $/h, bound: of the mix, $/h.
    """
    used = np.flatnonzero(nodes > 0)
    paid = np.maximum(problem.price / NANOS_PER_USD, worth)[used]
    least, pods, nodes = WORTH_CUTTING * bound, pods[:, used], nodes[used]

    def chosen(lacking: Iterator[tuple[float, Cut]], most: int) -> tuple[Cut, ...]:
        costly = [(-cost, cut) for cost, cut in lacking if cost > least and cut not in known]
        return tuple(cut for _, cut in sorted(costly)[:most])

    rounded = chosen(_rounded(problem, pods, nodes, used, paid), ROUNDED_A_ROUND)
    return rounded + chosen(_wanted(problem, pods, nodes, paid), WANTED_A_ROUND)


def _rounded(
    problem: Problem, pods: Floats, nodes: Floats, used: Ints, paid: Floats
) -> Iterator[tuple[float, Rounded]]:
    """Each unit of each resource with what the nodes would cost that a mix of the kinds `used` lacks by it."""
    for r in range(problem.requests.shape[1]):
        units = np.unique(problem.requests[:, r])
        units = units[units > 1]
        whole = (problem.requests[None, :, r] // units[:, None]).astype(np.float64)
        room = np.maximum(problem.capacity[None, used, r] // units[:, None], 1)
        lacking = np.maximum(whole @ pods / room - nodes, 0.0) @ paid
        for cost, unit in zip(lacking.tolist(), units.tolist(), strict=True):
            yield cost, Rounded(resource=r, unit=unit)


def _wanted(problem: Problem, pods: Floats, nodes: Floats, paid: Floats) -> Iterator[tuple[float, Wanted]]:
    """Each shape with what the nodes would cost that a mix lacks by it."""
    lacking = np.maximum(pods / problem.demand[:, None] - nodes, 0.0) @ paid
    for shape, cost in enumerate(lacking.tolist()):
        yield cost, Wanted(shape=shape)
