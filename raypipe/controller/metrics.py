"""The loop's figures for Prometheus, all called ``raypipe_…``.

Gauges say how a cluster stands after the last look at it, counters and histograms what has happened since the start. A
cluster that is not planned any more, or whose nodes of a kind are gone, has no figure rather than an old one.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from raypipe.controller.telling import Mode, Telling, Wait
from raypipe.manifests.origins import Observed
from raypipe.model.actions import ActionKind
from raypipe.model.nodes import Unavailable
from raypipe.model.plan import ClusterPlan, FleetPlan
from raypipe.model.results import Result
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot

SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
"""Upper ends of the classes of the histogram: from an idle cycle to a fleet planned from nothing."""


class Metrics(Telling):
    """A `Telling` that counts; `registry` is what a scrape reads."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        cluster = ("cluster",)
        self._up = Gauge("raypipe_cluster_up", "1: seen at the last look, 0: not", cluster, registry=registry)
        self._pending = Gauge("raypipe_pending_pods", "Pods that want a place", cluster, registry=registry)
        self._unplaced = Gauge("raypipe_unplaced_pods", "Pods that the plan gives none", cluster, registry=registry)
        self._before = Gauge("raypipe_current_usd_per_hour", "What the nodes cost now", cluster, registry=registry)
        self._planned = Gauge("raypipe_planned_usd_per_hour", "What they cost after it", cluster, registry=registry)
        self._bound = Gauge("raypipe_bound_usd_per_hour", "No plan costs less", cluster, registry=registry)
        self._gap = Gauge("raypipe_gap_fraction", "Planned over bound, less 1", cluster, registry=registry)
        kind = ("cluster", "instance_type", "capacity_type")
        self._nodes = Gauge("raypipe_nodes", "Nodes that exist", kind, registry=registry)
        self._under_way = Gauge("raypipe_under_way", "What is waited for", cluster, registry=registry)
        self._solve = Histogram("raypipe_solve_seconds", "Time to plan the fleet", registry=registry, buckets=SECONDS)
        ends = ("cluster", "kind", "result")
        self._actions = Counter("raypipe_actions_total", "Actions carried out", ends, registry=registry)
        ended = ("cluster", "result")
        self._evictions = Counter("raypipe_evictions_total", "Pods asked to leave a node", ended, registry=registry)
        sold_out = ("cluster", "instance_type", "zone", "capacity_type")
        self._failures = Counter(
            "raypipe_capacity_failures_total", "Purchases that could not be had", sold_out, registry=registry
        )
        self._price_age = Gauge("raypipe_price_age_seconds", "Since prices were read last", registry=registry)
        self._restarts = Counter("raypipe_shard_restarts_total", "Planner shards started anew", registry=registry)
        self._clusters: frozenset[str] = frozenset()
        self._unavailable: dict[str, frozenset[Unavailable]] = {}
        self._prices_read: datetime | None = None
        self._deaths = 0

    def observed(self, at: datetime, fleet: FleetSnapshot, seen: Mapping[str, Observed]) -> None:
        """How the clusters stand; an offering that is newly unavailable is a failed purchase."""
        del seen
        names = frozenset(cluster.name for cluster in fleet.clusters)
        for gone in self._clusters - names:
            self._forget(gone)
        self._clusters = names
        for cluster in fleet.clusters:
            self._up.labels(cluster.name).set(cluster.error is None)
            if cluster.error is None:
                self._pending.labels(cluster.name).set(sum(group.count for group in cluster.demand))
                self._count_failures(cluster)
        if self._prices_read is not None:
            self._price_age.set((at - self._prices_read).total_seconds())

    def decided(self, at: datetime, plan: FleetPlan, seconds: float) -> None:
        """What the plan says of each cluster."""
        del at
        self._solve.observe(seconds)
        for cluster in plan.clusters:
            if cluster.error is None:
                self._tell_plan(cluster)

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        """Count what was carried out."""
        del at, mode
        for result in results:
            self._actions.labels(plan.name, result.action.kind, result.outcome).inc()
            if result.action.kind is ActionKind.EVICT_POD:
                self._evictions.labels(plan.name, result.outcome).inc()

    def waiting(self, at: datetime, cluster: str, waits: Sequence[Wait]) -> None:
        """How much is under way."""
        del at
        self._under_way.labels(cluster).set(len(waits))

    def supplied(self, prices_read: datetime | None, shards_died: int | None) -> None:
        """Remember when prices were read, and count shards; a Coordinator that was started anew counts them from 0."""
        self._prices_read = prices_read
        if shards_died is not None:
            self._restarts.inc(shards_died - self._deaths if shards_died >= self._deaths else shards_died)
            self._deaths = shards_died

    def _tell_plan(self, plan: ClusterPlan) -> None:
        cost = plan.usd_per_hour
        self._unplaced.labels(plan.name).set(sum(entry.count for entry in plan.unplaced))
        self._before.labels(plan.name).set(cost.before)
        self._planned.labels(plan.name).set(cost.after)
        self._bound.labels(plan.name).set(cost.lower_bound)
        if plan.gap_fraction is None:
            self._gap.remove_by_labels({"cluster": plan.name})
        else:
            self._gap.labels(plan.name).set(plan.gap_fraction)
        self._nodes.remove_by_labels({"cluster": plan.name})
        kinds = Tally((node.instance_type, node.capacity_type) for node in plan.nodes if node.existing)
        for (instance_type, capacity_type), count in sorted(kinds.items()):
            self._nodes.labels(plan.name, instance_type, capacity_type).set(count)

    def _count_failures(self, cluster: ClusterSnapshot) -> None:
        now = frozenset(cluster.unavailable)
        for one in sorted(now - self._unavailable.get(cluster.name, frozenset())):
            self._failures.labels(cluster.name, one.instance_type, one.zone, one.capacity_type).inc()
        self._unavailable[cluster.name] = now

    def _forget(self, cluster: str) -> None:
        """Drop the gauges of a cluster; what has been counted of it stays counted."""
        gauges = (self._up, self._pending, self._unplaced, self._before, self._planned, self._bound, self._gap)
        for gauge in (*gauges, self._nodes, self._under_way):
            gauge.remove_by_labels({"cluster": cluster})
        self._unavailable.pop(cluster, None)
