"""Nodes given back on a real cluster: emptied through the eviction API, replaced first, resumable, and only our own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import raypipe
from raypipe.adapters.kubernetes import Server, Writer
from raypipe.adapters.nodes import Karpenter, Kwok
from raypipe.cli import main
from raypipe.settings import Settings
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.objects import NOTICE, PULL, RECLAIM, daemon_set, deployment, is_ready
from tests.e2e.processes import until
from tests.e2e.rig import Rig
from tests.e2e.running import fleet_file
from tests.e2e.turns import Turns

pytestmark = pytest.mark.usefixtures("clean")

MOVE = Settings(consolidate=True, max_removed_fraction=0.34)


@pytest.fixture
def writer(rig: Rig, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setenv("KUBECONFIG", str(rig.kubeconfig([cluster])))
    server = Server(cluster.name)
    yield Writer(server)
    server.close()


def turns(cluster: Cluster, folder: Path, writer: Writer, settings: Settings, nodes: str = "kwok") -> Turns:
    path = fleet_file(folder / "fleet.yaml", [cluster.name], ["on-demand"], nodes=nodes, types=["m5.xlarge"])
    backend = Kwok(writer) if nodes == "kwok" else Karpenter(writer)
    catalog = raypipe.load_catalog()
    return Turns(context=cluster.name, fleet=path, writer=writer, backend=backend, catalog=catalog, settings=settings)


def nodes_of(cluster: Cluster) -> list[str]:
    return sorted(one["metadata"]["name"] for one in cluster.api.items("v1", "Node"))


def running(cluster: Cluster, app: str) -> dict[str, str]:
    """Ready pods of a Deployment with their nodes."""
    pods = cluster.api.items("v1", "Pod", labelSelector=f"app={app}")
    return {
        one["metadata"]["name"]: one["spec"]["nodeName"]
        for one in pods
        if is_ready(one) and "deletionTimestamp" not in one["metadata"]
    }


def budget(name: str, least: int) -> Object:
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": name}}}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def left(cluster: Cluster, name: str, counts: Sequence[int]) -> None:
    """Let pods of a Deployment leave until so many are left on each node, and wait until they are gone."""
    cost = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}}}
    for node, count in zip(nodes_of(cluster), counts, strict=True):
        there = sorted(pod for pod, where in running(cluster, name).items() if where == node)
        for pod in there[count:]:
            metadata = {"name": pod, "namespace": "default"}
            cluster.api.patch({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}, cost)
    replicas = sum(counts)
    cluster.api.patch(deployment(name, replicas), {"spec": {"replicas": replicas}})
    until(lambda: len(running(cluster, name)) == replicas, 20, f"{replicas} pods of {name} are left")


def test_after_most_pods_have_left_the_rest_moves_together_within_budgets(
    cluster: Cluster, tmp_path: Path, writer: Writer
) -> None:
    """Of six nodes three have two pods left: two nodes will do. Five of the pods have to be ready at any time."""
    loop = turns(cluster, tmp_path, writer, MOVE)
    web = deployment("web", 18, cpu="1100m")
    web["spec"]["template"]["metadata"]["annotations"] = {PULL: "3s"}  # so that a second pod does not go unnoticed
    cluster.api.create(daemon_set("agent"), web)
    until(lambda: len(cluster.api.items("v1", "Pod", labelSelector="app=web")) == 18, 20, "the pods are there")
    loop.settle(60)
    until(lambda: len(running(cluster, "web")) == 18, 20, "all pods run")
    assert len(nodes_of(cluster)) == 6
    left(cluster, "web", [2, 2, 2, 0, 0, 0])
    five = budget("web", 5)
    cluster.api.create(five)
    cluster.api.wait(five, lambda found: found.get("status", {}).get("disruptionsAllowed") == 1)
    loop.settle(60)
    cluster.api.delete(five)
    assert len(nodes_of(cluster)) == 2
    assert (len(loop.bought), len(loop.marked), loop.most_leaving) == (6, 4, 2)
    until(lambda: len(running(cluster, "web")) == 6, 20, "the last pod that moved runs")
    assert any("a disruption budget holds it" in words for words in loop.words)


def test_a_pinned_pod_keeps_its_node_and_one_pinned_too_late_gets_it_back(
    cluster: Cluster, tmp_path: Path, writer: Writer
) -> None:
    loop = turns(cluster, tmp_path, writer, MOVE)
    cluster.api.create(deployment("web", 6, cpu="1100m"))
    until(lambda: len(cluster.api.items("v1", "Pod")) == 6, 20, "the pods are there")
    loop.settle(60)
    until(lambda: len(running(cluster, "web")) == 6, 20, "all pods run")
    cluster.api.patch(deployment("web", 6), {"spec": {"replicas": 5}})
    until(lambda: len(running(cluster, "web")) == 5, 20, "one pod is gone")
    pin = {"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": "true"}}}
    pinned = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "namespace": "default"}}
        for pod in running(cluster, "web")
    ]
    for pod in pinned:
        cluster.api.patch(pod, pin)
    loop.settle(30)
    assert (loop.marked, len(nodes_of(cluster))) == ([], 2)
    (first, *_) = nodes_of(cluster)
    mark = {"metadata": {"annotations": {"raypipe.io/removing": "abc"}}, "spec": {"unschedulable": True}}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": first}}
    cluster.api.patch(node, mark)
    loop.turn()
    kept = cluster.api.get(node)
    assert "unschedulable" not in kept["spec"]
    assert "raypipe.io/removing" not in kept["metadata"]["annotations"]
    assert any("may not be moved: karpenter.sh/do-not-disrupt" in words for words in loop.words)


def test_a_saved_plan_is_carried_out_until_its_nodes_are_gone(cluster: Cluster, tmp_path: Path, writer: Writer) -> None:
    loop = turns(cluster, tmp_path, writer, Settings())
    cluster.api.create(deployment("web", 6, cpu="1100m"))
    until(lambda: len(cluster.api.items("v1", "Pod")) == 6, 20, "the pods are there")
    loop.settle(60)
    until(lambda: len(running(cluster, "web")) == 6, 20, "all pods run")
    left(cluster, "web", [2, 1])
    saved = tmp_path / "plan.json"
    assert main(["plan", str(loop.fleet), "--consolidate", "--quiet", "-o", "json", "--out", str(saved)]) == 0
    kept, gone = nodes_of(cluster)
    assert main(["apply", str(saved), "--yes"]) == 0
    assert (nodes_of(cluster), gone not in nodes_of(cluster)) == ([kept], True)
    until(lambda: len(running(cluster, "web")) == 3, 20, "all pods run")


def test_the_replacement_of_a_spot_node_is_there_before_it_dies(
    cluster: Cluster, tmp_path: Path, writer: Writer
) -> None:
    loop = turns(cluster, tmp_path, writer, Settings())
    cluster.api.create(deployment("web", 3, cpu="1100m"))
    until(lambda: len(cluster.api.items("v1", "Pod")) == 3, 20, "the pods are there")
    loop.settle(60)
    until(lambda: len(running(cluster, "web")) == 3, 20, "all pods run")
    (doomed,) = nodes_of(cluster)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": doomed}}
    cluster.api.patch(node, {"metadata": {"annotations": {NOTICE: "25s", RECLAIM: "1s"}}})
    cluster.api.wait(node, lambda found: found["spec"].get("taints"), what="the notice")
    loop.settle(24)  # before its death
    (fresh,) = nodes_of(cluster)
    assert (fresh != doomed, loop.marked) == (True, [doomed])
    until(lambda: set(running(cluster, "web").values()) == {fresh}, 20, "all pods run on the new one")


def test_an_empty_claim_is_given_back_and_nobody_elses_node(cluster: Cluster, tmp_path: Path, writer: Writer) -> None:
    loop = turns(cluster, tmp_path, writer, Settings(empty_after_s=2), nodes="karpenter")
    cluster.api.apply(NODE_CLASS)
    cluster.api.create(deployment("web", 2, cpu="1100m"))
    until(lambda: len(cluster.api.items("v1", "Pod")) == 2, 20, "the pods are there")
    loop.settle(60)
    until(lambda: len(running(cluster, "web")) == 2, 20, "all pods run")
    cluster.api.delete(deployment("web", 2))
    until(lambda: not cluster.api.items("v1", "Pod"), 20, "the pods are gone")

    def is_gone() -> bool:
        loop.turn()
        return not nodes_of(cluster)

    until(is_gone, 40, "the empty node is gone")
    assert len(loop.marked) == 1
    assert cluster.api.items("karpenter.sh/v1", "NodeClaim") == []
