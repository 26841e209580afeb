"""Objects of KubeRay, as small as its operator accepts."""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.api import Object

VERSION = "2.52.0"
"""Of Ray, as the objects say it; no Ray runs in simulated pods."""
A, B = "c7i.xlarge", "m7i.xlarge"
"""The instance types of the groups of `either`, as large as one worker."""


def ray_cluster(name: str, groups: Mapping[str, int], namespace: str = "default", **spec: object) -> Object:
    """A RayCluster with a head and so many workers a group; `spec`: further fields of its specification."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {**_cluster_spec(groups), **spec},
    }


def ray_job(name: str, groups: Mapping[str, int], *, suspend: bool, namespace: str = "default") -> Object:
    """A RayJob that ends its cluster with itself, as one that may be suspended must."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "suspend": suspend,
            "shutdownAfterJobFinishes": True,
            "entrypoint": "python -c 0",
            "rayClusterSpec": _cluster_spec(groups),
        },
    }


def either(replicas: int) -> Object:
    """A RayCluster whose work either of two groups can do, ``a`` as asked for; ``b`` may have two workers at most."""
    made = ray_cluster("serving", {"a": replicas, "b": 0})
    for group, instance_type in zip(made["spec"]["workerGroupSpecs"], (A, B), strict=True):
        template = group["template"]
        template["metadata"] = {"annotations": {"raypipe.io/alternatives": "either"}}
        template["spec"]["nodeSelector"] = {"node.kubernetes.io/instance-type": instance_type}
        resources = template["spec"]["containers"][0]["resources"]
        resources["limits"]["cpu"] = resources["requests"]["cpu"] = "3"
    made["spec"]["workerGroupSpecs"][1]["maxReplicas"] = 2
    return made


def groups(ray: Object) -> dict[str, Object]:
    """The worker groups of a RayCluster, by name."""
    return {group["groupName"]: group for group in ray["spec"]["workerGroupSpecs"]}


def _cluster_spec(groups: Mapping[str, int]) -> Object:
    return {
        "rayVersion": VERSION,
        "headGroupSpec": {"rayStartParams": {}, "template": _template("ray-head")},
        "workerGroupSpecs": [
            {
                "groupName": group,
                "replicas": replicas,
                "minReplicas": 0,
                "maxReplicas": 100,
                "rayStartParams": {},
                "template": _template("ray-worker"),
            }
            for group, replicas in groups.items()
        ],
    }


def _template(container: str) -> Object:
    resources = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}}
    image = f"rayproject/ray:{VERSION}"
    return {"spec": {"containers": [{"name": container, "image": image, "resources": resources}]}}
