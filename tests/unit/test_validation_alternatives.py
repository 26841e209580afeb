"""The second opinion on divisions among worker groups, and on what is written for them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.model.plan import FleetPlan
from raypipe.model.snapshot import FleetSnapshot
from raypipe.validation import check_plan
from tests.unit.planner.builders import catalog_in
from tests.unit.planner.test_alternatives import OFFERINGS, T4S, TYPES, ray_cluster, snapshot
from tests.unit.planner.test_writes import PRIORITY, autoscaled, second, served


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder: Path = tmp_path_factory.mktemp("catalog")
    return catalog_in(folder, TYPES, OFFERINGS)


@pytest.fixture(scope="module")
def fleet() -> FleetSnapshot:
    """Two l4 asked for; three t4 do the work for less."""
    return FleetSnapshot(clusters=(snapshot(ray_cluster(*T4S, metadata={"uid": "u", "resourceVersion": "7"})),))


def groups(cluster: Any) -> Any:
    return cluster["alternatives"][0]["groups"]


def written(cluster: Any) -> Any:
    return next(action for action in cluster["actions"] if action["kind"] == "ScaleWorkerGroup")


def operation(cluster: Any, op: str, path: str) -> Any:
    return next(one for one in written(cluster)["patch"] if (one["op"], one["path"]) == (op, path))


def without(cluster: Any, op: str, path: str) -> None:
    written(cluster)["patch"].remove(operation(cluster, op, path))


def deletes(cluster: Any, name: str) -> None:
    path = f"{L4}/scaleStrategy"
    written(cluster)["patch"] += [
        {"op": "test", "path": path, "value": None},
        {"op": "add", "path": path, "value": {"workersToDelete": [name]}},
    ]


L4 = "/spec/workerGroupSpecs/0"
T4 = "/spec/workerGroupSpecs/1"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda c: c["alternatives"].clear(), "sets of alternatives and their groups are not"),
        (lambda c: groups(c).pop(), "sets of alternatives and their groups are not"),
        (lambda c: groups(c)[0].update(requested=3), "pods or wishes of its groups"),
        (lambda c: c["alternatives"][0].update(work=1.0), "1.0 units of work, the wishes say 2.0"),
        (lambda c: groups(c)[1].update(replicas=2), "1.4 of 2.0 units of work are done"),
        (lambda c: groups(c)[0].update(replicas=-1), "-1 replicas of l4, of 0 to"),
        (lambda c: groups(c)[1].update(replicas=4), "3 placed and 0 unplaced of 4"),
        (lambda c: operation(c, "add", f"{T4}/replicas").update(value=4), "4 replicas of t4 are written, 3 told"),
        (lambda c: c["actions"].remove(written(c)), "divided anew, and nothing writes it"),
        (lambda c: written(c).update(kind="BoundWorkerGroup"), "no set of alternatives that is written so"),
        (lambda c: operation(c, "test", f"{L4}/replicas").update(value=1), "is 2, not 1"),
        (lambda c: without(c, "test", f"{L4}/replicas"), "written without a test of its old value"),
        (lambda c: without(c, "test", f"{T4}/groupName"), "group t4 is written without a test of its name"),
        (lambda c: without(c, "test", "/metadata/uid"), "without a test of the uid"),
        (lambda c: without(c, "test", "/metadata/resourceVersion"), "without a test of the resourceVersion"),
        (lambda c: without(c, "test", "/metadata/annotations"), "written without a test of its old value"),
        (lambda c: deletes(c, "w-1"), "workers of l4 are to be deleted that do not wait: w-1"),
        (
            lambda c: written(c)["patch"].append({"op": "add", "path": f"{T4}/maxReplicas", "value": 3}),
            "bounds of t4 are not the owner's",
        ),
        (
            lambda c: operation(c, "add", f"{T4}/replicas").update(path="/spec/workerGroupSpecs/7/replicas"),
            "nothing is",
        ),
        (lambda c: written(c)["patch"].pop(), "requested-replicas is not written"),
    ],
)
def test_a_wrong_division_is_refused(
    spoil: Callable[[Any], object], said: str, fleet: FleetSnapshot, catalog: Catalog
) -> None:
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    document = copy.deepcopy(json.loads(plan.to_json()))
    spoil(document["clusters"][0])
    with pytest.raises(InvalidPlanError, match=re.escape(said)):
        check_plan(FleetPlan.from_json(json.dumps(document)), fleet, catalog)


def test_a_bound_that_is_neither_share_nor_the_owners_is_refused(catalog: Catalog) -> None:
    fleet = FleetSnapshot(clusters=(snapshot(autoscaled(*T4S)),))
    document = json.loads(plan_fleet(fleet, catalog).to_json())
    (action,) = (one for one in document["clusters"][0]["actions"] if one["kind"] == "BoundWorkerGroup")
    next(one for one in action["patch"] if one["op"] == "add" and one["path"].endswith("maxReplicas"))["value"] = 1
    with pytest.raises(InvalidPlanError, match="at most 1 of l4, neither share nor the owner's"):
        check_plan(FleetPlan.from_json(json.dumps(document)), fleet, catalog)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("idleTimeoutSeconds", 5, "l4 goes after 5 idle seconds, neither setting nor the owner's"),
        ("minReplicas", 1, "replicas or minReplicas of l4 are written"),
        ("priority", 9, "priorities of RayCluster/default/demo/s are not in the order of its prices"),
    ],
)
def test_what_the_autoscaler_would_be_told_wrongly_is_refused(
    field: str, value: int, said: str, catalog: Catalog
) -> None:
    fleet = FleetSnapshot(clusters=(snapshot(second(*T4S), served(**PRIORITY)),))
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    document = json.loads(plan.to_json())
    (action,) = (one for one in document["clusters"][0]["actions"] if one["kind"] == "BoundWorkerGroup")
    path = f"{L4}/{field}"
    action["patch"] += [
        {"op": "test", "path": path, "value": None},
        {"op": "add", "path": path, "value": value},
    ]
    with pytest.raises(InvalidPlanError, match=re.escape(said)):
        check_plan(FleetPlan.from_json(json.dumps(document)), fleet, catalog)


def test_an_owners_bound_that_nobody_would_remember_is_refused(catalog: Catalog) -> None:
    fleet = FleetSnapshot(clusters=(snapshot(autoscaled(*T4S)),))
    document = json.loads(plan_fleet(fleet, catalog).to_json())
    (action,) = (one for one in document["clusters"][0]["actions"] if one["kind"] == "BoundWorkerGroup")
    action["patch"] = [one for one in action["patch"] if one["path"] != "/metadata/annotations"]
    with pytest.raises(InvalidPlanError, match="maxReplicas of l4, None, is lost"):
        check_plan(FleetPlan.from_json(json.dumps(document)), fleet, catalog)


def test_checking_a_plan_leaves_it_as_it_is(fleet: FleetSnapshot, catalog: Catalog) -> None:
    plan = plan_fleet(fleet, catalog)
    before = plan.to_json()
    check_plan(plan, fleet, catalog)
    assert plan.to_json() == before
