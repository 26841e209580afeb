"""An Observer over what an API server does on a bad day: what it knows, and what it says while it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from raypipe.adapters.kubernetes import Observer
from raypipe.adapters.kubernetes.observer import Rhythm
from raypipe.manifests.origins import Observed
from tests.integration.api_server import Answer, ApiServer, Clock, client, page, refused, serving, watched

PODS = "/api/v1/pods"
QUIET = watched(hold=True)
RHYTHM = Rhythm(first_s=0.01, most_s=0.05, looks_s=0.05)


@contextmanager
def observing(pods: Sequence[Answer], groups: Sequence[Answer] = ()) -> Iterator[tuple[Observer, ApiServer]]:
    """An Observer of a server that has pods alone, and answers for them so, one answer after the other."""
    api = ApiServer({PODS: pods, "/apis": groups or [Answer(body={"groups": []})]})
    with serving(api) as address, Observer(client(address, Clock()), RHYTHM) as observer:
        yield observer, api


def once(observer: Observer, holds: Callable[[Observed], bool]) -> Observed:
    """What is seen as soon as it is as expected."""
    number = 0
    for _ in range(1000):
        seen = observer.seen()
        if holds(seen):
            return seen
        number = observer.wait(number, 0.2)
    raise AssertionError(f"never seen; last: {observer.seen()}")


def names(seen: Observed) -> list[str]:
    return sorted(one["metadata"]["name"] for one in seen.objects)


def versions(api: ApiServer) -> list[str | None]:
    """From where each request for pods was made: None for a list."""
    return [query.get("resourceVersion") for path, query in api.asked if path == PODS]


def test_a_list_and_the_changes_after_it() -> None:
    changes = watched(("ADDED", "c", "5"), ("MODIFIED", "a", "6"), ("DELETED", "b", "7"), hold=True)
    with observing([page("a", "b", version="4"), changes]) as (observer, api):
        seen = once(observer, lambda seen: names(seen) == ["a", "c"])
        assert (seen.context, seen.error, seen.served) == ("prod", None, frozenset({"Pod"}))
        assert {(one["apiVersion"], one["kind"]) for one in seen.objects} == {("v1", "Pod")}
        assert observer.find("c") is not None
        assert observer.find("b") is None
        assert versions(api) == [None, "4"]


def test_a_watch_that_ends_or_breaks_goes_on_from_the_last_bookmark() -> None:
    ended = watched(("ADDED", "b", "5"), ("BOOKMARK", "", "9"))
    broken = Answer(lines=[{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "12"}}}] * 2, cut=80)
    answers = [page("a", version="4"), ended, broken, watched(("ADDED", "c", "13"), hold=True)]
    with observing(answers) as (observer, api):
        once(observer, lambda seen: names(seen) == ["a", "b", "c"])
        assert versions(api) == [None, "4", "9", "12"]


def test_a_moment_that_the_server_has_forgotten_begins_with_a_list() -> None:
    answers = [page("a", version="4"), watched(("ERROR", "410", "")), page("b", version="20"), QUIET]
    with observing(answers) as (observer, api):
        seen = once(observer, lambda seen: names(seen) == ["b"])
        assert seen.error is None
        once(observer, lambda _: len(versions(api)) == 4)
        assert versions(api) == [None, "4", None, "20"]


def test_while_it_is_forbidden_nobody_is_told_what_was_known_before() -> None:
    answers = [page("a", version="4"), *[refused(403, "no")] * 5, watched(("BOOKMARK", "", "8"), hold=True)]
    with observing(answers) as (observer, _):
        assert once(observer, lambda seen: seen.error == "prod: forbidden: no").objects == ()
        seen = once(observer, lambda seen: seen.error is None and names(seen) == ["a"])
        assert seen.served == frozenset({"Pod"})


def test_a_server_that_cannot_be_reached_at_first_is_seen_once_it_can_be() -> None:
    groups = [refused(503), refused(503), Answer(body={"groups": []})]
    with observing([page("a", version="4"), QUIET], groups) as (observer, _):
        assert observer.seen().error is not None
        assert names(once(observer, lambda seen: seen.error is None)) == ["a"]


def test_a_kind_that_is_installed_later_is_found() -> None:
    ray = {"groups": [{"name": "ray.io", "versions": [{"version": "v1"}]}]}
    groups = [Answer(body={"groups": []}), Answer(body=ray)]
    with observing([page("a", version="4"), QUIET], groups) as (observer, api):
        once(observer, lambda seen: seen.error is None)
        once(observer, lambda _: any(path == "/apis/ray.io/v1/rayclusters" for path, _ in api.asked))
        (note,) = once(observer, lambda seen: seen.error is None).notes
        assert note.kind == "not-served"
