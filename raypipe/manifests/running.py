"""Live pods one by one, with what it takes to evict them: a plan knows keys and counts, whoever acts needs uids."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.manifests.controllers import claim_templates
from raypipe.manifests.eviction import Eviction
from raypipe.manifests.keys import Keys
from raypipe.manifests.live import FINISHED
from raypipe.manifests.nodes import machines_of
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.manifests.pods import PodReader, pod_reader
from raypipe.model.actions import REMOVING
from raypipe.model.pods import PodSpec
from raypipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPod:
    """A pod that is not over.

    Attributes:
        key: as plans call it, or what stands for it. spec: what it requests and where it may run.
        node: where it is bound, or None. of_node: it comes with every node (DaemonSet, static pod) and is never moved.
        held: why it may not be moved, or nothing. terminating: it is ending.
    """

    namespace: str
    name: str
    uid: str
    key: str
    spec: PodSpec
    node: str | None = None
    of_node: bool = False
    held: str = ""
    terminating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A node that raypipe is emptying, with what is needed to go on or to stop."""

    name: str
    uid: str
    resource_version: str
    decision: str
    claim: str | None
    deleting: bool


def leaving_nodes(objects: Objects) -> list[Leaving]:
    """Nodes with the mark ``raypipe.io/removing``, in order of name."""
    return [
        Leaving(
            name=one.name,
            uid=one.node.uid or "",
            resource_version=one.node.resource_version or "",
            decision=one.node.annotation(REMOVING) or "",
            claim=one.claim.name if one.claim is not None else None,
            deleting=one.deleting,
        )
        for one in machines_of(objects)
        if one.node is not None and one.is_being_removed
    ]


def running_pods(objects: Objects, settings: Settings) -> list[RunningPod]:
    """All pods that are not over, in order of namespace and name."""
    reader, eviction = pod_reader(objects), Eviction(objects, move_local_storage=settings.move_local_storage)
    keys = Keys(objects, reader.selected)
    pods = (one for one in objects.of("Pod") if one.root.plain("status", "phase") not in FINISHED)
    return sorted(
        (_running(one, objects, reader, eviction, keys) for one in pods), key=lambda one: (one.namespace, one.name)
    )


def _running(one: KubeObject, objects: Objects, reader: PodReader, eviction: Eviction, keys: Keys) -> RunningPod:
    top = objects.topmost(one)
    absent = top.owner.kind if top.kind == "Pod" and top.owner is not None else None
    node = one.root.plain("spec", "nodeName")
    return RunningPod(
        namespace=one.namespace,
        name=one.name,
        uid=one.uid or "",
        key=keys.of_pod(one, top).key,
        spec=reader.spec(one.root, one.namespace, pod=one.name, claims=claim_templates(top)),
        node=node if isinstance(node, str) and node else None,
        of_node=absent == "Node" or "DaemonSet" in (top.kind, absent),
        held=eviction.held(one),
        terminating=one.deleting,
    )
