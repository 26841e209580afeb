"""What the owner of a Ray object had asked for where raypipe has written since: ``raypipe.io/requested-replicas``.

The annotation holds what the owner had asked for (`wish`) and what was put there instead (`written`): while the object
still has what was written, the wish is the demand; else the owner has spoken since, and what stands there is his wish.
The same goes, field by field, for the bounds that are written where Ray's own autoscaler owns the replicas::

    {"wish": {"l4": 2, "t4": 0}, "written": {"l4": 0, "t4": 5}}
    {"maxReplicas": {"wish": {"l4": 8}, "written": {"l4": 0}}, "priority": {…}, "idleTimeoutSeconds": {…}}
"""

from __future__ import annotations

import msgspec

from raypipe.manifests.objects import KubeObject
from raypipe.model.alternatives import BOUNDS, REQUESTED


class Kept(msgspec.Struct):
    """What the owner had asked for, and what was put there instead, by group; null: not stated."""

    wish: dict[str, int | None] = {}
    written: dict[str, int | None] = {}


class Wishes(Kept):
    """The annotation: replicas, and likewise each bound."""

    max_replicas: Kept = msgspec.field(name="maxReplicas", default_factory=Kept)
    idle_timeout: Kept = msgspec.field(name="idleTimeoutSeconds", default_factory=Kept)
    priority: Kept = msgspec.field(name="priority", default_factory=Kept)

    @property
    def groups(self) -> frozenset[str]:
        """The groups of which something is kept."""
        return frozenset().union(self.written, *(self.of(bound).written for bound in BOUNDS))

    def of(self, bound: str) -> Kept:
        """What is kept of a bound, by its name in KubeRay."""
        return {
            "maxReplicas": self.max_replicas,
            "idleTimeoutSeconds": self.idle_timeout,
            "priority": self.priority,
        }[bound]


def wishes_of(*objects: KubeObject) -> Wishes:
    """What the first of `objects` that has the annotation remembers."""
    for one in objects:
        note = one.annotations.get(REQUESTED)
        if note.value is None:
            continue
        try:
            return msgspec.json.decode(note.word(), type=Wishes)
        except (msgspec.DecodeError, UnicodeEncodeError):
            note.problem(repr(note.value)[:60], 'JSON such as {"wish": {"l4": 2}, "written": {"l4": 0}}')
            break
    return Wishes()
