"""Whether a node may be given back, and what is in the way: every refusal lists its blockers.

Only nodes that raypipe bought are given back (setting `remove_any`: any), none that is still on its way or that
somebody has closed, and none with a pod that may not be moved. Whether its pods have somewhere to go is asked later, of
a plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from raypipe.model.nodes import Fact, Node
from raypipe.model.pods import BUDGET, BoundPods
from raypipe.model.snapshot import ClusterSnapshot


def by_node(bound: Iterable[BoundPods]) -> dict[str, list[BoundPods]]:
    """Bound pods by the node that they are on."""
    pods: dict[str, list[BoundPods]] = {}
    for one in bound:
        pods.setdefault(one.node, []).append(one)
    return pods


def is_empty(pods: Iterable[BoundPods]) -> bool:
    """Whether nothing runs there that would be missed: no pod of a plan, and none that raypipe leaves to others.

    What comes with every node (DaemonSets, static pods) does not count, nor do pods that are ending.
    """
    return not any(one.counted or one.held for one in pods)


def is_its_to_remove(node: Node, cluster: ClusterSnapshot) -> bool:
    """Whether it may be given back, its pods apart."""
    return (node.own or cluster.settings.remove_any) and not (node.coming or node.filling or node.leaving)


def blockers(node: Node, pods: Sequence[BoundPods], cluster: ClusterSnapshot) -> tuple[str, ...]:
    """Everything that keeps a node from being given back, in order; nothing: its pods may be moved.

    A disruption budget that is used up is no reason to do nothing about a node that dies anyway: it may pass in time.
    """
    return tuple(_blockers(node, pods, cluster))


def _blockers(node: Node, pods: Sequence[BoundPods], cluster: ClusterSnapshot) -> Iterator[str]:
    dies = Fact.INTERRUPTED in cluster.facts.get(node.name, ())
    if not node.own and not cluster.settings.remove_any:
        yield "raypipe did not buy it (--remove-any)"
    if node.coming or node.filling:
        yield "it is on its way"
    if not node.open:
        yield f"it is {node.why_closed or 'closed'}"
    counts: Counter[tuple[str, str]] = Counter()
    for one in pods:
        if one.stays and not (dies and one.stays.startswith(BUDGET)):
            counts[one.key, one.stays] += one.count
    for (key, why), count in sorted(counts.items()):
        yield f"{count} × {key}: {why}"
