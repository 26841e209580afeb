"""Worker groups that are alternatives: which get the work, what is written for it, and what that costs.

Prices an hour, on demand: g4dn (t4) 0.5 with one GPU and 2.2 with four, g6 (l4) 0.8, m5 (amd64) 0.2, m6g (arm64) 0.16.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.model.actions import Action, ActionKind
from raypipe.model.plan import ClusterPlan
from raypipe.model.snapshot import ClusterSnapshot
from tests.patches import patched
from tests.unit.manifests.builders import Object, container, node, pod, ray_spec, read, template, thing
from tests.unit.planner.builders import catalog_in, planned_fleet

REQUESTED = "raypipe.io/requested-replicas"
TYPES = """provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib,\
allocatable_cpu_m,allocatable_memory_mib,allocatable_pods
aws,m5.large,m5,amd64,2,8192,,,0,,2000,8192,50
aws,m6g.large,m6g,arm64,2,8192,,,0,,2000,8192,50
aws,g4dn.xlarge,g4dn,amd64,4,16384,nvidia,t4,1,16384,4000,16384,50
aws,g4dn.12xlarge,g4dn,amd64,48,196608,nvidia,t4,4,16384,48000,196608,50
aws,g6.xlarge,g6,amd64,4,16384,nvidia,l4,1,24576,4000,16384,50
"""
OFFERINGS = """provider,region,instance_type,capacity_type,usd_per_hour
aws,us-east-1,m5.large,on-demand,0.2
aws,us-east-1,m6g.large,on-demand,0.16
aws,us-east-1,g4dn.xlarge,on-demand,0.5
aws,us-east-1,g4dn.12xlarge,on-demand,2.2
aws,us-east-1,g6.xlarge,on-demand,0.8
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path, TYPES, OFFERINGS)


def group(name: str, replicas: int, speed: str | None = None, *, gpus: int = 0, **more: Any) -> Object:
    """A group of the set `s`; `on` selects by a label, all other words are fields of the group."""
    marks = {"raypipe.io/alternatives": "s"} | ({} if speed is None else {"raypipe.io/speed": speed})
    selector = more.pop("on", {})
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    one = template(container("2", "2Gi", **limits), annotations=marks, nodeSelector=selector)
    return {"groupName": name, "replicas": replicas, "template": one, **more}


def on_gpu(name: str) -> Object:
    return {"karpenter.k8s.aws/instance-gpu-name": name}


HEAD = template(container("1", "2Gi"), nodeSelector={"node.kubernetes.io/instance-type": "m5.large"})


def ray_cluster(*groups: Object, metadata: Object | None = None, **more: Any) -> Object:
    return thing("RayCluster", "demo", ray_spec(*groups, head=HEAD, **more), **(metadata or {}))


def snapshot(*objects: Object, **more: Any) -> ClusterSnapshot:
    return replace(read(*objects), zones=("us-east-1a",), capacity_types=("on-demand",), **more)


def plan_of(catalog: Catalog, *objects: Object, **more: Any) -> ClusterPlan:
    """The plan, valid by the second opinion."""
    return planned_fleet(catalog, snapshot(*objects, **more)).clusters[0]


def replicas(plan: ClusterPlan) -> dict[str, int]:
    (one,) = plan.alternatives
    return {group.group: group.replicas for group in one.groups}


def writes(plan: ClusterPlan) -> list[Action]:
    return [one for one in plan.actions if one.kind in (ActionKind.SCALE_WORKER_GROUP, ActionKind.BOUND_WORKER_GROUP)]


def workers_cost(plan: ClusterPlan) -> float:
    """Dollars an hour without the head's m5.large."""
    return round(plan.usd_per_hour.after - 0.2, 9)


def carried_out(document: Object, action: Action) -> Object:
    """What becomes of an object when the action's patch is carried out."""
    result: Object = patched(document, action.patch)
    return result


TWO_BY_TWO = (group("two", 2, "2", gpus=2, on=on_gpu("t4")), group("four", 0, "4", gpus=4, on=on_gpu("t4")))
L4_OR_T4 = (group("l4", 2, gpus=1, on=on_gpu("l4")), group("t4", 0, "0.45", gpus=1, on=on_gpu("t4")))
ARMS = (group("amd", 3), group("arm", 0, "0.9", on={"kubernetes.io/arch": "arm64"}))


@pytest.mark.parametrize(
    ("groups", "chosen", "usd"),
    [
        pytest.param(
            TWO_BY_TWO, {"two": 2, "four": 0}, 2.2, id="4 GPUs as 2 x 2 or 4 x 1 need the same node: as it is"
        ),
        pytest.param(
            (group("one", 0, gpus=1, on=on_gpu("t4")), group("three", 1, "3", gpus=3, on=on_gpu("t4"))),
            {"one": 3, "three": 0},
            1.5,
            id="3 GPUs as three pods need no node of four",
        ),
        pytest.param(L4_OR_T4, {"l4": 2, "t4": 0}, 1.6, id="a t4 at 0.45 does less for its price than an l4"),
        pytest.param(
            (L4_OR_T4[0], group("t4", 0, "0.7", gpus=1, on=on_gpu("t4"))),
            {"l4": 0, "t4": 3},
            1.5,
            id="at 0.7 three of them do more for less",
        ),
        pytest.param(ARMS, {"amd": 3, "arm": 0}, 0.6, id="4 arm64 nodes do the work of 3 amd64 for more"),
        pytest.param(
            (group("amd", 9), group("arm", 0, "0.9", on={"kubernetes.io/arch": "arm64"})),
            {"amd": 0, "arm": 10},
            1.6,
            id="10 arm64 nodes do the work of 9 amd64 for less",
        ),
    ],
)
def test_work_goes_where_it_costs_least(
    catalog: Catalog, groups: tuple[Object, ...], chosen: dict[str, int], usd: float
) -> None:
    plan = plan_of(catalog, ray_cluster(*groups))
    assert (replicas(plan), workers_cost(plan), plan.status) == (chosen, usd, "optimal")
    assert bool(writes(plan)) == any(chosen[one["groupName"]] != one["replicas"] for one in groups)


T4S = (L4_OR_T4[0], group("t4", 0, "0.7", gpus=1, on=on_gpu("t4")))


def test_replicas_are_written_by_a_json_patch_that_keeps_the_wish(catalog: Catalog) -> None:
    plan = plan_of(catalog, ray_cluster(*T4S, metadata={"uid": "u-1"}))
    (action,) = writes(plan)
    note = '{"wish":{"l4":2,"t4":0},"written":{"l4":0,"t4":3}}'
    assert action.kind is ActionKind.SCALE_WORKER_GROUP
    assert action.patch == (
        {"op": "test", "path": "/metadata/uid", "value": "u-1"},
        {"op": "test", "path": "/spec/workerGroupSpecs/0/groupName", "value": "l4"},
        {"op": "test", "path": "/spec/workerGroupSpecs/1/groupName", "value": "t4"},
        {"op": "test", "path": "/spec/workerGroupSpecs/0/replicas", "value": 2},
        {"op": "test", "path": "/spec/workerGroupSpecs/1/replicas", "value": 0},
        {"op": "test", "path": "/metadata/annotations", "value": None},
        {"op": "add", "path": "/spec/workerGroupSpecs/0/replicas", "value": 0},
        {"op": "add", "path": "/spec/workerGroupSpecs/1/replicas", "value": 3},
        {"op": "add", "path": "/metadata/annotations", "value": {REQUESTED: note}},
    )
    assert action.set == {
        "metadata": {"annotations": {REQUESTED: note}},
        "spec": {
            "workerGroupSpecs": [
                {"groupName": "l4", "replicas": 0},
                {"groupName": "t4", "replicas": 3},
            ]
        },
    }
    assert action.precondition == {
        "uid": "u-1",
        "spec": {"workerGroupSpecs": [{"groupName": "l4", "replicas": 2}, {"groupName": "t4", "replicas": 0}]},
    }
    assert action.reason == "alternatives s: 2 units of work cost least as l4 0, t4 3 (now l4 2, t4 0)"


def test_a_plan_that_was_carried_out_asks_for_nothing_more(catalog: Catalog) -> None:
    before = ray_cluster(*T4S)
    plan = plan_of(catalog, before)
    after = carried_out(before, writes(plan)[0])
    again = plan_of(catalog, after)
    assert (replicas(again), writes(again)) == (replicas(plan), [])
    assert again.usd_per_hour == plan.usd_per_hour
    assert [group.requested for group in again.alternatives[0].groups] == [2, 0]


def test_a_wish_comes_back_when_prices_do(catalog: Catalog, tmp_path: Path) -> None:
    written = carried_out(ray_cluster(*T4S), writes(plan_of(catalog, ray_cluster(*T4S)))[0])
    (tmp_path / "dear").mkdir()
    dearer = OFFERINGS.replace("g4dn.xlarge,on-demand,0.5", "g4dn.xlarge,on-demand,0.9")
    dear = catalog_in(tmp_path / "dear", TYPES, dearer)
    plan = plan_of(dear, written)
    assert replicas(plan) == {"l4": 2, "t4": 0}
    back = carried_out(written, writes(plan)[0])
    assert json.loads(back["metadata"]["annotations"][REQUESTED]) == {
        "wish": {"l4": 2, "t4": 0},
        "written": {"l4": 2, "t4": 0},
    }


def test_why_a_group_was_chosen_and_the_other_is_dearer(catalog: Catalog) -> None:
    (one,) = plan_of(catalog, ray_cluster(*T4S)).alternatives
    assert (one.set, one.work) == ("RayCluster/default/demo/s", 2.0)
    assert [(g.group, g.usd_per_hour_per_unit, g.instance_type, g.reason) for g in one.groups] == [
        ("l4", 0.8, "g6.xlarge on-demand", "$0.8/h a unit of work on g6.xlarge on-demand, 12.0% more than t4"),
        (
            "t4",
            0.714285714,
            "g4dn.xlarge on-demand",
            "$0.7143/h a unit of work on g4dn.xlarge on-demand, the least of the set",
        ),
    ]


def member(name: str, of: str, owner: Object, **more: Any) -> Object:
    labels = {"ray.io/node-type": "worker", "ray.io/group": of}
    groups = {one["groupName"]: one for one in owner["spec"]["workerGroupSpecs"]}
    one = copy.deepcopy(groups[of]["template"])
    one["metadata"]["labels"] = labels
    return pod(name, one, owner=owner, **more)


def test_what_runs_stays_and_what_waits_is_divided(catalog: Catalog) -> None:
    one = ray_cluster(group("l4", 3, gpus=1, on=on_gpu("l4")), T4S[1], metadata={"uid": "u"})
    labels = {"node.kubernetes.io/instance-type": "g6.xlarge", "topology.kubernetes.io/zone": "us-east-1a"}
    room = {"cpu": "4", "memory": "16Gi", "pods": "50", "nvidia.com/gpu": "1"}
    there = node("node-1", labels=labels)
    there["status"] |= {"allocatable": room, "capacity": room}
    pods = [member("w-1", "l4", one, node="node-1"), member("w-3", "l4", one), member("w-2", "l4", one)]
    plan = plan_of(catalog, one, there, *pods)
    assert replicas(plan) == {"l4": 1, "t4": 3}
    (action,) = writes(plan)
    assert action.set["spec"]["workerGroupSpecs"][0] == {
        "groupName": "l4",
        "replicas": 1,
        "scaleStrategy": {"workersToDelete": ["w-2", "w-3"]},
    }
    (told, _) = plan.alternatives[0].groups
    assert told.reason.endswith("12.0% more than t4; 1 run already")


def test_bounds_hold(catalog: Catalog) -> None:
    groups = (group("l4", 3, gpus=1, on=on_gpu("l4"), minReplicas=1), T4S[1])
    plan = plan_of(catalog, ray_cluster(*groups))
    assert replicas(plan) == {"l4": 1, "t4": 3}
    assert plan.alternatives[0].groups[0].reason.endswith("; minReplicas is 1")
    groups = (T4S[0], group("t4", 0, "0.7", gpus=1, on=on_gpu("t4"), maxReplicas=1))
    assert replicas(plan_of(catalog, ray_cluster(*groups))) == {"l4": 2, "t4": 0}  # 1 + 2 for less work would not do


def test_hosts_of_a_replica_are_bought_together(catalog: Catalog) -> None:
    pair = group("pair", 0, "2", gpus=1, on=on_gpu("t4"), numOfHosts=2)
    plan = plan_of(catalog, ray_cluster(T4S[0], pair))
    assert (replicas(plan), workers_cost(plan)) == ({"l4": 0, "pair": 1}, 1.0)


def test_nothing_is_written_to_a_gang_that_a_limit_keeps_out(catalog: Catalog) -> None:
    plan = plan_of(catalog, ray_cluster(*T4S), limits={"nodes": 1})
    assert {(entry.pods, entry.reason) for entry in plan.unplaced} == {
        ("RayCluster/default/demo/head", "limit"),
        ("RayCluster/default/demo/worker/l4", "limit"),
    }
    assert writes(plan) == []


def test_a_limit_decides_before_the_price(catalog: Catalog) -> None:
    """Three t4 are cheaper than two l4 and one GPU too many."""
    plan = plan_of(catalog, ray_cluster(*T4S), limits={"nvidia.com/gpu": 2})
    assert (plan.unplaced, replicas(plan)) == ((), {"l4": 2, "t4": 0})


def test_a_group_that_fits_nowhere_gives_its_work_to_the_other(catalog: Catalog) -> None:
    groups = (group("h100", 1, "5", gpus=1, on=on_gpu("h100")), group("t4", 0, gpus=1, on=on_gpu("t4")))
    plan = plan_of(catalog, ray_cluster(*groups))
    assert (replicas(plan), plan.unplaced) == ({"h100": 0, "t4": 5}, ())
    assert plan.alternatives[0].groups[0].usd_per_hour_per_unit is None


def test_a_gang_that_another_member_keeps_out_is_left_as_it_stands(catalog: Catalog) -> None:
    hopeless = {"groupName": "big", "replicas": 1, "template": template(container("500"))}
    plan = plan_of(catalog, ray_cluster(*T4S, hopeless))
    assert (replicas(plan), writes(plan)) == ({"l4": 2, "t4": 0}, [])
    assert "RayCluster/default/demo/worker/l4" in {entry.pods for entry in plan.unplaced}


def test_a_ray_job_is_divided_before_it_starts(catalog: Catalog) -> None:
    job = thing("RayJob", "j", {"rayClusterSpec": ray_spec(*T4S), "suspend": True, "shutdownAfterJobFinishes": True})
    job["metadata"]["annotations"] = {"raypipe.io/admit": "true"}
    plan = plan_of(catalog, job)
    kinds = [one.kind for one in plan.actions if one.kind is not ActionKind.BUY_NODE]
    assert kinds == [ActionKind.SCALE_WORKER_GROUP, ActionKind.RESUME_RAY_JOB]
    after = carried_out(job, writes(plan)[0])
    assert [one["replicas"] for one in after["spec"]["rayClusterSpec"]["workerGroupSpecs"]] == [0, 3]


def test_groups_stay_as_they_stand_where_clusters_share_what_is_scarce(catalog: Catalog) -> None:
    """Alone each would take three t4 instead of two l4; six are more than the fleet may have."""
    clusters = [replace(snapshot(ray_cluster(*T4S)), name=name) for name in ("a", "b")]
    plan = planned_fleet(catalog, *clusters, limits={"nvidia.com/gpu": 4})
    assert [replicas(one) for one in plan.clusters] == [{"l4": 2, "t4": 0}] * 2
    assert plan.unplaced == ()
    assert plan.clusters[0].alternatives[0].groups[0].reason.startswith("left as it stands: ")
