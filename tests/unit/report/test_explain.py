"""Explanations: what a word means, and what is answered."""

from __future__ import annotations

import msgspec
import pytest

from raypipe.errors import InputError
from raypipe.model.plan import DividedGroup, DividedSet
from raypipe.report.explain import NodeAnswer, PodAnswer, answers, render
from tests.unit.report.plans import DEMO, WEB, cluster, fleet_plan, node

TWO_RAY_GROUPS = {"RayCluster/ml/demo/head": 1, DEMO: 2}


@pytest.mark.parametrize("word", [WEB, "shop/web", "web", "/web/", "Deployment/shop"])
def test_a_unique_part_of_a_key_is_enough(word: str) -> None:
    (answer,) = answers(fleet_plan(), word)
    assert isinstance(answer, PodAnswer)
    assert answer.pods == WEB


@pytest.mark.parametrize("word", ["demo", "RayCluster/ml/demo"])
def test_an_object_means_all_its_pods(word: str) -> None:
    plan = fleet_plan(cluster(nodes=(node(pods=TWO_RAY_GROUPS),), unplaced=(), excluded=()))
    assert [answer.pods for answer in answers(plan, word) if isinstance(answer, PodAnswer)] == sorted(TWO_RAY_GROUPS)


def test_a_key_of_two_clusters_is_answered_for_both() -> None:
    found = answers(fleet_plan(cluster(name="a"), cluster(name="b")), "web")
    assert [answer.cluster for answer in found] == ["a", "b"]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("wep", "did you mean 'Deployment/shop/web'?"),
        ("Deployment/shop/wen", "did you mean 'Deployment/shop/web'?"),
        ("research-3f9a1c0b77-0009", "did you mean 'research-3f9a1c0b77-000"),
        ("ml", "one object; 4 have that name: Deployment/ml/llm, Deployment/ml/train, RayCluster/ml/demo, RayJob/ml"),
        ("", "found ''"),
        ("zzzzzz", "expected a pod key or node name of the plan"),
    ],
)
def test_a_word_that_means_nothing_or_too_much_is_refused_with_the_nearest(word: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        answers(fleet_plan(), word)
    assert said in str(caught.value)


def test_placed_pods_have_nodes_reasons_and_a_marginal_price() -> None:
    text = render(answers(fleet_plan(), "web"))
    for said in (
        "17 pods placed",
        "ip-10-0-0-1",
        "KEPT, 1 added",
        "research-3f9a1c0b77-0002",
        "the cheapest of 12 kinds of node",
        "one more such pod costs $0.0213/h",
        "c7g.4xlarge spot at $0.2810/h: would cost 0.4 % more",
    ):
        assert said in text


def test_unplaced_pods_have_the_candidates_left_after_each_filter() -> None:
    text = render(answers(fleet_plan(), "train"))
    assert "3 pods: no-offering-fits" in text
    assert "largest: p5.48xlarge, 8" in text
    assert "  selector             812\n  gpu                    0  removed the last candidate" in text


def test_excluded_pods_have_their_reason() -> None:
    assert "1 pod seen and not planned: suspended (spec.suspend is true)" in render(answers(fleet_plan(), "later"))


def test_a_node_has_what_it_holds_how_full_it_is_and_why_not_another() -> None:
    (answer,) = answers(fleet_plan(), "research-3f9a1c0b77-0003")
    assert isinstance(answer, NodeAnswer)
    assert answer.action_reason == "8 pods have no place"
    text = render([answer])
    for said in ("g6.xlarge on-demand in us-east-1a · $0.8048/h", "1  Deployment/ml/llm", "100%", "not bought"):
        assert said in text


def test_a_kept_node_says_what_the_plan_adds() -> None:
    text = render(answers(fleet_plan(), "ip-10-0-0-1"))
    assert "exists" in text
    assert "1 of them added by this plan" in text
    assert "not bought" not in text


@pytest.mark.parametrize(
    ("list_price", "said"), [(0.1, "surcharge or multiplier $0.0632/h"), (0.2, "discount $0.0368/h")]
)
def test_a_price_other_than_the_list_price_is_explained(list_price: float, said: str) -> None:
    plan = fleet_plan(cluster(nodes=(node("n", list_usd_per_hour=list_price),)))
    assert said in render(answers(plan, "n"))


def test_answers_are_plain_data_too() -> None:
    found = msgspec.to_builtins(answers(fleet_plan(), "train"))
    assert found[0]["unplaced"]["filters"][-1] == {"filter": "gpu", "left": 0}


def test_alternatives_are_told_with_their_prices() -> None:
    groups = (
        DividedGroup(group="l4", pods=DEMO, speed=1.0, requested=2, replicas=0, reason="$0.8/h, 12.0% more than t4"),
        DividedGroup(group="t4", pods=WEB, speed=0.7, requested=0, replicas=3, reason="$0.7/h, the least of the set"),
    )
    one = DividedSet(set="RayCluster/ml/demo/gpus", work=2.0, groups=groups)
    lines = render(answers(fleet_plan(cluster(alternatives=(one,))), DEMO)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.strip().startswith("alternatives"))
    assert [line.strip() for line in lines[start : start + 2]] == [
        "alternatives   RayCluster/ml/demo/gpus: 3 × t4 (asked for 0): $0.7/h, the least of the set",
        "RayCluster/ml/demo/gpus: 0 × l4 (asked for 2): $0.8/h, 12.0% more than t4",
    ]
