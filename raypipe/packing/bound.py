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

Where pods prefer some kinds, x_kj costs W_kj and π_k − W_kj stands for π_k wherever kind j is looked at. What pods
would like of each other is left out, which lowers the bound and nothing else.

`strengthened` solves (A) again with cuts (`raypipe.packing.cuts`): resources more, and the same formula.

Where alternatives leave a choice of n (`raypipe.packing.choices`), n_a are columns beside, and Σ_k π_k n_k is taken at
the choice for which it is least.

Refused: the whole LP at once (0.6 to 2.9 s against 0.03 s, the same value to 3e-6).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from raypipe.packing.aggregated import NO_MIX, Aggregated, Mix
from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.choices import Choices
from raypipe.packing.cuts import Cut, broken_cuts, with_cuts
from raypipe.packing.problem import UNLIMITED, Problem
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD

NEAREST = 3
ROUNDS = 40
SLACK = 1e-9
BOUNDLESS = 1e12
"""$/h that stand for "no bound on what a node is worth was found"."""
NUMBERS_AT_ONCE = 200_000
"""Candidates x shapes x kinds looked at together: what a processor keeps near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duals:
    """A proven bound with its certificate.

    Attributes:
        usd_per_hour: the bound. pods: π (K,), $/h a pod, already scaled by t. limits: σ (Q,), $/h a unit.
        worth: t·UB_j, (J,), $/h: most that a node of kind j is worth at these prices.
        directions: λ tried for UB, (n, R + cuts). cuts: resources more that it rests on. mix: of the last LP.
        chosen: (A,) n_a of the last LP where the demand has choices in it, else empty.
    """

    usd_per_hour: float
    pods: Floats
    limits: Floats
    worth: Floats
    directions: Floats
    mix: Mix = NO_MIX
    cuts: tuple[Cut, ...] = ()
    chosen: Floats = field(default_factory=lambda: np.zeros(0))

    @property
    def kind(self) -> str:
        """What plans call a bound that was proven so."""
        return "pattern-lp" if self.cuts else "aggregated-lp"

    @property
    def usd_nanos(self) -> int:
        """The bound in nano-dollars an hour."""
        return int(np.floor(self.usd_per_hour * NANOS_PER_USD + 0.5))

    def for_kinds_of(self, problem: Problem) -> Duals:
        """The same certificate with the worth of other kinds."""
        return replace(self, worth=node_worth(with_cuts(problem, self.cuts), self.pods, self.directions)[0])


def unit_cost(problem: Problem) -> Floats:
    """What one pod of shape k costs on kind j if it pays for the resource it uses most of, (K, J) $/h; inf: no fit."""
    share = np.zeros(problem.fits.shape)
    capacity = np.maximum(problem.capacity, 1)
    for r in range(problem.requests.shape[1]):
        np.maximum(share, problem.requests[:, r, None] / capacity[None, :, r], out=share)
    return np.where(problem.fits, share * (problem.price / NANOS_PER_USD)[None, :], np.inf)


def strengthened(problem: Problem, duals: Duals, effort: Effort, rounds: int, start: Bools | None = None) -> Duals:
    """Solve (A) again, in at most `rounds` rounds, with the cuts that its mix breaks; the best certificate of all.

    start: as in `aggregated_lp`.
    """
    best, last = duals, duals
    for _ in range(rounds):
        again = cut_again(problem, last, effort, start)
        if again is None:
            break
        last = again
        best = max(best, last, key=lambda one: one.usd_per_hour)
    return best


def cut_again(problem: Problem, last: Duals, effort: Effort, start: Bools | None = None) -> Duals | None:
    """Solve (A) with the cuts of `last` and those that its mix breaks; None where it breaks none."""
    new = broken_cuts(problem, last.mix.pods, last.mix.nodes, last.worth, last.usd_per_hour, last.cuts)
    cuts = last.cuts + new
    used = last.mix.pods > 0
    opened = used if start is None else used | start
    solved = aggregated_lp(with_cuts(problem, cuts), effort, opened) if new else None
    return None if solved is None else replace(solved, cuts=cuts)


def aggregated_lp(
    problem: Problem, effort: Effort, start: Bools | None = None, choices: Choices | None = None
) -> Duals | None:
    """Solve (A) and certify it, or return None where it is infeasible: then no packing exists either.

    start: pairs of shape and kind, (K, J), to be seen from the beginning beside the nearest.
    choices: the demand has choices in it, and the bound holds for each; `problem.demand` is then their highest.
    """
    scarce = problem.most < UNLIMITED
    cost = unit_cost(problem)
    opened = problem.fits & scarce[None, :]
    nearest = np.argsort(cost, axis=1, kind="stable")[:, :NEAREST]
    np.put_along_axis(opened, nearest, np.take_along_axis(problem.fits, nearest, axis=1), axis=1)
    if start is not None:
        opened |= start
    aggregated = Aggregated(problem, effort, choices)
    best: Duals | None = None
    for _ in range(ROUNDS):
        solved = aggregated.solve(opened)
        if solved is None:
            if (opened == problem.fits).all():
                return None
            opened = problem.fits.copy()
            continue
        duals, candidates = solved
        certified, wanted, doubtful = _certify(problem, duals, candidates, choices)
        if best is None or certified.usd_per_hour > best.usd_per_hour:
            best = certified
        wanted &= ~opened
        if not wanted.any():  # another λ may fail on other pods of these kinds
            wanted = problem.fits & (duals[0] > 0)[:, None] & doubtful[None, :] & ~opened
        if not wanted.any():
            break
        opened |= wanted
    return None if best is None else replace(best, mix=aggregated.mix, chosen=aggregated.chosen)


def node_worth(problem: Problem, prices: Floats, candidates: Floats) -> tuple[Floats, Ints]:
    """UB_j(π) over candidate λ, (J,), and the candidate that gives it, (J,)."""
    best = np.full(len(problem.price), np.inf)
    chosen = np.zeros(len(problem.price), dtype=np.int64)
    capacity, requests = problem.capacity.astype(np.float64), problem.requests.astype(np.float64)
    pods = _worth(problem, prices)
    columns, of = (problem.fits, slice(None)) if problem.penalty.size else problem.fit_columns
    at_once = max(1, NUMBERS_AT_ONCE // max(1, columns.size))
    for first in range(0, len(candidates), at_once):
        some = candidates[first : first + at_once]
        loads = np.stack([requests @ weight for weight in some])  # one by one: together they are rounded otherwise
        sizes = np.stack([capacity @ weight for weight in some])
        steepest = np.where(columns, _ratio(pods, loads), 0.0).max(axis=1, initial=0.0)
        with np.errstate(invalid="ignore"):
            worth = sizes * steepest[:, of]
        worth[np.isnan(worth)] = np.inf  # what is no number is no bound
        least = worth.argmin(axis=0)
        worth = worth[least, np.arange(len(best))]
        better = worth < best
        best[better], chosen[better] = worth[better], first + least[better]
    return best, chosen


def _ratio(pods: Floats, loads: Floats) -> Floats:
    """π_k / (λ·d_k) for `loads` λ·d (n, K), (n, K, 1) or, where pods prefer kinds, (n, K, J).

    0 where the price is 0, inf where only the load is.
    """
    loads = loads[:, :, None]
    out = np.full((len(loads), *pods.shape), np.inf)
    with np.errstate(divide="ignore"):
        ratio = np.divide(pods, loads, where=loads > 0, out=out)
    return np.where(pods > 0, ratio, 0.0)


def _worth(problem: Problem, prices: Floats) -> Floats:
    """π_k − W_kj, (K, J), or π_k, (K, 1), where no pod prefers a kind."""
    if not problem.penalty.size:
        return prices[:, None]
    return prices[:, None] - problem.penalty / NANOS_PER_USD


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


def _certify(
    problem: Problem, duals: tuple[Floats, Floats], weights: Floats, choices: Choices | None
) -> tuple[Duals, Bools, Bools]:
    """Apply the formula of the module's docstring; return the bound, the pairs that it fails on and their kinds.

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
    doubtful: Bools = (worth > paid * (1 + SLACK) + SLACK * 1e-3) & bool(len(candidates))
    for j in np.flatnonzero(doubtful):
        weight = candidates[chosen[j]]
        size = float(problem.capacity[j] @ weight)
        supported = problem.requests @ weight * (paid[j] / size) if size > 0 else np.zeros(len(prices))
        if problem.penalty.size:
            supported = supported + problem.penalty[:, j] / NANOS_PER_USD
        wanted[:, j] = problem.fits[:, j] & (prices > supported * (1 + SLACK))
        if endless[j] and size > 0:
            lowered = np.where(problem.fits[:, j], np.minimum(lowered, supported), lowered)
    bounds = [_bound(problem, prices, sigma, worth, candidates, choices)]
    if (lowered < prices).any():
        worth = node_worth(problem, lowered, candidates)[0]
        bounds.append(_bound(problem, lowered, sigma, worth, candidates, choices))
    return max(bounds, key=lambda one: one.usd_per_hour), wanted, doubtful


def _bound(
    problem: Problem, prices: Floats, sigma: Floats, worth: Floats, directions: Floats, choices: Choices | None
) -> Duals:
    """LB of the module's docstring at these prices, with the largest t."""
    paid = problem.price / NANOS_PER_USD + sigma @ problem.scaled_weights
    scarce = problem.most < UNLIMITED
    priced = ~scarce & (worth > 0)
    scale = min(1.0, float((paid[priced] / worth[priced]).min(initial=1.0)))
    scale = scale if np.isfinite(scale) else 0.0
    with np.errstate(invalid="ignore"):
        worth = np.minimum(np.nan_to_num(scale * worth, nan=BOUNDLESS), BOUNDLESS)
    excess = np.where(scarce, np.maximum(0.0, worth - paid), 0.0)
    asked = float(prices @ problem.demand) if choices is None else choices.least_worth(prices)
    value = scale * asked - float(sigma @ problem.scaled_limits)
    value -= float(np.where(excess > 0, excess * np.where(scarce, problem.most, 0), 0.0).sum())
    pods = scale * prices
    return Duals(usd_per_hour=max(0.0, value), pods=pods, limits=sigma, worth=worth, directions=directions)
