"""Gangs: pods that are placed together or not at all at first admission.

A Ray object's gang is its own (`kuberay`), a LeaderWorkerSet has one a group, and users and queues declare PodGroups
(`scheduling.x-k8s.io`, `scheduling.run.ai`): `minMember` of the pods that name the group, by label or annotation,
filled in the order of keys. Once a member is bound, growth goes pod by pod: such a gang has no copies left to admit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from raypipe.manifests.controllers import leader_worker_size
from raypipe.manifests.fields import Field
from raypipe.manifests.keys import Keys
from raypipe.manifests.kuberay import RayWorkload, ray_object
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.model.pods import PodGroup
from raypipe.model.workloads import Gang, RayObject

MOST_MEMBERS = 10_000_000
_NAMING = (
    "scheduling.x-k8s.io/pod-group",
    "pod-group.scheduling.sigs.k8s.io",
    "pod-group.scheduling.sigs.k8s.io/name",
    "scheduling.run.ai/pod-group",
    "pod-group-name",
)


def pod_group_of(pod: Field) -> str | None:
    """The PodGroup that a pod or template names, or None."""
    for part in ("labels", "annotations"):
        found = pod.plain("metadata", part)
        if isinstance(found, dict):
            for name in _NAMING:
                if isinstance(found.get(name), str):
                    return str(found[name])
    return None


def gangs_of(
    objects: Objects, ray: Iterable[tuple[KubeObject, RayWorkload]], groups: Sequence[PodGroup], keys: Keys
) -> tuple[list[Gang], list[RayObject]]:
    """All gangs by name, and the Ray objects that have no pods to place and so make none."""
    by_gang: dict[str, list[PodGroup]] = {}
    for group in groups:
        if group.gang is not None:
            by_gang.setdefault(group.gang, []).append(group)
    running = {name for key in keys if key.bound for name in (key.owner, key.gang) if name is not None}
    gangs, alone = [], []
    for one, workload in ray:
        gang = _ray_gang(one, workload.gang, by_gang.get(one.key, ()), one.key in running)
        if isinstance(gang, Gang):
            gangs.append(gang)
        else:
            alone.append(gang)
    for one in objects.of("LeaderWorkerSet"):
        gangs += _leader_worker_gang(one, by_gang.get(one.key, ()))
    for one in objects.of("PodGroup"):
        members = by_gang.get(one.key, ())
        minimum = _filled(members, one.spec.get("minMember").integer(1, high=MOST_MEMBERS))
        if minimum:
            gangs.append(_gang(one, minimum, 0 if one.key in running else 1, members))
    gangs.sort(key=lambda gang: gang.name)
    return gangs, sorted(alone, key=lambda one: (one.kind, one.namespace, one.name))


def _filled(members: Iterable[PodGroup], count: int) -> dict[str, int]:
    """`count` pods of the groups in order of key, by key."""
    minimum: dict[str, int] = {}
    for group in members:
        taken = min(count, group.count)
        count -= taken
        if taken:
            minimum[group.key] = taken
    return minimum


def _gang(
    one: KubeObject, minimum: Mapping[str, int], copies: int, members: Iterable[PodGroup], ray: RayObject | None = None
) -> Gang:
    priority = max((group.spec.priority for group in members if group.key in minimum), default=0)
    made = dict(sorted(minimum.items()))
    return Gang(name=one.key, minimum=made, copies=copies, priority=priority, created=one.created, ray=ray)


def _ray_gang(
    one: KubeObject, together: Mapping[str, int], members: Sequence[PodGroup], running: bool
) -> Gang | RayObject:
    """The gang of a Ray object, with pods of another shape than their template's counted in; else the object alone."""
    ray = ray_object(one, running=running)
    minimum: dict[str, int] = {}
    for key, count in together.items():
        minimum |= _filled((group for group in members if group.key.partition("@")[0] == key), count)
    if ray.suspended and not minimum:
        return ray
    started = running or not minimum
    return _gang(one, {} if running else minimum, 0 if started else 1, members, ray)


def _leader_worker_gang(one: KubeObject, members: Sequence[PodGroup]) -> list[Gang]:
    """A gang of a leader and its workers, as often as a whole one is still to be placed.

    Pods may have another shape than their template (admission adds tolerations, say). A gang has one mix of shapes: the
    one that most groups can have.
    """
    _, size = leader_worker_size(one)
    left = {group.key: group.count for group in members}
    mixes: Counter[tuple[tuple[str, int], ...]] = Counter()
    while (mix := _mix(one, left, size)) is not None:
        times = min(left[key] // count for key, count in mix)
        mixes[mix] += times
        left = {key: count - times * dict(mix).get(key, 0) for key, count in left.items()}
    return [_gang(one, dict(mix), times, members) for mix, times in mixes.most_common(1)]


def _mix(one: KubeObject, left: Mapping[str, int], size: int) -> tuple[tuple[str, int], ...] | None:
    """The pods of one group, shapes in order of key; None where no whole group is left."""
    mix: dict[str, int] = {}
    for part, missing in (("leader", 1), ("worker", size - 1)):
        for key in sorted(left):
            if key.partition("@")[0] == f"{one.key}/{part}" and (taken := min(missing, left[key])):
                mix[key] = taken
                missing -= taken
        if missing:
            return None
    return tuple(mix.items())
