"""Rules within domains, brought down to a problem without them: how many pods of each shape go to which cell.

A *cell* is a set of kinds that lie in the same domain of every rule (a zone, as a rule). With n_kc pods of shape k in
cell c, t_d = base_d + Σ_{k member, c in d} n_kc and o_d = 1 where d gets an owner, each rule is linear in n and o::

    spread      t_d − m <= most + B (1 − o_d),   m <= t_e for every eligible e          (m = 0 where the floor is 0)
    apart       Σ_{k member, c in d} n_kc <= most + B (1 − o_d)
    together    o_d <= base_d + Σ_{k member and no owner, c in d} n_kc + s_d,   Σ_d s_d <= seed,
                s_d <= Σ_{k both, c in d} n_kc
    all         Σ_{k owner, c in d} n_kc <= B o_d

What is wished within domains (`raypipe.packing.wishes`) is stated the same way, with u_d the owners in d that miss it,
each at the wish's price, o'_d the owners themselves and a choice z_d::

    apart       t_d − own <= B z_d,            o'_d − u_d <= B (1 − z_d)
    together    (1 + own) h_d <= t_d,          o'_d − u_d <= B h_d
    spread      t_d − m − u_d <= most + B (1 − z_d),   o'_d − u_d <= B z_d,   m <= t_e for every eligible e

`rows_of` states them once, for two models: `exact` puts them under the MILP over all fillings of a small problem, where
n_kc = Σ a_pk y_p; and `assigned` chooses n beforehand for a larger one, at the least price of a place in each cell and
within the free room of nodes that exist. `split` then makes of each shape one for every cell that it goes to, and what
packs the result knows of no rule. Bounds are those of the problem without domain rules, so they stay bounds.

Refused: rows of the rules in the pattern LP (a pattern's pods would have to be told apart by cell all the same).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.bound import unit_cost
from raypipe.packing.problem import UNLIMITED, Packing, Problem
from raypipe.packing.rules import Beside, DomainRule, Form
from raypipe.packing.solver import Effort, Model
from raypipe.packing.wishes import DomainWish
from raypipe.quantities import NANOS_PER_USD

ASSIGN_NODES = 200
"""Search nodes of the MILP that assigns pods to cells."""
FIRST_CELL = 1e-7
"""$/h by which a cell is dearer than the one before it, so that pods without a reason to part stay together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Σ pods (K, C) · n + Σ aux · v <= most."""

    pods: Floats
    aux: Mapping[str, float]
    most: float


@dataclass(slots=True)
class _Rows:
    """Rows being written, over pods of the given shape (K, C)."""

    shape: tuple[int, int]
    rows: list[Row] = field(default_factory=list)

    def add(self, parts: Mapping[str, float], most: float, *pods: tuple[float, Floats]) -> None:
        total = sum((factor * one for factor, one in pods), np.zeros(self.shape))
        self.rows.append(Row(pods=total, aux=parts, most=most))


def cells_of(problem: Problem) -> int:
    """How many cells there are."""
    return int(problem.cell.max(initial=0)) + 1


def rows_of(problem: Problem) -> list[Row]:
    """The rules of `problem` for its demand, as rows over n (K, C) and named whole variables."""
    rows = _Rows((len(problem.demand), cells_of(problem)))
    for number, rule in enumerate(problem.domains):
        _rule_rows(rows, problem, rule, f"r{number}")
    for number, one in enumerate(problem.domain_wishes):
        _wish_rows(rows, problem, one, f"w{number}")
    return rows.rows


def _rule_rows(rows: _Rows, problem: Problem, rule: DomainRule, name: str) -> None:
    big = float(problem.demand.sum() + rule.base.sum() + rule.most)
    within = {d: _cells_in(problem, rule, d) for d in range(len(rule.base))}
    pods = {d: (rule.members[:, None] & cells[None, :]).astype(np.float64) for d, cells in within.items()}
    least = f"{name}m"
    for d, cells in within.items():
        asked = f"{name}o{d}"
        owners = (rule.owners[:, None] & cells[None, :]).astype(np.float64)
        if rule.form is Form.SPREAD and not rule.floor_zero and rule.eligible[d]:
            rows.add({least: 1.0}, float(rule.base[d]), (-1.0, pods[d]))
        if not owners.any():
            continue
        rows.add({asked: -big}, 0.0, (1.0, owners))
        if rule.form is Form.SPREAD:
            floor = {} if rule.floor_zero else {least: -1.0}
            rows.add({asked: big, **floor}, rule.most + big - float(rule.base[d]), (1.0, pods[d]))
        elif rule.form is Form.APART:
            rows.add({asked: big}, rule.most + big, (1.0, pods[d]))
        else:
            others = (rule.members & ~rule.owners)[:, None] & cells[None, :]
            both = (rule.members & rule.owners)[:, None] & cells[None, :]
            rows.add({asked: 1.0, f"{name}s{d}": -1.0}, float(rule.base[d]), (-1.0, others.astype(np.float64)))
            rows.add({f"{name}s{d}": 1.0}, 0.0, (-1.0, both.astype(np.float64)))
    if rule.form is Form.TOGETHER:
        rows.add({f"{name}s{d}": 1.0 for d in within}, float(rule.seed))


def _wish_rows(rows: _Rows, problem: Problem, one: DomainWish, name: str) -> None:
    wish, big = one.wish, float(problem.demand.sum() + one.base.sum() + one.wish.most + 1)
    least = f"{name}m"
    for d in range(len(one.base)):
        cells, base = _cells_in(problem, one, d), float(one.base[d])
        owners = (wish.owners[:, None] & cells[None, :]).astype(np.float64)
        pods = (wish.members[:, None] & cells[None, :]).astype(np.float64)
        if wish.form is Form.SPREAD and not one.floor_zero and one.eligible[d]:
            rows.add({least: 1.0}, base, (-1.0, pods))
        if not owners.any():
            continue
        missed, choice = f"{name}u{d}", f"{name}o{d}"
        if wish.form is Form.APART:
            rows.add({choice: -big}, int(wish.own) - base, (1.0, pods))
            rows.add({missed: -1.0, choice: big}, big, (1.0, owners))
        elif wish.form is Form.TOGETHER:
            rows.add({choice: 1.0 + int(wish.own)}, base, (-1.0, pods))
            rows.add({missed: -1.0, choice: -big}, 0.0, (1.0, owners))
        else:
            floor = {} if one.floor_zero or not one.eligible.any() else {least: -1.0}
            rows.add({missed: -1.0, choice: big, **floor}, wish.most + big - base, (1.0, pods))
            rows.add({missed: -1.0, choice: -big}, 0.0, (1.0, owners))


def _cells_in(problem: Problem, rule: DomainRule | DomainWish, domain: int) -> Bools:
    """Which cells lie in a domain of a rule, (C,)."""
    inside: Bools = np.zeros(cells_of(problem), dtype=bool)
    inside[problem.cell[rule.domain == domain]] = True
    return inside


def _entries(rows: list[Row], shape: int, cell: int, first: int) -> dict[int, float]:
    """Coefficients of a pod of `shape` in `cell`, by row number from `first` on."""
    return {first + i: float(row.pods[shape, cell]) for i, row in enumerate(rows) if row.pods[shape, cell]}


def aux_limits(problem: Problem, rows: list[Row]) -> dict[str, float]:
    """The variables of the rows and their largest values: 1 for choices, all pods for minima and for pods that miss."""
    names = sorted({name for row in rows for name in row.aux})
    bound = [rule.base.max(initial=0) for rule in problem.domains]
    bound += [one.base.max(initial=0) for one in problem.domain_wishes]
    pods = float(problem.demand.sum() + max(bound, default=0))
    return {name: pods if name.endswith("m") or "u" in name else 1.0 for name in names}


def wish_costs(problem: Problem, names: Iterable[str]) -> dict[str, float]:
    """What the variables that count pods that miss a wish cost, $/h."""
    usd = {f"w{number}": one.wish.usd_nanos / NANOS_PER_USD for number, one in enumerate(problem.domain_wishes)}
    return {name: usd[wish] for name in names for wish, counts, _ in (name.partition("u"),) if counts}


def assigned(problem: Problem, effort: Effort) -> Ints | None:
    """Pods of each shape in each cell, (K, C), by a MILP; None where there is no such assignment.

    z_kc pods on bought nodes cost their least unit cost in the cell; x_ke pods on existing kinds cost nothing and stay
    within their room.
    """
    rows = rows_of(problem)
    cells, shapes = cells_of(problem), len(problem.demand)
    costs = np.full((shapes, cells), np.inf)
    units, endless = unit_cost(problem), problem.most >= UNLIMITED
    if problem.penalty.size:
        units = units + problem.penalty / NANOS_PER_USD
    for c in range(cells):
        here = np.flatnonzero((problem.cell == c) & endless)
        costs[:, c] = units[:, here].min(axis=1, initial=np.inf)
    scarce = np.flatnonzero(~endless & problem.fits.any(axis=0))
    needed = [(e, r) for e in scarce for r in np.flatnonzero(problem.requests[problem.fits[:, e]].any(axis=0)).tolist()]
    model = Model(effort, integer=True)
    model.cover(problem.demand, "pods")
    model.keep_under(problem.demand, "exactly")
    model.keep_under([row.most for row in rows], "rule")
    room = 2 * shapes + len(rows)
    room_row = {pair: room + i for i, pair in enumerate(needed)}
    model.keep_under([float(problem.most[e]) for e, _ in needed], "room")
    columns: list[tuple[int, int]] = []
    for k in range(shapes):
        base = {k: 1.0, shapes + k: 1.0}
        ruled = [_entries(rows, k, c, 2 * shapes) for c in range(cells)]
        for c in np.flatnonzero(np.isfinite(costs[k])).tolist():
            model.column(float(costs[k, c]) + FIRST_CELL * c, base | ruled[c])
            columns.append((k, c))
        for e in scarce[problem.fits[k, scarce]].tolist():
            c = int(problem.cell[e])
            need = problem.requests[k]
            taken = {room_row[e, r]: need[r] / max(1, problem.capacity[e, r]) for r in np.flatnonzero(need).tolist()}
            model.column(float(units[k, e]), base | ruled[c] | taken)
            columns.append((k, c))
    limits = aux_limits(problem, rows)
    for name, most in limits.items():
        model.column(0.0, {2 * shapes + i: row.aux[name] for i, row in enumerate(rows) if name in row.aux}, most)
    solution = model.solve(ASSIGN_NODES)
    if solution is None:
        return None
    result = np.zeros((shapes, cells), dtype=np.int64)
    for (k, c), value in zip(columns, np.rint(solution.values[: len(columns)]).astype(np.int64), strict=True):
        result[k, c] += value
    return result if (result.sum(axis=1) == problem.demand).all() else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unruled:
    """A problem without rules across nodes, and what its shapes are made of: `holds` (K', K) pods of the other one."""

    problem: Problem
    holds: Ints

    def joined(self, packing: Packing) -> Packing:
        """A packing of it as one of the problem with rules."""
        return Packing(kinds=packing.kinds, patterns=packing.patterns @ self.holds, counts=packing.counts)


def without_rules(problem: Problem, effort: Effort) -> Unruled | None:
    """Bundle pods that must share nodes, deal the others to cells; None where no way to do so was found."""
    bundled = bundle(problem)
    if bundled is None or not bundled.problem.domains:
        return bundled
    cells = assigned(bundled.problem, effort)
    if cells is None:
        return None
    parted = split(bundled.problem, cells)
    return Unruled(problem=parted.problem, holds=parted.holds @ bundled.holds)


def split(problem: Problem, cells: Ints) -> Unruled:
    """Tell the shapes that some domain rule speaks of apart by cell, as `cells` (K, C) says."""
    ruled = np.any([rule.owners | rule.members for rule in problem.domains], axis=0)
    parts = list(_parts(problem, cells, ruled))
    of = np.array([k for k, _, _ in parts], dtype=np.int64)
    admits = problem.admits[of].copy()
    for i, (_, cell, _) in enumerate(parts):
        if cell is not None:
            admits[i] &= problem.cell == cell
    demand = np.array([count for _, _, count in parts], dtype=np.int64)
    made = replace(problem.only_shapes(of), demand=demand, admits=admits, domains=())
    return Unruled(problem=made, holds=np.eye(len(problem.demand), dtype=np.int64)[of])


def _parts(problem: Problem, cells: Ints, ruled: Bools) -> Iterator[tuple[int, int | None, int]]:
    for k, demand in enumerate(problem.demand.tolist()):
        if not ruled[k]:
            yield k, None, demand
            continue
        for c in np.flatnonzero(cells[k]).tolist():
            yield k, c, int(cells[k, c])


def bundle(problem: Problem) -> Unruled | None:
    """Pods that must stand beside others, tied to them: one shape for each bundle.

    Owners without members of their own are one bundle, as large as all of them; others are dealt evenly to the members
    that are no owners. Where a bound pod holds some node, owners go there alone. Bundles count as one pod in rules of
    domains, which is exact for spread over one pod a bundle and is checked in the end for the rest. What pods wish of
    others on their node is not looked at where there are bundles.
    """
    bundles = _Bundles(problem)
    for rule in problem.beside:
        if not bundles.tie(rule):
            return None
    return bundles.tied()


class _Bundles:
    """Shapes as they are tied together: what is left of each, then the bundles with their pods and number."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._left, self._admits = problem.demand.copy(), problem.admits.copy()
        self._bundles: list[tuple[Ints, int]] = []

    def tie(self, rule: Beside) -> bool:
        """Tie the pods of one rule; False where this way of doing it has no answer."""
        owners = rule.owners & (self._left > 0)
        if rule.held.any():
            self._admits[owners] &= rule.held
            return True
        loose: Ints = self._left * owners
        if not loose.any():
            return True
        members = np.flatnonzero(rule.members & ~rule.owners & (self._left > 0))
        if not len(members):
            begins = rule.seed and bool((rule.members & owners).any())
            self._add(loose, 1)
            return begins
        member = int(members[np.argmax(self._left[members])])
        count = int(self._left[member])
        unit = np.zeros_like(loose)
        unit[member] = 1
        rest = loose % count
        for low, high in itertools.pairwise(np.unique(np.concatenate(([0, count], rest))).tolist()):
            self._add(unit + loose // count + (rest > low), high - low)
        return True

    def _add(self, pods: Ints, times: int) -> None:
        self._left = self._left - pods * times
        self._bundles.append((pods, times))

    def tied(self) -> Unruled:
        problem = self._problem
        kept = np.flatnonzero(self._left)
        alone = np.eye(len(problem.demand), dtype=np.int64)[kept]
        holds: Ints = np.vstack((alone, *(pods for pods, _ in self._bundles))) if self._bundles else alone
        together = [np.all(self._admits[pods > 0], axis=0, keepdims=True) for pods, _ in self._bundles]

        def having(shapes: Bools) -> Bools:
            return np.asarray(holds @ shapes.astype(np.int64) > 0, dtype=np.bool_)

        made = replace(
            problem,
            demand=np.concatenate((self._left[kept], [times for _, times in self._bundles])).astype(np.int64),
            requests=holds @ problem.requests,
            admits=np.concatenate((self._admits[kept], *together)),
            slice_use=problem.slice_use[holds.argmax(axis=1)] if len(problem.slice_use) else problem.slice_use,
            apart=tuple(replace(one, owners=having(one.owners), members=having(one.members)) for one in problem.apart),
            beside=(),
            domains=tuple(
                replace(one, owners=having(one.owners), members=having(one.members)) for one in problem.domains
            ),
            penalty=holds @ problem.penalty if problem.penalty.size else problem.penalty,
            wishes=() if self._bundles else tuple(one.only_shapes(kept) for one in problem.wishes),
        )
        return Unruled(problem=made, holds=holds)
