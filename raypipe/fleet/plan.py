"""plan_fleet: every cluster planned, the plans merged.

Clusters are dealt out by an executor with an ordered `.map`; the core cannot tell whether that is a loop or many
processes. A cluster whose input cannot be read keeps its error, and the others are planned. A limit of the fleet is
what clusters share, and so is a quota that several are under: where such a limit binds, `scarce` divides it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from raypipe.catalog import Catalog
from raypipe.fleet.clusters import Order, planned
from raypipe.fleet.executor import Executor, Serial
from raypipe.fleet.merge import merged
from raypipe.fleet.scarce import Scarcity, orders
from raypipe.fleet.shared import contradictions, kept_amounts, shared_rows, without_others_idle
from raypipe.model.actions import at_version
from raypipe.model.plan import ClusterPlan, FleetPlan, Note, Scope
from raypipe.model.pool import Pool
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.planner.limits import Limit


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
    """Plan every cluster of the fleet; `created_at` is left to the caller, because the core reads no clock.

    executor: deals clusters out; what it is given to map, functions and items, can be pickled (`stop`, where there is
    one, has to be too), and each item has the `name` of its cluster. None: one after another, with more news for
    `progress`.
    """
    observed, fleet = fleet, _without_versions(fleet)
    run = _Run(fleet, catalog, scope, executor, progress, stop or never)
    plans = run.plans()
    if compare_on_demand:
        narrowed = tuple(_without_spot_and_reserved(one) for one in fleet.clusters)
        alone = _Run(dataclasses.replace(fleet, clusters=narrowed), catalog, scope, executor, None, stop or never)
        plans = [_compared(plan, other) for plan, other in zip(plans, alone.plans(), strict=True)]
    plans = [_at_versions(plan, one) for plan, one in zip(plans, observed.clusters, strict=True)]
    return merged(fleet, catalog, scope, tuple(plans))


def _without_versions(fleet: FleetSnapshot) -> FleetSnapshot:
    """The fleet without resource versions, on which no plan depends: what has not changed is known by its digest."""
    return dataclasses.replace(
        fleet, clusters=tuple(dataclasses.replace(one, resource_versions={}) for one in fleet.clusters)
    )


def _at_versions(plan: ClusterPlan, observed: ClusterSnapshot) -> ClusterPlan:
    """The plan with writes that rely on the versions in which their objects were observed."""
    actions = tuple(at_version(one, observed.resource_versions.get(one.object.key)) for one in plan.actions)
    return dataclasses.replace(plan, actions=actions)


class _Run:
    """All clusters planned once, within what they share."""

    def __init__(
        self,
        fleet: FleetSnapshot,
        catalog: Catalog,
        scope: Scope,
        executor: Executor | None,
        progress: Callable[[str], None] | None,
        stop: Callable[[], bool],
    ) -> None:
        self._fleet, self._scope, self._stop = fleet, scope, stop
        self._executor, self._progress = executor or Serial(), progress
        self._planned = partial(planned, catalog=catalog, scope=scope, stop=stop)
        if executor is None and progress is not None:  # news from elsewhere would have to travel
            self._planned = partial(self._planned, progress=progress)
        shared = shared_rows(fleet)
        kept = kept_amounts(shared, catalog, scope is Scope.PENDING)
        left = {row: max(0, row.amount - amount) for row, amount in kept.items()}
        self._scarcity = Scarcity(shared=shared, left=left, catalog=catalog)

    def plans(self) -> list[ClusterPlan]:
        """The plans in the order of the fleet's clusters; what is decided does not depend on that order."""
        clusters, wrong = self._fleet.clusters, contradictions(self._fleet)
        first = self._carried_out(
            [
                Order(cluster=one, wrong=wrong.get(one.name), fleet_left=self._scarcity.left_to(one) or None)
                for one in clusters
            ]
        )
        if not self._scarcity.shared:
            return first
        pools = {plan.name: plan.pool for plan in first if isinstance(plan.pool, Pool)}
        uses = [self._scarcity.use(plan, cluster) for plan, cluster in zip(first, clusters, strict=True)]
        plans, scarce = list(first), list[Limit]()
        while more := [row for row in self._scarcity.exceeded(uses) if row not in scarce]:
            scarce = sorted((*scarce, *more), key=lambda row: (row.name, str(row.quota)))
            concerned = [c for c, plan in enumerate(first) if self._counts(plan, clusters[c], scarce)]
            plans = list(first)
            for c, plan in zip(concerned, self._together([clusters[c] for c in concerned], scarce, pools), strict=True):
                plans[c] = plan
            uses = [self._scarcity.use(plan, cluster) for plan, cluster in zip(plans, clusters, strict=True)]
        return without_others_idle(self._scarcity.shared, plans)

    def _counts(self, plan: ClusterPlan, cluster: ClusterSnapshot, rows: Sequence[Limit]) -> bool:
        """Whether what a plan buys counts against any of these rows."""
        use = self._scarcity.use(plan, cluster)
        return any(use.get(row, 0) for row in rows)

    def _together(
        self, clusters: Sequence[ClusterSnapshot], rows: Sequence[Limit], pools: Mapping[str, Pool]
    ) -> list[ClusterPlan]:
        """Plans of clusters that share scarce rows, in the order given; decided in the order of their names."""
        if self._progress is not None:
            names = ", ".join(row.name for row in rows)
            self._progress(f"{names}: scarce, {len(clusters)} cluster(s) are planned again within what is left")
        order = sorted(clusters, key=lambda one: one.name)
        decided = orders(order, rows, self._scarcity, pools, self._scope, self._executor, self._stop)
        plans = {plan.name: plan for plan in self._carried_out(decided)}
        return [plans[one.name] for one in clusters]

    def _carried_out(self, orders: Sequence[Order]) -> list[ClusterPlan]:
        plans: list[ClusterPlan] = []
        for plan in self._executor.map(self._planned, orders):
            plans.append(plan)
            self._tell(plan, len(plans), len(orders))
        return plans

    def _tell(self, plan: ClusterPlan, done: int, clusters: int) -> None:
        if self._progress is not None:
            cost = f"${plan.usd_per_hour.after:.4g}/h, bound ${plan.usd_per_hour.lower_bound:.4g}/h"
            self._progress(f"{done}/{clusters} {plan.name}: {plan.error.splitlines()[0] if plan.error else cost}")


def _compared(plan: ClusterPlan, other: ClusterPlan) -> ClusterPlan:
    """The plan with what on-demand offerings alone would cost, where they place as much."""
    if plan.error is not None or other.error is not None:
        return plan
    if _unplaced(other) > _unplaced(plan):
        message = (
            f"on-demand offerings alone leave {_unplaced(other)} pods unplaced, so their cost compares with nothing"
        )
        note = Note(kind="on-demand-only", subject=plan.name, count=_unplaced(other), message=message)
        return dataclasses.replace(plan, notes=(*plan.notes, note))
    cost = dataclasses.replace(plan.usd_per_hour, on_demand_only=other.usd_per_hour.after)
    return dataclasses.replace(plan, usd_per_hour=cost)


def _without_spot_and_reserved(cluster: ClusterSnapshot) -> ClusterSnapshot:
    """The cluster as it would be with on-demand offerings only; reserved nodes that exist keep their price."""
    none_left = tuple({**entry, "count": 0} for entry in cluster.settings.reserved)
    settings = dataclasses.replace(cluster.settings, reserved=none_left, certify_search=0)
    return dataclasses.replace(cluster, capacity_types=("on-demand",), settings=settings)


def _unplaced(plan: ClusterPlan) -> int:
    return sum(entry.count for entry in plan.unplaced)
