"""What a loop is put together from."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from shutil import copytree

import raypipe
from raypipe import api
from raypipe.controller.start import Options, _catalog
from tests.unit.controller.tellings import Recorder

SHIPPED = Path(raypipe.__file__).parent / "catalog" / "data"


def test_the_hour_of_the_prices_is_told_where_they_are_read_from_a_folder(tmp_path: Path) -> None:
    folder = copytree(SHIPPED, tmp_path / "prices")
    recorder = Recorder()
    with api.Planner("serial") as planner:
        read = _catalog(Options(catalog=folder), planner, recorder)()
        shipped = _catalog(Options(), planner, recorder)()

    ((_, read_at, died), told) = recorder.told
    assert isinstance(read_at, datetime)
    assert (died, told) == (0, ("supplied", None, 0))
    assert read.digest == shipped.digest
