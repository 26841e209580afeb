"""What acts on one cluster: plans carried out, launches taken back, and what is under way moved on.

The loop knows this `Hands` Protocol alone, so that it can be tried without a cluster; `ClusterHands` does it by writes
to an API server.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from raypipe.adapters.nodes import NodeBackend
from raypipe.controller import binding, removing
from raypipe.controller.acting import carry_out
from raypipe.controller.one_buyer import other_buyers
from raypipe.controller.steps import StepWriter
from raypipe.controller.telling import Wait
from raypipe.errors import ClusterError
from raypipe.manifests.launches import Launch
from raypipe.manifests.origins import Observed
from raypipe.manifests.pending import objects_in, pending_pods
from raypipe.model.actions import ActionKind, ObjectRef
from raypipe.model.plan import ClusterPlan
from raypipe.model.results import Result
from raypipe.model.snapshot import ClusterSnapshot


class Hands(Protocol):
    """What the loop does to one cluster. Nothing here raises for what a cluster refuses: it is told and tried again."""

    def carry_out(self, plan: ClusterPlan, cluster: ClusterSnapshot, seen: Observed) -> Sequence[Result]:
        """Do what the plan's actions ask for; a result an action."""

    def move_on(
        self, cluster: ClusterSnapshot, seen: Observed, plan: ClusterPlan | None, at: datetime
    ) -> Sequence[Wait]:
        """Do the next step of all that is under way; what is waited for. plan: the last one, None before the first."""

    def taken(self) -> Sequence[Result]:
        """What has been done beside actions since this was asked last: pods bound, pods evicted."""

    def take_back(self, launch: Launch) -> str:
        """Let a launch go that came to nothing; words for a person where that failed, else ""."""

    def exists(self, target: ObjectRef) -> bool:
        """Whether an object is there now, by the API server itself; True where nobody can tell."""


class ClusterHands:
    """Acts by a writer that remembers its steps, and buys by a `NodeBackend`."""

    def __init__(self, writer: StepWriter, backend: NodeBackend) -> None:
        self._writer, self._backend = writer, backend

    def carry_out(self, plan: ClusterPlan, cluster: ClusterSnapshot, seen: Observed) -> Sequence[Result]:
        """Every action, in order; nodes are bought with the pods that they are for."""
        if not any(action.kind is ActionKind.BUY_NODE for action in plan.actions):
            return carry_out(plan, self._writer, self._backend, (), cluster.settings)
        objects = objects_in(seen)
        pods, others = pending_pods(objects, cluster.settings), other_buyers(plan, objects)
        return carry_out(plan, self._writer, self._backend, pods, cluster.settings, others)

    def move_on(
        self, cluster: ClusterSnapshot, seen: Observed, plan: ClusterPlan | None, at: datetime
    ) -> Sequence[Wait]:
        """Fill and open the nodes that were bought, and empty those that are being removed."""
        if not any(node.own or node.leaving for node in cluster.nodes):
            return ()
        objects = objects_in(seen)
        filled = binding.take(binding.binding_steps(objects, cluster.settings, at), self._writer)
        steps, waits = removing.next_steps(cluster, objects, plan)
        return (*_filling(filled), *waits, *removing.take(steps, self._writer, self._backend))

    def taken(self) -> Sequence[Result]:
        """The steps of the writer."""
        return self._writer.taken()

    def take_back(self, launch: Launch) -> str:
        """Delete the claim, or the node that was made without one, as it was seen."""
        try:
            self._writer.delete(ObjectRef(kind=launch.kind, name=launch.name), launch.uid)
        except ClusterError as error:
            return str(error)
        return ""

    def exists(self, target: ObjectRef) -> bool:
        """Ask the API server, which answers with what was written last."""
        try:
            return self._writer.read(target) is not None
        except ClusterError:
            return True


def _filling(taken: Sequence[binding.Taken]) -> list[Wait]:
    """What nodes that are being filled wait for."""
    words = ((one.step.node, one.words or one.step.words) for one in taken)
    return [Wait(object=f"Node//{node}", words=why) for node, why in words if why]
