"""Where the objects of one cluster come from: files and folders, or a live cluster as it was observed.

Both end in documents, and everything after that is the same: a live object and a file are read by one door.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raypipe.manifests.fields import Field
from raypipe.manifests.files import Document, documents, exists, files_in
from raypipe.manifests.sources import Source, SourceFile
from raypipe.model.plan import Note


@dataclass(frozen=True, slots=True)
class Root:
    """A file or folder of manifests; `shown` as the user would name it."""

    path: Path
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files and folders of manifests; `without`: the fleet file, which may lie among them and is none."""

    roots: Sequence[Root]
    without: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What an API server told of a live cluster.

    Attributes:
        context: the kubeconfig context that it was reached by.
        objects: as they came, each with apiVersion and kind. served: kinds that the server has, be there any or not.
        notes: what is not there to be read. error: why nothing is known (then everything else is empty), or None.
    """

    context: str
    objects: Sequence[Mapping[str, Any]] = ()
    served: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()
    error: str | None = None


type Origin = Files | Observed


class Observe(Protocol):
    """Looks at live clusters side by side; one that cannot be seen has its `error`."""

    def __call__(self, contexts: Sequence[str], /) -> Mapping[str, Observed]: ...


def opened(origin: Origin, entry: Field, notes: list[Note]) -> tuple[list[Source], Iterator[Document]]:
    """The places of an origin and the documents in them; what is wrong with the origin itself is noted at `entry`."""
    if isinstance(origin, Observed):
        notes += origin.notes
        live = LiveSource(origin.context, origin.objects)
        return [live], live.documents()
    files = _files(origin, entry, notes)
    return list(files), (document for file in files for document in documents(file))


def _files(origin: Files, entry: Field, notes: list[Note]) -> list[SourceFile]:
    """The files under the roots; a note for each folder that has none."""
    sources: list[SourceFile] = []
    without = None if origin.without is None else origin.without.absolute()
    for root in origin.roots:
        if not exists(root.path):
            entry.get("manifests").problem(f"{root.shown[:200]}: no such file or folder", "manifests")
            continue
        try:
            files = files_in(root.path, root.shown)
        except OSError as error:
            entry.get("manifests").problem(f"{root.shown}: {error.strerror}", "a folder that can be read")
            continue
        sources += [SourceFile(shown, path) for path, shown in files if path.absolute() != without]
        if not files:
            message = f"{root.shown}: no .yaml, .yml or .json file in this folder"
            notes.append(Note(kind="no-manifests", subject=root.shown, message=message))
    return sources


@dataclass(slots=True)
class LiveSource(Source):
    """The objects of a live cluster, each a document that is called by what it is."""

    objects: Sequence[Mapping[str, Any]]

    def documents(self) -> Iterator[Document]:
        """Its objects, as documents."""
        return (Document(self, number, (), dict(one)) for number, one in enumerate(self.objects))

    def named(self, document: int) -> str:
        """What an object is called where something is wrong in it."""
        if document >= len(self.objects):
            return self.shown
        one = self.objects[document]
        metadata = one.get("metadata")
        names = [metadata.get(key) for key in ("namespace", "name")] if isinstance(metadata, Mapping) else []
        return f"{self.shown} {'/'.join(_words([one.get('kind'), *names]))}"


def _words(parts: Iterable[object]) -> list[str]:
    return [part for part in parts if isinstance(part, str) and part]
