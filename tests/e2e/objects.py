"""Objects that tests send to a cluster: as small as the API server accepts, with what a test cares about given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.e2e.api import Object

BOOT = "e2e.raypipe.io/boot"
PULL = "e2e.raypipe.io/pull"
RUNS_FOR = "e2e.raypipe.io/runs-for"
GPU_AFTER = "e2e.raypipe.io/gpu-after"
RECLAIM = "e2e.raypipe.io/reclaim"
NOTICE = "e2e.raypipe.io/notice"

_BOOTING = {"type": "Ready", "status": "False", "reason": "Booting", "message": "the machine starts"}


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def node(
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    cpu: str | int = 4,
    memory: str = "16Gi",
    pods: int = 110,
    gpus: int = 0,
) -> Object:
    """A node that KWOK brings up, with these resources.

    It registers as a kubelet does, not ready: of a node without that condition the taint is taken off for a moment, in
    which pods may be scheduled.
    """
    resources = {"cpu": str(cpu), "memory": memory, "pods": str(pods)}
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
    carried = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        **(labels or {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": carried, "annotations": dict(annotations or {})},
        "status": {"capacity": resources, "allocatable": resources, "conditions": [_BOOTING]},
    }


def pod_spec(cpu: str = "100m", memory: str = "64Mi", **more: object) -> Object:
    """The specification of a pod of one container; `more` are fields of the specification."""
    container = {"name": "main", "image": "none", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {"containers": [container], "terminationGracePeriodSeconds": 0, **more}


def pod(name: str, namespace: str = "default", annotations: Mapping[str, str] | None = None, **spec: object) -> Object:
    """A pod of nobody."""
    metadata = {"name": name, "namespace": namespace, "annotations": dict(annotations or {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(**spec)}  # type: ignore[arg-type]


def deployment(name: str, replicas: int, namespace: str = "default", **spec: object) -> Object:
    """A Deployment whose pods carry the label ``app``."""
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(**spec)}  # type: ignore[arg-type]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


def daemon_set(name: str, labels: Mapping[str, str] | None = None, namespace: str = "default") -> Object:
    """A DaemonSet on every node, whatever its taints."""
    carried = {"app": name, **(labels or {})}
    template = {"metadata": {"labels": carried}, "spec": pod_spec(tolerations=[{"operator": "Exists"}])}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


def is_ready(object_: Object) -> bool:
    """Whether a node or a pod says Ready."""
    return condition(object_, "Ready") == "True"


def condition(object_: Object, kind: str) -> str | None:
    """The status of one of an object's conditions, or None."""
    conditions: Sequence[Mapping[str, str]] = object_.get("status", {}).get("conditions") or []
    return next((entry["status"] for entry in conditions if entry["type"] == kind), None)
