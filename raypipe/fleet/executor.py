"""Who carries out the work on many clusters: one process, or many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol


class Executor(Protocol):
    """What deals clusters out; `map` keeps the order of `items`."""

    def map[T, R](self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]: ...


class Serial:
    """One after another, here."""

    def map[T, R](self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        return map(function, items)
