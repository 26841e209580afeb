"""(A) The aggregated LP: a proven lower bound, a price for every pod shape, and the ideal mix.

x_kj pods of shape k on kind j, y_j nodes of kind j, both fractional::

    min Σ_j c_j y_j
    Σ_j x_kj >= n_k                      ∀ k        dual π_k >= 0, what one more such pod costs
    Σ_k d_kr x_kj <= C_jr y_j            ∀ j, r     dual λ_jr >= 0
    Σ_j w_qj y_j <= L_q                  ∀ q        dual σ_q >= 0, the price of a limit
    0 <= y_j <= u_j

At first each shape sees its three cheapest kinds and every kind that is scarce; then the rest is priced out. For any
λ >= 0 the little LP over one node is bounded by

    UB_j(π) = min_λ (Σ_r λ_r C_jr) · max_{k: K_kj} π_k / (Σ_r λ_r d_kr)

and the certificate does not depend on how π was found (Farley): with the largest t <= 1 such that
t·UB_j(π) <= c_j + Σ_q σ_q w_qj for every kind without end,

    LB = t·Σ_k π_k n_k − Σ_{j scarce} u_j · max(0, t·UB_j(π) − c_j − Σ_q σ_q w_qj) − Σ_q σ_q L_q.

Refused: the whole LP at once (0.6 to 2.9 s against 0.03 s, the same value to 3e-6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.problem import UNLIMITED, Problem
from raypipe.packing.solver import Effort, Model
from raypipe.quantities import NANOS_PER_USD

NEAREST = 3
NOTHING = 1e-11
"""$/h: a pod's price below this is the solver's noise."""
ROUNDS = 12
SLACK = 1e-9
BOUNDLESS = 1e12
"""$/h that stand for "no bound on what a node is worth was found"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duals:
    """A proven bound with its certificate.

    Attributes:
        usd_per_hour: the bound. pods: π (K,), $/h a pod, already scaled by t. limits: σ (Q,), $/h a unit.
        worth: t·UB_j, (J,), $/h: most that a node of kind j is worth at these prices.
    """

    usd_per_hour: float
    pods: Floats
    limits: Floats
    worth: Floats


def unit_cost(problem: Problem) -> Floats:
    """What one pod of shape k costs on kind j if it pays for the resource it uses most of, (K, J) $/h; inf: no fit."""
    share = np.zeros(problem.fits.shape)
    capacity = np.maximum(problem.capacity, 1)
    for r in range(problem.requests.shape[1]):
        np.maximum(share, problem.requests[:, r, None] / capacity[None, :, r], out=share)
    return np.where(problem.fits, share * (problem.price / NANOS_PER_USD)[None, :], np.inf)


def aggregated_lp(problem: Problem, effort: Effort) -> Duals | None:
    """Solve (A) and certify it, or return None where it is infeasible: then no packing exists either."""
    scarce = problem.most < UNLIMITED
    cost = unit_cost(problem)
    opened = problem.fits & scarce[None, :]
    nearest = np.argsort(cost, axis=1, kind="stable")[:, :NEAREST]
    np.put_along_axis(opened, nearest, np.take_along_axis(problem.fits, nearest, axis=1), axis=1)
    best: Duals | None = None
    for _ in range(ROUNDS):
        solved = _solve(problem, opened, effort)
        if solved is None:
            if (opened == problem.fits).all():
                return None
            opened = problem.fits.copy()
            continue
        duals, candidates = solved
        certified, wanted = _certify(problem, duals, candidates)
        if best is None or certified.usd_per_hour > best.usd_per_hour:
            best = certified
        wanted &= ~opened
        if not wanted.any():
            break
        opened |= wanted
    return best


def _solve(problem: Problem, opened: Bools, effort: Effort) -> tuple[tuple[Floats, Floats], Floats] | None:
    """Solve (A) over the opened pairs; return (π, σ) and the λ of each kind seen, (I, R), or None if infeasible."""
    shapes, resources = problem.requests.shape
    kinds = np.flatnonzero(opened.any(axis=0))
    model = Model(effort)
    model.cover(problem.demand, "pods")
    model.keep_under(problem.scaled_limits, "limit")
    first = shapes + len(problem.limits)
    capacity = problem.capacity[kinds].astype(np.float64)
    wanted = (opened[:, kinds].T.astype(np.float32) @ (problem.requests > 0).astype(np.float32)) > 0
    rooms = np.where(wanted.ravel(), first + np.cumsum(wanted.ravel()) - 1, -1).reshape(wanted.shape)
    model.keep_under(np.zeros(int(wanted.sum())), "room")
    for i, j in enumerate(kinds):
        rows = {int(rooms[i, r]): -1.0 for r in np.flatnonzero(wanted[i]) if capacity[i, r] > 0}
        rows |= {shapes + q: float(problem.scaled_weights[q, j]) for q in np.flatnonzero(problem.weights[:, j])}
        most = float(problem.most[j]) if problem.most[j] < UNLIMITED else None
        model.column(problem.price[j] / NANOS_PER_USD, rows, most)
        for k in np.flatnonzero(opened[:, j]):
            need = problem.requests[k]
            rows = {int(rooms[i, r]): need[r] / capacity[i, r] for r in np.flatnonzero(need)}
            model.column(0.0, rows | {int(k): 1.0})
    solution = model.solve()
    if solution is None:
        return None
    prices = np.where(solution.duals[:shapes] > NOTHING, solution.duals[:shapes], 0.0)
    limits = np.maximum(-solution.duals[shapes:first], 0.0)
    room = np.zeros((len(kinds), resources))
    room[wanted] = np.maximum(-solution.duals[first:], 0.0)
    return (prices, limits), room / np.maximum(capacity, 1.0)


def node_worth(problem: Problem, prices: Floats, candidates: Floats) -> tuple[Floats, Ints]:
    """UB_j(π) over candidate λ, (J,), and the candidate that gives it, (J,)."""
    best = np.full(len(problem.price), np.inf)
    chosen = np.zeros(len(problem.price), dtype=np.int64)
    for i, weight in enumerate(candidates):
        ratio = _ratio(problem, prices, weight)
        steepest = np.where(problem.fits, ratio[:, None], 0.0).max(axis=0, initial=0.0)
        with np.errstate(invalid="ignore"):
            worth = np.nan_to_num((problem.capacity @ weight) * steepest, nan=np.inf, posinf=np.inf)
        better = worth < best
        best[better], chosen[better] = worth[better], i
    return best, chosen


def _ratio(problem: Problem, prices: Floats, weight: Floats) -> Floats:
    """π_k / (λ·d_k), (K,): 0 where the price is 0, inf where only the weight is."""
    load = problem.requests @ weight
    with np.errstate(divide="ignore"):
        return np.where(prices > 0, np.divide(prices, load, where=load > 0, out=np.full(len(load), np.inf)), 0.0)


def _candidates(weights: Floats, capacity: Ints) -> Floats:
    """Distinct directions among the λ of the kinds, each scaled to the same size (a byte weighs 10^-9 of a core)."""
    unit = np.maximum(capacity.max(axis=0, initial=1), 1).astype(np.float64)
    shares = weights * unit
    size = shares.sum(axis=1)
    directions = shares[size > 0] / size[size > 0, None]
    if not len(directions):
        return np.zeros((0, weights.shape[1]))
    distinct: Floats = np.unique(np.round(directions, 12), axis=0) / unit
    return distinct


def _certify(problem: Problem, duals: tuple[Floats, Floats], weights: Floats) -> tuple[Duals, Bools]:
    """Apply the formula of the module's docstring; return the bound and the pairs that kept it from being sharper.

    Before t is taken, single prices that no λ supports are lowered (a solver's tolerance lets tiny pods be overpriced):
    any π >= 0 gives a bound, and lowering a few costs less than scaling all.
    """
    prices, sigma = duals
    candidates = _candidates(weights, problem.capacity)
    worth, chosen = node_worth(problem, prices, candidates)
    paid = problem.price / NANOS_PER_USD + sigma @ problem.scaled_weights
    endless = problem.most >= UNLIMITED
    wanted = np.zeros_like(problem.fits)
    lowered = prices.copy()
    for j in np.flatnonzero(worth > paid * (1 + SLACK) + SLACK * 1e-3) if len(candidates) else ():
        weight = candidates[chosen[j]]
        size = float(problem.capacity[j] @ weight)
        wanted[:, j] = problem.fits[:, j] & (prices > 0)  # all: another λ may fail on other pods
        if endless[j] and size > 0:
            supported = problem.requests @ weight * (paid[j] / size)
            lowered = np.where(problem.fits[:, j], np.minimum(lowered, supported), lowered)
    bounds = [_bound(problem, prices, sigma, paid, worth)]
    if (lowered < prices).any():
        bounds.append(_bound(problem, lowered, sigma, paid, node_worth(problem, lowered, candidates)[0]))
    return max(bounds, key=lambda one: one.usd_per_hour), wanted


def _bound(problem: Problem, prices: Floats, sigma: Floats, paid: Floats, worth: Floats) -> Duals:
    """LB of the module's docstring at these prices, with the largest t."""
    scarce = problem.most < UNLIMITED
    priced = ~scarce & (worth > 0)
    scale = min(1.0, float((paid[priced] / worth[priced]).min(initial=1.0)))
    scale = scale if np.isfinite(scale) else 0.0
    with np.errstate(invalid="ignore"):
        worth = np.minimum(np.nan_to_num(scale * worth, nan=BOUNDLESS), BOUNDLESS)
    excess = np.where(scarce, np.maximum(0.0, worth - paid), 0.0)
    value = scale * float(prices @ problem.demand) - float(sigma @ problem.scaled_limits)
    value -= float(np.where(excess > 0, excess * np.where(scarce, problem.most, 0), 0.0).sum())
    return Duals(usd_per_hour=max(0.0, value), pods=scale * prices, limits=sigma, worth=worth)
