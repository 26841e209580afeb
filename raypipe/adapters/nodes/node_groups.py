"""Nodes from groups of like nodes (AWS): a larger size buys one, the end of its instance gives one back.

Nothing of such a purchase is in Kubernetes until a node registers. What is on its way is seen in the group instead: its
instances that are no nodes yet, and the rest of its size. They are free room to a plan, so that nothing is bought
twice; which pods they were bought for is not kept, so the scheduler binds these (`bind: scheduler`).

The Auto Scaling API has no test-and-set: the size is read, compared with the one that the plan relied on, and set. One
loop acts at a time (its Lease), and sizes are told, never added to: whoever tells the same twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from raypipe.adapters.kubernetes.writing import ConflictError
from raypipe.adapters.nodes.aws_groups import AwsGroups, Found, Group
from raypipe.errors import ClusterError
from raypipe.manifests.origins import Observed
from raypipe.model.actions import Action
from raypipe.model.nodes import NODE_GROUPS, Buyable, Node
from raypipe.model.requirements import CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, ZONE
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot

COMING = "/coming-"
"""Between the name of a group and the number of a node that has no instance yet."""


KEEP_S = 5.0
"""Seconds for which a look at groups is as good as a new one: instances take a minute to come."""


class NodeGroups:
    """Buys by telling a group its size, gives back by ending an instance.

    instance_of: the provider's id of a node that is up (``spec.providerID``), "" where there is no such node.
    """

    name = NODE_GROUPS

    def __init__(self, cluster: str, groups: AwsGroups, instance_of: Callable[[str], str]) -> None:
        self._cluster = cluster
        self._groups = groups
        self._instance_of = instance_of

    def buyable(self) -> tuple[Buyable, ...]:
        """By how much each group may grow."""
        return buyable(self._groups.found(self._cluster))

    def buy(self, action: Action, one: Mapping[str, Any]) -> str:
        """Tell the group its size, unless it has that already; ConflictError where it is not as the plan took it."""
        del action
        name, size = str(one["spec"]["group"]), int(one["spec"]["size"])
        now = self._groups.size(name)
        if now >= size:
            return "bought before"
        if now < size - 1:
            raise ConflictError(f"{name} is to have {now} nodes, expected {size - 1}: somebody else has changed it")
        self._groups.resize(name, size)
        return f"{name} is to have {size} nodes"

    def give_back(self, node: str, claim: str | None) -> bool:
        """End the node's instance; of one that has none yet, want one less. Whether there was anything to do."""
        del claim
        groups = self._groups.found(self._cluster).groups
        if COMING in node:
            return self._want_less(next((one for one in groups if one.name == node.partition(COMING)[0]), None))
        instance = node if node.startswith("i-") else instance_id(self._instance_of(node))
        group = next((one for one in groups if instance in one.instances), None)
        if group is None:
            return False
        self._may_shrink(group)
        self._groups.terminate(instance)
        return True

    def _want_less(self, group: Group | None) -> bool:
        if group is None or group.size <= len(group.instances):
            return False
        self._may_shrink(group)
        self._groups.resize(group.name, group.size - 1)
        return True

    def _may_shrink(self, group: Group) -> None:
        if group.size <= group.least:
            raise ClusterError(f"{group.name} is at its least size, {group.least}: no node of it can be given back")


def instance_id(provider_id: str) -> str:
    """The instance of a provider's id.

    >>> instance_id("aws:///us-east-1a/i-0abc")
    'i-0abc'
    """
    return provider_id.rpartition("/")[2]


def buyable(found: Found) -> tuple[Buyable, ...]:
    """By how much each group may grow, from the size that it is to have."""
    return tuple(
        Buyable(
            group=one.name,
            instance_type=one.instance_type,
            zone=one.zone,
            capacity_type=one.capacity_type,
            count=max(0, one.most - one.size),
            size=one.size,
        )
        for one in found.groups
    )


@cache
def kept_groups(region: str) -> AwsGroups:
    """The groups of a region, by clients that are made once: that alone takes half a second."""
    return AwsGroups.of_region(region, keep_s=KEEP_S)


def look_at_groups(
    cluster: ClusterSnapshot, seen: Observed, groups_of: Callable[[str], AwsGroups] = kept_groups
) -> ClusterSnapshot:
    """The cluster with its groups as they are now, where its nodes come from groups; with an error where none is seen.

    Half of what there is would not do: without its groups, what is on its way would be bought twice.
    """
    if cluster.nodes_backend != NODE_GROUPS or cluster.context is None or cluster.error is not None:
        return cluster
    try:
        if cluster.provider != "aws":
            raise ClusterError(f"nodes: {NODE_GROUPS} is for provider aws, and this one is {cluster.provider}")
        return with_groups(cluster, seen, groups_of(cluster.region).found(cluster.name))
    except ClusterError as error:
        return ClusterSnapshot(name=cluster.name, context=cluster.context, error=f"{cluster.name}: {error}")


def with_all_groups(fleet: FleetSnapshot, seen: Mapping[str, Observed]) -> FleetSnapshot:
    """The fleet with the groups of those of its clusters that were seen, by context."""
    clusters = (
        look_at_groups(one, seen[one.context]) if one.context is not None and one.context in seen else one
        for one in fleet.clusters
    )
    return replace(fleet, clusters=tuple(clusters))


def with_groups(cluster: ClusterSnapshot, seen: Observed, found: Found) -> ClusterSnapshot:
    """The cluster with what its groups can buy and what they have on its way; their nodes are raypipe's own."""
    instances = {instance: name for name, instance in _instances(seen)}
    own = {instances[one] for group in found.groups for one in group.instances if one in instances}
    nodes = [replace(node, own=True) if node.name in own else node for node in cluster.nodes]
    coming = [_coming(name, group) for group in found.groups for name in _names_coming(group, instances)]
    return replace(
        cluster,
        buyable=buyable(found),
        nodes=tuple(sorted((*nodes, *coming), key=lambda node: node.name)),
        notes=(*cluster.notes, *found.notes),
    )


def _instances(seen: Observed) -> list[tuple[str, str]]:
    """Name and instance of every Node."""
    nodes = [one for one in seen.objects if one.get("kind") == "Node"]
    ids = [(one["metadata"]["name"], str((one.get("spec") or {}).get("providerID") or "")) for one in nodes]
    return [(name, instance_id(text)) for name, text in ids if text]


def _names_coming(group: Group, instances: Mapping[str, str]) -> list[str]:
    """Instances that are no nodes yet, and numbers for those of which there is none yet."""
    started = [one for one in group.instances if one not in instances]
    missing = max(0, group.size - len(group.instances))
    return [*started, *(f"{group.name}{COMING}{number + 1}" for number in range(missing))]


def _coming(name: str, group: Group) -> Node:
    """A node on its way; its room is that of its instance type."""
    labels = {
        HOSTNAME: name,
        INSTANCE_TYPE: group.instance_type,
        ZONE: group.zone,
        CAPACITY_TYPE: group.capacity_type,
    }
    return Node(name=name, labels=labels, capacity={}, allocatable={}, own=True, coming=True)
