"""PriceScout: the one process that reads prices, and publishes what is to be believed of them.

What is believed is decided by `raypipe.catalog.versions`; the actor reads files, keeps the last version, and puts each
into the object store once, so that whoever plans gets it by reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ray

from raypipe.catalog import load
from raypipe.catalog.tables import Doubts
from raypipe.catalog.versions import Version, not_refreshed, refreshed
from raypipe.errors import CatalogError


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A version of the catalogue; the catalogue itself by reference (an `ObjectRef`), never changed once published."""

    number: int
    digest: str
    source: str
    read_at: datetime
    failure: str | None
    catalog: Any


class PriceScout:
    """Reads a catalogue's folder (None: the shipped table) whenever it is told to."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._version: Version | None = None
        self._published: Published | None = None

    def refresh(self) -> Published:
        """Read the files again; CatalogError where they cannot be read and never could."""
        doubts: Doubts = {}
        try:
            found = load(self._folder, doubts)
        except CatalogError as error:
            self._version = not_refreshed(self._version, error)
        else:
            source = self._folder or "the table that ships with raypipe"
            self._version = refreshed(self._version, found, doubts, source, datetime.now(UTC))
        self._published = _published(self._version, self._published)
        return self._published

    def current(self) -> Published:
        """The last version, read now if it has not been yet."""
        return self._published or self.refresh()


def _published(version: Version, before: Published | None) -> Published:
    """The version with its catalogue in the object store, where that of the one before stays if it is the same."""
    same = before is not None and before.number == version.number
    return Published(
        number=version.number,
        digest=version.catalog.digest,
        source=version.source,
        read_at=version.read_at,
        failure=version.failure,
        catalog=before.catalog if before is not None and same else ray.put(version.catalog),
    )


_remote: Any = ray.remote
PriceScoutActor: Any = _remote(num_cpus=0)(PriceScout)
"""A PriceScout as a process of Ray."""
