"""A pool that raypipe buys through is one on which Karpenter is silent."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.controller.one_buyer import other_buyers
from raypipe.manifests.origins import Observed
from raypipe.manifests.pending import objects_in
from raypipe.model.plan import ClusterPlan
from tests.unit.controller.tellings import buy

NO_NODES = {"budgets": [{"nodes": "10%"}, {"nodes": "0"}]}
BUYS = "NodePool ours: Karpenter buys through it, too: set spec.limits to {cpu: 0}"
DISRUPTS = 'NodePool ours: Karpenter disrupts its nodes: set spec.disruption.budgets to [{nodes: "0"}]'


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param({"limits": {"cpu": "0"}, "disruption": NO_NODES}, (), id="silenced"),
        pytest.param({"limits": {"nodes": "0"}, "disruption": {"consolidateAfter": "Never"}}, (), id="otherwise, too"),
        pytest.param({}, (BUYS, DISRUPTS), id="as Karpenter makes it"),
        pytest.param({"limits": {"cpu": "100"}, "disruption": NO_NODES}, (BUYS,), id="it may grow"),
        pytest.param(
            {"limits": {"cpu": "0"}, "disruption": {"budgets": [{"nodes": "0", "schedule": "@daily"}]}},
            (DISRUPTS,),
            id="a budget for some hours",
        ),
        pytest.param({"replicas": 3}, (), id="of a fixed size"),
    ],
)
def test_what_is_to_mend_of_a_pool_is_told(spec: dict[str, Any], expected: tuple[str, ...]) -> None:
    pools = [
        {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "ours"}, "spec": spec},
        {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "another"}, "spec": {}},
    ]
    plan = ClusterPlan(name="c", actions=(buy(set={"metadata": {"labels": {"karpenter.sh/nodepool": "ours"}}}),))
    assert other_buyers(plan, objects_in(Observed(context="c", objects=pools))) == expected
