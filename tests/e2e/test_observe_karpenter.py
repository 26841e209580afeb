"""raypipe beside Karpenter: what is left to it, and that nothing on its way is bought twice."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import raypipe
from raypipe.model.plan import ClusterPlan
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.instance_types import sold_on_aws
from tests.e2e.karpenter import NODE_CLASS, node_claim
from tests.e2e.objects import condition, deployment
from tests.e2e.processes import until
from tests.e2e.rig import Rig

KIND, ZONE = "m7i.xlarge", "us-east-1a"
WEB = "Deployment/default/web"


@pytest.fixture(scope="module")
def pools(rig: Rig) -> Cluster:
    """A cluster whose Karpenter is stopped, so that what it is about to do can be looked at."""
    cluster = rig.start("pools", Wanted(karpenter=sold_on_aws(ZONE)))
    cluster.api.apply(NODE_CLASS)
    cluster.stop("karpenter")
    return cluster


@pytest.fixture
def api_of(pools: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """The cluster with its context where raypipe finds it, and nothing in it before and after."""
    monkeypatch.setenv("KUBECONFIG", str(pools.kubeconfig))
    yield pools
    pools.api.delete(node_pool(), deployment("web", 0), propagationPolicy="Background")
    pools.stop("karpenter")
    pools.restart("karpenter")  # which alone lets its claims and nodes go
    pools.clear()
    pools.stop("karpenter")


def node_pool(**annotations: str) -> Object:
    """A pool of Karpenter's that sells everything on demand."""
    template = {
        "spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
            "requirements": [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}],
        }
    }
    metadata = {"name": "open", "annotations": annotations}
    return {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": metadata, "spec": {"template": template}}


def planned(cluster: Cluster, scope: str = "pending") -> ClusterPlan:
    fleet = raypipe.read(context=cluster.name, provider="aws", region="us-east-1")
    (plan,) = raypipe.plan(fleet, scope=scope).clusters
    return plan


def waiting(cluster: Cluster, count: int) -> None:
    """Wait until so many pods of web wait for a node."""
    pods = cluster.api.items
    until(lambda: len(pods("v1", "Pod", labelSelector="app=web")) == count, 20, "the pods of web are there")


def test_pods_that_an_open_pool_admits_are_left_to_karpenter_which_buys_for_them(api_of: Cluster) -> None:
    api_of.api.create(node_pool(), deployment("web", 3, cpu="500m"))
    waiting(api_of, 3)
    plan = planned(api_of)
    assert [(one.pods, one.count, one.reason) for one in plan.excluded] == [(WEB, 3, "karpenter")]
    assert (plan.actions, plan.unplaced) == ((), ())
    whole = planned(api_of, scope="whole")
    assert (whole.excluded, sum(sum(node.pods.values()) for node in whole.nodes)) == ((), 3)
    api_of.restart("karpenter")
    api_of.api.wait(deployment("web", 3), lambda found: found["status"].get("readyReplicas") == 3, within_s=60)
    api_of.stop("karpenter")
    after = planned(api_of)
    assert (after.excluded, after.actions) == ((), ())
    assert {node.pods.get(WEB) for node in after.nodes} == {3}


def test_the_same_pool_given_to_raypipe_is_bought_through(api_of: Cluster) -> None:
    api_of.api.create(node_pool(**{"raypipe.io/managed": "true"}), deployment("web", 3, cpu="500m"))
    waiting(api_of, 3)
    plan = planned(api_of)
    assert plan.excluded == ()
    assert {(action.kind.value, node.pool) for action, node in zip(plan.actions, plan.nodes, strict=True)} == {
        ("BuyNode", "open")
    }


def test_a_claim_on_its_way_is_not_bought_again_from_the_claim_to_the_running_pods(api_of: Cluster) -> None:
    api_of.api.create(deployment("web", 5, cpu="500m"))
    waiting(api_of, 5)
    requests = {"cpu": "1500m", "memory": "192Mi", "pods": "3"}
    annotations = {"raypipe.io/decision": "0123456789ab", "raypipe.io/pods": json.dumps({WEB: 3})}
    labels = {"raypipe.io/cluster": api_of.name}
    claim = node_claim("ours", KIND, ZONE, "spot", requests=requests, labels=labels, annotations=annotations)
    api_of.api.create(claim)

    plan = planned(api_of)
    (coming,) = [node for node in plan.nodes if node.existing]
    assert (coming.name, coming.instance_type, coming.zone, coming.capacity_type) == ("ours", KIND, ZONE, "spot")
    assert (coming.pods, coming.added) == ({WEB: 5}, {WEB: 2})
    assert coming.usd_per_hour == plan.usd_per_hour.before == plan.usd_per_hour.after
    assert plan.actions == ()

    api_of.restart("karpenter")
    api_of.api.wait(claim, lambda found: condition(found, "Initialized") == "True", within_s=30)
    api_of.api.wait(deployment("web", 5), lambda found: found["status"].get("readyReplicas") == 5, within_s=30)
    plan = planned(api_of)
    (node,) = plan.nodes
    assert (node.existing, node.pods, node.added, plan.actions) == (True, {WEB: 5}, {}, ())
