"""From what is seen again and again to facts: a node is empty *for long enough*, expired, announced to be gone.

A snapshot knows one moment. Whoever looks again and again keeps `Clocks`, since when each node has been as it is, and
gives a plan the facts that follow. A clock starts when a state is first seen and is gone as soon as it is seen to be
over, so nothing is removed for a state that came and went. Lost clocks start anew: that costs time and nothing else.

The hour is an argument, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from raypipe.disruption.blockers import by_node, is_empty
from raypipe.disruption.under_use import is_under_used
from raypipe.model.nodes import BEING_DELETED, Fact, Node
from raypipe.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Since when nodes have been empty or under-used, in seconds since 1970, by ``name`` or ``name/uid``."""

    empty: Mapping[str, float] = field(default_factory=dict)
    under_used: Mapping[str, float] = field(default_factory=dict)


def ticked(clocks: Clocks, cluster: ClusterSnapshot, now: float) -> Clocks:
    """The clocks after one more look at the cluster: those of states that last go on, others start or are gone."""
    pods = by_node(cluster.bound)
    running = [node for node in cluster.nodes if not (node.coming or node.filling or node.leaving)]
    empty = [_mark(node) for node in running if is_empty(pods.get(node.name, ()))]
    under_used = [_mark(node) for node in running if is_under_used(node, pods.get(node.name, ()), cluster)]
    return Clocks(
        empty={mark: clocks.empty.get(mark, now) for mark in empty},
        under_used={mark: clocks.under_used.get(mark, now) for mark in under_used},
    )


def facts_of(cluster: ClusterSnapshot, clocks: Clocks, now: float) -> dict[str, tuple[Fact, ...]]:
    """What has been true of nodes for long enough at this moment, by name; nodes of which nothing is are left out."""
    settings = cluster.settings
    facts: dict[str, tuple[Fact, ...]] = {}
    for node in cluster.nodes:
        mark = _mark(node)
        states = (
            (Fact.EMPTY, _is_due(clocks.empty.get(mark), settings.empty_after_s, now)),
            (Fact.UNDER_USED, _is_due(clocks.under_used.get(mark), settings.under_used_after_s, now)),
            (Fact.EXPIRED, node.own and not node.coming and _is_due(_age(node), settings.expire_after_s, now)),
            (Fact.INTERRUPTED, is_interrupted(node, settings.interruption_taints)),
        )
        found = tuple(fact for fact, holds in states if holds)
        if found:
            facts[node.name] = found
    return facts


def next_due(cluster: ClusterSnapshot, clocks: Clocks, now: float) -> float | None:
    """When the next fact will hold though nothing changes: whoever waits for events has to look again then."""
    settings = cluster.settings
    due = [since + settings.empty_after_s for since in clocks.empty.values()]
    due += [since + settings.under_used_after_s for since in clocks.under_used.values()]
    if settings.expire_after_s is not None:
        made = (_age(node) for node in cluster.nodes if node.own and not node.coming)
        due += [since + settings.expire_after_s for since in made if since is not None]
    return min((moment for moment in due if moment > now), default=None)


def is_interrupted(node: Node, taints: tuple[str, ...]) -> bool:
    """Whether somebody has announced that the node will be gone: by a taint, or by deleting it (which was not us)."""
    if node.leaving:
        return False
    return node.why_closed == BEING_DELETED or any(taint.key in taints for taint in node.taints)


def _mark(node: Node) -> str:
    """What names a node for a clock: another of the same name is another node."""
    return node.name if node.uid is None else f"{node.name}/{node.uid}"


def _age(node: Node) -> float | None:
    return None if node.created is None else datetime.fromisoformat(node.created).timestamp()


def _is_due(since: float | None, after_s: int | None, now: float) -> bool:
    return since is not None and after_s is not None and now - since >= after_s
