"""The nouns: label algebra, taints, quantities, settings, and plans and snapshots as text."""

from __future__ import annotations

import pytest

from raypipe.errors import SettingsError
from raypipe.model.plan import PLAN_SCHEMA, ClusterPlan, FleetPlan, PlannedNode
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.requirements import Operator, Requirement, Taint, Toleration, admitted, gpu_name, tolerated
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot, cluster_digest
from raypipe.quantities import format_quantity, parse_quantity, parse_usd_per_hour
from raypipe.settings import Settings, with_overrides


@pytest.mark.parametrize(
    ("operator", "values", "present", "other", "absent"),
    [
        (Operator.IN, ("5",), True, False, False),
        (Operator.NOT_IN, ("5",), False, True, True),
        (Operator.EXISTS, (), True, True, False),
        (Operator.DOES_NOT_EXIST, (), False, False, True),
        (Operator.GT, ("4",), True, False, False),
        (Operator.LT, ("6",), True, False, False),
    ],
)
def test_requirements_are_true_or_false_of_a_label(
    operator: Operator, values: tuple[str, ...], present: bool, other: bool, absent: bool
) -> None:
    requirement = Requirement(key="n", operator=operator, values=values)
    another = {Operator.GT: "4", Operator.LT: "6"}.get(operator, "7")
    assert requirement.admits({"n": "5"}) is present
    assert requirement.admits({"n": another}) is other
    assert requirement.admits({"m": "5"}) is absent


@pytest.mark.parametrize("value", ["", "x", "4.5", None])
def test_gt_admits_only_whole_numbers(value: str | None) -> None:
    assert not Requirement(key="n", operator=Operator.GT, values=("1",)).admits_value(value)


def test_one_term_of_an_affinity_is_enough_and_an_empty_term_admits_nothing() -> None:
    a, b = (Requirement(key=key, operator=Operator.EXISTS) for key in "ab")
    assert admitted({"a": "1"}, {}, ((a,), (b,)))
    assert not admitted({"a": "1"}, {}, ((a, b),))
    assert not admitted({"a": "1"}, {}, ((),))
    assert admitted({}, {}, ())


@pytest.mark.parametrize(
    ("toleration", "tolerates"),
    [
        (Toleration(key="k", value="v", effect="NoSchedule"), True),
        (Toleration(key="k", value="other", effect="NoSchedule"), False),
        (Toleration(key="k", operator="Exists"), True),
        (Toleration(operator="Exists"), True),
        (Toleration(key="k", value="v", effect="NoExecute"), False),
        (Toleration(key="l", operator="Exists"), False),
    ],
)
def test_a_toleration_matches_key_value_and_effect(toleration: Toleration, tolerates: bool) -> None:
    assert tolerated((Taint(key="k", value="v"),), (toleration,)) is tolerates
    assert tolerated((Taint(key="k", value="v", effect="PreferNoSchedule"),), ())


@pytest.mark.parametrize("text", ["nvidia-tesla-t4", "NVIDIA-T4", "Tesla T4", "t4", "tesla_t4"])
def test_names_of_one_gpu_are_one_name(text: str) -> None:
    assert gpu_name(text) == "t4"


@pytest.mark.parametrize(
    ("texts", "resource", "amount"),
    [
        (("500m", "0.5", 0.5, "5e-1"), "cpu", 500),
        (("1Gi", "1024Mi", 1073741824, "1073741824"), "memory", 2**30),
        (("1G", "1e9", 10**9), "memory", 10**9),
        (("0.1", "100m"), "cpu", 100),
        (("1", 1), "nvidia.com/gpu", 1),
        (("1m",), "nvidia.com/gpu", 1),
    ],
)
def test_units_are_blind_and_fractions_round_up(texts: tuple[object, ...], resource: str, amount: int) -> None:
    assert {parse_quantity(text, resource) for text in texts} == {amount}
    assert parse_quantity(format_quantity(amount, resource), resource) == amount


@pytest.mark.parametrize("text", ["", "-1", "1Xi", "abc", "1e99", True, None, [], float("nan"), 10**30, "\uff11"])
def test_what_is_no_quantity_is_refused_with_what_was_expected(text: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_quantity(text, "memory")


@pytest.mark.parametrize("text", ["-1", "NaN", "inf", "1e9", "x", None, True])
def test_what_is_no_price_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_usd_per_hour(text)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gap_target": 0.1}, ["gap_target", "did you mean 'gap_target_fraction'"]),
        ({"burstable": "sometimes"}, ["burstable", "sustained, list, exclude"]),
        ({"price_multiplier": 0}, ["price_multiplier", "0"]),
        ({"price_multiplier": float("nan")}, ["price_multiplier", "a number"]),
        ({"lp_rounds": 1.5}, ["lp_rounds", "whole"]),
        ({"lp_rounds": True}, ["lp_rounds", "a number"]),
        ({"exclude_instance_categories": "inf"}, ["exclude_instance_categories", "a list"]),
        ({"manage": None}, ["manage", "nothing"]),
        ({"lp_rounds": -1, "manag": "all"}, ["lp_rounds", "manag:"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        with_overrides(Settings(), values)
    assert all(word in str(error.value) for word in words)


def test_the_later_setting_wins() -> None:
    assert with_overrides(with_overrides(Settings(), {"lp_rounds": 3}), {"lp_rounds": 4}).lp_rounds == 4


def test_a_plan_survives_being_text() -> None:
    node = PlannedNode(
        name="a-0123456789-0001",
        existing=False,
        pool=None,
        instance_type="m5.large",
        region="r",
        zone="z",
        capacity_type="spot",
        usd_per_hour=0.1,
        list_usd_per_hour=0.1,
        pods={"Pod/d/p": 1},
        added={"Pod/d/p": 1},
        requested={"cpu": "1"},
        reserved={"cpu": "0"},
        allocatable={"cpu": "2"},
    )
    plan = FleetPlan(decision_id="0" * 12, clusters=(ClusterPlan(name="a", nodes=(node,)),))
    assert FleetPlan.from_json(plan.to_json()) == plan
    content = plan.to_dict()
    assert content["schema"] == PLAN_SCHEMA
    assert list(content)[:4] == ["schema", "decision_id", "created_at", "scope"]
    frame = plan.to_frame()
    assert frame.loc[0, "instance_type"] == "m5.large"
    assert frame.loc[0, "pods"] == 1


def test_a_snapshot_survives_being_text_and_its_digest_knows_no_settings() -> None:
    cluster = ClusterSnapshot(name="a", demand=(PodGroup(key="Pod/d/p", spec=PodSpec(requests={"cpu": 1}), count=2),))
    fleet = FleetSnapshot(clusters=(cluster,), limits={"nodes": 3})
    assert FleetSnapshot.from_json(fleet.to_json()) == fleet
    other = ClusterSnapshot(name="a", demand=cluster.demand, settings=Settings(lp_rounds=1))
    assert cluster_digest(cluster) == cluster_digest(other)
    assert cluster_digest(cluster) != cluster_digest(ClusterSnapshot(name="b", demand=cluster.demand))
