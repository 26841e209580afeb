"""The connection to a Coordinator that dies, where Ray itself is not needed to see what is done about it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorUnavailableError

from raypipe.actors import connection
from raypipe.actors.connection import ATTEMPTS, Connection
from raypipe.actors.parcels import PART_BYTES, pack_whole
from raypipe.catalog import load
from raypipe.errors import ClusterError
from raypipe.model.snapshot import FleetSnapshot


def unavailable() -> Exception:
    return ActorUnavailableError("it is being started again", b"x" * 16)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A connection to a Ray in which every call is answered by `answers`."""
    calls = SimpleNamespace(
        version=SimpleNamespace(remote=lambda: "version"),
        plan=SimpleNamespace(remote=lambda *_: "plan"),
        told=SimpleNamespace(remote=lambda *_: "told"),
    )
    monkeypatch.setattr(connection, "connect", lambda *_: SimpleNamespace(shared=False, stop=lambda: None))
    monkeypatch.setattr(connection.ray, "get_actor", lambda *_: calls)
    monkeypatch.setattr(connection.ray, "wait", lambda some, **_: (some, []))
    return Connection(None, "1")


def answered(monkeypatch: pytest.MonkeyPatch, answers: Iterator[Any]) -> None:
    """Let `ray.get` say these things one after the other, with a second for each wait."""
    clock = [0.0]

    def get(_: Any) -> Any:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(connection.ray, "get", get)
    monkeypatch.setattr(connection.time, "sleep", sleep)
    monkeypatch.setattr(connection.time, "monotonic", lambda: clock[0])


def test_a_coordinator_that_is_slow_to_return_is_waited_for(
    joined: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = [unavailable() for _ in range(20 * ATTEMPTS)]
    answered(monkeypatch, iter(["1", unavailable(), *slow, "1", pack_whole("the plan")]))
    assert joined.plan_fleet(FleetSnapshot(clusters=()), load(None)) == "the plan"


def test_a_coordinator_that_does_not_return_is_an_error(joined: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, (one for one in ["1", *(unavailable() for _ in range(1_000))]))
    with pytest.raises(ClusterError, match="the Coordinator died and was not back within 60 s"):
        joined.plan_fleet(FleetSnapshot(clusters=()), load(None))


class Parts:
    """A Coordinator that has a large answer until it is asked for the part at `gone`."""

    def __init__(self, answer: bytes, gone: int) -> None:
        self.part = SimpleNamespace(
            remote=lambda _, start: None if start >= gone else answer[start : start + PART_BYTES]
        )


@pytest.mark.parametrize("gone", [2 * PART_BYTES, PART_BYTES], ids=["there", "forgotten in the middle"])
def test_a_large_answer_comes_in_parts_or_not_at_all(gone: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.ray, "get", lambda part: part)
    answer = bytes(PART_BYTES) + b"and more"
    whole = answer if gone > PART_BYTES else None
    assert connection.fetched(Parts(answer, gone), "request", len(answer)) == whole
