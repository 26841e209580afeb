"""JSON patches (RFC 6902) of objects that others write to, too: tests of all that is relied on, then the writes.

A value that is relied on is tested before anything is written, so that a patch changes all or nothing, and nothing
where somebody has changed the object since. That a field is *not* stated is relied on as well: otherwise adding
``/metadata/annotations`` would wipe what came there meanwhile. RFC 6902 knows no such test; Kubernetes' API server (and
kustomize, which has the same library, but puts annotations of its own on all that it works on) takes a test for null to
hold where nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

type Operation = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value of an object: what it is and what it shall be; None: not stated."""

    path: str
    old: object
    new: object


def annotation_change(name: str, old: str | None, new: str | None, *, annotated: bool) -> Change:
    """The change of an annotation; `annotated`: the object has annotations, beside which one can be added."""
    if annotated or old is not None:
        return Change(path=f"/metadata/annotations/{escaped(name)}", old=old, new=new)
    return Change(path="/metadata/annotations", old=None, new={name: new})


def json_patch(
    uid: str | None, changes: Sequence[Change], relied: Sequence[tuple[str, object]] = ()
) -> tuple[Operation, ...]:
    """The patch that makes all changes; `relied`: further values that must be as they were, by path."""
    return tuple(_operations(uid, changes, relied))


def _operations(
    uid: str | None, changes: Sequence[Change], relied: Sequence[tuple[str, object]]
) -> Iterator[Operation]:
    if uid is not None:
        yield {"op": "test", "path": "/metadata/uid", "value": uid}
    for path, value in relied:
        yield {"op": "test", "path": path, "value": value}
    for one in changes:
        yield {"op": "test", "path": one.path, "value": one.old}
    for one in changes:
        if one.new is not None:
            yield {"op": "add", "path": one.path, "value": one.new}
        elif one.old is not None:
            yield {"op": "remove", "path": one.path}


def escaped(step: str) -> str:
    """A step of a JSON pointer.

    >>> escaped("raypipe.io/admit")
    'raypipe.io~1admit'
    """
    return step.replace("~", "~0").replace("/", "~1")
