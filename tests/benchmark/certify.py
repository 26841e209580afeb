"""The best bound that minutes of work prove for one instance: (B) with exact pricing, then (A') with what (B) proved.

``python -m tests.benchmark --certify --rows services-1000 --seeds 5`` proves what is missing and keeps it in
``certificates.json``, by the digest of the question (`World.digest`): a changed price, size or filter asks anew.

(B): min Σ c_j y_jp; Σ a_pk y_jp >= n_k over all fillings p of a node of kind j. Its columns come from filling nodes by
price, at last from knapsacks solved exactly. Farley's bound: with prices π of pods and UB_j the proven upper bound of
the knapsack over a node of kind j, no plan costs less than t · Σ π_k n_k for t = min(1, min_j c_j / UB_j). A knapsack
whose LP is worth no more than the node costs needs no search. The bound is valid after every round, so that a stop by
the clock leaves one. Caps a node are kept; zones are left out.

(A') with whole numbers of nodes y_j then takes over the knapsacks: no node is worth more than UB_j at π, so
Σ_k π_k x_kj <= UB_j y_j holds in every plan, and lifts (A) to (B) before whole nodes are asked for. Found while
certifying: at 100 pods that stands far above both alone.

`raypipe plan --certify` is asked as well, and the better of the two is kept with the name of what proved it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import highspy
import numpy as np

from raypipe.model.plan import ClusterPlan
from tests.benchmark.aggregated import Worth, aggregated, quiet_solver
from tests.benchmark.world import Bools, Floats, Ints, World, undominated

FILE = Path(__file__).with_name("certificates.json")
FILL_ROUNDS, BEGUN = 80, 300
"""Rounds of filling alone; most columns of begun nodes that are added in one round."""
CUTS = 4
"""Rounds of (B), the last that raised the bound, whose knapsacks strengthen (A')."""
MILP_PODS, MILP_SECONDS = 2_000, 120.0
"""Whole numbers of nodes matter, and can be searched, where there are few."""
KNAPSACK_SECONDS = 10.0
SCALE = 1000.0
"""Prices of pods are cents and less; a knapsack's tolerances are absolute."""
CLOSED = 1e-5
"""Relative distance of bound and LP at which (B) has nothing more to give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was proven of an instance, $/h.

    Attributes:
        instance: its name, for the reader; the digest is what counts.
        usd_per_hour: no plan costs less. kind: how that was proven.
        aggregated: (A). pattern_lp: (B) with the columns known in the end: no better bound can come from (B) itself.
            Both are None beside existing nodes, of which this module knows nothing.
        proven: the day. prover: this module, or `raypipe plan --certify`, the better one.
    """

    instance: str
    usd_per_hour: float
    kind: str
    aggregated: float | None
    pattern_lp: float | None
    proven: str
    prover: str = "tests.benchmark.certify"

    def or_better(self, plan: ClusterPlan) -> Certificate:
        """The bound that a certified plan of the instance states, where it is better than this one."""
        bound = plan.bought.lower_bound
        if plan.bound is None or plan.unplaced or bound <= self.usd_per_hour:
            return self
        today = date.today().isoformat()
        return replace(self, usd_per_hour=bound, kind=plan.bound.kind, proven=today, prover="raypipe plan --certify")


def known(file: Path = FILE) -> dict[str, Certificate]:
    """The certificates kept, by digest."""
    kept = json.loads(file.read_text())["bounds"]
    return {digest: Certificate(**one) for digest, one in kept.items()}


def keep(digest: str, certificate: Certificate, file: Path = FILE) -> None:
    """Keep a certificate, unless a better one is there."""
    content = json.loads(file.read_text())
    before = content["bounds"].get(digest)
    if before is None or before["usd_per_hour"] < certificate.usd_per_hour:
        content["bounds"][digest] = asdict(certificate)
        content["bounds"] = dict(sorted(content["bounds"].items(), key=lambda item: (item[1]["instance"], item[0])))
        file.write_text(json.dumps(content, indent=1) + "\n")


def nothing(instance: str) -> Certificate:
    """The certificate that proves nothing yet: every bound is better."""
    today = date.today().isoformat()
    return Certificate(instance=instance, usd_per_hour=0.0, kind="none", aggregated=None, pattern_lp=None, proven=today)


def certify(instance: str, world: World, seconds: float, tell: Callable[[str], None]) -> Certificate:
    """Prove the best bound that (A), (A') and `seconds` of (B) give."""
    world = world.only_kinds(undominated(world))
    lowest = aggregated(world)
    found = {"aggregated-lp": lowest.usd_per_hour}
    found["pattern-lp"], value, cuts = pattern_bound(world, lowest.pods, seconds, tell)
    if world.demand.sum() <= MILP_PODS:
        found["aggregated-milp"] = aggregated(world, seconds=MILP_SECONDS, cuts=cuts).usd_per_hour
    tell(f"(A) {lowest.usd_per_hour:.4f}; " + ", ".join(f"{name} {bound:.4f}" for name, bound in found.items()))
    kind = max(found, key=lambda name: found[name])
    return Certificate(
        instance=instance,
        usd_per_hour=round(found[kind] * (1 - 1e-9), 9),
        kind=kind,
        aggregated=round(lowest.usd_per_hour, 9),
        pattern_lp=round(value, 9),
        proven=date.today().isoformat(),
    )


def pattern_bound(
    world: World, prices: Floats, seconds: float, tell: Callable[[str], None]
) -> tuple[float, float, list[Worth]]:
    """Farley's bound after at most `seconds`, the value of (B) over the columns found, $/h, and what it rests on.

    prices: those of (A), (K,), from which columns are made at first.
    """
    deadline, master = time.monotonic() + seconds, Master(world)
    master.add_fillings(prices, prices)
    for _ in range(FILL_ROUNDS):
        value, duals = master.solve()
        if time.monotonic() > deadline or not master.add_fillings((duals + prices) / 2, duals):
            break
    best, centre, stay, cuts = 0.0, prices, 0.4, list[Worth]()
    while True:
        value, duals = master.solve()
        asked = stay * centre + (1 - stay) * duals
        worth, new = master.price_exactly(asked, duals)
        new += master.add_begun(np.flatnonzero(worth > world.price), duals, duals)
        scale = min(1.0, float((world.price[worth > 0] / worth[worth > 0]).min(initial=np.inf)))
        bound = scale * float(asked @ world.demand)
        if bound > best:
            best, centre = bound, scale * asked
            cuts.append(Worth(prices=asked, most=worth))
        tell(f"(B) {value:.4f} with {master.size} columns, {new} of them new; bound {best:.4f} $/h")
        if best >= value * (1 - CLOSED) or (not new and stay == 0) or time.monotonic() > deadline:
            return best, value, cuts[-CUTS:]
        stay = stay if new else 0.0


class Master:
    """(B) over the columns known so far."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._fits = world.fits
        self._solver = quiet_solver()
        self._known: set[tuple[int, bytes]] = set()
        infinity, none = highspy.kHighsInf, np.zeros(0, dtype=np.int32)
        shapes = len(world.demand)
        self._solver.addRows(shapes, world.demand.astype(float), np.full(shapes, infinity), 0, none, none, np.zeros(0))

    @property
    def size(self) -> int:
        """How many columns there are."""
        return len(self._known)

    def add(self, kind: int, pattern: Ints) -> bool:
        """Add a column; False where it is known."""
        mark = (kind, pattern.tobytes())
        if mark in self._known or not pattern.any():
            return False
        self._known.add(mark)
        rows = np.flatnonzero(pattern).astype(np.int32)
        price = float(self._world.price[kind])
        self._solver.addCol(price, 0.0, highspy.kHighsInf, len(rows), rows, pattern[rows].astype(float))
        return True

    def add_begun(self, kinds: Ints, prices: Floats, duals: Floats) -> int:
        """Fill nodes of `kinds` that begin with one pod of each shape, and add the best; as `add_fillings`."""
        rows, shapes = np.nonzero(self._fits[:, kinds].T & (prices > 0))
        patterns = np.zeros((len(rows), len(prices)), dtype=np.int64)
        patterns[np.arange(len(rows)), shapes] = 1
        patterns = fillings(self._world, self._fits, prices, kinds[rows], patterns)
        gain = patterns @ duals - self._world.price[kinds[rows]]
        best = np.argsort(-gain, kind="stable")[:BEGUN]
        return sum(self.add(int(kinds[rows[i]]), patterns[i]) for i in best[gain[best] > 1e-9])

    def add_fillings(self, prices: Floats, duals: Floats) -> int:
        """Fill every kind by `prices`; add what is worth more than its node at the master's own prices."""
        every = np.arange(len(self._world.price))
        nothing = np.zeros((len(every), len(prices)), dtype=np.int64)
        patterns = fillings(self._world, self._fits, prices, every, nothing)
        worth = patterns @ duals > self._world.price + 1e-9
        if not self._known:  # the master needs columns for every pod
            worth[:] = True
        added = sum(self.add(int(j), patterns[j]) for j in np.flatnonzero(worth))
        return added + (self._cover() if added == self.size else 0)

    def _cover(self) -> int:
        """A column for each shape by itself, on the kind where one pod costs least."""
        added = 0
        for k in range(len(self._world.demand)):
            copies = _copies(self._world, k, self._world.capacity) * self._fits[k]
            unit = np.where(copies > 0, self._world.price / np.maximum(1, copies), np.inf)
            kind = int(unit.argmin())
            pattern = np.zeros(len(self._world.demand), dtype=np.int64)
            pattern[k] = copies[kind]
            added += self.add(kind, pattern)
        return added

    def solve(self) -> tuple[float, Floats]:
        """The value of the LP and the price of a pod of each shape."""
        self._solver.run()
        if self._solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise ValueError(f"the master was not solved: {self._solver.getModelStatus()}")
        duals = np.maximum(0.0, np.array(self._solver.getSolution().row_dual))
        return float(self._solver.getObjectiveValue()), duals

    def price_exactly(self, prices: Floats, duals: Floats) -> tuple[Floats, int]:
        """What a node of each kind is worth at most at `prices`, (J,), and how many columns that gave."""
        worth, new = np.zeros(len(self._world.price)), 0
        for kind in range(len(worth)):
            pattern, worth[kind] = knapsack(self._world, self._fits[:, kind], kind, prices)
            if pattern is not None and pattern @ duals > self._world.price[kind] + 1e-9:
                new += self.add(kind, pattern)
        return worth, new


def knapsack(world: World, fits: Bools, kind: int, prices: Floats) -> tuple[Ints | None, float]:
    """The best filling of a node, None where it cannot be worth its price, and a proven bound on what any is worth."""
    shapes = np.flatnonzero(fits & (prices > 1e-12))
    count, solver = len(shapes), quiet_solver()
    if not count:
        return None, 0.0
    numbers = np.arange(count, dtype=np.int32)
    solver.setOptionValue("presolve", "off")
    solver.addVars(count, np.zeros(count), np.minimum(world.demand, world.most)[shapes].astype(float))
    solver.changeColsCost(count, numbers, -prices[shapes] * SCALE)
    for r in range(world.requests.shape[1]):
        share = world.requests[shapes, r] / max(1, world.capacity[kind, r])
        solver.addRow(-highspy.kHighsInf, 1.0, count, numbers, share)
    solver.run()
    relaxed = -float(solver.getObjectiveValue()) / SCALE
    if relaxed <= world.price[kind]:
        return None, relaxed
    solver.setOptionValue("presolve", "on")  # the search needs it: nodes of few large pods take a twentieth of the time
    solver.setOptionValue("mip_rel_gap", 1e-5)
    solver.setOptionValue("time_limit", KNAPSACK_SECONDS)
    solver.changeColsIntegrality(count, numbers, np.full(count, highspy.HighsVarType.kInteger))
    solver.run()
    pattern = np.zeros(len(prices), dtype=np.int64)
    pattern[shapes] = np.rint(np.array(solver.getSolution().col_value)).astype(np.int64)
    return pattern, min(relaxed, -float(solver.getInfo().mip_dual_bound) / SCALE)


def _copies(world: World, shape: int, free: Ints) -> Ints:
    """How many pods of a shape fit into free room, (J, R) to (J,)."""
    asked = world.requests[shape] > 0
    most = min(int(world.most[shape]), int(world.demand[shape]))
    copies: Ints = np.minimum((free[:, asked] // world.requests[shape, asked]).min(axis=1), most)
    return copies


def fillings(world: World, fits: Bools, prices: Floats, kinds: Ints, begun: Ints) -> Ints:
    """Nodes of `kinds` (P,) with the pods `begun` (P, K) filled up by price: always with the shape worth most for the
    scarcest share it takes.
    """
    patterns = begun.copy()
    free = world.capacity[kinds] - begun @ world.requests
    left = np.minimum(world.demand, world.most)[None, :] * fits[:, kinds].T - begun
    while True:
        room = np.maximum(free, 1)
        share = (world.requests[None, :, :] / room[:, None, :]).max(axis=2)
        density = np.where((left > 0) & (share <= 1), prices[None, :] / share, 0.0)
        chosen = density.argmax(axis=1)
        going = np.flatnonzero(density[np.arange(len(kinds)), chosen] > 0)
        if not len(going):
            return patterns
        k = chosen[going]
        with np.errstate(divide="ignore"):
            fit = np.where(world.requests[k] > 0, free[going] // np.maximum(1, world.requests[k]), np.inf)
        most = np.minimum(fit.min(axis=1), left[going, k]).astype(np.int64)
        added = np.maximum(np.minimum(1, most), most // 3)
        left[going, k] = np.where(added > 0, left[going, k] - added, 0)
        patterns[going, k] += added
        free[going] -= added[:, None] * world.requests[k]
