"""What is written to worker groups: replicas as told, bounds that are raypipe's or the owner's, and never a wish lost.

Each patch is tried on the object as far as the snapshot knows it; what comes of it is looked at field by field.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from raypipe.model.actions import GROUP_ACTIONS, Action, ActionKind
from raypipe.model.alternatives import BOUNDS, REQUESTED, Alternatives, WorkerGroup
from raypipe.model.plan import ClusterPlan
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.validation.patches import tests_of, tried

type Told = Mapping[str, Mapping[str, int]]
"""Replicas by name of the group, by key of the set."""


def write_violations(plan: ClusterPlan, cluster: ClusterSnapshot, told: Told) -> Iterator[str]:
    """Each action on worker groups writes what is told, after tests of what it relies on."""
    out = _left_out(plan, cluster)
    actions = [action for action in plan.actions if action.kind in GROUP_ACTIONS]
    for action in actions:
        sets = [one for one in cluster.alternatives if _names(action, one)]
        where = f"{action.kind} of {action.object.name}"
        bounds = action.kind is ActionKind.BOUND_WORKER_GROUP
        if not sets or any(one.autoscaling is not bounds for one in sets):
            yield f"{where}: no set of alternatives that is written so"
            continue
        version = cluster.resource_versions.get(action.object.key)
        document = _document(sets, version)
        for text in (*tried(action.patch, document), *_untested(action, sets, version)):
            yield f"{where}: {text}"
        for text in _entries_wrong(plan, cluster, document, sets, told, out):
            yield f"{where}: {text}"
        for text in _wishes_lost(document, sets, bounds=bounds):
            yield f"{where}: {text}"
    written = {(action.object.kind, action.object.namespace, action.object.name) for action in actions}
    for one in cluster.alternatives:
        changed = any(told[one.key][group.name] != group.replicas for group in one.groups)
        target = (one.target.kind, one.target.namespace, one.target.name)
        if changed and not one.autoscaling and one.owner not in out and target not in written:
            yield f"{one.key} is divided anew, and nothing writes it"


def _left_out(plan: ClusterPlan, cluster: ClusterSnapshot) -> set[str]:
    """The gangs that are not placed whole."""
    added: Counter[str] = Counter()
    for node in plan.nodes:
        added.update(node.added)
    return {
        gang.name
        for gang in cluster.gangs
        if any(added[key] < count * gang.copies for key, count in gang.minimum.items())
    }


def _names(action: Action, one: Alternatives) -> bool:
    target = one.target
    return (action.object.kind, action.object.namespace, action.object.name) == (
        target.kind,
        target.namespace,
        target.name,
    )


def _entry(group: WorkerGroup) -> dict[str, Any]:
    """A group as the object has it, as far as it is known."""
    entry: dict[str, Any] = {"groupName": group.name, **group.stated}
    if group.strategic:
        entry["scaleStrategy"] = {} if group.to_delete is None else {"workersToDelete": list(group.to_delete)}
    return entry


def _document(sets: list[Alternatives], version: str | None) -> dict[str, Any]:
    """The object as far as it is known."""
    groups = {group.index: _entry(group) for one in sets for group in one.groups}
    content: Any = [groups.get(index, {}) for index in range(max(groups) + 1)]
    target = sets[0].target
    for step in reversed([*target.path.strip("/").split("/"), "workerGroupSpecs"]):
        content = {step: content}
    metadata: dict[str, Any] = {"uid": target.uid, "resourceVersion": version}
    if target.annotated:
        metadata["annotations"] = {} if target.requested is None else {REQUESTED: target.requested}
    return {"metadata": metadata, **content}


def _groups(document: Mapping[str, Any], one: Alternatives) -> list[dict[str, Any]]:
    content: Any = document
    for step in [*one.target.path.strip("/").split("/"), "workerGroupSpecs"]:
        content = content[step]
    return [entry for entry in content if entry]


def _untested(action: Action, sets: list[Alternatives], version: str | None) -> Iterator[str]:
    """What a patch relies on without testing it."""
    target, tested = sets[0].target, tests_of(action.patch)
    if target.uid is not None and "/metadata/uid" not in tested:
        yield "is written without a test of the uid"
    if version is not None and "/metadata/resourceVersion" not in tested:
        yield "is written without a test of the resourceVersion"
    for one in sets:
        for group in one.groups:
            place = f"{target.path}/workerGroupSpecs/{group.index}/"
            touched = any(str(operation.get("path")).startswith(place) for operation in action.patch)
            if touched and f"{place}groupName" not in tested:
                yield f"group {group.name} is written without a test of its name"


def _entries_wrong(
    plan: ClusterPlan,
    cluster: ClusterSnapshot,
    document: Mapping[str, Any],
    sets: list[Alternatives],
    told: Told,
    out: set[str],
) -> Iterator[str]:
    """What is wrong with the groups as they are written."""
    entries = {entry["groupName"]: entry for entry in _groups(document, sets[0])}
    prices = {group.pods: group.usd_per_hour_per_unit for one in plan.alternatives for group in one.groups}
    for one in sets:
        for group in one.groups:
            entry, replicas = entries[group.name], told[one.key][group.name]
            if one.owner in out:
                if entry != _entry(group):
                    yield f"{group.name} is written though its gang is left out"
            elif one.autoscaling:
                yield from _bounds_wrong(entry, group, replicas, cluster.settings.dear_worker_idle_s)
            else:
                yield from _replicas_wrong(entry, group, replicas)
        if one.autoscaling and one.target.prefers and one.owner not in out:
            ranks = [(prices.get(group.pods), entries[group.name].get("priority") or 0) for group in one.groups]
            dearest = max((price for price, _ in ranks if price is not None), default=0.0)
            ordered = sorted((2 * dearest + 1 if price is None else price, -priority) for price, priority in ranks)
            if [priority for _, priority in ordered] != sorted(priority for _, priority in ordered):
                yield f"priorities of {one.key} are not in the order of its prices"


def _replicas_wrong(entry: Mapping[str, Any], group: WorkerGroup, replicas: int) -> Iterator[str]:
    if entry.get("replicas", group.replicas) != replicas and (group.replicas, entry.get("replicas")) != (
        replicas,
        group.stated.get("replicas"),
    ):
        yield f"{entry.get('replicas')} replicas of {group.name} are written, {replicas} told"
    named = (entry.get("scaleStrategy") or {}).get("workersToDelete") or ()
    listed = group.to_delete or ()
    if any(name not in group.waiting and name not in listed for name in named):
        yield f"workers of {group.name} are to be deleted that do not wait: {', '.join(named)}"
    if any(name in group.gone for name in named):
        yield f"workers of {group.name} are gone and still to be deleted: {', '.join(named)}"
    if len(named) > max(len(listed), group.live - replicas * group.hosts):
        yield f"more workers of {group.name} are to be deleted than are too many: {', '.join(named)}"
    if any(entry.get(bound) != group.owned(bound) for bound in BOUNDS):
        yield f"bounds of {group.name} are not the owner's"


def _bounds_wrong(entry: Mapping[str, Any], group: WorkerGroup, replicas: int, idle_s: int) -> Iterator[str]:
    if entry.get("maxReplicas") not in (replicas, group.owned("maxReplicas")):
        yield f"at most {entry.get('maxReplicas')} of {group.name}, neither share nor the owner's"
    if entry.get("idleTimeoutSeconds") not in (idle_s, group.owned("idleTimeoutSeconds")):
        yield f"{group.name} goes after {entry.get('idleTimeoutSeconds')} idle seconds, neither setting nor the owner's"
    if any(entry.get(name) != group.stated.get(name) for name in ("replicas", "minReplicas")):
        yield f"replicas or minReplicas of {group.name} are written, which Ray's autoscaler and the owner have"


def _wishes_lost(document: Mapping[str, Any], sets: list[Alternatives], *, bounds: bool) -> Iterator[str]:
    """What the owner had stated and nobody would know any more."""
    text = (document["metadata"].get("annotations") or {}).get(REQUESTED)
    try:
        kept = json.loads(text or "{}")
    except ValueError:
        yield f"{REQUESTED} cannot be read"
        return
    entries = {entry["groupName"]: entry for entry in _groups(document, sets[0])}
    for group in (group for one in sets for group in one.groups):
        entry = entries[group.name]
        if not bounds and kept.get("wish", {}).get(group.name, "nothing") != group.wish:
            yield f"{REQUESTED} is not written: the wish for {group.wish} of {group.name} is lost"
        for bound in BOUNDS:
            own, now, note = group.owned(bound), entry.get(bound), kept.get(bound, {})
            known = (
                note.get("wish", {}).get(group.name, "nothing"),
                note.get("written", {}).get(group.name, "nothing"),
            )
            if now != own and known != (own, now):
                yield f"{REQUESTED} is not written: {bound} of {group.name}, {own}, is lost"
