"""Existing nodes as a plan sees them: what is reserved there, what is requested, what is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.catalog import ExistingNode
from raypipe.model.nodes import daemonset_reserve
from raypipe.model.pods import BoundPods
from raypipe.model.resources import Resources, minus, times, total
from raypipe.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """An existing node as a plan sees it: what is reserved there, what its counted pods request, what is free."""

    existing: ExistingNode
    bound: tuple[BoundPods, ...]
    reserved: Resources
    requested: Resources
    free: Resources

    @property
    def name(self) -> str:
        return self.existing.node.name


def rooms_of(cluster: ClusterSnapshot, existing: Sequence[ExistingNode]) -> tuple[Room, ...]:
    """The cluster's nodes with their rooms, in the order of `existing`."""
    on_node: dict[str, list[BoundPods]] = {}
    for pods in cluster.bound:
        on_node.setdefault(pods.node, []).append(pods)
    rooms = []
    for one in existing:
        node = one.node
        bound = tuple(on_node.get(node.name, ()))
        running = [pods.daemonset for pods in bound if pods.daemonset is not None]
        reserved = total(
            [
                daemonset_reserve(node.labels, node.taints, cluster.daemonsets, running),
                *(times(pods.spec.requests, pods.count) for pods in bound if not pods.counted),
            ]
        )
        requested = total(times(pods.spec.requests, pods.count) for pods in bound if pods.counted)
        free = minus(node.allocatable, total([reserved, requested]))
        rooms.append(Room(existing=one, bound=bound, reserved=reserved, requested=requested, free=free))
    return tuple(rooms)
