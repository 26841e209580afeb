"""Worker groups that are alternatives to each other: what their annotations say, and what their owner asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raypipe.model.alternatives import Alternatives
from raypipe.model.snapshot import ClusterSnapshot
from tests.unit.manifests.builders import (
    Object,
    container,
    node,
    notes,
    pod,
    problems,
    ray_spec,
    read,
    template,
    thing,
    wanted,
)

REQUESTED = "raypipe.io/requested-replicas"


def group(name: str, replicas: int | None, speed: Any = None, in_set: Any = "gpus", **more: Any) -> Object:
    """A worker group of a set."""
    marks = {"raypipe.io/alternatives": in_set} | ({} if speed is None else {"raypipe.io/speed": speed})
    stated = {} if replicas is None else {"replicas": replicas}
    return {"groupName": name, "template": template(annotations=marks), **stated, **more}


def cluster(*groups: Object, annotations: Object | None = None, **more: Any) -> Object:
    return thing("RayCluster", spec=ray_spec(*groups, **more), annotations=annotations or {})


def requested(wish: Object, written: Object) -> Object:
    return {REQUESTED: json.dumps({"wish": wish, "written": written})}


def only_set(snapshot: ClusterSnapshot) -> Alternatives:
    (one,) = snapshot.alternatives
    return one


def wishes(snapshot: ClusterSnapshot) -> dict[str, int]:
    return {group.name: group.wish for group in only_set(snapshot).groups}


def test_groups_that_share_a_name_are_one_demand_of_work() -> None:
    snapshot = read(cluster(group("l4", 2), {"groupName": "cpu", "replicas": 3}, group("t4", 4, "0.45", maxReplicas=9)))
    one = only_set(snapshot)
    assert (one.key, one.owner, one.work_millionths, one.autoscaling) == (
        "RayCluster/default/x/gpus",
        "RayCluster/default/x",
        3_800_000,
        False,
    )
    assert [(g.name, g.index, g.pods, g.speed_millionths, g.low, g.high) for g in one.groups] == [
        ("l4", 0, "RayCluster/default/x/worker/l4", 1_000_000, 0, 2**31 - 1),
        ("t4", 2, "RayCluster/default/x/worker/t4", 450_000, 0, 9),
    ]
    assert wanted(snapshot)["RayCluster/default/x/worker/t4"] == 4  # as it stands


def test_two_names_are_two_demands() -> None:
    groups = [group(name, 1, in_set=name[0]) for name in ("a1", "a2", "b1", "b2")]
    assert [one.name for one in read(cluster(*groups)).alternatives] == ["a", "b"]


@pytest.mark.parametrize(
    ("annotations", "found", "expected"),
    [
        ({"raypipe.io/speed": "fast"}, "'fast'", "a number above 0"),
        ({"raypipe.io/speed": "0"}, "'0'", "a number above 0"),
        ({"raypipe.io/speed": "-1"}, "'-1'", "a number above 0"),
        ({"raypipe.io/speed": "100001"}, "'100001'", "up to 100000"),
        ({"raypipe.io/speed": "1e999999999"}, "'1e999999999'", "a number above 0"),
        ({"raypipe.io/speed": "nan"}, "'nan'", "a number above 0"),
        ({"raypipe.io/speed": "0.1234567"}, "'0.1234567'", "at most 6 decimals"),
        ({"raypipe.io/alternatives": ""}, "''", "a name"),
        ({"raypipe.io/alternatives": "a/b"}, "'a/b'", "a name"),
        ({"raypipe.io/alternative": "gpus"}, "an unknown annotation", "did you mean 'raypipe.io/alternatives'"),
    ],
)
def test_what_is_wrong_with_an_annotation_is_named_where_it_stands(
    annotations: Object, found: str, expected: str
) -> None:
    one = {"groupName": "l4", "template": template(annotations=annotations)}
    (problem,) = problems(cluster(one, group("t4", 1)))
    assert "workerGroupSpecs[0].template.metadata.annotations" in problem
    assert f"found {found}" in problem
    assert expected in problem


def test_a_number_of_yaml_is_a_speed_too() -> None:
    assert [g.speed_millionths for g in only_set(read(cluster(group("a", 1, 2), group("b", 1, 0.5)))).groups] == [
        2_000_000,
        500_000,
    ]


def test_a_group_without_an_alternative_is_told() -> None:
    snapshot = read(cluster(group("l4", 2, in_set="gpu"), group("t4", 0)))
    assert snapshot.alternatives == ()
    assert [kind for kind, *_ in notes(snapshot)] == ["alternatives", "alternatives"]


@pytest.mark.parametrize(
    ("replicas", "annotations", "wish"),
    [
        pytest.param((2, 0), None, {"l4": 2, "t4": 0}, id="nothing written yet"),
        pytest.param(
            (0, 5), requested({"l4": 2, "t4": 0}, {"l4": 0, "t4": 5}), {"l4": 2, "t4": 0}, id="as it was written"
        ),
        pytest.param(
            (3, 5), requested({"l4": 2, "t4": 0}, {"l4": 0, "t4": 5}), {"l4": 3, "t4": 5}, id="the owner has spoken"
        ),
        pytest.param(
            (2, 0),
            requested({"l4": 2, "t4": 0}, {"l4": 0, "t4": 5}),
            {"l4": 2, "t4": 0},
            id="applied anew by the owner",
        ),
        pytest.param((0, 5), requested({"l4": 2}, {"l4": 0}), {"l4": 0, "t4": 5}, id="a group is new to it"),
        pytest.param(
            (None, 5), requested({"l4": 2, "t4": 0}, {"l4": 0, "t4": 5}), {"l4": 2, "t4": 0}, id="unset is minReplicas"
        ),
    ],
)
def test_the_wish_holds_while_replicas_are_as_written(
    replicas: tuple[int | None, int], annotations: Object | None, wish: dict[str, int]
) -> None:
    assert wishes(read(cluster(group("l4", replicas[0]), group("t4", replicas[1]), annotations=annotations))) == wish


def test_a_wish_of_nonsense_is_brought_within_reason() -> None:
    one = cluster(group("l4", 0), group("t4", 5), annotations=requested({"l4": 10**30, "t4": -7}, {"l4": 0, "t4": 5}))
    assert wishes(read(one)) == {"l4": 1_000_000, "t4": 0}


def test_an_annotation_that_cannot_be_read_is_an_error() -> None:
    (problem,) = problems(cluster(group("l4", 2), group("t4", 1), annotations={REQUESTED: "{l4: 2}"}))
    assert f"metadata.annotations.{REQUESTED}" in problem


def test_a_group_that_is_suspended_is_no_alternative() -> None:
    snapshot = read(cluster(group("l4", 2), group("t4", 1), group("a10g", 1, suspend=True)))
    assert [g.name for g in only_set(snapshot).groups] == ["l4", "t4"]


def test_a_cluster_that_is_held_has_no_sets() -> None:
    assert read(cluster(group("l4", 2), group("t4", 1), suspend=True)).alternatives == ()


def member(name: str, of: str, owner: Object, **more: Any) -> Object:
    labels = {"ray.io/node-type": "worker", "ray.io/group": of}
    marks = {"raypipe.io/alternatives": "gpus"}
    return pod(
        name, template(more.pop("container", container()), labels=labels, annotations=marks), owner=owner, **more
    )


def test_pods_that_run_stay_and_those_that_wait_are_named() -> None:
    one = cluster(group("l4", 3, numOfHosts=2), group("t4", 0))
    pods = [
        member("run", "l4", one, node="node-1"),
        member("wait-b", "l4", one),
        member("wait-a", "l4", one),
        member("other", "l4", one, container=container("3")),
    ]
    l4, t4 = only_set(read(one, node(), *pods)).groups
    assert (l4.staying, l4.waiting, l4.kept, l4.least, l4.to_place(2)) == (2, ("wait-a", "wait-b"), 1, 1, 2)
    assert (t4.staying, t4.waiting) == (0, ())


def test_what_a_ray_job_has_made_counts_and_is_written() -> None:
    spec = ray_spec(group("l4", 2), group("t4", 0))
    job = thing("RayJob", "j", {"rayClusterSpec": spec}, uid="u-j")
    alone = only_set(read(job)).target
    assert (alone.kind, alone.name, alone.path, alone.annotated) == ("RayJob", "j", "/spec/rayClusterSpec", False)
    made = thing("RayCluster", "j-abc", ray_spec(group("t4", 5), group("l4", 0)), job, uid="u-c")
    made["metadata"]["annotations"] = requested({"l4": 2, "t4": 0}, {"l4": 0, "t4": 5})
    one = only_set(read(job, made))
    assert (one.key, one.target.kind, one.target.name, one.target.path, one.target.uid, one.target.annotated) == (
        "RayJob/default/j/gpus",
        "RayCluster",
        "j-abc",
        "/spec",
        "u-c",
        True,
    )
    assert [(g.name, g.index, g.pods, g.wish, g.replicas) for g in one.groups] == [
        ("l4", 1, "RayJob/default/j/worker/l4", 2, 0),
        ("t4", 0, "RayJob/default/j/worker/t4", 0, 5),
    ]
    assert wanted(read(job, made)) == {
        "RayJob/default/j/head": 1,
        "RayJob/default/j/submitter": 1,
        "RayJob/default/j/worker/t4": 5,
    }


def test_the_cluster_that_serves_is_the_one_that_counts() -> None:
    spec = ray_spec(group("l4", 2), group("t4", 0))
    status = {"activeServiceStatus": {"rayClusterName": "s-2"}}
    service = thing("RayService", "s", {"rayClusterConfig": spec}, uid="u-s", status=status)
    made = [thing("RayCluster", f"s-{n}", ray_spec(group("l4", n), group("t4", 0)), service) for n in (1, 2)]
    one = only_set(read(service, *made))
    assert (one.target.name, one.groups[0].replicas) == ("s-2", 2)


def test_bounds_are_the_owners_where_raypipe_has_written_them() -> None:
    note = json.dumps({"maxReplicas": {"wish": {"l4": 8, "t4": None}, "written": {"l4": 2, "t4": 3}}})
    groups = [group("l4", 2, maxReplicas=2), group("t4", 3, maxReplicas=4)]
    one = only_set(read(cluster(*groups, annotations={REQUESTED: note}, enableInTreeAutoscaling=True)))
    assert one.autoscaling
    assert [(g.name, g.high, g.owners, g.stated["maxReplicas"]) for g in one.groups] == [
        ("l4", 8, {"maxReplicas": 8}, 2),
        ("t4", 4, {}, 4),
    ]
