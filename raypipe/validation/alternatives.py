"""Sets of worker groups: does each division do the work within its bounds, and is what it asks to be written that?

The plan is then checked against the demand as it divides it, made here from the snapshot and the replicas told.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from raypipe.model.actions import Action, ActionKind
from raypipe.model.alternatives import Alternatives, WorkerGroup
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.pods import PodGroup
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.model.workloads import Gang

REQUESTED = "raypipe.io/requested-replicas"
GROUP_ACTIONS = (ActionKind.SCALE_WORKER_GROUP, ActionKind.BOUND_WORKER_GROUP)

type Told = Mapping[str, Mapping[str, int]]
"""Replicas by name of the group, by key of the set."""


def told_division(plan: ClusterPlan) -> Told:
    """How the plan says that sets are divided."""
    return {one.set: {group.group: group.replicas for group in one.groups} for one in plan.alternatives}


def as_told(cluster: ClusterSnapshot, told: Told) -> ClusterSnapshot:
    """The cluster with the demand and the gangs that follow from the replicas told; what is told wrongly stays."""
    pods: dict[str, int] = {}
    fixed: dict[str, int] = {}
    missing: list[PodGroup] = []
    known = {group.key for group in cluster.demand}
    for one in cluster.alternatives:
        for group in one.groups:
            replicas = told.get(one.key, {}).get(group.name, group.replicas)
            if replicas == group.replicas:
                continue
            pods[group.pods] = max(0, replicas * group.hosts - group.staying)
            if not one.autoscaling:
                fixed[group.pods] = pods[group.pods]
            if group.pods not in known:
                missing.append(
                    PodGroup(
                        key=group.pods, spec=group.spec, count=0, gang=one.owner, created=one.created, owner=one.owner
                    )
                )
    if not pods:
        return cluster
    demand = [replace(group, count=pods.get(group.key, group.count)) for group in (*cluster.demand, *missing)]
    return replace(
        cluster,
        demand=tuple(sorted((group for group in demand if group.count > 0), key=lambda group: group.key)),
        gangs=tuple(_gang(gang, cluster, fixed) for gang in cluster.gangs),
    )


def _gang(gang: Gang, cluster: ClusterSnapshot, fixed: Mapping[str, int]) -> Gang:
    own = {
        group.pods
        for one in cluster.alternatives
        if one.owner == gang.name and gang.copies > 0
        for group in one.groups
        if group.pods in fixed
    }
    minimum = dict(gang.minimum) | {key: fixed[key] for key in own}
    return replace(gang, minimum={key: count for key, count in minimum.items() if count > 0})


def division_violations(plan: ClusterPlan, cluster: ClusterSnapshot, scope: Scope) -> Iterator[str]:
    """Everything wrong with how sets are divided and written."""
    told = told_division(plan)
    known = [(one.key, [group.name for group in one.groups]) for one in cluster.alternatives]
    if [(one.set, [group.group for group in one.groups]) for one in plan.alternatives] != known:
        yield "the sets of alternatives and their groups are not the snapshot's, in order"
        return
    for stated, one in zip(plan.alternatives, cluster.alternatives, strict=True):
        replicas = told[one.key]
        if any((g.pods, g.requested) != (s.pods, s.wish) for g, s in zip(stated.groups, one.groups, strict=True)):
            yield f"{one.key}: pods or wishes of its groups are not the snapshot's"
        work = sum(group.wish * group.speed_millionths for group in one.groups)
        if abs(stated.work * 1_000_000 - work) > 0.5:
            yield f"{one.key}: {stated.work} units of work, the wishes say {work / 1_000_000}"
        if all(replicas[group.name] == group.replicas for group in one.groups):
            continue  # left as it stands, whatever that is
        done = sum(replicas[group.name] * group.speed_millionths for group in one.groups)
        if done < work:
            yield f"{one.key}: {done / 1_000_000} of {work / 1_000_000} units of work are done"
        for group in one.groups:
            n, running = replicas[group.name], -(-group.staying // group.hosts)
            if not max(group.low, running) <= n <= max(group.high, group.low, running):
                yield f"{one.key}: {n} replicas of {group.name}, of {group.low} to {group.high}; {running} stay"
    if scope is Scope.PENDING:
        yield from _writes(plan, as_told(cluster, told), told)


def _writes(plan: ClusterPlan, cluster: ClusterSnapshot, told: Told) -> Iterator[str]:
    """Each action on worker groups writes what is told, after tests of what it relies on."""
    added: Counter[str] = Counter()
    for node in plan.nodes:
        added.update(node.added)
    out = {
        gang.name
        for gang in cluster.gangs
        if any(added[key] < count * gang.copies for key, count in gang.minimum.items())
    }
    actions = [action for action in plan.actions if action.kind in GROUP_ACTIONS]
    for action in actions:
        sets = [one for one in cluster.alternatives if _names(action, one)]
        where = f"{action.kind} of {action.object.name}"
        bounds = action.kind is ActionKind.BOUND_WORKER_GROUP
        if not sets or any(one.autoscaling is not bounds for one in sets):
            yield f"{where}: no set of alternatives that is written so"
            continue
        document = _document(sets)
        for text in _patched(action, document, sets[0]):
            yield f"{where}: {text}"
        groups = {group.name: (group, told[one.key][group.name], one) for one in sets for group in one.groups}
        for entry in _entries(document, sets[0]):
            group, replicas, one = groups[entry["groupName"]]
            if one.owner in out and entry != _entry(group):
                yield f"{where}: {group.name} is written though its gang is left out"
            if not bounds and entry.get("replicas", group.replicas) != replicas and one.owner not in out:
                yield f"{where}: {entry.get('replicas')} replicas of {group.name} are written, {replicas} told"
            if bounds and entry.get("maxReplicas", group.high) not in (replicas, group.high):
                yield f"{where}: at most {entry.get('maxReplicas')} of {group.name}, neither share nor the owner's"
    written = {(action.object.kind, action.object.namespace, action.object.name) for action in actions}
    for one in cluster.alternatives:
        changed = any(told[one.key][group.name] != group.replicas for group in one.groups)
        target = (one.target.kind, one.target.namespace, one.target.name)
        if changed and not one.autoscaling and one.owner not in out and target not in written:
            yield f"{one.key} is divided anew, and nothing writes it"


def _names(action: Action, one: Alternatives) -> bool:
    target = one.target
    return (action.object.kind, action.object.namespace, action.object.name) == (
        target.kind,
        target.namespace,
        target.name,
    )


def _entry(group: WorkerGroup) -> dict[str, Any]:
    """A group as the object has it, as far as it is known."""
    entry: dict[str, Any] = {"groupName": group.name}
    if group.written is not None:
        entry["replicas"] = group.written
    if group.written_bounds[1] is not None:
        entry["maxReplicas"] = group.written_bounds[1]
    return entry


def _document(sets: list[Alternatives]) -> dict[str, Any]:
    """The object as far as it is known: patches are tried on it."""
    groups = {group.index: _entry(group) for one in sets for group in one.groups}
    content: Any = [groups.get(index, {}) for index in range(max(groups) + 1)]
    target = sets[0].target
    for step in reversed([*target.path.strip("/").split("/"), "workerGroupSpecs"]):
        content = {step: content}
    metadata: dict[str, Any] = {"uid": target.uid} | ({"annotations": {}} if target.annotated else {})
    return {"metadata": metadata, **content}


def _entries(document: Mapping[str, Any], one: Alternatives) -> list[dict[str, Any]]:
    content: Any = document
    for step in [*one.target.path.strip("/").split("/"), "workerGroupSpecs"]:
        content = content[step]
    return [entry for entry in content if entry]


def _patched(action: Action, document: dict[str, Any], one: Alternatives) -> Iterator[str]:
    """Carry the patch out on the document, and say what does not hold."""
    tested: set[str] = set()
    for operation in action.patch:
        path = str(operation.get("path", ""))
        try:
            place, key = _place(document, path)
            if operation["op"] == "test":
                tested.add(path)
                if place[key] != operation["value"]:
                    yield f"{path} is {place[key]!r}, not {operation['value']!r}"
            elif operation["op"] == "remove":
                del place[key]
            else:
                if key in place and not isinstance(place[key], dict) and path not in tested:
                    yield f"{path} is written without a test of its old value"
                place[key] = copy.deepcopy(operation["value"])
        except (KeyError, IndexError, TypeError, ValueError):
            yield f"{operation.get('op')} at {path}, where nothing is"
    for index, entry in enumerate(_entries(document, one)):
        touched = any(f"/workerGroupSpecs/{index}/" in str(op.get("path")) for op in action.patch)
        if touched and f"{one.target.path}/workerGroupSpecs/{index}/groupName" not in tested:
            yield f"group {entry.get('groupName')} is written without a test of its name"
    if one.target.uid is not None and "/metadata/uid" not in tested:
        yield "is written without a test of the uid"
    try:
        json.loads(document["metadata"]["annotations"][REQUESTED])
    except (KeyError, ValueError):
        yield f"{REQUESTED} is not written"


def _place(document: dict[str, Any], path: str) -> tuple[Any, Any]:
    """The mapping or list that a pointer leads into, and the last step."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.strip("/").split("/")]
    place: Any = document
    for step in steps[:-1]:
        place = place[int(step)] if isinstance(place, list) else place[step]
    return place, int(steps[-1]) if isinstance(place, list) else steps[-1]
