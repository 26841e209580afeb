"""The NodeClaims that a plan asks for are objects that Karpenter takes as they are printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from raypipe.model.nodes import NodePool
from raypipe.report.objects import render
from tests.integration.definitions import definition_of, problems, schema_of
from tests.unit.planner.builders import ZONE, catalog_in, cluster, planned_fleet, pods

CLASS = {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"}


def printed(folder: Path, **fields: Any) -> list[dict[str, Any]]:
    """The documents of ``-o yaml``."""
    plan = planned_fleet(catalog_in(folder), cluster(pods("web", 3000, 2), pods("gpu", 1000, gpus=1), **fields))
    return [one for one in yaml.safe_load_all(render(plan)) if one is not None]


def test_a_node_claim_says_all_that_karpenter_asks_for(tmp_path: Path) -> None:
    documents = printed(tmp_path, node_class=CLASS)
    gpu = next(one for one in documents if "nvidia.com/gpu" in one["spec"]["resources"]["requests"])
    assert gpu["apiVersion"] == "karpenter.sh/v1"
    assert gpu["metadata"]["labels"] == {"raypipe.io/cluster": "c"}
    assert gpu["metadata"]["name"].startswith(f"c-{gpu['metadata']['annotations']['raypipe.io/decision'][:10]}-")
    assert json.loads(gpu["metadata"]["annotations"]["raypipe.io/pods"]) in (
        {"Deployment/d/gpu": 1},
        {"Deployment/d/gpu": 1, "Deployment/d/web": 1},
    )
    assert gpu["spec"] == {
        "requirements": [
            {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["g4dn.xlarge"]},
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": [ZONE]},
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
        ],
        "resources": {"requests": gpu["spec"]["resources"]["requests"]},
        "expireAfter": "Never",
        "nodeClassRef": CLASS,
    }


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"node_class": CLASS}, id="without a pool, of the cluster's class"),
        pytest.param({"node_pools": (NodePool(name="general", node_class=CLASS),)}, id="of a pool, and its class"),
    ],
)
def test_karpenter_takes_it(fields: dict[str, Any], tmp_path: Path) -> None:
    schema = schema_of(definition_of("NodeClaim"))
    documents = printed(tmp_path, **fields)
    assert {one["kind"] for one in documents} == {"NodeClaim"}
    assert [found for one in documents for found in problems(schema, one)] == []


def test_the_schema_would_tell_of_a_claim_without_a_class(tmp_path: Path) -> None:
    assert problems(schema_of(definition_of("NodeClaim")), printed(tmp_path)[0]) == [
        "'nodeClassRef' is a required property"
    ]
