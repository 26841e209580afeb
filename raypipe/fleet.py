"""plan_fleet: every cluster planned, the plans merged.

Clusters are dealt out by an executor with an ordered `.map`; the core cannot tell whether that is a loop or many
processes. A cluster whose input cannot be read keeps its error, and the others are planned. A limit of the fleet is
what clusters share: they are planned in their order, each within what those before it leave.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Protocol

from raypipe.catalog import Catalog, existing_nodes, offerings_for
from raypipe.errors import SettingsError
from raypipe.model.plan import (
    Admission,
    ClusterPlan,
    Cost,
    FleetPlan,
    Inputs,
    Note,
    Objective,
    Scope,
    Status,
)
from raypipe.model.resources import NODES, USD_PER_HOUR
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot, cluster_digest, digest
from raypipe.planner import plan_cluster
from raypipe.planner.limits import Limit, exceeded
from raypipe.planner.words import gap_fraction
from raypipe.quantities import NANOS_PER_USD, usd


class Executor(Protocol):
    """What deals clusters out; `map` keeps the order of `items`."""

    def map[T, R](self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]: ...


class Serial:
    """One after another, here."""

    def map[T, R](self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        return map(function, items)


def never() -> bool:
    """The `stop` of a run without a time budget."""
    return False


def plan_fleet(
    fleet: FleetSnapshot,
    catalog: Catalog,
    *,
    scope: Scope = Scope.PENDING,
    executor: Executor | None = None,
    progress: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    compare_on_demand: bool = False,
) -> FleetPlan:
    """Plan every cluster of the fleet; `created_at` is left to the caller, because the core reads no clock."""
    stopped = stop or never
    one = partial(_plan, catalog=catalog, scope=scope, stop=stopped, compare_on_demand=compare_on_demand)
    if executor is None and progress is not None:  # news from elsewhere would have to travel
        one = partial(one, progress=progress)
    if fleet.limits:
        plans = _under_fleet_limits(fleet, one, progress)
    else:
        plans = []
        for plan in (executor or Serial()).map(one, fleet.clusters):
            plans.append(plan)
            _tell(progress, plan, len(plans), len(fleet.clusters))
    return merged(fleet, catalog, scope, tuple(plans))


def _plan(
    cluster: ClusterSnapshot,
    *,
    catalog: Catalog,
    scope: Scope,
    stop: Callable[[], bool],
    compare_on_demand: bool,
    fleet_left: Mapping[str, int] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ClusterPlan:
    """Plan one cluster, with what on-demand offerings alone would cost where asked for."""

    def found(cost: int, bound: int) -> None:
        if progress is not None:
            progress(f"{cluster.name}: ${usd(cost):.4g}/h to buy so far, bound ${usd(bound):.4g}/h")

    try:
        plan = plan_cluster(cluster, catalog, scope=scope, fleet_left=fleet_left, stop=stop, found=found)
    except SettingsError as error:  # found only beside the catalogue; the other clusters go on
        return ClusterPlan(name=cluster.name, context=cluster.context, error=str(error))
    if not compare_on_demand or plan.error is not None:
        return plan
    narrowed = dataclasses.replace(cluster, capacity_types=("on-demand",))
    other = plan_cluster(narrowed, catalog, scope=scope, fleet_left=fleet_left, stop=stop)
    if _unplaced(other) > _unplaced(plan):
        message = (
            f"on-demand offerings alone leave {_unplaced(other)} pods unplaced, so their cost compares with nothing"
        )
        note = Note(kind="on-demand-only", subject=cluster.name, count=_unplaced(other), message=message)
        return dataclasses.replace(plan, notes=(*plan.notes, note))
    cost = dataclasses.replace(plan.usd_per_hour, on_demand_only=other.usd_per_hour.after)
    return dataclasses.replace(plan, usd_per_hour=cost)


def _unplaced(plan: ClusterPlan) -> int:
    return sum(entry.count for entry in plan.unplaced)


def _under_fleet_limits(
    fleet: FleetSnapshot, one: Callable[..., ClusterPlan], progress: Callable[[str], None] | None
) -> list[ClusterPlan]:
    """Plan the clusters in their order, each within what existing nodes and the clusters before it leave."""
    catalog: Catalog = one.keywords["catalog"]  # type: ignore[attr-defined]
    readable = [cluster for cluster in fleet.clusters if cluster.error is None]
    pending = one.keywords["scope"] is Scope.PENDING  # type: ignore[attr-defined]
    left = {name: fleet.limits[name] - amount for name, amount in kept_amounts(fleet, catalog, pending).items()}
    plans: list[ClusterPlan] = []
    for cluster in fleet.clusters:
        plan = one(cluster, fleet_left={name: max(0, amount) for name, amount in left.items()})
        for name, amount in bought_amounts(plan, cluster, catalog, left).items():
            left[name] -= amount
        plans.append(plan)
        _tell(progress, plan, len(plans), len(fleet.clusters))
    return [_in_order_of_clusters(plan) if len(readable) > 1 else plan for plan in plans]


def _in_order_of_clusters(plan: ClusterPlan) -> ClusterPlan:
    """Say of a plan under a fleet limit that clusters were served in their order, not by priority across them."""
    if not any((entry.limit or "").startswith("fleet/") for entry in plan.unplaced):
        return plan
    message = "limits of the fleet were given to clusters in their order, not by priority across clusters"
    note = Note(kind="fleet-limit", subject=plan.name, message=message)
    return dataclasses.replace(plan, admission=Admission.HEURISTIC, notes=(*plan.notes, note))


def kept_amounts(fleet: FleetSnapshot, catalog: Catalog, pending: bool) -> dict[str, int]:
    """What existing nodes of all clusters count against the fleet's limits; nothing in scope whole."""
    amounts = dict.fromkeys(fleet.limits, 0)
    for cluster in fleet.clusters if pending else ():
        if cluster.error is None:
            for name, amount in existing_amounts(cluster, catalog, amounts).items():
                amounts[name] += amount
    return amounts


def _exceeded(fleet: FleetSnapshot, catalog: Catalog, scope: Scope) -> list[Note]:
    """A note for each limit of the fleet that existing nodes are above already."""
    rows = [Limit(name=f"fleet/{name}", resource=name, amount=amount) for name, amount in sorted(fleet.limits.items())]
    kept = kept_amounts(fleet, catalog, scope is Scope.PENDING)
    return [exceeded(row, kept[row.resource]) for row in rows if kept[row.resource] > row.amount]


def existing_amounts(cluster: ClusterSnapshot, catalog: Catalog, names: Iterable[str]) -> dict[str, int]:
    """What existing nodes count against limits of these names."""
    nodes = existing_nodes(cluster, catalog)
    return {
        name: len(nodes)
        if name == NODES
        else sum(
            (one.usd_nanos_per_hour or 0) if name == USD_PER_HOUR else one.offering.capacity.get(name, 0)
            for one in nodes
        )
        for name in names
    }


def bought_amounts(
    plan: ClusterPlan, cluster: ClusterSnapshot, catalog: Catalog, names: Iterable[str]
) -> dict[str, int]:
    """What the plan's new nodes count against limits of these names."""
    bought = [node for node in plan.nodes if not node.existing]
    if not bought:
        return {}
    capacity = {one.instance_type: one.capacity for one in offerings_for(cluster, catalog).offerings}
    return {
        name: len(bought)
        if name == NODES
        else sum(
            round((node.usd_per_hour or 0.0) * NANOS_PER_USD)
            if name == USD_PER_HOUR
            else capacity[node.instance_type].get(name, 0)
            for node in bought
        )
        for name in names
    }


def _tell(progress: Callable[[str], None] | None, plan: ClusterPlan, done: int, clusters: int) -> None:
    if progress is not None:
        cost = f"${plan.usd_per_hour.after:.4g}/h, bound ${plan.usd_per_hour.lower_bound:.4g}/h"
        progress(f"{done}/{clusters} {plan.name}: {plan.error.splitlines()[0] if plan.error else cost}")


def merged(fleet: FleetSnapshot, catalog: Catalog, scope: Scope, plans: tuple[ClusterPlan, ...]) -> FleetPlan:
    """The clusters' plans as one: sums, the worst status, one decision id over theirs."""
    planned = [plan for plan in plans if plan.error is None]
    cost = Cost(
        before=_sum(plan.usd_per_hour.before for plan in planned),
        after=_sum(plan.usd_per_hour.after for plan in planned),
        lower_bound=_sum(plan.usd_per_hour.lower_bound for plan in planned),
        on_demand_only=_sum_of_all([plan.usd_per_hour.on_demand_only for plan in planned]),
    )
    statuses = list(Status)
    exact = all(plan.admission is Admission.EXACT for plan in planned)
    gap = gap_fraction(round(cost.after * NANOS_PER_USD), round(cost.lower_bound * NANOS_PER_USD))
    return FleetPlan(
        decision_id=digest([plan.decision_id for plan in plans]).removeprefix("sha256:")[:12],
        scope=scope,
        inputs=Inputs(
            snapshot=digest([[cluster_digest(cluster) for cluster in fleet.clusters], fleet.limits]),
            catalog=catalog.digest,
            settings=digest([cluster.settings for cluster in fleet.clusters]),
        ),
        status=max((plan.status for plan in planned if plan.status is not None), key=statuses.index, default=None),
        admission=Admission.EXACT if exact else Admission.HEURISTIC,
        unpriced_nodes=sum(plan.unpriced_nodes for plan in planned),
        usd_per_hour=cost,
        gap_fraction=gap,
        objective=Objective(value=cost.after, lower_bound=cost.lower_bound, terms={"price": cost.after}),
        clusters=plans,
        notes=tuple(
            sorted(
                (*fleet.notes, *catalog.notes, *_exceeded(fleet, catalog, scope)),
                key=lambda note: (note.kind, note.subject, note.message),
            )
        ),
    )


def _sum(amounts: Iterable[float]) -> float:
    """Dollars added up as integers."""
    return usd(sum(round(amount * NANOS_PER_USD) for amount in amounts))


def _sum_of_all(amounts: list[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return _sum(known) if known and len(known) == len(amounts) else None
