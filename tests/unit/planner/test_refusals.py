"""What is left out, by which reason, filter and limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.catalog import Catalog
from raypipe.model.workloads import Gang
from tests.unit.planner.builders import catalog_in, cluster, node, planned, planned_fleet, pods

GANG = "RayCluster/d/g"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def gang(**minimum: int) -> Gang:
    return Gang(name=GANG, minimum={f"Deployment/d/{name}": count for name, count in minimum.items()})


def test_a_gang_that_free_room_cannot_hold_whole_is_left_out_as_a_gang(catalog: Catalog) -> None:
    plan = planned(
        catalog, pods("worker", 3000, 2, gang=GANG), gangs=(gang(worker=2),), nodes=(node("n"),), region="elsewhere"
    )
    (entry,) = plan.unplaced
    assert (entry.pods, entry.count, entry.reason, entry.limit) == ("Deployment/d/worker", 2, "gang", None)
    assert f"{GANG} is placed whole or not at all" in entry.message


def test_members_beyond_a_gang_that_is_placed_are_left_out_as_ordinary_pods(catalog: Catalog) -> None:
    plan = planned(
        catalog, pods("worker", 3000, 3, gang=GANG), gangs=(gang(worker=1),), nodes=(node("n"),), region="elsewhere"
    )
    (entry,) = plan.unplaced
    assert (entry.count, entry.reason) == (2, "no-offering-fits")
    assert "whole" not in entry.message


def test_members_beyond_a_gang_under_a_limit_are_not_said_to_wait_for_it(catalog: Catalog) -> None:
    plan = planned(
        catalog, pods("worker", 3000, 3, gang=GANG), gangs=(gang(worker=1),), limits={"usdPerHour": 400_000_000}
    )
    (entry,) = plan.unplaced
    assert (entry.count, entry.reason, entry.limit) == (1, "limit", "cluster/c/usdPerHour")
    assert entry.message == (
        "limit: cluster/c/usdPerHour is $0.4/h; within the $0.4/h that existing nodes leave there is no plan for it "
        "beside the pods that come before it"
    )


def test_a_limit_of_the_fleet_is_told_by_what_is_left_of_it(catalog: Catalog) -> None:
    """Two clusters under 0.5 $/h: the first buys for 0.4, and the second comes after it."""
    both = cluster(pods("x", 8000), name="a"), cluster(pods("x", 4000), name="b")
    (entry,) = planned_fleet(catalog, *both, limits={"usdPerHour": 500_000_000}).clusters[1].unplaced
    assert (entry.reason, entry.limit) == ("limit", "fleet/usdPerHour")
    assert "within the $0.5/h that existing nodes leave of fleet/usdPerHour to all clusters" in entry.message
