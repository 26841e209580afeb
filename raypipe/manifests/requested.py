"""Sets of alternative worker groups with what their owner requested, also where raypipe has written since (`wishes`).

A group that is an alternative to no other any more, and still has what raypipe has written, is a set of its own: it
gets back what its owner had asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from raypipe.manifests.alternatives import Mark
from raypipe.manifests.keys import Key, Keys
from raypipe.manifests.kuberay import MOST_WORKERS
from raypipe.manifests.objects import KubeObject
from raypipe.manifests.wishes import Wishes, wishes_of
from raypipe.model.alternatives import BOUNDS, GROUP_FIELDS, NO_BOUND, Alternatives, RayTarget, WorkerGroup
from raypipe.model.plan import Note


@dataclass(slots=True, kw_only=True)
class Sets:
    """The sets of one Ray object.

    Attributes:
        owner: the Ray object. written_in: the object whose groups are written. target: what is known of that.
        marks: by key of pods.
    """

    owner: KubeObject
    written_in: KubeObject
    target: RayTarget
    autoscaling: bool
    marks: Mapping[str, Mark]
    notes: list[Note] = field(default_factory=list)

    def read(self, keys: Keys) -> list[Alternatives]:
        """Sets of at least two groups, or of one to give back to, in order of name; of others a note says so."""
        by_name: dict[str, list[WorkerGroup]] = {}
        for name, mark in self.marks.items():
            key = keys.get(name)
            if key is not None and key.closed is None and key.template is not None:
                by_name.setdefault(mark.name, []).append(_group(key, mark))
        wishes = wishes_of(self.written_in, self.owner)
        sets = []
        for name, groups in sorted(by_name.items()):
            bounded = [_with_own_bounds(group, wishes) for group in groups]
            wished = bounded if self.autoscaling else _with_own_wishes(bounded, wishes)
            if len(groups) == 1 and not _is_owed(wished[0]):
                if "/" not in name:
                    message = f"{self.owner.key}: {groups[0].name} alone is planned of the alternatives {name!r}"
                    self.notes.append(Note(kind="alternatives", subject=self.owner.key, message=message))
                continue
            one = Alternatives(
                name=name,
                owner=self.owner.key,
                target=self.target,
                groups=tuple(wished),
                autoscaling=self.autoscaling,
                created=self.owner.created,
            )
            sets.append(one)
        return sets


def _is_owed(group: WorkerGroup) -> bool:
    """Whether a group has something else than its owner had asked for, because raypipe has written it."""
    return bool(group.owners) or group.wish != group.replicas


def _group(key: Key, mark: Mark) -> WorkerGroup:
    """The group as it stands, its replicas taken for the owner's wish."""
    if key.template is None:
        raise ValueError(f"{key.key} has no template")
    unplaced = sum(count for spec, count in key.unbound.items() if spec == id(key.template))
    members = key.members or {}
    started = {one.replica for one in members.values() if one.replica and not one.waits}
    waiting = {name: one for name, one in members.items() if one.waits}
    may_go = sorted((one.replica, name) for name, one in waiting.items() if one.replica not in started)
    meant = max(0, len(waiting) - unplaced - key.surplus)  # for nodes on their way, which ask for a number of them
    strategy = mark.group.get("scaleStrategy")
    listed = strategy.get("workersToDelete")
    to_delete = tuple(one.text() for one in listed.items())
    return WorkerGroup(
        name=mark.group_name,
        index=mark.index,
        pods=key.key,
        spec=key.template,
        hosts=mark.hosts,
        speed_millionths=mark.speed_millionths,
        low=mark.low,
        high=mark.high,
        wish=mark.replicas,
        replicas=mark.replicas,
        stated=_stated(mark),
        strategic=strategy.value is not None,
        to_delete=None if listed.value is None else to_delete,
        gone=tuple(name for name in to_delete if name not in members),
        live=key.live + key.surplus,
        staying=key.live - unplaced,
        started=len(started),
        waiting=tuple(name for _, name in may_go[meant:]),
    )


def _stated(mark: Mark) -> dict[str, int]:
    """The numbers of a group as the object states them."""
    signed = {"priority": -(2**31)}
    return {
        name: mark.group.get(name).integer(0, low=signed.get(name, 0))
        for name in GROUP_FIELDS
        if mark.group.plain(name) is not None
    }


def _with_own_bounds(group: WorkerGroup, wishes: Wishes) -> WorkerGroup:
    """The group with the bounds that its owner had stated, where nobody has written since raypipe did."""
    owners = {
        bound: wishes.of(bound).wish[group.name]
        for bound in BOUNDS
        if group.name in wishes.of(bound).wish and group.stated.get(bound) == wishes.of(bound).written.get(group.name)
    }
    most = owners.get("maxReplicas", group.high)
    return replace(group, owners=owners, high=NO_BOUND if most is None else max(0, min(most, NO_BOUND)))


def _with_own_wishes(groups: list[WorkerGroup], wishes: Wishes) -> list[WorkerGroup]:
    """The groups with the replicas that their owner had asked for, where nobody has written since raypipe did."""
    stands = {group.name: group.stated.get("replicas", group.replicas) for group in groups}
    if any(wishes.written.get(name) != replicas for name, replicas in stands.items()):
        return groups
    return [
        replace(group, wish=max(group.low, min(group.high, wish, MOST_WORKERS)))
        if (wish := wishes.wish.get(group.name)) is not None
        else group
        for group in groups
    ]
