"""The live loop by hand, for tests: one turn after another, each from what is seen alone."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from raypipe.adapters.kubernetes import Writer, look
from raypipe.adapters.nodes import NodeBackend
from raypipe.catalog import Catalog
from raypipe.controller import binding, removing
from raypipe.controller.acting import carry_out
from raypipe.cycle import Memory, allowed, looked, with_facts
from raypipe.fleet import plan_fleet
from raypipe.manifests import read_paths
from raypipe.manifests.origins import Observed
from raypipe.manifests.pending import objects_in, pending_pods
from raypipe.model.actions import ActionKind
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.results import Outcome, Result
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings
from raypipe.validation import check_plan


@dataclass(kw_only=True)
class Turns:
    """Looks, plans, acts, and remembers what tests ask about.

    Attributes:
        bought, marked: nodes, in the order in which that was done. most_leaving: at once. words: what was waited for.
    """

    context: str
    fleet: Path
    writer: Writer
    backend: NodeBackend
    catalog: Catalog
    settings: Settings = field(default_factory=Settings)
    bought: list[str] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)
    most_leaving: int = 0
    words: set[str] = field(default_factory=set)
    plan: ClusterPlan | None = None
    _memory: Memory = field(default_factory=Memory)

    def turn(self, *, plans: bool = True) -> bool:
        """One turn; whether anything is still to be done or waited for."""
        cluster, observed = self._look()
        self.most_leaving = max(self.most_leaving, sum(node.leaving for node in cluster.nodes))
        if plans:
            self._decide(cluster, observed)
        settings = cluster.settings
        objects = objects_in(observed)
        filling = binding.binding_steps(objects, settings, datetime.now(UTC))
        binding.take([one for one in filling if one.binds or one.nominated or one.patch], self.writer)
        steps, waits = removing.next_steps(cluster, objects, self.plan)
        waits += removing.take(steps, self.writer, self.backend)
        self.words.update(one.words for one in waits)
        todo = plans and self.plan is not None and bool(self.plan.actions)
        coming = any(node.coming or node.why_closed == "not ready" for node in cluster.nodes)
        return bool(todo or coming or filling or steps or waits)

    def settle(self, within_s: float) -> None:
        """Turn until nothing is left to do."""
        until = time.monotonic() + within_s
        while self.turn():
            assert time.monotonic() < until, f"not settled after {within_s} s: {self.words} {self.plan}"
            time.sleep(0.3)

    def cost(self, scope: Scope = Scope.PENDING) -> float:
        """What the cluster costs now, or what its pods would cost planned anew: $/h."""
        cluster, _ = self._look()
        made = plan_fleet(FleetSnapshot(clusters=(replace(cluster, facts={}),)), self.catalog, scope=scope)
        return made.usd_per_hour.after if scope is Scope.WHOLE else made.usd_per_hour.before

    def _look(self) -> tuple[ClusterSnapshot, Observed]:
        seen = look([self.context])
        fleet = read_paths((self.fleet,), observe=lambda _: seen, settings=self.settings)
        (cluster,) = fleet.clusters
        assert cluster.error is None, cluster.error
        now = time.time()
        self._memory = looked(self._memory, cluster, (), (), self.catalog, now)
        return with_facts(cluster, self._memory, now), seen[self.context]

    def _decide(self, cluster: ClusterSnapshot, observed: Observed) -> None:
        fleet = FleetSnapshot(clusters=(cluster,))
        made = plan_fleet(fleet, self.catalog)
        check_plan(made, fleet, self.catalog)
        (plan,) = made.clusters
        self.plan = replace(plan, actions=allowed(plan, cluster).actions)
        pods = pending_pods(objects_in(observed), cluster.settings)
        for result in carry_out(self.plan, self.writer, self.backend, pods, cluster.settings):
            self._keep(result)

    def _keep(self, result: Result) -> None:
        assert result.outcome is not Outcome.FAILED, result.words
        if result.outcome is Outcome.DONE and not result.words:
            kept = {ActionKind.BUY_NODE: self.bought, ActionKind.REMOVE_NODE: self.marked}.get(result.action.kind)
            if kept is not None:
                kept.append(result.action.object.name)
