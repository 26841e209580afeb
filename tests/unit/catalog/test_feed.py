"""When a folder of prices is read again, and what stays of it where it cannot be."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from raypipe.catalog import feed as feeds
from raypipe.catalog.feed import Feed
from raypipe.catalog.tables import load
from raypipe.catalog.versions import Version
from raypipe.errors import CatalogError
from raypipe.model.plan import Note
from tests.unit.catalog.builders import OFFERINGS, folder

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DEARER = OFFERINGS.replace("0.096", "0.196")
ABSURD = OFFERINGS.replace("0.096", "9600")


def test_a_folder_is_believed_version_by_version(tmp_path: Path) -> None:
    feed = Feed(str(folder(tmp_path)))
    told = []
    for hour, offerings in enumerate([OFFERINGS, OFFERINGS, DEARER, "no table", ABSURD, OFFERINGS]):
        folder(tmp_path, offerings=offerings)
        version = feed.refreshed(NOON + hour * HOUR)
        usd = [one.usd_nanos_per_hour / 1e9 for one in version.catalog.prices["aws", "us-east-1"]]
        told.append((version.number, usd[2], version.read_at.hour, [note.kind for note in notes(version)]))
    assert told == [
        (1, 0.096, 12, []),
        (1, 0.096, 13, []),
        (2, 0.196, 14, []),
        (2, 0.196, 14, ["old-prices"]),
        (3, 0.196, 16, ["absurd-price"]),
        (4, 0.096, 17, []),
    ]


def notes(version: Version) -> list[Note]:
    return [*version.catalog.notes, *version.notes]


def test_a_folder_is_parsed_again_only_where_its_bytes_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(feeds, "load", lambda path, doubts: read.append(path) or load(path, doubts))
    feed = Feed(str(folder(tmp_path)))
    first = feed.refreshed(NOON)
    os.utime(tmp_path / "offerings.csv", (0, 0))
    assert feed.refreshed(NOON + HOUR).catalog is first.catalog
    at = (tmp_path / "offerings.csv").stat()
    folder(tmp_path, offerings=DEARER)  # of the same length
    os.utime(tmp_path / "offerings.csv", (at.st_atime, at.st_mtime))
    assert feed.refreshed(NOON + 2 * HOUR).number == 2
    assert len(read) == 2


def test_an_old_version_says_since_when_and_why(tmp_path: Path) -> None:
    feed = Feed(str(folder(tmp_path)))
    feed.refreshed(NOON)
    (tmp_path / "offerings.csv").unlink()
    (note,) = feed.refreshed(NOON + HOUR).notes
    assert note.message == (
        f"{tmp_path} could not be read again ({tmp_path}/offerings.csv: found no such file, expected a catalogue: two "
        "CSV files): prices are those of 2026-11-25 12:00:00 UTC"
    )


def test_what_was_believed_elsewhere_is_gone_on_from(tmp_path: Path) -> None:
    last = Feed(str(folder(tmp_path))).refreshed(NOON)
    folder(tmp_path, offerings=ABSURD)
    assert Feed(str(tmp_path), last).refreshed(NOON + HOUR).number == 2
    (tmp_path / "instance_types.csv").unlink()
    assert Feed(str(tmp_path), last).refreshed(NOON + HOUR).catalog is last.catalog
    with pytest.raises(CatalogError):
        Feed(str(tmp_path)).refreshed(NOON)
