"""What an API server does on a bad day, and what a reader makes of it."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest

from raypipe.adapters.kubernetes import look
from raypipe.adapters.kubernetes.kinds import KINDS, Resource
from raypipe.adapters.kubernetes.listing import PAGE, list_all
from raypipe.adapters.kubernetes.server import RefusedError, UnreachableError
from tests.integration.api_server import Answer, ApiServer, Clock, client, page, refused, serving

PODS = Resource(kind=next(kind for kind in KINDS if kind.name == "Pod"), api_version="v1", path="/api/v1/pods")


def listed(answers: Sequence[Answer], tokens: Sequence[str] = ("token",)) -> tuple[list[str], ApiServer, Clock]:
    """The names of a list that is answered so, the server, and the clock."""
    api, clock = ApiServer({PODS.path: answers}), Clock()
    with serving(api) as address:
        server = client(address, clock, tokens)
        found = list_all(server, PODS)
        server.close()
    return [one["metadata"]["name"] for one in found.objects], api, clock


def test_a_list_is_read_page_by_page_and_says_what_its_objects_are() -> None:
    api = ApiServer({PODS.path: [page("a", "b", version="7", following="next"), page("c", version="7")]})
    with serving(api) as address:
        found = list_all(client(address, Clock()), PODS)
    assert [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in found.objects] == [
        ("v1", "Pod", "a"),
        ("v1", "Pod", "b"),
        ("v1", "Pod", "c"),
    ]
    assert found.resource_version == "7"
    assert [query.get("continue") for _, query in api.asked] == [None, "next"]
    assert {query["limit"] for _, query in api.asked} == {str(PAGE)}


@pytest.mark.parametrize(
    ("answers", "slept"),
    [
        pytest.param([refused(429, Retry_After="3"), page("a")], [3.0], id="429 with Retry-After"),
        pytest.param([refused(429), refused(429), page("a")], [0.25, 0.5], id="429 without it: the wait doubles"),
        pytest.param([refused(503, Retry_After="1"), refused(500), page("a")], [1.0, 0.5], id="5xx"),
        pytest.param([Answer(body={"metadata": {}}, cut=5), page("a")], [0.25], id="a page cut off"),
        pytest.param([Answer(body=b'{"metadata": {}, "items": [{"met'), page("a")], [0.25], id="half of a JSON"),
    ],
)
def test_what_passes_is_asked_again(answers: list[Answer], slept: list[float]) -> None:
    names, _, clock = listed(answers)
    assert (names, clock.slept) == (["a"], slept)


def test_a_server_that_never_has_time_is_an_error_in_bounded_time() -> None:
    with pytest.raises(RefusedError) as error:
        listed([refused(429, "too many requests", Retry_After="5")])
    assert error.value.temporary
    assert str(error.value) == "prod: /api/v1/pods: 429 too many requests"


def test_pages_that_expire_are_asked_for_again_and_at_last_in_one_piece() -> None:
    expired = refused(410, "The provided continue parameter is too old")
    half = page("a", following="next")
    names, api, clock = listed([half, expired, half, expired, page("a", "b")])
    assert names == ["a", "b"]
    assert [(query.get("limit"), query.get("continue")) for _, query in api.asked] == [
        ("500", None),
        ("500", "next"),
        ("500", None),
        ("500", "next"),
        (None, None),
    ]
    assert clock.slept == []


def test_a_token_that_has_expired_is_read_anew_once() -> None:
    names, api, _ = listed([refused(401, "Unauthorized"), page("a")], tokens=["old", "new"])
    assert names == ["a"]
    assert api.tokens == ["Bearer old", "Bearer new"]
    with pytest.raises(RefusedError) as error:
        listed([refused(401, "Unauthorized")])
    assert str(error.value) == (
        "prod: its credentials are not accepted (401 Unauthorized): expired, or not of this cluster"
    )
    assert not error.value.temporary


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_server_that_is_not_there_is_waited_for_once() -> None:
    clock, port = Clock(), unused_port()
    server = client(f"http://127.0.0.1:{port}", clock)
    for _ in range(3):
        with pytest.raises(UnreachableError) as error:
            server.get("/apis")
    assert str(error.value) == f"prod: no answer from http://127.0.0.1:{port}: [Errno 111] Connection refused"
    assert sum(clock.slept) <= clock.patience().whole_s
    assert server.requests == len(clock.slept) + 3


def test_a_server_that_was_closed_is_not_waited_for() -> None:
    clock = Clock()
    server = client(f"http://127.0.0.1:{unused_port()}", clock)
    server.close()
    with pytest.raises(UnreachableError):
        server.get("/apis")
    assert clock.slept == []


GROUPS = {"groups": [{"name": name, "versions": [{"version": "v1"}]} for name in ("apps", "batch", "ray.io")]}


def test_a_forbidden_list_names_verb_resource_and_user_and_all_of_them_at_once() -> None:
    def forbidden(resource: str, group: str = "") -> str:
        user = 'User "system:serviceaccount:ray:raypipe"'
        return f'{resource} is forbidden: {user} cannot list resource "{resource}" in API group "{group}"'

    answers = {
        "/apis": [Answer(body=GROUPS)],
        "/api/v1/pods": [refused(403, forbidden("pods"))],
        "/apis/ray.io/v1/rayjobs": [refused(403, forbidden("rayjobs", "ray.io"))],
        "/api/v1/resourcequotas": [refused(403, forbidden("resourcequotas"))],
    }
    with serving(ApiServer(answers)) as address:
        seen = look(["prod"], lambda _: client(address, Clock()))["prod"]
    assert seen.error == f"prod: forbidden: {forbidden('pods')}\nprod: forbidden: {forbidden('rayjobs', 'ray.io')}"


def test_what_is_not_served_or_only_counted_is_a_note() -> None:
    answers = {
        "/apis": [
            Answer(body={"groups": [*GROUPS["groups"], {"name": "karpenter.sh", "versions": [{"version": "v1beta1"}]}]})
        ],
        "/api/v1/pods": [page("a")],
        "/api/v1/nodes": [page("n")],
        "/api/v1/resourcequotas": [refused(403, "no")],
        "/apis/ray.io/v1/rayclusters": [page()],
    }
    with serving(ApiServer(answers)) as address:
        seen = look(["prod"], lambda _: client(address, Clock()))["prod"]
    assert seen.error is None
    assert [one["kind"] for one in seen.objects] == ["Pod", "Node"]
    assert seen.served == {"Pod", "Node", "RayCluster"}
    told = {note.subject: note.message for note in seen.notes if note.kind != "not-served"}
    assert told == {
        "ResourceQuota": "ResourceQuota: prod: forbidden: no",
        "NodePool": "NodePool: served as karpenter.sh/v1beta1, read as if it were v1",
        "NodeClaim": "NodeClaim: served as karpenter.sh/v1beta1, read as if it were v1",
    }
    assert [note.message for note in seen.notes if note.kind == "not-served"] == [
        "prod has no Namespace, PersistentVolume, PersistentVolumeClaim (core); "
        "CustomResourceDefinition (apiextensions.k8s.io); "
        "Deployment, ReplicaSet, StatefulSet, DaemonSet (apps); Job, CronJob (batch); "
        "NodePool, NodeClaim (karpenter.sh); LeaderWorkerSet (leaderworkerset.x-k8s.io); PodDisruptionBudget (policy); "
        "RayJob, RayService (ray.io); PriorityClass (scheduling.k8s.io); PodGroup, Queue (scheduling.run.ai); "
        "PodGroup (scheduling.x-k8s.io); StorageClass (storage.k8s.io)"
    ]


def test_one_that_cannot_be_reached_keeps_nobody_waiting_for_long_and_the_other_is_seen() -> None:
    answers = {"/apis": [Answer(body=GROUPS)], "/api/v1/pods": [page("a")]}
    port = unused_port()
    with serving(ApiServer(answers)) as address:
        places = {"prod": address, "gone": f"http://127.0.0.1:{port}"}
        seen = look(["gone", "prod"], lambda name: client(places[name], Clock()))
    assert [one["metadata"]["name"] for one in seen["prod"].objects] == ["a"]
    assert seen["gone"].error is not None
    assert "no answer from" in seen["gone"].error
