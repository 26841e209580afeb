"""The live loop: look at all clusters, decide, do it, and look again.

A cycle is level-triggered: whatever is seen is the whole truth, and whatever is under way is kept in the clusters
themselves, so a loop that was killed at any moment goes on by looking. Each cluster stands alone: one that cannot be
seen, planned or written to keeps its last plan, which is not acted on, and the others are served.

A change is waited for; then cycles come when changes have settled (`settle_s`), or at the latest after `settle_most_s`.
Meanwhile what is under way is moved on at once, while a plan is made, too, by a thread of its own: pods that wait for a
node to be ready do not wait for a plan.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from raypipe.adapters.kubernetes.cache import NOT_READ_YET
from raypipe.catalog import Catalog
from raypipe.controller.durable import PAUSED, Durable, memory_name
from raypipe.controller.hands import Hands
from raypipe.controller.live import Holding, Live, names
from raypipe.controller.telling import Mode, Telling, Wait
from raypipe.cycle import Memory, next_due
from raypipe.errors import InputError, RaypipeError
from raypipe.manifests.origins import Observe, Observed
from raypipe.model.plan import FleetPlan
from raypipe.model.results import Result
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings

MOVE_ON_S = 0.25
"""Least seconds between two looks at what is under way."""
SHARE = 3
"""What is under way is looked at for at most a third of the time, however large the clusters are."""


class Watching(Protocol):
    """Looks at live clusters. `Sources` is one."""

    def observe(self, contexts: Sequence[str], /) -> Mapping[str, Observed]: ...

    def renew(self, context: str, /) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a loop is made of.

    Attributes:
        read: the fleet, by what `observe` sees of its clusters. plan: a validated plan of a fleet.
        catalog: what is believed of prices now. equip: what acts on a cluster, and whether this loop may.
        telling: is told everything. complain: told what goes wrong, in a line. clock: seconds since 1970.
        finished: called at the end of each cycle.
    """

    read: Callable[[Observe], FleetSnapshot]
    sources: Watching
    plan: Callable[[FleetSnapshot, Catalog], FleetPlan]
    catalog: Callable[[], Catalog]
    equip: Callable[[ClusterSnapshot], tuple[Hands, Holding]]
    durable: Durable
    telling: Telling
    complain: Callable[[str], None]
    clock: Callable[[], float] = time.time
    finished: Callable[[], None] = lambda: None


class Loop:
    """One loop over a fleet. acts: whether it carries decisions out; else everything is a dry run."""

    def __init__(self, parts: Parts, *, acts: bool) -> None:
        self._parts, self._acts = parts, acts
        self._lives: dict[str, Live] = {}
        self._saved: dict[str, bytes] = {}
        self._complaints: dict[str, str] = {}
        self._paused = False
        self._seen: Mapping[str, Observed] = {}
        self._look_took_s = 0.0
        self._catalog: Catalog  # of the last cycle, whose beginning asks for it
        self.plans: dict[str, FleetPlan] = {}
        self.bell = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Cycle until `stop` is set; whoever sets it rings the bell. What is wrong from the start ends it at once."""
        self.cycle()
        while not stop.is_set():
            self._wait(stop)
            try:
                self.cycle()
            except RaypipeError as error:
                self._complain("cycle", f"nothing is done until that is mended: {error}")
            else:
                self._complain("cycle", None)

    def cycle(self) -> None:
        """One turn: look, decide, act, tell, remember."""
        parts = self._parts
        at = self._now()
        self._ask_whether_paused()
        self._catalog = parts.catalog()
        fleet = self._look()
        seen = {live.name: live for live in self._readable(fleet)}
        parts.telling.observed(at, self._with_facts(fleet), self._seen)
        sighted = [live for live in seen.values() if not self._is_blind(live)]
        self._decide(fleet, sighted)
        for live in seen.values():
            self._act(live, at, is_sighted=live in sighted)
        self._remember()

    def once(self) -> None:
        """One cycle; where the Lease is another's still, as soon as that has run out."""
        until = time.monotonic() + 2 * self._settings().lease_s
        self.cycle()
        while self._acts and not self._may_act_everywhere() and time.monotonic() < until:
            self.bell.wait(0.5)
            self.bell.clear()
            self.cycle()

    @property
    def errors(self) -> Mapping[str, str]:
        """What goes wrong now, by cluster."""
        return {about: words for about, words in self._complaints.items() if about in self._met()}

    def _met(self) -> set[str]:
        return {*self._lives, *self._seen}

    def _may_act_everywhere(self) -> bool:
        return all(live.may_act() for live in self._lives.values())

    def move_on(self, *, renews: bool) -> None:
        """Look again, and do the next step of what is under way; not `renews`: a cycle goes on with what it saw."""
        at = self._now()
        for live in self._readable(self._look(renews=renews)):
            if self._mode() is Mode.ACTING and live.may_act():
                live.move_on(self._seen[live.context], at)

    def _keep_moving(self, *, renews: bool) -> None:
        """Move on; what cannot be seen now is seen later."""
        try:
            self.move_on(renews=renews)
        except RaypipeError as error:
            self._complain("moving on", f"what is under way is not moved on: {error}")
        else:
            self._complain("moving on", None)

    def next_due(self) -> float | None:
        """When time alone changes something, in seconds since 1970."""
        now = self._parts.clock()
        due = [next_due(live.memory, live.cluster, now) for live in self._lives.values() if live.cluster is not None]
        return min((one for one in due if one is not None), default=None)

    def _look(self, *, renews: bool = True) -> FleetSnapshot:
        """All clusters as they are now, those that this loop has begun to act on read anew."""
        begun = time.monotonic()
        for live in self._lives.values():
            if renews and live.begins_term():
                self._parts.sources.renew(live.context)
        seen: dict[str, Observed] = {}

        def observe(contexts: Sequence[str]) -> Mapping[str, Observed]:
            found = self._parts.sources.observe(contexts)
            seen.update(found)
            return found

        try:
            fleet = self._parts.read(observe)
        except InputError as error:
            if not seen:
                raise
            fleet = FleetSnapshot(clusters=tuple(self._unread(context, one, error) for context, one in seen.items()))
        self._seen = seen
        self._take_in(fleet)
        self._look_took_s = time.monotonic() - begun
        return fleet

    def _unread(self, context: str, seen: Observed, error: InputError) -> ClusterSnapshot:
        """A cluster of which nothing is known now, as it was called before."""
        name = next((live.name for live in self._lives.values() if live.context == context), context)
        return ClusterSnapshot(name=name, context=context, error=seen.error or str(error))

    def _take_in(self, fleet: FleetSnapshot) -> None:
        for cluster in fleet.clusters:
            if not (cluster.error or "").endswith(NOT_READ_YET):
                self._complain(cluster.name, cluster.error)
            if cluster.error is not None or cluster.context is None:
                continue
            live = self._lives.get(cluster.name) or self._meet(cluster)
            live.look(cluster, self._seen[cluster.context], self._catalog, self._parts.clock())

    def _meet(self, cluster: ClusterSnapshot) -> Live:
        """A cluster that is seen for the first time, with what is remembered of it."""
        assert cluster.context is not None
        hands, holding = self._parts.equip(cluster)
        live = Live(cluster.name, cluster.context, hands, holding, self._remembered(cluster.name))
        live.pool = cluster.pool
        self._lives[cluster.name] = live
        return live

    def _remembered(self, cluster: str) -> Memory:
        try:
            text = self._parts.durable.read(memory_name(cluster))
            return Memory() if text is None else Memory.from_json(text)
        except (RaypipeError, ValueError, RecursionError) as error:
            self._parts.complain(f"{cluster}: nothing is remembered: {error}")
            return Memory()

    def _readable(self, fleet: FleetSnapshot) -> list[Live]:
        return [self._lives[one.name] for one in fleet.clusters if one.error is None and one.name in self._lives]

    def _is_blind(self, live: Live) -> bool:
        return live.is_blind(self._seen[live.context])

    def _decide(self, fleet: FleetSnapshot, lives: Sequence[Live]) -> None:
        """Plan what has changed.

        What clusters share is planned together, with the others as they were last seen.
        """
        changed = [live for live in lives if live.wants_plan(self._catalog)]
        if not changed:
            return
        if not _shares(fleet):
            self._plan(fleet, changed, changed)
            return
        unknown = [one.name for one in fleet.clusters if one.name not in self._lives]
        if unknown:
            self._complain("fleet", f"nothing is bought under shared limits while {', '.join(unknown)} is not seen")
            return
        self._complain("fleet", None)
        self._plan(fleet, list(self._lives.values()), lives)

    def _plan(self, fleet: FleetSnapshot, asked: Sequence[Live], decided: Sequence[Live]) -> None:
        """Plan clusters together; where that fails, each alone, so that one does not keep the others waiting."""
        clusters = tuple(live.asked(self._catalog) for live in asked)
        begun = time.monotonic()
        try:
            plan = self._planned(dataclasses.replace(fleet, clusters=clusters))
        except Exception as error:  # noqa: BLE001 - the control loop: a cluster that cannot be planned waits
            if len(asked) > 1 and not _shares(fleet):
                for live in asked:
                    self._plan(fleet, [live], [live])
                return
            for live in decided:
                live.undecided()
            self._complain(f"plan of {names(asked)}", f"{names(asked)}: not planned: {error}")
            return
        self._complain(f"plan of {names(asked)}", None)
        plans = {one.name: one for one in plan.clusters}
        for live in decided:
            live.decided(plans[live.name])
            self.plans[live.name] = plan
        self._parts.telling.decided(self._now(), plan, time.monotonic() - begun)

    def _planned(self, fleet: FleetSnapshot) -> FleetPlan:
        """The plan; what is under way is moved on until it is made."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="plan") as thread:
            made = thread.submit(self._parts.plan, fleet, self._catalog)
            while not wait([made], timeout=max(MOVE_ON_S, SHARE * self._look_took_s)).done:
                if self._under_way():
                    self._keep_moving(renews=False)
            return made.result()

    def _act(self, live: Live, at: datetime, *, is_sighted: bool) -> None:
        """Do what is to be done in a cluster, as far as that is allowed, and tell of it."""
        mode, results, waits = self._mode(), list[Result](), live.coming()
        if not is_sighted:
            waits.append(Wait(object=f"Cluster//{live.name}", words="what was bought is not seen yet"))
        if mode is Mode.ACTING and not live.may_act():
            why = "it was got a moment ago" if live.holding.held() else live.holding.why_not
            waits.append(Wait(object="Lease/default/raypipe", words=why))
        elif mode is Mode.ACTING:
            seen = self._seen[live.context]
            if is_sighted:
                done, more = live.act(seen, at)
                results += done
            else:
                more = live.move_on(seen, at)
            waits += more
        # Of two loops the one that may act tells, so that nothing is told twice.
        if live.plan is not None and (results or not live.is_told) and (mode is Mode.DRY_RUN or live.may_act()):
            self._parts.telling.acted(at, live.plan, mode, results)
            live.is_told = True
        self._parts.telling.waiting(at, live.name, waits)

    def _mode(self) -> Mode:
        if not self._acts:
            return Mode.DRY_RUN
        return Mode.PAUSED if self._paused else Mode.ACTING

    def _ask_whether_paused(self) -> None:
        """Whether somebody has said `raypipe pause`; where that cannot be told, it is as it was."""
        try:
            self._paused = self._parts.durable.read(PAUSED) is not None
            self._complain("paused", None)
        except RaypipeError as error:
            self._complain("paused", f"whether the loop is paused cannot be told: {error}")

    def _with_facts(self, fleet: FleetSnapshot) -> FleetSnapshot:
        known = {live.name: live.cluster for live in self._lives.values() if live.cluster is not None}
        clusters = tuple(one if one.error is not None else known.get(one.name, one) for one in fleet.clusters)
        return dataclasses.replace(fleet, clusters=clusters)

    def _remember(self) -> None:
        """Write down what has changed in what is remembered."""
        for live in self._lives.values():
            name, text = memory_name(live.name), live.memory.to_json().encode()
            if self._saved.get(name) == text:
                continue
            try:
                self._parts.durable.write(name, text)
                self._saved[name] = text
                self._complain(name, None)
            except RaypipeError as error:
                self._complain(name, f"{live.name}: not remembered: {error}")
        try:
            self._parts.finished()
            self._complain("status", None)
        except RaypipeError as error:
            self._complain("status", f"the status is not written: {error}")

    def _complain(self, about: str, words: str | None) -> None:
        """Say once what goes wrong, and nothing while it stays so."""
        if words is not None and self._complaints.get(about) != words:
            self._parts.complain(words)
        if words is None:
            self._complaints.pop(about, None)
        else:
            self._complaints[about] = words

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._parts.clock(), UTC)

    def _settings(self) -> Settings:
        return next((live.cluster.settings for live in self._lives.values() if live.cluster is not None), Settings())

    def _wait(self, stop: threading.Event) -> None:
        """Wait for changes and until they have settled; what is under way is moved on meanwhile."""
        settings = self._settings()
        due = self.next_due()
        until_due = settings.settle_most_s if due is None else max(0.0, due - self._parts.clock())
        if not self.bell.wait(min(settings.settle_most_s, until_due)):
            return
        begun = time.monotonic()
        moved = begun
        while not stop.is_set() and time.monotonic() - begun < settings.settle_most_s:
            self.bell.clear()
            if self._under_way() and time.monotonic() - moved >= max(MOVE_ON_S, SHARE * self._look_took_s):
                self._keep_moving(renews=True)
                moved = time.monotonic()
            if not self.bell.wait(settings.settle_s):
                return

    def _under_way(self) -> bool:
        """Whether a node is on its way, closed or being emptied: its next step does not wait for a plan."""
        return self._mode() is Mode.ACTING and any(live.is_under_way for live in self._lives.values())


def _shares(fleet: FleetSnapshot) -> bool:
    """Whether clusters share a limit or a quota."""
    return bool(fleet.limits) or any(cluster.settings.quotas for cluster in fleet.clusters)
