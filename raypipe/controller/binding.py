"""Planned pods are bound to the node that was bought for them, before the scheduler sees that node.

A tight packing is not reproduced by kube-scheduler: of 135 pods that fill 60 nodes it leaves about ten pending for
ever. So each node bought comes up closed, is filled as planned, and is then opened. Four steps, each looked for anew
in what is observed, so that a loop which was killed goes on where it was:

1. **Close.** As soon as the node is registered, one patch cordons it (annotation ``raypipe.io/cordoned``) and takes the
   startup taint off: DaemonSet pods tolerate a cordon and not the taint, and a GPU's device plugin is one of them.
2. **Wait** until the node is Ready and shows every resource and label that its pods ask for: a kubelet refuses a pod
   that is bound too early, and the pod is lost.
3. **Bind** what fits the node *as it really came up*, in plan order; pods that live first, others as they appear. What
   does not fit is planned again.
4. **Open.** Once all are bound and no pod that another node was bought for would take what room is left, or
   `bind_wait_s` after the node was Ready: uncordon, where our annotation stands. Pods still waiting then get
   ``status.nominatedNodeName``, and the scheduler goes on.

What the scheduler must decide is left to it from the start: volumes that wait for their first consumer, resource
claims, another scheduler's pods. With the setting ``bind: scheduler`` a closed node is opened at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from raypipe.adapters.kubernetes.writing import AT_ONCE, ConflictError, Writer
from raypipe.controller.surroundings import Surroundings
from raypipe.errors import ClusterError
from raypipe.manifests.nodes import CORDONED, STARTING, UNREGISTERED, Machine, machines_of
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.manifests.requirements import NODE_NAME
from raypipe.model.actions import DECISION, REMOVING, ObjectRef
from raypipe.model.meant import MEANT_PODS, NOBODY
from raypipe.model.pods import PodSpec
from raypipe.model.resources import Resources, fits, minus
from raypipe.planner.patches import Change, Operation, annotation_change, json_patch
from raypipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod by its name and uid."""

    namespace: str
    name: str
    uid: str

    @property
    def ref(self) -> ObjectRef:
        """What writes call it."""
        return ObjectRef(kind="Pod", name=self.name, namespace=self.namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done with one node now, in this order.

    Attributes:
        binds: pods to bind to it. nominated: pods that the scheduler is to put there. patch: of the node, to close or
            open it, once all that is done. words: what is waited for, for a person, or why it is opened without all.
    """

    node: str
    binds: tuple[Pod, ...] = ()
    nominated: tuple[Pod, ...] = ()
    patch: tuple[Operation, ...] = ()
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a step: how many pods were bound, and what went wrong, "" where nothing did.

    What went wrong is looked at anew the next time; a node is not opened before.
    """

    step: Step
    bound: int = 0
    words: str = ""


def take(steps: Sequence[Step], writer: Writer) -> tuple[Taken, ...]:
    """Carry the steps out, several nodes at once; what became of each, in order."""
    if not steps:
        return ()
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(steps)), thread_name_prefix="bind") as threads:
        return tuple(threads.map(partial(_taken, writer), steps))


def _taken(writer: Writer, step: Step) -> Taken:
    bound, wrong = 0, ""
    for pod in step.binds:
        try:
            writer.bind(pod.ref, pod.uid, step.node)
            bound += 1
        except ConflictError:  # it is gone, or somebody else has given it a node: nothing is left to do for it
            continue
        except ClusterError as error:
            wrong = str(error)
    if wrong:
        return Taken(step=step, bound=bound, words=wrong)
    try:
        for pod in step.nominated:
            _nominate(writer, pod, step.node)
        if step.patch:
            writer.patch(ObjectRef(kind="Node", name=step.node), step.patch)
    except ClusterError as error:
        return Taken(step=step, bound=bound, words=str(error))
    return Taken(step=step, bound=bound)


def _nominate(writer: Writer, pod: Pod, node: str) -> None:
    change = {"metadata": {"uid": pod.uid}, "status": {"nominatedNodeName": node}}
    try:
        writer.merge(pod.ref, change, subresource="status")
    except ConflictError:  # gone, or another pod of the same name
        return


def binding_steps(objects: Objects, settings: Settings, now: datetime) -> tuple[Step, ...]:
    """The next step of every node that is on its way to be opened, in order of name; none where all are open."""
    known = Surroundings(objects, settings)
    steps = (_step(machine, known, now) for machine in machines_of(objects) if machine.own and not machine.deleting)
    return tuple(step for step in steps if step is not None)


def _step(machine: Machine, known: Surroundings, now: datetime) -> Step | None:
    node = machine.node
    if node is None or node.annotation(REMOVING) is not None:
        return None
    cordoned, closed = node.annotation(CORDONED), node.spec.get("unschedulable").boolean()
    keys = [one.get("key").text() for one in node.spec.get("taints").items()]
    if UNREGISTERED in keys:  # which Karpenter replaces by the startup taints
        return Step(node=node.name, words="it is not registered yet")
    if STARTING in keys:
        if closed and cordoned is None:
            return Step(node=node.name, words="somebody else has cordoned it")
        return Step(node=node.name, patch=_closing(machine, node, keys.index(STARTING), known.settings))
    if cordoned is None:
        return None
    if not closed or known.settings.bind == "scheduler":
        return Step(node=node.name, patch=_opening(node, cordoned))
    return _filling(machine, node, cordoned, known, now)


def _closing(machine: Machine, node: KubeObject, place: int, settings: Settings) -> tuple[Operation, ...]:
    """Cordon and take the startup taint off, in one; with the scheduler binding, only the latter."""
    path = f"/spec/taints/{place}"
    taint = Change(path=path, old=node.root.plain("spec", "taints")[place], new=None)
    if settings.bind == "scheduler":
        return json_patch(node.uid, [taint])
    decision = node.annotation(DECISION) or (machine.claim.annotation(DECISION) if machine.claim else None) or ""
    mark = annotation_change(CORDONED, node.annotation(CORDONED), decision, annotated=node.annotated)
    cordon = Change(path="/spec/unschedulable", old=node.root.plain("spec", "unschedulable"), new=True)
    return json_patch(node.uid, [cordon, mark, taint])


def _opening(node: KubeObject, cordoned: str) -> tuple[Operation, ...]:
    """Uncordon where our annotation stands; nobody is meant for the node any longer."""
    closed = node.root.plain("spec", "unschedulable")
    meant = annotation_change(MEANT_PODS, node.annotation(MEANT_PODS), NOBODY, annotated=True)
    mark = annotation_change(CORDONED, cordoned, None, annotated=True)
    cordon = [Change(path="/spec/unschedulable", old=closed, new=None)] if closed else []
    return json_patch(node.uid, [*cordon, mark, meant])


def _filling(machine: Machine, node: KubeObject, cordoned: str, known: Surroundings, now: datetime) -> Step:
    ready = _ready_since(node)
    if ready is None:
        return Step(node=node.name, words="it is not Ready yet")
    late = now - ready >= timedelta(seconds=known.settings.bind_wait_s)
    wanted, missing = known.wanted(machine, node)
    fill = _Fill.of(node, wanted, known)
    taking = 0 if late else known.taking(node, fill.free)
    opens = late or not (fill.not_yet or missing or taking)
    words = _words(len(fill.not_yet), missing, taking)
    return Step(
        node=node.name,
        binds=tuple(fill.binds),
        nominated=tuple(_named(pod) for pod in (*fill.others, *fill.not_yet)) if opens else (),
        patch=_opening(node, cordoned) if opens else (),
        words=words and (f"opened after {known.settings.bind_wait_s} s: {words}" if late else words),
    )


def _words(not_yet: int, missing: int, taking: int) -> str:
    parts = [f"it does not show yet what {not_yet} pods ask for"] if not_yet else []
    parts += [f"its room is kept from {taking} pods of other nodes"] if taking else []
    parts += [f"{missing} pods are not created yet"] if missing else []
    return " and ".join(parts)


def _ready_since(node: KubeObject) -> datetime | None:
    """Since when the node is Ready, None where it is not."""
    for one in node.status.get("conditions").items():
        if one.get("type").value == "Ready" and one.get("status").value == "True":
            try:
                return datetime.fromisoformat(one.get("lastTransitionTime").text())
            except ValueError:
                return None
    return None


@dataclass(slots=True, kw_only=True)
class _Fill:
    """Pods of a node in plan order: to bind now, for the scheduler, and those whose needs the node does not show yet.

    Those that do not fit the node as it came up are in none of them. free: what room is left.
    """

    free: Resources
    binds: list[Pod]
    others: list[KubeObject]
    not_yet: list[KubeObject]

    @classmethod
    def of(cls, node: KubeObject, wanted: Iterable[KubeObject], known: Surroundings) -> _Fill:
        labels = {**node.labels.labels(), NODE_NAME: node.name}
        shown = {name: one.quantity(name) for name, one in node.status.get("allocatable").fields()}
        fill = cls(free=minus(shown, known.taken(node, labels)), binds=[], others=[], not_yet=[])
        for pod in wanted:
            spec = known.spec(pod)
            if not _shows(shown, labels, spec):
                fill.not_yet.append(pod)
                fill.free = minus(fill.free, spec.requests)  # its share stays its own
            elif fits(spec.requests, fill.free):
                fill.free = minus(fill.free, spec.requests)
                if known.is_ours_to_bind(pod):
                    fill.binds.append(_named(pod))
                else:
                    fill.others.append(pod)
        return fill


def _shows(shown: Resources, labels: Mapping[str, str], spec: PodSpec) -> bool:
    """Whether the node has by now everything of a kind that the pod asks for."""
    return spec.selects(labels) and all(shown.get(name, 0) > 0 for name, asked in spec.requests.items() if asked)


def _named(pod: KubeObject) -> Pod:
    return Pod(namespace=pod.namespace, name=pod.name, uid=pod.uid or "")
