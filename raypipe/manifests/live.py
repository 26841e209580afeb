"""Pods that exist: counted under their keys where they want a place, under their node where they have one.

Live pods are neither finished nor being deleted. Bound ones take room where they are, and so do terminating ones until
they are gone. Pods of DaemonSets and of Nodes (static pods) are reserve of their node, never demand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from raypipe.manifests.controllers import claim_templates
from raypipe.manifests.eviction import Eviction
from raypipe.manifests.fields import Field
from raypipe.manifests.gangs import pod_group_of
from raypipe.manifests.keys import Key, Keys, Member
from raypipe.manifests.kuberay import REPLICA
from raypipe.manifests.nodes import machines_of
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.manifests.pods import PodReader
from raypipe.model.meant import EXPECTED, Meant, read_meant
from raypipe.model.pods import BoundPods, PodSpec

FINISHED = ("Succeeded", "Failed")
STAYS_ON_ITS_NODE = ("ignored", "not-managed")
"""Reasons for which a bound pod is its node's reserve. (A gated pod is not bound; an expendable one stays a pod.)"""

type Reason = Callable[[Field, PodSpec], str | None]


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A live pod that some node names by its uid.

    Attributes:
        name: as plans call it. node: where it is bound already. pod: its own name.
    """

    key: Key
    name: str
    mark: int
    node: str | None
    pod: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePod:
    """A live pod that plans place, by the key that they call it.

    node: where it is bound, or None. awaited: some node was bought for it by its uid.
    """

    key: str
    uid: str
    namespace: str
    name: str
    node: str | None
    awaited: bool


class LivePods:
    """One pass over the pods, and over the nodes for those on their way.

    named: the pods that plans place, one by one, where they were asked for; plans need counts alone.
    uncreated: how many pods of a key are wanted and do not exist yet, whichever node they have a place on.
    """

    def __init__(
        self,
        objects: Objects,
        reader: PodReader,
        keys: Keys,
        reason: Reason,
        eviction: Eviction,
        *,
        named: bool = False,
    ) -> None:
        self.named: list[LivePod] = []
        self.uncreated: Mapping[str, int] = {}
        self._is_naming = named
        self._objects = objects
        self._reader = reader
        self._keys = keys
        self._reason = reason
        self._eviction = eviction
        self._bound: Counter[tuple[str, str, int, bool, str | None, str, bool, str]] = Counter()
        self._meant = self._read_meant()
        self._awaited = {uid for meant in self._meant.values() for one in meant.values() for uid in one.uids}
        self._seen: dict[str, _Awaited] = {}
        self._free: dict[str, dict[str, int]] = {}
        self._turned_away: set[str] = set()
        self._leaving = {one.name for one in machines_of(objects) if one.is_being_removed}

    def count_all(self, left_out: Counter[tuple[str, str]]) -> None:
        """Count every pod; those that are not planned in `left_out`, by key and reason."""
        for one in self._objects.of("Pod"):
            if one.root.plain("status", "phase") not in FINISHED:
                self._count(one, left_out)
        self.uncreated = {key.key: key.missing for key in self._keys if key.missing and key.closed is None}
        for key in self._keys:
            self._count_own(key)
        self._on_the_way()
        if self._turned_away:
            self.named = [replace(one, awaited=False) if one.uid in self._turned_away else one for one in self.named]

    def bound(self) -> list[BoundPods]:
        """The pods that are bound, like ones on one node as one, in order."""
        result = []
        for (node, name, mark, counted, daemonset, base, terminating, held), count in self._bound.items():
            if not count:
                continue
            key = self._keys.get(base) if counted else None
            pods = BoundPods(
                node=node,
                key=name,
                spec=self._keys.spec(mark),
                count=count,
                counted=counted,
                daemonset=daemonset,
                created=key.created if key is not None else None,
                terminating=terminating,
                held=held,
            )
            result.append(pods)
        return sorted(result, key=_order)

    def _count(self, one: KubeObject, left_out: Counter[tuple[str, str]]) -> None:
        node = one.root.plain("spec", "nodeName")
        if node is not None and (not isinstance(node, str) or not node):
            node = one.spec.get("nodeName").text() or None
        top = self._objects.topmost(one)
        spec = self._reader.spec(one.root, one.namespace, pod=one.name, claims=claim_templates(top))
        absent = top.owner.kind if top.kind == "Pod" and top.owner is not None else None
        if absent == "Node":
            self._reserve(node, one, one.key, spec)
        elif "DaemonSet" in (top.kind, absent):
            name = self._keys.of_pod(one, top).key
            self._reserve(node, one, name, spec, daemonset=name)
        elif one.deleting:
            self._reserve(node, one, self._keys.of_pod(one, top).key, spec)
        else:
            self._count_live(one, self._keys.of_pod(one, top), spec, node, left_out)

    def _reserve(
        self, node: str | None, one: KubeObject, name: str, spec: PodSpec, daemonset: str | None = None
    ) -> None:
        """A pod that takes room on its node and stands in no plan."""
        if node is not None:
            self._bound[node, name, self._keys.kept(spec), False, daemonset, name, one.deleting, ""] += 1

    def _count_live(
        self, one: KubeObject, key: Key, spec: PodSpec, node: str | None, left_out: Counter[tuple[str, str]]
    ) -> None:
        if key.gang is None:
            self._name_gang(one, key)
        key.live += 1
        key.own.pop(one.name, None)
        reason = self._reason(one.root, spec)
        spec = self._keys.settled(key, spec)
        name, mark = self._keys.spelt(key, spec), self._keys.kept(spec)
        if self._is_naming and reason is None:
            self._name(one, name, node)
        if node is not None:
            key.bound += 1
            planned = reason not in STAYS_ON_ITS_NODE
            held = self._eviction.held(one) or ("" if planned else f"{reason}: raypipe plans no place for it")
            self._bound[node, name, mark, planned, None, key.key, False, held] += 1
        elif reason is not None:
            left_out[name, reason] += 1
        else:
            key.unbound[mark] += 1
        if key.members is not None:
            waits = node is None and reason is None and spec is key.template
            key.members[one.name] = Member(replica=one.label(REPLICA) or "", waits=waits)
        if one.uid in self._awaited and (node is not None or reason is None):
            self._seen[one.uid] = _Awaited(key, name, mark, node, one.name)

    def _name(self, one: KubeObject, key: str, node: str | None) -> None:
        if one.uid is not None:
            self.named.append(
                LivePod(
                    key=key,
                    uid=one.uid,
                    namespace=one.namespace,
                    name=one.name,
                    node=node,
                    awaited=one.uid in self._awaited,
                )
            )

    def _name_gang(self, one: KubeObject, key: Key) -> None:
        """Pods name their PodGroup themselves where no template does: KAI's grouper annotates pods alone."""
        name = pod_group_of(one.root)
        if name is not None:
            key.gang = f"PodGroup/{one.namespace}/{name}"

    def _count_own(self, key: Key) -> None:
        """Pods still to be created that are not like the template stand beside the live ones that wait."""
        if key.closed is None:
            for spec in list(key.own.values())[: key.missing]:
                key.live += 1
                key.unbound[self._keys.kept(self._keys.settled(key, spec))] += 1

    def _read_meant(self) -> dict[str, Mapping[str, Meant]]:
        """For which pods nodes were bought, by name of the node; those of one that is given up are free again."""
        meant: dict[str, Mapping[str, Meant]] = {}
        for one in machines_of(self._objects):
            note = one.meant
            if note is None or one.deleting or one.is_orphaned:
                continue
            try:
                meant[one.name] = read_meant(note.word())
            except (msgspec.DecodeError, UnicodeEncodeError):
                note.problem(repr(note.value)[:60], EXPECTED)
        return meant

    def _on_the_way(self) -> None:
        """Nodes bought whose pods are not created or not bound yet: these pods have their place there.

        Pods named by uid come first: another node's count of the same key must not take them.
        """
        there: Counter[tuple[str, str]] = Counter()
        for (node, name, *_), count in self._bound.items() if self._meant else ():
            there[node, name] += count
        self._free = self._free_room() if any(self._meant.values()) else {}
        for node, meant in self._meant.items():
            for name, one in meant.items():
                for uid in one.uids:
                    there[node, name] -= self._place_pod(node, name, uid)
        for node, meant in self._meant.items():
            for name, one in meant.items():
                self._place(node, name, one.count - there[node, name])

    def _place_pod(self, node: str, name: str, uid: str) -> int:
        """Give a pod its place, unless it is bound, changed or gone; 1 where it is bound to this node already."""
        pod = self._seen.pop(uid, None)
        if pod is None or pod.name != name:
            return 0
        if pod.node is None and not self._fitting(node, pod.mark, 1):
            self._turned_away.add(uid)
        elif pod.node is None:
            pod.key.unbound[pod.mark] -= self._placed(node, name, pod.key, pod.mark, 1)
            if pod.key.members is not None:
                pod.key.members[pod.pod].waits = False
        return int(pod.node == node)

    def _place(self, node: str, name: str, count: int) -> None:
        """Give at most `count` pods of a key, live ones first, their place on a node; `name` may name a shape."""
        key = self._keys.get(name.partition("@")[0])
        if key is None or key.template is None:
            return
        for mark in [mark for mark in key.unbound if self._keys.spelt(key, self._keys.spec(mark)) == name]:
            live = self._fitting(node, mark, min(max(0, count), key.unbound[mark]))
            key.unbound[mark] -= live
            count -= self._placed(node, name, key, mark, live)
        if name == key.key and key.closed is None:
            mark = self._keys.kept(key.template)
            created = self._fitting(node, mark, min(max(0, count), key.missing))
            key.live += self._placed(node, name, key, mark, created)
            count -= created
        if count > 0 and self._leaving:
            self._move(node, name, count)

    def _move(self, node: str, name: str, count: int) -> None:
        """Give pods that raypipe is about to evict the place that was bought for them: they are no demand meanwhile."""
        for mark, there in sorted(self._bound.items(), key=lambda entry: entry[0][:3]):
            if mark[0] in self._leaving and mark[1] == name and mark[3]:
                moved = min(count, there)
                self._bound[mark] -= moved
                self._bound[node, *mark[1:]] += moved
                count -= moved

    def _free_room(self) -> dict[str, dict[str, int]]:
        """What is left of each open node that was bought for pods, by resource that it shows: others may have come."""
        free = {
            one.name: _shown(one.node)
            for one in machines_of(self._objects)
            if one.node is not None and self._meant.get(one.name) and one.is_open
        }
        for (node, _, mark, *_), count in self._bound.items():
            if node in free:
                self._take_room(node, mark, count, free)
        return free

    def _take_room(self, node: str, mark: int, count: int, free: dict[str, dict[str, int]]) -> None:
        for name, amount in self._keys.spec(mark).requests.items():
            if name in free[node]:
                free[node][name] -= amount * count

    def _fitting(self, node: str, mark: int, count: int) -> int:
        """How many of so many pods still have a place on the node that was bought for them; they take it.

        A node that the scheduler does not see yet keeps it for them. On an open one it may have put others.
        """
        if node not in self._free:
            return count
        free, asked = self._free[node], self._keys.spec(mark).requests
        shares = [max(0, free[name]) // amount for name, amount in asked.items() if amount and name in free]
        fitting = min([count, *shares])
        self._take_room(node, mark, fitting, self._free)
        return fitting

    def _placed(self, node: str, name: str, key: Key, mark: int, count: int) -> int:
        if count:
            self._bound[node, name, mark, True, None, key.key, False, ""] += count
        return count


def _shown(node: KubeObject) -> dict[str, int]:
    """What a node has of each resource that it shows by now."""
    amounts = {name: amount.quantity(name) for name, amount in node.status.get("allocatable").fields()}
    return {name: amount for name, amount in amounts.items() if amount}


def _order(one: BoundPods) -> tuple[str, str, bool, str, bool, str, bytes]:
    return (
        one.node,
        one.key,
        one.counted,
        one.daemonset or "",
        one.terminating,
        one.held,
        msgspec.json.encode(one.spec, order="sorted"),
    )
