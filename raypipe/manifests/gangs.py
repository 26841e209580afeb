"""PodGroups: gangs that users and queues declare (`scheduling.x-k8s.io`, `scheduling.run.ai`).

A pod names its group by label or annotation. `minMember` of the group's pods are placed together; where the group has
pods of several keys, the minimum is filled in the order of keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject
from raypipe.model.pods import PodGroup
from raypipe.model.workloads import Gang

POD_GROUP_KINDS = ("PodGroup",)
_NAMING = (
    "scheduling.x-k8s.io/pod-group",
    "pod-group.scheduling.sigs.k8s.io",
    "pod-group.scheduling.sigs.k8s.io/name",
    "scheduling.run.ai/pod-group",
    "pod-group-name",
)


def pod_group_of(template: Field) -> str | None:
    """The PodGroup that a pod or template names, or None."""
    for part in ("labels", "annotations"):
        found = template.get("metadata", part).value
        if isinstance(found, dict):
            for name in _NAMING:
                if isinstance(found.get(name), str):
                    return str(found[name])
    return None


def pod_group_gangs(
    groups: Iterable[KubeObject], pods: Sequence[PodGroup], started: Collection[str | None]
) -> list[Gang]:
    """A gang for each PodGroup that has pods; one of which pods are bound already only grows."""
    gangs = []
    for one in groups:
        members = sorted((pod for pod in pods if pod.gang == one.key), key=lambda pod: pod.key)
        if not members:
            continue
        left = one.spec.get("minMember").integer(1, high=10_000_000)
        minimum: dict[str, int] = {}
        for pod in members:
            taken = min(left, pod.count)
            left -= taken
            if taken:
                minimum[pod.key] = taken
        gangs.append(
            Gang(
                name=one.key,
                minimum=minimum,
                copies=0 if one.key in started else 1,
                priority=max(pod.spec.priority for pod in members),
                created=one.created,
            )
        )
    return gangs
