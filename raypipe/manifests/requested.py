"""Sets of alternative worker groups with what their owner requested, also where raypipe has written since.

Where raypipe has divided a set already, ``raypipe.io/requested-replicas`` on the RayCluster holds what the owner had
asked for (`wish`) and what was put there instead (`written`): while the object still has what was written, the wish is
the demand; else the owner has spoken since, and what stands there is his wish. The same goes for ``maxReplicas`` where
Ray's own autoscaler owns the replicas and only bounds are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from raypipe.manifests.alternatives import Mark
from raypipe.manifests.fields import Field
from raypipe.manifests.keys import Key, Keys
from raypipe.manifests.kuberay import MOST_WORKERS
from raypipe.manifests.objects import KubeObject
from raypipe.model.alternatives import Alternatives, RayTarget, WorkerGroup
from raypipe.model.plan import Note

REQUESTED = "raypipe.io/requested-replicas"
NO_BOUND = 2**31 - 1
"""maxReplicas where none is stated."""


class _Kept(msgspec.Struct):
    """What the owner had asked for, and what was put there instead, by group; null: not stated."""

    wish: dict[str, int | None] = {}
    written: dict[str, int | None] = {}


class _Requested(_Kept):
    """The annotation: replicas, and likewise maxReplicas."""

    max_replicas: _Kept = msgspec.field(name="maxReplicas", default_factory=_Kept)


def _requested(*objects: KubeObject) -> _Requested:
    """What the first of `objects` that has the annotation remembers."""
    for one in objects:
        note = one.annotations.get(REQUESTED)
        if note.value is None:
            continue
        try:
            return msgspec.json.decode(note.word(), type=_Requested)
        except (msgspec.DecodeError, UnicodeEncodeError):
            note.problem(repr(note.value)[:60], 'JSON such as {"wish": {"l4": 2}, "written": {"l4": 0}}')
            break
    return _Requested()


@dataclass(slots=True, kw_only=True)
class Sets:
    """The sets of one Ray object.

    Attributes:
        owner: the Ray object. written_in: the object whose groups are written. path: pointer to its RayCluster spec.
        marks: by key of pods.
    """

    owner: KubeObject
    written_in: KubeObject
    path: str
    autoscaling: bool
    marks: Mapping[str, Mark]
    notes: list[Note] = field(default_factory=list)

    def read(self, keys: Keys) -> list[Alternatives]:
        """Sets of at least two groups, in order of name; of others a note says so."""
        by_name: dict[str, list[WorkerGroup]] = {}
        for name, mark in self.marks.items():
            key = keys.get(name)
            if key is not None and key.closed is None and key.template is not None:
                by_name.setdefault(mark.name, []).append(_group(key, mark))
        requested = _requested(self.written_in, self.owner)
        target = RayTarget(
            kind=self.written_in.kind,
            namespace=self.written_in.namespace,
            name=self.written_in.name,
            uid=self.written_in.uid,
            path=self.path,
            annotated=isinstance(self.written_in.root.plain("metadata", "annotations"), dict),
        )
        sets = []
        for name, groups in sorted(by_name.items()):
            if len(groups) < 2:
                message = f"{self.owner.key}: {groups[0].name} alone is planned of the alternatives {name!r}"
                self.notes.append(Note(kind="alternatives", subject=self.owner.key, message=message))
                continue
            one = Alternatives(
                name=name,
                owner=self.owner.key,
                target=target,
                groups=tuple(_remembered(groups, requested, self.autoscaling)),
                autoscaling=self.autoscaling,
                created=self.owner.created,
            )
            sets.append(one)
        return sets


def _group(key: Key, mark: Mark) -> WorkerGroup:
    """The group as it stands, its replicas taken for the owner's wish."""
    waiting = sorted(key.waiting or ())
    if key.template is None:
        raise ValueError(f"{key.key} has no template")
    unplaced = sum(count for spec, count in key.unbound.items() if spec == id(key.template))
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
        written=_stated(mark.group, "replicas"),
        written_bounds=(_stated(mark.group, "minReplicas"), _stated(mark.group, "maxReplicas")),
        staying=key.live - unplaced,
        waiting=tuple(waiting),
    )


def _stated(group: Field, name: str) -> int | None:
    value = group.plain(name)
    return value if isinstance(value, int) else None


def _remembered(groups: list[WorkerGroup], requested: _Requested, autoscaling: bool) -> list[WorkerGroup]:
    """The groups with what their owner asked for, where nobody has written since raypipe did."""
    if autoscaling:
        kept = requested.max_replicas
        return [
            replace(group, high=_most(kept.wish.get(group.name)))
            if group.name in kept.wish and group.written_bounds[1] == kept.written.get(group.name)
            else group
            for group in groups
        ]
    stated = {group.name: group.replicas if group.written is None else group.written for group in groups}
    if any(requested.written.get(name) != replicas for name, replicas in stated.items()):
        return groups
    return [
        replace(group, wish=max(group.low, min(group.high, wish, MOST_WORKERS)))
        if (wish := requested.wish.get(group.name)) is not None
        else group
        for group in groups
    ]


def _most(stated: int | None) -> int:
    return NO_BOUND if stated is None else max(0, min(stated, NO_BOUND))
