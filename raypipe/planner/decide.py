"""Decide for one cluster who goes where: model values to arrays, the packing, and what it came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.catalog import Catalog
from raypipe.model.plan import Scope
from raypipe.model.pods import PodSpec
from raypipe.model.pool import Pool
from raypipe.model.resources import Resources, fits
from raypipe.model.snapshot import ClusterSnapshot, cluster_digest, digest, pool_digest
from raypipe.packing.admission import admit
from raypipe.packing.arrays import Bools
from raypipe.packing.problem import Problem
from raypipe.packing.separate import dedicated, shared
from raypipe.packing.solve import Found, Solved, nobody, solve
from raypipe.packing.solver import Effort
from raypipe.packing.warm import Columns
from raypipe.planner.constraints import Roles
from raypipe.planner.demand import Masks, Shapes, Wanted, pending_demand, resource_names, shapes_of, whole_demand
from raypipe.planner.limits import Limits, limits_of
from raypipe.planner.order import Candidate, candidates
from raypipe.planner.pool import columns_of, pool_of
from raypipe.planner.rooms import Room
from raypipe.planner.supply import Kinds, Supply, kinds_of, supply_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """All that was decided for one cluster, before it is put into words.

    Attributes:
        wanted: who wanted a place. placeable: (W,) whether anything could hold such a pod. shapes: of the placeable.
        number: (W,) number in `shapes.of`, -1 where not placeable.
        admitted: (W,) pods of each that are placed.
        kept_out: for those not admitted, the limit (by number, None: room itself), by number in `wanted`.
        broken: gangs that cannot be placed because of one of their members, with that member's number.
    """

    cluster: ClusterSnapshot
    scope: Scope
    decision_id: str
    supply: Supply
    limits: Limits
    roles: Roles
    wanted: tuple[Wanted, ...]
    shapes: Shapes
    number: tuple[int, ...]
    kinds: Kinds
    solved: Solved
    admitted: tuple[int, ...]
    kept_out: Mapping[int, int | None]
    broken: Mapping[str, int]
    exact: bool
    effort: Effort

    @property
    def pool(self) -> Pool:
        """What the next decision about the cluster may start from."""
        return pool_of(self.solved, self.kinds, self.shapes, self.roles, self.supply.offerings)


def decision_id(
    snapshot: ClusterSnapshot, catalog: Catalog, scope: Scope, fleet_left: Mapping[str, int] | None = None
) -> str:
    """12 hex digits over the digests of what the plan depends on, what is left of the fleet's limits among it."""
    parts: tuple[object, ...] = (
        cluster_digest(snapshot),
        pool_digest(snapshot),
        catalog.digest,
        digest(snapshot.settings),
        scope,
    )
    if fleet_left is not None:
        parts = (*parts, fleet_left)
    return digest(parts).removeprefix("sha256:")[:12]


def decide(
    snapshot: ClusterSnapshot,
    catalog: Catalog,
    *,
    scope: Scope,
    fleet_left: Mapping[str, int] | None = None,
    stop: Callable[[], bool] = lambda: False,
    found: Found = nobody,
) -> Decision:
    """Work out who goes where; `found` is told of each better packing on the way."""
    pending, effort = scope is Scope.PENDING, Effort()
    supply = supply_of(snapshot, catalog)
    wanted = pending_demand(snapshot) if pending else whole_demand(snapshot)
    limits = limits_of(snapshot, supply.nodes if pending else (), supply.offerings, fleet_left)
    fixed = snapshot.bound if pending else ()
    roles = Roles((one.spec for one in wanted), fixed, supply.offerings, supply.nodes, nodes_exist=pending)
    masks = Masks((supply.filters, supply.node_filters), _usable(supply, pending), roles)
    broken = _broken_gangs(snapshot, wanted, masks)
    chosen = [w for w, one in enumerate(wanted) if one.gang not in broken and masks.of(one.spec)[1].any()]
    placeable = [wanted[w] for w in chosen]
    resources = resource_names(placeable)
    shapes = shapes_of(placeable, masks, resources)
    rules = roles.rules(shapes.specs)
    sharing = Sharing(snapshot)
    kinds = kinds_of(supply, shapes, limits, resources, rules, use_nodes=pending, told_apart=sharing.occupancy)
    problem = sharing.problem(kinds, shapes, supply)
    pool = snapshot.pool
    warm = None if pool is None else columns_of(pool, kinds, shapes, roles, supply.offerings)
    solved = solve(problem, snapshot.settings, effort, stop, found=found, warm=warm)
    outcome = _Outcome(solved=solved, admitted=[one.count for one in placeable], kept_out={}, exact=True)
    if solved.packing is None:
        units = candidates(placeable, snapshot.gangs, shapes)
        outcome = _admitted(problem, units, len(placeable), snapshot, effort, stop, warm)
    number = {w: i for i, w in enumerate(chosen)}
    return Decision(
        cluster=snapshot,
        scope=scope,
        decision_id=decision_id(snapshot, catalog, scope, fleet_left),
        supply=supply,
        limits=limits,
        roles=roles,
        wanted=wanted,
        shapes=shapes,
        number=tuple(number.get(w, -1) for w in range(len(wanted))),
        kinds=dataclasses.replace(kinds, problem=problem),
        solved=outcome.solved,
        admitted=tuple(outcome.admitted[number[w]] if w in number else 0 for w in range(len(wanted))),
        kept_out={chosen[i]: limit for i, limit in outcome.kept_out.items()},
        broken=broken,
        exact=outcome.exact,
        effort=effort,
    )


def _usable(supply: Supply, pending: bool) -> Bools:
    """Offerings, then nodes: open nodes where pods are to be placed beside those that are bound, else none."""
    nodes = [pending and room.existing.node.open for room in supply.nodes]
    return np.array([True] * len(supply.offerings) + nodes, dtype=bool)


def _broken_gangs(snapshot: ClusterSnapshot, wanted: Sequence[Wanted], masks: Masks) -> dict[str, int]:
    """Gangs still to be admitted of which one member fits nowhere, with the first such member."""
    broken: dict[str, int] = {}
    starting = {gang.name: gang for gang in snapshot.gangs if gang.copies > 0}
    for w, one in enumerate(wanted):
        gang = starting.get(one.gang or "")
        needed = gang is not None and gang.minimum.get(one.key, 0) > 0
        if needed and one.gang is not None and one.gang not in broken and not masks.of(one.spec)[1].any():
            broken[one.gang] = w
    return broken


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who may share a node with whom, by the cluster's `packing` mode."""

    cluster: ClusterSnapshot

    def occupancy(self, room: Room) -> tuple[bool, bool]:
        """Whether there are pods on an existing node, and whether there are large ones; joint packing does not ask."""
        if self.cluster.packing == "joint":
            return False, False
        specs = [pods.spec for pods in room.bound if pods.counted]
        return bool(specs), any(is_large(spec, self.cluster.dedicated_from) for spec in specs)

    def problem(self, kinds: Kinds, shapes: Shapes, supply: Supply) -> Problem:
        """The problem of `kinds` under the mode."""
        cluster, existing = self.cluster, kinds.offering < 0
        if cluster.packing == "joint":
            return kinds.problem
        occupied = [self.occupancy(supply.nodes[members[0]]) if members else (True, False) for members in kinds.members]
        empty = np.array([not pods for pods, _ in occupied], dtype=bool)
        if cluster.packing == "dedicated":
            return dedicated(kinds.problem, existing, empty)
        large = np.array([is_large(spec, cluster.dedicated_from) for spec in shapes.specs], dtype=bool)
        holds_large = np.array([large for _, large in occupied], dtype=bool)
        sized = [j >= 0 and fits(cluster.shared_node, supply.offerings[j].capacity) for j in kinds.offering]
        return shared(kinds.problem, large, np.array(sized, dtype=bool), existing, empty, holds_large)


def is_large(spec: PodSpec, dedicated_from: Resources) -> bool:
    """Whether a pod gets a node of its own with `packing: shared`."""
    if spec.wants_gpu or spec.instance_annotation:
        return True
    return any(spec.requests.get(name, 0) >= amount for name, amount in dedicated_from.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """Who was admitted (pods of each placeable), what kept the others out, and the packing."""

    solved: Solved
    admitted: list[int]
    kept_out: dict[int, int | None]
    exact: bool


def _admitted(
    problem: Problem,
    units: Sequence[Candidate],
    placeable: int,
    snapshot: ClusterSnapshot,
    effort: Effort,
    stop: Callable[[], bool],
    warm: Columns | None,
) -> _Outcome:
    """Go through the order of admission, then pack those admitted at least cost."""
    outcome = admit(problem, [one.unit for one in units], snapshot.settings, effort)
    admitted, kept_out = [0] * placeable, dict[int, int | None]()
    demand = np.zeros_like(problem.demand)
    for one, times, limit in zip(units, outcome.times, outcome.limit, strict=True):
        demand = demand + one.unit.pods * times
        for number, count in one.pods.items():
            admitted[number] += count * times
            if times < one.unit.times:
                kept_out.setdefault(number, limit)
    reduced = problem.with_demand(demand)
    known = outcome.packing
    if known is not None and (known.counts @ known.patterns != demand).any():
        known = None
    solved = solve(reduced, snapshot.settings, effort, stop, known, warm=warm)
    return _Outcome(solved=solved, admitted=admitted, kept_out=kept_out, exact=outcome.exact)
