"""Typed access to raw documents: a value with the way to it, so that what is wrong can be named.

A `Field` never raises for bad input: it notes the problem (file, line, field, found, expected) and answers with the
default, so that one reading finds all that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.errors import nearest
from raypipe.manifests.files import Document
from raypipe.manifests.sources import Source
from raypipe.quantities import parse_quantity, parse_usd_per_hour

LARGEST_SHOWN = 10**40


@dataclass(frozen=True, slots=True)
class Field:
    """A value in a document; `value` is None where it is absent."""

    value: Any
    source: Source
    document: int
    steps: tuple[str | int, ...]

    @classmethod
    def of(cls, document: Document) -> Field:
        return cls(document.content, document.source, document.number, document.steps)

    def problem(self, found: str, expected: str, suggestion: str | None = None) -> None:
        self.source.problem(found, expected, document=self.document, steps=self.steps, suggestion=suggestion)

    def _at(self, step: str | int, value: Any) -> Field:
        return Field(value, self.source, self.document, (*self.steps, step))

    def get(self, *keys: str) -> Field:
        """The field under `keys`, one in the other; absent where one of them is."""
        here = self
        for key in keys:
            here = here._at(key, here.mapping().get(key))
        return here

    def plain(self, *keys: str) -> Any:
        """The value under `keys`, without Fields on the way: for what is read of each of 100,000 pods."""
        value = self.value
        for key in keys:
            if type(value) is not dict:
                return self.get(*keys).value  # notes what is wrong on the way
            value = value.get(key)
        return value

    def mapping(self) -> Mapping[str, Any]:
        if isinstance(self.value, dict):
            return self.value
        if self.value is not None:
            self.problem(said(self.value), "a mapping")
        return {}

    def fields(self) -> Iterator[tuple[str, Field]]:
        """Key and field of each entry of a mapping."""
        for key, value in self.mapping().items():
            yield str(key), self._at(str(key), value)

    def items(self) -> list[Field]:
        """The items of a list; none where it is absent."""
        if isinstance(self.value, list):
            return [self._at(index, value) for index, value in enumerate(self.value)]
        if self.value is not None:
            self.problem(said(self.value), "a list")
        return []

    def text(self, default: str = "") -> str:
        if isinstance(self.value, str):
            return self.value
        if self.value is not None:
            self.problem(said(self.value), "text")
        return default

    def word(self) -> str:
        """A text that YAML may have read as a whole number or a boolean; 1.10, which it makes 1.1, is a problem."""
        if isinstance(self.value, str):
            return self.value
        if isinstance(self.value, bool):
            return "true" if self.value else "false"
        if isinstance(self.value, int) and abs(self.value) < LARGEST_SHOWN:
            return str(self.value)
        self.problem(said(self.value), "text")
        return ""

    def texts(self) -> tuple[str, ...]:
        """A list of words."""
        return tuple(item.word() for item in self.items())

    def boolean(self, default: bool = False) -> bool:
        if isinstance(self.value, bool):
            return self.value
        if self.value is not None:
            self.problem(said(self.value), "true or false")
        return default

    def integer(self, default: int, low: int = 0, high: int = 2**31 - 1) -> int:
        if self.value is None:
            return default
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not low <= self.value <= high:
            self.problem(said(self.value), f"a whole number from {low} to {high}")
            return default
        return self.value

    def quantity(self, resource: str) -> int:
        return self._parsed(lambda value: parse_quantity(value, resource))

    def usd_per_hour(self) -> int:
        return self._parsed(parse_usd_per_hour)

    def _parsed(self, parse: Callable[[Any], int]) -> int:
        if self.value is None:
            self.problem("nothing", "an amount")
            return 0
        try:
            return parse(self.value)
        except ValueError as error:
            found, _, expected = str(error).partition(", expected ")
            self.problem(found, expected)
            return 0

    def choice(self, choices: Iterable[str], default: str) -> str:
        known = tuple(choices)
        if self.value is None:
            return default
        if not isinstance(self.value, str) or self.value not in known:
            near = nearest(self.value, known) if isinstance(self.value, str) else None
            self.problem(said(self.value), f"one of {', '.join(known)}", near)
            return default
        return self.value

    def labels(self) -> dict[str, str]:
        """A mapping of text to text, in order of key."""
        if self.value is None:
            return {}
        return {key: one.word() for key, one in sorted(self.fields())} if isinstance(self.value, dict) else self._none()

    def _none(self) -> dict[str, str]:
        self.mapping()
        return {}

    def only(self, known: Iterable[str]) -> None:
        """Note every key that is not one of `known`, with its nearest spelling."""
        names = tuple(known)
        for key, one in self.fields():
            if key not in names:
                one.problem(f"an unknown field {key[:60]!r}", f"one of {', '.join(names)}", nearest(key, names))


def said(value: object) -> str:
    """A value as it is shown in an error."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, int) and abs(value) > LARGEST_SHOWN:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)[:80]
