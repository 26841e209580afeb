"""One turn of the live loop: what is remembered, what follows from it, and what the caps of a cycle let through."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import raypipe
from raypipe.cycle import Failure, Memory, Started, allowed, given_up, looked, next_due, with_facts
from raypipe.disruption.clocks import Clocks
from raypipe.manifests.launches import Launch, arrived, launches
from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.nodes import Fact, Node, Unavailable
from raypipe.model.plan import ClusterPlan, PlannedNode
from raypipe.model.requirements import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Taint
from raypipe.model.resources import CPU, GPU, MEMORY
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.model.workloads import Gang
from raypipe.settings import Settings

CATALOG = raypipe.load_catalog()
SPOT_A = Unavailable(instance_type="m7i.xlarge", zone="us-east-1a", capacity_type="spot")
SPOT_B = dataclasses.replace(SPOT_A, zone="us-east-1b")
START = 1_000_000.0


def launch(name: str = "n", offering: Unavailable = SPOT_A, failed: str = "") -> Launch:
    return Launch(kind="NodeClaim", name=name, uid=f"uid-{name}", offering=offering, failed=failed)


def node(name: str = "n", kind: str = "m7i.xlarge", own: bool = True, **amounts: int) -> Node:
    kind_of = CATALOG.type_of("aws", kind, "published")
    assert kind_of is not None
    size = {**kind_of.allocatable, **{name.replace("_", "/"): amount for name, amount in amounts.items()}}
    return Node(name=name, labels={INSTANCE_TYPE: kind}, capacity=size, allocatable=size, own=own)


def cluster(*nodes: Node, **settings: Any) -> ClusterSnapshot:
    return ClusterSnapshot(name="c", nodes=nodes, settings=Settings(**settings))


def look(
    memory: Memory,
    *under_way: Launch,
    at: float = 0.0,
    nodes: tuple[Node, ...] = (),
    up: frozenset[str] = frozenset(),
    **settings: Any,
) -> Memory:
    return looked(
        memory, cluster(*nodes, **settings), under_way, up or {one.name for one in nodes}, CATALOG, START + at
    )


def failed(offering: Unavailable, at: float, words: str) -> Failure:
    return Failure(offering=offering, at=START + at, words=words)


# Launches.


def test_a_launch_that_registers_leaves_nothing_behind() -> None:
    memory = look(look(Memory(), launch()), launch(), at=20)
    assert memory == Memory(launches={"n": Started(offering=SPOT_A, at=START)})
    assert dataclasses.replace(look(memory, at=30, nodes=(node("n"),)), clocks=Clocks()) == Memory()


def test_a_claim_that_has_registered_is_no_failure_though_its_node_has_another_name() -> None:
    registered = claim(conditions=(REGISTERED,))
    memory = look(look(Memory(), launch()), up=arrived([registered, raw_node("ip-10-0-0-1", "False")]))
    assert (memory.failures, memory.launches) == ((), {})


def test_a_launch_that_is_gone_without_a_node_is_a_failure_of_its_offering() -> None:
    memory = look(look(Memory(), launch()), at=5)
    assert memory == Memory(failures=(failed(SPOT_A, 5, "n is gone and has brought no node"),))


def test_a_launch_that_the_provider_refuses_is_given_up_at_once_and_its_reason_is_kept() -> None:
    refused = launch(failed="LaunchFailed: no capacity")
    memory = look(Memory(), refused)
    assert [(one.launch.name, one.words) for one in given_up(memory, [refused], Settings(), START)] == [
        ("n", "LaunchFailed: no capacity")
    ]
    assert memory.failures == (failed(SPOT_A, 0, "LaunchFailed: no capacity"),)
    assert look(memory, at=1).failures == memory.failures  # and once its claim is deleted


@pytest.mark.parametrize(("after_s", "late"), [(0, False), (299.9, False), (300, True), (4_000, True)])
def test_a_launch_has_its_time_and_no_more(after_s: float, late: bool) -> None:
    memory = look(look(Memory(), launch()), launch(), at=after_s)
    gone = given_up(memory, [launch()], Settings(), START + after_s)
    assert [one.words for one in gone] == (["not ready after 300 s"] if late else [])
    assert bool(memory.failures) is late


def test_a_failure_is_forgotten_after_its_time_and_the_last_one_of_an_offering_counts() -> None:
    memory = Memory(failures=(failed(SPOT_A, -180, "old"), failed(SPOT_A, -10, "new"), failed(SPOT_B, -179, "other")))
    assert look(memory).failures == (failed(SPOT_A, -10, "new"), failed(SPOT_B, -179, "other"))
    assert look(memory, at=170).failures == ()
    assert look(memory, at=1).failures == (failed(SPOT_A, -10, "new"),)


def test_the_kind_of_a_spot_node_that_is_taken_back_is_not_bought_for_a_while() -> None:
    notice = (Taint(key="aws-node-termination-handler/spot-itn", effect="NoSchedule"),)
    labels = {INSTANCE_TYPE: "m7i.xlarge", ZONE: "us-east-1a", CAPACITY_TYPE: "spot"}
    spot = dataclasses.replace(node("n"), labels=labels, taints=notice)
    on_demand = dataclasses.replace(spot, name="m", labels={**labels, CAPACITY_TYPE: "on-demand"})
    seen = look(Memory(), nodes=(spot, on_demand))
    assert seen.failures == (failed(SPOT_A, 0, "n of it will be interrupted"),)
    assert look(seen, at=100, nodes=(spot,)).failures == (failed(SPOT_A, 100, "n of it will be interrupted"),)
    assert look(seen, at=179).failures != ()
    assert look(seen, at=180).failures == ()


def test_what_could_not_be_had_is_unavailable_to_the_next_plan() -> None:
    memory = Memory(failures=(failed(SPOT_B, 0, "x"), failed(SPOT_A, 0, "y")), learned={"m7i.xlarge": {CPU: 1}})
    shown = with_facts(cluster(), memory, START)
    assert (shown.unavailable, shown.learned) == ((SPOT_A, SPOT_B), {"m7i.xlarge": {CPU: 1}})
    assert with_facts(cluster(), Memory(), START) == cluster(most_removed=1)


def test_a_plan_gives_back_no_more_than_the_cap_leaves() -> None:
    nodes = [node(f"n{number}") for number in range(40)]
    nodes[38:] = [dataclasses.replace(one, leaving=True) for one in nodes[38:]]
    assert with_facts(cluster(*nodes), Memory(), START).settings.most_removed == 2


def test_the_loop_looks_again_when_time_alone_changes_something() -> None:
    memory = Memory(launches={"n": Started(offering=SPOT_A, at=START)}, failures=(failed(SPOT_B, 0, "x"),))
    assert next_due(memory, cluster(), START) == START + 180
    assert next_due(memory, cluster(), START + 200) == START + 300
    assert next_due(memory, cluster(), START + 300) is None


def test_a_node_that_is_seen_to_be_empty_for_long_enough_is_a_fact() -> None:
    empty = cluster(node("n"), empty_after_s=300)
    memory = look(Memory(), nodes=empty.nodes)
    assert next_due(memory, empty, START) == START + 300
    memory = look(memory, nodes=empty.nodes, at=299)
    assert with_facts(empty, memory, START + 299).facts == {}
    assert with_facts(empty, memory, START + 300).facts == {"n": (Fact.EMPTY,)}
    assert Memory.from_json(memory.to_json()) == memory


def test_memory_survives_being_written_down() -> None:
    memory = Memory(
        launches={"n": Started(offering=SPOT_A, at=START)},
        failures=(failed(SPOT_B, 0, "x"),),
        learned={"m7i.xlarge": {CPU: 1}},
    )
    assert Memory.from_json(memory.to_json()) == memory


# Sizes.


def test_the_smallest_of_our_nodes_of_a_type_tells_its_size_until_others_do() -> None:
    size = node().allocatable
    smaller = {MEMORY: size[MEMORY] - 100}
    memory = look(Memory(), nodes=(node("a", **smaller), node("b"), node("c", own=False, memory=1)))
    assert memory.learned["m7i.xlarge"][MEMORY] == smaller[MEMORY]
    assert look(memory).learned == memory.learned  # the nodes are gone, what they were is not
    assert look(memory, nodes=(node("d"),)).learned == {}  # as the catalogue says


def test_nodes_as_the_catalogue_has_them_and_late_gpus_teach_nothing() -> None:
    assert look(Memory(), nodes=(node(),)).learned == {}
    assert look(Memory(), nodes=(node("g", "g6.xlarge", **{"nvidia.com_gpu": 0}),)).learned == {}
    assert GPU in node("g", "g6.xlarge").allocatable


# Caps.


def bought(name: str, usd: float = 1.0, **added: int) -> tuple[PlannedNode, Action]:
    pods = {key.replace("__", "/"): count for key, count in added.items()} or {"Deployment/d/web": 1}
    planned = PlannedNode(
        name=name,
        existing=False,
        pool=None,
        instance_type="m7i.xlarge",
        region="us-east-1",
        zone="us-east-1a",
        capacity_type="spot",
        usd_per_hour=usd,
        list_usd_per_hour=usd,
        pods=pods,
        added=pods,
        requested={},
        reserved={},
        allocatable={},
    )
    return planned, Action(id=name, kind=ActionKind.BUY_NODE, object=ObjectRef(kind="NodeClaim", name=name))


def plan(*nodes: tuple[PlannedNode, Action], more: tuple[Action, ...] = ()) -> ClusterPlan:
    return ClusterPlan(name="c", nodes=tuple(one for one, _ in nodes), actions=(*(one for _, one in nodes), *more))


def removal(name: str) -> Action:
    return Action(id=name, kind=ActionKind.REMOVE_NODE, object=ObjectRef(kind="Node", name=name))


def test_without_scarcity_everything_is_allowed_in_its_order() -> None:
    made = plan(bought("a"), bought("b"), more=(removal("x"),))
    assert allowed(made, cluster(node("x"))) == allowed(made, cluster(node("x"), max_usd_per_hour_added=2.0))
    assert allowed(made, cluster(node("x"))).actions == made.actions


CAPS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "so many nodes": (
        {"max_nodes_bought": 2},
        ["a", "b"],
        ["max_nodes_bought: 2 nodes are bought in a cycle"],
    ),
    "so much money": (
        {"max_usd_per_hour_added": 1.5},
        ["a", "c"],
        ["max_usd_per_hour_added: $1.5/h is added in a cycle"],
    ),
    "nothing at all": (
        {"max_nodes_bought": 0},
        [],
        ["max_nodes_bought: 0 nodes are bought in a cycle"] * 3,
    ),
}


@pytest.mark.parametrize("case", CAPS)
def test_what_is_over_a_cap_is_held_back_with_the_cap_as_its_reason(case: str) -> None:
    settings, done, words = CAPS[case]
    found = allowed(plan(bought("a"), bought("b"), bought("c", usd=0.5)), cluster(**settings))
    assert [one.id for one in found.actions] == done
    assert [one.words for one in found.held] == words


GANG = {"RayCluster__ml__demo__head": 1, "RayCluster__ml__demo__worker__g": 2}


def gang_of(copies: int) -> Gang:
    return Gang(
        name="RayCluster/ml/demo",
        minimum={"RayCluster/ml/demo/head": 1, "RayCluster/ml/demo/worker/g": 4},
        copies=copies,
    )


def test_a_gangs_nodes_are_bought_together_or_not_at_all() -> None:
    made = plan(
        bought("a"),
        bought("b", RayCluster__ml__demo__head=1),
        bought("c", RayCluster__ml__demo__worker__g=2),
        bought("d", RayCluster__ml__demo__worker__g=2),
        bought("e"),
    )
    entering = dataclasses.replace(cluster(max_nodes_bought=3), gangs=(gang_of(1),))
    found = allowed(made, entering)
    assert [one.id for one in found.actions] == ["a", "e"]
    assert {one.words for one in found.held} == {
        "max_nodes_bought: 3 nodes are bought in a cycle, and the 3 nodes of a gang are bought together"
    }
    running = dataclasses.replace(entering, gangs=(gang_of(0),))  # growth of one that runs goes pod by pod
    assert [one.id for one in allowed(made, running).actions] == ["a", "b", "c"]


@pytest.mark.parametrize(("nodes", "most"), [(1, 1), (9, 1), (25, 2), (40, 4)])
def test_a_tenth_of_the_nodes_is_given_back_in_a_cycle_and_one_at_least(nodes: int, most: int) -> None:
    made = plan(more=tuple(removal(f"n{number}") for number in range(nodes)))
    found = allowed(made, cluster(*(node(f"n{number}") for number in range(nodes))))
    assert (len(found.actions), len(found.held)) == (most, nodes - most)


def test_nodes_that_are_still_being_emptied_count_and_those_that_die_do_not() -> None:
    made = plan(more=tuple(removal(f"n{number}") for number in range(5)))
    nodes = [node(f"n{number}") for number in range(40)]
    nodes[38:] = [dataclasses.replace(one, leaving=True) for one in nodes[38:]]
    assert [one.id for one in allowed(made, cluster(*nodes)).actions] == ["n0", "n1"]
    dying = dataclasses.replace(cluster(*nodes), facts=dict.fromkeys(("n1", "n2", "n39"), (Fact.INTERRUPTED,)))
    assert [one.id for one in allowed(made, dying).actions] == ["n0", "n1", "n2", "n3", "n4"]


# Launches as the API has them.


def claim(name: str = "n", conditions: tuple[dict[str, str], ...] = (), **metadata: Any) -> dict[str, Any]:
    requirements = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in ((INSTANCE_TYPE, "m7i.xlarge"), (ZONE, "us-east-1a"), (CAPACITY_TYPE, "spot"))
    ]
    given = {"name": name, "uid": f"uid-{name}", "labels": {"raypipe.io/cluster": "c"}, **metadata}
    return {
        "kind": "NodeClaim",
        "metadata": given,
        "spec": {"requirements": requirements},
        "status": {"conditions": list(conditions)},
    }


def raw_node(name: str, ready: str, **spec: Any) -> dict[str, Any]:
    labels = {"raypipe.io/cluster": "c", INSTANCE_TYPE: "m7i.xlarge", ZONE: "us-east-1a", CAPACITY_TYPE: "spot"}
    metadata = {"name": name, "uid": f"uid-{name}", "labels": labels}
    return {
        "kind": "Node",
        "metadata": metadata,
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


STARTING = {"taints": [{"key": "raypipe.io/starting", "effect": "NoSchedule"}]}
REFUSED = {"type": "Launched", "status": "Unknown", "reason": "LaunchFailed", "message": "none\nleft"}
REGISTERED = {"type": "Registered", "status": "True"}
DEAD = raw_node("k", "Unknown", **STARTING)
EMPTIED = {**DEAD, "metadata": {**DEAD["metadata"], "annotations": {"raypipe.io/removing": "0123456789ab"}}}
SEEN: dict[str, tuple[list[dict[str, Any]], list[Launch]]] = {
    "a claim of ours": ([claim()], [launch()]),
    "one that is launched": ([claim(conditions=({"type": "Launched", "status": "True"},))], [launch()]),
    "one that is refused": ([claim(conditions=(REFUSED,))], [launch(failed="LaunchFailed: none left")]),
    "one that has registered": ([claim(conditions=({"type": "Registered", "status": "True"},))], []),
    "one whose node has died before it was ready": (
        [{**claim(conditions=(REGISTERED,)), "status": {"conditions": [REGISTERED], "nodeName": "k"}}, DEAD],
        [launch()],
    ),
    "one whose node is ready": (
        [{**claim(), "status": {"conditions": [REGISTERED], "nodeName": "k"}}, raw_node("k", "True", **STARTING)],
        [],
    ),
    "one whose node is being emptied and has died": (
        [{**claim(), "status": {"conditions": [REGISTERED], "nodeName": "k"}}, EMPTIED],
        [],
    ),
    "one that is being deleted": ([claim(deletionTimestamp="2026-01-01T00:00:00Z")], []),
    "one of somebody else": ([claim(labels={})], []),
    "a node made without a claim": (
        [raw_node("k", "False", **STARTING)],
        [dataclasses.replace(launch("k"), kind="Node")],
    ),
    "a node that is up": ([raw_node("k", "True", **STARTING)], []),
    "a node that was up and is not now": ([raw_node("k", "False")], []),
}


@pytest.mark.parametrize("case", SEEN)
def test_a_launch_lasts_until_its_node_has_registered(case: str) -> None:
    objects, expected = SEEN[case]
    assert list(launches(objects)) == expected
