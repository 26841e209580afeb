"""Plans, clusters and results as the loop would tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from raypipe.controller.telling import Mode, Wait
from raypipe.manifests.origins import Observed
from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.plan import Bought, ClusterPlan, Cost, FleetPlan, Inputs, PlannedNode, Unplaced
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.results import Outcome, Result
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def buy(name: str = "research-3f9a1c0b77-0001", **more: Any) -> Action:
    """An action that buys a node through a claim."""
    target = ObjectRef(kind="NodeClaim", name=name)
    return Action(id="0a1b2c3d4e5f", kind=ActionKind.BUY_NODE, object=target, reason="2 pods have no place", **more)


def suspend(name: str = "train") -> Action:
    """An action that suspends a RayJob."""
    target = ObjectRef(kind="RayJob", name=name, namespace="ml")
    return Action(id="5f4e3d2c1b0a", kind=ActionKind.SUSPEND_RAY_JOB, object=target, reason="a limit keeps it out")


def result(action: Action, outcome: Outcome = Outcome.DONE, words: str = "") -> Result:
    """What became of it."""
    return Result(action=action, outcome=outcome, words=words)


def node(name: str = "research-3f9a1c0b77-0001", existing: bool = False, **more: Any) -> PlannedNode:
    """A planned node with two pods of a Deployment."""
    values: dict[str, Any] = {
        "pool": None,
        "instance_type": "m7g.large",
        "region": "us-east-1",
        "zone": "us-east-1a",
        "capacity_type": "spot",
        "usd_per_hour": 0.04,
        "list_usd_per_hour": 0.04,
        "pods": {"Deployment/shop/web": 2},
        "added": {} if existing else {"Deployment/shop/web": 2},
        "requested": {},
        "reserved": {},
        "allocatable": {},
    } | more
    return PlannedNode(name=name, existing=existing, **values)


def cluster_plan(actions: Sequence[Action] = (), unplaced: Sequence[Unplaced] = (), **more: Any) -> ClusterPlan:
    """One cluster's plan: $10/h now, $12.34/h after, $12.20/h proven."""
    values: dict[str, Any] = {
        "name": "research",
        "context": "prod",
        "decision_id": "3f9a1c0b77de",
        "usd_per_hour": Cost(before=10.0, after=12.34, lower_bound=12.2),
        "gap_fraction": 0.011475,
        "bought": Bought(usd_per_hour=2.34, lower_bound=2.2, gap_fraction=0.06),
    } | more
    return ClusterPlan(actions=tuple(actions), unplaced=tuple(unplaced), **values)


def fleet_plan(*clusters: ClusterPlan) -> FleetPlan:
    """A fleet's plan of these."""
    inputs = Inputs(snapshot="sha256:aa", catalog="sha256:bb", settings="sha256:cc")
    return FleetPlan(decision_id="a41c07e95b32", inputs=inputs, clusters=clusters)


def fleet(*clusters: ClusterSnapshot) -> FleetSnapshot:
    """A fleet as it was observed."""
    return FleetSnapshot(clusters=clusters, observed_at="2026-11-25T12:00:00Z")


def cluster(**more: Any) -> ClusterSnapshot:
    """A cluster in which three pods wait."""
    waiting = PodGroup(key="Deployment/shop/web", spec=PodSpec(), count=3)
    return ClusterSnapshot(**({"name": "research", "context": "prod", "demand": (waiting,)} | more))


def seen(*objects: Mapping[str, Any]) -> dict[str, Observed]:
    """What the API server told."""
    return {"prod": Observed(context="prod", objects=objects)}


class Recorder:
    """A `Telling` that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def observed(self, at: datetime, fleet: FleetSnapshot, seen: Mapping[str, Observed]) -> None:
        self.told.append(("observed", at, fleet, seen))

    def supplied(self, prices_read: datetime | None, shards_died: int | None) -> None:
        self.told.append(("supplied", prices_read, shards_died))

    def decided(self, at: datetime, plan: FleetPlan, seconds: float) -> None:
        self.told.append(("decided", at, plan, seconds))

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        self.told.append(("acted", at, plan, mode, results))

    def waiting(self, at: datetime, cluster: str, waits: Sequence[Wait]) -> None:
        self.told.append(("waiting", at, cluster, waits))
