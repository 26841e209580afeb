"""Whether pods have a place now, on nodes that are up: before a pod is evicted, its next place is ready.

A plan says where everything goes in the end; this says what has come true of it. Pods take the free room of open, ready
nodes one by one, the largest first (by their share of the node), after pods that wait already. It looks at requests,
selectors, node affinity, taints and volumes; what pods ask of each other is left to kube-scheduler, which places them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from raypipe.model.nodes import Node, daemonset_reserve
from raypipe.model.pods import DaemonSet, PodSpec
from raypipe.model.resources import CPU, MEMORY, Resources, fits, minus, total


class Places:
    """Free room of nodes that take pods now."""

    def __init__(
        self, nodes: Iterable[Node], running: Mapping[str, Sequence[PodSpec]], daemonsets: Iterable[DaemonSet] = ()
    ) -> None:
        """running: what is on each node already, DaemonSets and ending pods too; daemonsets: those still to come."""
        daemons = list(daemonsets)
        self._nodes = [node for node in nodes if node.open and not node.coming]
        self._free: dict[str, Resources] = {}
        for node in self._nodes:
            there = [spec.requests for spec in running.get(node.name, ())]
            reserve = daemonset_reserve(node.labels, node.taints, daemons) if not there else {}
            self._free[node.name] = minus(node.allocatable, total([*there, reserve]))

    def take(self, spec: PodSpec) -> bool:
        """Give a pod the fullest place that holds it; whether there is one."""
        holding = [
            node
            for node in self._nodes
            if fits(spec.requests, self._free[node.name]) and spec.may_run_on(node.labels, node.taints)
        ]
        if not holding:
            return False
        chosen = min(holding, key=lambda node: (self._free[node.name].get(CPU, 0), node.name))
        self._free[chosen.name] = minus(self._free[chosen.name], spec.requests)
        return True


def by_size(spec: PodSpec) -> tuple[int, int]:
    """The order in which pods take places: the largest first, because small ones fit into what is left."""
    return (-spec.requests.get(CPU, 0), -spec.requests.get(MEMORY, 0))
