"""PriceScout: the one process that reads prices, and publishes what is to be believed of them.

When a folder is read is decided by `raypipe.catalog.feed`, what is believed by `raypipe.catalog.versions`; the actor
keeps the last version of each folder, and puts each version into the object store once: whoever plans gets it by
reference. Should it die, the next one is told what was believed last by whoever asks.

It runs where the driver that first asks does, since that is where the folder is; drivers of one machine share it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ray

from raypipe.catalog.feed import Feed
from raypipe.catalog.versions import Version

NAME = "raypipe-price-scout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A version of the catalogue; the catalogue itself by reference (an `ObjectRef`), never changed once published."""

    number: int
    digest: str
    source: str
    read_at: datetime
    failure: str | None
    catalog: Any

    def version(self, known: Version | None = None) -> Version:
        """The version with its catalogue, fetched unless it is that of the version known."""
        same = known is not None and known.catalog.digest == self.digest
        return Version(
            number=self.number,
            catalog=known.catalog if known is not None and same else ray.get(self.catalog),
            source=self.source,
            read_at=self.read_at,
            failure=self.failure,
        )


class PriceScout:
    """Reads folders of prices whenever it is asked for them."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._published: dict[str, Published] = {}

    def believe(self, last: Version) -> None:
        """Go on from a version that another PriceScout published, where nothing later is known here."""
        self._feeds.setdefault(last.source, Feed(last.source, last))

    def refreshed(self, folder: str) -> Published:
        """The folder's version of this moment; CatalogError where it cannot be read and never could."""
        version = self._feeds.setdefault(folder, Feed(folder)).refreshed(datetime.now(UTC))
        self._published[folder] = _published(version, self._published.get(folder))
        return self._published[folder]

    def pid(self) -> int:
        """The process that this is."""
        return os.getpid()


def _published(version: Version, before: Published | None) -> Published:
    """The version with its catalogue in the object store, where that of the one before stays if it is the same."""
    same = before is not None and before.digest == version.catalog.digest
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
