"""What is known of one live cluster: raw objects by kind and uid, kept up to date by whoever watches it.

Objects are replaced and never changed, so what `seen` hands out stays as it is. All kinds change under one lock: what
is handed out has been true at one moment as far as the watches have told, some of which may be a little behind others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from raypipe.adapters.kubernetes.kinds import KINDS, Kind, Resource, absent
from raypipe.adapters.kubernetes.listing import Listed
from raypipe.adapters.kubernetes.watching import Change
from raypipe.errors import ClusterError
from raypipe.manifests.origins import Observed
from raypipe.model.plan import Note

NOT_READ_YET = "not read yet"
"""The error of a cluster that nothing has been heard of, neither good nor bad."""


class Cache:
    """The objects of one cluster; may be used by several threads."""

    def __init__(self, context: str) -> None:
        self._context = context
        self._changed = threading.Condition()
        self._objects: dict[Resource, dict[str, dict[str, Any]]] = {}
        self._failing: dict[Resource, ClusterError] = {}
        self._forgotten: dict[Resource, Note | None] = {}
        self._awaited: set[Resource] = set()
        self._missing: tuple[Kind, ...] = ()
        self._notes: tuple[Note, ...] = ()
        self._unreadable: ClusterError | None = None
        self._changes = 0
        self._handed_out: tuple[int, Observed] | None = None

    def expect(self, resources: Iterable[Resource], missing: Iterable[Kind], notes: Iterable[Note]) -> None:
        """Wait for these before anything is seen; `missing`: kinds that the server does not have."""
        with self._changed:
            self._unreadable = None
            self._missing, self._notes = tuple(missing), tuple(notes)
            self._awaited |= {one for one in resources if one not in self._objects}
            self._note_change()

    def unreadable(self, error: ClusterError) -> None:
        """Nothing can be said of the cluster as a whole."""
        with self._changed:
            self._unreadable = error
            self._note_change()

    def replace(self, resource: Resource, listed: Listed) -> None:
        """Know of a kind what a list says, and nothing else."""
        with self._changed:
            self._objects[resource] = {_uid(one): one for one in listed.objects}
            self._forgotten.pop(resource, None)
            self._awaited.discard(resource)
            self._failing.pop(resource, None)
            self._note_change()

    def apply(self, resource: Resource, change: Change) -> None:
        """Know of one object what a watch says; a bookmark says that it works."""
        with self._changed:
            was_failing = self._failing.pop(resource, None) is not None
            if change.object is not None:
                known = self._objects.setdefault(resource, {})
                if change.deleted:
                    known.pop(_uid(change.object), None)
                else:
                    known[_uid(change.object)] = change.object
            if change.object is not None or was_failing:
                self._note_change()

    def fail(self, resource: Resource, error: ClusterError) -> None:
        """A kind is not up to date, and why: what is known of it stays, and is not handed out."""
        with self._changed:
            self._failing[resource] = error
            self._awaited.discard(resource)
            self._note_change()

    def forget(self, resource: Resource, note: Note | None = None) -> None:
        """There is no such kind (any longer), or, says a note, it may not be seen and need not be."""
        with self._changed:
            self._forgotten[resource] = note
            for known in (self._objects, self._failing):
                known.pop(resource, None)
            self._awaited.discard(resource)
            self._note_change()

    def seen(self) -> Observed:
        """The cluster as it is known now; with an `error` while a kind is not up to date or not read yet.

        It is the very same value as long as nothing changes.
        """
        with self._changed:
            if self._handed_out is None or self._handed_out[0] != self._changes:
                self._handed_out = self._changes, self._observed()
            return self._handed_out[1]

    def _observed(self) -> Observed:
        errors = [self._unreadable] if self._unreadable is not None else list(self._failing.values())
        if errors:
            words = "\n".join(sorted({str(error) for error in errors}))
            return Observed(context=self._context, error=words)
        if self._awaited or not self._objects:
            return Observed(context=self._context, error=f"{self._context}: {NOT_READ_YET}")
        return Observed(
            context=self._context,
            objects=tuple(one for known in self._objects.values() for one in known.values()),
            served=frozenset(resource.kind.name for resource in self._objects),
            notes=self._told(),
        )

    def find(self, uid: str) -> Mapping[str, Any] | None:
        """One object as it is known now."""
        with self._changed:
            return next((known[uid] for known in self._objects.values() if uid in known), None)

    def wait(self, since: int, timeout_s: float) -> int:
        """Wait for a change after the one numbered `since`; the number of the last one."""
        with self._changed:
            self._changed.wait_for(lambda: self._changes > since, timeout_s)
            return self._changes

    def _told(self) -> tuple[Note, ...]:
        gone = [resource.kind for resource, note in self._forgotten.items() if note is None]
        unseen = [note for note in self._forgotten.values() if note is not None]
        return (*self._notes, *unseen, *absent(self._context, sorted({*self._missing, *gone}, key=KINDS.index)))

    def _note_change(self) -> None:
        self._changes += 1
        self._changed.notify_all()


def _uid(one: Mapping[str, Any]) -> str:
    metadata = one.get("metadata")
    return str(metadata.get("uid")) if isinstance(metadata, Mapping) else ""
