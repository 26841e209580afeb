"""A saved plan carried out on one cluster: looked at, written, and stayed with until what it bought is in use.

The loop does the same for ever; here it is done once, for a plan that a person has read. What is under way is kept in
the cluster, so whoever is interrupted applies the same plan again: what is done is found done, and it goes on.

Without waiting nobody would be there to bind the pods, so nodes then come up open and the scheduler binds.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from raypipe.adapters.kubernetes import Observer, Server, Writer, look
from raypipe.adapters.nodes import NodeBackend
from raypipe.adapters.nodes.chosen import backend_called
from raypipe.controller import removing
from raypipe.controller.acting import carry_out
from raypipe.controller.binding import binding_steps, take
from raypipe.controller.one_buyer import other_buyers
from raypipe.errors import ClusterError
from raypipe.manifests import read_paths
from raypipe.manifests.nodes import Machine, machines_of
from raypipe.manifests.objects import Objects
from raypipe.manifests.origins import Observed
from raypipe.manifests.pending import objects_in, pending_pods
from raypipe.manifests.running import leaving_nodes
from raypipe.model.actions import ActionKind
from raypipe.model.nodes import KARPENTER, KWOK, PRINT
from raypipe.model.plan import ClusterPlan
from raypipe.model.results import Outcome, Result
from raypipe.settings import Settings

_PAUSE_S = 0.1
"""Between two looks at what has changed: many changes come at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of a plan: its actions, and of the nodes bought those that are not in use, with why not."""

    results: tuple[Result, ...]
    waiting: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether everything was done and is in use."""
        return not self.waiting and all(one.outcome is Outcome.DONE for one in self.results)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Where words go while a plan is applied: what happens now, and objects for others to make."""

    progress: Callable[[str], None]
    show: Callable[[str], None]


def apply(plan: ClusterPlan, settings: Settings, telling: Telling, *, wait: bool) -> Applied:
    """Carry out one cluster's plan; ClusterError where it cannot be reached, or is not raypipe's alone to buy for."""
    if plan.context is None:
        raise ClusterError(f"{plan.name}: planned from files, so there is no cluster to carry it out on")
    settings = settings if wait else dataclasses.replace(settings, bind="scheduler")
    server = Server(plan.context)
    try:
        seen = look([plan.context])[plan.context]
        if seen.error is not None:
            raise ClusterError(seen.error)
        objects = objects_in(seen)
        if problems := other_buyers(plan, objects):
            raise ClusterError("\n".join(problems))
        writer = Writer(server)
        backend = _backend(plan, seen, writer, telling)
        telling.progress(f"{plan.name}: {len(plan.actions)} actions")
        results = carry_out(plan, writer, backend, pending_pods(objects, settings), settings)
        ours = wait and backend.name in (KARPENTER, KWOK)
        bought, marked = _done(results, ActionKind.BUY_NODE), _done(results, ActionKind.REMOVE_NODE)
        stay = _Stay(plan=plan, bought=bought if ours else frozenset(), marked=marked if wait else frozenset())
        waiting = stay.until_done(settings, writer, backend, telling) if stay.names else {}
        return Applied(results=results, waiting=waiting)
    finally:
        server.close()


def _backend(plan: ClusterPlan, seen: Observed, writer: Writer, telling: Telling) -> NodeBackend:
    """Where the plan's nodes come from; claims that the cluster does not know are shown, for others to make."""
    name = plan.nodes_backend or PRINT
    if name == KARPENTER and "NodeClaim" not in seen.served:
        name = PRINT
    region = next((node.region for node in plan.nodes), "")
    return backend_called(name, writer, telling.show, plan.name, region)


def _done(results: tuple[Result, ...], kind: ActionKind) -> frozenset[str]:
    """The objects of actions of a kind that are done."""
    done = (one.action for one in results if one.outcome is Outcome.DONE)
    return frozenset(action.object.name for action in done if action.kind is kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stay:
    """What is stayed with until it is done: nodes `bought` are filled and opened, `marked` ones emptied and deleted."""

    plan: ClusterPlan
    bought: frozenset[str]
    marked: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        return self.bought | self.marked

    def until_done(self, settings: Settings, writer: Writer, backend: NodeBackend, telling: Telling) -> dict[str, str]:
        """Take every step that is due; nodes that were not done in time, with what was waited for."""
        until = time.monotonic() + settings.launch_timeout_s + settings.bind_wait_s
        waiting = dict.fromkeys(sorted(self.names), "nothing is known of it")
        kept: dict[str, str] = {}
        with Observer(Server(self.plan.context or "")) as observer:
            change = 0
            while waiting.keys() - kept.keys() and time.monotonic() < until:
                change = observer.wait(change, timeout_s=1.0)
                seen = observer.seen()
                if seen.error is None:
                    objects = objects_in(seen)
                    waiting = _moved_on(objects, self.bought, settings, writer)
                    waiting |= self._emptied(seen, objects, settings, writer, backend, kept) | kept
                    done = len(self.names) - len(waiting)
                    telling.progress(f"{self.plan.name}: {done} of {len(self.names)} nodes are filled or given back")
                time.sleep(_PAUSE_S if waiting else 0.0)
        return waiting

    def _emptied(
        self,
        seen: Observed,
        objects: Objects,
        settings: Settings,
        writer: Writer,
        backend: NodeBackend,
        kept: dict[str, str],
    ) -> dict[str, str]:
        """Take the next steps of marked nodes; what those that are still there wait for, and in `kept` who stays."""
        there = {one.name for one in leaving_nodes(objects)} & self.marked if self.marked else set()
        if not there:
            return {}
        (cluster,) = read_paths((), contexts=(seen.context,), observe=lambda _: {seen.context: seen}).clusters
        cluster = dataclasses.replace(cluster, settings=settings)
        steps, waits = removing.next_steps(cluster, objects, self.plan)
        waits += removing.take([one for one in steps if one.node in there], writer, backend)
        kept |= {one.node: f"it is kept after all: {one.why}" for one in steps if isinstance(one, removing.Stop)}
        words = {one.object.rpartition("/")[2]: one.words for one in waits}
        return {name: words.get(name, "it is being emptied") for name in sorted(there)}


def _moved_on(objects: Objects, names: frozenset[str], settings: Settings, writer: Writer) -> dict[str, str]:
    """Take the steps that are due; what each node that is not open yet waits for."""
    machines = {name: one for one in machines_of(objects) if (name := _called(one)) in names}
    ours = {one.name for one in machines.values()}
    steps = [one for one in binding_steps(objects, settings, datetime.now(UTC)) if one.node in ours]
    taken = {one.step.node: one.words or one.step.words for one in take(steps, writer)}
    told = {name: _words(machines.get(name), taken) for name in sorted(names)}
    return {name: words for name, words in told.items() if words is not None}


def _called(machine: Machine) -> str:
    """As it was bought: Karpenter's nodes have other names than their claims."""
    return machine.claim.name if machine.claim is not None else machine.name


def _words(machine: Machine | None, taken: Mapping[str, str]) -> str | None:
    """What a node waits for, None where it is open: no step is left to take."""
    if machine is None or machine.deleting:
        return "it is gone"
    if machine.node is None:
        return "it has not registered"
    return None if machine.name not in taken else taken[machine.name] or "its pods are being bound"
