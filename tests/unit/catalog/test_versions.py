"""Which prices are believed, refresh by refresh."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from raypipe.catalog.tables import Catalog, Doubts, load
from raypipe.catalog.versions import Version, not_refreshed, refreshed
from raypipe.errors import CatalogError, Problem

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 25, 13, tzinfo=UTC)
TYPES = (
    "provider,instance_type,family,arch,vcpu,memory_mib\naws,m5.large,m5,amd64,2,8192\naws,c5.large,c5,amd64,2,4096\n"
)
PLACE = ("aws", "us-east-1")


def read(folder: Path, m5: str, c5: str = "0.085") -> tuple[Catalog, Doubts]:
    """A catalogue of two offerings at these prices; a price of "" is none, "-" no row."""
    (folder / "instance_types.csv").write_text(TYPES)
    rows = [f"aws,us-east-1,{kind}.large,on-demand,{usd}" for kind, usd in (("m5", m5), ("c5", c5)) if usd != "-"]
    (folder / "offerings.csv").write_text(
        "\n".join(("provider,region,instance_type,capacity_type,usd_per_hour", *rows)) + "\n"
    )
    doubts: Doubts = {}
    return load(folder, doubts), doubts


def first(folder: Path) -> Version:
    return refreshed(None, *read(folder, "0.096"), "feed", NOON)


def prices(version: Version) -> dict[str, float]:
    return {one.instance_type: one.usd_nanos_per_hour / 1e9 for one in version.catalog.prices.get(PLACE, ())}


@pytest.mark.parametrize(
    ("found", "believed", "set_aside"),
    [
        pytest.param("0.1", 0.1, 0, id="a price moves a little"),
        pytest.param("0.96", 0.96, 0, id="ten times as much is believed"),
        pytest.param("0.0096", 0.0096, 0, id="so is a tenth"),
        pytest.param("0.961", 0.096, 1, id="more than that keeps the last"),
        pytest.param("0.0095", 0.096, 1, id="less than a tenth, too"),
        pytest.param("9.6", 0.096, 1, id="cents for dollars"),
        pytest.param("nan", 0.096, 1, id="no number"),
        pytest.param("0", 0.096, 1, id="nothing for a node"),
        pytest.param("-0.096", 0.096, 1, id="less than nothing"),
        pytest.param("1e99", 0.096, 1, id="more than anybody pays"),
        pytest.param("free", 0.096, 1, id="a word"),
        pytest.param("-", None, 0, id="no longer sold"),
        pytest.param("", None, 0, id="sold without a price"),
    ],
)
def test_a_price_is_believed_beside_the_last(
    found: str, believed: float | None, set_aside: int, tmp_path: Path
) -> None:
    version = refreshed(first(tmp_path), *read(tmp_path, found), "feed", LATER)
    assert prices(version) == {"c5.large": 0.085} | ({} if believed is None else {"m5.large": believed})
    absurd = [note for note in version.catalog.notes if note.kind == "absurd-price"]
    assert sum(note.count for note in absurd) == set_aside


def test_a_price_set_aside_says_what_it_was_and_what_is_kept(tmp_path: Path) -> None:
    version = refreshed(first(tmp_path), *read(tmp_path, "9.6", "nan"), "feed", LATER)
    (note,) = version.catalog.notes
    assert note.message == (
        "aws us-east-1: 2 prices were set aside: c5.large on-demand at nan $/h; the last one, 0.085, is kept"
    )


def test_an_absurd_price_without_a_last_one_is_left_out(tmp_path: Path) -> None:
    version = refreshed(None, *read(tmp_path, "nan"), "feed", NOON)
    assert prices(version) == {"c5.large": 0.085}
    assert version.catalog.notes[0].message.endswith("m5.large on-demand at nan $/h; it is left out")
    again = refreshed(version, *read(tmp_path, "0.096"), "feed", LATER)
    assert prices(again) == {"m5.large": 0.096, "c5.large": 0.085}


def test_what_is_set_aside_stays_so_however_often_it_comes(tmp_path: Path) -> None:
    version = first(tmp_path)
    for _ in range(3):
        version = refreshed(version, *read(tmp_path, "9.6"), "feed", LATER)
    assert (prices(version)["m5.large"], version.number) == (0.096, 2)


def test_a_version_is_a_new_one_where_it_says_something_new(tmp_path: Path) -> None:
    one = first(tmp_path)
    same = refreshed(one, *read(tmp_path, "0.0960"), "feed", LATER)
    other = refreshed(same, *read(tmp_path, "0.097"), "feed", LATER)
    assert [version.number for version in (one, same, other)] == [1, 1, 2]
    assert one.catalog.digest == same.catalog.digest != other.catalog.digest
    assert prices(one)["m5.large"] == 0.096


def test_a_refresh_that_fails_keeps_the_last_good_version_which_grows_older(tmp_path: Path) -> None:
    error = CatalogError(Problem(file="offerings.csv", found="no such file", expected="a catalogue"))
    version = not_refreshed(first(tmp_path), error)
    assert (version.number, version.read_at, version.age_s(LATER)) == (1, NOON, 3600.0)
    assert version.failure == "offerings.csv: found no such file, expected a catalogue"
    assert refreshed(version, *read(tmp_path, "0.096"), "feed", LATER).failure is None
    with pytest.raises(CatalogError):
        not_refreshed(None, error)
