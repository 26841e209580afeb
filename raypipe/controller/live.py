"""One cluster as the loop knows it from cycle to cycle: its memory, its last decision, and what of that is left to do.

Two rules keep a node from being bought twice. A plan is made from what is observed, and nothing is planned for a
cluster while a node that was bought is not seen in it yet (`is_blind`): a watch is a moment behind what was written.
And nothing is done unless this loop has held the Lease since before it looked (`may_act`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from raypipe.catalog import Catalog
from raypipe.controller.hands import Hands
from raypipe.controller.telling import Wait
from raypipe.cycle import Allowed, Memory, allowed, given_up, looked, with_facts
from raypipe.manifests.launches import Launch, arrived, held_nodes, launches
from raypipe.manifests.origins import Observed
from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.plan import ClusterPlan
from raypipe.model.pool import Pool
from raypipe.model.results import Outcome, Result
from raypipe.model.snapshot import ClusterSnapshot, cluster_digest, digest

_AWAITED = ("NodeClaim", "Node")
"""Kinds of object that are seen once they are bought."""


class Holding(Protocol):
    """Whether this loop is the one that acts; `term`: how often it became so. `Lease` is one."""

    term: int
    why_not: str

    def held(self) -> bool:
        """Whether it may act now."""


class Live:
    """One cluster. What it does to it, it does by its `hands`."""

    def __init__(self, name: str, context: str, hands: Hands, holding: Holding, memory: Memory) -> None:
        self.name, self.context, self.holding, self.memory = name, context, holding, memory
        self._hands = hands
        self._term = 0
        self._inputs = self._asked = ""
        self._bought: set[ObjectRef] = set()
        self._skipped: dict[str, str | None] = {}
        self._left: tuple[Action, ...] = ()
        self.cluster: ClusterSnapshot | None = None
        self.launches: Sequence[Launch] = ()
        self.is_under_way = False
        self.is_told = True
        self.plan: ClusterPlan | None = None
        self.pool: Pool | None = None

    def begins_term(self) -> bool:
        """Whether it has become this loop's to act here since the last look: what is known may lack what others did."""
        if not self.holding.held() or self.holding.term == self._term:
            return False
        self._term = self.holding.term
        return True

    def may_act(self) -> bool:
        """Whether this loop has been the one that acts since before it looked."""
        return self.holding.held() and self.holding.term == self._term

    def look(self, cluster: ClusterSnapshot, seen: Observed, catalog: Catalog, now: float) -> None:
        """Take in a cluster as it is now."""
        self.launches = launches(seen.objects)
        self.is_under_way = bool(self.launches) or bool(held_nodes(seen.objects))
        self.memory = looked(self.memory, cluster, self.launches, arrived(seen.objects), catalog, now)
        known = with_facts(cluster, self.memory, now)
        self.cluster = known if self.pool is None else dataclasses.replace(known, pool=self.pool)

    def is_blind(self, seen: Observed) -> bool:
        """Whether something that was bought is not seen yet; what is not there by the API server either is let go."""
        there = {(one.get("kind"), one["metadata"].get("name")) for one in seen.objects} if self._bought else set()
        unseen = {one for one in self._bought if (one.kind, one.name) not in there}
        self._bought = {one for one in unseen if self._hands.exists(one)}
        return bool(self._bought)

    def wants_plan(self, catalog: Catalog) -> bool:
        """Whether anything has changed that a plan depends on, or that a write relied on and was skipped for."""
        return self.cluster is not None and (self._digest(catalog) != self._inputs or self._has_moved())

    def asked(self, catalog: Catalog) -> ClusterSnapshot:
        """The cluster as it is planned now; it may be looked at again before there is a plan."""
        assert self.cluster is not None
        self._asked = self._digest(catalog)
        return self.cluster

    def decided(self, plan: ClusterPlan) -> None:
        """Take in what is to be done."""
        self._inputs, self.plan, self._left, self._skipped = self._asked, plan, plan.actions, {}
        self.is_told = False
        self.pool = plan.pool if isinstance(plan.pool, Pool) else self.pool

    def undecided(self) -> None:
        """There is no plan of what was seen, until the next cycle; the last one is stale, and nothing of it is done."""
        self._inputs, self._left = "", ()
        if self.plan is not None:
            self.plan = dataclasses.replace(self.plan, stale=True)

    def act(self, seen: Observed, at: datetime) -> tuple[Sequence[Result], list[Wait]]:
        """Do all that is to be done now; what became of it, and what is waited for."""
        assert self.cluster is not None
        waits = self._take_back(at.timestamp())
        results: Sequence[Result] = ()
        if self._left and self.plan is not None:
            now = allowed(dataclasses.replace(self.plan, actions=self._left), self.cluster)
            results = self._carry_out(now, seen)
            waits += [Wait(object=one.action.object.key, words=f"held back: {one.words}") for one in now.held]
        waits += self._hands.move_on(self.cluster, seen, self.plan, at)
        return (*results, *self._hands.taken()), waits

    def coming(self) -> list[Wait]:
        """What has been bought and has not registered yet."""
        started = self.memory.launches
        return [
            Wait(
                object=f"{one.kind}//{one.name}",
                words="on its way",
                since=datetime.fromtimestamp(started[one.name].at, UTC),
            )
            for one in self.launches
        ]

    def move_on(self, seen: Observed, at: datetime) -> list[Wait]:
        """Move on what is under way, and decide nothing."""
        assert self.cluster is not None
        return list(self._hands.move_on(self.cluster, seen, self.plan, at))

    def _carry_out(self, now: Allowed, seen: Observed) -> Sequence[Result]:
        assert self.plan is not None
        assert self.cluster is not None
        # Before the first write, so that an end in between leaves nothing unwaited for.
        self._bought |= {one.object for one in now.actions if _is_awaited(one)}
        self.is_under_way = self.is_under_way or bool(self._bought)
        results = self._hands.carry_out(dataclasses.replace(self.plan, actions=now.actions), self.cluster, seen)
        failed = [one.action for one in results if one.outcome is Outcome.FAILED]
        skipped = [one.action for one in results if one.outcome is Outcome.SKIPPED]
        versions = self.cluster.resource_versions
        self._skipped |= {one.object.key: versions.get(one.object.key) for one in skipped}
        again = {one.id for one in (*failed, *(held.action for held in now.held))}
        self._left = tuple(one for one in self._left if one.id in again)
        return results

    def _take_back(self, now: float) -> list[Wait]:
        """Let go of launches that came to nothing."""
        assert self.cluster is not None
        waits: list[Wait] = []
        for one in given_up(self.memory, self.launches, self.cluster.settings, now):
            words = self._hands.take_back(one.launch)
            told = f"given up: {one.words}" + (f"; it cannot be taken back: {words}" if words else "")
            waits.append(Wait(object=f"{one.launch.kind}//{one.launch.name}", words=told))
        return waits

    def _digest(self, catalog: Catalog) -> str:
        assert self.cluster is not None
        return digest([cluster_digest(self.cluster), digest(self.cluster.settings), catalog.digest])

    def _has_moved(self) -> bool:
        """Whether an object has changed since a write to it was skipped for not being as it was."""
        assert self.cluster is not None
        versions = self.cluster.resource_versions
        return any(versions.get(key) != version for key, version in self._skipped.items())


def _is_awaited(action: Action) -> bool:
    return action.kind is ActionKind.BUY_NODE and action.object.kind in _AWAITED


def names(lives: Iterable[Live]) -> str:
    """The clusters' names, for a sentence."""
    return ", ".join(sorted(live.name for live in lives))
