"""What pods prefer, weighed against cost: plans that can be reckoned by hand, at 0.01 $/h for a weight of 100."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.model.constraints import PodSelector, PodTerm, Preference, Spread
from raypipe.model.plan import ClusterPlan, Missed
from raypipe.model.pods import BoundPods, PodGroup
from raypipe.model.requirements import HOSTNAME, INSTANCE_TYPE, ZONE, Operator, Requirement
from raypipe.model.snapshot import FleetSnapshot
from raypipe.settings import Settings
from raypipe.validation import check_plan
from tests.unit.planner.builders import catalog_in, cluster, node, planned, spec

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
WEB = PodSelector(namespaces=("default",), labels=(Requirement(key="app", operator=Operator.IN, values=("web",)),))
LARGE = (Requirement(key=INSTANCE_TYPE, operator=Operator.IN, values=("m5.2xlarge",)),)


def web(count: int, cpu: int = 500, **fields: Any) -> PodGroup:
    return PodGroup(key="Deployment/d/web", spec=spec(cpu, labels={"app": "web"}, **fields), count=count)


def alone(key: str, weight: int = 100) -> Preference:
    return Preference(weight=weight, pods=PodTerm(topology_key=key, pods=WEB), against=True)


def beside(key: str, weight: int = 100) -> Preference:
    return Preference(weight=weight, pods=PodTerm(topology_key=key, pods=WEB))


def anyway(key: str, max_skew: int = 1) -> Spread:
    return Spread(topology_key=key, max_skew=max_skew, pods=WEB, required=False)


def bound(name: str, count: int = 1) -> BoundPods:
    return BoundPods(node=name, key="Pod/d/there", spec=spec(500, labels={"app": "web"}), count=count)


def rooms(*zones: str) -> tuple[Any, ...]:
    """An existing node of 4 cpu in each zone."""
    return tuple(node(f"n{number}", labels={ZONE: zone}) for number, zone in enumerate(zones))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def added(plan: ClusterPlan) -> list[int]:
    return sorted(sum(one.added.values()) for one in plan.nodes if one.added)


def test_a_node_that_is_preferred_is_bought_where_it_costs_less_than_missing_it(catalog: Catalog) -> None:
    """The larger node is 0.2 dearer; said twice, the wish is 140 points, and fifteen pods are worth it."""
    wishes = (Preference(weight=100, nodes=LARGE), Preference(weight=40, nodes=LARGE))
    for count, kind in ((14, "m5.xlarge"), (15, "m5.2xlarge")):
        plan = planned(catalog, web(count, 100, preferences=wishes))
        assert [one.instance_type for one in plan.nodes] == [kind]
        missed = 0.014 * count if kind == "m5.xlarge" else 0.0
        assert plan.objective.terms == {"price": plan.usd_per_hour.after, "preferences": pytest.approx(missed)}
        assert plan.objective.value == plan.objective.lower_bound == pytest.approx(plan.usd_per_hour.after + missed)
        assert plan.usd_per_hour.lower_bound == 0.2


@pytest.mark.parametrize(
    ("wished", "zones", "counts", "missed"),
    [
        pytest.param({"preferences": (alone(HOSTNAME),)}, ZONES, [1, 1, 1], 0, id="a node each"),
        pytest.param({"preferences": (alone(ZONE),)}, ZONES, [1, 1, 1], 0, id="a zone each"),
        pytest.param({"preferences": (alone(ZONE),)}, ZONES[:1] * 3, [3], 3, id="one zone for all"),
        pytest.param({"preferences": (beside(HOSTNAME),)}, ZONES, [3], 0, id="on one node"),
        pytest.param({"spread": (anyway(HOSTNAME),)}, ZONES, [1, 1, 1], 0, id="spread over nodes"),
        pytest.param({"spread": (anyway(HOSTNAME, 2),)}, ZONES[:1], [3], 1, id="one over maxSkew on a node"),
        pytest.param({"spread": (anyway(ZONE),)}, ZONES, [1, 1, 1], 0, id="spread over zones"),
    ],
)
def test_free_rooms_are_used_as_pods_prefer(
    wished: dict[str, Any], zones: tuple[str, ...], counts: list[int], missed: int, catalog: Catalog
) -> None:
    plan = planned(catalog, web(3, **wished), nodes=rooms(*zones), zones=ZONES)
    assert plan.bought.usd_per_hour == 0
    assert (added(plan), sum(one.missed for one in plan.missed)) == (counts, missed) or missed
    assert plan.objective.terms["preferences"] == pytest.approx(0.01 * missed)


def test_bound_pods_are_kept_away_from_and_joined(catalog: Catalog) -> None:
    for wish, name in ((alone(HOSTNAME), "n1"), (beside(HOSTNAME), "n0")):
        plan = planned(catalog, web(1, preferences=(wish,)), nodes=rooms(*ZONES[:2]), bound=(bound("n0"),))
        assert [one.name for one in plan.nodes if one.added] == [name]


def test_what_nobody_can_have_is_told_and_changes_nothing(catalog: Catalog) -> None:
    lonely = Preference(
        weight=30,
        pods=PodTerm(topology_key=HOSTNAME, pods=PodSelector(namespaces=("elsewhere",))),
    )
    plan = planned(catalog, web(2, preferences=(lonely,)))
    assert plan.missed == (
        Missed(
            pods="Deployment/d/web",
            preference="pod affinity to pods with any labels in elsewhere (kubernetes.io/hostname), weight 30",
            missed=2,
            placed=2,
            usd_per_hour=0.006,
        ),
    )
    assert plan.nodes[0].instance_type == planned(catalog, web(2)).nodes[0].instance_type
    assert (plan.status, plan.objective.value, plan.objective.lower_bound) == ("optimal", 0.206, 0.206)


def test_preferences_without_a_price_are_not_looked_at(catalog: Catalog) -> None:
    settings = Settings(preference_usd_per_hour=0.0, skew_usd_per_hour=0.0)
    group = web(3, preferences=(alone(HOSTNAME),), spread=(anyway(ZONE),))
    plan = planned(catalog, group, settings=settings)
    assert (plan.objective.terms, plan.missed) == ({"price": 0.2}, ())


def test_the_overhead_of_nodes_makes_few_of_many(catalog: Catalog) -> None:
    """Two nodes for 0.4 or one for 0.4: without overhead the smaller by rank, with it the one."""
    settings = Settings(node_overhead_usd_per_hour=0.05)
    plan = planned(catalog, web(8, 1000), settings=settings)
    assert [one.instance_type for one in plan.nodes] == ["m5.2xlarge"]
    assert plan.objective.terms == {"price": 0.4, "node_overhead": 0.05}
    assert (plan.objective.value, plan.objective.lower_bound) == (0.45, 0.45)


@pytest.mark.parametrize("told", ["terms", "missed"])
def test_a_plan_that_tells_another_sum_is_refused(told: str, catalog: Catalog) -> None:
    fleet = FleetSnapshot(clusters=(cluster(web(3, preferences=(alone(ZONE),))),))
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    (one,) = plan.clusters
    if told == "missed":
        wrong = dataclasses.replace(one, missed=())
    else:
        terms = {**one.objective.terms, "preferences": 0.0}
        wrong = dataclasses.replace(one, objective=dataclasses.replace(one.objective, terms=terms))
    with pytest.raises(InvalidPlanError, match=r"objective\.terms\.preferences says"):
        check_plan(dataclasses.replace(plan, clusters=(wrong,)), fleet, catalog)
