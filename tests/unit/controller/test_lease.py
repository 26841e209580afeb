"""One holder at a time, by each one's own clock; and texts that outlive a loop."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from raypipe.adapters.kubernetes.server import RefusedError, UnreachableError
from raypipe.controller.durable import ConfigMap, Durable, Folder, Nowhere
from raypipe.controller.lease import Lease


@dataclass
class Api:
    """Objects by path, written only at the version that they have."""

    objects: dict[str, Any] = field(default_factory=dict)
    away: bool = False
    version: int = 0

    def get(self, path: str) -> Any:
        self._answer()
        if path not in self.objects:
            raise RefusedError("none", 404)
        return copy.deepcopy(self.objects[path])

    def send(self, method: str, path: str, body: Any = None, **_: object) -> Any:
        self._answer()
        self.version += 1
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise RefusedError("it exists", 409)
        elif path not in self.objects:
            raise RefusedError("none", 404)
        elif method == "PUT":
            if body["metadata"]["resourceVersion"] != self.objects[path]["metadata"]["resourceVersion"]:
                raise RefusedError("it has been modified", 409)
        else:
            data = {**self.objects[path].get("data", {}), **body["data"]}
            body = {**self.objects[path], "data": {name: text for name, text in data.items() if text is not None}}
        made = copy.deepcopy(dict(body))
        made["metadata"] = {**made["metadata"], "resourceVersion": str(self.version)}
        self.objects[path] = made
        return made

    def _answer(self) -> None:
        if self.away:
            raise UnreachableError("no answer")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(api: Api, clock: Clock, holder: str) -> Lease:
    return Lease(api, holder, 15.0, clock=clock)


def test_the_first_gets_it_and_the_second_waits_until_it_has_run_out(api: Api, clock: Clock) -> None:
    one, two = lease(api, clock, "one"), lease(api, clock, "two")
    one.ask()
    two.ask()
    assert (one.held(), two.held(), one.term) == (True, False, 1)
    assert two.why_not == "the Lease default/raypipe is held by one"
    for now in (5.0, 10.0, 14.9):
        clock.now = now
        two.ask()
    assert not two.held()
    clock.now = 15.0
    two.ask()
    assert (one.held(), two.held()) == (False, True)


def test_who_renews_keeps_it_and_it_stays_one_term(api: Api, clock: Clock) -> None:
    one, two = lease(api, clock, "one"), lease(api, clock, "two")
    for step in range(20):
        clock.now = 3.0 * step
        one.ask()
        two.ask()
        assert (one.held(), two.held()) == (True, False)
    assert one.term == 1


def test_a_holder_stops_before_another_may_start(api: Api, clock: Clock) -> None:
    """Whatever the two of them do, at no moment do both hold it."""
    one, two = lease(api, clock, "one"), lease(api, clock, "two")
    one.ask()
    two.ask()
    for step in range(200):
        clock.now = step * 0.1
        two.ask()
        assert not (one.held() and two.held())
    assert two.held()


def test_a_server_that_is_away_ends_it_and_another_term_begins(api: Api, clock: Clock) -> None:
    one = lease(api, clock, "one")
    one.ask()
    api.away = True
    clock.now = 9.0
    one.ask()
    assert one.held()
    clock.now = 10.0
    assert not one.held()
    api.away = False
    one.ask()
    assert (one.held(), one.term) == (True, 2)


def test_who_has_lost_it_knows_at_once(api: Api, clock: Clock) -> None:
    one, two = lease(api, clock, "one"), lease(api, clock, "two")
    one.ask()
    (path,) = api.objects
    api.objects[path]["spec"]["holderIdentity"] = "two"
    one.ask()
    assert not one.held()
    two.ask()
    assert two.held()


def test_who_ends_gives_it_back(api: Api, clock: Clock) -> None:
    one, two = lease(api, clock, "one"), lease(api, clock, "two")
    one.ask()
    two.ask()
    one.stop()
    two.ask()
    assert (one.held(), two.held()) == (False, True)


def test_it_is_told_when_it_changes_hands(api: Api, clock: Clock) -> None:
    rung: list[float] = []
    one = Lease(api, "one", 15.0, changed=lambda: rung.append(clock.now), clock=clock)
    one.ask()
    one.ask()
    clock.now = 20.0
    one.ask()
    assert rung == [0.0, 20.0]


@pytest.mark.parametrize("kind", ["folder", "ConfigMap", "nowhere"])
def test_texts_are_kept_by_name(kind: str, api: Api, tmp_path: Path) -> None:
    kept: Durable = {"folder": Folder(tmp_path), "ConfigMap": ConfigMap(api, "ops", "state"), "nowhere": Nowhere()}[
        kind
    ]
    assert kept.read("a.json") is None
    kept.write("a.json", b"1")
    kept.write("b.json", b"2")
    kept.write("a.json", b"3")
    assert (kept.read("a.json"), kept.read("b.json")) == (b"3", b"2")
    kept.delete("a.json")
    assert (kept.read("a.json"), kept.read("b.json")) == (None, b"2")
