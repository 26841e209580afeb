"""Which nodes go: empty, expired, under-used and interrupted ones, and with `consolidate` those not worth their price.

Every plan here is valid by the second opinion, which knows nothing of how nodes are chosen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.model.actions import ActionKind
from raypipe.model.nodes import Fact, Node, Standby
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import BUDGET, NOT_MADE_AGAIN, BoundPods
from raypipe.settings import Settings
from tests.unit.planner.builders import catalog_in, cluster, node, planned, planned_fleet, pods, spec

MOVE = Settings(consolidate=True, moved_pod_usd_per_hour=0.001)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def own(name: str, kind: str = "m5.xlarge", **fields: Any) -> Node:
    """A node that raypipe bought: m5.xlarge has 4 cores for $0.2, m5.2xlarge 8 for $0.4."""
    cpu = {"m5.xlarge": 4000, "m5.2xlarge": 8000}[kind]
    return node(name, cpu, cpu // 250, kind=kind, **{"own": True, **fields})


def on(name: str, cpu: int, count: int = 1, **fields: Any) -> BoundPods:
    """Pods of one size have one key."""
    return BoundPods(node=name, key=f"Deployment/d/{cpu}m", spec=spec(cpu), count=count, **fields)


def removed(plan: ClusterPlan) -> list[str]:
    return [action.object.name for action in plan.actions if action.kind is ActionKind.REMOVE_NODE]


def bought(plan: ClusterPlan) -> list[str]:
    return [one.instance_type for one in plan.nodes if not one.existing]


def stays(plan: ClusterPlan) -> dict[str, str]:
    return {note.subject: note.message for note in plan.notes if note.kind == "node-stays"}


@pytest.mark.parametrize(
    ("settings", "nodes", "bound", "gone", "new", "after"),
    [
        pytest.param(Settings(), ("a", "b"), (on("a", 1000), on("b", 1000)), [], [], 0.4, id="said, and not done"),
        pytest.param(MOVE, ("a", "b"), (on("a", 1000), on("b", 1000)), ["b"], [], 0.2, id="two half empty: one goes"),
        pytest.param(
            MOVE,
            ("a", "b", "c"),
            (on("a", 1000, 3), on("b", 1000, 2), on("c", 500, 2)),
            ["c"],
            [],
            0.4,
            id="from which fewest pods have to move",
        ),
        pytest.param(MOVE, ("A",), (on("A", 1500, 2),), ["A"], ["m5.xlarge"], 0.2, id="a large one is replaced"),
        pytest.param(
            MOVE,
            ("A", "B"),
            (on("A", 1500, 2), on("B", 3100), on("B", 4500)),
            ["B"],
            ["m5.xlarge"],
            0.6,
            id="one of two: what is left needs a small one",
        ),
        pytest.param(
            Settings(consolidate=True, consolidation_saving_fraction=0.6),
            ("A",),
            (on("A", 1500, 2),),
            [],
            [],
            0.4,
            id="half its price saved, and more is asked",
        ),
        pytest.param(
            Settings(consolidate=True, moved_pod_usd_per_hour=0.05),
            ("a", "b"),
            (on("a", 500, 4), on("b", 500, 4)),
            [],
            [],
            0.4,
            id="more pods than it is worth",
        ),
        pytest.param(MOVE, ("a", "b"), (on("a", 3000), on("b", 3000)), [], [], 0.4, id="no room elsewhere"),
        pytest.param(
            Settings(consolidate=True, removal_checks=0),
            ("a", "b"),
            (on("a", 1000), on("b", 1000)),
            [],
            [],
            0.4,
            id="no budget to look",
        ),
    ],
)
def test_consolidation_is_carried_out(
    settings: Settings,
    nodes: tuple[str, ...],
    bound: tuple[BoundPods, ...],
    gone: list[str],
    new: list[str],
    after: float,
    catalog: Catalog,
) -> None:
    there = tuple(own(name, "m5.2xlarge" if name.isupper() else "m5.xlarge") for name in nodes)
    plan = planned(catalog, settings=settings, nodes=there, bound=bound)
    assert (removed(plan), bought(plan), plan.usd_per_hour.after) == (gone, new, pytest.approx(after))
    assert plan.usd_per_hour.before == pytest.approx(sum(0.4 if name.isupper() else 0.2 for name in nodes))
    assert plan.usd_per_hour.lower_bound <= plan.usd_per_hour.after


@pytest.mark.parametrize(
    ("here", "pods_there", "remove_any", "why"),
    [
        pytest.param(
            {}, on("b", 1000, held="karpenter.sh/do-not-disrupt"), False, "do-not-disrupt", id="do not disrupt"
        ),
        pytest.param({}, on("b", 1000, held=NOT_MADE_AGAIN), False, "no controller makes it again", id="a bare pod"),
        pytest.param({}, on("b", 1000, counted=False, held="ignored"), False, "ignored", id="a pod left to others"),
        pytest.param({"own": False}, on("b", 1000), False, None, id="somebody else's node"),
        pytest.param({"coming": True}, on("b", 1000), False, None, id="a node on its way"),
        pytest.param({"filling": True}, on("b", 1000), False, None, id="a node that is being filled"),
        pytest.param({"own": False}, on("b", 1000), True, "", id="somebody else's, and asked for"),
    ],
)
def test_what_keeps_a_node(
    here: dict[str, Any], pods_there: BoundPods, remove_any: bool, why: str | None, catalog: Catalog
) -> None:
    settings = Settings(consolidate=True, remove_any=remove_any)
    nodes = (own("a", own=False), own("b", **here))
    plan = planned(catalog, settings=settings, nodes=nodes, bound=(on("a", 2000), pods_there))
    if why == "":
        assert removed(plan) == ["b"]
    else:
        assert removed(plan) == []
        assert (why is None and "b" not in stays(plan)) or why in stays(plan)["b"]


def test_free_room_of_a_node_that_stays_is_used(catalog: Catalog) -> None:
    """A pinned node is no reason to keep its neighbour."""
    nodes = (own("a"), own("b"))
    plan = planned(catalog, settings=MOVE, nodes=nodes, bound=(on("a", 1000, held="pinned"), on("b", 1100)))
    assert removed(plan) == ["b"]
    assert [one.pods for one in plan.nodes] == [{"Deployment/d/1000m": 1, "Deployment/d/1100m": 1}]


def test_a_removal_never_costs_a_pod_its_place(catalog: Catalog) -> None:
    """With a limit of one node, an expired one cannot be replaced where nothing else holds its pod."""
    facts = {"a": (Fact.EXPIRED,), "b": (Fact.EXPIRED,)}
    there: dict[str, Any] = {"nodes": (own("a"), own("b")), "bound": (on("a", 3000), on("b", 3000)), "facts": facts}
    plan = planned(catalog, **there)
    assert (removed(plan), bought(plan), plan.unplaced) == (["a", "b"], ["m5.2xlarge"], ())
    held = planned(catalog, limits={"cpu": 4000}, **there)
    assert (removed(held), bought(held), held.unplaced) == (["a"], [], ()) or removed(held) == []


@pytest.mark.parametrize(
    ("demand", "bound", "fact", "gone"),
    [
        pytest.param((), (), Fact.EMPTY, ["a"], id="empty for long enough"),
        pytest.param((), (), Fact.UNDER_USED, [], id="empty, but not for long"),
        pytest.param((pods("web", 1000),), (), Fact.EMPTY, [], id="its room is wanted again"),
        pytest.param((), (on("a", 1000),), Fact.EMPTY, [], id="a fact that is out of date"),
        pytest.param((), (on("a", 100, counted=False, daemonset="ds"),), Fact.EMPTY, ["a"], id="a DaemonSet alone"),
    ],
)
def test_empty_nodes_go_without_a_flag(
    demand: tuple[Any, ...], bound: tuple[BoundPods, ...], fact: Fact, gone: list[str], catalog: Catalog
) -> None:
    plan = planned(catalog, *demand, nodes=(own("a"),), bound=bound, facts={"a": (fact,)})
    assert removed(plan) == gone
    assert plan.usd_per_hour.before == pytest.approx(0.2)
    assert plan.usd_per_hour.after == pytest.approx(0.0 if gone else 0.2)


@pytest.mark.parametrize(
    ("packing", "bound", "gone"),
    [
        pytest.param("joint", (on("a", 500), on("b", 500)), [], id="joint packing has no such rule"),
        pytest.param("shared", (on("a", 500), on("b", 500)), ["a"], id="its pods fit on the other"),
        pytest.param("shared", (on("a", 500), on("b", 3900)), [], id="they do not, and nothing is bought for them"),
        pytest.param("dedicated", (on("a", 500), on("b", 500)), [], id="each pod has a node of its own"),
    ],
)
def test_under_used_nodes(packing: str, bound: tuple[BoundPods, ...], gone: list[str], catalog: Catalog) -> None:
    sizes = {"shared_node": {"cpu": 4000}, "dedicated_from": {"cpu": 3000}}
    nodes, facts = (own("a"), own("b")), {"a": (Fact.UNDER_USED,)}
    plan = planned(catalog, nodes=nodes, bound=bound, facts=facts, packing=packing, **sizes)
    assert (removed(plan), bought(plan)) == (gone, [])
    if packing == "shared" and not gone:
        assert "would not save enough" in stays(plan)["a"]


def test_an_idle_dedicated_node_is_used_again(catalog: Catalog) -> None:
    """L27: a pod takes the idle node of another that ended, instead of a new one."""
    plan = planned(catalog, pods("job", 3000), nodes=(own("a"),), packing="dedicated")
    assert (bought(plan), plan.nodes[0].added) == ([], {"Deployment/d/job": 1})


@pytest.mark.parametrize(
    ("node_", "bound", "gone", "after"),
    [
        pytest.param(own("a"), on("a", 3000), ["a"], 0.2, id="it is emptied before it dies"),
        pytest.param(own("a", own=False), on("a", 3000), [], 0.4, id="somebody else's: its pods move all the same"),
        pytest.param(own("a", open=False, why_closed="being deleted"), on("a", 3000), [], 0.4, id="being deleted"),
        pytest.param(own("a"), on("a", 3000, held=NOT_MADE_AGAIN), [], 0.2, id="a bare pod is lost with it"),
        pytest.param(own("a"), on("a", 3000, held="do-not-disrupt"), [], 0.4, id="a pinned pod is not spared"),
        pytest.param(own("a"), on("a", 3000, held=f"{BUDGET} web allows no"), ["a"], 0.2, id="a budget may pass"),
    ],
)
def test_the_replacement_starts_at_the_notice(
    node_: Node, bound: BoundPods, gone: list[str], after: float, catalog: Catalog
) -> None:
    plan = planned(catalog, nodes=(node_,), bound=(bound,), facts={"a": (Fact.INTERRUPTED,)})
    assert (removed(plan), plan.usd_per_hour.after) == (gone, pytest.approx(after))
    lost = bound.held == NOT_MADE_AGAIN
    assert bought(plan) == ([] if lost else ["m5.xlarge"])
    assert plan.unplaced == ()


def test_an_interrupted_node_takes_nothing(catalog: Catalog) -> None:
    facts = {"a": (Fact.INTERRUPTED,)}
    plan = planned(catalog, pods("web", 1000), nodes=(own("a", own=False),), facts=facts)
    assert [(one.existing, dict(one.added)) for one in plan.nodes] == [(True, {}), (False, {"Deployment/d/web": 1})]


def test_a_node_that_is_being_removed_is_not_removed_again(catalog: Catalog) -> None:
    """Its pods count once, as demand, while they still run there: what is on its way for them is used."""
    leaving = own("a", open=False, why_closed="being removed", leaving=True)
    waiting = pods("late", 1000)
    plan = planned(catalog, waiting, nodes=(leaving, own("b", coming=True)), bound=(on("a", 3500),), settings=MOVE)
    assert [bool(one.added) for one in plan.nodes if one.existing] == [False, True]
    assert (removed(plan), bought(plan)) == ([], ["m5.xlarge"])


@pytest.mark.parametrize(
    ("nodes", "demand", "limits", "new", "gone", "noted"),
    [
        pytest.param((), (), {}, ["m5.xlarge", "m5.xlarge"], [], False, id="bought"),
        pytest.param(("a",), (), {}, ["m5.xlarge"], [], False, id="an empty one counts"),
        pytest.param(("a", "b", "c"), (), {}, [], ["c"], False, id="one too many goes"),
        pytest.param(("a", "b"), (pods("web", 3000),), {}, ["m5.xlarge"], [], False, id="taken, and refilled"),
        pytest.param((), (), {"nodes": 1}, ["m5.xlarge"], [], True, id="a limit"),
    ],
)
def test_standby(
    nodes: tuple[str, ...],
    demand: tuple[Any, ...],
    limits: dict[str, int],
    new: list[str],
    gone: list[str],
    noted: bool,
    catalog: Catalog,
) -> None:
    standby = (Standby(instance_type="m5.xlarge", capacity_type="on-demand", count=2),)
    facts = dict.fromkeys(nodes, (Fact.EMPTY,))
    there = tuple(own(name) for name in nodes)
    plan = planned(catalog, *demand, nodes=there, facts=facts, standby=standby, limits=limits, settings=MOVE)
    assert (bought(plan), removed(plan)) == (new, gone)
    assert ("standby" in {note.kind for note in plan.notes}) is noted
    assert all(one.reason.startswith("on standby") for one in plan.nodes if not one.existing)


def test_an_action_says_what_it_relies_on(catalog: Catalog) -> None:
    plan = planned(
        catalog, settings=MOVE, nodes=(own("a", uid="1"), own("b", uid="2")), bound=(on("a", 900, 2), on("b", 900))
    )
    (action,) = plan.actions
    assert action.object.kind == "Node"
    assert action.precondition == {"uid": "2", "pods": {"Deployment/d/900m": 1}}
    assert action.set == {
        "metadata": {"annotations": {"raypipe.io/removing": plan.decision_id}},
        "spec": {"unschedulable": True},
    }
    assert action.reason == "what it costs is saved: its pods have a place elsewhere (1 pods move and cost $0.2/h)"


def test_the_order_of_nodes_and_pods_does_not_matter(catalog: Catalog) -> None:
    nodes = tuple(own(name, "m5.2xlarge" if name in "AB" else "m5.xlarge") for name in "ABcdef")
    bound = tuple(on(one.name, 700 + 300 * number, 1 + number % 2) for number, one in enumerate(nodes))
    facts = {"c": (Fact.EXPIRED,)}
    first = planned(catalog, settings=MOVE, nodes=nodes, bound=bound, facts=facts)
    again = planned(catalog, settings=MOVE, nodes=nodes[::-1], bound=bound[::-1], facts=facts)
    told = [(one.object, one.reason) for one in first.actions if one.kind is ActionKind.REMOVE_NODE]
    assert told
    assert told == [(one.object, one.reason) for one in again.actions if one.kind is ActionKind.REMOVE_NODE]
    assert [dict(one.pods) for one in first.nodes] == [dict(one.pods) for one in again.nodes]


def test_only_so_many_go_at_once_and_nothing_is_bought_for_the_others(catalog: Catalog) -> None:
    nodes = tuple(own(name, "m5.2xlarge") for name in "abcd")
    bound = tuple(on(one.name, 2000) for one in nodes)
    capped = Settings(consolidate=True, most_removed=1)
    assert len(removed(planned(catalog, settings=MOVE, nodes=nodes, bound=bound))) == 3
    plan = planned(catalog, settings=capped, nodes=nodes, bound=bound)
    assert (len(removed(plan)), bought(plan)) == (1, [])


@pytest.mark.parametrize(("limit", "binds"), [(5, True), (20, False)])
def test_clusters_that_share_a_limit_give_back_what_needs_no_plan_of_its_own(
    limit: int, binds: bool, catalog: Catalog
) -> None:
    """Where the limit binds, pods are moved for notices and not for cost; a note says so."""
    facts = {"idle": (Fact.EMPTY,), "dies": (Fact.INTERRUPTED,)}
    nodes = (own("idle"), own("dies"), own("a"), own("b"))
    bound = (on("dies", 2000), on("a", 500), on("b", 500))
    one = cluster(pods("new", 3900, 3), name="x", nodes=nodes, bound=bound, facts=facts, settings=MOVE)
    other = cluster(pods("new", 3900, 2), name="y", settings=MOVE)
    first, _ = planned_fleet(catalog, one, other, limits={"nodes": limit}).clusters
    assert "dies" in removed(first)
    assert ("x" in stays(first), bool({"a", "b"} & set(removed(first)))) == (binds, not binds)


def test_nothing_is_left_to_move_after_a_consolidation(catalog: Catalog) -> None:
    """Planning once it is carried out proposes nothing."""
    nodes = tuple(own(name) for name in "abcdef")
    plan = planned(catalog, settings=MOVE, nodes=nodes, bound=tuple(on(one.name, 1300) for one in nodes))
    kept = [one for one in plan.nodes if one.existing]
    bound = tuple(on(one.name, 1300, sum(one.pods.values())) for one in kept)
    assert (len(kept), plan.consolidation.actions) == (2, 0)
    again = planned(catalog, settings=MOVE, nodes=tuple(own(one.name) for one in kept), bound=bound)
    assert again.actions == ()
