"""What a plan tells beside where pods are: actions, the objective, kinds considered, and the fleet's sums and digests.

What is bought is carried out from the actions, so each purchase must be that of its node, field by field. Reasons,
notes and counts of work are words about the search and are not checked; nor are prices of pods, which follow from a
proof and not from the plan.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from raypipe.catalog import Catalog
from raypipe.model.plan import PLAN_SCHEMA, Admission, ClusterPlan, FleetPlan, Objective, Status
from raypipe.model.snapshot import FleetSnapshot, cluster_digest, digest, pool_digest, pools_digest
from raypipe.quantities import NANOS_PER_USD
from raypipe.validation.ground import Ground
from raypipe.validation.purchases import purchase_violations

SLACK_USD = 1.5e-9
BOUND_KINDS = ("aggregated-lp", "aggregated-milp", "pattern-lp", "pattern-milp")
_ID = re.compile(r"[0-9a-f]{12}")


def told_violations(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Everything told of a cluster that is not so."""
    if plan.context != ground.cluster.context:
        yield f"context says {plan.context}, not {ground.cluster.context}"
    if plan.nodes_backend != ground.cluster.nodes_backend:
        yield f"nodes_backend says {plan.nodes_backend}, not {ground.cluster.nodes_backend}"
    if not _ID.fullmatch(plan.decision_id):
        yield f"decision id {plan.decision_id!r} is not 12 hex digits"
    if plan.bound.kind not in BOUND_KINDS:
        yield f"bound.kind says {plan.bound.kind}, expected one of {', '.join(BOUND_KINDS)}"
    other = plan.usd_per_hour.on_demand_only
    if other is not None and not plan.unplaced and other < plan.usd_per_hour.lower_bound - SLACK_USD:
        yield f"on_demand_only {other} is below the lower bound {plan.usd_per_hour.lower_bound}"
    yield from purchase_violations(plan, ground)
    yield from _considered(plan, ground)
    yield from _objective(plan.objective, plan.usd_per_hour.after)
    by_prices = plan.bound.by_prices_usd_per_hour
    if by_prices is not None and not 0 <= by_prices <= plan.bought.lower_bound + SLACK_USD:
        yield f"bound.by_prices_usd_per_hour says {by_prices}, the bound is {plan.bought.lower_bound}"
    for key, price in plan.marginal_usd_per_hour.items():
        if key not in ground.wanted or not price >= -SLACK_USD:
            yield f"marginal price of {key} is {price}"
    saved, actions = plan.consolidation.usd_per_hour_saved, plan.consolidation.actions
    if not 0 <= saved <= plan.usd_per_hour.after + SLACK_USD or actions < 0 or (actions and not saved):
        yield f"consolidation saves {saved} in {actions} actions"


def _considered(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Each kind bought stands there once at a price it is bought for; others are on the market at theirs."""
    paid: dict[tuple[str, str], set[float | None]] = {}
    for node in plan.nodes:
        if not node.existing:
            paid.setdefault((node.instance_type, node.capacity_type), set()).add(node.usd_per_hour)
    told = Counter((one.instance_type, one.capacity_type) for one in plan.considered)
    chosen = {(one.instance_type, one.capacity_type) for one in plan.considered if one.chosen}
    if chosen != set(paid) or any(count > 1 for count in told.values()):
        yield "kinds considered as chosen are not those bought, each once"
    for one in plan.considered:
        kind = (one.instance_type, one.capacity_type)
        prices = paid.get(kind, set()) if one.chosen else ground.prices_of(*kind)
        if one.usd_per_hour not in prices or one.chosen != (one.why_not is None):
            yield f"considered {kind[0]} {kind[1]} at {one.usd_per_hour}, why not: {one.why_not}"


def _objective(objective: Objective, after: float) -> Iterator[str]:
    """Price is a term of it, and its value the sum of all."""
    if abs(objective.terms.get("price", 0.0) - after) > SLACK_USD:
        yield f"objective.terms.price says {objective.terms.get('price')}, the nodes say {after}"
    if abs(objective.value - sum(objective.terms.values())) > SLACK_USD * len(objective.terms):
        yield f"objective.value says {objective.value}, its terms {dict(objective.terms)}"
    if not 0 <= objective.lower_bound <= objective.value + SLACK_USD:
        yield f"objective.lower_bound says {objective.lower_bound}, above the value {objective.value}"


def fleet_violations(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> Iterator[str]:
    """What the whole says that its clusters and inputs do not."""
    planned = [one for one in plan.clusters if one.error is None]
    statuses = [one.status for one in planned if one.status is not None]
    exact = all(one.admission is Admission.EXACT for one in planned)
    compared = [one.usd_per_hour.on_demand_only for one in planned]
    for name, stated, true in (
        ("schema", plan.schema, PLAN_SCHEMA),
        ("status", plan.status, max(statuses, key=list(Status).index, default=None)),
        ("admission", plan.admission, Admission.EXACT if exact else Admission.HEURISTIC),
        ("unpriced_nodes", plan.unpriced_nodes, sum(one.unpriced_nodes for one in planned)),
        ("usd_per_hour.on_demand_only", plan.usd_per_hour.on_demand_only, _sum_of_all(compared)),
        ("inputs.catalog", plan.inputs.catalog, catalog.digest),
        ("inputs.settings", plan.inputs.settings, digest([cluster.settings for cluster in fleet.clusters])),
        (
            "inputs.snapshot",
            plan.inputs.snapshot,
            digest([[cluster_digest(cluster) for cluster in fleet.clusters], fleet.limits]),
        ),
        ("inputs.pool", plan.inputs.pool, pools_digest(fleet.clusters)),
        (
            "decision_id",
            plan.decision_id,
            digest([one.decision_id for one in plan.clusters]).removeprefix("sha256:")[:12],
        ),
    ):
        if stated != true:
            yield f"{name} says {stated}, not {true}"
    yield from _objective(plan.objective, plan.usd_per_hour.after)
    yield from _decisions(plan, fleet, catalog)
    for name in sorted({*plan.objective.terms, *(term for one in planned for term in one.objective.terms)}):
        stated = plan.objective.terms.get(name, 0.0)
        true = _sum_of_all([one.objective.terms.get(name, 0.0) for one in planned]) or 0.0
        if abs(stated - true) > SLACK_USD:
            yield f"objective.terms.{name} says {stated}, the clusters say {true}"
    lowest = _sum_of_all([one.objective.lower_bound for one in planned]) or 0.0
    if abs(plan.objective.lower_bound - lowest) > SLACK_USD:
        yield f"objective.lower_bound says {plan.objective.lower_bound}, the clusters say {lowest}"


def _decisions(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> Iterator[str]:
    """A decision is named by what it was made from, so that no two buy under one name.

    Where clusters share limits, what was decided enters it, too, in words that are the planner's alone.
    """
    may_share = len(fleet.clusters) > 1 and any(cluster.settings.quotas for cluster in fleet.clusters)
    if fleet.limits or may_share:
        return
    by_name = {cluster.name: cluster for cluster in fleet.clusters}
    for one in plan.clusters:
        cluster = by_name.get(one.name)
        if cluster is None or one.error is not None or one.stale:
            continue
        inputs = (cluster_digest(cluster), pool_digest(cluster), catalog.digest, digest(cluster.settings), plan.scope)
        name = digest(inputs).removeprefix("sha256:")[:12]
        if one.decision_id != name:
            yield f"{one.name}: decision_id says {one.decision_id}, its inputs {name}"


def _sum_of_all(amounts: list[float | None]) -> float | None:
    known = [round(amount * NANOS_PER_USD) for amount in amounts if amount is not None]
    return round(sum(known) / NANOS_PER_USD, 9) if known and len(known) == len(amounts) else None
