"""What the loop keeps between its cycles and its lives: small texts by name, in a folder or in a ConfigMap.

Lost state costs time and money, never correctness: what is there and on its way is seen in the clusters. A text is
replaced whole. ``paused.json`` alone is written by somebody else (``raypipe pause``), and the loop only reads it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from raypipe.adapters.kubernetes.server import NOT_FOUND, RefusedError, Sender
from raypipe.adapters.kubernetes.writing import MERGE
from raypipe.errors import InputError, OutputError, Problem
from raypipe.state import replace_file

PAUSED = "paused.json"
STATUS = "status.json"
CONFIG_MAP = "configmap:"
MOST_BYTES = 200_000
"""Longest text kept in a ConfigMap, which holds 1 MiB in all."""


class Durable(Protocol):
    """Keeps texts by name."""

    def read(self, name: str) -> bytes | None:
        """The text, None where there is none; OutputError or ClusterError where that cannot be told."""

    def write(self, name: str, data: bytes) -> None:
        """Replace the text; OutputError or ClusterError where that is impossible."""

    def delete(self, name: str) -> None:
        """Forget the text; nothing happens where there is none."""


def memory_name(cluster: str) -> str:
    """Where the memory of a cluster is kept.

    >>> memory_name("arn:aws:eks:x/y")
    'arn_3Aaws_3Aeks_3Ax_2Fy.memory.json'
    """
    return f"{quote(cluster, safe='').replace('%', '_')}.memory.json"


class Nowhere:
    """Keeps texts as long as it lives."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """What was written last."""
        return self._texts.get(name)

    def write(self, name: str, data: bytes) -> None:
        """Keep it for now."""
        self._texts[name] = data

    def delete(self, name: str) -> None:
        """Forget it."""
        self._texts.pop(name, None)


class Folder:
    """Keeps texts as files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes | None:
        """The file's content."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutputError(f"{self.folder / name}: {error.strerror or 'cannot be read'}") from None

    def write(self, name: str, data: bytes) -> None:
        """Replace the file whole."""
        replace_file(self.folder / name, data)

    def delete(self, name: str) -> None:
        """Delete the file."""
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder / name}: {error.strerror or 'cannot be deleted'}") from None


class ConfigMap:
    """Keeps texts as entries of a ConfigMap; one that is too long for it is not kept."""

    def __init__(self, server: Sender, namespace: str, name: str) -> None:
        self._server, self._namespace, self._name = server, namespace, name
        self._holder = f"/api/v1/namespaces/{quote(namespace, safe='')}/configmaps"
        self._path = f"{self._holder}/{quote(name, safe='')}"

    def read(self, name: str) -> bytes | None:
        """The entry."""
        try:
            found = self._server.get(self._path)
        except RefusedError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        text = (found.get("data") or {}).get(name)
        return None if text is None else str(text).encode()

    def write(self, name: str, data: bytes) -> None:
        """Replace the entry; the others stay as they are, whoever wrote them."""
        if len(data) <= MOST_BYTES:
            self._patch({name: data.decode()})

    def delete(self, name: str) -> None:
        """Take the entry out."""
        self._patch({name: None})

    def _patch(self, data: dict[str, str | None]) -> None:
        try:
            self._server.send("PATCH", self._path, {"data": data}, content_type=MERGE)
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
            metadata = {"name": self._name, "namespace": self._namespace}
            kept = {name: text for name, text in data.items() if text is not None}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": kept}
            self._server.send("POST", self._holder, body)


def config_map_named(state: str) -> tuple[str, str] | None:
    """Namespace and name of ``configmap:NS/NAME``, None for a folder; InputError for neither.

    >>> config_map_named("configmap:ops/raypipe"), config_map_named(".raypipe")
    (('ops', 'raypipe'), None)
    """
    if not state.startswith(CONFIG_MAP):
        return None
    words = re.fullmatch(r"([a-z0-9][-a-z0-9]*)/([a-z0-9][-.a-z0-9]*)", state.removeprefix(CONFIG_MAP))
    if words is None:
        raise InputError(
            Problem(field="--state", found=repr(state)[:80], expected="a folder, or configmap:NAMESPACE/NAME")
        )
    return words[1], words[2]
