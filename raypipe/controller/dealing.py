"""Which live pods each node of a plan is for: the plan says how many of a key, here they get their uids.

Dealt in plan order, pods of a key by age, nodes that exist first: the scheduler sees those at once. What a plan counts
beyond the pods that live stays a count, for pods still to be created.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raypipe.manifests.live import LivePod
from raypipe.model.meant import Meant
from raypipe.model.plan import ClusterPlan, PlannedNode


def dealt(plan: ClusterPlan, pods: Sequence[LivePod]) -> dict[str, dict[str, Meant]]:
    """For each node that gets pods, by its name: which of each key; `pods`: those that want a place, in order."""
    left: dict[str, list[str]] = {}
    for pod in pods:
        left.setdefault(pod.key, []).append(pod.uid)
    order = sorted((node for node in plan.nodes if node.added), key=lambda node: (not node.existing, node.name))
    return {node.name: _taken(node, left) for node in order}


def _taken(node: PlannedNode, left: Mapping[str, list[str]]) -> dict[str, Meant]:
    taken: dict[str, Meant] = {}
    for key, count in node.added.items():
        uids = left.get(key, [])
        mine = tuple(uids[:count])
        del uids[:count]
        taken[key] = Meant(uids=mine, count=count - len(mine))
    return taken
