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


def test_decisions_that_buy_otherwise_under_a_limit_of_the_fleet_have_ids_of_their_own(catalog: Catalog) -> None:
    """Node names follow from the id."""
    one = cluster(pods("x", 4000, 3))
    plans = [planned_fleet(catalog, one, limits={"nodes": most}).clusters[0] for most in (1, 2, 2)]
    assert [len(plan.nodes) for plan in plans] == [1, 2, 2]
    assert plans[0].decision_id != plans[1].decision_id == plans[2].decision_id


def test_what_others_leave_of_a_limit_is_no_part_of_a_decision(catalog: Catalog) -> None:
    """The other cluster has one node, then three; the first has room for its own either way, until it has none."""
    one = cluster(pods("x", 8000, 2), name="a")
    ids = {}
    for others in (1, 3, 9):
        other = cluster(name="b", nodes=tuple(node(f"n{number}", 4000) for number in range(others)))
        plan = planned_fleet(catalog, one, other, limits={"nodes": 10}).clusters[0]
        ids[others] = (plan.decision_id, [taken.name for taken in plan.nodes], len(plan.unplaced))
    assert ids[1] == ids[3]
    assert (ids[9][0] != ids[1][0], ids[9][2]) == (True, 1)


def test_a_price_of_what_is_scarce_to_the_fleet_is_part_of_a_decision(catalog: Catalog) -> None:
    """Two clusters want two nodes each; of three they get one and two, of four what they want."""
    both = [cluster(pods("x", 8000, 2), name=name) for name in ("a", "b")]
    scarce, enough = (planned_fleet(catalog, *both, limits={"nodes": most}) for most in (3, 4))
    assert [len(one.nodes) for one in scarce.clusters] == [2, 1]
    ids = {one.decision_id for plan in (scarce, enough) for one in plan.clusters}
    assert len(ids) == 4


def test_without_a_limit_of_the_fleet_a_cluster_is_named_by_its_own_digests_alone(catalog: Catalog) -> None:
    one = cluster(pods("x", 4000, 3))
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
