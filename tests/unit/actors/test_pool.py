"""Who is given what and how much at once, and what comes of calls whose shard died; without any Ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from raypipe.actors.kept import Kept
from raypipe.actors.parcels import Stop, pack, unpack_whole
from raypipe.actors.pool import AT_ONCE, MOST_DEATHS, Executor, Shard, Task, _Dealing, favourite
from raypipe.errors import ClusterError
from raypipe.model.plan import ClusterPlan
from raypipe.model.snapshot import ClusterSnapshot


@dataclass(eq=False)
class Calls:
    """A shard's `call.remote`, which only keeps what it is asked."""

    parcels: list[Any] = field(default_factory=list)

    def remote(self, _request: str, _stopped: bool, parcel: Any, *_: Any) -> object:
        self.parcels.append(parcel)
        return object()


@dataclass(eq=False)
class Actor:
    call: Calls = field(default_factory=Calls)


@dataclass(eq=False)
class Shards:
    """A pool whose shards are all up, or those that a test says."""

    shards: list[Shard]
    size: int

    def ready(self) -> list[Shard]:
        return self.shards


def pool(size: int, up: int | None = None) -> Shards:
    shards = [Shard(number=number, actor=Actor(), up=None) for number in range(size)]
    return Shards(shards=shards[: size if up is None else up], size=size)


def dealing(clusters: int, shards: Shards) -> _Dealing:
    def given_up(cluster: ClusterSnapshot) -> ClusterPlan:
        return ClusterPlan(name=cluster.name, error="given up")

    made: Any = Executor(
        pool=shards,
        request="",
        stop=Stop(),
        memo=Kept[bytes](most=1),
        catalogs={},
        given_up=given_up,  # type: ignore[arg-type]
    )
    tasks = [Task(index, pack(ClusterSnapshot(name=f"cluster-{index}"))) for index in range(clusters)]
    return _Dealing(made, tasks, waiting={task.index: task for task in tasks})


@pytest.mark.parametrize("clusters", [0, 3, 1_000])
def test_a_fleet_of_any_size_waits_here_and_not_in_the_object_store(clusters: int) -> None:
    shards = pool(2)
    one = dealing(clusters, shards)
    for _ in range(2):  # nothing more as long as nothing comes back
        one._deal_out()
        assert len(one.running) == min(clusters, 2 * AT_ONCE)
    assert len(one.waiting) == clusters - len(one.running)


def test_a_shard_gets_its_favourites_first() -> None:
    shards = pool(3)
    one = dealing(30, shards)
    one._deal_out()
    assert [favourite(task.packed.subject, 3) for task, _ in one.running.values()] == [0, 0, 1, 1, 2, 2]


def test_a_shard_without_favourites_left_takes_what_waits_longest() -> None:
    one = dealing(3, pool(2, up=1))
    strangers = [task for task in one.tasks if favourite(task.packed.subject, 2) == 1]
    one.waiting = {task.index: task for task in strangers}
    one._deal_out()
    assert [task for task, _ in one.running.values()] == strangers[:AT_ONCE]


def test_a_call_is_made_again_before_others_until_its_cluster_is_to_blame() -> None:
    one = dealing(4, pool(1))
    died, queued = one.waiting.pop(2), one.waiting.pop(3)
    for deaths in range(1, MOST_DEATHS):
        one._again([died, queued])
        assert (died.deaths, queued.deaths) == (deaths, 0)
        assert list(one.waiting) == [2, 3, 0, 1]
    one.waiting.pop(2)
    one._again([died, queued])
    assert list(one.waiting) == [3, 0, 1]
    assert unpack_whole(one.done[2].payload) == ClusterPlan(name="cluster-2", error="given up")


def test_a_call_without_a_cluster_fails_the_plan() -> None:
    one = dealing(0, pool(1))
    one._again([Task(0, pack("no cluster"), deaths=MOST_DEATHS - 1)])
    assert isinstance(one.done[0].error, ClusterError)
