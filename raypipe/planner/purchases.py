"""Nodes to buy, each as what the cluster's backend takes.

That is a Karpenter NodeClaim (printed ones, too), a simulated Node of KWOK's, or one more node of a node group.

Whatever it is, it is called as the node is planned, and carries the cluster, the decision and the pods it is bought
for, so that to carry it out twice buys once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from raypipe.model.actions import DECISION, Action, ActionKind, ObjectRef, action_id
from raypipe.model.meant import MEANT_PODS, meant_text
from raypipe.model.nodes import KWOK, NODE_GROUPS, Buyable, Offering
from raypipe.model.plan import PlannedNode
from raypipe.model.requirements import CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, NODEPOOL, OWN_CLUSTER, ZONE
from raypipe.planner.decide import Decision
from raypipe.planner.nodes import Placement
from raypipe.quantities import format_quantity

SIMULATED = {"kwok.x-k8s.io/node": "fake"}
"""How KWOK knows a node that it is to keep Ready."""

NEVER = "Never"
"""A NodeClaim that does not say when it expires is drained after 30 days."""


def purchases(decision: Decision, nodes: Sequence[PlannedNode], placement: Placement) -> Iterator[Action]:
    """One action a node that is bought, in the plan's order."""
    bought = [node for node in nodes if not node.existing]
    if decision.cluster.nodes_backend == NODE_GROUPS:
        grown = _grown(decision.cluster.buyable or ())
        return (_growth(decision, node, next(grown[_kind(node)])) for node in bought)
    if decision.cluster.nodes_backend == KWOK:
        sold = {one.name: decision.supply.offerings[one.offering] for one in placement.bought}
        return (_simulated(decision, node, sold[node.name]) for node in bought)
    return (_claim(decision, node) for node in bought)


def _claim(decision: Decision, node: PlannedNode) -> Action:
    wanted = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in (
            (INSTANCE_TYPE, node.instance_type),
            (ZONE, node.zone),
            (CAPACITY_TYPE, node.capacity_type),
        )
    ]
    spec: dict[str, object] = {
        "requirements": wanted,
        "resources": {"requests": dict(node.requested)},
        "expireAfter": NEVER,
    }
    if node_class := _node_class(decision, node.pool):
        spec["nodeClassRef"] = node_class
    return _bought(decision, node, "NodeClaim", spec, {"exists": False})


def _simulated(decision: Decision, node: PlannedNode, offering: Offering) -> Action:
    """A Node that says of itself what a machine of the offering would: nobody launches it, KWOK keeps it Ready."""
    allocatable = {name: format_quantity(amount, name) for name, amount in sorted(offering.allocatable.items())}
    capacity = {name: format_quantity(amount, name) for name, amount in sorted(offering.capacity.items())}
    taints = [{"key": one.key, "value": one.value, "effect": one.effect} for one in offering.taints]
    action = _bought(decision, node, "Node", {"taints": taints}, {"exists": False})
    metadata = action.set["metadata"]
    labels = {**offering.labels, HOSTNAME: node.name, **metadata["labels"]}
    annotations = {**metadata["annotations"], **SIMULATED}
    status = {"capacity": {**allocatable, **capacity}, "allocatable": allocatable}
    metadata = {"labels": labels, "annotations": annotations}
    return replace(action, set={"metadata": metadata, "spec": action.set["spec"], "status": status})


def _growth(decision: Decision, node: PlannedNode, grown: tuple[Buyable, int]) -> Action:
    """A group is told its size and not to grow: so nobody grows it twice, and whoever else has changed it is seen."""
    group, size = grown
    spec = {
        "group": group.group,
        "size": size,
        "instanceType": node.instance_type,
        "zone": node.zone,
        "capacityType": node.capacity_type,
    }
    return _bought(decision, node, "NodeGroup", spec, {"size": size - 1})


def _grown(groups: Sequence[Buyable]) -> dict[tuple[str, str, str], Iterator[tuple[Buyable, int]]]:
    """By kind of node, the groups to grow next and their sizes then: one group after another, in order of name."""
    kinds: dict[tuple[str, str, str], list[tuple[Buyable, int]]] = {}
    for group in sorted(groups, key=lambda one: one.group):
        kinds.setdefault(group.kind, []).extend((group, group.size + number + 1) for number in range(group.count))
    return {kind: iter(sizes) for kind, sizes in kinds.items()}


def _kind(node: PlannedNode) -> tuple[str, str, str]:
    return node.instance_type, node.zone, node.capacity_type


def _bought(
    decision: Decision, node: PlannedNode, kind: str, spec: dict[str, Any], precondition: dict[str, Any]
) -> Action:
    target = ObjectRef(kind=kind, name=node.name)
    labels = {OWN_CLUSTER: decision.cluster.name}
    if node.pool is not None:
        labels[NODEPOOL] = node.pool
    annotations = {DECISION: decision.decision_id, MEANT_PODS: meant_text(node.added)}
    why = f"{sum(node.added.values())} pods have no place" if node.added else "nodes on standby are short of one"
    return Action(
        id=action_id(decision.decision_id, ActionKind.BUY_NODE, target),
        kind=ActionKind.BUY_NODE,
        object=target,
        set={"metadata": {"labels": labels, "annotations": annotations}, "spec": spec},
        precondition=precondition,
        reason=f"{why}: {node.instance_type} {node.capacity_type} in "
        f"{node.zone} at ${node.usd_per_hour:g}/h is {node.reason}",
    )


def _node_class(decision: Decision, pool: str | None) -> dict[str, str]:
    for one in decision.cluster.node_pools:
        if one.name == pool and one.node_class:
            return dict(one.node_class)
    return dict(decision.cluster.node_class)
