"""What is asked about one cluster, in arrays: who wants a place, where there is some, and within which limits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raypipe.catalog import Catalog, one_buyer
from raypipe.disruption import announced, as_left
from raypipe.disruption.under_use import is_large
from raypipe.model.alternatives import Alternatives, Division
from raypipe.model.plan import Relaxed, Scope
from raypipe.model.pods import PodSpec
from raypipe.model.resources import fits
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.arrays import Bools
from raypipe.packing.problem import Problem
from raypipe.packing.separate import dedicated, shared
from raypipe.packing.warm import Columns
from raypipe.planner.alternatives import as_divided, divided, free_sets, with_members
from raypipe.planner.constraints import Roles
from raypipe.planner.demand import (
    Masks,
    Shapes,
    Wanted,
    demand_of,
    pending_demand,
    resource_names,
    shapes_of,
    whole_demand,
)
from raypipe.planner.limits import Limits, limits_of
from raypipe.planner.order import Candidate, candidates
from raypipe.planner.pool import columns_of
from raypipe.planner.relaxation import relaxed
from raypipe.planner.rooms import Room
from raypipe.planner.supply import Kinds, Supply, kinds_of, supply_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """One cluster before its decision.

    Attributes:
        wanted: who wants a place. chosen: numbers in it of those that something could hold. shapes: of those.
        kinds: where they may go. problem: that of `kinds` under the cluster's packing mode.
        warm: what the cluster's pattern pool knows of it. broken: gangs with a member that fits nowhere, by number.
        free: sets of worker groups whose division can be chosen; `wanted` has them as they stand.
        relaxed: what was given up for pods that fit nothing; `wanted` has them without it.
    """

    cluster: ClusterSnapshot
    scope: Scope
    supply: Supply
    limits: Limits
    roles: Roles
    wanted: tuple[Wanted, ...]
    chosen: tuple[int, ...]
    shapes: Shapes
    kinds: Kinds
    problem: Problem
    warm: Columns | None
    broken: Mapping[str, int]
    free: tuple[Alternatives, ...] = ()
    relaxed: tuple[Relaxed, ...] = ()

    @property
    def placeable(self) -> list[Wanted]:
        """Those that something could hold."""
        return [self.wanted[w] for w in self.chosen]

    def units(self) -> list[Candidate]:
        """The placeable in the order in which they are admitted."""
        return candidates(self.placeable, self.cluster.gangs, self.shapes)

    def divided(self, division: Division) -> Question:
        """The question as if free sets stood divided so."""
        wanted = as_divided(self.wanted, self.free, division)
        demand = demand_of(self.shapes, [wanted[w] for w in self.chosen])
        return replace(
            self,
            cluster=divided(self.cluster, division),
            wanted=wanted,
            shapes=replace(self.shapes, demand=demand),
            problem=self.problem.with_demand(demand),
        )


def question_of(
    snapshot: ClusterSnapshot,
    catalog: Catalog,
    *,
    scope: Scope,
    fleet_left: Mapping[str, int] | None = None,
    divisible: bool = True,
    removed: Collection[str] | None = None,
) -> Question:
    """Bring a cluster's snapshot and its market down to arrays; not `divisible`: sets of groups are as they stand.

    removed: nodes that are given back; None: those of which that is announced.
    """
    pending = scope is Scope.PENDING
    if pending:
        removed = announced(snapshot) if removed is None else removed
        snapshot = as_left(one_buyer(snapshot, catalog), removed)
    supply = supply_of(snapshot, catalog)
    wanted = with_members(pending_demand(snapshot) if pending else whole_demand(snapshot), snapshot.alternatives)
    usable = usable_places(supply, pending)
    wanted, given_up = relaxed(wanted, snapshot.alternatives, snapshot.settings.relax, _holding(supply, usable))
    limits = limits_of(snapshot, supply.nodes if pending else (), supply.offerings, fleet_left, anew=not pending)
    fixed = snapshot.bound if pending else ()
    roles = Roles(
        (one.spec for one in wanted),
        fixed,
        supply.offerings,
        supply.nodes,
        nodes_exist=pending,
        daemonsets=snapshot.daemonsets,
    )
    masks = Masks((supply.filters, supply.node_filters), usable, roles)
    free: tuple[Alternatives, ...] = ()
    if divisible:
        free = free_sets(snapshot, masks, lambda members: _broken_gangs(snapshot, wanted, masks, members))
    broken = _broken_gangs(snapshot, wanted, masks, frozenset(group.pods for one in free for group in one.groups))
    chosen = [w for w, one in enumerate(wanted) if one.gang not in broken and masks.of(one.spec)[1].any()]
    placeable = [wanted[w] for w in chosen]
    resources = resource_names(placeable)
    shapes = shapes_of(placeable, masks, resources)
    rules = roles.rules(shapes.specs)
    sharing = Sharing(snapshot)
    kinds = kinds_of(supply, shapes, limits, resources, rules, use_nodes=pending, told_apart=sharing.occupancy)
    pool = snapshot.pool
    return Question(
        cluster=snapshot,
        scope=scope,
        supply=supply,
        limits=limits,
        roles=roles,
        wanted=wanted,
        chosen=tuple(chosen),
        shapes=shapes,
        kinds=kinds,
        problem=sharing.problem(kinds, shapes, supply),
        warm=None if pool is None else columns_of(pool, kinds, shapes, roles, supply.offerings),
        broken=broken,
        free=free,
        relaxed=given_up,
    )


def _holding(supply: Supply, usable: Bools) -> Callable[[PodSpec], bool]:
    """Says of a pod whether anything that is usable holds it, other pods apart."""
    filters = (supply.filters, supply.node_filters)
    return lambda spec: bool((np.concatenate([one.mask(spec) for one in filters]) & usable).any())


def usable_places(supply: Supply, pending: bool) -> Bools:
    """Offerings, then nodes: open nodes where pods are to be placed beside those that are bound, else none."""
    nodes = [pending and room.existing.node.open for room in supply.nodes]
    return np.array([True] * len(supply.offerings) + nodes, dtype=bool)


def _broken_gangs(
    snapshot: ClusterSnapshot, wanted: Sequence[Wanted], masks: Masks, but: Collection[str]
) -> dict[str, int]:
    """Gangs still to be admitted of which one member fits nowhere, with the first such; pods of keys `but` may."""
    broken: dict[str, int] = {}
    starting = {gang.name: gang for gang in snapshot.gangs if gang.copies > 0}
    for w, one in enumerate(wanted):
        gang = starting.get(one.gang or "")
        needed = gang is not None and gang.minimum.get(one.key, 0) > 0 and one.key not in but
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
