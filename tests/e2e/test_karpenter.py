"""Karpenter launches what a NodeClaim asks for, from our own catalogue, and takes it away again."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.karpenter import NODE_CLASS, node_claim
from tests.e2e.objects import condition, deployment, is_ready
from tests.e2e.processes import until

LABELS = {
    "node.kubernetes.io/instance-type": "m7i.xlarge",
    "topology.kubernetes.io/zone": "us-east-1b",
    "karpenter.sh/capacity-type": "spot",
    "kubernetes.io/arch": "amd64",
}


@pytest.mark.usefixtures("clean")
def test_a_claim_becomes_a_node_on_which_waiting_pods_run_and_goes_with_it(cluster: Cluster) -> None:
    api, web = cluster.api, deployment("web", 3, cpu="500m")
    requests = {"cpu": "1500m", "memory": "192Mi", "pods": "3"}
    bought = node_claim("bought", "m7i.xlarge", "us-east-1b", "spot", requests=requests)
    api.apply(NODE_CLASS)
    api.create(web, bought)
    claim = api.wait(bought, lambda found: condition(found, "Initialized") == "True")
    api.wait(web, lambda found: found["status"].get("readyReplicas") == 3)
    (node,) = api.items("v1", "Node")
    assert claim["status"]["nodeName"] == node["metadata"]["name"]
    assert is_ready(node)
    assert LABELS.items() <= node["metadata"]["labels"].items()
    allocatable = node["status"]["allocatable"]
    assert (allocatable["cpu"], allocatable["memory"], allocatable["pods"]) == ("3920m", "14162Mi", "58")
    api.delete(web, bought)
    until(lambda: api.find(bought) is None and not api.items("v1", "Node"), 30, "claim and node are gone")
