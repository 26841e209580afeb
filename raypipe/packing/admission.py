"""The order of admission: who is placed where not everybody can be.

Units of demand stand in a fixed order (priority, age, cluster, key: the caller sorts). Each is admitted if a packing
within the limits exists for all admitted so far and it; else it is left out and the next is tried::

    S_0 = ∅,   S_i = S_{i-1} ∪ {i} if a packing of S_{i-1} ∪ {i} exists, else S_{i-1}

Existence is answered three ways. A packing shown is a yes. (A) without a solution, or the MILP over all fillings of a
small problem without one, is a no. Otherwise it is not known: the unit is left out and the order is called heuristic.
Packings are looked for at the least cost, then at prices that spare one limit each, since what is cheapest may count
much (many small nodes where nodes are few).
What exists for a set exists for each part of it, so runs of units are tried together and halved, and a unit like one
that was refused is refused without asking.

That is not so where pods ask things of pods on other nodes (affinity, spread over zones): a pod may be refused because
the one that it must stand beside comes later. Then units are tried pod by pod, and those refused again after others
were admitted, until nothing changes.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import numpy as np

from raypipe.packing.arrays import Ints
from raypipe.packing.bound import Duals, aggregated_lp, unit_cost
from raypipe.packing.domains import without_rules
from raypipe.packing.dominance import undominated
from raypipe.packing.exact import Enumeration, enumerate_fillings
from raypipe.packing.fill import Measure
from raypipe.packing.patterns import PatternPool, Pricing, generate
from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected, verify
from raypipe.packing.rounding import Ledger, cover, cover_at, dive
from raypipe.packing.solver import Effort
from raypipe.quantities import NANOS_PER_USD
from raypipe.settings import Settings

HEURISTIC_ROUNDS = 8
HEURISTIC_PRICE = 40
"""A check by packing everything anew costs as much as this many checks by MILP."""

NO_LIMIT = 2**60
MOST_NANOS = 2**60
DEARER_BY_LIMIT = (0.25, 1.0, 4.0, 16.0, 256.0)
"""What all that a limit leaves costs more, in bounds, where the limit is to be spared: little first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """Pods that are admitted together, `times` times over; `after`: only if all of that unit was admitted."""

    pods: Ints
    times: int
    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Admitted:
    """How often each unit was admitted, whether that is proven, which limit kept the rest out (None: room itself)."""

    times: tuple[int, ...]
    exact: bool
    limit: tuple[int | None, ...]
    packing: Packing | None


@dataclass(slots=True)
class Existence:
    """Answers whether a packing exists for a demand, and remembers the answers."""

    problem: Problem
    settings: Settings
    effort: Effort
    exact: bool = True
    shown: Packing | None = None
    _kinds: Ints = field(init=False)
    _small: Problem = field(init=False)
    _listed: Enumeration | None = field(init=False)
    _left: int = field(init=False)
    _yes: list[Ints] = field(init=False, default_factory=list)
    _no: list[Ints] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._kinds = undominated(self.problem)
        self._small = self.problem.only_kinds(self._kinds)
        self._listed = enumerate_fillings(self._small, self.settings.enumerate_patterns)
        self._left = self.settings.admission_checks

    def holds(self, demand: Ints) -> bool:
        """Whether a packing of `demand` is known to exist; an unknown answer is a no that is not proven."""
        ruled = self.problem.is_ruled
        if any((demand == known if ruled else demand <= known).all() for known in self._yes):
            return True
        if any((demand == known if ruled else demand >= known).all() for known in self._no):
            return False
        answer = self._asked(demand, self.problem.limits)
        (self._yes if answer else self._no).append(demand.copy())
        if answer is None:
            self.exact = False
        return bool(answer)

    def blame(self, demand: Ints) -> int | None:
        """The limit that alone keeps `demand` out, else the first without which it fits; None: no limit is to blame.

        Where that is not known (no checks left), the first limit is named, unless it is known that none matters.
        """
        limits = self.problem.limits
        free = np.full_like(limits, NO_LIMIT)
        for q in range(len(limits)):
            alone = free.copy()
            alone[q] = limits[q]
            if self._asked(demand, alone) is False:
                return q
        for q in range(len(limits)):
            without = limits.copy()
            without[q] = free[q]
            if self._asked(demand, without):
                return q
        return 0 if len(limits) and self._asked(demand, free) is not False else None

    def shows(self, demand: Ints) -> bool:
        """Whether the packing shown holds as much; a part of a packing is one, where pods ask nothing of others."""
        shown = self.shown
        return shown is not None and not self.problem.is_ruled and bool((demand <= shown.counts @ shown.patterns).all())

    def shown_for(self, demand: Ints) -> Packing | None:
        """The packing shown without what it holds beyond `demand`; None where it does not hold as much."""
        return None if self.shown is None or not self.shows(demand) else cut_down(self.problem, self.shown, demand)

    def _asked(self, demand: Ints, limits: Ints) -> bool | None:
        """True, False (proven) or None (not known, or no checks left)."""
        if self._listed is not None and self._left > 0:
            self._left -= 1
            optimum = self._listed.solve(demand, self.effort, self.settings.search_nodes, limits)
            if optimum.packing is not None:
                self._show(demand, optimum.packing, limits)
                return True
            if optimum.proven:
                return False
        return self._packed(demand, limits)

    def _packed(self, demand: Ints, limits: Ints) -> bool | None:
        """Answer by (A) and by packings."""
        if (limits == self.problem.limits).all() and self._extended(demand):
            return True
        if self._left <= 0:
            return None
        self._left -= HEURISTIC_PRICE
        shapes = np.flatnonzero(demand)
        part = whole = self._small.under(limits).with_demand(demand).only_shapes(shapes)
        unruled = without_rules(part, self.effort) if part.is_ruled else None
        if part.is_ruled:
            if unruled is None or not unruled.problem.fits.any(axis=1).all():
                return False if aggregated_lp(part, self.effort) is None else None
            part = unruled.problem
        duals = aggregated_lp(part, self.effort)
        if duals is None:
            return None if unruled is not None else False
        packing = self._covered(part, duals)
        for times, q in itertools.product(DEARER_BY_LIMIT, np.flatnonzero(limits < NO_LIMIT).tolist()):
            packing = packing or self._covered(_sparing(part, q, times * duals.usd_per_hour))
        if packing is not None and unruled is not None:
            packing = unruled.joined(packing)
        if packing is None or (unruled is not None and verify(whole, packing)):
            return None
        self._show(demand, _widened(packing, shapes, len(demand)), limits)
        return True

    def _covered(self, part: Problem, duals: Duals | None = None) -> Packing | None:
        """A packing at the prices of (A), filled node by node, else dived for; None where that leads to none."""
        duals = duals or aggregated_lp(part, self.effort)
        if duals is None:
            return None
        pool = PatternPool(len(part.demand))
        pricing = Pricing(
            problem=part, duals=duals, unit_costs=unit_cost(part).min(axis=1), pool=pool, effort=self.effort
        )
        ledger = Ledger.of(part)
        cover(ledger, pricing, Measure.MAX)
        packing = ledger.packing()
        if packing is None and generate(pricing, HEURISTIC_ROUNDS) is not None:
            packing = dive(pricing)
        return packing

    def _extended(self, demand: Ints) -> bool:
        """Whether the packing shown can be extended to `demand`."""
        if self.shown is None:
            return False
        packing = extended(self.problem, self.shown, demand, self._kinds)
        self.shown = self.shown if packing is None else packing
        return packing is not None

    def _show(self, demand: Ints, packing: Packing, limits: Ints) -> None:
        """Keep the packing of the largest demand seen."""
        if (limits != self.problem.limits).any() or not (packing.counts @ packing.patterns == demand).all():
            return
        if self.shown is None or demand.sum() >= (self.shown.counts @ self.shown.patterns).sum():
            rows = zip(self._kinds[packing.kinds], packing.patterns, packing.counts, strict=True)
            self.shown = collected(self.problem, [(int(j), a, int(c)) for j, a, c in rows])


def _sparing(problem: Problem, limit: int, usd_per_hour: float) -> Problem:
    """The problem at prices by which all that a limit leaves costs so much more."""
    each = usd_per_hour * NANOS_PER_USD / max(1, int(problem.limits[limit]))
    dearer = np.minimum(np.rint(problem.price + each * problem.weights[limit]), MOST_NANOS)
    return replace(problem, price=dearer.astype(np.int64))


def extended(problem: Problem, shown: Packing, demand: Ints, kinds: Ints) -> Packing | None:
    """A packing with what is asked beside `shown` in its free room and on nodes of `kinds` bought within the limits."""
    more = demand - shown.counts @ shown.patterns
    if (more < 0).any() or problem.is_ruled or problem.apart:
        return None
    shapes = np.flatnonzero(more)
    if not len(shapes):
        return shown
    bought = len(kinds)
    room = problem.only_kinds(np.concatenate((kinds, shown.kinds)))
    used = np.concatenate((np.zeros((bought, room.capacity.shape[1]), dtype=np.int64), shown.patterns @ room.requests))
    taken = shown.used(problem)[kinds]
    free = np.concatenate((np.zeros(bought), np.ones(len(shown.kinds)))).astype(bool)
    sliced = np.array([bool(room.slicing) and room.slicing[j] is not None for j in range(len(free))])
    room = replace(
        room,
        demand=more,
        capacity=room.capacity - used,
        price=np.where(free, 0, room.price),
        most=np.concatenate((room.most[:bought] - np.where(room.most[:bought] < UNLIMITED, taken, 0), shown.counts)),
        weights=np.where(free, 0, room.weights),
        limits=room.limits - shown.usage(problem),
        admits=room.admits & ~(free & sliced),
    )
    part = room.only_shapes(shapes)
    unit_costs = unit_cost(part).min(axis=1)
    ledger = Ledger.of(part)
    prices = np.where(np.isfinite(unit_costs), np.maximum(unit_costs, 1e-9), 1e-9)
    cover_at(ledger, prices, part.price / NANOS_PER_USD, Measure.MAX, np.arange(len(part.price)))
    packing = ledger.packing()
    return None if packing is None else _merged(problem, shown, _widened(packing, shapes, len(demand)), kinds)


def cut_down(problem: Problem, packing: Packing, demand: Ints) -> Packing:
    """A packing without what it holds beyond `demand`, which it holds; no pods may ask things of others."""
    beyond = packing.counts @ packing.patterns - demand
    nodes: list[tuple[int, Ints, int]] = []
    for kind, pattern, count in zip(packing.kinds, packing.patterns, packing.counts, strict=True):
        left = int(count)
        while left and (pattern * (beyond > 0)).any():
            taken = np.minimum(pattern, beyond)
            nodes.append((int(kind), pattern - taken, 1))
            beyond, left = beyond - taken, left - 1
        nodes.append((int(kind), pattern, left))
    return collected(problem, nodes)


def _merged(problem: Problem, shown: Packing, added: Packing, kinds: Ints) -> Packing:
    """The packing shown with what was added to its nodes (kinds numbered beyond `kinds`) and to new ones."""
    nodes = [
        [int(j), pattern, int(count)]
        for j, pattern, count in zip(shown.kinds, shown.patterns, shown.counts, strict=True)
    ]
    new: list[tuple[int, Ints, int]] = []
    for j, pattern, count in zip(added.kinds.tolist(), added.patterns, added.counts.tolist(), strict=True):
        if j < len(kinds):
            new.append((int(kinds[j]), pattern, count))
        else:
            node = nodes[j - len(kinds)]
            node[2] -= count
            new.append((node[0], node[1] + pattern, count))
    return collected(problem, [(j, pattern, count) for j, pattern, count in nodes] + new)


def _widened(packing: Packing, shapes: Ints, width: int) -> Packing:
    """The packing over all shapes."""
    patterns = np.zeros((len(packing.kinds), width), dtype=np.int64)
    patterns[:, shapes] = packing.patterns
    return Packing(kinds=packing.kinds, patterns=patterns, counts=packing.counts)


def admit(problem: Problem, units: list[Unit], settings: Settings, effort: Effort) -> Admitted:
    """Admit `units` in their order; see the module's docstring for the rule."""
    if problem.is_ruled:
        return _admit_ruled(problem, units, settings, effort)
    existence = Existence(problem, settings, effort)
    times = [0] * len(units)
    limit: list[int | None] = [None] * len(units)
    refused: dict[bytes, int | None] = {}
    demand = np.zeros_like(problem.demand)
    first, run = 0, max(1, len(units) // 2)
    while first < len(units):
        asked = [i for i in range(first, min(first + run, len(units))) if units[i].pods.tobytes() not in refused]
        asked = [i for i in asked if _leader_in(units, times, i, first)]
        together = demand + sum((units[i].pods * units[i].times for i in asked), np.zeros_like(demand))
        if existence.holds(together):
            for i in asked:
                times[i] = units[i].times
            demand, first, run = together, min(first + run, len(units)), run * 2
        elif run > 1:
            run = max(1, min(run, len(units) - first) // 2)
        else:
            unit = units[first]
            times[first] = _most(existence, demand, unit)
            demand = demand + unit.pods * times[first]
            limit[first] = existence.blame(demand + unit.pods)
            while times[first] < unit.times and existence.shows(demand + unit.pods):  # found while asking whom to blame
                times[first] += 1
                demand = demand + unit.pods
            if times[first] < unit.times:
                refused[unit.pods.tobytes()] = limit[first]
            first += 1
    for i, unit in enumerate(units):
        if times[i] < unit.times and limit[i] is None:
            leader = unit.after if unit.after is not None and times[unit.after] < units[unit.after].times else None
            limit[i] = limit[leader] if leader is not None else refused.get(unit.pods.tobytes())
    packing = existence.shown_for(demand)
    return Admitted(times=tuple(times), exact=existence.exact, limit=tuple(limit), packing=packing)


def _admit_ruled(problem: Problem, units: list[Unit], settings: Settings, effort: Effort) -> Admitted:
    """Admit pod by pod, and try those refused again while others are admitted."""
    existence = Existence(problem, settings, effort)
    times = [0] * len(units)
    demand, changed = np.zeros_like(problem.demand), True
    while changed:
        changed = False
        for i, unit in enumerate(units):
            leader = unit.after
            if leader is not None and times[leader] < units[leader].times:
                continue
            while times[i] < unit.times and existence.holds(demand + unit.pods):
                times[i] += 1
                demand = demand + unit.pods
                changed = True
    limit = [existence.blame(demand + unit.pods) if times[i] < unit.times else None for i, unit in enumerate(units)]
    return Admitted(times=tuple(times), exact=existence.exact, limit=tuple(limit), packing=existence.shown)


def _leader_in(units: list[Unit], times: list[int], number: int, first: int) -> bool:
    """Whether the unit that `number` comes after was admitted whole, or is asked about together with it."""
    leader = units[number].after
    return leader is None or leader >= first or times[leader] == units[leader].times


def _most(existence: Existence, demand: Ints, unit: Unit) -> int:
    """How often a unit that does not fit whole can be admitted beside `demand`, by halving."""
    low, high = 0, unit.times
    while high - low > 1:
        middle = (low + high) // 2
        if existence.holds(demand + unit.pods * middle):
            low = middle
        else:
            high = middle
    return low
