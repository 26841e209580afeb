"""Work that nobody waits for: done in order, one at a time, by a thread of its own.

Whoever is told of a cycle must not hold the loop up, and an Event costs a round to the API server. What does not fit in
is dropped and counted: of what was told first most is known by then.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

MOST = 2_000
"""Pieces of work kept: a hundred a cycle, while a server does not answer for a minute."""


class Later:
    """Call it with a piece of work, which must not raise; `close` ends the thread once everything is done."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._work: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._closing = self._busy = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name="later", daemon=True)
        self._thread.start()

    def __call__(self, work: Callable[[], None]) -> None:
        """Do it once everything before it is done."""
        with self._changed:
            if len(self._work) >= self._most:
                self.dropped += 1
                return
            self._work.append(work)
            self._changed.notify_all()

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait for what is left, `timeout_s` at most."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._work or self._closing)
                if not self._work:
                    return
                work = self._work.popleft()
            work()
