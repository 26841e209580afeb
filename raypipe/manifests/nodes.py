"""Nodes that exist: what they hold, and whether they take demand."""

from __future__ import annotations

from raypipe.manifests.objects import KubeObject
from raypipe.manifests.requirements import NODE_NAME, taints
from raypipe.model.nodes import Node
from raypipe.model.requirements import HOSTNAME, OWN_CLUSTER, Taint
from raypipe.model.resources import Resources

STARTING = "raypipe.io/starting"
CORDONED = "raypipe.io/cordoned"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


def read_node(one: KubeObject) -> Node:
    """A Node; it takes no demand where it is cordoned by others, not ready or being deleted.

    The taints under which raypipe itself brings a node up are there to keep others off until its pods are bound: they
    are no taints to a plan.
    """
    labels = {HOSTNAME: one.name, **one.labels.labels(), NODE_NAME: one.name}
    own = OWN_CLUSTER in labels
    capacity, allocatable = _amounts(one, "capacity"), _amounts(one, "allocatable")
    why_closed = _why_closed(one, own)
    return Node(
        name=one.name,
        labels=labels,
        capacity=capacity or allocatable,
        allocatable=allocatable or capacity,
        taints=tuple(taint for taint in taints(one.spec.get("taints")) if not (own and _is_ours(taint, one))),
        open=not why_closed,
        why_closed=why_closed,
        own=own,
        created=one.created,
    )


def _amounts(one: KubeObject, name: str) -> Resources:
    return {resource: amount.quantity(resource) for resource, amount in sorted(one.status.get(name).fields())}


def _is_ours(taint: Taint, one: KubeObject) -> bool:
    return taint.key == STARTING or (taint.key == UNSCHEDULABLE and one.annotation(CORDONED) is not None)


def _why_closed(one: KubeObject, own: bool) -> str:
    if one.deleting:
        return "being deleted"
    if one.spec.get("unschedulable").boolean() and not (own and one.annotation(CORDONED) is not None):
        return "cordoned"
    ready = [state.get("status").value for state in one.status.get("conditions").items() if _is_ready(state.value)]
    return "" if all(status == "True" for status in ready) else "not ready"


def _is_ready(condition: object) -> bool:
    return isinstance(condition, dict) and condition.get("type") == "Ready"
