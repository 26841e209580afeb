"""A plan that gives nodes back wrongly is refused, whatever it says of the rest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.model.nodes import Fact
from raypipe.model.plan import FleetPlan
from raypipe.model.pods import BoundPods
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings
from raypipe.validation import check_plan
from tests.unit.planner.builders import catalog_in, cluster, node, spec

type Lie = Callable[[dict[str, Any]], object]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def two_nodes(**fields: Any) -> ClusterSnapshot:
    """Two nodes, each a quarter full: b goes."""
    nodes = tuple(node(name, kind="m5.xlarge", own=True, uid=f"uid-{name}") for name in "ab")
    bound = tuple(BoundPods(node=name, key=f"Deployment/d/{name}", spec=spec(1000)) for name in "ab")
    return cluster(**{"nodes": nodes, "bound": bound, "settings": Settings(consolidate=True)} | fields)


def violations(plan: FleetPlan, seen: ClusterSnapshot, catalog: Catalog) -> str:
    with pytest.raises(InvalidPlanError) as refused:
        check_plan(plan, FleetSnapshot(clusters=(seen,)), catalog)
    return str(refused.value)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        pytest.param(lambda c: c["actions"][0]["object"].update(name="c"), "there is no such node", id="no such node"),
        pytest.param(
            lambda c: c["actions"][0]["object"].update(name="a"), "RemoveNode a: it is in the plan", id="another"
        ),
        pytest.param(lambda c: c["actions"].clear(), "existing nodes are not in it: b", id="gone without an action"),
        pytest.param(lambda c: c["actions"][0]["precondition"].update(uid="x"), "relies on", id="another's uid"),
        pytest.param(lambda c: c["actions"][0]["precondition"].update(pods={}), "relies on", id="a pod overlooked"),
        pytest.param(lambda c: c["actions"][0]["set"].clear(), "sets {}", id="no mark"),
        pytest.param(
            lambda c: c["usd_per_hour"].update(before=0.2), "usd_per_hour.before says 0.2", id="what it cost before"
        ),
        pytest.param(
            lambda c: c["nodes"][0]["pods"].pop("Deployment/d/b"), "0 placed and 0 unplaced of 1", id="a pod lost"
        ),
    ],
)
def test_lies_about_a_removal(lie: Lie, said: str, catalog: Catalog) -> None:
    seen = two_nodes()
    plan = plan_fleet(FleetSnapshot(clusters=(seen,)), catalog)
    content = json.loads(plan.to_json())
    assert [action["object"]["name"] for action in content["clusters"][0]["actions"]] == ["b"]
    lie(content["clusters"][0])
    assert said in violations(FleetPlan.from_json(json.dumps(content)), seen, catalog)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"settings": Settings()}, "nobody asked to move pods for cost", id="nobody asked"),
        pytest.param({"own": False}, "raypipe did not buy it", id="not its own"),
        pytest.param({"open": False, "why_closed": "cordoned"}, "closed already (cordoned)", id="cordoned by a person"),
        pytest.param(
            {"held": "do-not-disrupt"}, "1 x Deployment/d/b may not be moved: do-not-disrupt", id="a pinned pod"
        ),
        pytest.param({"settings": Settings(), "facts": {"b": (Fact.EMPTY,)}}, "neither empty", id="not empty at all"),
    ],
)
def test_removals_that_may_not_be(fields: dict[str, Any], said: str, catalog: Catalog) -> None:
    """The plan was made for a cluster in which b may go; it is shown beside one in which it may not."""
    plan = plan_fleet(FleetSnapshot(clusters=(two_nodes(),)), catalog)
    of_node = {name: fields.pop(name) for name in ("own", "open", "why_closed") if name in fields}
    held = fields.pop("held", "")
    nodes = (node("a", kind="m5.xlarge", own=True), node("b", kind="m5.xlarge", **{"own": True, **of_node}))
    bound = (
        BoundPods(node="a", key="Deployment/d/a", spec=spec(1000)),
        BoundPods(node="b", key="Deployment/d/b", spec=spec(1000), held=held),
    )
    assert said in violations(plan, two_nodes(nodes=nodes, bound=bound, **fields), catalog)


def test_a_pod_that_loses_its_place(catalog: Catalog) -> None:
    seen = two_nodes()
    content = json.loads(plan_fleet(FleetSnapshot(clusters=(seen,)), catalog).to_json())
    told = content["clusters"][0]
    told["nodes"][0]["pods"].pop("Deployment/d/b")
    told["unplaced"] = [{"pods": "Deployment/d/b", "count": 1, "reason": "limit"}]
    said = violations(FleetPlan.from_json(json.dumps(content)), seen, catalog)
    assert "1 of Deployment/d/b lose their place and have nowhere to go" in said
