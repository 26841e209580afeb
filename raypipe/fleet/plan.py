"""plan_fleet: every cluster planned, the plans merged.

Clusters are dealt out by an executor with an ordered `.map`; the core cannot tell whether that is a loop or many
processes. A cluster whose input cannot be read keeps its error, and the others are planned. A limit of the fleet is
what clusters share, and so is a quota that several are under: they are planned in their order, each within what those
before it leave.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from raypipe.catalog import Catalog
from raypipe.errors import SettingsError
from raypipe.fleet.executor import Executor, Serial
from raypipe.fleet.merge import merged
from raypipe.fleet.shared import (
    Shared,
    bought_amounts,
    contradictions,
    kept_amounts,
    shared_rows,
    without_others_idle,
)
from raypipe.model.plan import Admission, ClusterPlan, FleetPlan, Note, Scope
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.planner import plan_cluster
from raypipe.planner.limits import Limit
from raypipe.quantities import usd


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
    shared, wrong = shared_rows(fleet), contradictions(fleet)
    one = partial(_plan, catalog=catalog, scope=scope, stop=stopped, compare_on_demand=compare_on_demand, wrong=wrong)
    if executor is None and progress is not None:  # news from elsewhere would have to travel
        one = partial(one, progress=progress)
    if shared:
        plans = _in_order(fleet, shared, one, progress)
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
    wrong: Mapping[str, str],
    fleet_left: Mapping[str, int] | None = None,
    progress: Callable[[str], None] | None = None,
) -> ClusterPlan:
    """Plan one cluster, with what on-demand offerings alone would cost where asked for; `wrong`: why not, by name."""
    if cluster.name in wrong:
        return ClusterPlan(name=cluster.name, context=cluster.context, error=wrong[cluster.name])

    def found(cost: int, bound: int) -> None:
        if progress is not None:
            progress(f"{cluster.name}: ${usd(cost):.4g}/h to buy so far, bound ${usd(bound):.4g}/h")

    try:
        plan = plan_cluster(cluster, catalog, scope=scope, fleet_left=fleet_left, stop=stop, found=found)
    except SettingsError as error:  # found only beside the catalogue; the other clusters go on
        return ClusterPlan(name=cluster.name, context=cluster.context, error=str(error))
    if not compare_on_demand or plan.error is not None:
        return plan
    narrowed = _without_spot_and_reserved(cluster)
    other = plan_cluster(narrowed, catalog, scope=scope, fleet_left=fleet_left, stop=stop)
    if _unplaced(other) > _unplaced(plan):
        message = (
            f"on-demand offerings alone leave {_unplaced(other)} pods unplaced, so their cost compares with nothing"
        )
        note = Note(kind="on-demand-only", subject=cluster.name, count=_unplaced(other), message=message)
        return dataclasses.replace(plan, notes=(*plan.notes, note))
    cost = dataclasses.replace(plan.usd_per_hour, on_demand_only=other.usd_per_hour.after)
    return dataclasses.replace(plan, usd_per_hour=cost)


def _without_spot_and_reserved(cluster: ClusterSnapshot) -> ClusterSnapshot:
    """The cluster as it would be with on-demand offerings only; reserved nodes that exist keep their price."""
    none_left = tuple({**entry, "count": 0} for entry in cluster.settings.reserved)
    settings = dataclasses.replace(cluster.settings, reserved=none_left)
    return dataclasses.replace(cluster, capacity_types=("on-demand",), settings=settings)


def _unplaced(plan: ClusterPlan) -> int:
    return sum(entry.count for entry in plan.unplaced)


def _in_order(
    fleet: FleetSnapshot, shared: Shared, one: Callable[..., ClusterPlan], progress: Callable[[str], None] | None
) -> list[ClusterPlan]:
    """Plan the clusters in their order, each within what existing nodes and the clusters before it leave."""
    catalog: Catalog = one.keywords["catalog"]  # type: ignore[attr-defined]
    pending = one.keywords["scope"] is Scope.PENDING  # type: ignore[attr-defined]
    left = {row: row.amount - amount for row, amount in kept_amounts(shared, catalog, pending).items()}
    plans: list[ClusterPlan] = []
    for cluster in fleet.clusters:
        own = [row for row, clusters in shared.items() if any(under is cluster for under in clusters)]
        names = {row: row.resource if row.quota is None else row.name for row in own}
        plan = one(cluster, fleet_left={names[row]: max(0, left[row]) for row in own} if own else None)
        for row, amount in bought_amounts(plan, cluster, catalog, own).items():
            left[row] -= amount
        plans.append(_in_order_of_clusters(plan, [row for row in own if len(shared[row]) > 1]))
        _tell(progress, plan, len(plans), len(fleet.clusters))
    return without_others_idle(shared, plans)


def _in_order_of_clusters(plan: ClusterPlan, shared: Iterable[Limit]) -> ClusterPlan:
    """Say of a plan under what clusters share that they were served in their order, not by priority across them."""
    out = {entry.limit for entry in plan.unplaced}
    quotas = [row.name for row in shared if row.quota is not None]
    notes = []
    if any(row.quota is None and row.name in out for row in shared):
        message = "limits of the fleet were given to clusters in their order, not by priority across clusters"
        notes.append(Note(kind="fleet-limit", subject=plan.name, message=message))
    if scarce := [name for name in quotas if name in out or name in plan.bound.prices]:
        message = (
            f"{', '.join(scarce)}: given to the clusters that share it in their order, not by priority or price across "
            "clusters; the bound holds within what was left"
        )
        notes.append(Note(kind="shared-quota", subject=plan.name, message=message))
    if not notes:
        return plan
    exact = out.isdisjoint(row.name for row in shared)
    admission = plan.admission if exact else Admission.HEURISTIC
    return dataclasses.replace(plan, admission=admission, notes=(*plan.notes, *notes))


def _tell(progress: Callable[[str], None] | None, plan: ClusterPlan, done: int, clusters: int) -> None:
    if progress is not None:
        cost = f"${plan.usd_per_hour.after:.4g}/h, bound ${plan.usd_per_hour.lower_bound:.4g}/h"
        progress(f"{done}/{clusters} {plan.name}: {plan.error.splitlines()[0] if plan.error else cost}")
