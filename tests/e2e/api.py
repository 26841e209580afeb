"""A thin client of the API server, for tests alone: raw JSON by REST paths, no discovery, no model objects.

It is deliberately not raypipe's own client: what a test sees of a cluster must not depend on the code that it tests.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from tests.e2e.processes import LOOPBACK, until

MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
_CLUSTER_SCOPED = frozenset(
    {
        "ClusterRole",
        "ClusterRoleBinding",
        "CSINode",
        "CustomResourceDefinition",
        "KWOKNodeClass",
        "Namespace",
        "Node",
        "NodeClaim",
        "NodePool",
        "PersistentVolume",
        "PriorityClass",
        "StorageClass",
    }
)
_TOGETHER = 16
"""Requests in flight where many objects are sent at once."""

type Object = dict[str, Any]


class ApiError(Exception):
    """The API server said no; `status` is HTTP's."""

    def __init__(self, status: int, message: str, reason: str = "") -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class Api:
    """The API server of one cluster, as one user. May be used by several threads at once."""

    def __init__(self, port: int, authority: Path, token: str) -> None:
        self._port, self._token = port, token
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._idle: deque[http.client.HTTPSConnection] = deque()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        content_type: str = "application/json",
        query: Mapping[str, object] | None = None,
    ) -> Any:
        """One request; the decoded answer (a string where it is no JSON), or ApiError."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        payload = None if body is None else json.dumps(body)
        target = path + ("?" + urlencode(query) if query else "")
        for last_try in (False, True):
            try:
                with self._connection() as connection:
                    connection.request(method, target, payload, headers)
                    response = connection.getresponse()
                    raw = response.read()
                break
            except (http.client.HTTPException, ConnectionError, ssl.SSLEOFError):  # kept too long, or started anew
                self.close()
                if last_try:
                    raise
        is_json = (response.getheader("Content-Type") or "").startswith("application/json")
        answer = json.loads(raw) if is_json else raw.decode()
        if response.status >= 400:
            status = answer if isinstance(answer, dict) else {}
            raise ApiError(response.status, str(status.get("message", answer)), str(status.get("reason", "")))
        return answer

    def get(self, kind: Mapping[str, Any]) -> Object:
        """The object as it is now; `kind` needs apiVersion, kind and metadata alone."""
        answer: Object = self.request("GET", path_of(kind))
        return answer

    def find(self, kind: Mapping[str, Any]) -> Object | None:
        """The object as it is now, or None."""
        try:
            return self.get(kind)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def items(self, api_version: str, kind: str, namespace: str = "", **query: object) -> list[Object]:
        """All objects of a kind, in every namespace where none is given; each says its kind, as lists do not."""
        items: list[Object] = self.request("GET", collection(api_version, kind, namespace), query=query)["items"]
        return [{"apiVersion": api_version, "kind": kind, **item} for item in items]

    def create(self, *objects: Object) -> list[Object]:
        """Create these, many at once; what the API server made of them, in the same order."""

        def one(body: Object) -> Object:
            created: Object = self.request("POST", path_of(body, named=False), body)
            return created

        return self._together(one, objects)

    def apply(self, *objects: Object, manager: str = "rig") -> list[Object]:
        """Server-side apply these by force, many at once."""

        def one(body: Object) -> Object:
            applied: Object = self.request(
                "PATCH", path_of(body), body, APPLY, {"fieldManager": manager, "force": "true"}
            )
            return applied

        return self._together(one, objects)

    def patch(
        self, kind: Mapping[str, Any], change: object, content_type: str = MERGE, subresource: str = ""
    ) -> Object:
        """Patch an object, or one of its subresources."""
        target = path_of(kind) + (f"/{subresource}" if subresource else "")
        patched: Object = self.request("PATCH", target, change, content_type)
        return patched

    def delete(self, *kinds: Mapping[str, Any], **query: object) -> None:
        """Delete these, many at once, those that are gone already included."""

        def one(kind: Mapping[str, Any]) -> None:
            try:
                self.request("DELETE", path_of(kind), query=query)
            except ApiError as error:
                if error.status != 404:
                    raise

        self._together(one, kinds)

    def wait(
        self, kind: Mapping[str, Any], until_true: Callable[[Object], object], within_s: float = 20, what: str = ""
    ) -> Object:
        """The object once it is there and `until_true` of it; AssertionError with its status otherwise."""
        seen: list[Object | None] = [None]

        def ask() -> Object | None:
            seen[0] = found = self.find(kind)
            return found if found is not None and until_true(found) else None

        name = f"{kind['kind']}/{kind['metadata']['name']}"
        try:
            return until(ask, within_s, what or name)
        except AssertionError as error:
            raise AssertionError(f"{error}; {name} is now {json.dumps((seen[0] or {}).get('status'))}") from None

    def watch(self, api_version: str, kind: str, within_s: float) -> Iterator[tuple[str, Object]]:
        """Every change of a kind from now on, its type first, as it is told; ends after `within_s` at the latest."""
        with self._connection() as connection:
            query = urlencode({"watch": "true", "timeoutSeconds": int(within_s)})
            headers = {"Authorization": f"Bearer {self._token}"}
            connection.request("GET", f"{collection(api_version, kind)}?{query}", None, headers)
            for line in connection.getresponse():
                change = json.loads(line)
                yield change["type"], change["object"]

    def close(self) -> None:
        """Close the connections that are kept for the next request."""
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connection(self) -> Iterator[http.client.HTTPSConnection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = http.client.HTTPSConnection(LOOPBACK, self._port, timeout=70, context=self._tls)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _together[I, O](self, one: Callable[[I], O], many: tuple[I, ...]) -> list[O]:
        if len(many) < 2:
            return [one(item) for item in many]
        with ThreadPoolExecutor(min(_TOGETHER, len(many))) as threads:
            return list(threads.map(one, many))


def collection(api_version: str, kind: str, namespace: str = "") -> str:
    """REST path of all objects of a kind.

    >>> collection("apps/v1", "Deployment", "shop"), collection("v1", "Node")
    ('/apis/apps/v1/namespaces/shop/deployments', '/api/v1/nodes')
    """
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    return root + (f"/namespaces/{namespace}" if namespace else "") + "/" + plural(kind)


def path_of(kind: Mapping[str, Any], named: bool = True) -> str:
    """REST path of one object, or of what holds it; namespace ``default`` where it should have one and names none.

    >>> path_of({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}})
    '/api/v1/namespaces/default/pods/a'
    """
    metadata = kind["metadata"]
    namespace = "" if kind["kind"] in _CLUSTER_SCOPED else metadata.get("namespace", "default")
    holder = collection(kind["apiVersion"], kind["kind"], namespace)
    return f"{holder}/{quote(metadata['name'])}" if named else holder


def plural(kind: str) -> str:
    """A kind as it stands in paths.

    >>> plural("NodePool"), plural("StorageClass"), plural("NetworkPolicy")
    ('nodepools', 'storageclasses', 'networkpolicies')
    """
    word = kind.lower()
    if word.endswith("s"):
        return word + "es"
    return word[:-1] + "ies" if word.endswith("y") else word + "s"
