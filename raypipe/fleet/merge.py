"""The clusters' plans as one."""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.catalog import Catalog
from raypipe.fleet.shared import elsewhere_notes, exceeded_notes
from raypipe.model.plan import Admission, ClusterPlan, Cost, FleetPlan, Inputs, Objective, Scope, Status
from raypipe.model.snapshot import FleetSnapshot, cluster_digest, digest, pools_digest
from raypipe.planner.words import gap_fraction
from raypipe.quantities import NANOS_PER_USD, usd


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
        objective=_objective([plan.objective for plan in planned]),
        clusters=plans,
        notes=tuple(
            sorted(
                (*fleet.notes, *catalog.notes, *exceeded_notes(fleet, catalog, scope), *elsewhere_notes(fleet)),
                key=lambda note: (note.kind, note.subject, note.message),
            )
        ),
    )


def _objective(objectives: list[Objective]) -> Objective:
    """The clusters' objectives added up, term by term; price is always one of them."""
    names = dict.fromkeys(("price", *(name for one in objectives for name in one.terms)))
    return Objective(
        value=_sum(one.value for one in objectives),
        lower_bound=_sum(one.lower_bound for one in objectives),
        terms={name: _sum(one.terms.get(name, 0.0) for one in objectives) for name in names},
    )


def _sum(amounts: Iterable[float]) -> float:
    """Dollars added up as integers."""
    return usd(sum(round(amount * NANOS_PER_USD) for amount in amounts))


def _sum_of_all(amounts: list[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return _sum(known) if known and len(known) == len(amounts) else None
