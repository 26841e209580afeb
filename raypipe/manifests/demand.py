"""From objects to demand: what is wanted, what lives, what is bound, what is left out, what starts together.

Demand of a key = its live unbound pods + max(0, wanted - live pods). Every pod counts under one key, that of its
topmost owner. Pods are looked at once each and counted at once: what is kept are groups.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec

from raypipe.manifests.annotations import IGNORE, is_true
from raypipe.manifests.controllers import Template, job_pods, leader_worker_size, templates
from raypipe.manifests.fields import Field
from raypipe.manifests.gangs import POD_GROUP_KINDS, pod_group_gangs, pod_group_of
from raypipe.manifests.kuberay import KINDS as RAY_KINDS
from raypipe.manifests.kuberay import finished, ray_object, ray_workload
from raypipe.manifests.objects import WORKLOADS, KubeObject, Objects
from raypipe.manifests.pods import PodReader, alike
from raypipe.model.plan import Excluded, Note
from raypipe.model.pods import BoundPods, DaemonSet, PodGroup, PodSpec
from raypipe.model.requirements import Toleration
from raypipe.model.workloads import Gang, RayObject
from raypipe.settings import Settings

DAEMONSET_TOLERATIONS = tuple(
    Toleration(key=f"node.kubernetes.io/{name}", operator="Exists")
    for name in ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
)
"""What the DaemonSet controller adds to every pod of a DaemonSet."""

ON_THE_WAY = "raypipe.io/pods"
NO_TEMPLATE = PodSpec()


@dataclass(slots=True)
class Key:
    """What is known of one key while pods are counted.

    Attributes:
        template: as its owner has it, or None for pods without one. wanted: how many. created: of the topmost owner.
        live: live pods. unbound: of them those to be placed, by specification. held: why none are wanted now, or None.
        gang: the gang that its first pods belong to.
    """

    key: str
    owner: str
    template: PodSpec | None = None
    wanted: int = 0
    held: str | None = None
    created: str | None = None
    gang: str | None = None
    live: int = 0
    bound: int = 0
    unbound: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True)
class Demand:
    """The result, in model values."""

    groups: list[PodGroup] = field(default_factory=list)
    bound: list[BoundPods] = field(default_factory=list)
    daemonsets: list[DaemonSet] = field(default_factory=list)
    gangs: list[Gang] = field(default_factory=list)
    ray_objects: list[RayObject] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def demand_of(objects: Objects, settings: Settings) -> Demand:
    """Count everything; problems are noted in the sources of the objects."""
    return _Count(objects, settings).result()


class _Count:
    """One pass over workloads, then over pods, then the sums."""

    def __init__(self, objects: Objects, settings: Settings) -> None:
        self._objects = objects
        self._settings = settings
        self._reader = _pod_reader(objects)
        self._keys: dict[str, Key] = {}
        self._specs: dict[int, PodSpec] = {}
        self._bound: Counter[tuple[str, str, int, bool, str | None, str | None]] = Counter()
        self._excluded: Counter[tuple[str, str]] = Counter()
        self._ray: list[tuple[KubeObject, dict[str, int]]] = []
        self._pod_groups: dict[str, list[str]] = {}
        self._demand = Demand()

    def result(self) -> Demand:
        for one in self._objects.of(*sorted(WORKLOADS - {"Pod", "DaemonSet"})):
            if self._objects.owner_of(one) is None:
                self._wants(one)
        for one in self._objects.of("DaemonSet"):
            self._daemonset(one)
        for one in self._objects.of("CronJob"):
            self._cron(one)
        for one in self._objects.of("Pod"):
            self._pod(one)
        self._on_the_way()
        self._groups()
        self._gangs()
        self._sort()
        return self._demand

    # what is wanted

    def _wants(self, one: KubeObject) -> None:
        if one.deleting or finished(one):
            return
        gang: dict[str, int] = {}
        if one.kind in RAY_KINDS:
            workload = ray_workload(one, self._reader, self._suspended(one))
            wanted: Iterable[Template] = workload.templates
            gang = workload.gang
            self._demand.notes += [
                Note(kind="unusual", subject=one.key, message=oddity) for oddity in workload.oddities
            ]
            self._ray.append((one, gang))
        else:
            wanted = templates(one, self._reader)
        for template in wanted:
            key = self._key(template.key, one)
            key.template, key.wanted, key.held = template.spec, template.wanted, template.held
            key.gang = one.key if one.kind in (*RAY_KINDS, "LeaderWorkerSet") else None
            self._in_pod_group(key, one)

    def _suspended(self, one: KubeObject) -> str | None:
        """Suspended by a person or a queue, and not to be admitted: not wanted now."""
        ray = ray_object(one, running=False)
        return "suspended" if ray.suspended and ray.suspended_by is None and not ray.admit else None

    def _in_pod_group(self, key: Key, one: KubeObject) -> None:
        """Note which PodGroup the template names."""
        if one.kind in RAY_KINDS or one.kind == "LeaderWorkerSet":
            return
        name = pod_group_of(one.spec.get("template"))
        if name is not None:
            key.gang = f"PodGroup/{one.namespace}/{name}"

    def _key(self, name: str, owner: KubeObject) -> Key:
        known = self._keys.get(name)
        if known is None:
            known = self._keys[name] = Key(key=name, owner=owner.key, created=owner.created)
        return known

    def _daemonset(self, one: KubeObject) -> None:
        if one.deleting:
            return
        spec = self._reader.spec(one.spec.get("template"), one.namespace)
        spec = replace(spec, tolerations=(*spec.tolerations, *DAEMONSET_TOLERATIONS))
        self._demand.daemonsets.append(DaemonSet(key=one.key, spec=spec))

    def _cron(self, one: KubeObject) -> None:
        active = any(
            (job.owner is not None and job.owner.kind == "CronJob" and job.owner.name == one.name)
            and job.namespace == one.namespace
            for job in self._objects.of("Job")
        )
        if not active:
            count = job_pods(one.spec.get("jobTemplate", "spec"), Field(None, one.root.source, 0, ()))
            self._excluded[one.key, "cron"] += count

    # what lives

    def _pod(self, one: KubeObject) -> None:
        phase = one.status.get("phase").value if isinstance(one.root.value.get("status"), dict) else None
        if phase in ("Succeeded", "Failed"):
            return
        node = one.spec.get("nodeName").value
        node = node if isinstance(node, str) and node else None
        spec = self._reader.spec(one.root, one.namespace)
        self._specs[id(spec)] = spec
        top = self._objects.topmost(one)
        if top is one and one.owner is not None and one.owner.kind == "Node":
            if node is not None:
                self._bind(node, f"Pod/{one.namespace}/{one.name}", spec, counted=False)
            return
        if top.kind == "DaemonSet" or (top is one and one.owner is not None and one.owner.kind == "DaemonSet"):
            name = top.key if top is not one else f"DaemonSet/{one.namespace}/{one.owner.name if one.owner else ''}"
            if node is not None:
                self._bind(node, name, spec, counted=False, daemonset=name)
            return
        key = self._pod_key(one, top)
        if one.deleting:
            if node is not None:
                self._bind(node, key.key, spec, counted=False)
            return
        self._alive(one, key, spec, node)

    def _alive(self, one: KubeObject, key: Key, spec: PodSpec, node: str | None) -> None:
        key.live += 1
        if key.template is None:  # without an owner that says it, the first pod stands for the key
            key.template = spec
        reason = self._left_out(one)
        if node is not None:
            key.bound += 1
            self._bind(
                node,
                self._spelt(key, spec),
                spec,
                counted=reason not in ("ignored", "not-managed"),
                created=key.created,
            )
        elif one.spec.get("schedulingGates").items():
            self._excluded[self._spelt(key, spec), "gated"] += 1
        elif reason is not None:
            self._excluded[self._spelt(key, spec), reason] += 1
        elif spec.priority < self._settings.expendable_below_priority:
            self._excluded[self._spelt(key, spec), "expendable"] += 1
        else:
            key.unbound[id(spec)] += 1

    def _left_out(self, one: KubeObject) -> str | None:
        return left_out(one.labels, one.annotations, self._settings)

    def _bind(
        self,
        node: str,
        key: str,
        spec: PodSpec,
        *,
        counted: bool,
        daemonset: str | None = None,
        created: str | None = None,
    ) -> None:
        self._specs[id(spec)] = spec
        self._bound[node, key, id(spec), counted, daemonset, created] += 1

    def _pod_key(self, one: KubeObject, top: KubeObject) -> Key:
        """The key that a pod counts under."""
        labels = one.root.value["metadata"].get("labels")
        labels = labels if isinstance(labels, dict) else {}
        base, owner = top.key, top
        if top is one and one.owner is not None and one.owner.kind in WORKLOADS:
            base = f"{one.owner.kind}/{one.namespace}/{one.owner.name}"
        kind = base.partition("/")[0]
        if kind in RAY_KINDS:
            base += _ray_part(labels)
        elif kind == "LeaderWorkerSet":
            base += "/leader" if str(labels.get("leaderworkerset.sigs.k8s.io/worker-index", "")) == "0" else "/worker"
        key = self._key(base, owner)
        if kind == "Pod" and key.gang is None:
            name = pod_group_of(one.root)
            key.gang = f"PodGroup/{one.namespace}/{name}" if name is not None else None
        return key

    def _spelt(self, key: Key, spec: PodSpec) -> str:
        """The key, with the digest of the shape where it is another than the template's."""
        if key.template is None or alike(key.template, spec):
            return key.key
        return f"{key.key}@{_shape(spec)}"

    # the sums

    def _on_the_way(self) -> None:
        """Nodes bought whose pods are not bound yet: these pods have their place there."""
        for node in self._objects.of("Node"):
            note = node.annotations.get(ON_THE_WAY)
            if note.value is None:
                continue
            try:
                planned = msgspec.json.decode(note.text(), type=dict[str, int])
            except msgspec.DecodeError:
                note.problem(repr(note.value)[:60], "a JSON mapping of key to count")
                continue
            for name, count in sorted(planned.items()):
                key = self._keys.get(name)
                if key is None or key.template is None or key.held is not None:
                    continue
                there = sum(n for mark, n in self._bound.items() if mark[0] == node.name and mark[1] == name)
                missing = min(count - there, self._open(key))
                if missing > 0:
                    self._specs[id(key.template)] = key.template
                    self._bound[node.name, name, id(key.template), True, None, key.created] += missing
                    key.live += missing
                    self._give_up(key, missing)

    def _open(self, key: Key) -> int:
        return sum(key.unbound.values()) + max(0, key.wanted - key.live)

    def _give_up(self, key: Key, count: int) -> None:
        """Take pods that have a place on their way out of the unbound ones; those are live already."""
        for mark in sorted(key.unbound):
            taken = min(count, key.unbound[mark])
            key.unbound[mark] -= taken
            key.live -= taken
            count -= taken

    def _groups(self) -> None:
        for name in sorted(self._keys):
            key = self._keys[name]
            missing = max(0, key.wanted - key.live)
            if key.held is not None:
                if missing:
                    self._excluded[name, key.held] += missing
                missing = 0
            counts: Counter[tuple[str, int]] = Counter()
            for mark, count in key.unbound.items():
                counts[self._spelt(key, self._specs[mark]), mark] += count
            if missing and key.template is not None:
                self._add_missing(key, missing, counts)
            merged: dict[str, tuple[PodSpec, int]] = {}
            for (spelt, mark), count in sorted(counts.items(), key=lambda entry: entry[0][0]):
                if count > 0:
                    spec, before = merged.get(spelt, (self._specs[mark], 0))
                    merged[spelt] = (spec, before + count)
            for spelt, (spec, count) in merged.items():
                gang = key.gang if spelt == name else None
                self._demand.groups.append(
                    PodGroup(key=spelt, spec=spec, count=count, gang=gang, created=key.created, owner=key.owner)
                )

    def _add_missing(self, key: Key, missing: int, counts: Counter[tuple[str, int]]) -> None:
        """Pods still to be created: by the template, unless that is left out."""
        spec = key.template
        if spec is None:
            return
        reason = self._template_left_out(key)
        if reason is not None:
            self._excluded[key.key, reason] += missing
        elif spec.priority < self._settings.expendable_below_priority:
            self._excluded[key.key, "expendable"] += missing
        else:
            self._specs[id(spec)] = spec
            counts[key.key, id(spec)] += missing

    def _template_left_out(self, key: Key) -> str | None:
        template = self._template_of(key)
        if template is None:
            return None
        gates = template.get("spec", "schedulingGates").items()
        reason = left_out(template.get("metadata", "labels"), template.get("metadata", "annotations"), self._settings)
        return reason or ("gated" if gates else None)

    def _template_of(self, key: Key) -> Field | None:
        """The raw template behind a key."""
        one = self._objects._by_key.get(key.owner)
        if one is None:
            return None
        if one.kind in RAY_KINDS:
            return _ray_template(one, key.key)
        if one.kind == "LeaderWorkerSet":
            part = "leaderTemplate" if key.key.endswith("/leader") else "workerTemplate"
            found = one.spec.get("leaderWorkerTemplate", part)
            return found if found.value is not None else one.spec.get("leaderWorkerTemplate", "workerTemplate")
        return one.spec.get("template")

    # what starts together

    def _gangs(self) -> None:
        groups = {group.key: group for group in self._demand.groups}
        for one, minimum in self._ray:
            running = any(key.bound for key in self._keys.values() if key.owner == one.key)
            ray = ray_object(one, running=running)
            left = {name: min(count, groups[name].count) for name, count in minimum.items() if name in groups}
            if ray.suspended and not left:
                self._demand.ray_objects.append(ray)
                continue
            self._gang(one.key, {} if running else left, 0 if running or not left else 1, one.created, groups, ray)
        for one in self._objects.of("LeaderWorkerSet"):
            self._leader_worker_gang(one, groups)
        bound = {key.gang for key in self._keys.values() if key.bound and key.gang is not None}
        self._demand.gangs += pod_group_gangs(self._objects.of(*POD_GROUP_KINDS), self._demand.groups, bound)

    def _leader_worker_gang(self, one: KubeObject, groups: dict[str, PodGroup]) -> None:
        leader, worker = f"{one.key}/leader", f"{one.key}/worker"
        if leader not in groups or one.deleting:
            return
        _, size = leader_worker_size(one)
        minimum = {leader: 1} | ({worker: size - 1} if size > 1 else {})
        copies = groups[leader].count
        if size > 1:
            copies = min(copies, groups[worker].count // (size - 1) if worker in groups else 0)
        self._gang(one.key, minimum, copies, one.created, groups, None)

    def _gang(
        self,
        name: str,
        minimum: dict[str, int],
        copies: int,
        created: str | None,
        groups: dict[str, PodGroup],
        ray: RayObject | None,
    ) -> None:
        priority = max((groups[key].spec.priority for key in minimum if key in groups), default=0)
        gang = Gang(
            name=name, minimum=dict(sorted(minimum.items())), copies=copies, priority=priority, created=created, ray=ray
        )
        self._demand.gangs.append(gang)

    def _sort(self) -> None:
        result = self._demand
        for (node, key, mark, counted, daemonset, created), count in self._bound.items():
            result.bound.append(
                BoundPods(
                    node=node,
                    key=key,
                    spec=self._specs[mark],
                    count=count,
                    counted=counted,
                    daemonset=daemonset,
                    created=created,
                )
            )
        result.bound.sort(
            key=lambda one: (
                one.node,
                one.key,
                one.counted,
                one.created or "",
                msgspec.json.encode(one.spec, order="sorted"),
            )
        )
        result.excluded = [
            Excluded(pods=key, count=count, reason=reason, message=_EXCLUDED[reason])
            for (key, reason), count in sorted(self._excluded.items())
            if count > 0
        ]
        result.groups.sort(key=lambda one: one.key)
        result.gangs.sort(key=lambda one: one.name)
        result.daemonsets.sort(key=lambda one: one.key)
        result.ray_objects.sort(key=lambda one: (one.kind, one.namespace, one.name))
        for name in sorted(self._reader.unknown_classes):
            message = f"{name}: a PriorityClass that the input does not have; priority 0 is taken"
            result.notes.append(Note(kind="unknown-priority-class", subject=name, message=message))


_EXCLUDED = {
    "suspended": 'suspended by a person or a queue; raypipe.io/admit: "true" makes it demand',
    "gated": "has scheduling gates",
    "ignored": "an annotation says to ignore it",
    "not-managed": "setting manage: labelled, and it has none of the labels",
    "cron": "a CronJob without an active Job",
    "expendable": "its priority is below the setting expendable_below_priority",
}


def left_out(labels: Field, annotations: Field, settings: Settings) -> str | None:
    """Why a pod is not planned (L1): ignore wins; with `manage: labelled` a label or an annotation is needed."""
    if is_true(annotations, IGNORE):
        return "ignored"
    if settings.manage == "all":
        return None
    has = labels.value if isinstance(labels.value, dict) else {}
    notes = annotations.value if isinstance(annotations.value, dict) else {}
    managed = any(str(has.get(key, "")).lower() == value.lower() for key, value in settings.managed_labels.items())
    managed |= any(str(notes.get(key, "")) == value for key, value in settings.managed_annotations.items())
    return None if managed else "not-managed"


def _pod_reader(objects: Objects) -> PodReader:
    priorities: dict[str, int] = {}
    default = 0
    for one in objects.of("PriorityClass"):
        value = one.root.get("value").integer(0, low=-(2**31))
        priorities[one.name] = value
        if one.root.get("globalDefault").boolean():
            default = value
    return PodReader(priorities=priorities, default_priority=default)


def _ray_part(labels: dict[str, object]) -> str:
    node_type = labels.get("ray.io/node-type")
    if node_type == "head":
        return "/head"
    if node_type == "worker":
        return f"/worker/{labels.get('ray.io/group', '')}"
    return "/submitter"


def _ray_template(one: KubeObject, key: str) -> Field | None:
    spec = {"RayJob": one.spec.get("rayClusterSpec"), "RayService": one.spec.get("rayClusterConfig")}.get(
        one.kind, one.spec
    )
    if key.endswith("/head"):
        return spec.get("headGroupSpec", "template")
    if key.endswith("/submitter"):
        return one.spec.get("submitterPodTemplate")
    name = key.rpartition("/worker/")[2]
    for group in spec.get("workerGroupSpecs").items():
        if group.get("groupName").value == name:
            return group.get("template")
    return None


def _shape(spec: PodSpec) -> str:
    """8 hex digits of what a plan sees of the spec."""
    return hashlib.sha256(msgspec.json.encode(replace(spec, labels={}), order="sorted")).hexdigest()[:8]
