"""Nodes that are being given back: emptied pod by pod, then deleted, by what is seen and never by what is remembered.

A node that a plan gives back is *marked* first (`mark`): one patch cordons it and writes ``raypipe.io/removing`` with
the decision. From then on the mark alone says what is under way, so whoever looks, this loop or the next, does the next
step (`next_steps`):

    marked ─► a pod has a place on a node that is up      ─► evict it; a disruption budget may say: later
           ─► none has, but one is bought or coming up     ─► wait
           ─► nothing but what every node has is there     ─► delete its claim, or the node itself
           ─► a pod may not be moved, or has nowhere to go ─► stop: take the mark off and let the node be used again

Make before break: a pod goes when its next place is ready, and pods that wait already come first. An interrupted node
is not spared by a pod that has nowhere to go, since it dies anyway. A step that fails is seen to be undone at the next
look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.adapters.kubernetes.server import TOO_MANY, RefusedError
from raypipe.adapters.kubernetes.writing import ConflictError, Writer
from raypipe.adapters.nodes import NodeBackend
from raypipe.controller.telling import Wait
from raypipe.disruption.places import Places, by_size
from raypipe.errors import ClusterError
from raypipe.manifests.objects import Objects
from raypipe.manifests.running import Leaving, RunningPod, leaving_nodes, running_pods
from raypipe.model.actions import REMOVING, Action, ObjectRef
from raypipe.model.nodes import Fact
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import BUDGET
from raypipe.model.snapshot import ClusterSnapshot

MARK_PATH = "/metadata/annotations/" + REMOVING.replace("/", "~1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """Ask a pod to go."""

    node: str
    pod: ObjectRef
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBack:
    """Delete a node's claim, or the node itself where it has none."""

    node: str
    claim: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Take the mark off a node and let it be used again; `why`: what is in the way."""

    node: str
    decision: str
    resource_version: str
    why: str


type Step = Evict | GiveBack | Stop


def mark(action: Action, writer: Writer) -> str:
    """Carry out a RemoveNode: cordon the node and write on it that it is being removed; words to add.

    ConflictError where the node is not the one that the plan saw, somebody else has closed it, or pods have come that
    the plan knew nothing of. To do it twice does nothing more.
    """
    node = writer.read(action.object)
    if node is None:
        return "it is gone already"
    metadata, spec = node["metadata"], node.get("spec", {})
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    if annotations.get(REMOVING) is not None:
        return f"it is being removed already (decision {annotations[REMOVING]})"
    relied = action.precondition
    if relied.get("uid") not in (None, metadata.get("uid")):
        raise ConflictError(f"Node {action.object.name} is another one by now")
    if metadata.get("deletionTimestamp") or spec.get("unschedulable"):
        raise ConflictError(f"Node {action.object.name} has been cordoned or deleted by somebody else")
    known, there = sum(relied.get("pods", {}).values()), _pods_there(action.object.name, writer)
    if there > known:
        raise ConflictError(f"Node {action.object.name} has {there} pods, and the plan knew of {known}")
    decision = action.set["metadata"]["annotations"][REMOVING]
    writer.patch(action.object, _marking(metadata, decision))
    return ""


def _pods_there(node: str, writer: Writer) -> int:
    """How many pods run on a node that do not come with it."""
    found = writer.server.get("/api/v1/pods", {"fieldSelector": f"spec.nodeName={node}"})
    return sum(1 for one in found["items"] if _is_moved(one))


def _is_moved(pod: Mapping[str, Any]) -> bool:
    metadata = pod["metadata"]
    owners = {one.get("kind") for one in metadata.get("ownerReferences") or () if one.get("controller")}
    is_over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not (is_over or metadata.get("deletionTimestamp") or owners & {"DaemonSet", "Node"})


def _marking(metadata: Mapping[str, Any], decision: str) -> list[dict[str, Any]]:
    """The one patch, of the node as it was read: whoever has written to it since wins."""
    operations = [{"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}]
    if not isinstance(metadata.get("annotations"), dict):
        operations.append({"op": "add", "path": "/metadata/annotations", "value": {}})
    operations.append({"op": "add", "path": MARK_PATH, "value": decision})
    operations.append({"op": "add", "path": "/spec/unschedulable", "value": True})
    return operations


def next_steps(
    cluster: ClusterSnapshot, objects: Objects, plan: ClusterPlan | None = None
) -> tuple[tuple[Step, ...], tuple[Wait, ...]]:
    """What to do now for every node that is being removed, and what is waited for.

    cluster: what was observed, as a snapshot; objects: the same one by one.
    plan: the last plan of it, whose unplaced pods have nowhere to go.
    """
    if not any(node.leaving for node in cluster.nodes):
        return (), ()
    pods = running_pods(objects, cluster.settings)
    places = _places(cluster, pods)
    homeless = _homeless(cluster, plan) if plan is not None else frozenset()
    steps: list[Step] = []
    waits: list[Wait] = []
    for one in leaving_nodes(objects):
        there = [pod for pod in pods if pod.node == one.name and not pod.of_node]
        dies = Fact.INTERRUPTED in cluster.facts.get(one.name, ())
        for made in _next(one, there, places, homeless, dies=dies):
            if isinstance(made, Wait):
                waits.append(made)
            else:
                steps.append(made)
    return tuple(steps), tuple(waits)


def _homeless(cluster: ClusterSnapshot, plan: ClusterPlan) -> frozenset[str]:
    """Keys of which more pods have no place than wait for one: those that are to be evicted would have none."""
    left: Counter[str] = Counter()
    for entry in plan.unplaced:
        left[entry.pods] += entry.count
    for group in cluster.demand:
        left[group.key] -= group.count
    return frozenset(key for key, count in left.items() if count > 0)


def _places(cluster: ClusterSnapshot, pods: Sequence[RunningPod]) -> Places:
    """Free room now, after pods that wait for a place."""
    running: dict[str, list[Any]] = {}
    for pod in pods:
        if pod.node is not None:
            running.setdefault(pod.node, []).append(pod.spec)
    places = Places(cluster.nodes, running, cluster.daemonsets)
    for pod in sorted((pod for pod in pods if pod.node is None and not pod.terminating), key=_order):
        places.take(pod.spec)
    return places


def _order(pod: RunningPod) -> tuple[tuple[int, int], str, str]:
    return (by_size(pod.spec), pod.namespace, pod.name)


def _next(
    node: Leaving, there: Sequence[RunningPod], places: Places, homeless: Collection[str], *, dies: bool
) -> Iterator[Step | Wait]:
    """The steps and waits of one node."""
    if node.deleting:
        yield _wait(node.name, "it is being deleted")
        return
    to_go = [pod for pod in there if not pod.terminating]
    why = next(_in_the_way(to_go, homeless), None)
    if why is not None and not dies:
        yield Stop(node=node.name, decision=node.decision, resource_version=node.resource_version, why=why)
        return
    if not there:
        yield GiveBack(node=node.name, claim=node.claim)
        return
    waiting = 0
    for pod in sorted(to_go, key=_order):
        if _stays(pod):
            waiting += 1
        elif places.take(pod.spec):
            target = ObjectRef(kind="Pod", name=pod.name, namespace=pod.namespace)
            yield Evict(node=node.name, pod=target, uid=pod.uid)
        else:
            waiting += 1
    if waiting:
        yield _wait(node.name, f"{waiting} of its pods wait for a node that has room for them")
    elif not to_go:
        yield _wait(node.name, f"{len(there)} of its pods are ending")


def _in_the_way(pods: Iterable[RunningPod], homeless: Collection[str]) -> Iterator[str]:
    """What keeps a node though it is marked: a pod pinned since, or one that the plan finds no place for."""
    for pod in pods:
        if _stays(pod):
            yield f"{pod.namespace}/{pod.name} may not be moved: {pod.held}"
        elif pod.key in homeless:
            yield f"{pod.namespace}/{pod.name} would have nowhere to go"


def _stays(pod: RunningPod) -> bool:
    return bool(pod.held) and not pod.held.startswith(BUDGET)


def _wait(node: str, words: str) -> Wait:
    return Wait(object=f"Node//{node}", words=words)


def take(steps: Iterable[Step], writer: Writer, backend: NodeBackend) -> tuple[Wait, ...]:
    """Carry steps out; what could not be done now is told and comes again with the next look."""
    waits: list[Wait] = []
    for step in steps:
        try:
            _taken(step, writer, backend)
        except ClusterError as error:
            words = str(error)
            if isinstance(step, Evict):
                held = isinstance(error, RefusedError) and error.status == TOO_MANY
                words = f"{step.pod.namespace}/{step.pod.name}: {'a disruption budget holds it' if held else error}"
            waits.append(_wait(step.node, words))
        else:
            if isinstance(step, Stop):
                waits.append(_wait(step.node, f"it is kept after all: {step.why}"))
    return tuple(waits)


def _taken(step: Step, writer: Writer, backend: NodeBackend) -> None:
    if isinstance(step, Evict):
        writer.evict(step.pod, step.uid)
    elif isinstance(step, GiveBack):
        backend.give_back(step.node, step.claim)
    else:
        writer.patch(ObjectRef(kind="Node", name=step.node), _unmarking(step))


def _unmarking(step: Stop) -> list[dict[str, Any]]:
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": step.resource_version},
        {"op": "test", "path": MARK_PATH, "value": step.decision},
        {"op": "remove", "path": MARK_PATH},
        {"op": "add", "path": "/spec/unschedulable", "value": False},
    ]
