"""Why: one answer for pods and for nodes, from the plan alone.

A word names what is asked about: a node, a pod key (``Deployment/shop/web``), or a part of one that is unique
(``web``, ``shop/web``; ``RayCluster/ml/demo`` for head and workers together). A placed pod is answered with its nodes,
their reason and its marginal price; an unplaced one with the candidates left after each filter; a node with what it
holds and what else was considered.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raypipe.errors import InputError, Problem, nearest
from raypipe.model.plan import (
    ClusterPlan,
    Considered,
    DividedSet,
    Excluded,
    FilterCount,
    FleetPlan,
    Missed,
    PlannedNode,
    Relaxed,
    Unplaced,
)
from raypipe.quantities import parse_quantity
from raypipe.report.alternatives import divided
from raypipe.report.amounts import ABSENT, counted, hourly, share
from raypipe.report.layout import Column, Row, entries, labelled, table
from raypipe.report.preferences import is_best, missed

MOST_NODES = 20
MOST_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAnswer:
    """What the plan says of one key in one cluster; `best`: no plan has a lower objective."""

    cluster: str
    pods: str
    nodes: tuple[PlannedNode, ...] = ()
    marginal_usd_per_hour: float | None = None
    unplaced: Unplaced | None = None
    excluded: Excluded | None = None
    considered: tuple[Considered, ...] = ()
    alternatives: tuple[DividedSet, ...] = ()
    relaxed: Relaxed | None = None
    missed: tuple[Missed, ...] = ()
    best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnswer:
    """What the plan says of one node."""

    cluster: str
    node: PlannedNode
    action_reason: str | None = None
    considered: tuple[Considered, ...] = ()


type Answer = PodAnswer | NodeAnswer


def answers(plan: FleetPlan, word: str) -> tuple[Answer, ...]:
    """Everything the plan says of `word`; raise InputError where nothing or more than one thing is meant."""
    nodes = [
        _node_answer(cluster, node) for cluster in plan.clusters for node in cluster.nodes if node.name == word.strip()
    ]
    if nodes:
        return tuple(nodes)
    keys = _meant(plan, word.strip("/ "))
    found = [_pod_answer(cluster, key) for cluster in plan.clusters for key in keys if key in _keys(cluster)]
    return tuple(found)


def _keys(cluster: ClusterPlan) -> set[str]:
    """Every pod key that a cluster's plan speaks of."""
    listed = {entry.pods for entry in cluster.unplaced} | {entry.pods for entry in cluster.excluded}
    listed |= {group.pods for one in cluster.alternatives for group in one.groups}
    return listed.union(cluster.marginal_usd_per_hour, *(node.pods for node in cluster.nodes))


def _meant(plan: FleetPlan, word: str) -> list[str]:
    """The keys that a word means: itself, else the keys of the one object that it is a part of."""
    keys = sorted(set().union(*(_keys(cluster) for cluster in plan.clusters)))
    if word in keys:
        return [word]
    found = [key for key in keys if word and f"/{word}/" in f"/{key}/"]
    owners = sorted({_owner(key) for key in found})
    if len(owners) == 1:
        return found
    where = Problem(field="POD|NODE", found=repr(word), expected="a pod key or node name of the plan")
    if owners:
        named = ", ".join(owners[:MOST_NAMED]) + (", …" if len(owners) > MOST_NAMED else "")
        raise InputError(dataclasses.replace(where, expected=f"one object; {len(owners)} have that name: {named}"))
    raise InputError(dataclasses.replace(where, suggestion=_nearest(plan, keys, word)))


def _owner(key: str) -> str:
    return "/".join(key.split("/")[:3])


def _nearest(plan: FleetPlan, keys: list[str], word: str) -> str | None:
    """The nearest full key or node name, else the key whose object name is nearest."""
    names = [node.name for cluster in plan.clusters for node in cluster.nodes]
    by_name = {part: key for key in keys for part in (key.split("/")[2:3] or [key])}
    short = nearest(word, by_name)
    return nearest(word, [*keys, *names]) or (by_name[short] if short else None)


def _pod_answer(cluster: ClusterPlan, key: str) -> PodAnswer:
    return PodAnswer(
        cluster=cluster.name,
        pods=key,
        nodes=tuple(node for node in cluster.nodes if key in node.pods),
        marginal_usd_per_hour=cluster.marginal_usd_per_hour.get(key),
        unplaced=next((entry for entry in cluster.unplaced if entry.pods == key), None),
        excluded=next((entry for entry in cluster.excluded if entry.pods == key), None),
        considered=cluster.considered,
        alternatives=tuple(one for one in cluster.alternatives if any(group.pods == key for group in one.groups)),
        relaxed=next((entry for entry in cluster.relaxed if entry.pods == key), None),
        missed=tuple(one for one in cluster.missed if one.pods == key),
        best=is_best(cluster.objective),
    )


def _node_answer(cluster: ClusterPlan, node: PlannedNode) -> NodeAnswer:
    action = next((one for one in cluster.actions if one.object.name == node.name), None)
    reason = action.reason if action is not None else None
    return NodeAnswer(cluster=cluster.name, node=node, action_reason=reason, considered=cluster.considered)


def render(found: Iterable[Answer], width: int | None = None) -> str:
    """The answers as lines of text, without a trailing newline."""
    parts = [_node(one, width) if isinstance(one, NodeAnswer) else _pods(one, width) for one in found]
    return "\n\n".join("\n".join(lines).rstrip() for lines in parts)


def _pods(answer: PodAnswer, width: int | None) -> list[str]:
    placed = sum(node.pods[answer.pods] for node in answer.nodes)
    lines = [f"{answer.pods}   cluster {answer.cluster} · {counted(placed, 'pod')} placed", ""]
    if answer.nodes:
        lines += [*_nodes_of(answer, width), ""]
        reasons = {node.reason: None for node in answer.nodes if node.reason}
        lines += entries("why", list(reasons), MOST_NAMED, width)
    if answer.relaxed is not None:
        lines += labelled("relaxed", answer.relaxed.message, width)
    lines += entries("alternatives", divided(answer.alternatives), MOST_NAMED, width)
    lines += missed(answer.missed, best=answer.best, width=width)
    if answer.marginal_usd_per_hour is not None:
        text = f"one more such pod costs {hourly(answer.marginal_usd_per_hour)} (dual price of the proven bound)"
        lines += labelled("marginal price", text, width)
    if any(not node.existing for node in answer.nodes):
        lines += _not_chosen(answer.considered, width)
    if answer.unplaced is not None:
        lines += _unplaced(answer.unplaced, width)
    if answer.excluded is not None:
        entry = answer.excluded
        text = f"{counted(entry.count, 'pod')} seen and not planned: {entry.reason}"
        lines += labelled("excluded", text + (f" ({entry.message})" if entry.message else ""), width)
    return lines


def _nodes_of(answer: PodAnswer, width: int | None) -> list[str]:
    columns = (
        Column(title="node"),
        Column(title="instance type"),
        Column(title="capacity"),
        Column(title="zone", expendable=True),
        Column(title="$/h", right=True),
        Column(title="of these", right=True),
        Column(title="all pods", right=True),
    )
    rows = [
        Row(
            cells=(
                node.name,
                node.instance_type,
                node.capacity_type,
                node.zone,
                _price(node),
                f"{node.pods[answer.pods]:,}",
                f"{sum(node.pods.values()):,}",
            ),
            remark=_kept(node, answer.pods),
        )
        for node in answer.nodes[:MOST_NODES]
    ]
    more = len(answer.nodes) - MOST_NODES
    return [*table(columns, rows, width), *([f"  … and {counted(more, 'more node')}"] if more > 0 else [])]


def _kept(node: PlannedNode, key: str) -> str:
    if not node.existing:
        return ""
    added = node.added.get(key, 0)
    return f"KEPT, {added} added" if added else "KEPT"


def _price(node: PlannedNode) -> str:
    return "unknown" if node.usd_per_hour is None else f"{node.usd_per_hour:.4f}"


def _not_chosen(considered: Iterable[Considered], width: int | None) -> list[str]:
    texts = [
        f"{other.instance_type} {other.capacity_type} at {hourly(other.usd_per_hour)}: {other.why_not or 'not needed'}"
        for other in considered
        if not other.chosen
    ]
    return entries("not bought", texts, MOST_NAMED, width)


def _unplaced(entry: Unplaced, width: int | None) -> list[str]:
    limit = f" ({entry.limit})" if entry.limit else ""
    lines = labelled("unplaced", f"{counted(entry.count, 'pod')}: {entry.reason}{limit}", width)
    lines += labelled("why", entry.message, width) if entry.message else []
    return [*lines, "", *filters(entry.filters, width)] if entry.filters else lines


def filters(counts: Iterable[FilterCount], width: int | None = None) -> list[str]:
    """The candidates left after each filter; the one that removed the last is marked."""
    columns = (Column(title="filter"), Column(title="offerings left", right=True))
    rows = [
        Row(cells=(one.filter, f"{one.left:,}"), remark="" if one.left else "removed the last candidate")
        for one in counts
    ]
    return table(columns, rows, width)


def _node(answer: NodeAnswer, width: int | None) -> list[str]:
    node = answer.node
    price = "price unknown" if node.usd_per_hour is None else hourly(node.usd_per_hour)
    kind = f"{node.instance_type} {node.capacity_type} in {node.zone} · {price}"
    lines = [f"{node.name}   cluster {answer.cluster} · {kind}" + (" · exists" if node.existing else ""), ""]
    lines += [*_held(node, width), "", *_room(node, width), ""]
    lines += labelled("why", node.reason, width) if node.reason else []
    if node.pool is not None:
        lines += labelled("NodePool", node.pool, width)
    if node.list_usd_per_hour is not None and node.list_usd_per_hour != node.usd_per_hour:
        more = (node.usd_per_hour or 0.0) - node.list_usd_per_hour
        kind = "surcharge or multiplier" if more > 0 else "discount"
        lines += labelled("list price", f"{hourly(node.list_usd_per_hour)}; {kind} {hourly(abs(more))}", width)
    return lines if node.existing else [*lines, *_not_chosen(answer.considered, width)]


def _held(node: PlannedNode, width: int | None) -> list[str]:
    columns = (Column(title="pods", right=True), Column(title="key"))
    rows = [
        Row(cells=(f"{count:,}", key), remark=_newly(node, key, count))
        for key, count in sorted(node.pods.items(), key=lambda item: (-item[1], item[0]))
    ]
    return table(columns, rows, width) if rows else ["  no pods"]


def _newly(node: PlannedNode, key: str, count: int) -> str:
    added = node.added.get(key, 0)
    return "" if not node.existing or not added else f"{added} of them added by this plan" if added < count else "added"


def _room(node: PlannedNode, width: int | None) -> list[str]:
    columns = (
        Column(title="resource"),
        Column(title="requested", right=True),
        Column(title="reserved", right=True),
        Column(title="allocatable", right=True),
        Column(title="full", right=True),
    )
    return table(columns, [Row(cells=_filled(node, name)) for name in sorted(node.allocatable)], width)


def _filled(node: PlannedNode, name: str) -> tuple[str, ...]:
    def amount(quantities: Mapping[str, str]) -> int:
        return parse_quantity(quantities.get(name, "0"), name)

    full = share(amount(node.requested) + amount(node.reserved), amount(node.allocatable))
    return (name, node.requested.get(name, ABSENT), node.reserved.get(name, ABSENT), node.allocatable[name], full)
