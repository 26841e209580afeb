"""The part of the warm start's benchmark that every test run repeats: cost and work, times apart."""

from __future__ import annotations

import pytest

from raypipe.catalog import Catalog, load
from tests.benchmark.instances import instance
from tests.benchmark.warm import MOST_DEARER, SHARE, changed, compare


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(None)


def test_five_percent_of_the_pods_change() -> None:
    before = {one["metadata"]["name"]: one["spec"]["replicas"] for one in instance("services", 1_000, 100, 1)}
    after = {
        one["metadata"]["name"]: one["spec"]["replicas"] for one in changed(instance("services", 1_000, 100, 1), 1)
    }
    moved = sum(abs(after.get(name, 0) - before.get(name, 0)) for name in before | after)
    assert 0.5 * SHARE * 1_000 < moved <= SHARE * 1_000  # a Deployment may be drawn twice, up and down again
    assert set(after) - set(before) == {"new-0", "new-1"}


def test_a_warm_plan_costs_no_more_and_asks_the_solver_less_than_half_as_often(catalog: Catalog) -> None:
    made = [compare(600, 60, seed, catalog) for seed in (2, 3, 4)]
    assert sum(one.dearer for one in made) / len(made) <= MOST_DEARER
    for one in made:
        assert one.warm.unplaced == ()
        costs = (one.cold.usd_per_hour, one.warm.usd_per_hour)  # of one question: each bound holds for both plans
        assert max(cost.lower_bound for cost in costs) <= min(cost.after for cost in costs)
        assert one.warm.work.solver_calls < one.cold.work.solver_calls / 2
        assert one.warm.work.lp_iterations < one.cold.work.lp_iterations  # the bound's, half of them, are the same
