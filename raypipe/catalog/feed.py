"""The catalogue of the day: a folder that somebody writes prices into, read again for every plan.

What is believed of it is decided by `versions`; here stands when it is read: whenever its bytes are others than last
time, so that a plan costs two reads of a file where nothing has happened. Refused: to go by the files' times, which two
writes within one tick of the clock share.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from raypipe.catalog.tables import FILES, Doubts, load
from raypipe.catalog.versions import Version, not_refreshed, refreshed
from raypipe.errors import CatalogError


class Feed:
    """The versions of one folder, one after another; `last`: what was believed of it before, where somebody knows."""

    def __init__(self, folder: str, last: Version | None = None) -> None:
        self._folder, self._last = folder, last
        self._bytes = ""

    def refreshed(self, now: datetime) -> Version:
        """The version of this moment; CatalogError where the folder cannot be read and never could."""
        found = _bytes_of(self._folder)
        if self._last is None or found != self._bytes:
            self._last = self._read(self._last, now)
            self._bytes = found
        elif self._last.failure is None:
            self._last = self._last.seen_again(now)
        return self._last

    def _read(self, last: Version | None, now: datetime) -> Version:
        doubts: Doubts = {}
        try:
            catalog = load(self._folder, doubts)
        except CatalogError as error:
            return not_refreshed(last, error)
        return refreshed(last, catalog, doubts, self._folder, now)


def _bytes_of(folder: str) -> str:
    """A digest of what the files hold; of a file that cannot be read, that it cannot."""
    digest = hashlib.sha256()
    for name in FILES:
        try:
            digest.update(hashlib.sha256((Path(folder) / name).read_bytes()).digest())
        except OSError:
            digest.update(b"unreadable")
    return digest.hexdigest()
