"""Changes of one kind as they happen, from the moment of a list on.

Bookmarks move the moment forward where nothing changes, so that a watch that breaks goes on from where it was and not
from the list. A moment that the server has forgotten (410, as an answer or as an ERROR event) means to list again:
whoever reads gets it as `RefusedError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from raypipe.adapters.kubernetes.kinds import Resource
from raypipe.adapters.kubernetes.listing import told
from raypipe.adapters.kubernetes.server import RefusedError, Server, UnreachableError

WATCH_S = 300
"""Seconds after which the server ends a watch; it is begun anew from the last moment."""

QUIET_S = 150
"""A server sends bookmarks about every minute: after more than two without one the connection is taken for dead."""

DELETED, BOOKMARK, ERROR = "DELETED", "BOOKMARK", "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An object as it is now (`deleted`: as it was last), or nothing but the moment up to which all is known."""

    resource_version: str
    object: dict[str, Any] | None = None
    deleted: bool = False


class _Event(msgspec.Struct):
    type: str
    object: dict[str, Any]


def watch(server: Server, resource: Resource, since: str) -> Iterator[Change]:
    """Changes since a resourceVersion, until the server ends the watch; ClusterError where it breaks or is refused."""
    query: dict[str, str | int] = {
        "watch": 1,
        "allowWatchBookmarks": "true",
        "resourceVersion": since,
        "timeoutSeconds": WATCH_S,
    }
    if resource.kind.selector is not None:
        query["fieldSelector"] = resource.kind.selector
    with server.stream(resource.path, query, QUIET_S) as lines:
        for line in lines:
            yield _change(server, resource, line)


def _change(server: Server, resource: Resource, line: bytes) -> Change:
    try:
        event = msgspec.json.decode(line, type=_Event)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UnreachableError(f"{server.context}: {resource.path}: the watch sent no event: {error}") from None
    if event.type == ERROR:
        status = event.object.get("code")
        words = f"{server.context}: {resource.path}: {status} {event.object.get('message')}"
        raise RefusedError(words, status if isinstance(status, int) else 500)
    version = str((event.object.get("metadata") or {}).get("resourceVersion") or "")
    if event.type == BOOKMARK:
        return Change(resource_version=version)
    return Change(resource_version=version, object=told(event.object, resource), deleted=event.type == DELETED)
