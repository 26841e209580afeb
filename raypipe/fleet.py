"""plan_fleet: every cluster planned, the plans merged.

Clusters are dealt out by an executor with an ordered `.map`; the core cannot tell whether that is a loop or many
processes. A cluster whose input cannot be read keeps its error, and the others are planned. A limit of the fleet is
what clusters share, and so is a quota that several are under: they are planned in their order, each within what those
before it leave.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Protocol

from raypipe.catalog import Catalog, existing_nodes, offerings_for
from raypipe.errors import SettingsError, nearest
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
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot, cluster_digest, digest, pools_digest
from raypipe.planner import plan_cluster
from raypipe.planner.limits import COUNTS_NOTHING, Limit, exceeded, quota_rows, shown, weight
from raypipe.planner.words import gap_fraction
from raypipe.quantities import NANOS_PER_USD, usd
from raypipe.settings import Quota, quotas_of

type Shared = Mapping[Limit, tuple[ClusterSnapshot, ...]]
"""What clusters share, with those under each: limits of the fleet, and quotas that more than one is under."""


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


def shared_rows(fleet: FleetSnapshot) -> Shared:
    """The limits of the fleet, which all are under, then quotas that more than one cluster is under."""
    readable = tuple(cluster for cluster in fleet.clusters if cluster.error is None)
    of_fleet = {
        Limit(name=f"fleet/{name}", resource=name, amount=amount): readable
        for name, amount in sorted(fleet.limits.items())
    }
    under: dict[Limit, tuple[ClusterSnapshot, ...]] = {}
    for cluster in readable:
        for row in _quota_rows(cluster):
            under[row] = (*under.get(row, ()), cluster)
    return of_fleet | {row: clusters for row, clusters in under.items() if len(clusters) > 1}


def _quota_rows(cluster: ClusterSnapshot) -> tuple[Limit, ...]:
    """Quotas that a cluster is under; none where the setting is wrong, which its plan says."""
    try:
        return quota_rows(cluster)
    except SettingsError:
        return ()


def contradictions(fleet: FleetSnapshot) -> dict[str, str]:
    """Clusters that have a quota by the name and place of one of a cluster before them, but another, and the error."""
    first: dict[tuple[object, ...], tuple[Limit, str]] = {}
    wrong: dict[str, str] = {}
    for cluster in fleet.clusters:
        for row in _quota_rows(cluster) if cluster.error is None else ():
            place = (row.name, row.quota and row.quota.provider, row.quota and row.quota.region)
            known, name = first.setdefault(place, (row, cluster.name))
            if known != row:
                wrong[cluster.name] = (
                    f"settings.quotas: found {row.name} of {shown(row, row.amount)} here, another of "
                    f"{shown(known, known.amount)} in {name}, expected one entry for both, or a name for each account"
                )
    return wrong


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
    return _without_others_idle(shared, plans)


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


def _without_others_idle(shared: Shared, plans: Iterable[ClusterPlan]) -> list[ClusterPlan]:
    """The plans without notes that nothing counts against a quota where something does in a cluster that shares it."""
    notes = {plan.name: {note.subject for note in plan.notes if note.kind == COUNTS_NOTHING} for plan in plans}
    planned = {plan.name for plan in plans if plan.error is None}
    needless = {
        (cluster.name, row.name)
        for row, clusters in shared.items()
        if any(under.name in planned and row.name not in notes[under.name] for under in clusters)
        for cluster in clusters
    }
    return [
        dataclasses.replace(
            plan,
            notes=tuple(
                note for note in plan.notes if note.kind != COUNTS_NOTHING or (plan.name, note.subject) not in needless
            ),
        )
        for plan in plans
    ]


def kept_amounts(shared: Shared, catalog: Catalog, pending: bool) -> dict[Limit, int]:
    """What counts already: existing nodes of clusters under a row (none in scope whole), and what is used outside."""
    amounts = {row: row.outside for row in shared}
    for cluster in _once(cluster for clusters in shared.values() for cluster in clusters) if pending else ():
        nodes = existing_nodes(cluster, catalog)
        for row, clusters in shared.items():
            if any(under is cluster for under in clusters):
                amounts[row] += sum(weight(row, one.offering) for one in nodes)
    return amounts


def _once(clusters: Iterable[ClusterSnapshot]) -> Iterable[ClusterSnapshot]:
    return {id(cluster): cluster for cluster in clusters}.values()


def bought_amounts(
    plan: ClusterPlan, cluster: ClusterSnapshot, catalog: Catalog, rows: Iterable[Limit]
) -> dict[Limit, int]:
    """What the plan's new nodes count against these rows."""
    bought = [node for node in plan.nodes if not node.existing]
    if not bought:
        return {}
    market = {
        (one.instance_type, one.zone, one.capacity_type): one for one in offerings_for(cluster, catalog).offerings
    }
    sold = [market[node.instance_type, node.zone, node.capacity_type] for node in bought]
    return {row: sum(weight(row, one) for one in sold) for row in rows}


def _exceeded(fleet: FleetSnapshot, catalog: Catalog, scope: Scope) -> list[Note]:
    """A note for each thing shared that existing nodes are above already."""
    kept = kept_amounts(shared_rows(fleet), catalog, scope is Scope.PENDING)
    return [exceeded(row, amount) for row, amount in kept.items() if amount > row.amount]


def _elsewhere(fleet: FleetSnapshot) -> list[Note]:
    """One note on quotas for places where no cluster is; none where a cluster cannot be read and may be there."""
    if any(cluster.error is not None for cluster in fleet.clusters):
        return []
    places = [(cluster.provider, cluster.region) for cluster in fleet.clusters]
    quotas = {quota: None for cluster in fleet.clusters for quota in _quotas(cluster)}
    lost = [quota for quota in quotas if not any(quota.is_for(*place) for place in places)]
    if not lost:
        return []
    names = sorted({" ".join(filter(None, (quota.provider, quota.region))) for quota in lost})
    near = nearest(lost[0].region or "", [region for _, region in places])
    message = f"quotas for places where no cluster is bind nothing: {', '.join(names)}"
    message += f" (did you mean {near!r}?)" if near and near != lost[0].region else ""
    return [Note(kind="quota-elsewhere", subject=lost[0].limit_name, count=len(lost), message=message)]


def _quotas(cluster: ClusterSnapshot) -> tuple[Quota, ...]:
    try:
        return quotas_of(cluster.settings)
    except SettingsError:
        return ()


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
            pool=pools_digest(fleet.clusters),
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
                (*fleet.notes, *catalog.notes, *_exceeded(fleet, catalog, scope), *_elsewhere(fleet)),
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
