"""Where nodes come from groups of like nodes: their kinds alone are bought, as often as the groups may grow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import pytest

from raypipe.catalog import Catalog
from raypipe.errors import InvalidPlanError
from raypipe.model.nodes import Buyable
from raypipe.model.plan import ClusterPlan, FleetPlan, Scope
from raypipe.model.pods import PodGroup
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.report.objects import render
from raypipe.validation import check_plan
from tests.unit.planner.builders import ZONE, catalog_in, cluster, node, planned_fleet, pods


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def group(name: str, count: int, size: int = 0, kind: str = "m5.xlarge") -> Buyable:
    return Buyable(group=name, instance_type=kind, zone=ZONE, capacity_type="on-demand", count=count, size=size)


def with_groups(groups: tuple[Buyable, ...], *demand: PodGroup, **fields: Any) -> ClusterSnapshot:
    return cluster(*demand, nodes_backend="node-groups", buyable=groups, **fields)


def planned(catalog: Catalog, one: ClusterSnapshot, scope: Scope = Scope.PENDING) -> FleetPlan:
    return planned_fleet(catalog, one, scope=scope)


def grown(plan: ClusterPlan) -> list[tuple[str, int]]:
    """Groups and the sizes that they are told."""
    return [(action.set["spec"]["group"], action.set["spec"]["size"]) for action in plan.actions]


def test_groups_of_one_kind_grow_one_after_another_from_the_size_that_they_have(catalog: Catalog) -> None:
    one = with_groups((group("b", 4, size=1), group("a", 2, size=3)), pods("web", 3000, 5))
    (plan,) = planned(catalog, one).clusters

    assert grown(plan) == [("a", 4), ("a", 5), ("b", 2), ("b", 3), ("b", 4)]
    assert [action.precondition for action in plan.actions] == [{"size": n} for n in (3, 4, 1, 2, 3)]
    assert {one.instance_type for one in plan.nodes} == {"m5.xlarge"}


def test_an_action_says_all_that_the_backend_needs(catalog: Catalog) -> None:
    plan = planned(catalog, with_groups((group("a", 1),), pods("web", 3000)))
    (action,) = plan.clusters[0].actions

    assert (action.object.kind, action.object.name) == ("NodeGroup", plan.clusters[0].nodes[0].name)
    assert action.set == {
        "metadata": {
            "labels": {"raypipe.io/cluster": "c"},
            "annotations": {
                "raypipe.io/decision": plan.clusters[0].decision_id,
                "raypipe.io/pods": '{"Deployment/d/web":1}',
            },
        },
        "spec": {
            "group": "a",
            "size": 1,
            "instanceType": "m5.xlarge",
            "zone": ZONE,
            "capacityType": "on-demand",
        },
    }
    assert "# aws autoscaling set-desired-capacity --auto-scaling-group-name a --desired-capacity 1\n" in render(plan)


def test_what_no_group_has_room_for_stays_unplaced_and_names_the_group(catalog: Catalog) -> None:
    one = with_groups((group("a", 2),), pods("web", 3000, 5))
    (plan,) = planned(catalog, one).clusters

    assert grown(plan) == [("a", 1), ("a", 2)]
    assert [(entry.pods, entry.count, entry.reason, entry.limit) for entry in plan.unplaced] == [
        ("Deployment/d/web", 3, "limit", f"node-group/m5.xlarge/{ZONE}/on-demand")
    ]


def test_nodes_that_a_group_has_already_do_not_count_against_its_room(catalog: Catalog) -> None:
    full = node("n-1", kind="m5.xlarge", allocatable={"cpu": 0, "memory": 0, "pods": 0})
    one = with_groups((group("a", 1, size=1),), pods("web", 3000), nodes=(full,))
    (plan,) = planned(catalog, one).clusters

    assert (grown(plan), plan.unplaced) == ([("a", 2)], ())


def test_planned_anew_there_is_no_end_of_a_group_but_its_kind_binds(catalog: Catalog) -> None:
    one = with_groups((group("a", 0, size=3),), pods("web", 3000, 3))
    (plan,) = planned(catalog, one, Scope.WHOLE).clusters

    assert [one.instance_type for one in plan.nodes] == ["m5.xlarge"] * 3


def test_a_group_of_a_kind_without_a_price_is_noted_and_not_grown(catalog: Catalog) -> None:
    one = with_groups((group("odd", 5, kind="x9.large"),), pods("web", 3000))
    (plan,) = planned(catalog, one).clusters

    assert [(note.subject, note.message) for note in plan.notes if note.kind == "group-not-offered"] == [
        ("odd", f"odd: x9.large {ZONE} on-demand has no price here or is kept out, so the group is not grown")
    ]
    assert (plan.actions, len(plan.unplaced)) == ((), 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"group": "b"}, "grows b, which is no group of that kind", id="a group that is not there"),
        pytest.param({"size": 9}, "grows a to 9, from 0 by at most 2", id="a size that it may not have"),
        pytest.param({"zone": "us-east-1b"}, "asks for ('m5.xlarge', 'us-east-1b', 'on-demand')", id="another zone"),
    ],
)
def test_the_second_opinion_refuses_a_wrong_growth(catalog: Catalog, change: dict[str, Any], words: str) -> None:
    one = with_groups((group("a", 2),), pods("web", 3000))
    plan = planned(catalog, one)
    content = msgspec.to_builtins(plan.without_pools())
    content["clusters"][0]["actions"][0]["set"]["spec"] |= change

    with pytest.raises(InvalidPlanError) as refused:
        check_plan(msgspec.convert(content, FleetPlan), FleetSnapshot(clusters=(one,)), catalog)

    assert words in str(refused.value)


def test_the_second_opinion_counts_what_is_bought_of_a_kind(catalog: Catalog) -> None:
    plenty = with_groups((group("a", 3),), pods("web", 3000, 3))
    plan = planned(catalog, plenty)
    scarce = dataclasses.replace(plenty, buyable=(group("a", 2),))

    with pytest.raises(InvalidPlanError) as refused:
        check_plan(plan, FleetSnapshot(clusters=(scarce,)), catalog)

    assert f"node-group/m5.xlarge/{ZONE}/on-demand: 3 bought of 2" in str(refused.value)
