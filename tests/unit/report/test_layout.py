"""Tables on narrow terminals: what goes first, and what never does."""

from __future__ import annotations

import pytest

from raypipe.report.layout import Column, Row, table

COLUMNS = (
    Column(title="type"),
    Column(title="zone", expendable=True),
    Column(title="$/h"),
    Column(title="per", expendable=True),
)
ROWS = (Row(cells=("m7g.xlarge", "a", "0.16", "0.04")),)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        pytest.param(None, "  m7g.xlarge  a     0.16  0.04", id="a pipe has no width"),
        pytest.param(28, "  m7g.xlarge a    0.16 0.04", id="first the space between columns"),
        pytest.param(26, "  m7g.xlarge a    0.16", id="then the rightmost column that can be missed"),
        pytest.param(20, "  m7g.xlarge 0.16", id="then the next"),
        pytest.param(5, "  m7g.xlarge 0.16", id="never the others"),
    ],
)
def test_a_table_gives_up_no_more_than_it_must(width: int | None, line: str) -> None:
    assert table(COLUMNS, ROWS, width)[1] == line
