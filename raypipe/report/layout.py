"""Text in columns and labelled lines, for terminals of any width and for pipes.

Names are never cut: they are what a reader copies into the next command. A table that is too wide for the terminal
first loses the space between its columns, then columns that can be missed, the rightmost first and no
more than it must. `width` None is a pipe: no limit.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

LABEL_WIDTH = 15
MARGIN = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its title, whether numbers stand right-aligned, and whether it goes first when room is short."""

    title: str
    right: bool = False
    expendable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: its cells (fewer than columns: the rest is empty), and a remark that follows the last cell."""

    cells: tuple[str, ...]
    remark: str = ""


def table(columns: Sequence[Column], rows: Sequence[Row], width: int | None = None) -> list[str]:
    """Lay rows out under their titles; a short row's remark starts where its cells end."""
    kept = list(range(len(columns)))
    lines = _aligned(columns, rows, kept, gap=2)
    if width is not None and _widest(lines) > width:
        lines = _aligned(columns, rows, kept, gap=1)
    for number in [number for number in reversed(kept) if columns[number].expendable]:
        if width is not None and _widest(lines) > width:
            kept.remove(number)
            lines = _aligned(columns, rows, kept, gap=1)
    return lines


def _widest(lines: Sequence[str]) -> int:
    return max(map(len, lines), default=0)


def _aligned(columns: Sequence[Column], rows: Sequence[Row], kept: Sequence[int], gap: int) -> list[str]:
    widths = {
        number: max([len(columns[number].title), *(len(row.cells[number]) for row in rows if number < len(row.cells))])
        for number in kept
    }
    titles = Row(cells=tuple(column.title for column in columns))
    return [_line(columns, row, widths, " " * gap) for row in (titles, *rows)]


def _line(columns: Sequence[Column], row: Row, widths: dict[int, int], gap: str) -> str:
    cells = [
        row.cells[number].rjust(size) if columns[number].right else row.cells[number].ljust(size)
        for number, size in widths.items()
        if number < len(row.cells)
    ]
    return (MARGIN + gap.join([*cells, row.remark])).rstrip()


def labelled(label: str, text: str, width: int | None = None) -> list[str]:
    """A label and its text, continued under itself where the terminal ends."""
    head = f"{MARGIN}{label:<{LABEL_WIDTH}}"
    indent = " " * len(head)
    if width is None:
        return [(head + text).rstrip()]
    lines = textwrap.wrap(
        text, max(20, width - len(head)), break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )
    return [(head if number == 0 else indent) + line for number, line in enumerate(lines or [""])]


def entries(label: str, texts: Sequence[str], most: int, width: int | None = None) -> list[str]:
    """One labelled line a text, at most `most`, and how many more there are."""
    shown = [*texts[:most], *([f"… and {len(texts) - most:,} more"] if len(texts) > most else [])]
    return [line for number, text in enumerate(shown) for line in labelled("" if number else label, text, width)]
