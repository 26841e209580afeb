"""PlannerShard: one process that plans clusters, whichever it is given, one after another.

It knows no fleet, no other shard and no time. What it keeps (catalogues, snapshots) it could be sent again, so it may
be killed in the middle: the call is made elsewhere, with the same result.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from raypipe.actors.kept import Kept
from raypipe.actors.parcels import Missing, Parcel, Shelf, Stop, pack_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call returned, packed, or the exception that it raised; `final`: not cut short by a stop."""

    payload: bytes = b""
    error: Exception | None = None
    final: bool = True


class PlannerShard:
    """Calls packed functions. `stop` is answered while a cluster is planned, by a thread of its own."""

    def __init__(self) -> None:
        self._shelf = Shelf()
        self._stopped = Kept[bool](most=1_000)

    def call(
        self,
        request: str,
        stopped: bool,
        parcel: Parcel,
        clusters: Mapping[str, bytes],
        catalogs: Mapping[str, ray.ObjectRef[Any]],
    ) -> Answer | Missing:
        """Call the function of a packed (function, item).

        `stopped`: the request is to end soon already. `clusters`, `catalogs`: what was missing before.
        """
        if stopped:
            self._stopped.keep(request, True)
        self._shelf.keep(clusters, {digest: ray.get(reference) for digest, reference in catalogs.items()})
        if missing := self._shelf.missing(parcel):
            return missing
        stop = Stop(request, self._stopped.__contains__)
        try:
            function, item = self._shelf.unpack(parcel, stop)
            payload = pack_whole(function(item))
        except Exception as error:  # noqa: BLE001 - it is raised where the plan is put together, as if called there
            return Answer(error=error)
        return Answer(payload=payload, final=not stop())

    @ray.method(concurrency_group="io")
    def stop(self, request: str) -> None:
        """End the calls of a request soon, with the best plans so far."""
        self._stopped.keep(request, True)

    @ray.method(concurrency_group="io")
    def pid(self) -> int:
        """The process that this is; answered once it is up."""
        return os.getpid()


_remote: Any = ray.remote  # its types know no concurrency groups
PlannerShardActor: Any = _remote(num_cpus=1, concurrency_groups={"io": 2})(PlannerShard)
"""A PlannerShard as a process of Ray."""
