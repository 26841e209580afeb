"""Rows say what was measured against what, and what is missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.model.nodes import Node
from raypipe.model.pods import BoundPods, PodSpec
from raypipe.model.snapshot import ClusterSnapshot
from tests.benchmark.command import PEERS
from tests.benchmark.measure import Figures
from tests.benchmark.optimiser import Compared, Emulated, Instance, Measured, compare, nodes_saved, question_digest
from tests.benchmark.small_worlds import BIG, HUGE, SMALL, world
from tests.benchmark.suite import Row

ROW = Row(name="services-1000", group="optimiser", kind="services", pods=1000, groups=100)
FIGURES = Figures(
    bought_usd_per_hour=1.01,
    bought_lower_bound=0.98,
    first_s=0.2,
    final_s=2.0,
    mib=100.0,
    unplaced=0,
    wrong="",
    bound_kind="aggregated-lp",
    status="budget-spent",
    stopped="budget",
)
LIMITS = {"gap_mean": 0.02, "gap_worst": 0.027, "own_above_gap": 0.03, "first_s": 0.3, "final_s": 2.5, "mib": 200}


def row_of(*figures: Figures, bound: float = 1.0) -> Measured:
    return Measured(row=ROW, figures=figures, bounds=(bound,) * len(figures), uncertified=0)


@pytest.mark.parametrize(
    ("figures", "want"),
    [
        pytest.param([FIGURES], [], id="all within"),
        pytest.param(
            [FIGURES, replace(FIGURES, bought_usd_per_hour=1.028)], ["gap_worst above 0.027"], id="one seed dear"
        ),
        pytest.param(
            [replace(FIGURES, bought_usd_per_hour=1.025, bought_lower_bound=1.0)], ["gap_mean above 0.02"], id="mean"
        ),
        pytest.param([replace(FIGURES, bought_lower_bound=0.96)], ["own_above_gap above 0.03"], id="its bound is weak"),
        pytest.param([replace(FIGURES, first_s=0.4), FIGURES], ["first_s above 0.3"], id="slow to begin"),
        pytest.param([replace(FIGURES, first_s=None)], [], id="first packing not told"),
        pytest.param([replace(FIGURES, wrong="node x")], ["INVALID (node x)"], id="the check objects"),
        pytest.param([replace(FIGURES, unplaced=2)], ["2 unplaced"], id="pods left out"),
        pytest.param([replace(FIGURES, bought_usd_per_hour=0.99)], ["cost below the bound"], id="a bound is wrong"),
    ],
)
def test_a_row_misses_what_is_above_its_limits(figures: list[Figures], want: list[str]) -> None:
    measured = row_of(*figures)
    assert measured.missed(LIMITS) == want
    assert measured.line(LIMITS).endswith("MISSED: " + want[0] if want else "  ok")


def test_a_row_without_a_goal_says_so() -> None:
    assert row_of(FIGURES).line({}).endswith("no goal")


def test_peers_are_compared_on_plans_that_place_as_much() -> None:
    asked = world([SMALL, BIG, HUGE], [(10, 2, 2)])  # a big node and a small one are the least: 0.95
    made = [Instance(name="x", folder=Path("x"), world=asked, digest="")] * 2
    measured = row_of(replace(FIGURES, bought_usd_per_hour=0.95), replace(FIGURES, unplaced=1))
    compared = compare(measured, made)
    assert {name: [round(ratio, 3) for ratio in ratios] for name, ratios in compared.ratios.items()} == {
        "Karpenter-like, tuned": [1.0],
        "Karpenter-like, plain": [3.053],
        "Cluster Autoscaler-like": [1.053],
    }
    assert compared.missed({}) == []
    dear = compare(row_of(replace(FIGURES, bought_usd_per_hour=0.99)), made[:1])
    assert dear.missed({}) == ["Karpenter-like, tuned pays less"]


@pytest.mark.parametrize(
    ("ratios", "want"),
    [
        pytest.param((1.2, 1.2), [], id="both goals"),
        pytest.param((1.1, 1.2), ["Karpenter-like, tuned: mean below 1.16"], id="the mean"),
        pytest.param((1.05, 1.4), ["Karpenter-like, tuned: least below 1.09"], id="one seed"),
    ],
)
def test_ratios_to_peers_have_goals(ratios: tuple[float, ...], want: list[str]) -> None:
    compared = Compared(row=ROW, ratios={"Karpenter-like, tuned": ratios, "Karpenter-like, plain": (3.0, 3.0)})
    assert compared.missed(PEERS["ratios"]) == want
    assert Compared(row=replace(ROW, kind="gpu"), ratios=compared.ratios).missed(PEERS["ratios"]) == []


def test_pods_planned_a_second_are_those_of_the_slowest_seed() -> None:
    measured = row_of(replace(FIGURES, final_s=0.1), replace(FIGURES, final_s=0.25))
    assert measured.pods_per_s == 4000
    assert measured.missed({"pods_per_s": 4000}) == []
    assert measured.missed({"pods_per_s": 5000}) == ["pods_per_s below 5000"]


def test_an_emulation_is_held_to_the_real_program_as_a_multiple_of_the_bound() -> None:
    emulated = Emulated(row=ROW, above=(1.2, 1.4))
    near, far = (emulated.line({"usd_per_hour": 1.5, "bound": 1.0}, most) for most in (0.25, 0.1))
    assert (near[1], far[1]) == (True, False)
    assert near[0].endswith("emulated 1.300 of (A)  real 1.500 (1.5 / 1 $/h)  -13.3%  ok")
    assert far[0].endswith("MISSED: more than 10% apart")


@pytest.mark.parametrize(
    ("cost", "bound", "want"),
    [
        pytest.param(1.02, 1.0, "adds 1.00%: ok", id="as much as may be"),
        pytest.param(1.03, 1.0, "adds 2.00%: MISSED: adds above 1.0%", id="rounding beside them costs more"),
        pytest.param(2.03, 2.01, "adds -0.00%: MISSED: free room makes the plan dearer", id="dearer than without"),
    ],
)
def test_existing_nodes_save_and_hardly_widen_the_gap(cost: float, bound: float, want: str) -> None:
    alone = row_of(replace(FIGURES, bought_usd_per_hour=2.02), bound=2.0)
    text, kept = nodes_saved(row_of(replace(FIGURES, bought_usd_per_hour=cost), bound=bound), alone, 0.01 + 1e-9)
    assert text.endswith(want)
    assert kept == want.endswith("ok")


def test_a_certificate_beside_nodes_holds_for_their_room_alone() -> None:
    asked = world([SMALL], [(4, 1, 1)])
    node = Node(name="n", labels={"zone": "a"}, capacity={"cpu": 4000}, allocatable={"cpu": 4000})
    pods = BoundPods(node="n", key="Pod/default/p", spec=PodSpec(requests={"cpu": 1000}))

    def digest(node: Node, pods: BoundPods) -> str:
        return question_digest(ClusterSnapshot(name="x", nodes=(node,), bound=(pods,)), asked)

    others = [
        question_digest(ClusterSnapshot(name="x"), asked),
        digest(replace(node, allocatable={"cpu": 3900}), pods),
        digest(replace(node, labels={"zone": "b"}), pods),
        digest(node, replace(pods, count=2)),
        digest(node, replace(pods, spec=PodSpec(requests={"cpu": 500}))),
    ]
    assert others[0] == asked.digest()
    assert digest(node, pods) == digest(node, pods)
    assert digest(node, pods) not in others
