"""Nodes that are under-used, by requests: the rule of clusters that are not packed jointly.

A node that pods share (`packing: shared`) is under-used where its pods request less than 20 % of its cpu **or** of its
memory, a node that one pod has to itself where that pod requests less than 75 % of either: such a node was chosen for
that pod alone. DaemonSets do not count, because they come with every node; nor do pods that are ending. An empty node
is not under-used but empty.
"""

from __future__ import annotations

from collections.abc import Sequence

from raypipe.model.nodes import Node
from raypipe.model.pods import BoundPods, PodSpec
from raypipe.model.resources import CPU, MEMORY, Resources
from raypipe.model.snapshot import ClusterSnapshot


def is_large(spec: PodSpec, dedicated_from: Resources) -> bool:
    """Whether a pod gets a node of its own with `packing: shared`."""
    if spec.wants_gpu or spec.instance_annotation:
        return True
    return any(spec.requests.get(name, 0) >= amount for name, amount in dedicated_from.items())


def is_under_used(node: Node, pods: Sequence[BoundPods], cluster: ClusterSnapshot) -> bool:
    """Whether its pods request less of its cpu or memory than the cluster's packing asks for."""
    running = [one for one in pods if one.daemonset is None and not one.terminating]
    if cluster.packing == "joint" or not any(one.counted for one in running):
        return False
    settings = cluster.settings
    alone = cluster.packing == "dedicated" or any(is_large(one.spec, cluster.dedicated_from) for one in running)
    least = settings.under_used_dedicated_fraction if alone else settings.under_used_shared_fraction
    return any(
        sum(one.spec.requests.get(name, 0) * one.count for one in running) < least * node.allocatable.get(name, 0)
        for name in (CPU, MEMORY)
    )
