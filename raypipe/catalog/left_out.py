"""What was left out or assumed while the market was made: counted, and told in notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from raypipe.model.plan import Note

MOST_NAMES = 5


@dataclass(slots=True)
class LeftOut:
    """Counts by kind and message, names by kind and message, excluded types by category."""

    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _names: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    _excluded: dict[str, set[str]] = field(default_factory=dict)

    def count(self, kind: str, message: str, by: int = 1) -> None:
        """Something of which only the number matters; the word before the colon is the note's subject."""
        self._counts[kind, message] += by

    def name(self, kind: str, message: str, name: str) -> None:
        """An instance type of which something is to be said, once however often it is met."""
        self._names.setdefault((kind, message), set()).add(name)

    def exclude(self, category: str, name: str) -> None:
        """An instance type of a category that is not bought unless it is named."""
        self._excluded.setdefault(category, set()).add(name)

    def notes(self) -> Iterator[Note]:
        """Excluded categories first, then by kind."""
        for category, types in sorted(self._excluded.items()):
            message = f"{category}: {len(types)} types are left out unless a requirement or a pod names them"
            yield Note(kind="excluded-category", subject=category, count=len(types), message=message)
        told = [(kind, message, count) for (kind, message), count in self._counts.items()]
        told += [(kind, f"{message} ({listed(names)})", len(names)) for (kind, message), names in self._names.items()]
        for kind, message, count in sorted(told):
            yield Note(kind=kind, subject=message.partition(":")[0], count=count, message=message)


def listed(names: Iterable[str]) -> str:
    """The first names in order, and how many more."""
    ordered = sorted(names)
    more = len(ordered) - MOST_NAMES
    return ", ".join(ordered[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
