"""Every exception that raypipe raises on purpose.

::

    RaypipeError
    ├── SettingsError        a setting is unknown or out of range
    ├── InputError           user input cannot be read: one or more Problems, reported together
    │   └── CatalogError     … and it is a catalogue
    ├── InvalidPlanError     a plan breaks its own promise: always our bug
    ├── ReplayError          a snapshot cannot be replayed against this catalogue
    ├── OutputError          a result cannot be written: a full disk, a file that is not ours
    └── ClusterError         a cluster that raypipe works on cannot be reached, or refuses: for now or for good

"Cannot be placed" is a value in the plan, never an exception (see `raypipe.model.plan.Unplaced`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class RaypipeError(Exception):
    """The root of everything raised on purpose."""


class SettingsError(RaypipeError):
    """A setting is unknown, of the wrong type or out of range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with the input, with all a reader needs to mend it."""

    file: str | None = None
    line: int | None = None
    field: str | None = None
    found: str = ""
    expected: str = ""
    suggestion: str | None = None

    def __str__(self) -> str:
        if self.found and not (self.file or self.field or self.expected):  # a sentence that says it all
            return self.found
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        parts = [part for part in (where, self.field) if part]
        text = ": ".join(parts) + (": " if parts else "")
        text += f"found {self.found}" if self.found else ""
        text += (", " if self.found else "") + f"expected {self.expected}" if self.expected else ""
        return text + (f" (did you mean {self.suggestion!r}?)" if self.suggestion else "")


class InputError(RaypipeError):
    """User input cannot be read; every problem found is listed, not only the first."""

    def __init__(self, problems: Iterable[Problem] | Problem) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


class CatalogError(InputError):
    """A catalogue file or a table of facts cannot be read."""


class InvalidPlanError(RaypipeError):
    """A plan is not legal for its snapshot: always a bug of raypipe, never of the user."""

    def __init__(self, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        super().__init__("the plan is not valid (a bug of raypipe):\n" + "\n".join(f"  {text}" for text in violations))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.violations,)


class ReplayError(RaypipeError):
    """A snapshot was taken with another catalogue than the one given."""


class OutputError(RaypipeError):
    """A result that was worked out cannot be written."""


class ClusterError(RaypipeError):
    """A cluster that raypipe works on cannot be reached, or refuses.

    temporary: whether the same may go well in a while without anybody mending anything.
    """

    temporary: bool = False


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known spelling nearest to `word`, or None where nothing is near.

    >>> nearest("zoness", ["zones", "region"])
    'zones'
    """
    by_lower = {name.lower(): str(name) for name in known}  # str: a member of an enum is told as its value
    found = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None
