"""Ordered relaxation: what is given up for pods that fit nothing, no more than that, and only where it is allowed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.errors import InvalidPlanError, SettingsError
from raypipe.fleet import plan_fleet
from raypipe.model.plan import ClusterPlan, FleetPlan, Scope
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.snapshot import FleetSnapshot
from raypipe.report.explain import answers, render
from raypipe.settings import Settings, with_overrides
from raypipe.validation import check_plan
from tests.unit.planner.builders import TYPES, catalog_in, cluster, node, planned, planned_fleet, spec

KEY = "Deployment/d/serve"
SKUS, COST, OFFERINGS, REGEXP = (f"instance-{name}" for name in ("gpu-skus", "max-cost", "offerings", "type-regexp"))
L4: dict[str, Any] = {"gpu_skus": ("l4",)}
CHEAP: dict[str, Any] = {"max_usd_nanos_per_hour": 300_000_000}
SPOT: dict[str, Any] = {"capacity_types": ("spot",)}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """One GPU: a t4 for 0.5 $/h, on demand."""
    return catalog_in(tmp_path)


def gpu_pods(**asks: Any) -> PodGroup:
    return PodGroup(key=KEY, spec=spec(1000, gpus=1, instance_annotation=True, **asks), count=2)


def relaxing(*words: str) -> Settings:
    return with_overrides(Settings(), {"relax": list(words)})


def gave_up(plan: ClusterPlan) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(one.pods, one.count, one.gave_up) for one in plan.relaxed]


@pytest.mark.parametrize(
    ("asks", "order", "given_up"),
    [
        pytest.param(L4, (), None, id="off by default"),
        pytest.param(L4, (SKUS,), (SKUS,), id="what keeps it out"),
        pytest.param(L4, (COST, OFFERINGS), None, id="not what is not allowed"),
        pytest.param(L4 | CHEAP, (SKUS, COST), (SKUS, COST), id="two where one is not enough"),
        pytest.param(L4 | CHEAP, (SKUS,), None, id="nothing where it is of no use"),
        pytest.param(CHEAP | {"gpu_skus": ("t4",)}, (SKUS, COST), (COST,), id="not what need not be"),
        pytest.param(L4 | CHEAP | SPOT, (OFFERINGS, COST, SKUS), (OFFERINGS, COST, SKUS), id="all in order"),
        pytest.param({"type_regexp": "^p5"}, (REGEXP,), (REGEXP,), id="a regular expression"),
        pytest.param({}, (SKUS,), (), id="nothing of pods that fit"),
    ],
)
def test_what_is_given_up(
    asks: dict[str, Any], order: tuple[str, ...], given_up: tuple[str, ...] | None, catalog: Catalog
) -> None:
    plan = planned(catalog, gpu_pods(**asks), settings=relaxing(*order))
    assert gave_up(plan) == ([(KEY, 2, given_up)] if given_up else [])
    assert [entry.pods for entry in plan.unplaced] == ([KEY] if given_up is None else [])
    assert [note.subject for note in plan.notes if note.kind == "relaxed"] == ([KEY] if given_up else [])


def test_what_the_specification_asks_is_never_given_up(catalog: Catalog) -> None:
    """The pod could not run where its selector does not let it."""
    asks = {"node_selector": {"node.kubernetes.io/instance-type": "g6.xlarge"}, **L4}
    plan = planned(catalog, gpu_pods(**asks), settings=relaxing(SKUS, COST))
    assert ([entry.pods for entry in plan.unplaced], plan.relaxed) == ([KEY], ())


def test_free_room_of_a_node_is_a_place_too(catalog: Catalog) -> None:
    room = {"cpu": 4000, "memory": 16 * 2**30, "pods": 50, "nvidia.com/gpu": 2}
    labels = {"karpenter.k8s.aws/instance-gpu-name": "l4"}
    there = replace(node("node-1", kind=""), capacity=room, allocatable=room, labels=labels)
    plan = planned(catalog, gpu_pods(**L4), nodes=(there,), settings=relaxing(SKUS))
    assert plan.relaxed == ()


def test_a_plan_says_what_it_gave_up_for_whom(catalog: Catalog) -> None:
    plan = planned_fleet(catalog, cluster(gpu_pods(**L4), settings=relaxing(SKUS)))
    (one,) = plan.clusters
    assert all(node.reason.endswith(f"; {KEY} gave up {SKUS}") for node in one.nodes)
    (note,) = (note for note in one.notes if note.kind == "relaxed")
    assert (note.count, note.message) == (2, f"{KEY}: nothing fits what it asks, so its {SKUS} was given up")
    lines = [line.strip() for line in render(answers(plan, "serve")).splitlines()]
    assert f"relaxed        nothing fits what it asks, so its {SKUS} was given up" in lines


def test_bound_pods_are_relaxed_where_all_are_planned_anew(catalog: Catalog) -> None:
    room = {"cpu": 4000, "memory": 16 * 2**30, "pods": 50, "nvidia.com/gpu": 1}
    there = replace(node("node-1"), capacity=room, allocatable=room)
    bound = BoundPods(node="node-1", key=KEY, spec=gpu_pods(**L4).spec)
    one = cluster(nodes=(there,), bound=(bound,), settings=relaxing(SKUS))
    assert planned_fleet(catalog, one).clusters[0].relaxed == ()
    assert gave_up(planned_fleet(catalog, one, scope=Scope.WHOLE).clusters[0]) == [(KEY, 1, (SKUS,))]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["instance-gpu-sku"], "did you mean 'instance-gpu-skus'?"),
        (["nodeSelector"], "expected one of instance-gpu-skus, instance-max-gpus"),
        ([SKUS, SKUS], "found 'instance-gpu-skus' again at [1], expected each word once"),
        ("instance-gpu-skus", "expected a list"),
    ],
)
def test_the_setting_names_what_may_be_given_up(words: object, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        with_overrides(Settings(), {"relax": words})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c: c["relaxed"].clear(), "GPU kind"),
        (lambda c: c["relaxed"][0]["gave_up"].append(OFFERINGS), "the settings allow"),
        (lambda c: c["relaxed"][0]["gave_up"].insert(0, REGEXP), "it does not ask for all of"),
        (lambda c: c["relaxed"][0]["gave_up"].append(COST), "instance-max-cost need not have been given up"),
        (lambda c: c["relaxed"][0].update(pods="Deployment/d/other"), "no such pods"),
        (lambda c: c["relaxed"].append(c["relaxed"][0]), "not told once a key"),
    ],
)
def test_a_plan_that_gives_up_wrongly_is_refused(spoil: Callable[[Any], object], said: str, catalog: Catalog) -> None:
    asks = L4 | {"max_usd_nanos_per_hour": 900_000_000}
    fleet = FleetSnapshot(clusters=(cluster(gpu_pods(**asks), settings=relaxing(REGEXP, SKUS, COST)),))
    document = copy.deepcopy(json.loads(plan_fleet(fleet, catalog).to_json()))
    spoil(document["clusters"][0])
    with pytest.raises(InvalidPlanError, match=said):
        check_plan(FleetPlan.from_json(json.dumps(document)), fleet, catalog)


EITHER = (
    TYPES.splitlines()[0]
    + "\naws,g4dn.xlarge,g4dn,amd64,4,16384,nvidia,t4,1,16384,4000,16384,50"
    + "\naws,g6.xlarge,g6,amd64,4,16384,nvidia,l4,1,24576,4000,16384,50\n",
    "provider,region,instance_type,capacity_type,usd_per_hour\n"
    "aws,us-east-1,g4dn.xlarge,spot,0.2\naws,us-east-1,g6.xlarge,on-demand,0.8\n",
)
"""A t4 on spot, an l4 on demand."""


def test_a_later_word_is_given_up_only_where_those_before_are_not_enough(tmp_path: Path) -> None:
    """Either would do: the plan gives up the first, and one that gives up the second is refused."""
    nothing = PodSpec(requests=spec(1000, gpus=1).requests, gpu_skus=("l4",), capacity_types=("spot",))
    both = catalog_in(tmp_path, *EITHER)
    fleet = FleetSnapshot(
        clusters=(
            cluster(
                PodGroup(key=KEY, spec=nothing, count=1),
                capacity_types=("spot", "on-demand"),
                settings=relaxing(OFFERINGS, SKUS),
            ),
        )
    )
    plan = plan_fleet(fleet, both)
    check_plan(plan, fleet, both)
    assert gave_up(plan.clusters[0]) == [(KEY, 1, (OFFERINGS,))]
    other = FleetSnapshot(clusters=(replace(fleet.clusters[0], settings=relaxing(SKUS, OFFERINGS)),))
    wrong = replace(plan_fleet(other, both), inputs=plan.inputs)
    with pytest.raises(InvalidPlanError, match="words before instance-gpu-skus would have been enough"):
        check_plan(wrong, fleet, both)
