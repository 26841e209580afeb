"""Kubernetes objects as read: identity, owner, age; each once, and the topmost owner of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import msgspec

from raypipe.manifests.fields import Field, said
from raypipe.manifests.files import Document, field_text
from raypipe.model.plan import Note

WORKLOADS = frozenset(
    {
        "Pod",
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "LeaderWorkerSet",
        "RayCluster",
        "RayJob",
        "RayService",
    }
)
"""Kinds that own pods under their own name. A CronJob's pods are its Jobs'."""

KINDS = WORKLOADS | {
    "CronJob",
    "PodGroup",
    "Node",
    "NodeClaim",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "StorageClass",
    "PodDisruptionBudget",
    "PriorityClass",
    "NodePool",
    "Queue",
}
CLUSTER_SCOPED = frozenset(
    {"Node", "NodeClaim", "PersistentVolume", "StorageClass", "PriorityClass", "NodePool", "Queue"}
)


@dataclass(frozen=True, slots=True)
class Owner:
    """What an ownerReference names."""

    kind: str
    name: str
    uid: str | None


@dataclass(frozen=True, eq=False)
class KubeObject:
    """One object. `name` is ``Kind/namespace/name`` of keys; the raw content stays in `root`."""

    kind: str
    namespace: str
    name: str
    root: Field

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"

    @cached_property
    def uid(self) -> str | None:
        uid = self.root.value.get("metadata", {}).get("uid")
        return uid if isinstance(uid, str) else None

    @cached_property
    def created(self) -> str | None:
        stamp = self.root.value["metadata"].get("creationTimestamp")
        return stamp if isinstance(stamp, str) and stamp else None

    @property
    def deleting(self) -> bool:
        return self.root.value["metadata"].get("deletionTimestamp") is not None

    @property
    def labels(self) -> Field:
        return self.root.get("metadata", "labels")

    @property
    def annotations(self) -> Field:
        return self.root.get("metadata", "annotations")

    def annotation(self, name: str) -> str | None:
        """The text of an annotation, or None."""
        notes = self.root.value["metadata"].get("annotations")
        if not isinstance(notes, dict) or notes.get(name) is None:
            return None
        return str(self.annotations.get(name).text())

    @property
    def spec(self) -> Field:
        return self.root.get("spec")

    @property
    def status(self) -> Field:
        return self.root.get("status")

    @cached_property
    def owner(self) -> Owner | None:
        """The controlling owner, else the first."""
        if not self.root.value["metadata"].get("ownerReferences"):
            return None
        found: list[Owner] = []
        for one in self.root.get("metadata", "ownerReferences").items():
            uid = one.get("uid").value
            owner = Owner(one.get("kind").text(), one.get("name").text(), uid if isinstance(uid, str) else None)
            if one.get("controller").value is True:
                return owner
            found.append(owner)
        return found[0] if found else None

    def condition(self, kind: str) -> bool:
        """Whether the status has a condition of this type that is True."""
        return any(
            one.get("type").value == kind and one.get("status").value == "True"
            for one in self.status.get("conditions").items()
        )


@dataclass(slots=True)
class Objects:
    """All objects of one cluster, by kind."""

    by_kind: dict[str, list[KubeObject]] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    _by_uid: dict[str, KubeObject] = field(default_factory=dict)
    _by_key: dict[str, KubeObject] = field(default_factory=dict)

    def of(self, *kinds: str) -> list[KubeObject]:
        """Objects of these kinds, in order of namespace and name."""
        return [one for kind in kinds for one in self.by_kind.get(kind, ())]

    def find(self, owner: Owner, namespace: str) -> KubeObject | None:
        """The object that an ownerReference in `namespace` means, if the input has it."""
        found = self._by_uid.get(owner.uid) if owner.uid else None
        return found or self._by_key.get(f"{owner.kind}/{namespace}/{owner.name}")

    def owner_of(self, one: KubeObject) -> KubeObject | None:
        """The owner that pods are counted under, if the input has it."""
        found = self.find(one.owner, one.namespace) if one.owner is not None else None
        return found if found is not None and found.kind in WORKLOADS and found is not one else None

    def topmost(self, one: KubeObject) -> KubeObject:
        """The last object of the chain of owners; a chain that bites its tail ends where it began to repeat."""
        seen = {id(one)}
        while (owner := self.owner_of(one)) is not None and id(owner) not in seen:
            seen.add(id(owner))
            one = owner
        return one


def collect(documents: Iterable[Document]) -> Objects:
    """Sort documents into objects; problems are noted in their sources."""
    objects = Objects()
    unknown: dict[str, int] = {}
    for document in documents:
        one = _object(document)
        if one is None:
            continue
        if one.kind not in KINDS:
            unknown[one.kind] = unknown.get(one.kind, 0) + 1
            continue
        known = objects._by_key.get(one.key)
        if known is None:
            objects._by_key[one.key] = one
        elif _canonical(known) != _canonical(one):
            where = f"{known.root.source.shown} {field_text(known.root.steps) or ''}".strip()
            one.root.problem(f"{one.key} again, otherwise than in {where}", "each object once")
    for key in sorted(objects._by_key):
        one = objects._by_key[key]
        objects.by_kind.setdefault(one.kind, []).append(one)
        if one.uid is not None:
            objects._by_uid[one.uid] = one
    for kind, count in sorted(unknown.items()):
        objects.notes.append(_unknown(kind, count))
    return objects


def _unknown(kind: str, count: int) -> Note:
    if kind == "ResourceQuota":
        message = "ResourceQuota: quotas of namespaces are not checked yet"
        return Note(kind="unchecked-kind", subject=kind, count=count, message=message)
    message = f"{kind}: {count} objects of this kind are not planned and were left out"
    return Note(kind="unknown-kind", subject=kind, count=count, message=message)


def _canonical(one: KubeObject) -> bytes:
    return msgspec.json.encode(one.root.value, order="sorted")


def _object(document: Document) -> KubeObject | None:
    """The object of a document, or None with its problem noted."""
    root = Field.of(document)
    content = document.content
    kind = content.get("kind")
    if not isinstance(kind, str) or not kind:
        root.get("kind").problem(said(kind), "a kind, as every Kubernetes object has one")
        return None
    if not isinstance(content.get("apiVersion"), str):
        root.get("apiVersion").problem(said(content.get("apiVersion")), "an apiVersion")
        return None
    if kind not in KINDS:
        return KubeObject(kind, "", "", root)
    metadata = content.get("metadata")
    if not isinstance(metadata, dict):
        root.get("metadata").problem(said(metadata), "a mapping with a name")
        return None
    name = metadata.get("name") or metadata.get("generateName")
    if not isinstance(name, str) or not name or len(name) > 300:
        root.get("metadata", "name").problem(said(name), "a name")
        return None
    namespace = metadata.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        root.get("metadata", "namespace").problem(said(namespace), "a namespace")
        return None
    return KubeObject(kind, "" if kind in CLUSTER_SCOPED else namespace or "default", name, root)
