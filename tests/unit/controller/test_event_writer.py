"""Events as the API server keeps them: series instead of floods."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.adapters.kubernetes.server import RefusedError, UnreachableError
from raypipe.controller.event_writer import EventWriter, Said, Subject
from raypipe.errors import ClusterError
from tests.unit.controller.tellings import NOON, later

POD = Subject(api_version="v1", kind="Pod", name="web-1", namespace="shop", uid="6f1c")
NODE = Subject(api_version="v1", kind="Node", name="n-1", namespace=None, uid="a03b")
UNPLACED = Said(subject=POD, reason="Unplaced", action="Plan", note="no place: gpu", type="Warning")
EVENTS = "/apis/events.k8s.io/v1/namespaces/shop/events"


class ApiServer:
    """Keeps Events as an API server does; what is asked for is in `asked`. `refuses`: every write, so."""

    def __init__(self, refuses: ClusterError | None = None) -> None:
        self.events: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []
        self.refuses = refuses

    def get(self, path: str) -> Any:
        self.asked.append(("GET", path))
        return self.events[path]

    def send(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Any:
        self.asked.append((method, path))
        assert isinstance(body, dict)
        if self.refuses is not None:
            raise self.refuses
        if method == "POST":
            name = f"{path}/{body['metadata']['name']}"
            if name in self.events:
                raise RefusedError("it exists", 409)
            self.events[name] = body
        else:
            assert content_type == "application/merge-patch+json"
            if path not in self.events:
                raise RefusedError("no such event", 404)
            self.events[path] = {**self.events[path], **body}

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]


def writer(server: ApiServer, complaints: list[str] | None = None) -> EventWriter:
    return EventWriter(server, "raypipe-0", [].append if complaints is None else complaints.append)


def test_an_event_says_what_the_api_asks_for() -> None:
    server = ApiServer()
    writer(server).say(UNPLACED, NOON)

    (name,) = server.events
    assert name == f"{EVENTS}/{UNPLACED.name}"
    assert server.events[name] == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": UNPLACED.name, "namespace": "shop"},
        "eventTime": "2026-11-25T12:00:00.000000Z",
        "reportingController": "raypipe",
        "reportingInstance": "raypipe-0",
        "action": "Plan",
        "reason": "Unplaced",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "web-1", "uid": "6f1c", "namespace": "shop"},
        "note": "no place: gpu",
        "type": "Warning",
    }


def test_an_event_on_a_node_is_kept_in_default() -> None:
    server = ApiServer()
    writer(server).say(Said(subject=NODE, reason="BuyNode", action="BuyNode", note="2 pods"), NOON)

    ((name, event),) = server.events.items()
    assert name.startswith("/apis/events.k8s.io/v1/namespaces/default/events/n-1.")
    assert event["regarding"] == {"apiVersion": "v1", "kind": "Node", "name": "n-1", "uid": "a03b"}


def test_what_is_said_every_second_is_a_series_that_is_written_each_minute() -> None:
    server = ApiServer()
    say = writer(server).say
    for second in range(125):
        say(UNPLACED, later(second))

    assert server.methods() == ["POST", "PATCH", "PATCH"]
    (event,) = server.events.values()
    assert event["series"] == {"count": 121, "lastObservedTime": "2026-11-25T12:02:00.000000Z"}


def test_a_loop_that_starts_anew_goes_on_with_the_series() -> None:
    server = ApiServer()
    first = writer(server)
    for second in (0, 60):
        first.say(UNPLACED, later(second))
    writer(server).say(UNPLACED, later(70))

    assert server.methods() == ["POST", "PATCH", "POST", "GET", "PATCH"]
    (event,) = server.events.values()
    assert event["series"] == {"count": 3, "lastObservedTime": "2026-11-25T12:01:10.000000Z"}


def test_a_series_whose_event_has_expired_begins_anew() -> None:
    server = ApiServer()
    say = writer(server).say
    say(UNPLACED, NOON)
    server.events.clear()
    say(UNPLACED, later(60))

    (event,) = server.events.values()
    assert (event["eventTime"], "series" in event) == ("2026-11-25T12:01:00.000000Z", False)


def test_of_one_object_and_reason_there_is_one_new_event_in_ten_seconds_whatever_the_words() -> None:
    server = ApiServer()
    say = writer(server).say
    for second in range(20):
        say(Said(subject=POD, reason="Unplaced", action="Plan", note=f"no place: {second}"), later(second))
    say(Said(subject=POD, reason="BindPods", action="BindPods", note="bound"), later(20))

    assert [event["note"] for event in server.events.values()] == ["no place: 0", "no place: 10", "bound"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RefusedError("prod: forbidden: may not create events", 403), id="a right is missing"),
        pytest.param(UnreachableError("prod: no answer"), id="nobody answers"),
    ],
)
def test_what_cannot_be_written_is_complained_of_once(error: ClusterError) -> None:
    complaints: list[str] = []
    say = writer(ApiServer(refuses=error), complaints).say
    for second in (0, 20, 40):
        say(UNPLACED, later(second))

    assert complaints == [f"an Event was not written: {error}"]


def test_a_long_note_is_cut_where_the_api_server_would_refuse_it() -> None:
    server = ApiServer()
    writer(server).say(Said(subject=POD, reason="Unplaced", action="Plan", note="–" * 1000), NOON)

    (event,) = server.events.values()
    assert event["note"] == "–" * 341
