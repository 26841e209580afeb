"""The loop's status board: a `Telling` that remembers how each cluster stands, for ``raypipe status``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from raypipe.controller.telling import Mode, Telling, Wait
from raypipe.manifests.origins import Observed
from raypipe.model.plan import ClusterPlan, FleetPlan
from raypipe.model.results import Result
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.model.status import ClusterStatus, Done, LeftOut, Status, Waited

MOST_DONE = 20
"""Actions remembered a cluster."""
MOST_LISTED = 100
"""Entries a cluster of what is left out and what is waited for: a status is read by people."""


def looked_at(status: Status, fleet: FleetSnapshot, at: datetime) -> Status:
    """A status of somebody else's loop with the clusters as they are now; what is on its way is seen in them."""
    board = StatusBoard(status)
    board.observed(at, fleet, {})
    for cluster in fleet.clusters:
        if not any(one.name == cluster.name and one.waits for one in status.clusters):
            coming = [Wait(object=f"Node//{node.name}", words="on its way") for node in cluster.nodes if node.coming]
            board.waiting(at, cluster.name, coming)
    return replace(board.status(), at=status.at or board.status().at)


class StatusBoard(Telling):
    """Ask it for `status` at the end of a cycle."""

    def __init__(self, known: Status | None = None) -> None:
        self._at = known.at if known is not None else None
        self._clusters = {one.name: one for one in (known.clusters if known is not None else ())}

    def status(self) -> Status:
        """How everything stands."""
        return Status(at=self._at, clusters=tuple(self._clusters.values()))

    def observed(self, at: datetime, fleet: FleetSnapshot, seen: Mapping[str, Observed]) -> None:
        """What there is; a cluster that cannot be seen keeps what was known of it."""
        del seen
        self._at = _time(at)
        before = self._clusters
        self._clusters = {one.name: _looked(before.get(one.name), one, _time(at)) for one in fleet.clusters}

    def decided(self, at: datetime, plan: FleetPlan, seconds: float) -> None:
        """What is wanted."""
        del seconds
        self._at = _time(at)
        for one in plan.clusters:
            known = self._clusters.get(one.name)
            if known is not None:
                self._clusters[one.name] = _planned(known, one, _time(at))

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        """What was done, the newest first."""
        known = self._clusters.get(plan.name)
        if known is None:
            return
        new = [_done(result, _time(at)) for result in reversed(results)]
        self._clusters[plan.name] = replace(known, mode=mode, done=(*new, *known.done)[:MOST_DONE])

    def waiting(self, at: datetime, cluster: str, waits: Sequence[Wait]) -> None:
        """What is under way."""
        self._at = _time(at)
        known = self._clusters.get(cluster)
        if known is not None:
            now = tuple(Waited(object=one.object, words=one.words, since=_since(one)) for one in waits[:MOST_LISTED])
            self._clusters[cluster] = replace(known, waits=now)


def _looked(known: ClusterStatus | None, cluster: ClusterSnapshot, at: str) -> ClusterStatus:
    status = known or ClusterStatus(name=cluster.name, context=cluster.context)
    if cluster.error is not None:
        return replace(status, error=cluster.error)
    coming = sum(node.coming for node in cluster.nodes)
    sold_out = tuple(f"{one.instance_type} {one.zone} {one.capacity_type}" for one in sorted(cluster.unavailable))
    return replace(
        status,
        seen_at=at,
        error=None,
        nodes=len(cluster.nodes) - coming,
        coming=coming,
        pending=sum(group.count for group in cluster.demand),
        unavailable=sold_out,
    )


def _planned(known: ClusterStatus, plan: ClusterPlan, at: str) -> ClusterStatus:
    if plan.error is not None:
        return replace(known, error=plan.error)
    left_out = [LeftOut(pods=one.pods, count=one.count, why=one.message or one.reason) for one in plan.unplaced]
    return replace(
        known,
        decision_id=plan.decision_id,
        decided_at=at,
        usd_per_hour_now=plan.usd_per_hour.before,
        usd_per_hour_after=plan.usd_per_hour.after,
        usd_per_hour_bound=plan.usd_per_hour.lower_bound,
        unplaced=tuple(left_out[:MOST_LISTED]),
    )


def _done(result: Result, at: str) -> Done:
    action = result.action
    words = result.words or action.reason
    return Done(at=at, kind=action.kind, object=action.object.key, outcome=result.outcome, words=words)


def _since(wait: Wait) -> str | None:
    return None if wait.since is None else _time(wait.since)


def _time(at: datetime) -> str:
    """Whole seconds, in UTC: what people read."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
