"""A cluster as it is planned for when some of its nodes go: their pods want a place elsewhere at once.

A node that is *given back* is no part of the plan any more. A node that is *vacated* is: it has been announced that it
will be gone (INTERRUPTED), or raypipe is emptying it already (`leaving`). It takes no demand and costs its price until
it is gone, but nobody waits for that: its pods are demand now, so their replacement starts at the notice, and room that
was bought for them is not given to others.

Bare pods are not demand, because nobody makes them again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from raypipe.disruption.blockers import blockers, by_node
from raypipe.model.nodes import Fact, Node
from raypipe.model.pods import NOT_MADE_AGAIN, BoundPods, PodGroup
from raypipe.model.snapshot import ClusterSnapshot

INTERRUPTED = "will be interrupted"


def announced(cluster: ClusterSnapshot) -> frozenset[str]:
    """Nodes that are given back whatever a plan says: interrupted ones that raypipe may empty before they die."""
    pods = by_node(cluster.bound)
    return frozenset(
        node.name
        for node in cluster.nodes
        if Fact.INTERRUPTED in cluster.facts.get(node.name, ()) and not blockers(node, pods.get(node.name, ()), cluster)
    )


def as_left(cluster: ClusterSnapshot, removed: Collection[str]) -> ClusterSnapshot:
    """The cluster without the nodes given back, and with the pods of these and of vacated ones as demand."""
    vacated = {node.name for node in cluster.nodes if is_vacated(node, cluster)} - set(removed)
    if not removed and not vacated:
        return cluster
    gone = set(removed) | vacated
    moved = [one for one in cluster.bound if one.node in gone and wants_another_place(one)]
    moving = {id(one) for one in moved}
    return replace(
        cluster,
        nodes=tuple(_vacated(one) if one.name in vacated else one for one in cluster.nodes if one.name not in removed),
        bound=tuple(one for one in cluster.bound if id(one) not in moving and one.node not in removed),
        demand=(*cluster.demand, *_as_demand(moved)),
        facts={name: facts for name, facts in cluster.facts.items() if name not in removed},
    )


def is_vacated(node: Node, cluster: ClusterSnapshot) -> bool:
    """Whether its pods want a place elsewhere though the node is still there."""
    return node.leaving or Fact.INTERRUPTED in cluster.facts.get(node.name, ())


def wants_another_place(one: BoundPods) -> bool:
    """Whether pods are made again when their node is gone, and are raypipe's to place."""
    return one.counted and one.held != NOT_MADE_AGAIN


def _vacated(node: Node) -> Node:
    return replace(node, open=False, why_closed=node.why_closed or INTERRUPTED)


def _as_demand(moved: Collection[BoundPods]) -> list[PodGroup]:
    """Pods that leave their nodes, alike ones together, in the order of keys."""
    groups: list[PodGroup] = []
    for one in sorted(moved, key=lambda one: one.key):
        group = PodGroup(key=one.key, spec=one.spec, count=one.count, created=one.created)
        for number in range(len(groups) - 1, -1, -1):
            known = groups[number]
            if known.key != group.key:
                groups.append(group)
                break
            if known.spec == group.spec:
                groups[number] = replace(known, count=known.count + group.count)
                break
        else:
            groups.append(group)
    return groups
