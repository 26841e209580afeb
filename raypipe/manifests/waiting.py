"""Which live pods wait for a place, under the keys that plans count them by.

A plan says "3 of Deployment/shop/web"; whoever tells a person about it, or looks for the pods themselves, needs their
names. Shapes (``@`` and digits after a key) are not told apart here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.manifests.keys import Keys
from raypipe.manifests.objects import WORKLOADS, KubeObject, collect
from raypipe.manifests.origins import LiveSource, Observed


def waiting_pods(seen: Observed) -> dict[str, tuple[KubeObject, ...]]:
    """The pods that are neither bound nor being deleted, by key, each key's in order of namespace and name."""
    objects = collect(LiveSource(seen.context, [one for one in seen.objects if _matters(one)]).documents())
    keys = Keys(objects, selected=frozenset())
    found: dict[str, list[KubeObject]] = {}
    for pod in objects.of("Pod"):
        if not pod.root.plain("spec", "nodeName") and not pod.deleting:
            found.setdefault(keys.of_pod(pod, objects.topmost(pod)).key, []).append(pod)
    return {key: tuple(pods) for key, pods in sorted(found.items())}


def _matters(one: Mapping[str, Any]) -> bool:
    """Whether it waits, or may own what does; of a leader's group the pods that run own those that wait."""
    if one.get("kind") != "Pod":
        return one.get("kind") in WORKLOADS
    spec = one.get("spec")
    return not isinstance(spec, Mapping) or not spec.get("nodeName") or _leads(one)


def _leads(pod: Mapping[str, Any]) -> bool:
    metadata = pod.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return isinstance(labels, Mapping) and "leaderworkerset.sigs.k8s.io/name" in labels
