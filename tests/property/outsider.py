"""The lower bound of a plan, recomputed from its JSON, the catalogue and the manifests alone.

With π the plan's `marginal_usd_per_hour` and σ its `bound.prices` (k keys of pods, j places that can be bought, e nodes
that exist, q limits, n_k the pods that the plan places)::

    LB = t · Σ_k π_k n_k − Σ_e t · UB_e(π) − Σ_q σ_q L_q        t the largest with  t · UB_j(π) <= c_j + Σ_q σ_q w_jq

and the price of kept nodes on top, where UB is the most that a node can be worth at these prices: for `aggregated-lp`
filled with fractions of pods, an LP, and else with whole pods, at most n_k of each, a knapsack. Every number that
HiGHS gives is made safe before it is used: an LP counts by a dual that has been scaled until it is feasible, a search
by its dual bound.

What the bound `aggregated-milp` adds to that cannot be had from prices. There the outsider minimises Σ c_j y_j over
whole numbers y_j of nodes and fractions x_kj of pods, with Σ_j x_kj >= n_k, Σ_j w_jq y_j <= L_q and what whole pods on
a node obey: Σ_k d_kr x_kj <= C_jr y_j, x_kj <= n_k y_j, Σ_k π_k x_kj <= UB_j y_j, and for each request u that any pod
has of a resource Σ_k ⌊d_kr / u⌋ x_kj <= ⌊C_jr / u⌋ y_j. No C_jr is taken for more than all pods that may go there ask
for together. Places that no plan below the claim can use are left out, since c_j + Σ_q σ_q w_jq − t · UB_j is more than
LB lacks to it, and so are pods at places where that holds of UB_j over fillings with such a pod. A bound counts up to
the claim and no further.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import highspy
import numpy as np
from numpy.typing import NDArray

from tests.property.outsider_world import Amounts, Place, Pods, World, placed, read_world

type Floats = NDArray[np.float64]

INTEGER = highspy.HighsVarType.kInteger
SEARCH_NODES = 2_000
CLOSE = 1e-6
"""$/h, and share of a price, that a plan may be wrong by: JSON has so many digits."""


@dataclass(frozen=True)
class Recomputed:
    """What the outsider finds.

    Attributes:
        by_prices: LB by the prices of the plan. bought: the bound on what is bought, as far as the outsider sees.
        scale: t. kept: what kept nodes cost. kind: what the plan says of its bound.
    """

    by_prices: float
    bought: float
    scale: float
    kept: float
    kind: str


@dataclass(frozen=True)
class Prices:
    """π by key and σ by limit."""

    pods: Mapping[str, float]
    limits: Mapping[str, float]

    def paid(self, place: Place) -> float:
        """What a node costs with what it takes of limits."""
        return place.price + sum(sigma * place.counts.get(name, 0.0) for name, sigma in self.limits.items())


def recomputed(plan: str, catalogue: Path, folder: Path) -> Recomputed:
    """Recompute the bound of the plan of the only cluster."""
    cluster = json.loads(plan)["clusters"][0]
    bound, world = cluster["bound"], read_world(catalogue, folder)
    out: dict[str, int] = {}
    for one in cluster["unplaced"]:
        out[one["pods"]] = out.get(one["pods"], 0) + one["count"]
    world = placed(world, {one.key: one.count - out.get(one.key, 0) for one in world.pods})
    pods = sum(one.count for one in world.pods)
    if pods != bound["pods"]:
        raise ValueError(f"bound.pods says {bound['pods']}, and the plan places {pods}")
    prices = Prices(cluster["marginal_usd_per_hour"], bound["prices"])
    whole = bound["kind"] != "aggregated-lp"
    worth = [most_worth(place, world.pods, prices, whole=whole) for place in world.places]
    scale, value = _by_prices(world, prices, worth)
    claim, bought = cluster["bought"]["lower_bound"], value
    if bound["kind"] == "aggregated-milp":
        bought = max(value, min(claim, whole_nodes(world, prices, scale, claim - value)))
    return Recomputed(value, bought, scale, world.kept_usd_per_hour, bound["kind"])


def refusals(plan: str, found: Recomputed) -> list[str]:
    """What is wrong with the bound of a plan; nothing where all of it has been recomputed."""
    cluster = json.loads(plan)["clusters"][0]
    cost, bought = cluster["usd_per_hour"], cluster["bought"]
    most, proven = bought["usd_per_hour"], cluster["bound"]["by_prices_usd_per_hour"]
    claims = (
        ("bound.by_prices_usd_per_hour", proven, found.by_prices, most),
        ("bought.lower_bound", bought["lower_bound"], found.bought, most),
        ("usd_per_hour.lower_bound", cost["lower_bound"], found.kept + found.bought, cost["after"]),
    )
    wrong = [
        f"{name} says {said}, and {seen} is what can be shown" for name, said, seen, _ in claims if seen < said - CLOSE
    ]
    wrong += [f"{name} says {said}, and all costs {most}" for name, said, _, most in claims if said > most + CLOSE]
    if found.scale < 1 - CLOSE:
        wrong.append(f"marginal_usd_per_hour: a node is worth {1 / found.scale} times what it costs")
    return wrong


def _by_prices(world: World, prices: Prices, worth: list[float]) -> tuple[float, float]:
    """t and LB."""
    scale, existing = 1.0, 0.0
    for place, most in zip(world.places, worth, strict=True):
        if place.exists:
            existing += most
        elif most > 0:
            scale = min(scale, prices.paid(place) / most)
    asked = sum(prices.pods.get(one.key, 0.0) * one.count for one in world.pods)
    limits = sum(sigma * world.left[name] for name, sigma in prices.limits.items())
    return scale, scale * (asked - existing) - limits


def most_worth(place: Place, pods: tuple[Pods, ...], prices: Prices, *, whole: bool) -> float:
    """UB: no filling of a node is worth more."""
    items = [one for one in pods if prices.pods.get(one.key, 0.0) > 0 and place.holds(one)]
    if not items:
        return 0.0
    shares, worth = _shares(place.room, items), np.array([prices.pods[one.key] for one in items])
    paid = prices.paid(place) or float(worth.max())
    fractions = _fractions(shares, worth / paid) * paid
    if not whole or (not place.exists and fractions <= paid):
        return fractions
    return min(fractions, _knapsack(place.room, items, worth / paid) * paid)


def _shares(room: Amounts, items: list[Pods]) -> Floats:
    """What part of the room each pod takes of each resource, (pods, resources)."""
    names = sorted({name for one in items for name in one.requests})
    rows = [[one.requests.get(name, 0.0) / room[name] if room.get(name) else 0.0 for name in names] for one in items]
    return np.array(rows)


def _fractions(shares: Floats, worth: Floats) -> float:
    """The little LP by its dual: min Σ_r λ_r with Σ_r λ_r · share_kr >= worth_k."""
    solver = _solver()
    count = shares.shape[1]
    solver.addVars(count, np.zeros(count), np.full(count, highspy.kHighsInf))
    numbers = np.arange(count, dtype=np.int32)
    solver.changeColsCost(count, numbers, np.ones(count))
    for row, least in zip(shares, worth, strict=True):
        solver.addRow(least, highspy.kHighsInf, count, numbers, row)
    solver.run()
    weights = np.maximum(np.array(solver.getSolution().col_value), 0.0)
    carried = shares @ weights
    if not (carried > 0).all():
        return float("inf")
    return float(weights.sum() * (worth / carried).max())


def _knapsack(room: Amounts, items: list[Pods], worth: Floats) -> float:
    """The most that whole pods on one node are worth, at most n_k of each."""
    solver = _solver()
    count, names = len(items), sorted({name for one in items for name in one.requests})
    numbers = np.arange(count, dtype=np.int32)
    solver.addVars(count, np.zeros(count), np.array([float(one.count) for one in items]))
    solver.changeColsCost(count, numbers, -worth)
    for name in names:
        asked = np.array([_units(name, one.requests.get(name, 0.0)) for one in items])
        solver.addRow(-highspy.kHighsInf, _units(name, room[name]), count, numbers, asked)
    solver.changeColsIntegrality(count, numbers, np.full(count, INTEGER))
    solver.run()
    return -float(solver.getInfo().mip_dual_bound)


def _units(name: str, amount: float) -> float:
    """Whole millicores and MiB: pods request no parts of them, so that a node has no use for one."""
    return float(math.floor(amount * {"cpu": 1000, "memory": 1024}.get(name, 1) + CLOSE))


def usable(place: Place, pods: tuple[Pods, ...], prices: Prices, scale: float, lacking: float) -> list[int]:
    """The pods that a plan may put there which costs less than `lacking` more than LB, by number."""
    held = [k for k, one in enumerate(pods) if place.holds(one)]
    if place.exists:
        return held
    least = prices.paid(place) - lacking - CLOSE
    return [k for k in held if scale * worth_with(place, pods, prices, k) > least]


def worth_with(place: Place, pods: tuple[Pods, ...], prices: Prices, number: int) -> float:
    """The most that a node is worth on which stands a pod of that number, the others in fractions."""
    one = pods[number]
    room = {name: amount - one.requests.get(name, 0.0) for name, amount in place.room.items()}
    return prices.pods.get(one.key, 0.0) + most_worth(replace(place, room=room), pods, prices, whole=False)


def whole_nodes(world: World, prices: Prices, scale: float, lacking: float) -> float:
    """The dual bound of the outsider's own MILP, $/h, over plans that cost less than `lacking` more than LB."""
    open_to = [(place, usable(place, world.pods, prices, scale, lacking)) for place in world.places]
    places, held = [place for place, some in open_to if some], [some for _, some in open_to if some]
    worth = [most_worth(place, world.pods, prices, whole=True) for place in places]
    solver = _solver()
    solver.setOptionValue("mip_max_nodes", SEARCH_NODES)
    infinity, pairs = highspy.kHighsInf, [(k, j) for j, some in enumerate(held) for k in some]
    kinds, columns = len(places), len(places) + len(pairs)
    most = [1.0 if one.exists else infinity for one in places] + [float(world.pods[k].count) for k, _ in pairs]
    solver.addVars(columns, np.zeros(columns), np.array(most))
    solver.changeColsCost(kinds, np.arange(kinds, dtype=np.int32), np.array([one.price for one in places]))
    solver.changeColsIntegrality(kinds, np.arange(kinds, dtype=np.int32), np.full(kinds, INTEGER))

    def keep(entries: list[tuple[int, float]], least: float, most: float) -> None:
        index = np.array([column for column, _ in entries], dtype=np.int32)
        solver.addRow(least, most, len(entries), index, np.array([value for _, value in entries]))

    for k, one in enumerate(world.pods):
        keep([(kinds + i, 1.0) for i, (shape, _) in enumerate(pairs) if shape == k], float(one.count), infinity)
    for j, place in enumerate(places):
        room = _wanted(place, [world.pods[k] for k in held[j]])
        there = [(kinds + i, world.pods[k]) for i, (k, kind) in enumerate(pairs) if kind == j]
        for name in sorted({name for _, one in there for name in one.requests}):
            used = [(column, _units(name, one.requests.get(name, 0.0))) for column, one in there]
            keep([*used, (j, -_units(name, room[name]))], -infinity, 0.0)
        keep([*((column, prices.pods.get(one.key, 0.0)) for column, one in there), (j, -worth[j])], -infinity, 0.0)
        for name in ("cpu", "memory"):
            for unit in {_units(name, one.requests[name]) for one in world.pods}:
                fill = [(column, _units(name, one.requests[name]) // unit) for column, one in there]
                keep([*fill, (j, -(_units(name, room[name]) // unit))], -infinity, 0.0)
        for column, one in there:
            keep([(column, 1.0), (j, -float(one.count))], -infinity, 0.0)
    for name, left in world.left.items():
        keep([(j, one.counts.get(name, 0.0)) for j, one in enumerate(places)], -infinity, left)
    solver.run()
    return float(solver.getInfo().mip_dual_bound)


def _wanted(place: Place, pods: list[Pods]) -> Amounts:
    """The room of a node as far as these pods could ever use it."""
    return {
        name: min(amount, sum(one.count * one.requests.get(name, 0.0) for one in pods))
        for name, amount in place.room.items()
    }


def _solver() -> highspy.Highs:
    """HiGHS without a word, on one thread, with searches that go on to the end."""
    solver = highspy.Highs()
    for name, value in {"output_flag": False, "threads": 1, "mip_rel_gap": 0.0, "mip_abs_gap": 1e-9}.items():
        solver.setOptionValue(name, value)
    return solver
