"""Small inputs as text, and their reading: one cluster from manifests, or the problems that kept it from being read."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from raypipe.errors import InputError
from raypipe.manifests import read_paths
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings

type Object = dict[str, Any]


def written(folder: Path, files: Mapping[str, Any]) -> Path:
    """Write files (text, bytes, or objects: one document each) into a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = yaml.safe_dump_all(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(*objects: Object, settings: Settings | None = None) -> ClusterSnapshot:
    """One cluster with these objects."""
    return read_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}), "objects.json", settings)


def read_text(text: str | bytes, name: str = "objects.yaml", settings: Settings | None = None) -> ClusterSnapshot:
    """One cluster with one file."""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), {f"cluster/{name}": text}) / "cluster"
        return read_paths([path], settings=settings).clusters[0]


def read_fleet(entry: str, files: Mapping[str, Any] | None = None, above: str = "") -> FleetSnapshot:
    """A fleet of one cluster, its entry given as YAML without a name."""
    body = "\n".join("  " + line for line in entry.strip().splitlines())
    text = f"apiVersion: raypipe.io/v1\nkind: Fleet\n{above}\nclusters:\n- name: one\n{body}\n"
    with tempfile.TemporaryDirectory() as folder:
        return read_paths([written(Path(folder), {"objects.yaml": "", **(files or {}), "fleet.yaml": text})])


def problems(*objects: Object) -> list[str]:
    """What is wrong with these objects, without the file's name."""
    return _told(lambda: read(*objects))


def problems_of_text(text: str | bytes, name: str = "objects.yaml") -> list[str]:
    """What is wrong with a file: ``LINE: field: found …, expected …``."""
    return _told(lambda: read_text(text, name))


def problems_of_fleet(entry: str, files: Mapping[str, Any] | None = None, above: str = "") -> list[str]:
    """What is wrong with a fleet of one cluster."""
    return _told(lambda: read_fleet(entry, files, above))


def _told(reading: Any) -> list[str]:
    try:
        reading()
    except InputError as error:
        return [
            re.sub(rf"^{re.escape(tempfile.gettempdir())}/\w+/(cluster/)?", "", text)
            for text in str(error).splitlines()
        ]
    return []


def container(cpu: Any = "1", memory: Any = "1Gi", **more: Any) -> Object:
    """A container that requests so much; None: not said."""
    stated = {"cpu": cpu, "memory": memory, **more}
    return {"name": "main", "resources": {"requests": {name: one for name, one in stated.items() if one is not None}}}


def template(
    *containers: Object, labels: Object | None = None, annotations: Object | None = None, **spec: Any
) -> Object:
    """A pod template; one container of 1 cpu and 1Gi where none is given."""
    metadata = {"labels": labels or {}, "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"containers": list(containers) or [container()], **spec}}


def pod(
    name: str, of: Object | None = None, *, node: str | None = None, owner: Object | None = None, **more: Any
) -> Object:
    """A Pod from a template; `owner` is the object that owns it. more: fields of its metadata, and `phase`."""
    made = template() if of is None else of
    metadata = {**made["metadata"], "name": name, "namespace": "default"}
    status = {"phase": more.pop("phase", "Running" if node else "Pending")}
    if owner is not None:
        metadata["ownerReferences"] = [reference(owner)]
    spec = {**made["spec"], **({"nodeName": node} if node else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | more, "spec": spec, "status": status}


def reference(owner: Object) -> Object:
    """The ownerReference to an object."""
    metadata = owner["metadata"]
    shown = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"], "controller": True}
    return shown | ({"uid": metadata["uid"]} if "uid" in metadata else {})


API = {
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
    "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1",
    "RayCluster": "ray.io/v1",
    "RayJob": "ray.io/v1",
    "RayService": "ray.io/v1",
    "PodGroup": "scheduling.x-k8s.io/v1alpha1",
    "Namespace": "v1",
    "Node": "v1",
    "PersistentVolume": "v1",
    "PersistentVolumeClaim": "v1",
    "StorageClass": "storage.k8s.io/v1",
    "NodeClaim": "karpenter.sh/v1",
    "NodePool": "karpenter.sh/v1",
    "PriorityClass": "scheduling.k8s.io/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
}


def thing(kind: str, name: str = "x", spec: Object | None = None, owner: Object | None = None, **more: Any) -> Object:
    """An object of a kind; more: fields of its metadata, and `status`."""
    made: Object = {"apiVersion": API[kind], "kind": kind, "metadata": {"name": name}, "spec": spec or {}}
    if "status" in more:
        made["status"] = more.pop("status")
    if owner is not None:
        made["metadata"]["ownerReferences"] = [reference(owner)]
    made["metadata"] |= more
    return made


def deployment(name: str = "web", replicas: Any = 1, of: Object | None = None, **more: Any) -> Object:
    """A Deployment."""
    return thing("Deployment", name, {"replicas": replicas, "template": of or template()}, **more)


def ray_spec(*groups: Object, head: Object | None = None, **more: Any) -> Object:
    """The spec of a RayCluster; each group is a mapping of its fields without a template."""
    workers = [{"groupName": f"g{number}", "template": template(), **one} for number, one in enumerate(groups)]
    return {"headGroupSpec": {"template": head or template()}, "workerGroupSpecs": workers, **more}


def node(name: str = "node-1", **more: Any) -> Object:
    """A ready Node of 8 cpu; more: fields of its metadata, `spec`, `conditions`."""
    conditions = more.pop("conditions", [{"type": "Ready", "status": "True"}])
    room = {"cpu": "8", "memory": "32Gi", "pods": "58"}
    status = {"capacity": room, "allocatable": room | {"cpu": "7900m"}, "conditions": conditions}
    return thing("Node", name, more.pop("spec", {}), status=status, **more)


def wanted(cluster: ClusterSnapshot) -> dict[str, int]:
    """Demand as count by key."""
    return {group.key: group.count for group in cluster.demand}


def excluded(cluster: ClusterSnapshot) -> dict[tuple[str, str], int]:
    """What is left out as count by key and reason."""
    return {(one.pods, one.reason): one.count for one in cluster.excluded}


def notes(cluster: ClusterSnapshot) -> list[tuple[str, str, int]]:
    """Notes but those on defaults, as kind, subject and count."""
    return [(note.kind, note.subject, note.count) for note in cluster.notes if note.kind != "default"]
