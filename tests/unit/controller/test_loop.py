"""The loop over a small world of its own: whatever happens to it, no node is bought twice.

The world has one cluster with pods that want a place and claims that were made. What the loop sees of it may be behind,
and it may be killed before or after any write.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pytest

import raypipe
from raypipe.catalog import Catalog
from raypipe.controller.durable import PAUSED, Durable, Nowhere
from raypipe.controller.loop import Loop, Parts
from raypipe.controller.telling import Mode, Telling, Wait
from raypipe.errors import ClusterError, InputError, Problem
from raypipe.manifests.launches import Launch
from raypipe.manifests.origins import Observe, Observed
from raypipe.model.actions import ActionKind, ObjectRef
from raypipe.model.nodes import Node
from raypipe.model.plan import ClusterPlan, FleetPlan
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.requirements import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Operator, Requirement
from raypipe.model.resources import CPU, MEMORY, PODS
from raypipe.model.results import Outcome, Result
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings

CATALOG = raypipe.load_catalog()
SPEC = PodSpec(requests={CPU: 1_000, MEMORY: 2 * 2**30, PODS: 1})
WEB = "Deployment/default/web"
FULL = 3
"""Pods that one m7i.xlarge takes, the one type for sale."""


class KilledError(Exception):
    """The loop has ended here, as by SIGKILL."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim and the pods it is for."""

    name: str
    pods: int
    kind: str = "m7i.xlarge"
    zone: str = "us-east-1a"
    capacity_type: str = "spot"
    failed: bool = False

    def raw(self) -> Mapping[str, object]:
        conditions = [{"type": "Launched", "status": "Unknown", "reason": "LaunchFailed", "message": "none left"}]
        labels = {
            "raypipe.io/cluster": "c",
            INSTANCE_TYPE: self.kind,
            ZONE: self.zone,
            CAPACITY_TYPE: self.capacity_type,
        }
        return {
            "kind": "NodeClaim",
            "metadata": {"name": self.name, "uid": self.name, "labels": labels},
            "status": {"conditions": conditions if self.failed else []},
        }


@dataclass
class World:
    """One cluster. wanted: pods. truth: claims as the API server has them; `seen`: as watches have told.

    kill: asked before and after each write whether the loop ends there.
    """

    name: str = "c"
    wanted: int = 0
    settings: Settings = field(default_factory=Settings)
    truth: dict[str, Claim] = field(default_factory=dict)
    seen: dict[str, Claim] = field(default_factory=dict)
    seen_wanted: int = 0
    kill: Callable[[], bool] = lambda: False
    refuses: bool = False
    sold_out: frozenset[str] = frozenset()
    unreachable: bool = False
    is_led: bool = True
    why_not: str = "held by another"
    term: int = 0
    renewed: int = 0
    writes: list[str] = field(default_factory=list)
    moved_on: threading.Event = field(default_factory=threading.Event)

    def catch_up(self) -> None:
        """The watches tell everything."""
        self.seen, self.seen_wanted = dict(self.truth), self.wanted

    # What the loop asks of its cluster.

    def held(self) -> bool:
        return self.is_led

    def observe(self, contexts: Sequence[str]) -> Mapping[str, Observed]:
        error = "no answer" if self.unreachable else None
        return {context: Observed(context=context, objects=self._objects(), error=error) for context in contexts}

    def renew(self, context: str) -> None:
        del context
        self.renewed += 1
        self.catch_up()

    def _objects(self) -> tuple[Mapping[str, object], ...]:
        return () if self.unreachable else tuple(one.raw() for one in self.seen.values())

    def read(self) -> ClusterSnapshot:
        if self.unreachable:
            return ClusterSnapshot(name=self.name, context=self.name, error="no answer")
        left = self.seen_wanted - sum(one.pods for one in self.seen.values())
        only = Requirement(key=INSTANCE_TYPE, operator=Operator.IN, values=("m7i.xlarge",))
        return ClusterSnapshot(
            name=self.name,
            context=self.name,
            zones=("us-east-1a", "us-east-1b"),
            requirements=(only,),
            nodes_backend="karpenter",
            settings=self.settings,
            nodes=tuple(_coming(one) for one in sorted(self.seen.values(), key=lambda one: one.name)),
            bound=tuple(
                BoundPods(node=one.name, key=WEB, spec=SPEC, count=one.pods, counted=True)
                for one in sorted(self.seen.values(), key=lambda one: one.name)
                if one.pods
            ),
            demand=(PodGroup(key=WEB, spec=SPEC, count=left),) if left > 0 else (),
        )

    def carry_out(self, plan: ClusterPlan, cluster: ClusterSnapshot, seen: Observed) -> Sequence[Result]:
        del cluster, seen
        assert self.is_led
        nodes = {node.name: node for node in plan.nodes}
        results = []
        for action in plan.actions:
            self._may_die()
            assert action.kind is ActionKind.BUY_NODE
            name, node = action.object.name, nodes[action.object.name]
            if self.refuses:
                results.append(Result(action=action, outcome=Outcome.FAILED, words="no answer"))
                continue
            self.writes.append(name)
            offering = f"{node.zone} {node.capacity_type}"
            self.truth.setdefault(
                name,
                Claim(
                    name=name,
                    pods=sum(node.added.values()),
                    zone=node.zone,
                    capacity_type=node.capacity_type,
                    failed=offering in self.sold_out,
                ),
            )
            self._may_die()
            results.append(Result(action=action, outcome=Outcome.DONE))
        return results

    def move_on(
        self, cluster: ClusterSnapshot, seen: Observed, plan: ClusterPlan | None, at: datetime
    ) -> Sequence[Wait]:
        del cluster, seen, plan, at
        assert self.is_led
        self.moved_on.set()
        return ()

    def taken(self) -> Sequence[Result]:
        return ()

    def take_back(self, launch: Launch) -> str:
        self._may_die()
        self.truth.pop(launch.name, None)
        return ""

    def exists(self, target: ObjectRef) -> bool:
        return target.name in self.truth

    def _may_die(self) -> None:
        if self.kill():
            raise KilledError


def _coming(claim: Claim) -> Node:
    labels = {INSTANCE_TYPE: claim.kind, ZONE: claim.zone, CAPACITY_TYPE: claim.capacity_type}
    return Node(name=claim.name, labels=labels, capacity={}, allocatable={}, own=True, coming=True)


@dataclass
class Heard(Telling):
    """What the loop has told."""

    modes: list[Mode] = field(default_factory=list)
    waits: dict[str, list[str]] = field(default_factory=dict)
    decisions: list[str] = field(default_factory=list)

    def decided(self, at: datetime, plan: FleetPlan, seconds: float) -> None:
        del at, seconds
        self.decisions += [one.name for one in plan.clusters]

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        del at, plan, results
        self.modes.append(mode)

    def waiting(self, at: datetime, cluster: str, waits: Sequence[Wait]) -> None:
        del at
        self.waits[cluster] = [one.words for one in waits]


@dataclass
class Rig:
    """Loops over worlds, one life after another, on a clock of its own."""

    worlds: list[World]
    durable: Durable = field(default_factory=Nowhere)
    heard: Heard = field(default_factory=Heard)
    complaints: list[str] = field(default_factory=list)
    now: float = 1_000_000.0
    unread: str = ""
    plan: Callable[[FleetSnapshot], FleetPlan] = lambda fleet: raypipe.plan(fleet, CATALOG)

    def life(self, *, acts: bool = True) -> Loop:
        """A new loop, which knows nothing but what is durable."""
        by_name = {world.name: world for world in self.worlds}
        return Loop(
            Parts(
                read=self._read,
                sources=self,
                plan=self._plan,
                catalog=lambda: CATALOG,
                equip=lambda cluster: (by_name[cluster.name], by_name[cluster.name]),
                durable=self.durable,
                telling=self.heard,
                complain=self.complaints.append,
                clock=lambda: self.now,
            ),
            acts=acts,
        )

    def observe(self, contexts: Sequence[str]) -> Mapping[str, Observed]:
        seen: dict[str, Observed] = {}
        for world in self.worlds:
            if world.name in contexts:
                seen |= world.observe([world.name])
        return seen

    def renew(self, context: str) -> None:
        next(world for world in self.worlds if world.name == context).renew(context)

    def _plan(self, fleet: FleetSnapshot, catalog: Catalog) -> FleetPlan:
        del catalog
        return self.plan(fleet)

    def _read(self, observe: Observe) -> FleetSnapshot:
        if self.unread:
            raise InputError(Problem(found=self.unread))
        observe([world.name for world in self.worlds])
        return FleetSnapshot(clusters=tuple(world.read() for world in self.worlds))


def test_what_was_bought_and_is_not_seen_yet_is_not_bought_again() -> None:
    world = World(wanted=6)
    rig = Rig([world])
    world.catch_up()
    loop = rig.life()
    loop.cycle()
    assert sum(one.pods for one in world.truth.values()) == 6
    world.seen_wanted = world.wanted = 7  # pods are seen to come, and what was bought is not
    loop.cycle()
    assert rig.heard.waits["c"] == ["what was bought is not seen yet"]
    assert len(world.writes) == 2
    world.catch_up()
    loop.cycle()
    assert sum(one.pods for one in world.truth.values()) == 7
    assert len(world.truth) == math.ceil(7 / FULL)


@pytest.mark.parametrize("seed", range(20))
def test_a_loop_that_is_killed_at_random_moments_buys_nothing_twice(seed: int) -> None:
    """Each life sees what the ones before it wrote, however late its watches are, and the last one finishes."""
    chance = random.Random(seed)
    world = World(wanted=4, kill=lambda: chance.random() < 0.25)
    rig = Rig([world])
    for _ in range(12):
        world.catch_up()  # a new life lists before it acts
        loop = rig.life()
        try:
            for _ in range(4):
                loop.cycle()
                if chance.random() < 0.5:
                    world.catch_up()
                if chance.random() < 0.5:
                    world.wanted += chance.randrange(4)
                    world.seen_wanted = world.wanted
        except KilledError:
            continue
    world.kill = lambda: False
    world.catch_up()
    loop = rig.life()
    for _ in range(2):
        loop.cycle()
        world.catch_up()
    assert len(world.truth) == math.ceil(world.wanted / FULL)  # free room is used first: one more would be one too many


def test_a_write_that_fails_is_done_again_under_its_name() -> None:
    world = World(wanted=3, refuses=True)
    world.catch_up()
    rig = Rig([world])
    loop = rig.life()
    loop.cycle()
    assert world.truth == {}
    world.refuses = False
    loop.cycle()
    assert [one.pods for one in world.truth.values()] == [3]
    assert rig.heard.decisions == ["c"]  # the same decision


def test_a_launch_that_is_refused_is_given_up_and_bought_elsewhere() -> None:
    world = World(wanted=3, sold_out=frozenset({"us-east-1a spot", "us-east-1b spot"}))
    rig = Rig([world])
    loop = rig.life()
    for _ in range(8):
        world.catch_up()
        loop.cycle()
        rig.now += 1
    assert [(one.capacity_type, one.pods) for one in world.truth.values()] == [("on-demand", 3)]
    assert len(world.writes) == 3  # each offering was tried once
    rig.now += 400
    world.wanted += 1
    world.sold_out = frozenset()
    world.catch_up()
    loop.cycle()
    assert "spot" in {one.capacity_type for one in world.truth.values()}  # a shortage is not remembered for ever


def test_what_could_not_be_had_is_known_to_the_next_life_too() -> None:
    world = World(wanted=3, sold_out=frozenset({"us-east-1a spot"}))
    rig = Rig([world])
    loop = rig.life()
    for _ in range(3):
        world.catch_up()
        loop.cycle()
    tried = len(world.writes)
    world.truth.clear()
    world.catch_up()
    rig.life().cycle()
    assert world.writes[tried:]
    assert {(one.zone, one.capacity_type) for one in world.truth.values()}.isdisjoint({("us-east-1a", "spot")})


def test_nothing_is_done_without_the_lease_and_what_is_known_is_read_anew_with_it() -> None:
    world = World(wanted=3, is_led=False)
    world.catch_up()
    rig = Rig([world])
    loop = rig.life()
    loop.cycle()
    assert (world.writes, rig.heard.waits["c"]) == ([], ["held by another"])
    world.truth["theirs"] = Claim(name="theirs", pods=3)  # what the other did last
    world.is_led, world.term = True, 1
    loop.cycle()
    assert (world.writes, world.renewed) == ([], 1)
    assert set(world.truth) == {"theirs"}


def test_a_dry_run_and_a_pause_decide_and_do_nothing() -> None:
    world = World(wanted=3)
    world.catch_up()
    rig = Rig([world])
    rig.life(acts=False).cycle()
    rig.durable.write(PAUSED, b"{}")
    loop = rig.life()
    loop.cycle()
    assert (world.writes, rig.heard.modes) == ([], [Mode.DRY_RUN, Mode.PAUSED])
    rig.durable.delete(PAUSED)
    loop.cycle()
    assert len(world.truth) == 1


def test_a_cluster_that_cannot_be_seen_leaves_the_others_served() -> None:
    worlds = [World(name=name, wanted=3) for name in ("a", "b", "c")]
    rig = Rig(worlds)
    loop = rig.life()
    worlds[1].unreachable = True
    for world in worlds:
        world.catch_up()
    loop.cycle()
    assert [len(world.truth) for world in worlds] == [1, 0, 1]
    assert rig.complaints == ["no answer"]
    worlds[1].unreachable = False
    loop.cycle()
    assert [len(world.truth) for world in worlds] == [1, 1, 1]


def test_a_cluster_that_cannot_be_planned_leaves_the_others_served() -> None:
    worlds = [World(name=name, wanted=3) for name in ("a", "b")]

    def plan(fleet: FleetSnapshot) -> FleetPlan:
        if any(cluster.name == "a" for cluster in fleet.clusters):
            raise ClusterError("a shard has died")
        return raypipe.plan(fleet, CATALOG)

    rig = Rig(worlds, plan=plan)
    for world in worlds:
        world.catch_up()
    loop = rig.life()
    loop.cycle()
    loop.cycle()
    assert [len(world.truth) for world in worlds] == [0, 1]
    assert rig.complaints == ["a: not planned: a shard has died"]
    rig.plan = lambda fleet: raypipe.plan(fleet, CATALOG)
    loop.cycle()
    assert [len(world.truth) for world in worlds] == [1, 1]


def test_a_cluster_that_has_not_changed_is_not_planned_again() -> None:
    world = World(wanted=3)
    rig = Rig([world])
    loop = rig.life()
    for _ in range(4):
        world.catch_up()
        loop.cycle()
    assert rig.heard.decisions == ["c", "c"]  # the pods, then the claim that is on its way


def under_way() -> tuple[World, Rig, Loop]:
    """A loop that has bought a node, which is on its way, and sees that one pod more has come."""
    world = World(wanted=3)
    rig = Rig([world])
    world.catch_up()
    loop = rig.life()
    loop.cycle()
    world.wanted = 4
    world.catch_up()
    return world, rig, loop


def test_what_is_under_way_is_moved_on_while_a_plan_is_made() -> None:
    world, rig, loop = under_way()

    def plan(fleet: FleetSnapshot) -> FleetPlan:
        world.moved_on.clear()
        assert world.moved_on.wait(10)
        world.wanted = world.seen_wanted = 9  # and what is seen by then is planned next
        world.moved_on.clear()
        assert world.moved_on.wait(10)
        return raypipe.plan(fleet, CATALOG)

    rig.plan = plan
    loop.cycle()
    assert sorted(one.pods for one in world.truth.values()) == [1, 3]
    world.catch_up()
    rig.plan = lambda fleet: raypipe.plan(fleet, CATALOG)
    loop.cycle()
    assert len(world.truth) == math.ceil(9 / FULL)


def test_a_look_that_fails_while_a_plan_is_made_takes_nothing_from_the_plan() -> None:
    world, rig, loop = under_way()

    def plan(fleet: FleetSnapshot) -> FleetPlan:
        rig.unread = "nobody can read that"
        given_up = time.monotonic() + 10
        while not rig.complaints and time.monotonic() < given_up:
            time.sleep(0.02)
        rig.unread = ""
        return raypipe.plan(fleet, CATALOG)

    rig.plan = plan
    loop.cycle()
    assert len(world.truth) == 2
    assert rig.complaints == ["what is under way is not moved on: nobody can read that"]


def test_a_lease_that_is_got_while_a_plan_is_made_is_no_lease_for_that_plan() -> None:
    world, rig, loop = under_way()
    world.is_led = False

    def plan(fleet: FleetSnapshot) -> FleetPlan:
        world.is_led, world.term = True, world.term + 1
        assert not world.moved_on.wait(0.6)  # two looks at what is under way
        return raypipe.plan(fleet, CATALOG)

    world.moved_on.clear()
    rig.plan = plan
    loop.cycle()
    assert len(world.truth) == 1
    world.catch_up()
    rig.plan = lambda fleet: raypipe.plan(fleet, CATALOG)
    loop.cycle()
    assert len(world.truth) == 2


def test_what_is_over_a_cap_waits_for_the_next_cycle() -> None:
    world = World(wanted=9, settings=Settings(max_nodes_bought=1))
    rig = Rig([world])
    loop = rig.life()
    bought = []
    for _ in range(4):
        world.catch_up()
        loop.cycle()
        bought.append(len(world.truth))
    assert bought == [1, 2, 3, 3]
