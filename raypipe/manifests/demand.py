"""From objects to demand: what is wanted, what lives, what is bound, what is left out, what starts together.

Workloads say how many pods of which template they want; pods say how many there are; a `Key` holds both, and its demand
is the difference. Pods are looked at once each and counted at once: what is kept are groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from raypipe.manifests.alternatives import made_cluster_of
from raypipe.manifests.annotations import IGNORE, is_true
from raypipe.manifests.controllers import Template, is_finished_job, job_pods, templates
from raypipe.manifests.eviction import Eviction
from raypipe.manifests.fields import Field
from raypipe.manifests.gangs import gangs_of, pod_group_of
from raypipe.manifests.keys import Key, Keys
from raypipe.manifests.kuberay import KINDS as RAY_KINDS
from raypipe.manifests.kuberay import RayWorkload, finished, is_autoscaled, ray_target, ray_workload
from raypipe.manifests.live import LivePods
from raypipe.manifests.objects import WORKLOADS, KubeObject, Objects
from raypipe.manifests.pods import PodReader, pod_reader
from raypipe.manifests.requested import Sets
from raypipe.model.alternatives import Alternatives
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

HOST_NETWORK_TOLERATION = Toleration(key="node.kubernetes.io/network-unavailable", operator="Exists")
"""… and to those on the host's network."""

EXCLUDED = {
    "suspended": 'suspended by a person or a queue; raypipe.io/admit: "true" makes it demand',
    "gated": "has scheduling gates",
    "ignored": "an annotation says to ignore it",
    "not-managed": "setting manage: labelled, and it has none of the labels",
    "cron": "a CronJob without an active Job",
    "expendable": "its priority is below the setting expendable_below_priority",
}
"""Why pods are seen and not planned."""


@dataclass(slots=True, kw_only=True)
class Demand:
    """The result, in model values, each list in order."""

    groups: list[PodGroup] = field(default_factory=list)
    bound: list[BoundPods] = field(default_factory=list)
    daemonsets: list[DaemonSet] = field(default_factory=list)
    gangs: list[Gang] = field(default_factory=list)
    ray_objects: list[RayObject] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)
    excluded: list[Excluded] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def demand_of(objects: Objects, settings: Settings) -> Demand:
    """Count everything; problems are noted in the sources of the objects."""
    reader, left_out = pod_reader(objects), Counter[tuple[str, str]]()
    keys = Keys(objects, reader.selected)
    demand = Demand()
    ray = workloads_of(objects, reader, keys, settings, demand)
    _cron_jobs(objects, reader, left_out)
    eviction = Eviction(objects, move_local_storage=settings.move_local_storage)
    live = LivePods(objects, reader, keys, lambda pod, spec: why_left_out(pod, spec, settings), eviction)
    live.count_all(left_out)
    for one, workload in ray:
        for name in workload.marks:  # what a set of worker groups wants is its work, and no more pods than do that
            keys.of_owner(name, one).drop_surplus()
    demand.daemonsets = [read_daemonset(one, reader) for one in objects.of("DaemonSet") if not one.deleting]
    for key in keys:
        demand.groups += _groups(key, keys, left_out)
    demand.groups.sort(key=lambda group: group.key)
    demand.bound = live.bound()
    demand.gangs, demand.ray_objects = gangs_of(objects, ray, demand.groups, keys)
    for one, workload in ray:
        if workload.marks:
            demand.alternatives += _alternatives(one, workload, objects, keys, demand)
    demand.alternatives.sort(key=lambda one: one.key)
    demand.excluded = [
        Excluded(pods=name, count=count, reason=reason, message=EXCLUDED[reason])
        for (name, reason), count in sorted(left_out.items())
        if count > 0
    ]
    demand.notes += _notes(objects, reader, demand)
    return demand


def workloads_of(
    objects: Objects, reader: PodReader, keys: Keys, settings: Settings, demand: Demand
) -> list[tuple[KubeObject, RayWorkload]]:
    """Note what is wanted in the keys; the Ray objects with what they want."""
    ray: list[tuple[KubeObject, RayWorkload]] = []
    for one in objects.of(*sorted(WORKLOADS - {"Pod", "DaemonSet"})):
        if objects.owner_of(one) is not None or one.deleting or finished(one):
            continue
        wanted: Iterable[Template]
        if one.kind in RAY_KINDS:
            workload = ray_workload(one, reader, made_cluster_of(one, objects))
            ray.append((one, workload))
            wanted = workload.templates
            demand.notes += [Note(kind="unusual", subject=one.key, message=text) for text in workload.oddities]
        else:
            wanted = templates(one, reader)
        for template in wanted:
            key = keys.of_owner(template.key, one)
            key.template, key.wanted, key.own = template.spec, template.wanted, dict(template.own)
            key.closed = template.held or why_left_out(template.raw, template.spec, settings)
            key.gang = _gang_of(one, template)
        if one.kind in RAY_KINDS:
            for name in workload.marks:
                keys.of_owner(name, one).members = {}
    return ray


def _alternatives(
    one: KubeObject, workload: RayWorkload, objects: Objects, keys: Keys, demand: Demand
) -> list[Alternatives]:
    """The sets of worker groups of a Ray object."""
    written_in = made_cluster_of(one, objects) or one
    sets = Sets(
        owner=one,
        written_in=written_in,
        target=ray_target(written_in, objects),
        autoscaling=is_autoscaled(written_in),
        marks=workload.marks,
        notes=demand.notes,
    )
    return sets.read(keys)


def _gang_of(one: KubeObject, template: Template) -> str | None:
    """The gang that pods of the template begin with: their Ray object's or LeaderWorkerSet's, or the PodGroup named."""
    if one.kind in (*RAY_KINDS, "LeaderWorkerSet"):
        return one.key
    name = pod_group_of(template.raw)
    return f"PodGroup/{one.namespace}/{name}" if name is not None else None


def why_left_out(pod: Field, spec: PodSpec, settings: Settings) -> str | None:
    """Why a pod or a template's pods are not planned, as far as they say it themselves."""
    reason = left_out(pod, settings)
    if reason is None and pod.plain("spec", "schedulingGates") and pod.get("spec", "schedulingGates").items():
        reason = "gated"
    if reason is None and spec.priority < settings.expendable_below_priority:
        reason = "expendable"
    return reason


def left_out(pod: Field, settings: Settings) -> str | None:
    """Why a pod is not planned (L1): ignore wins; with `manage: labelled` a label or an annotation is needed."""
    labels, annotations = pod.plain("metadata", "labels"), pod.plain("metadata", "annotations")
    if annotations and is_true(annotations, IGNORE):
        return "ignored"
    if settings.manage == "all":
        return None
    managed = _has_one(labels, settings.managed_labels) or _has_one(annotations, settings.managed_annotations)
    return None if managed else "not-managed"


def _has_one(present: object, wanted: Iterable[str]) -> bool:
    if not isinstance(present, dict) or not isinstance(wanted, dict):
        return False
    return any(str(present.get(key, "")).lower() == value.lower() for key, value in wanted.items())


def read_daemonset(one: KubeObject, reader: PodReader) -> DaemonSet:
    template = one.spec.get("template")
    spec = reader.spec(template, one.namespace)
    added = DAEMONSET_TOLERATIONS
    if template.get("spec", "hostNetwork").boolean():
        added = (*added, HOST_NETWORK_TOLERATION)
    return DaemonSet(key=one.key, spec=replace(spec, tolerations=(*spec.tolerations, *added)))


def _cron_jobs(objects: Objects, reader: PodReader, left_out: Counter[tuple[str, str]]) -> None:
    """A CronJob's pods are those of its active Jobs; without one it is left out."""
    active = {
        (job.namespace, job.owner.name)
        for job in objects.of("Job")
        if job.owner is not None and job.owner.kind == "CronJob" and not (job.deleting or is_finished_job(job))
    }
    for one in objects.of("CronJob"):
        spec = one.spec.get("jobTemplate", "spec")
        reader.spec(spec.get("template"), one.namespace)  # what is wrong in it is told before it first runs
        if not one.deleting and (one.namespace, one.name) not in active:
            left_out[one.key, "cron"] += job_pods(spec)


def _groups(key: Key, keys: Keys, left_out: Counter[tuple[str, str]]) -> list[PodGroup]:
    """The demand of a key, a group a shape."""
    counts: dict[str, tuple[PodSpec, int]] = {}
    for mark, count in key.unbound.items():
        spec = keys.spec(mark)
        name = keys.spelt(key, spec)
        first, before = counts.get(name, (spec, 0))
        counts[name] = (first, before + count)
    if key.missing and key.closed is not None:
        left_out[key.key, key.closed] += key.missing
    elif key.missing and key.template is not None:
        counts[key.key] = (key.template, counts.get(key.key, (key.template, 0))[1] + key.missing)
    return [
        PodGroup(key=name, spec=spec, count=count, gang=key.gang, created=key.created, owner=key.owner)
        for name, (spec, count) in counts.items()
        if count > 0
    ]


def _notes(objects: Objects, reader: PodReader, demand: Demand) -> list[Note]:
    notes = []
    for name in sorted(reader.unknown_classes):
        message = f"{name}: a PriorityClass that the input does not have; priority 0 is taken"
        notes.append(Note(kind="unknown-priority-class", subject=name, message=message))
    for key in sorted(reader.late_label_keys):
        message = (
            f"matchLabelKeys: {key} is known once a pod exists: pods of all its values are meant, which is stricter"
        )
        notes.append(Note(kind="late-label-key", subject=key, message=message))
    known = {one.key for one in objects.of("PodGroup")}
    for gang in sorted({group.gang or "" for group in demand.groups}):
        if gang.startswith("PodGroup/") and gang not in known:
            message = f"{gang}: pods name it, and the input does not have it; they are placed one by one"
            notes.append(Note(kind="unknown-pod-group", subject=gang, message=message))
    return notes
