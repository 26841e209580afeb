"""Every patch that a plan has for a Ray object, carried out on it: the object expected, and one that KubeRay takes.

Each case is a cluster, a limit perhaps, and what shall have changed in which object.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.model.actions import Action, ActionKind
from raypipe.model.snapshot import FleetSnapshot
from tests.integration.definitions import definition_of, problems, schema_of
from tests.patches import patched
from tests.unit.manifests.builders import Object, container, node, pod, read, template, thing
from tests.unit.planner.builders import catalog_in, planned_fleet
from tests.unit.planner.test_alternatives import OFFERINGS, REQUESTED, TYPES

SUSPENDED_BY = "raypipe.io/suspended-by"
SEEN: Object = {"resourceVersion": "41", "creationTimestamp": "2026-01-05T08:00:00Z"}
"""What an API server adds to every object."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder: Path = tmp_path_factory.mktemp("catalog")
    return catalog_in(folder, TYPES, OFFERINGS)


def group(name: str, replicas: int, speed: str, **more: Any) -> Object:
    """A group of workers with a GPU of that name, with all that KubeRay asks for."""
    worker = container("2", "2Gi", **{"nvidia.com/gpu": 1}) | {"image": "rayproject/ray:2.60.0"}
    marks = {"raypipe.io/alternatives": "gpus", "raypipe.io/speed": speed}
    on = {"karpenter.k8s.aws/instance-gpu-name": name}
    return {
        "groupName": name,
        "replicas": replicas,
        "minReplicas": 0,
        "maxReplicas": 9,
        "numOfHosts": 1,
        "rayStartParams": {},
        "template": template(worker, annotations=marks, nodeSelector=on),
        **more,
    }


def spec(l4: Object, t4: Object, **more: Any) -> Object:
    head = container("1", "2Gi") | {"image": "rayproject/ray:2.60.0"}
    on = {"node.kubernetes.io/instance-type": "m5.large"}
    return {
        "rayVersion": "2.60.0",
        "headGroupSpec": {"rayStartParams": {}, "template": template(head, nodeSelector=on)},
        "workerGroupSpecs": [l4, t4],
        **more,
    }


def two(**more: Any) -> Object:
    """Two l4 are asked for, of which three t4 would do the work for less."""
    return spec(group("l4", 2, "1"), group("t4", 0, "0.7"), **more)


def cluster(name: str = "demo", of: Object | None = None, **more: Any) -> Object:
    return thing("RayCluster", name, of or two(), **{"uid": f"u-{name}"} | SEEN | more)


def job(**more: Any) -> Object:
    own = {"entrypoint": "python x.py", "shutdownAfterJobFinishes": True, "submissionMode": "HTTPMode"}
    cluster = {"rayClusterSpec": more.pop("of", None) or two()}
    return thing("RayJob", "demo", own | cluster | more.pop("spec", {}), **{"uid": "u-demo"} | SEEN | more)


V2: Object = {"enableInTreeAutoscaling": True, "autoscalerOptions": {"version": "v2"}}


def running(one: Object) -> list[Object]:
    """An l4 worker of a cluster, and the node that it runs on."""
    labels = {"node.kubernetes.io/instance-type": "g6.xlarge", "topology.kubernetes.io/zone": "us-east-1a"}
    there, room = node(labels=labels), {"cpu": "4", "memory": "16Gi", "pods": "50", "nvidia.com/gpu": "1"}
    there["status"] |= {"allocatable": room, "capacity": room}
    return [there, worker("w-1", one, node="node-1")]


def worker(name: str, one: Object, **more: Any) -> Object:
    made = copy.deepcopy(one["spec"]["workerGroupSpecs"][0]["template"])
    made["metadata"]["labels"] = {"ray.io/node-type": "worker", "ray.io/group": "l4"}
    return pod(name, made, owner=one, **more)


@dataclass(frozen=True)
class Case:
    """Objects of which the last is changed, by which actions, and how."""

    objects: list[Object]
    kinds: list[str]
    change: Callable[[Object], None]
    limits: dict[str, int] = field(default_factory=dict)


def groups_of(one: Object) -> list[Object]:
    way = {"RayCluster": one["spec"], "RayJob": one["spec"].get("rayClusterSpec")}
    found: list[Object] = way[one["kind"]]["workerGroupSpecs"]
    return found


def noted(one: Object, **note: Any) -> None:
    text = json.dumps(note, separators=(",", ":"))
    one["metadata"].setdefault("annotations", {})[REQUESTED] = text


def suspended(one: Object) -> None:
    one["spec"]["suspend"] = True
    one["metadata"]["annotations"] = {SUSPENDED_BY: "cluster/cluster/nodes"}


def resumed(one: Object) -> None:
    one["spec"]["suspend"] = False
    one["metadata"]["annotations"].pop(SUSPENDED_BY, None)


def scaled(one: Object) -> None:
    l4, t4 = groups_of(one)
    l4["replicas"], t4["replicas"] = 0, 3
    noted(one, wish={"l4": 2, "t4": 0}, written={"l4": 0, "t4": 3})


def scaled_and_resumed(one: Object) -> None:
    scaled(one)
    resumed(one)


def scaled_beside_one_that_runs(one: Object) -> None:
    l4, t4 = groups_of(one)
    l4["replicas"], t4["replicas"] = 1, 3
    l4["scaleStrategy"] = {"workersToDelete": ["w-2", "w-3"]}
    noted(one, wish={"l4": 3, "t4": 0}, written={"l4": 1, "t4": 3})


def struck_off(one: Object) -> None:
    groups_of(one)[0]["scaleStrategy"] = {"workersToDelete": []}


def capped(one: Object) -> None:
    groups_of(one)[0]["maxReplicas"] = 0
    noted(one, maxReplicas={"wish": {"l4": 9}, "written": {"l4": 0}})


def capped_and_hurried(one: Object) -> None:
    groups_of(one)[0] |= {"maxReplicas": 1, "idleTimeoutSeconds": 30}
    noted(
        one,
        maxReplicas={"wish": {"l4": 9}, "written": {"l4": 1}},
        idleTimeoutSeconds={"wish": {"l4": None}, "written": {"l4": 30}},
    )


def uncapped(one: Object) -> None:
    groups_of(one)[0]["maxReplicas"] = 9
    del one["metadata"]["annotations"][REQUESTED]


BOUNDED = {"annotations": {"mine": "x", REQUESTED: '{"maxReplicas":{"wish":{"l4":9},"written":{"l4":0}}}'}}
WRITTEN = {"annotations": {REQUESTED: '{"wish":{"l4":2,"t4":0},"written":{"l4":0,"t4":3}}'}}
THREE = cluster(of=spec(group("l4", 3, "1"), group("t4", 0, "0.7")))
HURRIED = cluster(of=spec(group("l4", 1, "1"), group("t4", 0, "0.7"), **V2))
SERVICE = thing("RayService", "s", {"rayClusterConfig": two()}, uid="u-s", **SEEN)
ONE_NODE = {"nodes": 1}

CASES = {
    "a RayJob that a limit keeps out": Case([job()], ["SuspendRayJob"], suspended, ONE_NODE),
    "a RayCluster that a limit keeps out": Case([cluster()], ["SuspendRayCluster"], suspended, ONE_NODE),
    "a RayJob that there is room for again": Case(
        [job(spec={"suspend": True}, annotations={SUSPENDED_BY: "x", "mine": "y"})],
        ["ScaleWorkerGroup", "ResumeRayJob"],
        scaled_and_resumed,
    ),
    "a RayCluster that its owner wants admitted": Case(
        [cluster(of=two(suspend=True), annotations={"raypipe.io/admit": "true"})],
        ["ScaleWorkerGroup", "ResumeRayCluster"],
        scaled_and_resumed,
    ),
    "a RayCluster divided anew": Case([cluster()], ["ScaleWorkerGroup"], scaled),
    "a RayCluster divided anew, with annotations": Case(
        [cluster(annotations={"mine": "x"})], ["ScaleWorkerGroup"], scaled
    ),
    "a RayJob that has not begun": Case([job()], ["ScaleWorkerGroup"], scaled),
    "the RayCluster of a RayService": Case(
        [SERVICE, thing("RayCluster", "s-1", two(), SERVICE, uid="u-1", **SEEN)], ["ScaleWorkerGroup"], scaled
    ),
    "the RayCluster of a RayJob": Case(
        [job(), thing("RayCluster", "demo-1", two(), job(), uid="u-1", **SEEN)], ["ScaleWorkerGroup"], scaled
    ),
    "workers that wait beside one that runs": Case(
        [*running(THREE), worker("w-2", THREE), worker("w-3", THREE), THREE],
        ["ScaleWorkerGroup"],
        scaled_beside_one_that_runs,
    ),
    "workers that are gone": Case(
        [
            cluster(
                of=spec(group("l4", 0, "1", scaleStrategy={"workersToDelete": ["w-9"]}), group("t4", 3, "0.7")),
                **WRITTEN,
            )
        ],
        ["ScaleWorkerGroup"],
        struck_off,
    ),
    "bounds for Ray's own autoscaler": Case(
        [cluster(of=two(enableInTreeAutoscaling=True))], ["BoundWorkerGroup"], capped
    ),
    "bounds, and a worker that shall go once it is idle": Case(
        [*running(HURRIED), HURRIED], ["BoundWorkerGroup"], capped_and_hurried
    ),
    "bounds of a RayJob": Case([job(of=two(enableInTreeAutoscaling=True))], ["BoundWorkerGroup"], capped),
    "bounds that are the owner's again": Case(
        [
            cluster(
                of=spec(
                    group("l4", 0, "1", maxReplicas=0),
                    group("t4", 3, "0.7", maxReplicas=3),
                    enableInTreeAutoscaling=True,
                ),
                **BOUNDED,
            )
        ],
        ["BoundWorkerGroup"],
        uncapped,
    ),
}


def ray_actions(catalog: Catalog, objects: list[Object], limits: dict[str, int]) -> list[Action]:
    """What a plan, valid by the second opinion, asks of Ray objects."""
    one = replace(read(*objects), zones=("us-east-1a",), capacity_types=("on-demand",), limits=limits)
    actions = planned_fleet(catalog, one).clusters[0].actions
    return [action for action in actions if action.object.kind.startswith("Ray")]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_a_patch_makes_is_expected_and_valid(case: Case, catalog: Catalog) -> None:
    before = case.objects[-1]
    schema = schema_of(definition_of(before["kind"]))
    assert problems(schema, before) == []
    actions = ray_actions(catalog, case.objects, case.limits)
    assert [action.kind.value for action in actions] == case.kinds
    assert {action.object.key for action in actions} == {f"{before['kind']}/default/{before['metadata']['name']}"}
    after = before
    for action in actions:
        after = patched(after, action.patch)
    expected = copy.deepcopy(before)
    case.change(expected)
    assert after == expected
    assert problems(schema, after) == []


def test_a_plan_that_was_carried_out_asks_nothing_more(catalog: Catalog) -> None:
    for name, case in CASES.items():
        after = case.objects[-1]
        for action in ray_actions(catalog, case.objects, case.limits):
            after = patched(after, action.patch)
        assert ray_actions(catalog, [*case.objects[:-1], after], case.limits) == [], name


def test_every_action_on_a_ray_object_is_among_the_cases() -> None:
    on_ray = {kind.value for kind in ActionKind if "Ray" in kind or "WorkerGroup" in kind}
    assert {kind for case in CASES.values() for kind in case.kinds} == on_ray


@pytest.mark.parametrize("served", [False, True], ids=["KubeRay 1.6", "a KubeRay that has priorities"])
def test_a_priority_is_written_where_the_definition_has_it(served: bool, catalog: Catalog) -> None:
    definition = copy.deepcopy(definition_of("RayCluster"))
    (version,) = (one for one in definition["spec"]["versions"] if one["name"] == "v1")
    spec_schema = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fields = spec_schema["properties"]["workerGroupSpecs"]["items"]["properties"]
    if served:
        fields["priority"] = {"type": "integer", "format": "int32", "default": 0}
    before = cluster(of=two(**V2))
    (action,) = ray_actions(catalog, [definition, before], {})
    after = patched(before, action.patch)
    assert [one.get("priority") for one in groups_of(after)] == ([None, 1] if served else [None, None])
    assert problems(schema_of(definition), after) == []


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_saved_snapshot_keeps_what_patches_rely_on(case: Case, catalog: Catalog) -> None:
    one = replace(read(*case.objects), zones=("us-east-1a",), capacity_types=("on-demand",), limits=case.limits)
    (loaded,) = FleetSnapshot.from_json(FleetSnapshot(clusters=(one,)).to_json()).clusters
    assert planned_fleet(catalog, loaded).actions == planned_fleet(catalog, one).actions
