"""With ``nodes: kwok`` a node to buy is a Node object that says of itself what a machine would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.errors import InvalidPlanError
from raypipe.model.nodes import NodePool
from raypipe.model.requirements import Taint, Toleration
from raypipe.model.snapshot import FleetSnapshot
from raypipe.validation import check_plan
from tests.unit.planner.builders import ZONE, catalog_in, cluster, planned_fleet, spec
from tests.unit.planner.builders import pods as group

POOL = NodePool(name="batch", labels={"team": "a"}, taints=(Taint(key="only", value="batch"),))


def test_it_carries_the_labels_resources_and_taints_of_its_kind_and_pool(tmp_path: Path) -> None:
    tolerant = replace(group("web", 3000), spec=spec(3000, tolerations=(Toleration(operator="Exists"),)))
    fields: dict[str, Any] = {"nodes_backend": "kwok", "node_pools": (POOL,)}
    (plan,) = planned_fleet(catalog_in(tmp_path), cluster(tolerant, **fields)).clusters
    (action,), (node,) = plan.actions, plan.nodes
    assert (action.object.kind, action.object.name, action.precondition) == ("Node", node.name, {"exists": False})
    labels = action.set["metadata"]["labels"]
    assert {
        "kubernetes.io/hostname": node.name,
        "node.kubernetes.io/instance-type": "m5.xlarge",
        "topology.kubernetes.io/zone": ZONE,
        "karpenter.sh/capacity-type": "on-demand",
        "karpenter.sh/nodepool": "batch",
        "raypipe.io/cluster": "c",
        "team": "a",
    }.items() <= labels.items()
    assert action.set["metadata"]["annotations"]["kwok.x-k8s.io/node"] == "fake"
    assert action.set["spec"] == {"taints": [{"key": "only", "value": "batch", "effect": "NoSchedule"}]}
    room = {"cpu": "4", "ephemeral-storage": "17Gi", "memory": "16Gi", "pods": "50"}
    assert action.set["status"] == {"capacity": room, "allocatable": room}


def test_the_second_opinion_refuses_a_node_that_says_otherwise(tmp_path: Path) -> None:
    catalog, fleet = catalog_in(tmp_path), FleetSnapshot(clusters=(cluster(group("web", 3000), nodes_backend="kwok"),))
    plan = planned_fleet(catalog, *fleet.clusters)
    (one,) = plan.clusters
    (action,) = one.actions
    status = {**action.set["status"], "allocatable": {"cpu": "8", "memory": "16Gi", "pods": "50"}}
    wrong = replace(one, actions=(replace(action, set={**action.set, "status": status}),))
    with pytest.raises(InvalidPlanError, match="allocatable says"):
        check_plan(replace(plan, clusters=(wrong,)), fleet, catalog)
