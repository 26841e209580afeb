"""Files and folders to documents: several a file, and `List` objects one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raypipe.manifests.lines import line_of
from raypipe.manifests.parsing import DEEPEST, parsed
from raypipe.manifests.sources import Source, SourceFile, Step

__all__ = ["Document", "SourceFile", "documents", "exists", "files_in", "line_of"]

LARGEST_FILE_BYTES = 1 << 30
SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file: its content, which document it is in, and the steps that lead to it there."""

    source: Source
    number: int
    steps: tuple[Step, ...]
    content: dict[str, Any]


def exists(path: Path) -> bool:
    """Whether there is a file or folder; a name that no file system takes is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def files_in(path: Path, shown: str) -> list[tuple[Path, str]]:
    """The manifest files under a path, in order of name, hidden ones left out; a file is itself.

    Raises OSError for a folder that cannot be listed: half of a cluster is not planned as if it were all.
    """
    if path.is_file():
        return [(path, shown)]
    base = shown.rstrip("/")
    found: list[Path] = []
    for folder, below, names in os.walk(path, onerror=_raise):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [Path(folder) / name for name in names if not name.startswith(".")]
    found = sorted(one for one in found if one.suffix in SUFFIXES and one.is_file())
    return [(one, f"{base}/{one.relative_to(path).as_posix()}") for one in found]


def _raise(error: OSError) -> None:
    raise error


def documents(source: SourceFile) -> Iterator[Document]:
    """The objects of a file, those of `List`s one by one; problems are noted in the source."""
    data = _content(source)
    if data is None:
        return
    is_json = source.path.suffix == ".json"
    for number, content in enumerate(parsed(source, data, is_json)):
        if content is not None:
            yield from _flattened(source, number, (), content)


def _content(source: SourceFile) -> bytes | None:
    try:
        size = source.path.stat().st_size
        if size <= LARGEST_FILE_BYTES:
            return source.path.read_bytes()
        source.problem(f"{size} bytes", f"at most {LARGEST_FILE_BYTES}", line=1)
    except OSError as error:
        source.problem(error.strerror or "a file that cannot be read", "a readable file", line=1)
    return None


def _flattened(source: Source, number: int, steps: tuple[Step, ...], content: Any) -> Iterator[Document]:
    """A document, or the items of a list of objects."""
    if not isinstance(content, dict):
        source.problem(_said(content), "an object with apiVersion and kind", document=number, steps=steps)
        return
    kind, items = content.get("kind"), content.get("items")
    if not isinstance(kind, str) or not (kind == "List" or (kind.endswith("List") and isinstance(items, list))):
        yield Document(source, number, steps, content)
        return
    if items is not None and not isinstance(items, list):
        source.problem(_said(items), "a list", document=number, steps=(*steps, "items"))
        return
    if len(steps) > DEEPEST:
        source.problem("Lists within Lists", "objects", document=number, steps=steps[:4])
        return
    of = kind.removesuffix("List")
    for index, item in enumerate(items or ()):
        if of and isinstance(item, dict) and "kind" not in item:  # a PodList's items are Pods that do not say so
            item = {"apiVersion": content.get("apiVersion"), "kind": of, **item}
        yield from _flattened(source, number, (*steps, "items", index), item)


def _said(value: object) -> str:
    return {list: "a list", dict: "a mapping", type(None): "nothing"}.get(type(value), f"{str(value)[:60]!r}")
