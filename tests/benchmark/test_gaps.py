"""The part of the benchmark that every test run repeats: gaps on one seed of each kind, times apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.catalog import Catalog, load
from raypipe.fleet import plan_fleet
from raypipe.manifests import read_paths
from raypipe.validation import check_plan
from tests.benchmark.aggregated import aggregated_bound
from tests.benchmark.command import THRESHOLDS
from tests.benchmark.instances import instance, write
from tests.benchmark.suite import SHARED, openb

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="no catalogue and traces beside this checkout")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(SHARED / "catalog")


@pytest.mark.parametrize(("kind", "pods"), [("services", 1000), ("gpu", 500), ("mixed", 600)])
def test_the_gap_to_the_aggregated_bound_is_within_its_threshold(
    kind: str, pods: int, catalog: Catalog, tmp_path: Path
) -> None:
    fleet = read_paths([write(tmp_path / kind, instance(kind, pods, 100, seed=1))])
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    bound = aggregated_bound(fleet.clusters[0], catalog)
    assert plan.unplaced == ()
    assert bound <= plan.usd_per_hour.lower_bound + 1e-6
    assert plan.usd_per_hour.lower_bound <= plan.usd_per_hour.after
    assert plan.usd_per_hour.after / bound - 1 <= THRESHOLDS[kind]["gap_worst"]


def test_openb_is_placed_but_for_one_pod_that_fits_nothing(catalog: Catalog, tmp_path: Path) -> None:
    folder = openb(tmp_path / "openb")
    assert len(json.loads((folder / "objects.json").read_text())["items"]) == 8152
    fleet = read_paths([folder])
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    assert [(entry.count, entry.reason) for entry in plan.unplaced] == [(1, "no-offering-fits")]
    bound = aggregated_bound(fleet.clusters[0], catalog)
    assert bound <= plan.usd_per_hour.after <= bound * (1 + THRESHOLDS["openb"]["gap_worst"])
