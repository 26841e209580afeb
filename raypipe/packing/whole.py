"""(A') The aggregated LP with whole numbers of nodes: a bound for problems of few nodes, where fractions matter most.

The model of `raypipe.packing.bound` with the same cuts and y_j integer. Its dual bound is proven by branch and bound
(`raypipe.packing.branch`) over what a packing in hand leaves open. With LB, π, σ and UB of the LP, Z the cost of that
packing and v_j = λ scaled so that v_j·C_j = UB_j(π), every plan costs at least

    LB + Σ over its nodes (c_j + σ·w_j − UB_j(π))        and with a pod of shape k on a node of kind j
    LB + (c_j + σ·w_j − UB_j(π)) + (v_j·d_k + W_kj − π_k).

Pairs (k, j) for which that is Z or more are left out: a plan that uses them costs Z at least. So min(Z, dual bound) is
a bound for all plans.

It is still a bound after the solver's rounding: the LPs under it are dual feasible to 1e-9 $/h a column, so with n
pods on at most n nodes none is more than 2n·1e-9 $/h too high. Fifty times that and a share of the bound are taken off
(`SLACK_A_POD`, `SLACK_FRACTION`). Then the bound is rounded up to a whole multiple of the greatest common divisor of
all prices, as every cost is one, which gives most of it back.

It is asked for only where it promises much for the size of the model, since each LP takes long where it is large. What
it promises: node by node of the LP's mix the least of rounding up and of moving the fraction to smaller
nodes that hold all pods there, at what those are dearer. Measured: that is near what is won with GPUs (1 to 8 %, in 0.1
to 0.4 s) and 100 pods, and next to nothing for 1,000 services (0.1 % in 2 s) and for openb.
"""

from __future__ import annotations

import numpy as np

from raypipe.packing.aggregated import Aggregated
from raypipe.packing.arrays import Bools
from raypipe.packing.bound import Duals, node_worth
from raypipe.packing.cuts import with_cuts
from raypipe.packing.problem import UNLIMITED, Problem
from raypipe.packing.solver import Branched, Effort
from raypipe.quantities import NANOS_PER_USD

PROMISING_A_PAIR = 2e-6
"""Share of the bound that must be promised for each pair of the model: 2 % for 10,000."""
SLACK_A_POD, SLACK_FRACTION = 1e-7, 1e-7
"""$/h a pod, and share of the bound, that a dual bound is lowered by."""


def whole_nodes_bound(problem: Problem, duals: Duals, cost_usd_nanos: int, effort: Effort, work: int) -> int:
    """A bound in nano-dollars by whole numbers of nodes; 0 where none is asked for or found.

    cost_usd_nanos: Z, of a packing that is there.
    work: most pairs of shape and kind, and about as many simplex iterations.
    """
    opened = open_pairs(problem, duals, cost_usd_nanos / NANOS_PER_USD)
    pairs = int(opened.sum())
    if not 0 < pairs <= work or _promised(problem, duals) < PROMISING_A_PAIR * pairs * duals.usd_per_hour:
        return 0
    model = Aggregated(with_cuts(problem, duals.cuts), effort)
    found = model.branched(opened, cost_usd_nanos / NANOS_PER_USD, work)
    if found is None:
        return 0
    return min(cost_usd_nanos, proven_usd_nanos(problem, found))


def proven_usd_nanos(problem: Problem, found: Branched) -> int:
    """What a search proves of all plans that use only pairs which it left open, in nano-dollars."""
    sure = found.bound * (1 - SLACK_FRACTION) - SLACK_A_POD * float(problem.demand.sum())
    return _rounded_up(problem, int(np.floor(sure * NANOS_PER_USD)))


def _promised(problem: Problem, duals: Duals) -> float:
    """What whole nodes may cost more than the fractions of the mix, $/h; an estimate."""
    price, pods, nodes = problem.price / NANOS_PER_USD, duals.mix.pods, duals.mix.nodes
    paid = price + duals.limits @ problem.scaled_weights
    with np.errstate(divide="ignore", invalid="ignore"):
        dearer = np.where(duals.worth > 0, np.maximum(paid / duals.worth - 1, 0.0), np.inf)
    whole = np.floor(nodes + 1e-6)
    promised = 0.0
    for j in np.flatnonzero(nodes - whole > 1e-6):
        smaller = problem.fits[pods[:, j] > 0].all(axis=0) & (price <= price[j] / 2)
        aside = (nodes[j] - whole[j]) * float(dearer[smaller].min(initial=np.inf))
        promised += price[j] * min(whole[j] + 1 - nodes[j], aside)
    return promised


def open_pairs(problem: Problem, duals: Duals, cost: float) -> Bools:
    """Pairs of shape and kind, (K, J), that a plan cheaper than `cost`, $/h, may use."""
    if not len(duals.directions):
        return problem.fits
    cut = with_cuts(problem, duals.cuts)
    worth, chosen = node_worth(cut, duals.pods, duals.directions)
    bounded = np.isfinite(worth)
    worth = np.where(bounded, worth, 0.0)
    direction = duals.directions[chosen]
    size = (direction * cut.capacity).sum(axis=1)
    value = direction * np.divide(worth, size, out=np.zeros_like(size), where=size > 0)[:, None]
    slack = cut.requests @ value.T - duals.pods[:, None]
    if problem.penalty.size:
        slack = slack + problem.penalty / NANOS_PER_USD
    paid = problem.price / NANOS_PER_USD + duals.limits @ problem.scaled_weights
    dearer = np.maximum(slack, 0.0) + np.maximum(paid - worth, 0.0)
    opened: Bools = problem.fits & ((dearer < cost - duals.usd_per_hour) | ~bounded | (problem.most < UNLIMITED))
    return opened


def _rounded_up(problem: Problem, usd_nanos: int) -> int:
    """The least cost of nodes that is `usd_nanos` at least; where pods wish for something, just that."""
    step = 1 if problem.is_wished else max(1, int(np.gcd.reduce(problem.price)))
    return max(0, -(-usd_nanos // step) * step)
