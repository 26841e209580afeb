"""Plans carried out on a real cluster: what is bought is what was planned, once, and the pods run on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import raypipe
from raypipe.adapters.kubernetes import Server, Writer
from raypipe.adapters.nodes import Karpenter
from raypipe.controller.acting import carry_out
from raypipe.model.plan import ClusterPlan, PlannedNode
from raypipe.model.results import Outcome
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.objects import condition, deployment
from tests.e2e.processes import until
from tests.e2e.rig import Rig

pytestmark = pytest.mark.usefixtures("clean")

FLEET = """
apiVersion: raypipe.io/v1
kind: Fleet
clusters:
- name: {name}
  context: {name}
  provider: aws
  region: us-east-1
  zones: [us-east-1a, us-east-1b]
  nodes: karpenter
  nodeClass: {{group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}}
"""
ASKED = ("node.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "karpenter.sh/capacity-type")


@pytest.fixture
def fleet(rig: Rig, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("KUBECONFIG", str(rig.kubeconfig([cluster])))
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET.format(name=cluster.name), encoding="utf-8")
    cluster.api.apply(NODE_CLASS)
    return path


@pytest.fixture
def writer(fleet: Path, cluster: Cluster) -> Iterator[Writer]:
    del fleet  # which says where the cluster is
    server = Server(cluster.name)
    yield Writer(server)
    server.close()


def planned(fleet: Path) -> ClusterPlan:
    (plan,) = raypipe.plan(raypipe.read(fleet, strict=True)).clusters
    return plan


def offering(node: PlannedNode) -> tuple[str, str, str]:
    return node.instance_type, node.zone, node.capacity_type


def waiting(cluster: Cluster, count: int) -> None:
    """Wait until so many pods wait for a node."""
    until(lambda: len(cluster.api.items("v1", "Pod")) == count, 20, "the pods are there")


def labels_of(one: Object) -> tuple[str, ...]:
    return tuple(one["metadata"]["labels"][name] for name in ASKED)


def test_a_plan_is_bought_as_planned_its_pods_run_there_and_twice_is_once(
    cluster: Cluster, fleet: Path, writer: Writer
) -> None:
    web = deployment("web", 3, cpu="700m", memory="1Gi")
    cluster.api.create(web)
    waiting(cluster, 3)
    plan = planned(fleet)
    first = carry_out(plan, writer, Karpenter(writer))
    again = carry_out(plan, writer, Karpenter(writer))
    assert [(one.outcome, one.words) for one in first] == [(Outcome.DONE, "")] * len(plan.nodes)
    assert [(one.outcome, one.words) for one in again] == [(Outcome.DONE, "bought before")] * len(plan.nodes)
    claims = {one["metadata"]["name"]: one for one in cluster.api.items("karpenter.sh/v1", "NodeClaim")}
    assert sorted(claims) == [node.name for node in plan.nodes]
    cluster.api.wait(web, lambda found: found["status"].get("readyReplicas") == 3, within_s=30)
    for node in plan.nodes:
        claim = cluster.api.wait(claims[node.name], lambda found: condition(found, "Initialized") == "True")
        made = cluster.api.get({"apiVersion": "v1", "kind": "Node", "metadata": {"name": claim["status"]["nodeName"]}})
        assert labels_of(made) == offering(node)
        on_it = cluster.api.items("v1", "Pod", fieldSelector=f"spec.nodeName={made['metadata']['name']}")
        assert len(on_it) == sum(node.pods.values())


def test_a_name_that_another_decision_has_taken_is_not_bought_under(
    cluster: Cluster, fleet: Path, writer: Writer
) -> None:
    cluster.api.create(deployment("web", 1, cpu="700m"))
    waiting(cluster, 1)
    plan = planned(fleet)
    (buy,) = plan.actions
    carry_out(plan, writer, Karpenter(writer))
    cluster.api.patch(
        {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": buy.object.name}},
        {"metadata": {"annotations": {"raypipe.io/decision": "0123456789ab"}}},
    )
    (result,) = carry_out(plan, writer, Karpenter(writer))
    assert (result.outcome, result.words) == (
        Outcome.FAILED,
        f"NodeClaim {buy.object.name} exists, of decision 0123456789ab",
    )
