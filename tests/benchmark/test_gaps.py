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
from tests.benchmark.command import PEERS, THRESHOLDS
from tests.benchmark.instances import instance, write
from tests.benchmark.optimiser import PEERS as EMULATIONS
from tests.benchmark.optimiser import emulate, instances
from tests.benchmark.suite import ROWS, SHARED, openb

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


@pytest.mark.parametrize("name", ["services-1000", "od-1000"])
def test_peers_pay_more_for_the_same_pods(name: str, catalog: Catalog, tmp_path: Path) -> None:
    """One seed with spot and one without: no less than the goal for every seed."""
    row = next(row for row in ROWS if row.name == name)
    (made,) = instances(row, [1], catalog, tmp_path)
    plan = plan_fleet(read_paths([made.folder]), catalog)
    assert plan.unplaced == ()
    for peer, goal in PEERS["ratios"].items():
        bought = EMULATIONS[peer](made.world)
        assert bought.wrong() == []
        assert bought.usd_per_hour / plan.usd_per_hour.after >= goal["least"], peer


@pytest.mark.parametrize("name", ["real", "real-od"])
def test_the_emulated_karpenter_comes_near_the_real_one(name: str, catalog: Catalog, tmp_path: Path) -> None:
    row = next(row for row in ROWS if row.name == name)
    text, near = emulate(row, instances(row, range(1, 4), catalog, tmp_path)).line(PEERS["real"][name], PEERS["near"])
    assert near, text


def test_openb_is_placed_but_for_one_pod_that_fits_nothing(catalog: Catalog, tmp_path: Path) -> None:
    folder = openb(tmp_path / "openb")
    assert len(json.loads((folder / "objects.json").read_text())["items"]) == 8152
    fleet = read_paths([folder])
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    assert [(entry.count, entry.reason) for entry in plan.unplaced] == [(1, "no-offering-fits")]
    bound = aggregated_bound(fleet.clusters[0], catalog)
    assert bound <= plan.usd_per_hour.after <= bound * (1 + THRESHOLDS["openb"]["gap_worst"])
