"""500 small cases against everything tried: admission first, then cost, and the bound never above the cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.fleet import plan_fleet
from raypipe.model.plan import Admission, FleetPlan, Status
from raypipe.validation import check_plan
from tests.property.brute_force import best_plan
from tests.property.cases import catalogue, random_case, snapshot


@pytest.mark.parametrize("first_case", range(0, 500, 100))
def test_small_cases_equal_brute_force(first_case: int, tmp_path: Path) -> None:
    wrong = []
    for seed in range(first_case, first_case + 100):
        case = random_case(seed)
        best = best_plan(case)
        fleet, catalog = snapshot(case), catalogue(case, tmp_path / str(seed))
        plan = plan_fleet(fleet, catalog)
        check_plan(plan, fleet, catalog)
        cluster = plan.clusters[0]
        found = (_admitted(plan), round(cluster.bought.usd_per_hour * 100))
        if found != (best.admitted, best.cents) or cluster.admission is not Admission.EXACT:
            wrong.append((seed, found, best, cluster.admission))
        assert cluster.status is Status.OPTIMAL, seed
        assert cluster.bought.lower_bound <= cluster.bought.usd_per_hour + 1e-9, seed
    assert not wrong


def _admitted(plan: FleetPlan) -> frozenset[str]:
    return frozenset(key for node in plan.clusters[0].nodes for key in node.added)
