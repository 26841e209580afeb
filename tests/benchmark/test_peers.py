"""The emulations follow their peers' rules on worlds small enough to follow by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.benchmark.peers import first_fit, price_expander
from tests.benchmark.small_worlds import BIG, HUGE, SMALL, SPOT, kind, without_spot, world
from tests.benchmark.world import Ints, Zones, dealt_to_zones


def bought(found: Ints) -> list[int]:
    return sorted(found.tolist())


class TestKarpenterLike:
    def test_a_node_grows_to_the_largest_type_and_becomes_the_cheapest_that_holds_its_pods(self) -> None:
        result = first_fit(world([SMALL, BIG, HUGE], [(10, 2, 2)]), tuned=False)
        assert result.wrong() == []
        assert (bought(result.kinds), result.pods.tolist()) == ([2], [[10]])  # 20 vCPUs: only the largest holds them

    def test_tuned_nodes_stop_at_32_vcpus(self) -> None:
        result = first_fit(world([SMALL, BIG, HUGE], [(10, 2, 2)]))
        assert (result.kinds.tolist(), result.pods.tolist()) == ([1, 0], [[8], [2]])

    def test_a_pod_that_no_tuned_pool_can_hold_falls_through_to_all_sizes(self) -> None:
        assert bought(first_fit(world([SMALL, BIG, HUGE], [(1, 40, 8), (1, 1, 1)])).kinds) == [2]

    def test_a_pod_that_may_run_anywhere_joins_the_on_demand_node_in_flight(self) -> None:
        asked = without_spot(world([SMALL, SPOT], [(1, 2, 2), (1, 1, 1)]), 0)
        result = first_fit(asked)
        assert (result.kinds.tolist(), result.pods.tolist()) == ([0], [[1, 1]])

    def test_pods_go_to_the_node_with_the_fewest_pods_first(self) -> None:
        result = first_fit(world([SMALL], [(2, 3, 3), (2, 1, 1)]))
        assert result.pods.tolist() == [[1, 1], [1, 1]]

    def test_pods_apart_get_a_node_each(self) -> None:
        asked = replace(world([SMALL, BIG], [(3, 1, 1)]), most=np.array([1]))
        assert first_fit(asked).pods.tolist() == [[1], [1], [1]]


class TestClusterAutoscalerLike:
    def test_the_group_of_the_least_score_is_bought_until_nobody_waits(self) -> None:
        result = price_expander(world([SMALL, BIG], [(16, 2, 2)]))
        assert result.wrong() == []
        # 8 x 0.2 for 8 small nodes at 4 vCPUs against 2 x 0.75 at 16: by price alone the big ones would be bought
        assert bought(result.kinds) == [0] * 8

    def test_a_gpu_node_is_the_last_choice_even_where_it_is_cheaper(self) -> None:
        gpu = replace(kind("g.small", 4, 16, 0.01), gpu_count=1)
        assert bought(price_expander(world([SMALL, gpu], [(1, 2, 2)])).kinds) == [0]

    def test_pods_that_the_best_group_cannot_take_lead_to_another_scale_up(self) -> None:
        asked = without_spot(world([SMALL, SPOT], [(1, 4, 4), (1, 4, 4)]), 0)
        assert bought(price_expander(asked).kinds) == [0, 1]


def test_pods_spread_over_zones_are_dealt_evenly_and_pods_together_go_to_one() -> None:
    kinds = [SMALL, replace(SMALL, zone="us-east-1b"), replace(SMALL, zone="us-east-1c")]
    asked = replace(
        world(kinds, [(5, 1, 1), (5, 1, 1), (5, 1, 1)]),
        zone=np.array([0, 1, 2]),
        zones=(Zones.SPREAD, Zones.TOGETHER, Zones.FREE),
    )
    dealt = dealt_to_zones(asked)
    assert dealt.demand.tolist() == [2, 2, 1, 5, 5]
    assert dealt.admits.astype(int).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1]]
