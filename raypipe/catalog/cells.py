"""A CSV file as a table of text cells, read strictly: every row keeps its line, and everything wrong is collected.

Numbers are plain ASCII decimals within stated bounds; what Python would also read (``1_000``, other scripts' digits,
NaN) is refused, because a table of prices is not the place to guess.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raypipe.errors import Problem, nearest


@dataclass(slots=True)
class Sheet:
    """One file: its header and (line, cells) of its rows, blank ones left out; what is wrong goes to `problems`."""

    file: str
    problems: list[Problem]
    header: list[str] = field(default_factory=list)
    rows: list[tuple[int, list[str]]] = field(default_factory=list)

    @classmethod
    def read(cls, file: Path, required: Sequence[str], known: Sequence[str], problems: list[Problem]) -> Sheet:
        """Read a file; header and rows are empty where it cannot be read or lacks one of the `required` columns."""
        sheet = cls(file=str(file), problems=problems)
        rows = sheet._lines(file)
        before = len(problems)
        header = [name.strip() for name in rows[0][1]] if rows else []
        sheet._check_header(header, required, known)
        if len(problems) == before and header:
            sheet.header, width = header, len(header)
            sheet.rows = [row for row in rows[1:] if len(row[1]) == width and any(row[1])]
            for line, cells in rows[1:]:
                if len(cells) != width and any(cells):
                    sheet.wrong(line, None, f"{len(cells)} cells", f"{width}, as in the header")
        return sheet

    def _lines(self, file: Path) -> list[tuple[int, list[str]]]:
        """Each row with the line that it ends on; a quoted cell may hold several lines."""
        reader = None
        try:
            with file.open(newline="", encoding="utf-8-sig") as text:
                reader = csv.reader(text, strict=True)
                return [(reader.line_num, cells) for cells in reader]
        except csv.Error as error:
            self.wrong(reader.line_num if reader else None, None, f"{error}"[:200], "a CSV file in UTF-8")
        except (OSError, UnicodeDecodeError) as error:
            self.wrong(None, None, f"{error}"[:200], "a CSV file in UTF-8")
        return []

    def _check_header(self, header: Sequence[str], required: Sequence[str], known: Sequence[str]) -> None:
        if not header and self.problems and self.problems[-1].file == self.file:
            return  # unreadable, and told
        others = [column for column in header if column not in known]
        for name in required:
            if name not in header:
                self.wrong(1, name, "no such column", "it", nearest(name, others))
        for name, count in Counter(header).items():
            if count > 1:
                self.wrong(1, name, "a column twice", "it once")

    def wrong(
        self, line: int | None, column: str | None, found: str, expected: str, suggestion: str | None = None
    ) -> None:
        """Note a problem."""
        problem = Problem(
            file=self.file, line=line, field=column, found=found, expected=expected, suggestion=suggestion
        )
        self.problems.append(problem)

    def number(self, text: str, low: float, high: float, line: int, column: str) -> float:
        """A number within bounds; a problem and the lower bound where it is none."""
        value = plain_number(text)
        if low <= value <= high:
            return value
        self.wrong(line, column, repr(text)[:80], f"a number from {low:g} to {high:g}")
        return low

    def whole(self, text: str, line: int, column: str) -> int:
        """A whole number of at least 0; a part of a GPU is no GPU, so nothing is rounded."""
        value = self.number(text, 0, 1e9, line, column)
        if value != int(value):
            self.wrong(line, column, repr(text)[:80], "a whole number")
        return int(value)

    def name(self, text: str, line: int, column: str) -> str:
        """A name: something that can be printed, without blanks around it."""
        if not text.strip():
            self.wrong(line, column, "nothing", "a name")
        elif not text.isprintable() or text != text.strip():
            self.wrong(line, column, ascii(text)[:80], "a name without blanks around it or control characters")
        return text


def plain_number(text: str) -> float:
    """A number as tables write it, NaN where it is none.

    >>> plain_number("0.096"), plain_number("1_000")
    (0.096, nan)
    """
    if not text.isascii() or "_" in text:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        return float("nan")
