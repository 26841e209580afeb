"""Certificates are bounds, and the best ones where the answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raypipe.model.plan import Bought, Bound, ClusterPlan
from tests.benchmark.aggregated import aggregated
from tests.benchmark.certify import Certificate, certify, keep, knapsack, known, pattern_bound
from tests.benchmark.small_worlds import BIG, SMALL, SPOT, kind, without_spot, world
from tests.benchmark.world import ANY_NUMBER, undominated


@pytest.mark.parametrize(
    ("pods", "most", "want"),
    [
        pytest.param([(4, 4, 4)], ANY_NUMBER, 0.75, id="four pods fill one big node"),
        pytest.param([(8, 4, 4)], ANY_NUMBER, 1.5, id="eight fill two"),
        pytest.param([(4, 1, 1)], 1, 0.8, id="four pods apart need four nodes"),
        pytest.param([(1, 3, 3), (1, 13, 13)], ANY_NUMBER, 0.75, id="two shapes share a node"),
    ],
)
def test_the_pattern_bound_is_the_optimum_where_fillings_need_no_fraction(
    pods: list[tuple[int, int, int]], most: int, want: float
) -> None:
    asked = replace(world([SMALL, BIG], pods), most=np.full(len(pods), most))
    prices = aggregated(asked)
    assert prices.usd_per_hour <= want + 1e-9
    bound, value, cuts = pattern_bound(asked, prices.pods, seconds=60.0, tell=lambda _: None)
    assert bound == pytest.approx(want, abs=1e-6)
    assert value == pytest.approx(want, abs=1e-6)
    assert aggregated(asked, cuts=cuts).usd_per_hour == pytest.approx(want, abs=1e-6)


def test_whole_nodes_are_counted_by_the_milp_bound() -> None:
    asked = world([SMALL], [(1, 1, 1)])
    assert aggregated(asked).usd_per_hour == pytest.approx(0.05)
    assert aggregated(asked, seconds=10.0).usd_per_hour == pytest.approx(0.2)


def test_a_knapsack_is_searched_only_where_its_lp_is_worth_the_node() -> None:
    asked = world([SMALL], [(9, 1, 5)])  # memory: three pods a node, 3.2 by the LP
    fits = asked.fits[:, 0]
    assert knapsack(asked, fits, 0, np.array([0.01])) == (None, pytest.approx(0.032))
    pattern, worth = knapsack(asked, fits, 0, np.array([0.1]))
    assert pattern is not None
    assert (pattern.tolist(), worth) == ([3], pytest.approx(0.3))


def test_only_a_kind_that_a_cheaper_one_beats_in_everything_is_left_out() -> None:
    worse, narrow = kind("m.worse", 4, 8, 0.21), kind("m.narrow", 2, 8, 0.3)
    asked = world([SMALL, BIG, worse, SPOT, narrow], [(1, 1, 1), (1, 1, 1)])
    assert undominated(asked).tolist() == [1, 3]
    assert undominated(without_spot(asked, 0)).tolist() == [0, 1, 3]
    assert undominated(asked, within_sizes=True).tolist() == [1, 3, 4]


def test_the_best_of_all_bounds_is_certified() -> None:
    asked = world([SMALL, BIG], [(8, 4, 4)])
    found = certify("two big nodes", asked, 60.0, lambda _: None)
    assert (found.kind, found.usd_per_hour) == ("aggregated-lp", pytest.approx(1.5))
    apart = certify("pods too big to share", world([SMALL], [(3, 3, 3)]), 60.0, lambda _: None)
    assert (apart.kind, apart.usd_per_hour, apart.aggregated) == ("pattern-lp", pytest.approx(0.6), pytest.approx(0.45))


def test_a_certificate_is_kept_unless_a_better_one_is_there(tmp_path: Path) -> None:
    def proven(usd_per_hour: float) -> Certificate:
        return Certificate(
            instance="x-1", usd_per_hour=usd_per_hour, kind="pattern-lp", aggregated=1.0, pattern_lp=2.0, proven="day"
        )

    file = tmp_path / "certificates.json"
    file.write_text('{"how": "so", "bounds": {}}')
    for usd_per_hour in (1.5, 1.7, 1.6):
        keep("abc", proven(usd_per_hour), file)
    assert known(file) == {"abc": proven(1.7)}


def test_a_certificate_holds_for_one_question_only() -> None:
    asked = world([SMALL, BIG], [(4, 1, 1)])
    others = (
        world([SMALL, BIG], [(5, 1, 1)]),
        world([SMALL, kind("m.big", 16, 64, 0.76)], [(4, 1, 1)]),
        without_spot(world([SMALL, SPOT], [(4, 1, 1)]), 0),
        replace(asked, most=np.array([1])),
    )
    assert asked.digest() == world([SMALL, BIG], [(4, 1, 1)]).digest()
    assert asked.digest() not in {other.digest() for other in others}


def test_a_plan_certifies_where_it_proves_more() -> None:
    certificate = Certificate(instance="x-1", usd_per_hour=2.0, kind="a", aggregated=1.0, pattern_lp=2.0, proven="day")
    for bound, prover in ((1.9, "tests.benchmark.certify"), (2.1, "raypipe plan --certify")):
        plan = ClusterPlan(
            name="x",
            bought=Bought(usd_per_hour=3.0, lower_bound=bound, gap_fraction=None),
            bound=Bound(kind="aggregated-milp", pods=1),
        )
        better = certificate.or_better(plan)
        assert (better.usd_per_hour, better.prover) == (max(2.0, bound), prover)
