"""The Coordinator: the one actor that is asked for plans, and has the planner shards make them.

It runs `plan_fleet` as any process would, with the pool as its executor, and keeps nothing that a plan depends on: only
a memo, the exact digest of a question and its answer, of whole fleets and of single calls, so that an unchanged cluster
costs a comparison. If it dies, it is asked again, and knows nothing, and says the same.

Several drivers may ask at once, and what goes on is answered meanwhile: plans and short questions have threads of their
own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from raypipe.actors.kept import Kept
from raypipe.actors.parcels import PART_BYTES, Large, Missing, Parcel, Same, Shelf, Stop, digest_of, pack_whole
from raypipe.actors.pool import MOST_DEATHS, Executor, Pool
from raypipe.catalog import Catalog
from raypipe.fleet import plan_fleet
from raypipe.model.plan import ClusterPlan
from raypipe.model.snapshot import ClusterSnapshot

NAME, NAMESPACE = "raypipe-coordinator", "raypipe"
MEMO_BYTES = 128 * 2**20

type Reply = bytes | Large | Same | Missing
"""To the question for a plan: the packed plan, how large it is, that the driver has it, or what is missing for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the Coordinator is and has done.

    Attributes:
        pid: its process. shards: those of the shards that are up. deaths: shards that died and were replaced.
        remembered: questions that the memo answered.
    """

    version: str
    pid: int
    shards: tuple[int, ...]
    deaths: int
    remembered: int


class Coordinator:
    """Plans fleets by way of planner shards; `version` is raypipe's, which drivers compare with their own."""

    def __init__(self, version: str, shards: int | None) -> None:
        self._version = version
        self._pool = Pool(shards)
        self._shelf = Shelf()
        self._catalogs = Kept[Any](most=4)
        self._memo = Kept[bytes](most=MEMO_BYTES, size=len)
        self._fetched = Kept[bytes](most=4)
        self._stopped = Kept[bool](most=1_000)
        self._told = Kept[str](most=1_000)
        self._remembered = 0

    @ray.method(concurrency_group="plan")
    def plan(self, request: str, parcel: Parcel, has: str | None = None) -> Reply:
        """The packed plan of a packed (fleet, catalog, options of `plan_fleet`), or what is missing to unpack that.

        `has`: what the plan that the driver has already is known by.
        """
        if missing := self._shelf.missing(parcel):
            return missing
        if (known := self._memo.get(parcel.digest)) is not None:
            self._remembered += 1
            return Same() if digest_of(known) == has else self._reply(request, known)
        stop = Stop(request, self._stopped.__contains__)
        fleet, catalog, options = self._shelf.unpack(parcel, stop)
        executor = Executor(
            pool=self._pool,
            request=request,
            stop=stop,
            memo=self._memo,
            catalogs=self._catalogs,
            given_up=given_up,
        )
        plan = plan_fleet(
            fleet,
            catalog,
            executor=executor,
            progress=lambda line: self._told.keep(request, line),
            stop=stop,
            **options,
        )
        self._remembered += executor.remembered
        payload = pack_whole(plan)
        if not stop():
            self._memo.keep(parcel.digest, payload)
        return self._reply(request, payload)

    def _reply(self, request: str, payload: bytes) -> bytes | Large:
        if len(payload) <= PART_BYTES:
            return payload
        self._fetched.keep(request, payload)
        return Large(len(payload))

    @ray.method(concurrency_group="io")
    def part(self, request: str, start: int) -> bytes | None:
        """A part of a large answer; None where it is gone: the plan is asked for again."""
        payload = self._fetched.get(request)
        return None if payload is None else payload[start : start + PART_BYTES]

    @ray.method(concurrency_group="io")
    def keep(self, clusters: Mapping[str, bytes], catalogs: Mapping[str, Catalog]) -> None:
        """Take in what was missing; a catalogue goes into the object store, once a version."""
        self._shelf.keep(clusters, catalogs)
        for digest, catalog in catalogs.items():
            self._catalogs.keep(digest, ray.put(catalog))

    @ray.method(concurrency_group="io")
    def remember(self, answers: Mapping[str, bytes]) -> None:
        """Take in answers to calls, by the digests of these, that were found elsewhere."""
        for digest, payload in answers.items():
            self._memo.keep(digest, payload)

    @ray.method(concurrency_group="io")
    def told(self, request: str) -> str:
        """The last line of progress of a request."""
        if not self._pool.ready():
            return "waiting for Ray to start planner shards"
        return self._told.get(request, "")

    @ray.method(concurrency_group="io")
    def stop(self, request: str) -> None:
        """End a request soon, with the best plan so far."""
        self._stopped.keep(request, True)
        self._pool.stop(request)

    @ray.method(concurrency_group="io")
    def version(self) -> str:
        """The version of raypipe that it runs."""
        return self._version

    @ray.method(concurrency_group="io")
    def state(self) -> State:
        """What it is and has done."""
        return State(
            version=self._version,
            pid=os.getpid(),
            shards=tuple(self._pool.pids()),
            deaths=self._pool.deaths,
            remembered=self._remembered,
        )


_remote: Any = ray.remote  # its types know no concurrency groups
CoordinatorActor: Any = _remote(num_cpus=0, concurrency_groups={"plan": 4, "io": 4})(Coordinator)
"""A Coordinator as a process of Ray."""


def given_up(cluster: ClusterSnapshot) -> ClusterPlan:
    """The plan of a cluster that no shard survives: its error."""
    error = f"{MOST_DEATHS} planner shards died while planning this cluster (out of memory?): see the logs of Ray"
    return ClusterPlan(name=cluster.name, context=cluster.context, error=error)
