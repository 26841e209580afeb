"""What a process keeps because it may be asked for again: the least recently used goes first.

Losing an entry costs time and nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from threading import RLock


class Kept[T](Mapping[str, T]):
    """A mapping of limited size for several threads; looking an entry up keeps it longer.

    >>> kept = Kept[bytes](most=5, size=len)
    >>> kept.keep("a", b"12"), kept.keep("b", b"12"), kept["a"], kept.keep("c", b"12"), list(kept)
    (None, None, b'12', None, ['a', 'c'])
    """

    def __init__(self, most: int, size: Callable[[T], int] = lambda _: 1) -> None:
        self._most, self._size, self._total = most, size, 0
        self._entries: OrderedDict[str, T] = OrderedDict()
        self._lock = RLock()

    def keep(self, key: str, value: T) -> None:
        """Add an entry, and let go of others where there is too much; the newest stays, however large."""
        with self._lock:
            if key in self._entries:
                self._total -= self._size(self._entries.pop(key))
            self._entries[key] = value
            self._total += self._size(value)
            while self._total > self._most and len(self._entries) > 1:
                self._total -= self._size(self._entries.popitem(last=False)[1])

    def __getitem__(self, key: str) -> T:
        with self._lock:
            self._entries.move_to_end(key)  # KeyError where it is gone
            return self._entries[key]

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
