"""check_plan: every promise of a plan, one check each; all violations are reported together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from raypipe.catalog import Catalog, one_buyer
from raypipe.errors import InvalidPlanError
from raypipe.model.actions import ActionKind
from raypipe.model.plan import ClusterPlan, FleetPlan, PlannedNode, Scope, Status
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.quantities import NANOS_PER_USD
from raypipe.validation.across import order_violations
from raypipe.validation.alternatives import as_told, division_violations, told_division
from raypipe.validation.buyers import buyer_violations
from raypipe.validation.constraints import constraint_violations
from raypipe.validation.ground import Ground
from raypipe.validation.left_out import left_out_violations
from raypipe.validation.nodes import node_violations
from raypipe.validation.preferences import preference_violations
from raypipe.validation.quotas import shared_quotas
from raypipe.validation.ray import ray_violations
from raypipe.validation.relaxation import as_relaxed, relaxation_violations
from raypipe.validation.removals import removal_violations, without_removed
from raypipe.validation.told import fleet_violations, told_violations

MONEY_SLACK = 1.5e-9
GAP_SLACK = 2e-9


def check_plan(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    """Raise InvalidPlanError with every promise that the plan breaks for this fleet and catalogue."""
    violations: list[str] = []
    by_name = {cluster.name: cluster for cluster in fleet.clusters}
    if [one.name for one in plan.clusters] != [one.name for one in fleet.clusters]:
        violations.append("the plan's clusters are not the fleet's")
    grounds: list[tuple[ClusterPlan, Ground]] = []
    for one in plan.clusters:
        cluster = by_name.get(one.name)
        if cluster is None:
            continue
        violations += [f"{one.name}: {text}" for text in _failure(one, cluster)]
        if one.error is None and not one.stale:
            violations += [f"{one.name}: {text}" for text in buyer_violations(one, cluster, catalog, plan.scope)]
            cluster = one_buyer(cluster, catalog) if plan.scope is Scope.PENDING else cluster
            violations += [f"{one.name}: {text}" for text in removal_violations(one, cluster, plan.scope)]
            observed, cluster = cluster, without_removed(cluster, one, plan.scope)
            violations += [f"{one.name}: {text}" for text in division_violations(one, cluster, plan.scope)]
            divided = as_told(cluster, told_division(one))
            asking = Ground(divided, catalog, plan.scope, observed)
            violations += [f"{one.name}: {text}" for text in relaxation_violations(one, asking)]
            relaxed = as_relaxed(divided, one, plan.scope)
            ground = asking if relaxed is divided else Ground(relaxed, catalog, plan.scope, observed)
            grounds.append((one, ground))
    shared = {f"fleet/{resource}" for resource in fleet.limits} | shared_quotas(ground.cluster for _, ground in grounds)
    for one, ground in grounds:
        violations += [f"{one.name}: {text}" for text in _cluster(one, ground, shared)]
    violations += _quotas(grounds)
    violations += _fleet(plan, fleet, grounds)
    violations += order_violations(grounds, fleet.limits)
    violations += fleet_violations(plan, fleet, catalog)
    if violations:
        raise InvalidPlanError(violations)


def _failure(plan: ClusterPlan, cluster: ClusterSnapshot) -> Iterator[str]:
    """A cluster that cannot be read or planned says so, and nothing is to be done in it."""
    if cluster.error is not None and plan.error != cluster.error:
        yield f"cannot be read ({cluster.error}), and the plan says {plan.error}"
    if plan.stale and plan.error is None:
        yield "is stale for no error"
    if plan.error is not None and not plan.stale and (plan.nodes or plan.actions or plan.usd_per_hour.after):
        yield f"has an error and a plan of {len(plan.nodes)} nodes and {len(plan.actions)} actions"


def _cluster(plan: ClusterPlan, ground: Ground, shared: Collection[str]) -> Iterator[str]:
    for node in plan.nodes:
        for text in node_violations(node, ground):
            yield f"node {node.name}: {text}"
    yield from constraint_violations(plan, ground)
    yield from preference_violations(plan, ground)
    yield from _coverage(plan, ground)
    yield from _gangs(plan, ground)
    yield from _standby(plan, ground)
    yield from _reserved_counts(plan, ground)
    yield from _group_counts(plan, ground)
    yield from _limits(plan, ground)
    yield from _money(plan, ground)
    yield from _order(plan)
    yield from left_out_violations(plan, ground, shared)
    yield from _actions(plan, ground)
    yield from ray_violations(plan, ground)
    yield from told_violations(plan, ground)


def _coverage(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Every unit of demand and every counted bound pod is on one node or unplaced, and nothing else is."""
    placed: Counter[str] = Counter()
    for node in plan.nodes:
        placed.update(node.pods)
    left = Counter(dict.fromkeys(placed, 0))
    for entry in plan.unplaced:
        left[entry.pods] += entry.count
    for key in sorted({*placed, *left, *ground.wanted}):
        found, wanted = placed[key] + left[key], ground.wanted.get(key, 0)
        if found != wanted:
            yield f"{key}: {placed[key]} placed and {left[key]} unplaced of {wanted}"
    if plan.bound.pods != sum(sum(node.added.values()) for node in plan.nodes):
        yield f"the bound covers {plan.bound.pods} pods, {sum(sum(n.added.values()) for n in plan.nodes)} are placed"
    if ground.pending and (lost := ground.existing.keys() - {node.name for node in plan.nodes if node.existing}):
        yield f"existing nodes are not in it: {', '.join(sorted(lost))}"
    if plan.excluded != ground.cluster.excluded:
        yield "excluded pods are not those of the snapshot"


def _gangs(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """At first admission a gang is placed whole or not at all, and its further pods not before it."""
    added: Counter[str] = Counter()
    for node in plan.nodes:
        added.update(node.added)
    for gang in ground.cluster.gangs:
        if gang.copies <= 0 or not gang.minimum or ground.scope is not Scope.PENDING:
            continue
        whole = min(added[key] // count for key, count in gang.minimum.items() if count)
        for key, count in gang.minimum.items():
            if added[key] < count * min(whole, gang.copies) or (whole < gang.copies and added[key] > count * whole):
                yield f"gang {gang.name}: {added[key]} of {key} placed, which is no whole number of gangs of {count}"
        further = {group.key for group in ground.cluster.demand if group.gang == gang.name} - gang.minimum.keys()
        if not whole and (early := sum(added[key] for key in further)):
            yield f"gang {gang.name}: it is left out, and {early} of its further pods are placed"


def _standby(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Nodes bought without pods are those that the cluster wants on standby, beside own nodes that are already."""
    bought = Counter(
        (node.instance_type, node.capacity_type) for node in plan.nodes if not (node.existing or node.pods)
    )
    free = Counter(
        (node.instance_type, node.capacity_type)
        for node in plan.nodes
        if node.existing and not node.pods and node.name in ground.existing and ground.is_free(node.name)
    )
    wanted = {(one.instance_type, one.capacity_type): one.count for one in ground.cluster.standby}
    for kind, count in bought.items():
        most = max(0, wanted.get(kind, 0) - free[kind])
        if count > most:
            yield f"{count} x {kind[0]} {kind[1]} are bought for no pod, and {most} are to be on standby"


def _reserved_counts(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    reserved = [node for node in plan.nodes if node.capacity_type == "reserved"]
    kept = Counter((node.instance_type, node.zone) for node in reserved if node.existing)
    bought = Counter((node.instance_type, node.zone) for node in reserved if not node.existing)
    for kind, count in bought.items():
        most = ground.reserved_count(*kind)
        if count > max(0, most - kept[kind]):
            yield f"reserved {kind[0]} in {kind[1]}: {kept[kind]} kept and {count} bought of {most}"


def _group_counts(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    left = ground.groups()
    bought = Counter(
        f"node-group/{node.instance_type}/{node.zone}/{node.capacity_type}" for node in plan.nodes if not node.existing
    )
    for name, count in bought.items():
        if ground.cluster.buyable is not None and ground.pending and count > left.get(name, 0):
            yield f"{name}: {count} bought of {left.get(name, 0)}"


def _limits(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    for name, resource, amount, pool in ground.limits():
        before = ground.counted(resource, pool, [node for node in plan.nodes if node.existing])
        bought = ground.counted(resource, pool, [node for node in plan.nodes if not node.existing])
        if bought > max(0, amount - before):
            yield f"limit {name} is {amount}: {before} kept and {bought} bought"


def _quotas(grounds: Sequence[tuple[ClusterPlan, Ground]]) -> Iterator[str]:
    """Clusters under a quota, one or several together, buy no more than it leaves beside what they keep."""
    room: dict[tuple[object, ...], int] = {}
    kept, bought = Counter[tuple[object, ...]](), Counter[tuple[object, ...]]()
    for plan, ground in grounds:
        for quota in ground.quotas:
            room[quota.place] = min(quota.room, room.get(quota.place, quota.room))
            kept[quota.place] += ground.counted_by(quota, (node for node in plan.nodes if node.existing))
            bought[quota.place] += ground.counted_by(quota, (node for node in plan.nodes if not node.existing))
    for place, left in room.items():
        if bought[place] > max(0, left - kept[place]):
            yield f"limit {place[0]} is {left} for these clusters: {kept[place]} kept and {bought[place]} bought"


def _money(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Sums of prices, bounds and gaps."""
    kept = sum(price or 0 for price in ground.existing_prices())
    before = ground.before_usd_nanos
    after = sum(_nanos(node.usd_per_hour) for node in plan.nodes)
    bought = sum(_nanos(node.usd_per_hour) for node in plan.nodes if not node.existing)
    cost = plan.usd_per_hour
    floor = _nanos(plan.bought.lower_bound) + (kept if ground.pending else 0)
    if ground.cluster.settings.consolidate:  # other nodes may be given back, so that less is proven
        floor = min(floor, _nanos(cost.lower_bound))
    for name, stated, true in (
        ("before", cost.before, before),
        ("after", cost.after, after),
        ("bought", plan.bought.usd_per_hour, bought),
        ("lower_bound", cost.lower_bound, floor),
    ):
        if abs(stated - true / NANOS_PER_USD) > MONEY_SLACK:
            yield f"usd_per_hour.{name} says {stated}, the nodes say {true / NANOS_PER_USD}"
    if cost.lower_bound > cost.after + MONEY_SLACK:
        yield f"the lower bound {cost.lower_bound} is above the cost {cost.after}"
    yield from _gap("gap_fraction", plan.gap_fraction, cost.after, cost.lower_bound)
    yield from _gap("bought.gap_fraction", plan.bought.gap_fraction, plan.bought.usd_per_hour, plan.bought.lower_bound)
    if plan.unpriced_nodes != sum(price is None for price in ground.existing_prices()):
        yield f"unpriced_nodes says {plan.unpriced_nodes}"
    status = _status(plan.gap_fraction, ground.cluster.settings.gap_target_fraction)
    if plan.status is not status:
        yield f"status says {plan.status}, the gap says {status}"


def _nanos(dollars: float | None) -> int:
    return round((dollars or 0.0) * NANOS_PER_USD)


def _gap(name: str, stated: float | None, after: float, lower: float) -> Iterator[str]:
    true = (0.0 if after == 0 else None) if lower == 0 else after / lower - 1
    if (stated is None) != (true is None) or (
        stated is not None and true is not None and abs(stated - true) > GAP_SLACK
    ):
        yield f"{name} says {stated}, the figures say {true}"


def _status(gap: float | None, target: float) -> Status:
    if gap is not None and gap <= 1e-6:
        return Status.OPTIMAL
    return Status.WITHIN_GAP if gap is not None and gap <= target else Status.BUDGET_SPENT


def _order(plan: ClusterPlan) -> Iterator[str]:
    names = [node.name for node in plan.nodes]
    if names != sorted(names) or len(set(names)) != len(names):
        yield "nodes are not in order of name, each once"
    keys = [(entry.pods, entry.reason) for entry in plan.unplaced]
    if keys != sorted(keys):
        yield "unplaced pods are not in order of key"


def _actions(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    ids = [action.id for action in plan.actions]
    if len(set(ids)) != len(ids):
        yield "two actions have one id"
    bought = sorted(action.object.name for action in plan.actions if action.kind is ActionKind.BUY_NODE)
    wanted = sorted(node.name for node in plan.nodes if not node.existing) if ground.pending else []
    if bought != wanted:
        yield "BuyNode actions are not the nodes to buy"
    if not ground.pending and plan.actions:
        yield "scope whole has actions"


def _fleet(plan: FleetPlan, fleet: FleetSnapshot, grounds: list[tuple[ClusterPlan, Ground]]) -> Iterator[str]:
    """Sums over clusters, and the limits of the fleet."""
    for name in ("before", "after", "lower_bound"):
        stated = getattr(plan.usd_per_hour, name)
        true = sum(_nanos(getattr(one.usd_per_hour, name)) for one, _ in grounds) / NANOS_PER_USD
        if abs(stated - true) > MONEY_SLACK:
            yield f"usd_per_hour.{name} says {stated}, the clusters say {true}"
    yield from _gap("gap_fraction", plan.gap_fraction, plan.usd_per_hour.after, plan.usd_per_hour.lower_bound)
    for resource, amount in fleet.limits.items():
        before = after = 0
        for one, ground in grounds:
            existing: list[PlannedNode] = [node for node in one.nodes if node.existing]
            before += ground.counted(resource, None, existing)
            after += ground.counted(resource, None, [node for node in one.nodes if not node.existing])
        if after > max(0, amount - before):
            yield f"limit fleet/{resource} is {amount}: {before} kept and {after} bought"
