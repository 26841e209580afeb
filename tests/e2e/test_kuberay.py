"""KubeRay's operator makes pods of Ray objects, and none of suspended ones."""

from __future__ import annotations

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.kuberay import ray_cluster, ray_job
from tests.e2e.objects import node
from tests.e2e.processes import until

pytestmark = pytest.mark.usefixtures("clean")


def running(cluster: Cluster) -> list[str]:
    """Node types of the Ray pods that run, in order."""
    pods = cluster.api.items("v1", "Pod", labelSelector="ray.io/node-type")
    return sorted(pod["metadata"]["labels"]["ray.io/node-type"] for pod in pods if pod["status"]["phase"] == "Running")


def test_a_ray_cluster_gets_its_pods_and_is_ready(cluster: Cluster) -> None:
    cluster.api.create(node("n1", cpu=16, memory="64Gi"))
    cluster.api.create(ray_cluster("train", {"small": 2, "large": 1}))
    ready = cluster.api.wait(ray_cluster("train", {}), lambda found: found.get("status", {}).get("state") == "ready")
    assert ready["status"]["readyWorkerReplicas"] == 3
    assert running(cluster) == ["head", "worker", "worker", "worker"]


def test_a_suspended_ray_job_makes_no_cluster_until_it_is_resumed(cluster: Cluster) -> None:
    job = ray_job("batch", {"workers": 2}, suspend=True)
    cluster.api.create(node("n1", cpu=16, memory="64Gi"))
    cluster.api.create(job)
    cluster.api.wait(job, lambda found: found.get("status", {}).get("jobDeploymentStatus") == "Suspended")
    assert cluster.api.items("ray.io/v1", "RayCluster") == []
    cluster.api.patch(job, {"spec": {"suspend": False}})
    until(lambda: running(cluster) == ["head", "worker", "worker"], 20, "the job's cluster runs")
