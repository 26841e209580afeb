"""Objects that tests send to a cluster: as small as the API server accepts, with what a test cares about given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.e2e.api import Object

BOOT = "e2e.raypipe.io/boot"
PULL = "e2e.raypipe.io/pull"
RUNS_FOR = "e2e.raypipe.io/runs-for"

_BOOTING = {"type": "Ready", "status": "False", "reason": "Booting", "message": "the machine starts"}


def namespace(name: str) -> Object:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def node(
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    **resources: str | int,
) -> Object:
    """A node that KWOK brings up, with 110 pods, 4 CPUs and 16 GiB where `resources` says nothing else.

    It registers as a kubelet does, not ready: of a node without that condition the taint is taken off for a moment, in
    which pods may be scheduled.
    """
    amounts = {"cpu": "4", "memory": "16Gi", "pods": "110"} | {name: str(amount) for name, amount in resources.items()}
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
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [_BOOTING]},
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


def is_ready(object_: Object) -> bool:
    """Whether a node or a pod says Ready."""
    return condition(object_, "Ready") == "True"


def condition(object_: Object, kind: str) -> str | None:
    """The status of one of an object's conditions, or None."""
    conditions: Sequence[Mapping[str, str]] = object_.get("status", {}).get("conditions", [])
    return next((entry["status"] for entry in conditions if entry["type"] == kind), None)
