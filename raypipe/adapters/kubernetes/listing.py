"""All objects of one kind, page by page, with the resourceVersion from which a watch goes on.

A list whose next page has expired (410: a slow reader beside a quick compaction) begins again, and at last asks for
everything in one piece, which cannot expire.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raypipe.adapters.kubernetes.kinds import Resource
from raypipe.adapters.kubernetes.pruning import pruned
from raypipe.adapters.kubernetes.server import GONE, Query, RefusedError, Server
from raypipe.errors import ClusterError

PAGE = 500
"""Objects a page, as kubectl and client-go have it."""

PAGED_TRIES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Objects as they came, with their apiVersion and kind; resource_version: of the whole list."""

    objects: list[dict[str, Any]]
    resource_version: str


def list_all(server: Server, resource: Resource) -> Listed:
    """List a kind; ClusterError where that cannot be."""
    for limit in (PAGE,) * PAGED_TRIES + (0,):
        try:
            return _paged(server, resource, limit)
        except RefusedError as error:
            if error.status != GONE or not limit:
                raise
    raise AssertionError("unreachable: the last try returns or raises")


def _paged(server: Server, resource: Resource, limit: int) -> Listed:
    """One list in pages of `limit`; 0: in one piece."""
    query: dict[str, str | int] = {"limit": limit} if limit else {}
    if resource.kind.selector is not None:
        query["fieldSelector"] = resource.kind.selector
    objects: list[dict[str, Any]] = []
    while True:
        page, version, following = _page(server, resource, query)
        objects += page
        if not following:
            return Listed(objects=objects, resource_version=version)
        query["continue"] = following


def _page(server: Server, resource: Resource, query: Query) -> tuple[Iterator[dict[str, Any]], str, str]:
    """Objects, resourceVersion and what to ask for the next page with."""
    answer = server.get(resource.path, query)
    metadata = answer.get("metadata") if isinstance(answer, dict) else None
    if not isinstance(metadata, dict):
        raise ClusterError(f"{server.context}: {resource.path}: found no list of {resource.kind.plural}")
    items = answer.get("items") or ()
    return (
        (told(one, resource) for one in items),
        str(metadata.get("resourceVersion") or ""),
        str(metadata.get("continue") or ""),
    )


def told(item: dict[str, Any], resource: Resource) -> dict[str, Any]:
    """An object that says what it is (in lists of built-in kinds they do not), without what nobody needs."""
    return {"apiVersion": resource.api_version, "kind": resource.kind.name, **pruned(item)}
