"""What binding asks of the objects around a node: which pods are meant for it, and what room is taken there.

Everything is worked out when it is first asked for: mostly no node is on its way, and nothing is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property

import msgspec

from raypipe.manifests.demand import read_daemonset
from raypipe.manifests.nodes import UNSCHEDULABLE, Machine, machines_of
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.manifests.pending import Census, census
from raypipe.manifests.pods import PodReader, pod_reader
from raypipe.manifests.requirements import taints
from raypipe.model.meant import Meant, read_meant
from raypipe.model.nodes import daemonset_reserve
from raypipe.model.pods import DaemonSet, PodSpec
from raypipe.model.resources import Resources, fits, total
from raypipe.settings import Settings

_FINISHED = ("Succeeded", "Failed")


class Surroundings:
    """The objects of one cluster, as binding looks at them."""

    def __init__(self, objects: Objects, settings: Settings) -> None:
        self.settings = settings
        self._objects = objects

    @cached_property
    def _reader(self) -> PodReader:
        return pod_reader(self._objects)

    @cached_property
    def _live(self) -> dict[str, KubeObject]:
        """Live pods by uid."""
        return {
            one.uid: one
            for one in self._objects.of("Pod")
            if one.uid is not None and not one.deleting and one.root.plain("status", "phase") not in _FINISHED
        }

    @cached_property
    def _on_nodes(self) -> dict[str, list[KubeObject]]:
        """Pods that hold room, by node; those that are being deleted hold it until they are gone."""
        found: dict[str, list[KubeObject]] = {}
        for one in self._objects.of("Pod"):
            node = one.root.plain("spec", "nodeName")
            if node and one.root.plain("status", "phase") not in _FINISHED:
                found.setdefault(node, []).append(one)
        return found

    @cached_property
    def _census(self) -> Census:
        return census(self._objects, self.settings)

    @cached_property
    def _uncreated(self) -> Counter[str]:
        """Pods of each key that are wanted and do not exist yet, without those that a node waits for already."""
        return Counter(self._census.uncreated)

    @cached_property
    def _planned(self) -> tuple[dict[str, list[str]], dict[tuple[str, str], set[str]]]:
        """Pods that no node was bought for by name: those that wait by key, those that are bound by node and key."""
        waiting: dict[str, list[str]] = {}
        bound: dict[tuple[str, str], set[str]] = {}
        for pod in self._census.pods:
            if pod.node is not None:
                bound.setdefault((pod.node, pod.key), set()).add(pod.uid)
            elif not pod.awaited:
                waiting.setdefault(pod.key, []).append(pod.uid)
        return waiting, bound

    @cached_property
    def _daemonsets(self) -> list[DaemonSet]:
        return [read_daemonset(one, self._reader) for one in self._objects.of("DaemonSet") if not one.deleting]

    def spec(self, pod: KubeObject) -> PodSpec:
        """What a pod asks for."""
        return self._reader.spec(pod.root, pod.namespace, pod=pod.name)

    def taken(self, node: KubeObject, labels: Mapping[str, str]) -> Resources:
        """What pods on a node hold, and DaemonSets whose pod is still to come."""
        there = self._on_nodes.get(node.name, [])
        owners = {f"DaemonSet/{one.namespace}/{one.owner.name}" for one in there if one.owner is not None}
        reserve = daemonset_reserve(labels, tuple(taints(node.spec.get("taints"))), self._daemonsets, owners)
        return total([reserve, *(self.spec(one).requests for one in there)])

    def wanted(self, machine: Machine, node: KubeObject) -> tuple[list[KubeObject], int]:
        """Pods meant for a node that have none, in plan order, and how many are still to be created."""
        wanted: list[KubeObject] = []
        missing = 0
        for key, one in _meant(machine).items():
            named = [self._live[uid] for uid in one.uids if uid in self._live]
            wanted += [pod for pod in named if not pod.root.plain("spec", "nodeName")]
            if one.count:
                later, left = self._later(node.name, key, one)
                wanted += later
                missing += left
        return wanted, missing

    def _later(self, node: str, key: str, one: Meant) -> tuple[list[KubeObject], int]:
        """Pods that had no uid when the node was bought: those that live and wait now, and how many are still to come.

        No more come than are wanted: the rest has a place elsewhere, or its owner has ended or wants fewer.
        """
        waiting, bound = self._planned
        count = max(0, one.count - len(bound.get((node, key), set()) - set(one.uids)))
        taken = [waiting[key].pop(0) for _ in range(min(count, len(waiting.get(key, ()))))]
        base = key.partition("@")[0]
        missing = min(count - len(taken), self._uncreated[base])
        self._uncreated[base] -= missing
        return [self._live[uid] for uid in taken], missing

    @cached_property
    def _awaited(self) -> dict[str, list[KubeObject]]:
        """Pods without a node that will be bound to one, by the node (or claim) that was bought for them."""
        found: dict[str, list[KubeObject]] = {}
        for machine in machines_of(self._objects):
            meant = _meant(machine) if machine.own and not (machine.is_open or machine.is_orphaned) else {}
            uids = (uid for one in meant.values() for uid in one.uids)
            pods = (self._live[uid] for uid in uids if uid in self._live)
            waits = [pod for pod in pods if not pod.root.plain("spec", "nodeName") and self.is_ours_to_bind(pod)]
            if waits and not machine.deleting:
                found[machine.name] = waits
        return found

    def taking(self, node: KubeObject, free: Resources) -> int:
        """How many pods that other nodes were bought for the scheduler could put into the free room of this one."""
        labels, repelling = node.labels.labels(), tuple(taints(node.spec.get("taints")))
        stays = tuple(taint for taint in repelling if taint.key != UNSCHEDULABLE)
        others = (pod for name, pods in self._awaited.items() if name != node.name for pod in pods)
        specs = (self.spec(pod) for pod in others)
        return sum(fits(spec.requests, free) and spec.may_run_on(labels, stays) for spec in specs)

    def is_ours_to_bind(self, pod: KubeObject) -> bool:
        """Whether nothing about the pod is for the scheduler to decide."""
        spec = pod.spec
        if spec.get("schedulerName").text() not in ("", "default-scheduler"):
            return False
        if spec.get("schedulingGates").items() or spec.get("resourceClaims").items():
            return False
        return all(self._is_settled(pod, volume.value) for volume in spec.get("volumes").items())

    def _is_settled(self, pod: KubeObject, volume: object) -> bool:
        """Whether a volume needs no decision of the scheduler's: its claim, where it has one, is bound."""
        stated = volume if isinstance(volume, dict) else {}
        if "ephemeral" in stated:
            return False
        name = (stated.get("persistentVolumeClaim") or {}).get("claimName")
        if name is None:
            return True
        claim = self._objects.named(f"PersistentVolumeClaim/{pod.namespace}/{name}")
        return claim is not None and claim.status.get("phase").text() == "Bound"


def _meant(machine: Machine) -> dict[str, Meant]:
    note = machine.meant
    try:
        return {} if note is None else read_meant(note.text())
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {}  # told where the cluster is read
