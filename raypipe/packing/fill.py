"""Fullness-aware fill: what to put on a node at given pod prices.

The next shape on a node of kind j is argmax_k π_k / g(d_k / R_j), R_j the room that is left and g one of sum, max, l2
over the resources; about a third of what still fits is added, then the densities are looked at again. At the prices of
the LP all densities are nearly equal, so a fixed order fills one resource and strands the others (2 to 7 % above the
pattern LP); weighing by the room that is left does not (0.1 to 0.6 %). Prices are floored at 2 % of the unit cost, or
shapes of price zero would never be picked. Where pods prefer some kinds, π_k − W_kj takes the place of π_k, floored
just above nothing.

All kinds are filled at once: arrays are (kinds, shapes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.problem import ENDLESS, Problem
from raypipe.quantities import NANOS_PER_USD


class Measure(StrEnum):
    """How the shares of the room left are added up."""

    SUM = "sum"
    MAX = "max"
    L2 = "l2"


FLOOR = 0.02
LEAST = 1e-9
"""$/h: less than the price of any pod that costs something."""
LEAST_LOAD = 1e-12
LESS_THAN_ONE = 0.5
"""What stands for no room at all: no whole request is as little, and one may divide by it."""
JUST_FITS = 1.0 + 1e-15
"""The share of the room that a pod takes which leaves nothing of it, with what floats add to that."""
FEW_GOING = 0.6
"""Nodes that are full are left out once no more than this share is not."""
NUMBERS_AT_ONCE = 400_000
"""Nodes x shapes x resources looked at together: what a processor keeps near."""
HARDLY_FELT = 4
"""All pods that are wanted are added where they take at most one in so many of that part of the room: densities hardly
change by them, and with few pods of each shape one by one would be many steps."""


def floored(prices: Floats, unit_costs: Floats) -> Floats:
    """Prices of at least 2 % of the unit cost, (K,), and never nothing: free room is worth filling, too."""
    least: Floats = np.maximum(FLOOR * np.where(np.isfinite(unit_costs), unit_costs, 0.0), LEAST)
    return np.maximum(prices, least)


def fill(
    problem: Problem,
    prices: Floats,
    kinds: Ints,
    most: Ints,
    measure: Measure | Sequence[Measure] = Measure.SUM,
    part: int = 3,
    start: Ints | None = None,
) -> Ints:
    """Fill one node of each of `kinds` with at most `most` (K,) pods of each shape; return patterns (kinds, K).

    prices: (K,), or (kinds, K) where nodes are filled at prices of their own. measure: one for all nodes, or several,
    each for an equal share of them, in order. One `part`-th of what still fits is added at a time, or as much as is
    hardly felt. start: (kinds, K), what is on the nodes already.
    """
    shapes = np.flatnonzero((most > 0) & (prices > 0).reshape(-1, len(most)).any(axis=0))
    patterns = np.zeros((len(kinds), len(most)), dtype=np.int64) if start is None else start.copy()
    if not len(shapes) or not len(kinds):
        return patterns
    measures = [measure] if isinstance(measure, Measure) else list(measure)
    of = np.repeat(np.arange(len(measures)), len(kinds) // len(measures))
    used = np.flatnonzero((problem.requests[shapes] > 0).any(axis=0))
    resources = used[~np.isin(used, problem.caps)]
    at_once = max(1, NUMBERS_AT_ONCE // (len(shapes) * max(1, len(resources))))
    for first in range(0, len(kinds), at_once):
        some = slice(first, first + at_once)
        price = _worth(problem, prices if prices.ndim == 1 else prices[some], shapes, kinds[some])
        loads = _Loads(problem.requests[np.ix_(shapes, resources)], measures, of[some])
        _fill_some(problem, price, kinds[some], most, patterns[some], shapes, resources, loads, part)
    return _slices_repaired(problem, kinds, patterns)


def _fill_some(
    problem: Problem,
    worth: Floats,
    kinds: Ints,
    most: Ints,
    patterns: Ints,
    shapes: Ints,
    resources: Ints,
    loads: _Loads,
    part: int,
) -> None:
    """Add pods of `shapes` to `patterns` (kinds, K), a node each, until every node is full.

    Nodes that are full wait for others: leaving them out costs more than asking them again a few times.
    """
    room = problem.capacity[np.ix_(kinds, resources)] - patterns @ problem.requests[:, resources]
    caps, company = _Caps(problem, shapes, kinds, patterns), _Company(problem, shapes, kinds, patterns)
    wanted = np.minimum(most[shapes] - patterns[:, shapes], caps.alone)
    wanted = np.where(problem.fits[np.ix_(shapes, kinds)].T, wanted, 0)
    price = np.where(wanted > 0, worth, 0.0)
    caps.close_all(price)
    company.close(price)
    left = wanted.copy()
    of_left, of_price = left.reshape(-1), price.reshape(-1)
    here = np.arange(len(kinds))
    at = first = here * len(shapes)
    while True:
        best, going = loads.densest(price, room, first)
        if np.count_nonzero(going) <= FEW_GOING * len(going):
            at, best, room, price = at[going], best[going], room[going], price[going]
            loads.narrow(going)
            caps.narrow(going)
            company.narrow(going)
            here, first, of_price, going = here[: len(at)], first[: len(at)], price.reshape(-1), going[going]
            if not len(at):
                break
        need = loads.requests.take(best, axis=0)
        still = np.minimum.reduce(np.where(need > 0, room // np.maximum(need, 1), ENDLESS), axis=1)
        still = company.limited(best, caps.limited(here, best, still))
        number = at + best
        before = of_left[number]
        added = (np.minimum(still, before) + (part - 1)) // part
        added = np.maximum(added, np.minimum(before, still // (HARDLY_FELT * part))) * going
        after = before - added
        of_left[number] = after
        of_price[(first + best)[np.minimum(after, still) <= 0]] = 0.0
        room -= need * added[:, None]
        caps.join(here, best, added, price)
        company.join(best, added)
        company.close(price)
    patterns[:, shapes] += wanted - left


class _Loads:
    """g(d_k / R_j) for every shape and node, in memory that is written over each time.

    requests: (K, R). of: (nodes,) which of `measures` each node is filled by, ascending.
    """

    def __init__(self, requests: Ints, measures: Sequence[Measure], of: Ints) -> None:
        self.requests = requests
        self._requests = np.ascontiguousarray(requests.T, dtype=np.float64)
        self._measures, self._of = measures, of
        self._shares = np.empty((len(of), *self._requests.shape))
        self._largest, self._density = np.empty((len(of), len(requests))), np.empty((len(of), len(requests)))
        self._within = self._slices()

    def narrow(self, going: Bools) -> None:
        """Forget the nodes that are full."""
        self._of = self._of[going]
        self._within = self._slices()

    def _slices(self) -> list[tuple[Measure, slice]]:
        """The nodes of each measure."""
        ends = np.searchsorted(self._of, np.arange(len(self._measures) + 1)).tolist()
        return [
            (measure, slice(first, last))
            for measure, first, last in zip(self._measures, ends[:-1], ends[1:], strict=True)
            if first < last
        ]

    def densest(self, price: Floats, room: Ints, first: Ints) -> tuple[Ints, Bools]:
        """The shape of most π_k / g(d_k / R_j) that still fits on each node, (nodes,), and whether there is one.

        first: (nodes,) where the row of each node begins in an array (nodes, K).
        """
        count = len(room)
        shares, largest, density = self._shares[:count], self._largest[:count], self._density[:count]
        inverse = 1.0 / np.maximum(room, LESS_THAN_ONE)
        np.multiply(self._requests, inverse[:, :, None], out=shares)
        np.maximum.reduce(shares, axis=1, out=largest, initial=LEAST_LOAD)
        for measure, within in self._within:
            if measure is Measure.MAX:
                density[within] = largest[within]
                continue
            if measure is Measure.L2:
                np.square(shares[within], out=shares[within])
            np.add.reduce(shares[within], axis=1, out=density[within], initial=LEAST_LOAD)
            if measure is Measure.L2:
                np.sqrt(density[within], out=density[within])
        np.divide(price, density, out=density)
        density *= largest <= JUST_FITS
        best: Ints = density.argmax(axis=1)
        going: Bools = density.reshape(-1)[first + best] > 0
        return best, going


def _worth(problem: Problem, prices: Floats, shapes: Ints, kinds: Ints) -> Floats:
    """What a pod of each of `shapes` gives on each of `kinds`, (kinds, shapes) or the same for all, (shapes,)."""
    if not problem.penalty.size:
        return prices[..., shapes]
    missed = problem.penalty[np.ix_(shapes, kinds)].T / NANOS_PER_USD
    return np.maximum(prices[..., shapes] - missed, LEAST)


class _Caps:
    """What caps leave on each node. A pod has few of them: `of` (K, m) are those of each shape, one beyond is none.

    alone: (nodes, K), what the caps leave that one shape has for itself; they are in no step's way.
    """

    def __init__(self, problem: Problem, shapes: Ints, kinds: Ints, patterns: Ints) -> None:
        requests = problem.requests[np.ix_(shapes, problem.caps)]
        sharers = np.count_nonzero(requests, axis=0)
        self.alone = _alone(problem, shapes, kinds, patterns, problem.caps[sharers == 1])
        used = np.flatnonzero(sharers > 1)
        requests, caps = requests[:, used], problem.caps[used]
        self._any, none = bool(len(caps)), len(caps)
        asked = requests > 0
        width = int(asked.sum(axis=1).max(initial=0))
        order = np.argsort(~asked, axis=1, kind="stable")[:, :width]
        self._need = np.take_along_axis(requests, order, axis=1)
        self._of = np.where(self._need > 0, order, none)
        self._members = asked.T
        self._listed = _listed(self._members)
        room = problem.capacity[np.ix_(kinds, caps)] - patterns @ problem.requests[:, caps]
        self._room = np.column_stack((room, np.full(len(kinds), ENDLESS)))

    def narrow(self, going: Bools) -> None:
        """Forget the nodes that are full."""
        self._room = self._room[going]

    def close_all(self, price: Floats) -> None:
        """Set the price of pods under a cap without room to nothing, (nodes, shapes)."""
        if self._any:
            spent = (self._room[:, :-1] <= 0).astype(np.float32)
            price[spent @ self._members.astype(np.float32) > 0] = 0.0

    def limited(self, here: Ints, best: Ints, still: Ints) -> Ints:
        """How many pods of `best` (a node each) may still come, at most `still`."""
        if not self._any:
            return still
        need = self._need[best]
        room = self._room[here[:, None], self._of[best]]
        within: Ints = np.where(need > 0, room // np.maximum(need, 1), ENDLESS).min(axis=1)
        return np.minimum(still, within)

    def join(self, here: Ints, best: Ints, added: Ints, price: Floats) -> None:
        """Let them come, and close what is full by then."""
        if not self._any:
            return
        caps = self._of[best]
        self._room[here[:, None], caps] -= self._need[best] * added[:, None]
        for c in range(caps.shape[1]):
            full = np.flatnonzero(self._room[here, caps[:, c]] <= 0)
            if len(full):
                price[full[:, None], self._listed[caps[full, c]]] = 0.0


def _alone(problem: Problem, shapes: Ints, kinds: Ints, patterns: Ints, caps: Ints) -> Ints:
    """Most pods of each shape that caps of its own leave on each node, (nodes, shapes)."""
    most = np.full((len(kinds), len(shapes)), ENDLESS)
    need = problem.requests[np.ix_(shapes, caps)]
    member = need.argmax(axis=0)
    room = problem.capacity[np.ix_(kinds, caps)] - patterns @ problem.requests[:, caps]
    np.minimum.at(most.T, member, (room // need[member, np.arange(len(caps))]).T)
    return most


def _listed(members: Bools) -> Ints:
    """The members of each cap (G, K) by number, (G, most members); shorter lists repeat their first."""
    order = np.argsort(~members, axis=1, kind="stable")[:, : int(members.sum(axis=1).max(initial=0))]
    listed: Ints = np.where(np.take_along_axis(members, order, axis=1), order, order[:, :1])
    return listed


class _Company:
    """Who is on each node, as far as `Problem.apart` asks: pods of each rule's members, and whether an owner is."""

    def __init__(self, problem: Problem, shapes: Ints, kinds: Ints, patterns: Ints) -> None:
        rules = problem.apart
        self._owners = [rule.owners[shapes] for rule in rules]
        self._members = [rule.members[shapes] for rule in rules]
        self._most = [rule.most[kinds] for rule in rules]
        self._count = [patterns[:, rule.members].sum(axis=1) for rule in rules]
        self._owned = [rule.asked(patterns) for rule in rules]

    def narrow(self, going: Bools) -> None:
        """Forget the nodes that are full."""
        self._most, self._count, self._owned = (
            [one[going] for one in self._most],
            [one[going] for one in self._count],
            [one[going] for one in self._owned],
        )

    def limited(self, best: Ints, still: Ints) -> Ints:
        """How many pods of `best` (a node each) may still come, at most `still`."""
        for owners, members, most, count, owned in self._rules():
            counts = members[best] & (owned | owners[best])
            still = np.where(counts, np.minimum(still, most - count), still)
        return still

    def join(self, best: Ints, added: Ints) -> None:
        for owners, members, _, count, owned in self._rules():
            count += np.where(members[best], added, 0)
            owned |= owners[best]

    def close(self, price: Floats) -> None:
        """Set the price of pods that may not come any more to nothing, (nodes, shapes)."""
        for owners, members, most, count, owned in self._rules():
            full = count >= most
            price[np.ix_(full & owned, members)] = 0.0
            price[np.ix_(full, owners & members)] = 0.0
            price[np.ix_(count > most, owners)] = 0.0

    def _rules(self) -> Iterator[tuple[Bools, Bools, Ints, Ints, Bools]]:
        return zip(self._owners, self._members, self._most, self._count, self._owned, strict=True)


def _slices_repaired(problem: Problem, kinds: Ints, patterns: Ints) -> Ints:
    """Take pods with GPU slices off again where the slices cannot be dealt to the GPUs."""
    for i in np.flatnonzero(problem.slices_matter[kinds]):
        users = [int(k) for k in np.flatnonzero(patterns[i]) if problem.slice_use[k, 0] > 0]
        users.sort(key=lambda k: -int(problem.slice_use[k, 1]))
        while users and not problem.slices_fit(patterns[i], int(kinds[i])):
            patterns[i, users[0]] -= 1
            if patterns[i, users[0]] == 0:
                users.pop(0)
    return patterns
