"""Nodes that a plan gives back: may they go, for the reason that is told, and do all their pods have a place elsewhere?

The rest of a plan is then checked against the cluster without these nodes, their pods being demand like any other: who
is placed where, within which limits, at what cost. The same holds of nodes that are vacated (interrupted, or being
removed already), which are still there and take nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from raypipe.model.actions import Action, ActionKind
from raypipe.model.nodes import Fact, Node
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.pods import BUDGET, NOT_MADE_AGAIN, BoundPods, PodGroup
from raypipe.model.snapshot import ClusterSnapshot

REMOVING = "raypipe.io/removing"


def without_removed(cluster: ClusterSnapshot, plan: ClusterPlan, scope: Scope) -> ClusterSnapshot:
    """The cluster without the nodes that the plan gives back, and with the pods of vacated ones as demand."""
    if scope is not Scope.PENDING:
        return cluster
    removed = {action.object.name for action in _removals(plan)}
    vacated = {node.name for node in cluster.nodes if _is_vacated(node, cluster)} - removed
    kept: list[BoundPods] = []
    demand: dict[tuple[str, str], PodGroup] = {}
    for pods in cluster.bound:
        leaves = pods.node in removed or pods.node in vacated
        if leaves and pods.counted and pods.held != NOT_MADE_AGAIN:
            mark = (pods.key, repr(pods.spec))
            before = demand[mark].count if mark in demand else 0
            demand[mark] = PodGroup(key=pods.key, spec=pods.spec, count=before + pods.count, created=pods.created)
        elif pods.node not in removed:
            kept.append(pods)
    closed = "will be interrupted"
    return replace(
        cluster,
        nodes=tuple(
            replace(node, open=False, why_closed=node.why_closed or closed) if node.name in vacated else node
            for node in cluster.nodes
            if node.name not in removed
        ),
        bound=tuple(kept),
        demand=(*cluster.demand, *demand.values()),
    )


def removal_violations(plan: ClusterPlan, cluster: ClusterSnapshot, scope: Scope) -> Iterator[str]:
    """Everything wrong with what is given back."""
    removals = _removals(plan)
    if removals and scope is not Scope.PENDING:
        yield "scope whole gives nodes back"
        return
    nodes = {node.name: node for node in cluster.nodes}
    told = {node.name for node in plan.nodes}
    for action in removals:
        name = action.object.name
        node = nodes.get(name)
        if node is None or (action.object.kind, action.object.namespace) != ("Node", None):
            yield f"RemoveNode {name}: there is no such node"
            continue
        if name in told:
            yield f"RemoveNode {name}: it is in the plan"
        for text in (*_in_the_way(node, cluster), *_wrong_words(action, node, plan, cluster)):
            yield f"RemoveNode {name}: {text}"
    yield from _homeless(plan, cluster, {action.object.name for action in removals})


def _removals(plan: ClusterPlan) -> list[Action]:
    return [action for action in plan.actions if action.kind is ActionKind.REMOVE_NODE]


def _is_vacated(node: Node, cluster: ClusterSnapshot) -> bool:
    return node.leaving or Fact.INTERRUPTED in cluster.facts.get(node.name, ())


def _in_the_way(node: Node, cluster: ClusterSnapshot) -> Iterator[str]:
    """Why it may not go, or not for any reason that a plan may have."""
    settings, facts = cluster.settings, cluster.facts.get(node.name, ())
    if not (node.own or settings.remove_any):
        yield "raypipe did not buy it"
    if node.coming or node.filling or node.leaving or not node.open:
        yield f"it is on its way or closed already ({node.why_closed})"
    there = [pods for pods in cluster.bound if pods.node == node.name]
    for pods in there:
        if Fact.INTERRUPTED in facts and pods.held.startswith(BUDGET):
            continue  # which may pass before the node dies
        if pods.held or (pods.counted and pods.spec.protected):
            yield f"{pods.count} x {pods.key} may not be moved: {pods.held or 'protected'}"
    is_empty = not any(pods.counted for pods in there)
    by_fact = {Fact.INTERRUPTED, Fact.EXPIRED, *([] if cluster.packing == "joint" else [Fact.UNDER_USED])}
    if not (settings.consolidate or by_fact.intersection(facts) or (Fact.EMPTY in facts and is_empty)):
        yield "it is neither empty, under-used, expired nor interrupted, and nobody asked to move pods for cost"


def _wrong_words(action: Action, node: Node, plan: ClusterPlan, cluster: ClusterSnapshot) -> Iterator[str]:
    """Whether it marks the node with the decision, and relies on the node and the pods that were seen."""
    mark = {"metadata": {"annotations": {REMOVING: plan.decision_id}}, "spec": {"unschedulable": True}}
    if dict(action.set) != mark:
        yield f"sets {dict(action.set)}, not {mark}"
    pods: Counter[str] = Counter()
    for one in cluster.bound:
        if one.node == node.name and one.counted:
            pods[one.key] += one.count
    relied = {"uid": node.uid, "pods": dict(pods)}
    if dict(action.precondition) != relied:
        yield f"relies on {dict(action.precondition)}, not on {relied}"


def _homeless(plan: ClusterPlan, cluster: ClusterSnapshot, removed: set[str]) -> Iterator[str]:
    """Pods that had a place and have none: more of a key are unplaced than waited for one."""
    waiting: Counter[str] = Counter()
    for group in cluster.demand:
        waiting[group.key] += group.count
    vacated = {node.name for node in cluster.nodes if _is_vacated(node, cluster)}
    for pods in cluster.bound:
        if pods.node in vacated:
            waiting[pods.key] += pods.count
    moved = {pods.key for pods in cluster.bound if pods.node in removed and pods.counted}
    left: Counter[str] = Counter()
    for entry in plan.unplaced:
        left[entry.pods] += entry.count
    for key in sorted(moved):
        if left[key] > waiting[key]:
            yield f"{left[key] - waiting[key]} of {key} lose their place and have nowhere to go"
