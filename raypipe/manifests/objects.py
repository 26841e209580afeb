"""Kubernetes objects as read: identity, age and owner; each once, and the topmost owner of each.

A kind counts only in the API groups it is known in: a Job of another group (Volcano's, say) is another thing. Owners
are found by uid, else by kind, namespace and name. Where the owner between a pod and its topmost one is not in the
input (``kubectl get pods,deployments`` leaves ReplicaSets out), the labels that controllers put on pods tell it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import msgspec

from raypipe.errors import nearest
from raypipe.manifests.fields import Field, said
from raypipe.manifests.files import Document
from raypipe.manifests.sources import field_text
from raypipe.model.plan import Note

GROUPS: dict[str, tuple[str, ...]] = {
    "Pod": ("",),
    "Deployment": ("apps", "extensions"),
    "ReplicaSet": ("apps", "extensions"),
    "StatefulSet": ("apps",),
    "DaemonSet": ("apps", "extensions"),
    "Job": ("batch",),
    "CronJob": ("batch",),
    "LeaderWorkerSet": ("leaderworkerset.x-k8s.io",),
    "RayCluster": ("ray.io",),
    "RayJob": ("ray.io",),
    "RayService": ("ray.io",),
    "PodGroup": ("scheduling.x-k8s.io", "scheduling.run.ai"),
    "Namespace": ("",),
    "Node": ("",),
    "NodeClaim": ("karpenter.sh",),
    "NodePool": ("karpenter.sh",),
    "PersistentVolume": ("",),
    "PersistentVolumeClaim": ("",),
    "StorageClass": ("storage.k8s.io",),
    "PodDisruptionBudget": ("policy",),
    "PriorityClass": ("scheduling.k8s.io",),
    "Queue": ("scheduling.run.ai",),
    "CustomResourceDefinition": ("apiextensions.k8s.io",),
}
"""The kinds that are read, and the API groups they are known in ("" is the core group)."""

UNCHECKED = {
    "ResourceQuota": "quotas of namespaces are not checked yet",
    "Queue": "quotas and limits of queues are not kept yet",
}
"""Kinds that would bind a plan and do not yet, and what is left out with each."""

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

CLUSTER_SCOPED = frozenset(
    {
        "Namespace",
        "Node",
        "NodeClaim",
        "PersistentVolume",
        "StorageClass",
        "PriorityClass",
        "NodePool",
        "Queue",
        "CustomResourceDefinition",
    }
)
_NAME = re.compile(r"[^\s/@\x00-\x1f\x7f]{1,253}")
_CONFLICTS_WITH_LINES = 10


@dataclass(frozen=True, slots=True)
class Owner:
    """What an ownerReference names; `kind` is "" where the group is not one we know the kind in."""

    kind: str
    name: str
    uid: str | None


@dataclass(frozen=True, eq=False)
class KubeObject:
    """One object; `key` is how plans call it, the raw content stays in `root`."""

    kind: str
    namespace: str
    name: str
    root: Field

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"

    @property
    def _metadata(self) -> dict[str, Any]:
        found: dict[str, Any] = self.root.value["metadata"]
        return found

    @cached_property
    def uid(self) -> str | None:
        uid = self._metadata.get("uid")
        return uid if isinstance(uid, str) and uid else None

    @cached_property
    def created(self) -> str | None:
        """The creationTimestamp in UTC, whole seconds and one spelling, so that texts order as times do, or None."""
        stamp = self._metadata.get("creationTimestamp")
        if stamp is None:
            return None
        try:
            moment = datetime.fromisoformat(stamp)
            moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).replace(microsecond=0)
        except (TypeError, ValueError, OverflowError):
            expected = "a time such as '2026-01-05T08:00:00Z'"
            self.root.get("metadata", "creationTimestamp").problem(said(stamp), expected)
            return None
        return moment.isoformat().replace("+00:00", "Z")

    @cached_property
    def resource_version(self) -> str | None:
        """The version that the API server gave it, or None: it was read from a file of somebody's own."""
        version = self._metadata.get("resourceVersion")
        return version if isinstance(version, str) and version else None

    @property
    def annotated(self) -> bool:
        """Whether it has annotations, be there none in them, so that one can be added beside them."""
        return isinstance(self._metadata.get("annotations"), dict)

    @property
    def deleting(self) -> bool:
        return self._metadata.get("deletionTimestamp") is not None

    @property
    def labels(self) -> Field:
        return self.root.get("metadata", "labels")

    @property
    def annotations(self) -> Field:
        return self.root.get("metadata", "annotations")

    def label(self, name: str) -> str | None:
        """The text of a label, or None."""
        return _entry(self._metadata.get("labels"), name)

    def annotation(self, name: str) -> str | None:
        """The text of an annotation, or None."""
        return _entry(self._metadata.get("annotations"), name)

    @property
    def spec(self) -> Field:
        return self.root.get("spec")

    @property
    def status(self) -> Field:
        return self.root.get("status")

    @cached_property
    def owner(self) -> Owner | None:
        """The controlling owner, else the first."""
        references = self._metadata.get("ownerReferences")
        if not references:
            return None
        if type(references) is not list or not all(isinstance(one, dict) for one in references):
            references = [one.mapping() for one in self.root.get("metadata", "ownerReferences").items()]
        if not references:
            return None
        return _owner(next((one for one in references if one.get("controller") is True), references[0]))

    def condition(self, kind: str) -> bool:
        """Whether the status has a condition of this type that is True."""
        return any(
            one.get("type").value == kind and one.get("status").value == "True"
            for one in self.status.get("conditions").items()
        )


def _entry(mapping: object, name: str) -> str | None:
    """A label or annotation as text; a bare true or number of YAML is read as it is written."""
    value = mapping.get(name) if isinstance(mapping, dict) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else None


def _owner(reference: Mapping[str, Any]) -> Owner:
    """What a reference names; one that names nothing leads nowhere, as it does in Kubernetes."""
    kind, name, uid, api = (str(reference.get(key) or "") for key in ("kind", "name", "uid", "apiVersion"))
    return Owner(kind if not api or _is_known(kind, api) else "", name, uid or None)


def _is_known(kind: str, api_version: str) -> bool:
    return api_version.rpartition("/")[0] in GROUPS.get(kind, ())


@dataclass(slots=True)
class Objects:
    """All objects of one cluster, by kind."""

    notes: list[Note] = field(default_factory=list)
    _by_kind: dict[str, list[KubeObject]] = field(default_factory=dict)
    _by_uid: dict[str, KubeObject] = field(default_factory=dict)
    _by_key: dict[str, KubeObject] = field(default_factory=dict)

    def of(self, *kinds: str) -> list[KubeObject]:
        """Objects of these kinds, each kind in order of namespace and name."""
        return [one for kind in kinds for one in self._by_kind.get(kind, ())]

    def named(self, key: str) -> KubeObject | None:
        """The object of a key ``Kind/namespace/name``."""
        return self._by_key.get(key)

    def owner_of(self, one: KubeObject) -> KubeObject | None:
        """The owner that pods are counted under, if the input has it."""
        owner = one.owner
        if owner is None:
            return None
        found = self._by_uid.get(owner.uid) if owner.uid else None
        found = found or self._by_key.get(f"{owner.kind}/{one.namespace}/{owner.name}") or self._implied(one, owner)
        return found if found is not None and found.kind in WORKLOADS and found is not one else None

    def _implied(self, one: KubeObject, owner: Owner) -> KubeObject | None:
        """The owner of an owner that the input lacks, as the labels of a pod tell it."""
        template_hash = one.label("pod-template-hash")
        if owner.kind == "ReplicaSet" and template_hash and owner.name.endswith(f"-{template_hash}"):
            name = owner.name.removesuffix(f"-{template_hash}")
            return self._by_key.get(f"Deployment/{one.namespace}/{name}")
        group = one.label("leaderworkerset.sigs.k8s.io/name")
        if group and owner.kind in ("StatefulSet", "Pod"):
            return self._by_key.get(f"LeaderWorkerSet/{one.namespace}/{group}")
        kind, name = one.label("ray.io/originated-from-crd"), one.label("ray.io/originated-from-cr-name") or ""
        return self._by_key.get(f"{kind}/{one.namespace}/{name}") if kind else None

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
    conflicts = 0
    for document in documents:
        one = _object(document, unknown)
        if one is None:
            continue
        known = objects._by_key.setdefault(one.key, one)
        if known is not one and _canonical(known) != _canonical(one):
            conflicts += 1
            where = _where(known, with_line=conflicts <= _CONFLICTS_WITH_LINES)
            one.root.problem(f"{one.key}, which is told otherwise in {where}", "each object once")
    for key in sorted(objects._by_key):
        one = objects._by_key[key]
        objects._by_kind.setdefault(one.kind, []).append(one)
        if one.uid is not None:
            objects._by_uid[one.uid] = one
    seen = {kind: len(ones) for kind, ones in objects._by_kind.items() if kind in UNCHECKED}
    objects.notes += [_unknown(kind, count) for kind, count in sorted((unknown | seen).items())]
    return objects


def _where(one: KubeObject, *, with_line: bool) -> str:
    """The place of an object, for people."""
    root = one.root
    (line,) = root.source.lines([(root.document, root.steps)]) if with_line else (None,)
    shown = root.source.named(root.document)
    return ":".join(str(part) for part in (shown, line, field_text(root.steps)) if part is not None)


def _unknown(kind: str, count: int) -> Note:
    if kind in UNCHECKED:
        return Note(kind="unchecked-kind", subject=kind, count=count, message=f"{kind}: {UNCHECKED[kind]}")
    message = f"{kind}: {count} objects of this kind are not planned and were left out"
    return Note(kind="unknown-kind", subject=kind, count=count, message=message)


def _canonical(one: KubeObject) -> bytes:
    try:
        return msgspec.json.encode(one.root.value, order="sorted")
    except RecursionError:
        one.root.problem("too deep a nesting", "a flatter object")
        return b""


def _object(document: Document, unknown: dict[str, int]) -> KubeObject | None:
    """The object of a document, or None: its problem is noted, or its kind counted as `unknown`."""
    root = Field.of(document)
    content = document.content
    kind, api = content.get("kind"), content.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        root.get("kind").problem(said(kind), "a kind, as every Kubernetes object has one")
        return None
    if not isinstance(api, str) or not api:
        root.get("apiVersion").problem(said(api), "an apiVersion")
        return None
    if api.startswith("raypipe.io/") and kind != "Fleet" and nearest(kind, ("Fleet",)):
        root.get("kind").problem(said(kind), "Fleet", "Fleet")
        return None
    if not _is_known(kind, api):
        shown = f"{kind} ({api.rpartition('/')[0] or api})" if kind in GROUPS else kind
        shown = shown[:100] if shown.isprintable() else ascii(shown[:100])
        unknown[shown] = unknown.get(shown, 0) + 1
        return None
    return _identified(root, kind)


def _identified(root: Field, kind: str) -> KubeObject | None:
    metadata = root.value.get("metadata")
    if not isinstance(metadata, dict):
        root.get("metadata").problem(said(metadata), "a mapping with a name")
        return None
    name = metadata.get("name") or metadata.get("generateName")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        root.get("metadata", "name").problem(said(name), "a name")
        return None
    namespace = metadata.get("namespace") or "default"
    if not isinstance(namespace, str) or not _NAME.fullmatch(namespace):
        root.get("metadata", "namespace").problem(said(namespace), "a namespace")
        return None
    return KubeObject(kind, "" if kind in CLUSTER_SCOPED else namespace, name, root)
