"""What is written to worker groups: which workers go, which bounds Ray's autoscaler gets, and what is relied on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.fleet import plan_fleet
from raypipe.model.actions import Action, ActionKind
from raypipe.model.plan import ClusterPlan
from raypipe.model.snapshot import FleetSnapshot
from tests.patches import PatchRefusedError
from tests.unit.manifests.builders import Object, node, ray_spec, thing
from tests.unit.planner.builders import catalog_in
from tests.unit.planner.test_alternatives import (
    OFFERINGS,
    REQUESTED,
    T4S,
    TYPES,
    carried_out,
    group,
    member,
    on_gpu,
    plan_of,
    ray_cluster,
    replicas,
    snapshot,
    writes,
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path, TYPES, OFFERINGS)


def l4(number: int, **more: Any) -> Object:
    return group("l4", number, gpus=1, on=on_gpu("l4"), **more)


def t4(number: int, **more: Any) -> Object:
    return group("t4", number, "0.7", gpus=1, on=on_gpu("t4"), **more)


def l4_node(name: str = "node-1", **more: Any) -> Object:
    labels = {"node.kubernetes.io/instance-type": "g6.xlarge", "topology.kubernetes.io/zone": "us-east-1a"}
    there = node(name, labels=labels, **more)
    room = {"cpu": "4", "memory": "16Gi", "pods": "50", "nvidia.com/gpu": "1"}
    there["status"] |= {"allocatable": room, "capacity": room}
    return there


def only_write(plan: ClusterPlan) -> Action:
    (action,) = writes(plan)
    return action


def entries(document: Object) -> dict[str, Object]:
    """The groups of a RayCluster, without templates."""
    return {
        one["groupName"]: {key: value for key, value in one.items() if key not in ("groupName", "template")}
        for one in document["spec"]["workerGroupSpecs"]
    }


# versions


VERSION = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}


def test_a_write_relies_on_the_version_in_which_its_object_was_seen(catalog: Catalog) -> None:
    before = ray_cluster(*T4S, metadata={"uid": "u", "resourceVersion": "7"})
    action = only_write(plan_of(catalog, before))
    assert VERSION in action.patch
    assert action.precondition["resourceVersion"] == "7"
    changed = before | {"metadata": before["metadata"] | {"resourceVersion": "8"}}
    with pytest.raises(PatchRefusedError):
        carried_out(changed, action)
    assert entries(carried_out(before, action)) == {"l4": {"replicas": 0}, "t4": {"replicas": 3}}


def test_a_heartbeat_changes_what_is_relied_on_and_no_decision(catalog: Catalog) -> None:
    plans = []
    for version in ("7", "8"):
        one = snapshot(ray_cluster(*T4S, metadata={"uid": "u", "resourceVersion": version}))
        plans.append(plan_fleet(FleetSnapshot(clusters=(one,)), catalog))
    before, after = (plan.to_json() for plan in plans)
    assert '"value": "7"' in before
    replaced = before.replace('"value": "7"', '"value": "8"').replace('Version": "7"', 'Version": "8"')
    assert replaced == after


class Telling:
    """An executor that keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def map(self, function: Any, items: Any) -> Any:
        for item in items:
            self.given.append(item)
            yield function(item)


def test_a_cluster_that_has_not_changed_but_for_a_heartbeat_is_asked_about_in_the_same_words(catalog: Catalog) -> None:
    """Whoever keeps answers by their questions need not plan it again."""
    asked = []
    for version in ("7", "8"):
        executor = Telling()
        one = snapshot(ray_cluster(*T4S, metadata={"uid": "u", "resourceVersion": version}))
        plan_fleet(FleetSnapshot(clusters=(one,)), catalog, executor=executor)
        asked.append(executor.given)
    assert asked[0] == asked[1] != []


def test_a_note_that_somebody_else_has_written_meanwhile_is_not_overwritten(catalog: Catalog) -> None:
    before = ray_cluster(*T4S)
    action = only_write(plan_of(catalog, before))
    with pytest.raises(PatchRefusedError):
        carried_out(before | {"metadata": before["metadata"] | {"annotations": {"other": "x"}}}, action)


# workers to delete


def test_workers_that_are_gone_are_struck_off(catalog: Catalog) -> None:
    """KubeRay has deleted them, keeps their names, and would delete a new worker of that name."""
    note = '{"wish":{"l4":2,"t4":0},"written":{"l4":0,"t4":3}}'
    before = ray_cluster(
        l4(0, scaleStrategy={"workersToDelete": ["w-2", "w-3"]}), t4(3), metadata={"annotations": {REQUESTED: note}}
    )
    action = only_write(plan_of(catalog, before))
    assert action.reason.endswith("; l4: w-2, w-3 gone, so no more to be deleted")
    after = carried_out(before, action)
    assert entries(after)["l4"] == {"replicas": 0, "scaleStrategy": {"workersToDelete": []}}
    assert after["metadata"] == before["metadata"]
    assert writes(plan_of(catalog, after)) == []


@pytest.mark.parametrize("strategy", [{}, {"workersToDelete": []}, {"other": 1, "workersToDelete": ["w-9"]}])
def test_what_else_a_scale_strategy_says_is_left_alone(strategy: Object, catalog: Catalog) -> None:
    one = ray_cluster(l4(2, scaleStrategy=strategy), t4(0), metadata={"uid": "u"})
    pods = [member("w-1", "l4", one), member("w-2", "l4", one)]
    after = carried_out(one, only_write(plan_of(catalog, one, *pods)))
    assert entries(after)["l4"]["scaleStrategy"] == strategy | {"workersToDelete": ["w-1", "w-2"]}


def test_a_worker_that_is_about_to_go_stays_named(catalog: Catalog) -> None:
    one = ray_cluster(l4(0, scaleStrategy={"workersToDelete": ["w-1", "w-9"]}), t4(3), metadata={"uid": "u"})
    action = only_write(plan_of(catalog, one, l4_node(), member("w-1", "l4", one, node="node-1")))
    assert entries(carried_out(one, action))["l4"]["scaleStrategy"] == {"workersToDelete": ["w-1"]}


def test_a_worker_that_a_node_on_its_way_is_for_is_not_deleted(catalog: Catalog) -> None:
    """Two wait, and a node was bought for one of them: the other's work is done for less by t4."""
    one = ray_cluster(l4(2), group("t4", 0, gpus=1, on=on_gpu("t4")), metadata={"uid": "u"})
    meant = json.dumps({"RayCluster/default/demo/worker/l4": {"uids": ["u-a"]}})
    there = l4_node(annotations={"raypipe.io/pods": meant})
    plan = plan_of(catalog, one, there, member("a", "l4", one, uid="u-a"), member("b", "l4", one, uid="u-b"))
    assert replicas(plan) == {"l4": 1, "t4": 1}
    assert entries(carried_out(one, only_write(plan)))["l4"]["scaleStrategy"] == {"workersToDelete": ["b"]}


def test_of_as_many_workers_as_nodes_are_on_their_way_for_none_is_deleted(catalog: Catalog) -> None:
    one = ray_cluster(l4(2), group("t4", 0, gpus=1, on=on_gpu("t4")), metadata={"uid": "u"})
    meant = json.dumps({"RayCluster/default/demo/worker/l4": {"count": 1}})
    there = l4_node(annotations={"raypipe.io/pods": meant})
    plan = plan_of(catalog, one, there, member("a", "l4", one), member("b", "l4", one))
    assert replicas(plan) == {"l4": 1, "t4": 1}
    assert entries(carried_out(one, only_write(plan)))["l4"]["scaleStrategy"] == {"workersToDelete": ["b"]}


def test_workers_that_wait_beyond_their_replicas_are_nobodys_demand(catalog: Catalog) -> None:
    """KubeRay has not deleted them yet; nothing is bought for them, and nothing more is written."""
    note = '{"wish":{"l4":2,"t4":0},"written":{"l4":0,"t4":3}}'
    one = ray_cluster(l4(0), t4(3), metadata={"uid": "u", "annotations": {REQUESTED: note}})
    plan = plan_of(catalog, one, member("a", "l4", one), member("b", "l4", one))
    assert (replicas(plan), writes(plan)) == ({"l4": 0, "t4": 3}, [])
    assert sum(node.added.get("RayCluster/default/demo/worker/l4", 0) for node in plan.nodes) == 0


def test_a_replica_of_several_hosts_goes_whole_and_not_where_one_of_them_runs(catalog: Catalog) -> None:
    one = ray_cluster(l4(2, numOfHosts=2), group("t4", 0, "0.8", gpus=1, on=on_gpu("t4")), metadata={"uid": "u"})
    of = {"a-1": "r-2", "a-2": "r-1", "b-1": "r-2", "b-2": "r-1"}
    pods = [member(name, "l4", one, node="node-1" if name == "a-1" else None) for name in of]
    for pod in pods:
        pod["metadata"]["labels"]["ray.io/worker-group-replica-name"] = of[pod["metadata"]["name"]]
    plan = plan_of(catalog, one, l4_node(), *pods)
    assert replicas(plan) == {"l4": 1, "t4": 2}
    assert entries(carried_out(one, only_write(plan)))["l4"]["scaleStrategy"] == {"workersToDelete": ["a-2", "b-2"]}


# the RayCluster that another object has made


def test_the_cluster_that_serves_is_written_and_not_its_service(catalog: Catalog) -> None:
    status = {"activeServiceStatus": {"rayClusterName": "s-2"}}
    service = thing("RayService", "s", {"rayClusterConfig": ray_spec(*T4S)}, uid="u-s", status=status)
    made = [thing("RayCluster", f"s-{n}", ray_spec(*reversed(T4S)), service, uid=f"u-{n}") for n in (1, 2)]
    action = only_write(plan_of(catalog, service, *made))
    assert (action.kind, action.object.key) == (ActionKind.SCALE_WORKER_GROUP, "RayCluster/default/s-2")
    assert entries(carried_out(made[1], action)) == {"t4": {"replicas": 3}, "l4": {"replicas": 0}}


def test_a_group_that_the_cluster_of_a_service_does_not_have_is_no_alternative(catalog: Catalog) -> None:
    service = thing("RayService", "s", {"rayClusterConfig": ray_spec(*T4S)}, uid="u-s")
    plan = plan_of(catalog, service, thing("RayCluster", "s-1", ray_spec(T4S[0]), service, uid="u-1"))
    assert (plan.alternatives, writes(plan)) == ((), [])
    assert [note.message for note in plan.notes if note.kind == "unusual"] == [
        "RayService/default/s/worker/t4: RayCluster/default/s-1 does not have this group, so nothing is divided with it"
    ]


# Ray's own autoscaler


def autoscaled(*groups: Object, **metadata: Any) -> Object:
    return ray_cluster(*groups, metadata=metadata, enableInTreeAutoscaling=True)


def test_with_rays_autoscaler_only_bounds_are_written(catalog: Catalog) -> None:
    before = autoscaled(T4S[0], group("t4", 0, "0.7", gpus=1, on=on_gpu("t4"), maxReplicas=9))
    plan = plan_of(catalog, before)
    assert replicas(plan) == {"l4": 0, "t4": 3}
    (action,) = writes(plan)
    assert action.kind is ActionKind.BOUND_WORKER_GROUP
    note = '{"maxReplicas":{"wish":{"l4":null},"written":{"l4":0}}}'
    assert action.patch == (
        {"op": "test", "path": "/spec/workerGroupSpecs/0/groupName", "value": "l4"},
        {"op": "test", "path": "/spec/workerGroupSpecs/0/maxReplicas", "value": None},
        {"op": "test", "path": "/metadata/annotations", "value": None},
        {"op": "add", "path": "/spec/workerGroupSpecs/0/maxReplicas", "value": 0},
        {"op": "add", "path": "/metadata/annotations", "value": {REQUESTED: note}},
    )


def test_a_bound_is_taken_back_when_the_cheaper_group_is_full(catalog: Catalog) -> None:
    """The t4 may have three, and Ray wants more work done than they do: the l4 may grow again."""
    note = '{"maxReplicas":{"wish":{"l4":null},"written":{"l4":0}}}'
    t4 = group("t4", 3, "0.7", gpus=1, on=on_gpu("t4"), maxReplicas=3)
    l4 = group("l4", 0, gpus=1, on=on_gpu("l4"), maxReplicas=0)
    before = autoscaled(l4, t4, annotations={REQUESTED: note})
    (action,) = writes(plan_of(catalog, before))
    after = carried_out(before, action)
    assert "maxReplicas" not in after["spec"]["workerGroupSpecs"][0]
    assert writes(plan_of(catalog, after)) == []


def test_bounds_are_the_owners_again_where_his_autoscaler_is_switched_off(catalog: Catalog) -> None:
    note = '{"maxReplicas":{"wish":{"l4":5},"written":{"l4":0}}}'
    before = ray_cluster(l4(0, maxReplicas=0), t4(3), metadata={"annotations": {REQUESTED: note}})
    after = carried_out(before, only_write(plan_of(catalog, before)))
    assert entries(after)["l4"] == {"replicas": 0, "maxReplicas": 5}
    assert json.loads(after["metadata"]["annotations"][REQUESTED])["wish"] == {"l4": 0, "t4": 3}


def test_a_group_that_is_no_alternative_any_more_has_its_owners_replicas_again(catalog: Catalog) -> None:
    note = '{"wish":{"l4":2,"t4":0},"written":{"l4":0,"t4":3}}'
    one = ray_cluster(l4(0), t4(3), metadata={"annotations": {REQUESTED: note}})
    for own in one["spec"]["workerGroupSpecs"]:
        own["template"]["metadata"]["annotations"] = {}
    plan = plan_of(catalog, one)
    assert [told.set for told in plan.alternatives] == [
        "RayCluster/default/demo/worker/l4",
        "RayCluster/default/demo/worker/t4",
    ]
    after = carried_out(one, only_write(plan))
    assert entries(after) == {"l4": {"replicas": 2}, "t4": {"replicas": 0}}
    again = plan_of(catalog, after)
    assert (again.alternatives, writes(again), again.usd_per_hour) == ((), [], plan.usd_per_hour)


def test_a_group_that_is_no_alternative_any_more_has_its_owners_bounds_again(catalog: Catalog) -> None:
    note = '{"maxReplicas":{"wish":{"l4":null},"written":{"l4":0}}}'
    one = autoscaled(l4(0, maxReplicas=0), t4(3), annotations={REQUESTED: note})
    for own in one["spec"]["workerGroupSpecs"]:
        own["template"]["metadata"]["annotations"] = {}
    after = carried_out(one, only_write(plan_of(catalog, one)))
    assert (entries(after)["l4"], after["metadata"]["annotations"]) == ({"replicas": 0}, {})


def test_an_owner_who_has_spoken_is_not_given_back_what_he_said_before(catalog: Catalog) -> None:
    note = '{"wish":{"l4":2,"t4":0},"written":{"l4":0,"t4":3}}'
    one = ray_cluster(l4(1), t4(1), metadata={"annotations": {REQUESTED: note}})
    for own in one["spec"]["workerGroupSpecs"]:
        own["template"]["metadata"]["annotations"] = {}
    plan = plan_of(catalog, one)
    assert (plan.alternatives, writes(plan)) == ((), [])


V2 = {"autoscalerOptions": {"version": "v2"}, "rayVersion": "2.60.0"}


def second(*groups: Object, metadata: Object | None = None, **more: Any) -> Object:
    """A RayCluster that the second version of Ray's autoscaler scales."""
    return ray_cluster(*groups, metadata=metadata, enableInTreeAutoscaling=True, **V2 | more)


def running(one: Object) -> list[Object]:
    """The one l4 of a cluster, and the node that it is on."""
    return [l4_node(), member("w-1", "l4", one, node="node-1")]


@pytest.mark.parametrize(
    ("own", "options", "after"),
    [
        pytest.param({}, {}, 30, id="sooner than Ray's own 60 seconds"),
        pytest.param({"idleTimeoutSeconds": 600}, {}, 30, id="sooner than its owner says"),
        pytest.param({"idleTimeoutSeconds": 10}, {}, 10, id="not later than its owner says"),
        pytest.param({}, {"idleTimeoutSeconds": 20}, None, id="not later than its cluster says"),
    ],
)
def test_a_dear_worker_that_runs_goes_sooner_once_it_is_idle(
    own: Object, options: Object, after: int | None, catalog: Catalog
) -> None:
    one = second(l4(1, **own), t4(0), metadata={"uid": "u"}, autoscalerOptions={"version": "v2", **options})
    plan = plan_of(catalog, one, *running(one))
    assert replicas(plan) == {"l4": 1, "t4": 0}
    written = carried_out(one, only_write(plan))
    assert (entries(written)["l4"].get("idleTimeoutSeconds"), entries(written)["l4"]["maxReplicas"]) == (after, 1)
    assert writes(plan_of(catalog, written, *running(one))) == []


def test_the_first_version_of_rays_autoscaler_is_given_no_idle_timeout(catalog: Catalog) -> None:
    """KubeRay refuses an object that states one."""
    one = autoscaled(l4(1), t4(0), uid="u")
    assert "idleTimeoutSeconds" not in entries(carried_out(one, only_write(plan_of(catalog, one, *running(one)))))["l4"]


def test_an_owner_has_his_idle_timeout_again_where_the_dear_worker_is_the_only_one(catalog: Catalog) -> None:
    note = (
        '{"maxReplicas":{"wish":{"l4":null},"written":{"l4":1}},'
        '"idleTimeoutSeconds":{"wish":{"l4":600},"written":{"l4":30}}}'
    )
    one = second(
        l4(1, maxReplicas=1, idleTimeoutSeconds=30),
        t4(0, maxReplicas=0),
        metadata={"uid": "u", "annotations": {REQUESTED: note}},
    )
    after = carried_out(one, only_write(plan_of(catalog, one, *running(one))))
    assert entries(after)["l4"] == {"replicas": 1, "idleTimeoutSeconds": 600}
    assert after["metadata"]["annotations"] == {}


def served(kind: str = "RayCluster", *, served: bool = True, **fields: Object) -> Object:
    """KubeRay's definition of a kind, as far as it matters: the fields of a worker group."""
    groups = {"workerGroupSpecs": {"items": {"properties": {"replicas": {}, **fields}}}}
    spec = groups if kind == "RayCluster" else {"rayClusterSpec": {"properties": groups}}
    version = {
        "name": "v1",
        "served": served,
        "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": spec}}}},
    }
    definition = {"group": "ray.io", "names": {"kind": kind}, "versions": [version]}
    return thing("CustomResourceDefinition", f"{kind.lower()}s.ray.io", definition)


PRIORITY: dict[str, Object] = {"priority": {"type": "integer"}}


@pytest.mark.parametrize(
    ("definition", "cluster", "given"),
    [
        pytest.param([served(**PRIORITY)], {}, {"t4": 1}, id="served: the cheaper one first"),
        pytest.param([served()], {}, {}, id="a KubeRay that does not know it"),
        pytest.param([], {}, {}, id="a KubeRay that nobody knows of"),
        pytest.param([served("RayJob", **PRIORITY)], {}, {}, id="known of another kind"),
        pytest.param([served(served=False, **PRIORITY)], {}, {}, id="of a version that is not served"),
        pytest.param([served(**PRIORITY)], {"rayVersion": "2.55.1"}, {}, id="a Ray that does not know it"),
        pytest.param([served(**PRIORITY)], {"rayVersion": None}, {}, id="a Ray that does not say what it is"),
        pytest.param([served(**PRIORITY)], {"autoscalerOptions": {}}, {}, id="the autoscaler's first version"),
    ],
)
def test_the_cheaper_group_comes_first_where_priorities_are_served(
    definition: list[Object], cluster: Object, given: dict[str, int], catalog: Catalog
) -> None:
    one = second(l4(2), t4(0), **cluster)
    after = carried_out(one, only_write(plan_of(catalog, one, *definition)))
    assert {name: entry["priority"] for name, entry in entries(after).items() if "priority" in entry} == given
    assert writes(plan_of(catalog, after, *definition)) == []


def test_priorities_begin_at_the_least_that_the_owner_gives_and_his_are_kept(catalog: Catalog) -> None:
    one = second(l4(2, priority=5), t4(0, priority=3))
    after = carried_out(one, only_write(plan_of(catalog, one, served(**PRIORITY))))
    assert {name: entry["priority"] for name, entry in entries(after).items()} == {"l4": 3, "t4": 4}
    kept = json.loads(after["metadata"]["annotations"][REQUESTED])["priority"]
    assert kept == {"wish": {"l4": 5, "t4": 3}, "written": {"l4": 3, "t4": 4}}
    back = carried_out(after, only_write(plan_of(catalog, after)))  # the definition is no more among the input
    assert {name: entry["priority"] for name, entry in entries(back).items()} == {"l4": 5, "t4": 3}
