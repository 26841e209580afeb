"""Limits over existing and bought nodes, of a cluster and of the fleet."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from raypipe.catalog import Catalog
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.model.pods import PodGroup
from raypipe.model.snapshot import FleetSnapshot
from raypipe.validation import check_plan
from tests.unit.planner.builders import catalog_in, cluster, node, planned, planned_fleet, pods, spec


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def test_a_limit_that_existing_nodes_exceed_is_one_note(catalog: Catalog) -> None:
    plan = planned(catalog, pods("x", 4000), limits={"cpu": 3000}, nodes=(node("n", 4000), node("o", 500)))
    assert [(note.subject, note.message) for note in plan.notes if note.kind == "limit-exceeded"] == [
        (
            "cluster/c/cpu",
            "existing nodes count 4500m of 3: nothing that counts against it is bought, and nothing is removed for it",
        )
    ]


def test_so_is_a_limit_of_the_fleet(catalog: Catalog) -> None:
    """4 and 8 cores in two clusters, of 10."""
    both = cluster(name="a", nodes=(node("n", 4000),)), cluster(pods("x", 8000, 2), name="b", nodes=(node("m", 8000),))
    plan = planned_fleet(catalog, *both, limits={"cpu": 10_000, "nodes": 2})
    assert [(note.subject, note.message) for note in plan.notes if note.kind == "limit-exceeded"] == [
        (
            "fleet/cpu",
            "existing nodes count 12 of 10: nothing that counts against it is bought, and nothing is removed for it",
        )
    ]
    assert [(entry.count, entry.limit) for entry in plan.unplaced] == [(1, "fleet/cpu")]


def test_a_decision_under_a_limit_of_the_fleet_has_an_id_of_its_own(catalog: Catalog) -> None:
    """Node names follow from the id, so plans that buy otherwise must not share one."""
    one = cluster(pods("x", 4000, 3))
    plans = [planned_fleet(catalog, one, limits={"nodes": most}).clusters[0] for most in (1, 2, 2)]
    assert [len(plan.nodes) for plan in plans] == [1, 2, 2]
    assert plans[0].decision_id != plans[1].decision_id == plans[2].decision_id
    assert planned_fleet(catalog, one).clusters[0].decision_id == planned(catalog, pods("x", 4000, 3)).decision_id


def test_the_second_opinion_sees_an_order_of_admission_that_clusters_break(catalog: Catalog) -> None:
    """One node of 0.2 $/h for two clusters: the plan that gives it to the pod of no priority says it is exact."""
    urgent = PodGroup(key="Deployment/d/urgent", spec=spec(4000, priority=10), count=1)
    both = cluster(pods("x", 4000), name="a"), cluster(urgent, name="b")
    right = FleetSnapshot(clusters=both, limits={"usdPerHour": 300_000_000})
    assert [len(one.nodes) for one in plan_fleet(right, catalog).clusters] == [0, 1]
    swapped = cluster(pods("x", 4000), name="a"), dataclasses.replace(both[1], demand=(pods("urgent", 4000),))
    wrong = plan_fleet(dataclasses.replace(right, clusters=swapped), catalog)
    assert [len(one.nodes) for one in wrong.clusters] == [1, 0]
    with pytest.raises(InvalidPlanError, match=r"urgent: node a-.* of a holds only pods that come after it"):
        check_plan(wrong, right, catalog)
