"""What clusters share: limits of the fleet, and quotas of the cloud account that several are under."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from raypipe.catalog import Catalog, existing_nodes, offerings_for
from raypipe.errors import SettingsError, nearest
from raypipe.model.plan import ClusterPlan, Note, Scope
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.planner.limits import COUNTS_NOTHING, Limit, exceeded, quota_rows, shown, weight
from raypipe.settings import Quota, quotas_of

type Shared = Mapping[Limit, tuple[ClusterSnapshot, ...]]
"""What clusters share, with those under each: limits of the fleet, and quotas that more than one is under."""


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


def without_others_idle(shared: Shared, plans: Iterable[ClusterPlan]) -> list[ClusterPlan]:
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


def exceeded_notes(fleet: FleetSnapshot, catalog: Catalog, scope: Scope) -> list[Note]:
    """A note for each thing shared that existing nodes are above already."""
    kept = kept_amounts(shared_rows(fleet), catalog, scope is Scope.PENDING)
    return [exceeded(row, amount) for row, amount in kept.items() if amount > row.amount]


def elsewhere_notes(fleet: FleetSnapshot) -> list[Note]:
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
