"""What is bought, action by action: is it called by the decision, and does it ask for the node that the plan has?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from raypipe.model.actions import Action, ActionKind, action_id
from raypipe.model.nodes import KWOK, NODE_GROUPS
from raypipe.model.plan import ClusterPlan, PlannedNode
from raypipe.model.requirements import CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, NODEPOOL, OWN_CLUSTER, ZONE
from raypipe.validation.ground import Ground


def purchase_violations(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Everything wrong with the names of actions, and with what is bought."""
    nodes = {node.name: node for node in plan.nodes if not node.existing}
    for name in nodes:
        if f"-{plan.decision_id[:10]}-" not in name:
            yield f"node {name}: its name does not carry the decision {plan.decision_id[:10]}"
    for action in plan.actions:
        if action.id != action_id(plan.decision_id, action.kind, action.object):
            yield f"{action.kind} of {action.object.name}: its id {action.id} is not that of the decision"
        node = nodes.get(action.object.name)
        if action.kind is ActionKind.BUY_NODE and node is not None:
            check = {NODE_GROUPS: _growth, KWOK: _simulated}.get(ground.cluster.nodes_backend, _claim)
            asked = check(action, node, ground)
            for text in (*_carried(action, node, plan, ground), *asked):
                yield f"BuyNode {node.name}: {text}"
    sizes = Counter(
        (str(spec["group"]), spec.get("size"))
        for spec in (_mapping(action.set, "spec") for action in plan.actions if action.object.kind == "NodeGroup")
        if "group" in spec
    )
    for (group, size), count in sizes.items():
        if count > 1:
            yield f"{count} actions grow {group} to {size}"


def _carried(action: Action, node: PlannedNode, plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Whether it carries the node's cluster, pool, pods and decision."""
    metadata = _mapping(action.set, "metadata")
    annotations = _mapping(metadata, "annotations")
    labels = {OWN_CLUSTER: ground.cluster.name} | ({NODEPOOL: node.pool} if node.pool is not None else {})
    stated_labels = _mapping(metadata, "labels")
    if action.object.kind == "Node":  # which carries those of its machine, too
        stated_labels = {name: text for name, text in stated_labels.items() if name in labels}
    for name, stated, true in (
        ("labels", stated_labels, labels),
        ("decision", annotations.get("raypipe.io/decision"), plan.decision_id),
        ("pods", _counts(annotations.get("raypipe.io/pods")), dict(node.added)),
    ):
        if stated != true:
            yield f"{name} say {stated}, the node {true}"


def _claim(action: Action, node: PlannedNode, ground: Ground) -> Iterator[str]:
    """Whether the claim asks for the node that the plan has."""
    if (action.object.kind, action.object.namespace) != ("NodeClaim", None):
        yield f"is of a {action.object.kind} in {action.object.namespace}"
    if dict(action.precondition) != {"exists": False}:
        yield f"relies on {dict(action.precondition)}"
    asked = _mapping(action.set, "spec")
    for name, stated, true in (
        ("requests", _mapping(_mapping(asked, "resources"), "requests"), dict(node.requested)),
        ("expireAfter", asked.get("expireAfter"), "Never"),
        ("nodeClassRef", _mapping(asked, "nodeClassRef"), _node_class(node, ground)),
        ("requirements", _requirements(asked), {
            INSTANCE_TYPE: node.instance_type, ZONE: node.zone, CAPACITY_TYPE: node.capacity_type
        }),
    ):  # fmt: skip
        if stated != true:
            yield f"{name} say {stated}, the node {true}"


def _simulated(action: Action, node: PlannedNode, ground: Ground) -> Iterator[str]:
    """Whether the Node says of itself what the plan says of it."""
    del ground
    if (action.object.kind, action.object.namespace) != ("Node", None):
        yield f"is of a {action.object.kind} in {action.object.namespace}"
    if dict(action.precondition) != {"exists": False}:
        yield f"relies on {dict(action.precondition)}"
    labels = _mapping(_mapping(action.set, "metadata"), "labels")
    shown = _mapping(_mapping(action.set, "status"), "allocatable")
    for name, stated, true in (
        ("hostname", labels.get(HOSTNAME), node.name),
        ("instance type", labels.get(INSTANCE_TYPE), node.instance_type),
        ("zone", labels.get(ZONE), node.zone),
        ("capacity type", labels.get(CAPACITY_TYPE), node.capacity_type),
        ("allocatable", {key: shown.get(key, "0") for key in node.allocatable}, dict(node.allocatable)),
    ):
        if stated != true:
            yield f"{name} says {stated}, the node {true}"


def _growth(action: Action, node: PlannedNode, ground: Ground) -> Iterator[str]:
    """Whether a group of the node's kind grows by one, from a size that it has by then to one that it may have."""
    if (action.object.kind, action.object.namespace) != ("NodeGroup", None):
        yield f"is of a {action.object.kind} in {action.object.namespace}"
    asked = _mapping(action.set, "spec")
    stated = (asked.get("instanceType"), asked.get("zone"), asked.get("capacityType"))
    if stated != (node.instance_type, node.zone, node.capacity_type):
        yield f"asks for {stated}"
    groups = {one.group: one for one in ground.cluster.buyable or ()}
    group, size = groups.get(str(asked.get("group"))), asked.get("size")
    if group is None or (group.instance_type, group.zone, group.capacity_type) != stated:
        yield f"grows {asked.get('group')}, which is no group of that kind"
    elif not isinstance(size, int) or not group.size < size <= group.size + group.count:
        yield f"grows {group.group} to {size}, from {group.size} by at most {group.count}"
    elif dict(action.precondition) != {"size": size - 1}:
        yield f"relies on {dict(action.precondition)}"


def _node_class(node: PlannedNode, ground: Ground) -> dict[str, str]:
    """The node class of the node's pool, or of the cluster where that names none."""
    pools = [dict(pool.node_class) for pool in ground.cluster.node_pools if pool.name == node.pool]
    return next((found for found in pools if found), dict(ground.cluster.node_class))


def _mapping(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = content.get(key)
    return dict(found) if isinstance(found, Mapping) else {}


def _counts(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return text


def _requirements(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Requirements on one value each, by label; any other as it stands."""
    found: dict[str, Any] = {}
    for number, one in enumerate(asked.get("requirements", ())):
        values = one.get("values", ())
        is_plain = one.get("operator") == "In" and len(values) == 1 and one.get("key") not in found
        found[str(one.get("key")) if is_plain else f"requirement {number}"] = values[0] if is_plain else one
    return found
