"""The pool of planner shards, and the executor that deals clusters out to it.

*Who gets what.* A cluster has a favourite shard by rendezvous hashing on its name, the same in every plan, where its
snapshot still is. A shard that has nothing of its own left takes what waits longest: that moves time, never a result.

*How much at once.* Each shard has at most `AT_ONCE` calls, one running and the next one there already, so that a fleet
of any size waits packed in the Coordinator and not in the object store. Answers are handed on in the items' order.

*What dies.* A shard that is gone is replaced, and its calls are made again elsewhere. A cluster in whose planning
`MOST_DEATHS` shards died is to blame itself (out of memory, say): it is given up, and the others go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import ray
from ray.exceptions import RayActorError

from raypipe.actors.kept import Kept
from raypipe.actors.parcels import Missing, Packed, Stop, pack, pack_whole, unpack_whole
from raypipe.actors.planner_shard import Answer, PlannerShardActor
from raypipe.errors import ClusterError
from raypipe.model.snapshot import ClusterSnapshot

AT_ONCE = 2
MOST_DEATHS = 3
WAIT_S = 1.0
"""How long to wait for a shard before looking again at who is there."""


@dataclass(eq=False, slots=True)
class Shard:
    """A shard, by the number that its favourites are dealt by; `up`: its first answer, or None once it has come."""

    number: int
    actor: Any
    up: Any


@dataclass(eq=False, slots=True)
class Task:
    """One item: its call, and how many shards died of it."""

    index: int
    packed: Packed
    deaths: int = 0


class Pool:
    """Planner shards, as many as there are CPUs; those that die are replaced."""

    def __init__(self, shards: int | None) -> None:
        cpus = max(1, int(_cpus()))
        self.size = shards or cpus
        self.deaths = 0
        self._cpus_each = 1 if self.size <= cpus else int(10_000 * cpus / self.size) / 10_000
        self._lock = Lock()
        self._shards = [self._started(number) for number in range(self.size)]

    def _started(self, number: int) -> Shard:
        actor = PlannerShardActor.options(num_cpus=self._cpus_each).remote()
        return Shard(number=number, actor=actor, up=actor.pid.remote())

    def ready(self) -> list[Shard]:
        """The shards that are up."""
        with self._lock:
            starting = {shard.up: shard for shard in self._shards if shard.up is not None}
        answered, _ = ray.wait(list(starting), num_returns=len(starting), timeout=0) if starting else ([], [])
        for up in answered:
            try:
                ray.get(up)
                starting[up].up = None
            except RayActorError:
                self.replace(starting[up])
        with self._lock:
            return [shard for shard in self._shards if shard.up is None]

    def replace(self, shard: Shard) -> None:
        """Start another in the place of a shard that died; once, whoever notices it."""
        with self._lock:
            if self._shards[shard.number] is shard:
                self.deaths += 1
                self._shards[shard.number] = self._started(shard.number)

    def starting(self) -> list[Any]:
        """What to wait for until one more shard is up."""
        with self._lock:
            return [shard.up for shard in self._shards if shard.up is not None]

    def stop(self, request: str) -> None:
        """Tell every shard to end the calls of a request soon."""
        with self._lock:
            for shard in self._shards:
                shard.actor.stop.remote(request)

    def pids(self) -> list[int]:
        """The processes of the shards that are up."""
        return [ray.get(shard.actor.pid.remote()) for shard in self.ready()]


@dataclass(eq=False, slots=True, kw_only=True)
class Executor:
    """`plan_fleet`'s executor for one request: an ordered `map` over the pool.

    Attributes:
        memo: answers by the digest of the call. catalogs: where each is in the object store.
        given_up: the answer for a cluster that no shard survives.
    """

    pool: Pool
    request: str
    stop: Stop
    memo: Kept[bytes]
    catalogs: Mapping[str, Any]
    given_up: Callable[[ClusterSnapshot], Any]
    remembered: int = 0

    def map[T, R](self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Call a module-level function on every item, wherever there is room; results in the order of the items."""
        dealing = _Dealing(self, [Task(index, pack((function, item))) for index, item in enumerate(items)])
        yield from dealing.results()


@dataclass(eq=False, slots=True)
class _Dealing:
    """One `map`: what waits, what runs where, and what has been answered but is not its turn."""

    executor: Executor
    tasks: list[Task]
    waiting: dict[int, Task] = field(default_factory=dict)
    running: dict[Any, tuple[Task, Shard]] = field(default_factory=dict)
    done: dict[int, Any] = field(default_factory=dict)

    def results(self) -> Iterator[Any]:
        for task in self.tasks:
            known = self.executor.memo.get(task.packed.parcel.digest)
            if known is None:
                self.waiting[task.index] = task
            else:
                self.executor.remembered += 1
                self.done[task.index] = Answer(payload=known)
        for index in range(len(self.tasks)):
            while index not in self.done:
                self._deal_out()
                self._collect()
            answer = self.done.pop(index)
            if answer.error is not None:
                raise answer.error
            yield unpack_whole(answer.payload)

    def _deal_out(self) -> None:
        """Give every shard that is up as much as it may have at once, its own first."""
        pool = self.executor.pool
        for shard in pool.ready():
            has = sum(one is shard for _, one in self.running.values())
            for _ in range(AT_ONCE - has):
                task = self._next(shard)
                if task is None:
                    return
                self._send(task, shard, {}, {})

    def _next(self, shard: Shard) -> Task | None:
        size = self.executor.pool.size
        own = (task for task in self.waiting.values() if favourite(task.packed.subject, size) == shard.number)
        task = next(own, None) or next(iter(self.waiting.values()), None)
        return None if task is None else self.waiting.pop(task.index)

    def _send(self, task: Task, shard: Shard, clusters: Mapping[str, bytes], catalogs: Mapping[str, Any]) -> None:
        request, stopped = self.executor.request, self.executor.stop()
        call = shard.actor.call.remote(request, stopped, task.packed.parcel, clusters, catalogs)
        self.running[call] = (task, shard)

    def _collect(self) -> None:
        """Wait for a call that ends or a shard that comes up, and take in the calls that have ended."""
        watched = [*self.running, *self.executor.pool.starting()]
        ended, _ = ray.wait(watched, num_returns=1, timeout=WAIT_S)
        for call in ended:
            if call in self.running:
                self._take(call, *self.running.pop(call))

    def _take(self, call: Any, task: Task, shard: Shard) -> None:
        executor = self.executor
        try:
            answer: Answer | Missing = ray.get(call)
        except RayActorError:
            self._again([task, *(other for other, where in self.running.values() if where is shard)])
            self.running = {call: one for call, one in self.running.items() if one[1] is not shard}
            executor.pool.replace(shard)
            return
        if isinstance(answer, Missing):
            clusters = dict(task.packed.sent(answer.clusters))
            self._send(task, shard, clusters, {digest: executor.catalogs[digest] for digest in answer.catalogs})
            return
        if answer.final and answer.error is None:
            executor.memo.keep(task.packed.parcel.digest, answer.payload)
        self.done[task.index] = answer

    def _again(self, tasks: list[Task]) -> None:
        """Make the calls of a dead shard again elsewhere; it died of the first, which is given up in the end."""
        first, *queued = tasks
        first.deaths += 1
        if first.deaths < MOST_DEATHS:
            queued = [first, *queued]
        else:
            self.done[first.index] = self._given_up(first)
        self.waiting = {task.index: task for task in queued} | self.waiting

    def _given_up(self, task: Task) -> Answer:
        if task.packed.subject is None:
            return Answer(error=ClusterError(f"{MOST_DEATHS} planner shards died of the same call: see Ray's logs"))
        return Answer(payload=pack_whole(self.executor.given_up(task.packed.subject)))


def _cpus() -> float:
    resources: Callable[[], Mapping[str, float]] = ray.cluster_resources
    return resources().get("CPU", 1.0)


def favourite(cluster: ClusterSnapshot | None, shards: int) -> int:
    """The shard that a cluster goes to first: the highest hash of the two names (rendezvous hashing).

    With one shard more or less, only the clusters that it wins or leaves behind move.

    >>> from collections import Counter
    >>> names = [ClusterSnapshot(name=f"cluster-{number}") for number in range(900)]
    >>> sorted(Counter(favourite(name, 3) for name in names).values())
    [286, 307, 307]
    >>> all(favourite(name, 4) in (3, favourite(name, 3)) for name in names)
    True
    """
    name = cluster.name if cluster is not None else ""
    return max(range(shards), key=lambda number: hashlib.sha256(f"{number}/{name}".encode()).digest())
