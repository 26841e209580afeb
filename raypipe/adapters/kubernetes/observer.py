"""An Observer: one live cluster in memory, listed once and then watched, a thread a kind.

A watch that ends is begun anew from where it was; one that the server has forgotten (410) begins with a list. While
the server does not answer, what is known stays and `seen` says that it is not up to date, so that nobody acts on it;
once it answers, everything is as if nothing had been. Kinds that are installed later are found within a minute.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from raypipe.adapters.kubernetes.cache import Cache
from raypipe.adapters.kubernetes.kinds import Resource, not_seen, resources_of
from raypipe.adapters.kubernetes.listing import list_all
from raypipe.adapters.kubernetes.server import FORBIDDEN, GONE, NOT_FOUND, RefusedError, Server
from raypipe.adapters.kubernetes.watching import watch
from raypipe.errors import ClusterError
from raypipe.manifests.origins import Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Waits of an Observer, in seconds.

    Attributes:
        first_s, most_s: after a failure, doubled with each further one. looks_s: between looks for kinds that are new.
    """

    first_s: float = 0.5
    most_s: float = 10.0
    looks_s: float = 60.0


class Observer:
    """Keeps one cluster in memory from `start` to `stop`; a context manager does both."""

    def __init__(self, server: Server, rhythm: Rhythm | None = None) -> None:
        self._server = server
        self._rhythm = rhythm or Rhythm()
        self._cache = Cache(server.context)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._followed: set[Resource] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to read; `seen` has an error until everything has been listed once."""
        self._run("kinds", self._look_for_kinds)

    def stop(self) -> None:
        """End all threads and connections."""
        self._stopping.set()
        self._server.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def seen(self) -> Observed:
        """The cluster as it is known now; with an `error` where that is not up to date or not all."""
        return self._cache.seen()

    def find(self, uid: str) -> Mapping[str, Any] | None:
        """One object as it is known now, by its uid."""
        return self._cache.find(uid)

    def wait(self, since: int = 0, timeout_s: float = 10.0) -> int:
        """Wait until something has changed after the change numbered `since`; the number of the last change."""
        return self._cache.wait(since, timeout_s)

    def _run(self, what: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"{self._server.context} {what}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _look_for_kinds(self) -> None:
        """Follow every kind that the server has, and those that it gets."""
        wait = self._rhythm.first_s
        while not self._stopping.is_set():
            try:
                resources, missing, notes = resources_of(self._server)
            except ClusterError as error:
                if not self._followed:  # else the watches know better
                    self._cache.unreadable(error)
                self._stopping.wait(wait)
                wait = min(2 * wait, self._rhythm.most_s)
                continue
            wait = self._rhythm.first_s
            new = [one for one in resources if one not in self._followed]
            self._cache.expect(new, missing, notes)
            self._followed |= set(new)
            for one in new:
                self._run(one.path, partial(self._follow, one))
            self._stopping.wait(self._rhythm.looks_s)

    def _follow(self, resource: Resource) -> None:
        """List and watch one kind for ever."""
        since, wait, forgotten = "", self._rhythm.first_s, False
        while not self._stopping.is_set():
            try:
                if not since:
                    listed = list_all(self._server, resource)
                    self._cache.replace(resource, listed)
                    since = listed.resource_version
                for change in watch(self._server, resource, since):
                    self._cache.apply(resource, change)
                    since = change.resource_version or since
                    wait, forgotten = self._rhythm.first_s, False
                    if self._stopping.is_set():
                        return
            except ClusterError as error:
                if self._stopping.is_set():
                    return
                if _is(error, GONE) and not forgotten:
                    since, forgotten = "", True
                    continue
                since = "" if _is(error, GONE) else self._set_aside(resource, error, since)
                self._stopping.wait(wait)
                wait = min(2 * wait, self._rhythm.most_s)

    def _set_aside(self, resource: Resource, error: ClusterError, since: str) -> str:
        """Say what a failure means for what is known; where to go on from."""
        if _is(error, NOT_FOUND):
            self._cache.forget(resource)
            return ""
        if _is(error, FORBIDDEN) and resource.kind.counted:
            self._cache.forget(resource, not_seen(resource.kind, error))
            return ""
        self._cache.fail(resource, error)
        return since


def _is(error: ClusterError, status: int) -> bool:
    return isinstance(error, RefusedError) and error.status == status
