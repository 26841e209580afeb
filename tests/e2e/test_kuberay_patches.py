"""What a plan asks of Ray objects, carried out on a real API server, is what KubeRay's operator does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import raypipe
from raypipe.model.actions import Action, ActionKind
from tests.e2e.api import JSON_PATCH, ApiError, Object
from tests.e2e.cluster import Cluster
from tests.e2e.kuberay import ray_cluster, ray_job
from tests.e2e.objects import node
from tests.e2e.processes import until
from tests.e2e.rig import Rig

pytestmark = pytest.mark.usefixtures("clean")

TRIES = 8
"""Of a write that the operator's own, a status mostly, comes before."""
INVALID = 422


@pytest.fixture
def kubeconfig(rig: Rig, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(rig.kubeconfig([cluster])))


def alternatives(**spec: object) -> Object:
    """Two L4 are asked for; what T4 do is worth as much and costs less."""
    made = ray_cluster("demo", {"l4": 2, "t4": 0}, **spec)
    for group in made["spec"]["workerGroupSpecs"]:
        group["template"]["metadata"] = {"annotations": {"raypipe.io/alternatives": "gpus"}}
        of = group["template"]["spec"]
        of["nodeSelector"] = {"karpenter.k8s.aws/instance-gpu-name": group["groupName"]}
        of["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "1"
    return made


def fleet(folder: Path, cluster: Cluster, limits: str = "{}") -> Path:
    path = folder / "fleet.yaml"
    text = "apiVersion: raypipe.io/v1\nkind: Fleet\nclusters:\n"
    path.write_text(f"{text}- {{name: {cluster.name}, context: {cluster.name}, limits: {limits}}}\n", encoding="utf-8")
    return path


def asked(path: Path) -> list[Action]:
    """What a plan of the live cluster asks of Ray objects."""
    seen = raypipe.read(path, strict=True)
    return [action for action in raypipe.plan(seen).actions if action.kind is not ActionKind.BUY_NODE]


def carried_out(cluster: Cluster, path: Path, kinds: Sequence[ActionKind]) -> list[Action]:
    """Plan and write, and where the operator was there first, again; what was written."""
    for _ in range(TRIES):
        actions = asked(path)
        assert [action.kind for action in actions] == list(kinds)
        try:
            for action in actions:
                write(cluster, action)
        except ApiError as error:
            if error.status != INVALID:
                raise
            continue
        return actions
    raise AssertionError(f"{kinds}: {TRIES} times somebody else wrote first")


def write(cluster: Cluster, action: Action) -> Object:
    place = {"name": action.object.name, "namespace": action.object.namespace}
    one = {"apiVersion": "ray.io/v1", "kind": action.object.kind, "metadata": place}
    return cluster.api.patch(one, list(action.patch), JSON_PATCH)


def workers(cluster: Cluster) -> dict[str, list[str]]:
    """Names of worker pods that are not being deleted, by group."""
    found: dict[str, list[str]] = {}
    for pod in cluster.api.items("v1", "Pod", labelSelector="ray.io/node-type=worker"):
        if "deletionTimestamp" not in pod["metadata"]:
            found.setdefault(pod["metadata"]["labels"]["ray.io/group"], []).append(pod["metadata"]["name"])
    return found


def counts(cluster: Cluster) -> dict[str, int]:
    return {group: len(names) for group, names in workers(cluster).items()}


def groups(cluster: Cluster) -> dict[str, Object]:
    spec = cluster.api.get(ray_cluster("demo", {}))["spec"]
    return {group["groupName"]: group for group in spec["workerGroupSpecs"]}


@pytest.mark.usefixtures("kubeconfig")
def test_work_moves_to_the_cheaper_group_and_the_workers_named_go(cluster: Cluster, tmp_path: Path) -> None:
    cluster.api.create(node("n1"), alternatives())
    until(lambda: counts(cluster) == {"l4": 2}, 20, "two workers wait")
    named, path = sorted(workers(cluster)["l4"]), fleet(tmp_path, cluster)
    (action,) = carried_out(cluster, path, [ActionKind.SCALE_WORKER_GROUP])
    until(lambda: counts(cluster) == {"t4": 2}, 20, "the others are there instead")
    with pytest.raises(ApiError, match=r"^422 "):  # of another version by now
        write(cluster, action)
    assert groups(cluster)["l4"]["scaleStrategy"] == {"workersToDelete": named}
    carried_out(cluster, path, [ActionKind.SCALE_WORKER_GROUP])
    assert groups(cluster)["l4"]["scaleStrategy"] == {"workersToDelete": []}
    assert asked(path) == []


@pytest.mark.usefixtures("kubeconfig")
def test_rays_own_autoscaler_is_given_bounds_that_the_operator_takes(cluster: Cluster, tmp_path: Path) -> None:
    """A worker of the dear group runs: it stays, and is to go once it is idle."""
    options = {"enableInTreeAutoscaling": True, "autoscalerOptions": {"version": "v2"}}
    l4 = node("l4", labels={"karpenter.k8s.aws/instance-gpu-name": "l4"}, gpus=1)
    cluster.api.create(node("n1"), l4, alternatives(**options))
    until(lambda: counts(cluster) == {"l4": 2}, 20, "two workers are there")
    running = {"labelSelector": "ray.io/group=l4", "fieldSelector": "spec.nodeName=l4"}
    until(lambda: cluster.api.items("v1", "Pod", **running), 20, "one of them has a node")
    path = fleet(tmp_path, cluster)
    carried_out(cluster, path, [ActionKind.BOUND_WORKER_GROUP])
    bounds = [groups(cluster)["l4"].get(name) for name in ("replicas", "maxReplicas", "idleTimeoutSeconds", "priority")]
    assert bounds == [2, 1, 30, None]  # this KubeRay knows no priority
    assert asked(path) == []
    reasons = {event["reason"] for event in cluster.api.items("v1", "Event") if event["type"] == "Warning"}
    assert "InvalidRayClusterSpec" not in reasons


@pytest.mark.usefixtures("kubeconfig")
def test_a_job_that_a_limit_keeps_out_is_suspended_and_resumed_where_there_is_room(
    cluster: Cluster, tmp_path: Path
) -> None:
    job = ray_job("batch", {"workers": 2}, suspend=False)
    cluster.api.create(job)
    until(lambda: counts(cluster) == {"workers": 2}, 20, "its workers wait")
    out = fleet(tmp_path, cluster, "{nodes: '0'}")
    carried_out(cluster, out, [ActionKind.SUSPEND_RAY_JOB])
    cluster.api.wait(job, lambda found: found["status"].get("jobDeploymentStatus") == "Suspended")
    until(lambda: counts(cluster) == {}, 20, "its workers are gone")
    assert cluster.api.get(job)["metadata"]["annotations"] == {
        "raypipe.io/suspended-by": f"cluster/{cluster.name}/nodes"
    }
    assert asked(out) == []
    carried_out(cluster, fleet(tmp_path, cluster), [ActionKind.RESUME_RAY_JOB])
    until(lambda: counts(cluster) == {"workers": 2}, 20, "its workers are back")
    assert "annotations" not in cluster.api.get(job)["metadata"]
