"""Writes to one API server, each of which changes what it says or nothing, and says who was there first.

What carries through a plan may be killed after any write and done again from the start, so every write is one of three:

* of an object by its name (`create`), which a second time is refused with AlreadyExists;
* of what is ours alone (`apply`: server-side apply without force, `merge`), which a second time changes nothing;
* with what it relies on (`patch`: a JSON patch with tests, and uids of what is deleted, evicted or bound), which a
  second time fails its test.

`ConflictError` says that the object is not what it was taken for, or that a field is another's, whom it names.
Whatever else a server refuses is a RefusedError as it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from raypipe.adapters.kubernetes.conflicts import failed_test
from raypipe.adapters.kubernetes.server import CONFLICT, INVALID, NOT_FOUND, RefusedError, Server
from raypipe.errors import ClusterError
from raypipe.model.actions import API_VERSIONS, ObjectRef

FIELD_MANAGER: Final = "raypipe"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
ALREADY_EXISTS: Final = "AlreadyExists"

AT_ONCE: Final = 8
"""Writes side by side: an API server takes a few hundred a second, each of which takes it some hundredths."""

type Object = Mapping[str, Any]


class ConflictError(ClusterError):
    """What a write relied on no longer holds, or somebody else owns a field that it would change."""


class Writer:
    """Writes to the API server of one context; may be used by several threads."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def read(self, target: ObjectRef) -> dict[str, Any] | None:
        """The object as it is now, or None."""
        try:
            found: dict[str, Any] = self.server.get(path_of(target))
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return found

    def create(self, one: Object) -> dict[str, Any]:
        """Make an object; a RefusedError of reason AlreadyExists where there is one of its name."""
        made: dict[str, Any] = self.server.send(
            "POST", _path(one, named=False), one, query={"fieldManager": FIELD_MANAGER}
        )
        return made

    def apply(self, one: Object, subresource: str = "") -> dict[str, Any]:
        """Server-side apply without force; ConflictError with the names of those who own what it would change."""
        query = {"fieldManager": FIELD_MANAGER}
        try:
            applied: dict[str, Any] = self.server.send(
                "PATCH", _path(one) + _below(subresource), one, content_type=APPLY, query=query
            )
        except RefusedError as error:
            raise _as_conflict(error, CONFLICT) from None
        return applied

    def merge(self, target: ObjectRef, change: Object, subresource: str = "") -> dict[str, Any]:
        """A merge patch, for fields that are ours; with `metadata.resourceVersion` in it, of that version alone."""
        query = {"fieldManager": FIELD_MANAGER}
        path = path_of(target) + _below(subresource)
        try:
            patched: dict[str, Any] = self.server.send("PATCH", path, change, content_type=MERGE, query=query)
        except RefusedError as error:
            raise _as_conflict(error, CONFLICT, NOT_FOUND) from None
        return patched

    def patch(self, target: ObjectRef, operations: Iterable[Object]) -> dict[str, Any]:
        """A JSON patch; ConflictError where a test in it fails or the object is gone."""
        query, asked = {"fieldManager": FIELD_MANAGER}, list(operations)
        try:
            patched: dict[str, Any] = self.server.send(
                "PATCH", path_of(target), asked, content_type=JSON_PATCH, query=query, again=False
            )
        except RefusedError as error:
            if error.status in (CONFLICT, INVALID):
                raise self._why(target, asked, error) from None
            raise _as_conflict(error, NOT_FOUND) from None
        return patched

    def _why(self, target: ObjectRef, asked: Iterable[Object], error: RefusedError) -> ConflictError:
        """What of a patch does not hold and whose doing that is; as the server said it, where nobody can tell."""
        try:
            found = self.read(target) or {}
        except ClusterError:
            found = {}
        why = failed_test(found, asked, FIELD_MANAGER) if found else ""
        return ConflictError(f"{target.key}: {why}" if why else str(error))

    def delete(self, target: ObjectRef, uid: str | None = None) -> bool:
        """Delete an object, with this uid alone where one is given; whether it was still there."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            self.server.send("DELETE", path_of(target), options)
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return False
            raise _as_conflict(error, CONFLICT) from None
        return True

    def evict(self, pod: ObjectRef, uid: str) -> bool:
        """Ask a pod to go; whether it was still there. A RefusedError of 429 where a disruption budget holds it."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        metadata = {"name": pod.name, "namespace": pod.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}
        try:
            self.server.send("POST", path_of(pod) + "/eviction", eviction, again=False)
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return False
            raise _as_conflict(error, CONFLICT) from None
        return True

    def bind(self, pod: ObjectRef, uid: str, node: str) -> None:
        """Give the pod with this uid its node; ConflictError where it is another pod by now, or has a node already."""
        metadata = {"name": pod.name, "namespace": pod.namespace, "uid": uid}
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        try:
            self.server.send("POST", path_of(pod) + "/binding", binding, query={"fieldManager": FIELD_MANAGER})
        except RefusedError as error:
            raise _as_conflict(error, CONFLICT, NOT_FOUND) from None


def path_of(target: ObjectRef) -> str:
    """REST path of an object.

    >>> path_of(ObjectRef(kind="RayJob", name="train", namespace="ml")), path_of(ObjectRef(kind="Node", name="n-1"))
    ('/apis/ray.io/v1/namespaces/ml/rayjobs/train', '/api/v1/nodes/n-1')
    """
    metadata = {"name": target.name} | ({"namespace": target.namespace} if target.namespace else {})
    return _path({"apiVersion": API_VERSIONS[target.kind], "kind": target.kind, "metadata": metadata})


def _path(one: Object, *, named: bool = True) -> str:
    """REST path of an object, or of what holds it; every kind that is written has a regular plural."""
    api_version, metadata = one["apiVersion"], one["metadata"]
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    if metadata.get("namespace"):
        root += f"/namespaces/{quote(metadata['namespace'], safe='')}"
    holder = f"{root}/{one['kind'].lower()}s"
    return f"{holder}/{quote(metadata['name'], safe='')}" if named else holder


def _below(subresource: str) -> str:
    return f"/{subresource}" if subresource else ""


def _as_conflict(error: RefusedError, *statuses: int) -> ClusterError:
    return ConflictError(str(error)) if error.status in statuses else error
