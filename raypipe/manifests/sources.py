"""Where objects come from, a file as the user named it first of all, and what is wrong there, with line and field."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raypipe.errors import Problem
from raypipe.manifests.lines import lines_of

MOST_PROBLEMS = 50
"""Problems of one file that are listed; the others are counted."""
LONGEST_FIELD = 300

type Step = str | int


@dataclass(slots=True)
class Source:
    """What one place holds, and the problems found in it; `SourceFile` is the usual one.

    Attributes:
        shown: what a person calls the place.
    """

    shown: str
    _problems: list[Problem] = field(default_factory=list, init=False)
    _unplaced: list[tuple[int, int, tuple[Step, ...]]] = field(default_factory=list, init=False)
    _more: int = field(default=0, init=False)
    _noted: set[tuple[int, tuple[Step, ...], int | None, str, str]] = field(default_factory=set, init=False)
    _times: int = field(default=0, init=False)

    def named(self, document: int) -> str:
        """What a person calls the place of one document."""
        del document
        return self.shown

    def lines(self, places: Sequence[tuple[int, Sequence[Step]]]) -> list[int | None]:
        """The line of each place (number of the document, steps in it), None where there is none."""
        return [None] * len(places)

    def problem(
        self,
        found: str,
        expected: str,
        *,
        document: int = 0,
        steps: Sequence[Step] = (),
        line: int | None = None,
        suggestion: str | None = None,
    ) -> None:
        """Note a problem at `steps` (keys and indices) of a document; a line that is not given is looked up later.

        One that is noted already is not noted again: a field may be read for more than one purpose.
        """
        self._times += 1
        place = (document, tuple(steps), line, found, expected)
        if place in self._noted:
            return
        self._noted.add(place)
        if len(self._problems) >= MOST_PROBLEMS:
            self._more += 1
            return
        if line is None:
            self._unplaced.append((len(self._problems), document, tuple(steps)))
        text = field_text(steps)
        self._problems.append(
            Problem(
                file=self.named(document), line=line, field=text, found=found, expected=expected, suggestion=suggestion
            )
        )

    @property
    def count(self) -> int:
        """How often a problem was noted, one that is noted again included."""
        return self._times

    @property
    def problems(self) -> list[Problem]:
        """What was noted, each with its line; where there are too many, their number last."""
        if self._unplaced:
            found = self.lines([(document, steps) for _, document, steps in self._unplaced])
            for (index, _, _), line in zip(self._unplaced, found, strict=True):
                self._problems[index] = dataclasses.replace(self._problems[index], line=line)
            self._unplaced.clear()
        if not self._more:
            return list(self._problems)
        return [*self._problems, Problem(found=f"{self.shown}: {self._more} more problems like these")]

    @property
    def first_by_document(self) -> dict[int, str]:
        """What is wrong with each document, in a line: the first problem of each, in the order of documents."""
        first: dict[int, str] = {}
        for document, steps, _, found, expected in sorted(self._noted, key=lambda place: (place[0], str(place[1]))):
            problem = Problem(file=self.named(document), field=field_text(steps), found=found, expected=expected)
            first.setdefault(document, str(problem))
        return first

    def take(self) -> list[Problem]:
        """The problems, forgotten here: each is reported by one who took it."""
        taken = self.problems
        self._problems, self._more, self._times = [], 0, 0
        self._noted.clear()
        return taken


@dataclass(slots=True)
class SourceFile(Source):
    """A file; `shown` is its path as the user wrote it, `path` where it is."""

    path: Path

    def lines(self, places: Sequence[tuple[int, Sequence[Step]]]) -> list[int | None]:
        return lines_of(self.path, places)


def field_text(steps: Sequence[Step]) -> str | None:
    """Steps as people write them.

    >>> field_text(("spec", "containers", 0, "image"))
    'spec.containers[0].image'
    """
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else ("." if text else "") + _shown(step)
    return (text if len(text) <= LONGEST_FIELD else f"{text[:LONGEST_FIELD]}…") or None


def _shown(key: str) -> str:
    return key[:120] if key.isprintable() else ascii(key[:120])
