"""What is written to worker groups for a division: by `ScaleWorkerGroup`, or by `BoundWorkerGroup`.

Who owns the replicas decides. Without in-tree autoscaling `ScaleWorkerGroup` writes them. Of workers that wait, those
beyond a group's replicas are named for deletion, since KubeRay would choose any; workers that run are never among them,
because what runs is part of every division. KubeRay does not strike the names off, and would delete a worker of that
name again: those of workers that are gone are struck off here.

With it Ray's autoscaler scales the groups, and `BoundWorkerGroup` says how far, and where first:

* ``maxReplicas``: a group may not grow beyond its share while a cheaper one of its set can; once those are full, it has
  the owner's again. Never fewer than run: Ray would end busy workers.
* ``idleTimeoutSeconds``, of a group that has its share only because they run already: they go sooner once they are idle
  (setting `dear_worker_idle_s`), and what comes next is done by the cheaper group.
* ``priority``: the cheaper a group, the higher, above the least that the owner has given one of the set. It decides for
  Ray where several groups suit as well as each other, so also when one of them cannot be had.

Both of the latter only where they are valid (`raypipe.manifests.ray_autoscaling`). ``minReplicas`` stays the owner's:
lowered, it would break what he asks of that group; raised, it would keep workers that nobody uses.

What the owner had stated is kept beside it in an annotation, and comes back as soon as raypipe has no other wish.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from raypipe.model.actions import Action, ActionKind, ObjectRef, action_id
from raypipe.model.alternatives import (
    BOUNDS,
    REQUESTED,
    WORK_UNIT,
    Alternatives,
    RayTarget,
    WorkerGroup,
)
from raypipe.model.plan import Scope
from raypipe.planner.decide import Decision
from raypipe.planner.groups import UnitPrice, replicas_of, unit_price
from raypipe.planner.patches import Change, Operation, annotation_change, json_patch
from raypipe.planner.refusals import gang_is_out

type Fields = Mapping[str, int | None]
"""What a group's fields shall state, by name; None: nothing."""


def group_actions(decision: Decision) -> tuple[Action, ...]:
    """What is written to worker groups, one action an object; nothing for gangs that are left out."""
    if decision.scope is not Scope.PENDING:
        return ()
    by_target: dict[RayTarget, list[Alternatives]] = {}
    out = {gang.name for gang in decision.cluster.gangs if gang.copies > 0 and gang_is_out(decision, gang)}
    for one in decision.cluster.alternatives:
        if one.key in decision.division and one.owner not in out:
            by_target.setdefault(one.target, []).append(one)
    made = (_action(decision, target, sets) for target, sets in by_target.items())
    return tuple(action for action in made if action is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A group and what its fields shall be; to_delete: the names for deletion, None where they are left alone."""

    group: WorkerGroup
    fields: Fields
    to_delete: tuple[str, ...] | None = None

    def changed(self) -> Iterator[str]:
        """The fields that are written."""
        return (name for name, new in self.fields.items() if new != self.group.stated.get(name))

    @property
    def is_written(self) -> bool:
        return self.to_delete is not None or any(True for _ in self.changed())


def _action(decision: Decision, target: RayTarget, sets: Sequence[Alternatives]) -> Action | None:
    """What is written to one object; None where everything stands as it shall."""
    autoscaling = sets[0].autoscaling
    entries = [
        entry
        for one in sets
        for entry in (_bounded(decision, one) if autoscaling else _scaled(one, replicas_of(decision, one)))
    ]
    written = [entry for entry in entries if entry.is_written]
    if not written:
        return None
    kind = ActionKind.BOUND_WORKER_GROUP if autoscaling else ActionKind.SCALE_WORKER_GROUP
    ref = ObjectRef(kind=target.kind, name=target.name, namespace=target.namespace)
    note = _note(entries, autoscaling=autoscaling)
    change: dict[str, Any] = _nested(target, [_merge_patch(entry) for entry in written])
    relied: list[dict[str, object]] = [
        {"groupName": entry.group.name, **{name: entry.group.stated.get(name) for name in entry.changed()}}
        for entry in written
    ]
    if note != target.requested:
        change["metadata"] = {"annotations": {REQUESTED: note}}
    return Action(
        id=action_id(decision.decision_id, kind, ref),
        kind=kind,
        object=ref,
        set=change,
        precondition={"uid": target.uid, **_nested(target, relied)},
        reason=_said(decision, sets, written),
        patch=_patch(target, written, note),
    )


def _scaled(one: Alternatives, replicas: Sequence[int]) -> Iterator[_Entry]:
    """Replicas as divided; the owner's bounds, where Ray's autoscaler owned the replicas before."""
    for group, n in zip(one.groups, replicas, strict=True):
        fields = dict(group.owners) | ({"replicas": n} if n != group.replicas else {})
        listed = group.to_delete or ()
        going = [name for name in listed if name not in group.gone]
        surplus = group.live - n * group.hosts if n < group.replicas else 0
        to_delete = tuple(dict.fromkeys((*going, *group.waiting)))[: max(surplus, len(going))]
        yield _Entry(group=group, fields=fields, to_delete=None if to_delete == listed else to_delete)


def _bounded(decision: Decision, one: Alternatives) -> Iterator[_Entry]:
    """Bounds of each group: raypipe's where a cheaper one may do its work, else the owner's."""
    replicas = replicas_of(decision, one)
    prices = [unit_price(decision, one, group) for group in one.groups]
    idle_s = decision.cluster.settings.dear_worker_idle_s
    for number, (group, n) in enumerate(zip(one.groups, replicas, strict=True)):
        fields = dict(group.owners)
        if _is_capped(one, replicas, prices, number):
            fields["maxReplicas"] = n
            own_s = group.owned("idleTimeoutSeconds")
            own_s = one.target.idle_timeout_s if own_s is None else own_s
            if one.target.hurries and group.low < n <= group.kept and idle_s < own_s:
                fields["idleTimeoutSeconds"] = idle_s
        if one.target.prefers:
            fields["priority"] = _priority(one, prices, number)
        yield _Entry(group=group, fields=fields)


def _is_capped(one: Alternatives, replicas: Sequence[int], prices: Sequence[UnitPrice | None], number: int) -> bool:
    """Whether a group may not grow: some cheaper one of its set still can."""
    return any(
        _is_cheaper(price, prices[number]) and n < group.most
        for group, n, price in zip(one.groups, replicas, prices, strict=True)
    )


def _priority(one: Alternatives, prices: Sequence[UnitPrice | None], number: int) -> int | None:
    """The least that the owner gives a group of the set, and one more for each group that is dearer."""
    least = min(group.owned("priority") or 0 for group in one.groups)
    priority = least + sum(_is_cheaper(prices[number], price) for price in prices)
    own = one.groups[number].owned("priority")
    return own if priority == (own or 0) else priority


def _is_cheaper(price: UnitPrice | None, other: UnitPrice | None) -> bool:
    """Whether a price is lower than another; a group that fits on nothing is dearer than any."""
    if price is None or other is None:
        return price is not None
    return price.usd_nanos_per_hour < other.usd_nanos_per_hour * (1 - 1e-9)


def _note(entries: Sequence[_Entry], *, autoscaling: bool) -> str | None:
    """What the annotation keeps: the owner's wishes beside what is written in their place; None: nothing to keep."""
    note: dict[str, object] = {}
    if not autoscaling:
        wish = {entry.group.name: entry.group.wish for entry in entries}
        written = {entry.group.name: entry.fields.get("replicas", entry.group.replicas) for entry in entries}
        note = {"wish": dict(sorted(wish.items())), "written": dict(sorted(written.items()))}
    for bound in BOUNDS:
        kept = {
            entry.group.name: (entry.group.owned(bound), entry.fields[bound])
            for entry in entries
            if bound in entry.fields and entry.fields[bound] != entry.group.owned(bound)
        }
        if kept:
            note[bound] = {
                "wish": {name: wish for name, (wish, _) in sorted(kept.items())},
                "written": {name: written for name, (_, written) in sorted(kept.items())},
            }
    return msgspec.json.encode(note).decode() if note else None


def _said(decision: Decision, sets: Sequence[Alternatives], written: Sequence[_Entry]) -> str:
    told = []
    for one in sets:
        before = ", ".join(f"{group.name} {group.replicas}" for group in one.groups)
        after = ", ".join(f"{group.name} {n}" for group, n in zip(one.groups, replicas_of(decision, one), strict=True))
        work = f"{one.work_millionths / WORK_UNIT:g}"
        told.append(f"alternatives {one.name}: {work} units of work cost least as {after} (now {before})")
    for entry in written:
        bounds = [name for name in entry.changed() if name in BOUNDS]
        told += [f"{entry.group.name}: {_bound_said(name, entry.fields[name])}" for name in bounds]
        if entry.to_delete is not None and entry.group.gone:
            told.append(f"{entry.group.name}: {', '.join(entry.group.gone)} gone, so no more to be deleted")
    return "; ".join(told)


def _bound_said(name: str, value: int | None) -> str:
    return f"{name} is unset" if value is None else f"{name} {value}"


def _merge_patch(entry: _Entry) -> dict[str, object]:
    """A group's part of the merge patch, by its name."""
    change: dict[str, object] = {"groupName": entry.group.name}
    change |= {name: entry.fields[name] for name in entry.changed()}
    if entry.to_delete is not None:
        change["scaleStrategy"] = {"workersToDelete": list(entry.to_delete)}
    return change


def _nested(target: RayTarget, groups: list[dict[str, object]]) -> dict[str, Any]:
    """Groups under the path of the object's RayCluster spec."""
    content: Any = groups
    for step in reversed([*target.path.strip("/").split("/"), "workerGroupSpecs"]):
        content = {step: content}
    result: dict[str, Any] = content
    return result


def _patch(target: RayTarget, written: Sequence[_Entry], note: str | None) -> tuple[Operation, ...]:
    """The JSON patch of the groups, and of the note beside them."""
    names: list[tuple[str, object]] = []
    changes: list[Change] = []
    for entry in written:
        group = entry.group
        place = f"{target.path}/workerGroupSpecs/{group.index}"
        names.append((f"{place}/groupName", group.name))
        changes += [
            Change(path=f"{place}/{name}", old=group.stated.get(name), new=entry.fields[name])
            for name in entry.changed()
        ]
        if entry.to_delete is not None:
            changes.append(_deletion(f"{place}/scaleStrategy", group, list(entry.to_delete)))
    if note != target.requested:
        changes.append(annotation_change(REQUESTED, target.requested, note, annotated=target.annotated))
    return json_patch(target.uid, changes, names)


def _deletion(place: str, group: WorkerGroup, names: list[str]) -> Change:
    """The change of the workers to delete, in the scaleStrategy at `place`."""
    if not group.strategic:
        return Change(path=place, old=None, new={"workersToDelete": names})
    old = None if group.to_delete is None else list(group.to_delete)
    return Change(path=f"{place}/workersToDelete", old=old, new=names)
