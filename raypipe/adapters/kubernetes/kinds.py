"""What is read of a cluster: every kind that `raypipe.manifests` knows, where the API server has it, and nothing else.

Secrets and ConfigMaps are not among them. A kind that the server does not have (its operator is not installed, or the
server is older) is a note; one that may not be listed is an error, because half of a cluster is not planned as if it
were all. Only kinds that are merely counted, or of use and not needed, may be forbidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.adapters.kubernetes.server import Server
from raypipe.model.plan import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind and where it is served.

    Attributes:
        version: of its API group ("" is the core group) that is read where it is served.
        selector: a field selector for the objects that matter.
        counted: only counted, or of use and not needed, so that a server that forbids to list it is no error.
        last: listed after the others (`looking`).
    """

    name: str
    group: str
    version: str
    plural: str
    selector: str | None = None
    counted: bool = False
    last: bool = False


UNFINISHED = "status.phase!=Succeeded,status.phase!=Failed"
"""Pods that are over want nothing and hold nothing; there may be many."""

RAY_CLUSTERS = "metadata.name=rayclusters.ray.io"
"""The one definition that says which fields the server keeps of a worker group; all of them are megabytes."""

KINDS: tuple[Kind, ...] = (
    Kind(name="Pod", group="", version="v1", plural="pods", selector=UNFINISHED),
    Kind(name="Namespace", group="", version="v1", plural="namespaces"),
    Kind(name="PersistentVolume", group="", version="v1", plural="persistentvolumes"),
    Kind(name="PersistentVolumeClaim", group="", version="v1", plural="persistentvolumeclaims"),
    Kind(name="ResourceQuota", group="", version="v1", plural="resourcequotas", counted=True),
    Kind(name="Deployment", group="apps", version="v1", plural="deployments"),
    Kind(name="ReplicaSet", group="apps", version="v1", plural="replicasets"),
    Kind(name="StatefulSet", group="apps", version="v1", plural="statefulsets"),
    Kind(name="DaemonSet", group="apps", version="v1", plural="daemonsets"),
    Kind(name="Job", group="batch", version="v1", plural="jobs"),
    Kind(name="CronJob", group="batch", version="v1", plural="cronjobs"),
    Kind(name="StorageClass", group="storage.k8s.io", version="v1", plural="storageclasses"),
    Kind(name="PriorityClass", group="scheduling.k8s.io", version="v1", plural="priorityclasses"),
    Kind(name="PodDisruptionBudget", group="policy", version="v1", plural="poddisruptionbudgets"),
    Kind(name="RayCluster", group="ray.io", version="v1", plural="rayclusters"),
    Kind(name="RayJob", group="ray.io", version="v1", plural="rayjobs"),
    Kind(name="RayService", group="ray.io", version="v1", plural="rayservices"),
    Kind(
        name="CustomResourceDefinition",
        group="apiextensions.k8s.io",
        version="v1",
        plural="customresourcedefinitions",
        selector=RAY_CLUSTERS,
        counted=True,
    ),
    Kind(name="LeaderWorkerSet", group="leaderworkerset.x-k8s.io", version="v1", plural="leaderworkersets"),
    Kind(name="PodGroup", group="scheduling.x-k8s.io", version="v1alpha1", plural="podgroups"),
    Kind(name="PodGroup", group="scheduling.run.ai", version="v2alpha2", plural="podgroups"),
    Kind(name="Queue", group="scheduling.run.ai", version="v2", plural="queues", counted=True),
    Kind(name="NodePool", group="karpenter.sh", version="v1", plural="nodepools"),
    Kind(name="NodeClaim", group="karpenter.sh", version="v1", plural="nodeclaims", last=True),
    Kind(name="Node", group="", version="v1", plural="nodes", last=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind as one API server has it: its objects of all namespaces are at `path`."""

    kind: Kind
    api_version: str
    path: str


def resources_of(server: Server) -> tuple[list[Resource], list[Kind], list[Note]]:
    """The kinds whose API groups a server has, those that it lacks, and a note for each in another version only.

    That a group is there does not say that every kind of it is: whoever lists a kind may still find nothing at its
    path.
    """
    groups = {group["name"]: group for group in server.get("/apis").get("groups") or ()}
    found: list[Resource] = []
    missing: list[Kind] = []
    notes: list[Note] = []
    for kind in KINDS:
        if not kind.group:
            found.append(_resource(kind, kind.version, f"/api/{kind.version}"))
        elif kind.group in groups:
            version = _version(kind, groups[kind.group])
            found.append(_resource(kind, f"{kind.group}/{version}", f"/apis/{kind.group}/{version}"))
            if version != kind.version:
                message = f"{kind.name}: served as {kind.group}/{version}, read as if it were {kind.version}"
                notes.append(Note(kind="other-version", subject=kind.name, message=message))
        else:
            missing.append(kind)
    return found, missing, notes


def absent(context: str, kinds: Iterable[Kind]) -> list[Note]:
    """One note on all kinds that a server does not have, by their groups; none where it has all."""
    by_group: dict[str, list[str]] = {}
    for kind in kinds:
        by_group.setdefault(kind.group, []).append(kind.name)
    if not by_group:
        return []
    shown = "; ".join(f"{', '.join(names)} ({group or 'core'})" for group, names in sorted(by_group.items()))
    count = sum(map(len, by_group.values()))
    return [Note(kind="not-served", subject=context, count=count, message=f"{context} has no {shown}")]


def not_seen(kind: Kind, error: Exception) -> Note:
    """A note on a kind that may not be listed and need not be."""
    return Note(kind="not-seen", subject=kind.name, message=f"{kind.name}: {error}")


def _version(kind: Kind, group: Mapping[str, Any]) -> str:
    """The version that is read where the server has it, else the one that the server prefers."""
    served: Sequence[str] = [one["version"] for one in group.get("versions") or ()]
    if kind.version in served or not served:
        return kind.version
    preferred: str = (group.get("preferredVersion") or {}).get("version") or served[0]
    return preferred


def _resource(kind: Kind, api_version: str, base: str) -> Resource:
    return Resource(kind=kind, api_version=api_version, path=f"{base}/{kind.plural}")
