"""Ray objects that are suspended and resumed: which, why, and by which patch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.model.actions import Action, ActionKind
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.snapshot import ClusterSnapshot
from tests.patches import PatchRefusedError, patched
from tests.unit.manifests.builders import Object, container, node, ray_spec, read, template, thing
from tests.unit.manifests.test_kuberay import member
from tests.unit.planner.builders import catalog_in, planned_fleet

SUSPENDED_BY = "raypipe.io/suspended-by"
ONE_NODE = {"nodes": 1}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """m5.xlarge of 4 cpu at $0.2, m5.2xlarge of 8 at $0.4."""
    return catalog_in(tmp_path)


def snapshot(*objects: Object, **more: Any) -> ClusterSnapshot:
    return replace(read(*objects), zones=("us-east-1a",), capacity_types=("on-demand",), **more)


def plan_of(catalog: Catalog, *objects: Object, **more: Any) -> ClusterPlan:
    """The plan, valid by the second opinion."""
    return planned_fleet(catalog, snapshot(*objects, **more)).clusters[0]


def spec(workers: int = 1, cpu: str = "6") -> Object:
    """A head of 1 cpu, and workers that need most of a node each."""
    group = {"groupName": "g", "replicas": workers, "template": template(container(cpu))}
    return ray_spec(group, head=template(container("1")))


def job(name: str = "late", workers: int = 1, **more: Any) -> Object:
    """A RayJob that may be suspended; more: fields of its metadata, and `spec`."""
    own = {"rayClusterSpec": spec(workers), "shutdownAfterJobFinishes": True, "submissionMode": "HTTPMode"}
    return thing("RayJob", name, own | more.pop("spec", {}), **{"uid": f"u-{name}"} | more)


def cluster(name: str = "late", workers: int = 1, **more: Any) -> Object:
    return thing("RayCluster", name, spec(workers) | more.pop("spec", {}), **{"uid": f"u-{name}"} | more)


def ray_actions(plan: ClusterPlan) -> list[Action]:
    return [one for one in plan.actions if one.kind is not ActionKind.BUY_NODE]


def kinds(plan: ClusterPlan) -> list[str]:
    return [one.kind.value for one in ray_actions(plan)]


# suspended


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        pytest.param(job(workers=2), "SuspendRayJob", id="a RayJob"),
        pytest.param(cluster(workers=2), "SuspendRayCluster", id="a RayCluster"),
    ],
)
def test_what_a_limit_keeps_out_is_suspended_by_its_name(one: Object, kind: str, catalog: Catalog) -> None:
    plan = plan_of(catalog, one, limits=ONE_NODE)
    (action,) = ray_actions(plan)
    assert action.kind == kind
    assert action.set == {
        "spec": {"suspend": True},
        "metadata": {"annotations": {SUSPENDED_BY: "cluster/cluster/nodes"}},
    }
    assert action.precondition == {"uid": "u-late", "spec": {"suspend": False}, "running": False}
    after = patched(one, action.patch)
    assert after == one | {
        "spec": one["spec"] | {"suspend": True},
        "metadata": one["metadata"] | {"annotations": {SUSPENDED_BY: "cluster/cluster/nodes"}},
    }


def test_a_suspension_by_raypipe_stays_demand_and_is_lifted_where_there_is_room(catalog: Catalog) -> None:
    before = job(workers=2, annotations={"mine": "x"}, spec={"suspend": False})
    suspended = patched(before, ray_actions(plan_of(catalog, before, limits=ONE_NODE))[0].patch)
    still = plan_of(catalog, suspended, limits=ONE_NODE)
    assert (kinds(still), still.excluded) == ([], ())
    assert {entry.reason for entry in still.unplaced} == {"limit"}
    (action,) = ray_actions(plan_of(catalog, suspended))
    assert (action.kind, action.set) == (
        ActionKind.RESUME_RAY_JOB,
        {"spec": {"suspend": False}, "metadata": {"annotations": {SUSPENDED_BY: None}}},
    )
    assert patched(suspended, action.patch) == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda one: one["metadata"].update(uid="another"), id="another object of that name"),
        pytest.param(lambda one: one["spec"].update(suspend=True), id="suspended by its owner"),
        pytest.param(lambda one: one["metadata"].update(annotations={"mine": "x"}), id="with annotations since"),
    ],
)
def test_a_suspension_of_what_has_changed_is_refused(change: Any, catalog: Catalog) -> None:
    one = job(workers=2)
    (action,) = ray_actions(plan_of(catalog, one, limits=ONE_NODE))
    changed = one | {"metadata": dict(one["metadata"]), "spec": dict(one["spec"])}
    change(changed)
    with pytest.raises(PatchRefusedError):
        patched(changed, action.patch)


def test_what_waits_for_room_without_a_limit_is_not_suspended(catalog: Catalog) -> None:
    plan = plan_of(catalog, thing("RayJob", "huge", job()["spec"] | {"rayClusterSpec": spec(1, "900")}, uid="u"))
    assert (kinds(plan), {entry.reason for entry in plan.unplaced}) == ([], {"gang"})


@pytest.mark.parametrize(
    ("objects", "why_not"),
    [
        pytest.param(
            [job(workers=2, spec={"shutdownAfterJobFinishes": False})],
            "a RayJob can be suspended only with shutdownAfterJobFinishes",
            id="a RayJob that leaves its cluster",
        ),
        pytest.param(
            [thing("RayService", "late", {"rayClusterConfig": spec(2)}, uid="u")],
            "a RayService has no suspend",
            id="a RayService",
        ),
    ],
)
def test_where_it_cannot_be_suspended_one_note_says_why(objects: list[Object], why_not: str, catalog: Catalog) -> None:
    plan = plan_of(catalog, *objects, limits=ONE_NODE)
    (note,) = (note for note in plan.notes if note.kind == "not-suspended")
    assert (kinds(plan), note.message.endswith(f"it is not suspended: {why_not}")) == ([], True)


def test_the_cluster_of_a_job_is_not_suspended_itself(catalog: Catalog) -> None:
    """The job is: its cluster is made by it, and has no demand of its own."""
    owner = job(workers=2)
    plan = plan_of(catalog, owner, thing("RayCluster", "late-1", spec(2), owner, uid="u-c"), limits=ONE_NODE)
    assert [action.object.key for action in ray_actions(plan)] == ["RayJob/default/late"]


def test_nothing_that_runs_is_suspended_whatever_it_costs(catalog: Catalog) -> None:
    one = cluster(workers=2)
    head = member("h", {"node-type": "head"}, one, node="node-1")
    plan = plan_of(catalog, one, node(), head, limits=ONE_NODE)
    assert (kinds(plan), {entry.reason for entry in plan.unplaced}) == ([], {"limit"})


def test_the_younger_of_two_is_suspended_whole(catalog: Catalog) -> None:
    first, second = (
        job(name, creationTimestamp=f"2026-01-0{n}T00:00:00Z") for n, name in ((1, "first"), (2, "second"))
    )
    plan = plan_of(catalog, second, first, limits=ONE_NODE)
    assert [(action.kind, action.object.name) for action in ray_actions(plan)] == [("SuspendRayJob", "second")]
    assert {entry.pods for entry in plan.unplaced} == {"RayJob/default/second/head", "RayJob/default/second/worker/g"}


# resumed

BY_A_PERSON = {"suspend": True}
ADMIT = {"raypipe.io/admit": "true"}


@pytest.mark.parametrize(
    ("one", "asked"),
    [
        pytest.param(job(spec=BY_A_PERSON), [], id="a RayJob suspended by a person is left alone"),
        pytest.param(cluster(spec=BY_A_PERSON), [], id="a RayCluster too"),
        pytest.param(job(spec=BY_A_PERSON, annotations=ADMIT), ["ResumeRayJob"], id="a RayJob to be admitted"),
        pytest.param(cluster(spec=BY_A_PERSON, annotations=ADMIT), ["ResumeRayCluster"], id="a RayCluster"),
        pytest.param(job(annotations=ADMIT), [], id="one that is not suspended needs no resume"),
    ],
)
def test_who_is_resumed(one: Object, asked: list[str], catalog: Catalog) -> None:
    assert kinds(plan_of(catalog, one)) == asked


def test_admit_stays_after_a_resume(catalog: Catalog) -> None:
    one = job(spec=BY_A_PERSON, annotations=ADMIT)
    (action,) = ray_actions(plan_of(catalog, one))
    assert patched(one, action.patch) == one | {"spec": one["spec"] | {"suspend": False}}
    assert action.precondition == {"uid": "u-late", "spec": {"suspend": True}}


def test_what_does_not_fit_is_not_resumed(catalog: Catalog) -> None:
    plan = plan_of(catalog, job(workers=2, spec=BY_A_PERSON, annotations=ADMIT), limits=ONE_NODE)
    assert (kinds(plan), {entry.reason for entry in plan.unplaced}) == ([], {"limit"})


def test_suspensions_come_before_purchases_and_resumptions_after_them(catalog: Catalog) -> None:
    """A node is bought for whom it was planned, and nobody starts before it is."""
    out = job("out", workers=3, creationTimestamp="2026-01-02T00:00:00Z")
    back = job("back", spec=BY_A_PERSON, annotations=ADMIT, creationTimestamp="2026-01-01T00:00:00Z")
    plan = plan_of(catalog, out, back, limits=ONE_NODE)
    assert [one.kind.value for one in plan.actions] == ["SuspendRayJob", "BuyNode", "ResumeRayJob"]


def test_a_floor_to_measure_against_asks_for_nothing(catalog: Catalog) -> None:
    (plan,) = planned_fleet(catalog, snapshot(job(spec=BY_A_PERSON, annotations=ADMIT)), scope=Scope.WHOLE).clusters
    assert plan.actions == ()
