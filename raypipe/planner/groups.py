"""What the division of a demand among worker groups comes to in the plan: replicas, prices a unit of work, and writes.

The price of a group is that of a unit of work done by its pods alone, on the kind of node where that is least when it
is full of them: $/h of the node / pods on it x pods a replica / speed. It tells groups apart; the division itself
follows from the packing, in which pods share nodes, use free room and keep limits.

Who owns the replicas decides what is written. Without in-tree autoscaling `ScaleWorkerGroup` writes replicas and keeps
the owner's wish beside them. With it, Ray's autoscaler scales the groups and `BoundWorkerGroup` writes bounds alone: a
group may not grow beyond its share while a cheaper one of its set can; once those are full, it has the owner's
``maxReplicas`` again. ``minReplicas`` and ``idleTimeoutSeconds`` stay the owner's: raised, they would keep workers that
nobody uses.

Both are JSON patches, since ``workerGroupSpecs`` is one list that a merge patch would replace: each write is preceded
by tests of the object's uid, the group's name at its index and the value that was relied on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from raypipe.model.actions import Action, ActionKind, ObjectRef, action_id
from raypipe.model.alternatives import WORK_UNIT, Alternatives, RayTarget, WorkerGroup
from raypipe.model.plan import DividedGroup, DividedSet, Scope
from raypipe.packing.problem import UNLIMITED
from raypipe.planner.decide import Decision
from raypipe.planner.refusals import gang_is_out
from raypipe.quantities import NANOS_PER_USD

REQUESTED = "raypipe.io/requested-replicas"
NO_BOUND = 2**31 - 1
"""maxReplicas where none is stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """What a unit of work costs, in nano-dollars an hour, and the kind of node that it is cheapest on."""

    usd_nanos_per_hour: float
    kind: str


def divided_sets(decision: Decision) -> tuple[DividedSet, ...]:
    """Every set as the plan divides it, in order of key."""
    return tuple(_told(decision, one) for one in decision.cluster.alternatives)


def replicas_of(decision: Decision, one: Alternatives) -> tuple[int, ...]:
    """The replicas of a set's groups after the plan."""
    return tuple(decision.division.get(one.key, one.standing))


def _told(decision: Decision, one: Alternatives) -> DividedSet:
    prices = [unit_price(decision, one, group) for group in one.groups]
    replicas = replicas_of(decision, one)
    groups = [
        DividedGroup(
            group=group.name,
            pods=group.pods,
            speed=group.speed_millionths / WORK_UNIT,
            requested=group.wish,
            replicas=n,
            usd_per_hour_per_unit=round(price.usd_nanos_per_hour / NANOS_PER_USD, 9) if price is not None else None,
            instance_type=price.kind if price is not None else None,
            reason=_reason(one, replicas, prices, number) if one.key in decision.division else NOT_DIVIDED,
        )
        for number, (group, n, price) in enumerate(zip(one.groups, replicas, prices, strict=True))
    ]
    return DividedSet(set=one.key, work=one.work_millionths / WORK_UNIT, groups=tuple(groups))


NOT_DIVIDED = (
    "left as it stands: its gang cannot be placed, no division does the work within its bounds, or clusters share what "
    "is scarce"
)


def unit_price(decision: Decision, one: Alternatives, group: WorkerGroup) -> UnitPrice | None:
    """The price of a group; None where its pods fit on nothing that can be bought."""
    w = next(
        (w for w, wanted in enumerate(decision.wanted) if (wanted.key, wanted.gang) == (group.pods, one.owner)), None
    )
    if w is None or decision.number[w] < 0:
        return None
    problem, kinds = decision.kinds.problem, decision.kinds
    k = int(decision.shapes.of[decision.number[w]])
    able = np.flatnonzero(problem.fits[k] & (kinds.offering >= 0) & (problem.most >= UNLIMITED))
    if not len(able):
        return None
    need = problem.requests[k]
    used = need > 0
    held = (problem.capacity[np.ix_(able, np.flatnonzero(used))] // need[used]).min(axis=1)
    held = np.minimum(held, max(1, group.to_place(_useful(one, group))))
    each = problem.price[able] / held * group.hosts * WORK_UNIT / group.speed_millionths
    best = int(np.lexsort((problem.rank[able], np.round(each)))[0])
    offering = decision.supply.offerings[int(kinds.offering[able[best]])]
    return UnitPrice(usd_nanos_per_hour=float(each[best]), kind=f"{offering.instance_type} {offering.capacity_type}")


def _useful(one: Alternatives, group: WorkerGroup) -> int:
    """Replicas with which the group would do all the work alone, or as many as it may have."""
    return min(group.most, max(group.least, -(-one.work_millionths // group.speed_millionths)))


def _reason(one: Alternatives, replicas: Sequence[int], prices: Sequence[UnitPrice | None], number: int) -> str:
    """Why the group has so many replicas: its price beside that of the cheapest, and what else decides."""
    group, n, price = one.groups[number], replicas[number], prices[number]
    if price is None:
        return f"its pods fit on nothing that can be bought{_kept(group, n)}"
    known = [(one.usd_nanos_per_hour, i) for i, one in enumerate(prices) if one is not None]
    least, cheapest = min(known)
    told = f"${price.usd_nanos_per_hour / NANOS_PER_USD:.4g}/h a unit of work on {price.kind}"
    if price.usd_nanos_per_hour <= least * (1 + 1e-9):
        told += ", the least of the set"
        return told + (_kept(group, n) or ("" if n else "; the plan as a whole costs less without"))
    told += f", {price.usd_nanos_per_hour / max(least, 1.0) - 1:.1%} more than {one.groups[cheapest].name}"
    if n <= group.least:
        return told + _kept(group, n)
    full = all(replicas[i] >= one.groups[i].most for known_price, i in known if known_price < price.usd_nanos_per_hour)
    return told + (
        "; cheaper groups have all the replicas they may" if full else "; the plan as a whole costs less with it"
    )


def _kept(group: WorkerGroup, replicas: int) -> str:
    """What the group has whatever it costs."""
    if not replicas or replicas > group.least:
        return ""
    return f"; {group.kept} run already" if group.kept >= group.low else f"; minReplicas is {group.low}"


def group_actions(decision: Decision) -> tuple[Action, ...]:
    """What is written to worker groups, one action an object; nothing for gangs that are left out."""
    if decision.scope is not Scope.PENDING:
        return ()
    by_target: dict[RayTarget, list[Alternatives]] = {}
    out = {gang.name for gang in decision.cluster.gangs if gang.copies > 0 and gang_is_out(decision, gang)}
    for one in decision.cluster.alternatives:
        if one.key in decision.division and one.owner not in out:
            by_target.setdefault(one.target, []).append(one)
    made = [
        _bounded(decision, target, sets) if sets[0].autoscaling else _scaled(decision, target, sets)
        for target, sets in by_target.items()
    ]
    return tuple(action for action in made if action is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Write:
    """One field of a group: what it is and what it shall be; None: not stated. strategy: workers to delete, or None."""

    group: WorkerGroup
    field: str
    old: int | None
    new: int | None
    strategy: tuple[str, ...] | None = None


def _scaled(decision: Decision, target: RayTarget, sets: Sequence[Alternatives]) -> Action | None:
    """Replicas as divided, with the owner's wish."""
    writes: list[_Write] = []
    wish: dict[str, int | None] = {}
    written: dict[str, int | None] = {}
    for one in sets:
        for group, n in zip(one.groups, replicas_of(decision, one), strict=True):
            wish[group.name], written[group.name] = group.wish, n
            if n != group.replicas:
                surplus = max(0, group.staying + len(group.waiting) - n * group.hosts)
                delete = group.waiting[:surplus] if n < group.replicas else None
                writes.append(_Write(group=group, field="replicas", old=group.written, new=n, strategy=delete))
    if not writes:
        return None
    note = {"wish": dict(sorted(wish.items())), "written": dict(sorted(written.items()))}
    return _action(decision, ActionKind.SCALE_WORKER_GROUP, target, writes, note, _said(decision, sets))


def _bounded(decision: Decision, target: RayTarget, sets: Sequence[Alternatives]) -> Action | None:
    """Most replicas of each group: its share while a cheaper one can still grow, else the owner's."""
    writes: list[_Write] = []
    wish: dict[str, int | None] = {}
    written: dict[str, int | None] = {}
    for one in sets:
        replicas = replicas_of(decision, one)
        for number, group in enumerate(one.groups):
            most = None if group.high >= NO_BOUND else group.high
            new = replicas[number] if _is_capped(decision, one, replicas, number) else most
            if new != most or group.written_bounds[1] != most:
                wish[group.name], written[group.name] = most, new
            if new != group.written_bounds[1]:
                writes.append(_Write(group=group, field="maxReplicas", old=group.written_bounds[1], new=new))
    if not writes:
        return None
    note = {"maxReplicas": {"wish": dict(sorted(wish.items())), "written": dict(sorted(written.items()))}}
    return _action(decision, ActionKind.BOUND_WORKER_GROUP, target, writes, note, _said(decision, sets))


def _is_capped(decision: Decision, one: Alternatives, replicas: Sequence[int], number: int) -> bool:
    """Whether a group may not grow: some cheaper one of its set still can."""
    prices = [unit_price(decision, one, group) for group in one.groups]
    own = prices[number]
    return any(
        price is not None
        and (own is None or price.usd_nanos_per_hour < own.usd_nanos_per_hour * (1 - 1e-9))
        and n < group.most
        for group, n, price in zip(one.groups, replicas, prices, strict=True)
    )


def _said(decision: Decision, sets: Sequence[Alternatives]) -> str:
    told = []
    for one in sets:
        before = ", ".join(f"{group.name} {group.replicas}" for group in one.groups)
        after = ", ".join(f"{group.name} {n}" for group, n in zip(one.groups, replicas_of(decision, one), strict=True))
        work = f"{one.work_millionths / WORK_UNIT:g}"
        told.append(f"alternatives {one.name}: {work} units of work cost least as {after} (now {before})")
    return "; ".join(told)


def _action(
    decision: Decision,
    kind: ActionKind,
    target: RayTarget,
    writes: Sequence[_Write],
    note: Mapping[str, object],
    reason: str,
) -> Action:
    ref = ObjectRef(kind=target.kind, name=target.name, namespace=target.namespace)
    text = msgspec.json.encode(note).decode()
    change: dict[str, Any] = _nested(target, [_changed(write) for write in writes])
    change["metadata"] = {"annotations": {REQUESTED: text}}
    relied: list[dict[str, object]] = [{"groupName": write.group.name, write.field: write.old} for write in writes]
    return Action(
        id=action_id(decision.decision_id, kind, ref),
        kind=kind,
        object=ref,
        set=change,
        precondition={"uid": target.uid, **_nested(target, relied)},
        reason=reason,
        patch=tuple(_operations(target, writes, text)),
    )


def _changed(write: _Write) -> dict[str, object]:
    """A group's part of the merge patch, by its name."""
    change: dict[str, object] = {"groupName": write.group.name, write.field: write.new}
    if write.strategy is not None:
        change["scaleStrategy"] = {"workersToDelete": list(write.strategy)}
    return change


def _nested(target: RayTarget, groups: list[dict[str, object]]) -> dict[str, Any]:
    """Groups under the path of the object's RayCluster spec."""
    content: Any = groups
    for step in reversed([*target.path.strip("/").split("/"), "workerGroupSpecs"]):
        content = {step: content}
    result: dict[str, Any] = content
    return result


def _operations(target: RayTarget, writes: Sequence[_Write], note: str) -> Iterator[Mapping[str, object]]:
    """The JSON patch: tests of all that is relied on, then the writes."""
    if target.uid is not None:
        yield {"op": "test", "path": "/metadata/uid", "value": target.uid}
    for write in writes:
        place = f"{target.path}/workerGroupSpecs/{write.group.index}"
        yield {"op": "test", "path": f"{place}/groupName", "value": write.group.name}
        if write.old is not None:
            yield {"op": "test", "path": f"{place}/{write.field}", "value": write.old}
    for write in writes:
        place = f"{target.path}/workerGroupSpecs/{write.group.index}"
        if write.new is None:
            yield {"op": "remove", "path": f"{place}/{write.field}"}
        else:
            yield {"op": "add", "path": f"{place}/{write.field}", "value": write.new}
        if write.strategy is not None:
            yield {"op": "add", "path": f"{place}/scaleStrategy", "value": {"workersToDelete": list(write.strategy)}}
    if not target.annotated:
        yield {"op": "add", "path": "/metadata/annotations", "value": {}}
    yield {"op": "add", "path": "/metadata/annotations/raypipe.io~1requested-replicas", "value": note}
