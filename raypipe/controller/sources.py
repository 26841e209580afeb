"""The live clusters that the loop watches: an Observer for each context, and one bell for whatever changes in any.

A context that cannot be connected to is an error of that cluster, and is tried again at every look. A cluster that has
said nothing yet is waited for a moment, and no longer: the others are not kept waiting by one that does not answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from raypipe.adapters.kubernetes import Observer, Server
from raypipe.adapters.kubernetes.cache import NOT_READ_YET
from raypipe.errors import ClusterError
from raypipe.manifests.origins import Observed

FIRST_LOOK_S = 5.0
_LISTEN_S = 2.0


@dataclass(slots=True)
class _Watched:
    observer: Observer
    ended: threading.Event = field(default_factory=threading.Event)


class Sources:
    """Watches contexts from the first look at them until `close`."""

    def __init__(self, ring: Callable[[], None], connect: Callable[[str], Server] = Server) -> None:
        self._ring, self._connect = ring, connect
        self._watched: dict[str, _Watched] = {}

    def observe(self, contexts: Sequence[str]) -> Mapping[str, Observed]:
        """The clusters as they are known now."""
        errors: dict[str, str] = {}
        new = [context for context in contexts if context not in self._watched]
        for context in new:
            try:
                self._watch(context)
            except ClusterError as error:
                errors[context] = str(error)
        until = time.monotonic() + FIRST_LOOK_S
        while time.monotonic() < until and any(self._is_silent(context) for context in new):
            time.sleep(0.02)
        return {
            context: Observed(context=context, error=errors[context])
            if context in errors
            else self._watched[context].observer.seen()
            for context in contexts
        }

    def renew(self, context: str) -> None:
        """Forget what is known of a cluster, and read it anew at the next look."""
        watched = self._watched.pop(context, None)
        if watched is not None:
            self._end(watched)

    def close(self) -> None:
        """End all watches."""
        for context in list(self._watched):
            self.renew(context)

    def _watch(self, context: str) -> None:
        watched = _Watched(Observer(self._connect(context)))
        watched.observer.start()
        self._watched[context] = watched
        threading.Thread(target=self._listen, args=(watched,), name=f"{context} bell", daemon=True).start()

    def _listen(self, watched: _Watched) -> None:
        last = 0
        while not watched.ended.is_set():
            change = watched.observer.wait(last, _LISTEN_S)
            if change != last:
                last = change
                self._ring()

    def _end(self, watched: _Watched) -> None:
        watched.ended.set()
        watched.observer.stop()

    def _is_silent(self, context: str) -> bool:
        watched = self._watched.get(context)
        return watched is not None and (watched.observer.seen().error or "").endswith(NOT_READ_YET)
