"""Plans carried out on a real cluster: what is bought is what was planned, once, and the pods run on it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

import raypipe
from raypipe.adapters.kubernetes import Observer, Server, Writer, look
from raypipe.adapters.nodes import Karpenter, Kwok, NodeBackend
from raypipe.cli import main
from raypipe.controller.acting import carry_out
from raypipe.controller.binding import Taken, binding_steps, take
from raypipe.manifests.pending import objects_in, pending_pods
from raypipe.model.actions import ActionKind
from raypipe.model.plan import ClusterPlan, PlannedNode
from raypipe.model.results import Outcome, Result
from raypipe.settings import Settings
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.kuberay import ray_job
from tests.e2e.objects import condition, daemon_set, deployment
from tests.e2e.objects import node as machine
from tests.e2e.processes import until
from tests.e2e.rig import Rig
from tests.e2e.running import fleet_file

pytestmark = pytest.mark.usefixtures("clean")

DEFAULT = Settings()
ASKED = ("node.kubernetes.io/instance-type", "topology.kubernetes.io/zone", "karpenter.sh/capacity-type")


@pytest.fixture
def fleet(rig: Rig, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("KUBECONFIG", str(rig.kubeconfig([cluster])))
    cluster.api.apply(NODE_CLASS)
    return fleet_file(tmp_path / "fleet.yaml", [cluster.name])


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


def bought(cluster: Cluster, plan: ClusterPlan, writer: Writer, backend: NodeBackend | None = None) -> list[Result]:
    """Carry the plan out for the pods that wait now."""
    pods = pending_pods(objects_in(look([cluster.name])[cluster.name]), DEFAULT)
    return list(carry_out(plan, writer, backend or Karpenter(writer), pods, DEFAULT))


@contextmanager
def brought_up(cluster: Cluster, writer: Writer) -> Iterator[Callable[[], list[Taken]]]:
    """A function that takes the steps that are due, for as long as there are any, and tells of them."""
    with Observer(Server(cluster.name)) as observer:
        until(lambda: observer.seen().error is None, 20, "everything is listed")
        taken: list[Taken] = []

        def settle() -> list[Taken]:
            def is_settled() -> bool:
                steps = binding_steps(objects_in(observer.seen()), DEFAULT, datetime.now(UTC))
                due = [step for step in steps if step.binds or step.nominated or step.patch]
                taken.extend(take(due, writer))
                claims = cluster.api.items("karpenter.sh/v1", "NodeClaim")
                return not steps and all(condition(one, "Initialized") == "True" for one in claims)

            until(is_settled, 60, "all nodes are open")
            return taken

        yield settle


def test_a_plan_is_bought_as_planned_its_pods_bound_there_and_twice_is_once(
    cluster: Cluster, fleet: Path, writer: Writer
) -> None:
    cluster.api.create(
        daemon_set("agent"), deployment("web", 3, cpu="700m", memory="1Gi"), deployment("db", 2, cpu="1900m")
    )
    waiting(cluster, 5)
    plan = planned(fleet)
    first, again = bought(cluster, plan, writer), bought(cluster, plan, writer)
    assert [(one.outcome, one.words) for one in first] == [(Outcome.DONE, "")] * len(plan.nodes)
    assert [(one.outcome, one.words) for one in again] == [(Outcome.DONE, "bought before")] * len(plan.nodes)
    claims = {one["metadata"]["name"]: one for one in cluster.api.items("karpenter.sh/v1", "NodeClaim")}
    assert sorted(claims) == [node.name for node in plan.nodes]
    with brought_up(cluster, writer) as settle:
        taken = settle()
    assert {one.words for one in taken} == {""}
    assert sum(one.bound for one in taken) == 5
    for node in plan.nodes:
        claim = cluster.api.wait(claims[node.name], lambda found: condition(found, "Initialized") == "True")
        made = cluster.api.get({"apiVersion": "v1", "kind": "Node", "metadata": {"name": claim["status"]["nodeName"]}})
        assert labels_of(made) == offering(node)
        assert "unschedulable" not in made["spec"]
        assert "taints" not in made["spec"]
        assert made["metadata"]["annotations"]["raypipe.io/pods"] == "{}"
        assert pods_on(cluster, made["metadata"]["name"]) == node.pods
    for one in (deployment("web", 3), deployment("db", 2)):
        cluster.api.wait(one, lambda found: found["status"].get("readyReplicas") == found["spec"]["replicas"])
    assert planned(fleet).actions == ()


def pods_on(cluster: Cluster, node: str) -> dict[str, int]:
    """Pods of Deployments on a node, as plans count them."""
    names = [
        one["metadata"]["labels"]["app"]
        for one in cluster.api.items("v1", "Pod", fieldSelector=f"spec.nodeName={node}")
    ]
    return {f"Deployment/default/{name}": names.count(name) for name in sorted(set(names)) if name != "agent"}


def test_a_name_that_another_decision_has_taken_is_not_bought_under(
    cluster: Cluster, fleet: Path, writer: Writer
) -> None:
    cluster.api.create(deployment("web", 1, cpu="700m"))
    waiting(cluster, 1)
    plan = planned(fleet)
    (buy,) = plan.actions
    bought(cluster, plan, writer)
    claim = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": buy.object.name}}
    uids = [one["metadata"]["uid"] for one in cluster.api.items("v1", "Pod")]
    assert json.loads(cluster.api.get(claim)["metadata"]["annotations"]["raypipe.io/pods"]) == {
        "Deployment/default/web": {"uids": uids, "count": 0}
    }
    cluster.api.patch(claim, {"metadata": {"annotations": {"raypipe.io/decision": "0123456789ab"}}})
    (result,) = bought(cluster, plan, writer)
    assert (result.outcome, result.words) == (
        Outcome.FAILED,
        f"NodeClaim {buy.object.name} exists, of decision 0123456789ab",
    )


def test_the_command_stays_until_all_pods_are_bound_and_twice_is_once(
    cluster: Cluster, fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.api.create(deployment("web", 3, cpu="700m"))
    waiting(cluster, 3)
    saved = tmp_path / "plan.json"
    assert main(["plan", str(fleet), "--out", str(saved)]) == 0
    plan = raypipe.FleetPlan.from_json(saved.read_text()).clusters[0]
    assert main(["apply", str(saved), "--yes"]) == 0
    assert pods_on_claims(cluster) == {node.name: node.pods for node in plan.nodes}
    assert main(["apply", str(saved), "--yes"]) == 0
    told = f"{cluster.name}   {len(plan.nodes)} done, 0 skipped, 0 failed"
    assert capsys.readouterr().out.splitlines().count(told) == 2
    assert len(cluster.api.items("karpenter.sh/v1", "NodeClaim")) == len(plan.nodes)


def test_where_others_buy_the_objects_are_shown_and_nothing_is_made(
    cluster: Cluster, fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet_file(fleet, [cluster.name], nodes="print")
    cluster.api.create(deployment("web", 1, cpu="700m"))
    waiting(cluster, 1)
    saved = tmp_path / "plan.json"
    assert main(["plan", str(fleet), "--out", str(saved)]) == 0
    capsys.readouterr()
    assert main(["apply", str(saved), "--yes"]) == 0
    shown = capsys.readouterr().out.partition("---\n")[2].rpartition(f"{cluster.name}   1 done")[0]
    (claim,) = yaml.safe_load_all(shown)
    assert (claim["kind"], "startupTaints" in claim["spec"]) == ("NodeClaim", False)
    assert cluster.api.items("karpenter.sh/v1", "NodeClaim") == []


def test_a_pool_through_which_karpenter_buys_too_is_refused_before_anything_is_written(
    cluster: Cluster, fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node_class = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}
    pool = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": "ours", "annotations": {"raypipe.io/managed": "true"}},
        "spec": {"limits": {"cpu": "0"}, "template": {"spec": {"nodeClassRef": node_class, "requirements": []}}},
    }
    cluster.api.create(pool, deployment("web", 1, cpu="700m"))
    try:
        waiting(cluster, 1)
        saved = tmp_path / "plan.json"
        assert main(["plan", str(fleet), "--out", str(saved)]) == 0
        assert main(["apply", str(saved), "--yes"]) == 1
        assert "NodePool ours: Karpenter disrupts its nodes: set spec.disruption.budgets" in capsys.readouterr().err
        assert cluster.api.items("karpenter.sh/v1", "NodeClaim") == []
        budgets = {"spec": {"disruption": {"budgets": [{"nodes": "0"}]}}}
        cluster.api.patch(pool, budgets)
        assert main(["apply", str(saved), "--yes"]) == 0
        (claim,) = cluster.api.items("karpenter.sh/v1", "NodeClaim")
        assert claim["metadata"]["labels"]["karpenter.sh/nodepool"] == "ours"
    finally:
        cluster.api.delete(pool)


def pods_on_claims(cluster: Cluster) -> dict[str, dict[str, int]]:
    """Pods of Deployments on the node of each claim; which node that is, Karpenter says a moment after it is there."""
    claims = [
        cluster.api.wait(one, lambda found: found["status"].get("nodeName"))
        for one in cluster.api.items("karpenter.sh/v1", "NodeClaim")
    ]
    return {one["metadata"]["name"]: pods_on(cluster, one["status"]["nodeName"]) for one in claims}


def test_simulated_nodes_are_what_the_plan_says_of_them(cluster: Cluster, fleet: Path, writer: Writer) -> None:
    fleet_file(fleet, [cluster.name], nodes="kwok")
    cluster.api.create(daemon_set("agent"), deployment("web", 3, cpu="700m"), deployment("gpu", 1, cpu="3"))
    waiting(cluster, 4)
    plan = planned(fleet)
    results = bought(cluster, plan, writer, Kwok(writer)) + bought(cluster, plan, writer, Kwok(writer))
    assert {one.outcome for one in results} == {Outcome.DONE}
    with brought_up(cluster, writer) as settle:
        assert sum(one.bound for one in settle()) == 4
    assert {one["metadata"]["name"]: labels_of(one) for one in cluster.api.items("v1", "Node")} == {
        node.name: offering(node) for node in plan.nodes
    }
    for node in plan.nodes:
        assert pods_on(cluster, node.name) == node.pods
    after = planned(fleet)
    assert (after.actions, after.usd_per_hour.before) == ((), plan.usd_per_hour.after)
    assert all(Kwok(writer).give_back(node.name, None) for node in plan.nodes)


def test_a_gang_is_suspended_unless_a_person_has_written_or_it_runs_and_he_is_named(
    cluster: Cluster, fleet: Path, writer: Writer
) -> None:
    job = ray_job("batch", {"workers": 2}, suspend=False)
    cluster.api.create(job)
    waiting(cluster, 3)
    free = fleet.read_text()
    fleet_file(fleet, [cluster.name], limits={"nodes": "0"})
    plan = planned(fleet)
    cluster.api.apply({**job, "spec": {**job["spec"], "suspend": True}}, manager="alice")
    (skipped,) = carry_out(plan, writer, Karpenter(writer))
    assert (skipped.outcome, skipped.words) == (
        Outcome.SKIPPED,
        "RayJob/default/batch: /spec/suspend is True, not unset: alice has written it",
    )
    cluster.api.apply({**job, "spec": {**job["spec"], "suspend": False}}, manager="alice")
    waiting(cluster, 3)
    (done,) = carry_out(planned(fleet), writer, Karpenter(writer))
    assert (done.outcome, done.words) == (Outcome.DONE, "")
    waiting(cluster, 0)
    assert cluster.api.get(job)["metadata"]["annotations"]["raypipe.io/suspended-by"].endswith("/nodes")
    fleet.write_text(free)
    resumed = [one for one in planned(fleet).actions if one.kind is ActionKind.RESUME_RAY_JOB]
    assert [one.object.name for one in resumed] == ["batch"]
    (result,) = carry_out(dataclasses.replace(planned(fleet), actions=tuple(resumed)), writer, Karpenter(writer))
    assert result.outcome is Outcome.DONE
    waiting(cluster, 3)
    cluster.api.create(machine("n1"))
    until(
        lambda: all(one["spec"].get("nodeName") for one in cluster.api.items("v1", "Pod")), 20, "its pods have a node"
    )
    (refused,) = carry_out(dataclasses.replace(plan, actions=(done.action,)), writer, Karpenter(writer))
    assert refused.outcome is Outcome.SKIPPED
    assert "3 of its pods have a node by now" in refused.words
