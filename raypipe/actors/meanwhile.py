"""What this process plans while Ray starts: seconds in which a processor would wait.

It runs the same `plan_fleet`, in a thread, with an executor that gives up once Ray is there. The answers to the calls
made so far go to the Coordinator's memo, under the digests by which it remembers its own: so the plan is put together
there, from the same answers, and nothing else knows where they come from.

Only where Ray is started for this plan: a fleet that is planned on a Ray that runs costs this process nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

from raypipe.actors.parcels import Stop, pack, pack_whole
from raypipe.catalog import Catalog
from raypipe.fleet import plan_fleet
from raypipe.model.snapshot import FleetSnapshot


class _Enough(BaseException):
    """Ray is there."""


class Meanwhile:
    """Plans a fleet from now on until it is told that that is `enough`."""

    def __init__(
        self,
        fleet: FleetSnapshot,
        catalog: Catalog,
        progress: Callable[[str], None] | None,
        stop: Callable[[], bool],
        options: Mapping[str, Any],
    ) -> None:
        self._stop = Stop(asked=lambda _: stop())
        self._ended = Event()
        self._answers: dict[str, bytes] = {}
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="meanwhile")
        self._planning = thread.submit(self._planned, fleet, catalog, progress, dict(options))
        thread.shutdown(wait=False)

    def enough(self) -> dict[str, bytes]:
        """End after the call that is being made: the packed answers by the digests of the calls.

        Raises what planning raised: it would be raised elsewhere as well.
        """
        self._ended.set()
        self._planning.result()
        return self._answers

    def _planned(
        self,
        fleet: FleetSnapshot,
        catalog: Catalog,
        progress: Callable[[str], None] | None,
        options: dict[str, Any],
    ) -> None:
        try:
            plan_fleet(fleet, catalog, executor=self, progress=progress, stop=self._stop, **options)
        except _Enough:
            return

    def map[T, R](self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Call the function on every item, one after another, as long as Ray is not there."""
        for item in items:
            if self._ended.is_set():
                raise _Enough
            result = function(item)
            if not self._stop():
                self._answers[pack((function, item)).parcel.digest] = pack_whole(result)
            yield result
