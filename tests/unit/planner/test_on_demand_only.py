"""`--compare on-demand`: what a plan would cost with on-demand offerings only, neither spot nor reserved ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.fleet import plan_fleet
from raypipe.model.plan import FleetPlan
from raypipe.model.requirements import CAPACITY_TYPE
from raypipe.model.snapshot import FleetSnapshot
from raypipe.settings import Settings
from raypipe.validation import check_plan
from tests.unit.planner.builders import OFFERINGS, ZONE, catalog_in, cluster, node, pods

SPOT = "aws,us-east-1,m5.xlarge,spot,0.05\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path, offerings=OFFERINGS + SPOT)


def reserved(count: int, usd: str) -> Settings:
    return Settings(reserved=({"instanceType": "m5.xlarge", "zone": ZONE, "count": count, "usdPerHour": usd},))


def compared(catalog: Catalog, **fields: Any) -> FleetPlan:
    given = {"capacity_types": ("spot", "on-demand"), **fields}
    fleet = FleetSnapshot(clusters=(cluster(pods("web", 4000, 2), **given),))
    plan = plan_fleet(fleet, catalog, compare_on_demand=True)
    check_plan(plan, fleet, catalog)
    return plan


@pytest.mark.parametrize(
    ("fields", "after"),
    [
        pytest.param({}, 0.1, id="beside spot"),
        pytest.param({"settings": reserved(2, "0.01")}, 0.02, id="beside reserved nodes"),
        pytest.param({"capacity_types": (), "settings": reserved(2, "0.01")}, 0.02, id="beside reserved nodes alone"),
    ],
)
def test_two_on_demand_nodes_are_what_it_would_cost(fields: dict[str, Any], after: float, catalog: Catalog) -> None:
    cost = compared(catalog, **fields).usd_per_hour
    assert (cost.after, cost.on_demand_only) == (after, 0.4)


def test_reserved_nodes_that_exist_keep_their_price(catalog: Catalog) -> None:
    kept = node("n", kind="m5.xlarge")
    kept = node("n", labels={**kept.labels, CAPACITY_TYPE: "reserved"})
    cost = compared(catalog, settings=reserved(2, "0.01"), nodes=(kept,)).usd_per_hour
    assert (cost.before, cost.after, cost.on_demand_only) == (0.01, 0.02, 0.21)
