"""Events on the objects that a decision is about, where ``kubectl describe`` shows them.

* A pod that the plan gives no place says so itself, with the filter or limit that kept it out. Of many pods of one key
  the first few do, and their owner says how many there are.
* The owner of pods for which nodes were bought says which.
* Every object that an action was about says what became of it: a claim, a node, a Ray object, a pod.

An object that was made a moment ago has no uid yet that we know of, and an Event without it is not shown: what is said
of it waits until it is seen, for a few cycles. In a dry run nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, Protocol

from raypipe.controller.event_writer import Said, Subject
from raypipe.controller.telling import Mode, Telling
from raypipe.manifests.objects import CLUSTER_SCOPED
from raypipe.manifests.origins import Observed
from raypipe.manifests.waiting import waiting_pods
from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.plan import ClusterPlan
from raypipe.model.results import Outcome, Result
from raypipe.model.snapshot import FleetSnapshot

MOST_PODS = 10
"""Pods of one key that say themselves that they have no place."""
MOST_A_CYCLE = 100
"""Events a cluster and cycle; what is said first counts most: what failed, then what has no place, then the rest."""
LOOKS = 5
"""How many looks at the cluster an object that was made is waited for."""
MOST_NAMED = 3


class Writes(Protocol):
    """Writes one Event, now or soon."""

    def __call__(self, context: str, said: Said, at: datetime) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spoken:
    """What is to be said of an object, which may not be there yet."""

    of: ObjectRef
    reason: str
    action: str
    note: str
    type: Literal["Normal", "Warning"] = "Normal"


class Events(Telling):
    """A `Telling` that writes Events."""

    def __init__(self, write: Writes) -> None:
        self._write = write
        self._seen: Mapping[str, Observed] = {}
        self._awaited: dict[str, list[tuple[_Spoken, int]]] = {}

    def observed(self, at: datetime, fleet: FleetSnapshot, seen: Mapping[str, Observed]) -> None:
        """Say what was to be said of objects that are there now."""
        del fleet
        self._seen = seen
        for context, awaited in list(self._awaited.items()):
            subjects = _subjects(seen.get(context), {spoken.of.key for spoken, _ in awaited})
            missing = [(spoken, looks - 1) for spoken, looks in awaited if spoken.of.key not in subjects]
            self._awaited[context] = [one for one in missing if one[1] > 0]
            for spoken, _ in awaited:
                if (subject := subjects.get(spoken.of.key)) is not None:
                    self._write(context, _said(spoken, subject), at)

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        """Say of each object what was decided about it."""
        if mode is Mode.DRY_RUN or plan.context is None:
            return
        seen = self._seen.get(plan.context)
        spoken = list(_spoken(plan, results, seen))[:MOST_A_CYCLE]
        subjects = _subjects(seen, {one.of.key for one in spoken})
        for one in spoken:
            if (subject := subjects.get(one.of.key)) is not None:
                self._write(plan.context, _said(one, subject), at)
            else:
                self._awaited.setdefault(plan.context, []).append((one, LOOKS))


def _spoken(plan: ClusterPlan, results: Sequence[Result], seen: Observed | None) -> Iterator[_Spoken]:
    """All that is to be said of a plan, the most important first."""
    ends = [_of_result(result) for result in results]
    yield from (one for one in ends if one.type == "Warning")
    yield from _of_unplaced(plan, seen)
    yield from (one for one in ends if one.type == "Normal")
    yield from _of_bought(plan, results)


def _of_result(result: Result) -> _Spoken:
    """``BuyNode`` and why, ``BuyNodeSkipped`` or ``BuyNodeFailed`` and what was in the way."""
    action, words = result.action, result.words or result.action.reason
    end = {Outcome.DONE: "", Outcome.SKIPPED: "Skipped", Outcome.FAILED: "Failed"}[result.outcome]
    kind: Literal["Normal", "Warning"] = "Warning" if result.outcome is Outcome.FAILED else "Normal"
    return _Spoken(of=action.object, reason=f"{action.kind}{end}", action=action.kind, note=words, type=kind)


def _of_unplaced(plan: ClusterPlan, seen: Observed | None) -> Iterator[_Spoken]:
    if not plan.unplaced or seen is None:
        return
    pods = waiting_pods(seen)
    for entry in plan.unplaced:
        why = entry.message or entry.limit or entry.reason
        mine = pods.get(entry.pods.partition("@")[0], ())[: entry.count]
        for pod in mine[:MOST_PODS]:
            target = ObjectRef(kind="Pod", name=pod.name, namespace=pod.namespace)
            yield _Spoken(of=target, reason="Unplaced", action="Plan", note=f"no place: {why}", type="Warning")
        if len(mine) != 1 or entry.count > 1:
            note = f"{entry.count} of its pods have no place: {why}"
            yield _Spoken(of=_owner(entry.pods), reason="Unplaced", action="Plan", note=note, type="Warning")


def _of_bought(plan: ClusterPlan, results: Sequence[Result]) -> Iterator[_Spoken]:
    """For whom nodes were bought, one Event a key."""
    done = {one.action.object.name for one in results if _bought(one.action) and one.outcome is Outcome.DONE}
    nodes = [node for node in plan.nodes if node.name in done]
    for key in sorted({key for node in nodes for key in node.added}):
        mine = [node for node in nodes if key in node.added]
        count = sum(node.added[key] for node in mine)
        named = ", ".join(f"{node.name} ({node.instance_type}, {node.capacity_type})" for node in mine[:MOST_NAMED])
        more = f" and {len(mine) - MOST_NAMED} more" if len(mine) > MOST_NAMED else ""
        note = f"bought for {count} of its pods: {named}{more}"
        yield _Spoken(of=_owner(key), reason="NodesBought", action=ActionKind.BUY_NODE, note=note)


def _bought(action: Action) -> bool:
    return action.kind is ActionKind.BUY_NODE


def _owner(key: str) -> ObjectRef:
    """The object of a key of pods, ``Kind/namespace/name[/part]``, shapes apart.

    >>> _owner("RayCluster/ml/demo/worker/small@0a1b2c3d").key
    'RayCluster/ml/demo'
    """
    kind, namespace, name = key.partition("@")[0].split("/")[:3]
    return ObjectRef(kind=kind, namespace=namespace, name=name)


def _said(spoken: _Spoken, subject: Subject) -> Said:
    return Said(subject=subject, reason=spoken.reason, action=spoken.action, note=spoken.note, type=spoken.type)


def _subjects(seen: Observed | None, keys: set[str]) -> dict[str, Subject]:
    """Those of the objects that are there, by their keys."""
    found: dict[str, Subject] = {}
    for one in seen.objects if seen is not None and keys else ():
        metadata: Mapping[str, Any] = one.get("metadata") or {}
        kind, name, uid = str(one.get("kind")), metadata.get("name"), metadata.get("uid")
        namespace = None if kind in CLUSTER_SCOPED else metadata.get("namespace") or "default"
        key = f"{kind}/{namespace or ''}/{name}"
        if uid and key in keys:
            version = str(one.get("apiVersion"))
            found[key] = Subject(api_version=version, kind=kind, name=str(name), namespace=namespace, uid=str(uid))
    return found


class LateEvents:
    """Writes Events of several clusters by a thread of its own; clusters that `writer_of` has no writer for, not.

    `writer_of` is asked by that thread: to find a cluster's credentials may take a while.
    """

    def __init__(
        self, writer_of: Callable[[str], Callable[[Said, datetime], None] | None], later: Callable[..., None]
    ) -> None:
        self._writer_of = writer_of
        self._later = later

    def __call__(self, context: str, said: Said, at: datetime) -> None:
        """Write it soon."""
        self._later(partial(self._write, context, said, at))

    def _write(self, context: str, said: Said, at: datetime) -> None:
        write = self._writer_of(context)
        if write is not None:
            write(said, at)
