"""Who is told what of a decision."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any

import pytest

from raypipe.controller.event_writer import Said
from raypipe.controller.events import MOST_PODS, Events, LateEvents
from raypipe.controller.later import Later
from raypipe.controller.telling import Mode
from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.plan import ClusterPlan, Unplaced
from raypipe.model.results import Outcome, Result
from tests.unit.controller.tellings import NOON, buy, cluster, cluster_plan, fleet, later, node, result, seen, suspend

type Told = tuple[str, str, str, str]
"""Object, type, reason, note."""


def known(kind: str, name: str, namespace: str | None = "shop", version: str = "v1", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": f"uid-{name}"} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata | more.pop("metadata", {}), **more}


DEPLOYMENT = known("Deployment", "web", version="apps/v1")
REPLICA_SET = known(
    "ReplicaSet",
    "web-1",
    version="apps/v1",
    metadata={"ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-web"}]},
)


def pod(number: int, **spec: Any) -> dict[str, Any]:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "uid-web-1", "controller": True}
    return known("Pod", f"web-1-{number}", metadata={"ownerReferences": [owner]}, spec=spec)


def told(
    plan: ClusterPlan,
    results: tuple[Result, ...] = (),
    objects: tuple[dict[str, Any], ...] = (),
    mode: Mode = Mode.ACTING,
    later_objects: tuple[tuple[dict[str, Any], ...], ...] = (),
) -> list[Told]:
    """What is written once the plan was carried out among these objects, and what once these are seen later."""
    written: list[Told] = []

    def write(context: str, said: Said, at: datetime) -> None:
        del at
        assert context == "prod"
        subject = said.subject
        name = "/".join(part for part in (subject.kind, subject.namespace, subject.name) if part)
        written.append((name, said.type, said.reason, said.note))

    events = Events(write)
    events.observed(NOON, fleet(cluster()), seen(*objects))
    events.acted(NOON, plan, mode, results)
    for number, those in enumerate(later_objects, start=1):
        events.observed(later(number), fleet(cluster()), seen(*those))
    return written


LEFT_OUT = Unplaced(pods="Deployment/shop/web", count=2, reason="no-offering-fits", message="gpu: none has 16")
RAY_JOB = known("RayJob", "train", "ml", "ray.io/v1")


def test_pods_without_a_place_and_their_owner_say_why() -> None:
    objects = (DEPLOYMENT, REPLICA_SET, pod(1), pod(2), pod(3, nodeName="n-1"))
    assert told(cluster_plan(unplaced=[LEFT_OUT]), objects=objects) == [
        ("Pod/shop/web-1-1", "Warning", "Unplaced", "no place: gpu: none has 16"),
        ("Pod/shop/web-1-2", "Warning", "Unplaced", "no place: gpu: none has 16"),
        ("Deployment/shop/web", "Warning", "Unplaced", "2 of its pods have no place: gpu: none has 16"),
    ]


def test_of_many_pods_a_few_say_so_and_their_owner_how_many_there_are() -> None:
    entry = Unplaced(pods="Deployment/shop/web@0a1b2c3d", count=500, reason="limit", limit="cluster/research/cpu")
    objects = (DEPLOYMENT, REPLICA_SET, *(pod(number) for number in range(500)))
    written = told(cluster_plan(unplaced=[entry]), objects=objects)

    assert len(written) == MOST_PODS + 1
    assert written[-1][3] == "500 of its pods have no place: cluster/research/cpu"


def test_a_pod_of_nobody_says_it_once() -> None:
    entry = Unplaced(pods="Pod/shop/huge", count=1, reason="gang")
    assert told(cluster_plan(unplaced=[entry]), objects=(known("Pod", "huge"),)) == [
        ("Pod/shop/huge", "Warning", "Unplaced", "no place: gang")
    ]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        pytest.param(Outcome.DONE, ("Normal", "SuspendRayJob", "a limit keeps it out"), id="done: why"),
        pytest.param(Outcome.SKIPPED, ("Normal", "SuspendRayJobSkipped", "it runs"), id="skipped: what has changed"),
        pytest.param(Outcome.FAILED, ("Warning", "SuspendRayJobFailed", "it runs"), id="failed: what was in the way"),
    ],
)
def test_an_object_says_what_became_of_the_action_about_it(outcome: Outcome, expected: tuple[str, str, str]) -> None:
    end = result(suspend(), outcome, "" if outcome is Outcome.DONE else "it runs")
    assert told(cluster_plan([suspend()]), (end,), (RAY_JOB,)) == [("RayJob/ml/train", *expected)]


def test_a_claim_says_why_it_was_bought_once_it_is_seen_and_the_owner_of_the_pods_at_once() -> None:
    plan = cluster_plan([buy()], nodes=(node(), node("n-1", existing=True)))
    claim = known("NodeClaim", buy().object.name, None, "karpenter.sh/v1")
    written = told(plan, (result(buy()),), (DEPLOYMENT,), later_objects=((DEPLOYMENT,), (DEPLOYMENT, claim), (claim,)))

    note = "bought for 2 of its pods: research-3f9a1c0b77-0001 (m7g.large, spot)"
    assert written == [
        ("Deployment/shop/web", "Normal", "NodesBought", note),
        ("NodeClaim/research-3f9a1c0b77-0001", "Normal", "BuyNode", "2 pods have no place"),
    ]


def test_an_object_that_never_comes_is_not_waited_for_for_ever() -> None:
    claim = known("NodeClaim", buy().object.name, None, "karpenter.sh/v1")
    assert told(cluster_plan([buy()]), (result(buy()),), later_objects=((),) * 5 + ((claim,),)) == []


def test_nobody_is_told_that_a_node_was_bought_that_was_not() -> None:
    plan = cluster_plan([buy()], nodes=(node(),))
    assert told(plan, (result(buy(), Outcome.FAILED, "no"),), (DEPLOYMENT,)) == []


def test_of_many_results_those_that_failed_come_first() -> None:
    def scale(number: int) -> Action:
        target = ObjectRef(kind="RayJob", name=f"job-{number}", namespace="shop")
        return Action(id=str(number), kind=ActionKind.RESUME_RAY_JOB, object=target)

    ends = tuple(result(scale(n), Outcome.FAILED if n >= 120 else Outcome.DONE, "words") for n in range(130))
    written = told(cluster_plan(), ends, tuple(known("RayJob", f"job-{n}", version="ray.io/v1") for n in range(130)))

    assert [name for name, *_ in written] == [f"RayJob/shop/job-{n}" for n in (*range(120, 130), *range(90))]


@pytest.mark.parametrize(
    ("plan", "mode"),
    [
        pytest.param(cluster_plan(unplaced=[LEFT_OUT]), Mode.DRY_RUN, id="a dry run"),
        pytest.param(cluster_plan(unplaced=[LEFT_OUT], context=None), Mode.ACTING, id="a plan of files"),
    ],
)
def test_nothing_is_said(plan: ClusterPlan, mode: Mode) -> None:
    assert told(plan, objects=(DEPLOYMENT, REPLICA_SET, pod(1)), mode=mode) == []


def test_a_paused_loop_says_what_it_would_do() -> None:
    assert len(told(cluster_plan(unplaced=[LEFT_OUT]), objects=(DEPLOYMENT,), mode=Mode.PAUSED)) == 1


def test_events_are_written_threadsin_order_for_clusters_that_have_a_writer() -> None:
    written: list[str] = []
    threads = Later()
    write = LateEvents({"prod": lambda said, at: written.append(f"{said.note} {at:%H}")}.get, threads)
    events = Events(write)
    events.observed(NOON, fleet(cluster()), seen(RAY_JOB))
    for number in range(3):
        events.acted(NOON, cluster_plan(), Mode.ACTING, [result(suspend(), words=str(number))])
        events.acted(NOON, cluster_plan(context="another"), Mode.ACTING, [result(suspend())])
    threads.close()

    assert written == ["0 12", "1 12", "2 12"]


def test_work_that_does_not_fit_is_dropped_and_counted() -> None:
    may_go_on = threading.Event()
    done: list[int] = []
    threads = Later(most=2)
    begun = threading.Event()
    threads(lambda: (begun.set(), may_go_on.wait(5), None)[-1])
    assert begun.wait(5)
    for number in range(4):
        threads(lambda number=number: done.append(number))  # type: ignore[misc]
    may_go_on.set()
    threads.close()

    assert (done, threads.dropped) == ([0, 1], 2)
