"""Ray objects: pods and requests, gangs, suspension."""

from __future__ import annotations

import re
from typing import Any

import pytest

from raypipe.model.snapshot import ClusterSnapshot
from tests.unit.manifests.builders import (
    Object,
    container,
    deployment,
    excluded,
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

GIB = 2**30
HEAD, WORKER = "RayCluster/default/x/head", "RayCluster/default/x/worker/g0"


def cluster_of(*groups: Object, **more: Any) -> ClusterSnapshot:
    return read(thing("RayCluster", spec=ray_spec(*groups, **more)))


def requests(cluster: ClusterSnapshot, key: str) -> tuple[int, int]:
    (group,) = (one for one in cluster.demand if one.key == key)
    return group.spec.requests["cpu"], group.spec.requests["memory"]


@pytest.mark.parametrize(
    ("group", "count"),
    [
        pytest.param({"replicas": 2}, 2, id="replicas"),
        pytest.param({"minReplicas": 3}, 3, id="minReplicas where replicas is unset"),
        pytest.param({"replicas": 5, "minReplicas": 1, "maxReplicas": 3}, 3, id="at most maxReplicas"),
        pytest.param({"replicas": 0, "minReplicas": 2}, 2, id="at least minReplicas"),
        pytest.param({"replicas": 2, "numOfHosts": 4}, 8, id="hosts"),
        pytest.param({}, 0, id="nothing said"),
    ],
)
def test_workers_of_a_group(group: Object, count: int) -> None:
    assert wanted(cluster_of(group)) == {HEAD: 1} | ({WORKER: count} if count else {})


def test_a_suspended_group_is_left_out() -> None:
    cluster = cluster_of({"replicas": 4, "suspend": True}, {"replicas": 1})
    assert wanted(cluster) == {HEAD: 1, "RayCluster/default/x/worker/g1": 1}
    assert excluded(cluster) == {(WORKER, "suspended"): 4}
    assert WORKER not in cluster.gangs[0].minimum
    odd = cluster_of({"replicas": 4, "suspend": True}, enableInTreeAutoscaling=True)
    assert [kind for kind, *_ in notes(odd)] == ["unusual"]


def test_requests_of_head_and_workers() -> None:
    small = template(container("50m", "64Mi"))
    plain = cluster_of({"replicas": 1, "template": small})
    assert requests(plain, HEAD) == (1000, GIB)
    assert requests(plain, WORKER) == (200, 256 << 20)  # the operator's init container
    scaled = cluster_of(enableInTreeAutoscaling=True)
    assert requests(scaled, HEAD) == (1500, GIB + (512 << 20))
    stated = {"resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}
    assert requests(cluster_of(enableInTreeAutoscaling=True, autoscalerOptions=stated), HEAD) == (3000, 2 * GIB)


@pytest.mark.parametrize(
    ("mode", "more", "keys", "head"),
    [
        (None, {}, {"head", "worker/g0", "submitter"}, 1000),
        ("K8sJobMode", {}, {"head", "worker/g0", "submitter"}, 1000),
        ("HTTPMode", {}, {"head", "worker/g0"}, 1000),
        ("InteractiveMode", {}, {"head", "worker/g0"}, 1000),
        ("SidecarMode", {}, {"head", "worker/g0"}, 1500),
        ("SidecarMode", {"submitterPodTemplate": template(container("2"))}, {"head", "worker/g0"}, 3000),
        (None, {"clusterSelector": {"ray.io/cluster": "other"}}, {"submitter"}, 0),
    ],
)
def test_modes_of_a_ray_job(mode: str | None, more: Object, keys: set[str], head: int) -> None:
    spec = {"rayClusterSpec": ray_spec({"replicas": 1}), **({"submissionMode": mode} if mode else {}), **more}
    cluster = read(thing("RayJob", spec=spec))
    assert set(wanted(cluster)) == {f"RayJob/default/x/{key}" for key in keys}
    assert [one.spec.requests["cpu"] for one in cluster.demand if one.key.endswith("head")] == ([head] if head else [])
    assert set(cluster.gangs[0].minimum) == set(wanted(cluster))


def test_the_submitter_requests_what_is_stated_else_kuberays_default() -> None:
    spec = {"rayClusterSpec": ray_spec()}
    key = "RayJob/default/x/submitter"
    assert requests(read(thing("RayJob", spec=spec)), key) == (500, 200 << 20)
    stated = {"submitterPodTemplate": template(container("1", "2Gi"))}
    assert requests(read(thing("RayJob", spec=spec | stated)), key) == (1000, 2 * GIB)


@pytest.mark.parametrize("state", ["Complete", "Failed"])
def test_a_ray_job_that_has_ended_wants_nothing(state: str) -> None:
    job = thing("RayJob", spec={"rayClusterSpec": ray_spec({"replicas": 1})}, status={"jobDeploymentStatus": state})
    assert (wanted(read(job)), read(job).gangs) == ({}, ())


def test_a_ray_service_is_its_cluster() -> None:
    cluster = read(thing("RayService", spec={"rayClusterConfig": ray_spec({"replicas": 2})}))
    assert wanted(cluster) == {"RayService/default/x/head": 1, "RayService/default/x/worker/g0": 2}
    assert cluster.gangs[0].ray is not None
    assert (cluster.gangs[0].ray.suspendable, cluster.gangs[0].ray.why_not) == (False, "a RayService has no suspend")


def member(name: str, labels: Object, owner: Object, **more: Any) -> Object:
    return pod(name, template(labels={f"ray.io/{key}": one for key, one in labels.items()}), owner=owner, **more)


def test_a_cluster_made_by_a_ray_job_adds_no_demand_and_its_pods_are_the_jobs() -> None:
    job = thing("RayJob", "j", {"rayClusterSpec": ray_spec({"replicas": 2})}, uid="u-j")
    made = thing("RayCluster", "j-abc", ray_spec({"replicas": 2}), job, uid="u-c")
    submit = thing("Job", "j", {"template": template()}, job, uid="u-s")
    pods = [
        member("h", {"node-type": "head"}, made, node="node-1"),
        member("w", {"node-type": "worker", "group": "g0"}, made),
        pod("s", template(container("500m", "200Mi")), owner=submit),
    ]
    cluster = read(job, made, submit, node(), *pods)
    assert wanted(cluster) == {"RayJob/default/j/worker/g0": 2, "RayJob/default/j/submitter": 1}
    assert [one.key for one in cluster.bound] == ["RayJob/default/j/head"]
    assert cluster.gangs[0].copies == 0  # a member is bound: growth goes pod by pod


def test_pods_of_a_ray_job_are_known_by_their_labels_where_its_cluster_is_not_in_the_input() -> None:
    job = thing("RayJob", "j", {"rayClusterSpec": ray_spec({"replicas": 2})}, uid="u-j")
    labels = {"node-type": "worker", "group": "g0", "originated-from-crd": "RayJob", "originated-from-cr-name": "j"}
    cluster = read(job, member("w", labels, thing("RayCluster", "j-abc", uid="u-c")))
    assert wanted(cluster)["RayJob/default/j/worker/g0"] == 2


# gangs


def minimum(cluster: ClusterSnapshot) -> dict[str, int]:
    (gang,) = cluster.gangs
    return {key.removeprefix("RayCluster/default/x/"): count for key, count in gang.minimum.items()}


def test_the_gang_without_autoscaling_is_head_and_all_workers() -> None:
    assert minimum(cluster_of({"replicas": 3, "numOfHosts": 2}, {"minReplicas": 1})) == {
        "head": 1,
        "worker/g0": 6,
        "worker/g1": 1,
    }


def test_the_gang_with_autoscaling_is_head_and_least_workers() -> None:
    groups = [{"replicas": 3, "minReplicas": 1, "numOfHosts": 2}, {"replicas": 2}]
    cluster = cluster_of(*groups, enableInTreeAutoscaling=True)
    assert minimum(cluster) == {"head": 1, "worker/g0": 2}
    assert {group.gang for group in cluster.demand} == {"RayCluster/default/x"}
    assert cluster.gangs[0].copies == 1


def test_a_gangs_priority_is_the_highest_and_its_age_its_objects() -> None:
    spec = ray_spec({"replicas": 1, "template": template(priority=7)}, head=template(priority=3))
    (gang,) = read(thing("RayCluster", spec=spec, creationTimestamp="2026-01-05T08:00:00Z")).gangs
    assert (gang.priority, gang.created) == (7, "2026-01-05T08:00:00Z")


def test_waiting_pods_of_a_gang_count_as_its_members_whatever_their_shape() -> None:
    one = thing("RayCluster", spec=ray_spec({"replicas": 2}), uid="u")
    labels = {"node-type": "worker", "group": "g0"}
    old = member("w", labels, one)
    old["spec"] = template(container("3"))["spec"]
    cluster = read(one, old)
    (gang,) = cluster.gangs
    other = next(group.key for group in cluster.demand if "@" in group.key)
    assert dict(gang.minimum) == {HEAD: 1, WORKER: 1, other: 1}


# suspension

SUSPENDED = {"suspend": True}
BY_US = {"raypipe.io/suspended-by": "cluster/ml/cpu"}
ADMIT = {"raypipe.io/admit": "true"}


@pytest.mark.parametrize(
    ("spec", "annotations", "planned", "suspended"),
    [
        pytest.param({}, {}, True, False, id="not suspended"),
        pytest.param(SUSPENDED, {}, False, True, id="by a person"),
        pytest.param(SUSPENDED, {"raypipe.io/admit": "no"}, False, True, id="by a person, not admitted"),
        pytest.param(SUSPENDED, ADMIT, True, True, id="by a person, to be admitted"),
        pytest.param(SUSPENDED, BY_US, True, True, id="by raypipe"),
        pytest.param({}, BY_US, True, False, id="an annotation left over"),
    ],
)
def test_suspension(spec: Object, annotations: Object, planned: bool, suspended: bool) -> None:
    one = thing("RayCluster", spec=ray_spec({"replicas": 2}) | spec, annotations=annotations, uid="u")
    cluster = read(one)
    pods = {HEAD: 1, WORKER: 2}
    assert wanted(cluster) == (pods if planned else {})
    assert excluded(cluster) == ({} if planned else {(key, "suspended"): count for key, count in pods.items()})
    ray = cluster.gangs[0].ray if planned else cluster.ray_objects[0]
    assert ray is not None
    assert (ray.suspended, ray.suspended_by) == (suspended, annotations.get("raypipe.io/suspended-by"))
    assert (ray.kind, ray.name, ray.uid, ray.admit) == ("RayCluster", "x", "u", annotations == ADMIT)


JOB = {"rayClusterSpec": ray_spec({"replicas": 1}), "shutdownAfterJobFinishes": True}


@pytest.mark.parametrize(
    ("one", "why_not"),
    [
        (thing("RayCluster", spec=ray_spec()), ""),
        (thing("RayJob", spec=JOB), ""),
        (thing("RayJob", spec=JOB | {"shutdownAfterJobFinishes": False}), "only with shutdownAfterJobFinishes"),
        (thing("RayJob", spec=JOB | {"clusterSelector": {"a": "b"}}), "with a clusterSelector"),
        (thing("RayCluster", "x", ray_spec(), thing("RayService", "s")), "a RayCluster of a RayService"),
    ],
)
def test_what_may_be_suspended(one: Object, why_not: str) -> None:
    ray = read(one).gangs[0].ray
    assert ray is not None
    assert ray.suspendable is not bool(why_not)
    assert why_not in ray.why_not


def test_nothing_that_runs_is_suspended() -> None:
    one = thing("RayCluster", spec=ray_spec({"replicas": 2}), uid="u")
    ray = read(one, node(), member("h", {"node-type": "head"}, one, node="node-1")).gangs[0].ray
    assert ray is not None
    assert (ray.running, ray.suspendable, ray.why_not) == (True, False, "some of its pods run")


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ([{"groupName": ""}], "groupName: found '', expected a name of its own"),
        ([{"groupName": "a"}, {"groupName": "a"}], "workerGroupSpecs[1].groupName: found 'a' twice"),
        ([{"minReplicas": 3, "maxReplicas": 1}], "maxReplicas: found 1, expected at least minReplicas, 3"),
        ([{"replicas": -1}], "replicas: found -1, expected a whole number from 0"),
        ([{"numOfHosts": 0}], "numOfHosts: found 0, expected a whole number from 1"),
        ([{"template": None}], "template.spec.containers: found no container, expected at least one"),
    ],
)
def test_groups_that_are_refused(groups: list[Object], told: str) -> None:
    assert told in problems(thing("RayCluster", spec=ray_spec(*groups)))[0]


def test_a_mode_that_is_refused() -> None:
    told = problems(thing("RayJob", spec=JOB | {"submissionMode": "HttpMode"}))[0]
    assert "spec.submissionMode: found 'HttpMode', expected one of K8sJobMode, HTTPMode" in told
    assert "(did you mean 'HTTPMode'?)" in told


# other gangs

INDEX = "leaderworkerset.sigs.k8s.io/worker-index"


def test_a_leader_worker_set_has_a_gang_a_group() -> None:
    spec = {"replicas": 3, "leaderWorkerTemplate": {"size": 4, "workerTemplate": template()}}
    one = thing("LeaderWorkerSet", "m", spec, uid="u")
    (gang,) = read(one).gangs
    assert dict(gang.minimum) == {"LeaderWorkerSet/default/m/leader": 1, "LeaderWorkerSet/default/m/worker": 3}
    assert gang.copies == 3
    first = [pod(f"m-0-{n}", template(labels={INDEX: str(n)}), owner=one, node="node-1") for n in range(3)]
    (gang,) = read(one, node(), *first).gangs
    assert gang.copies == 2  # the group that runs lacks one worker: it grows, pod by pod


@pytest.mark.parametrize(
    ("changed", "minimum", "copies"),
    [
        pytest.param((), ("leader", "worker"), 2, id="as their template"),
        pytest.param((0, 1, 2, 3), ("leader@", "worker@"), 2, id="all changed alike by admission"),
        pytest.param((0, 2), ("leader@", "worker"), 2, id="leaders of an earlier revision"),
        pytest.param((0, 1), ("leader", "worker"), 1, id="one group of an earlier revision"),
    ],
)
def test_pods_of_a_leader_worker_set_start_together_whatever_their_shape(
    changed: tuple[int, ...], minimum: tuple[str, str], copies: int
) -> None:
    spec = {"replicas": 2, "leaderWorkerTemplate": {"size": 2, "workerTemplate": template()}}
    one = thing("LeaderWorkerSet", "m", spec, uid="u")
    shapes = [template(container("3" if n in changed else "1"), labels={INDEX: str(n % 2)}) for n in range(4)]
    (gang,) = read(one, *(pod(f"m-{n}", shape, owner=one) for n, shape in enumerate(shapes))).gangs
    told = {re.sub("@.*", "@", key.rpartition("/")[2]): count for key, count in gang.minimum.items()}
    assert (told, gang.copies) == (dict.fromkeys(minimum, 1), copies)


@pytest.mark.parametrize("api", ["scheduling.x-k8s.io/v1alpha1", "scheduling.run.ai/v2alpha2"])
@pytest.mark.parametrize(
    "naming", [{"labels": {"scheduling.x-k8s.io/pod-group": "g"}}, {"annotations": {"pod-group-name": "g"}}]
)
def test_a_pod_group_is_filled_in_order_of_keys(api: str, naming: Object) -> None:
    group = thing("PodGroup", "g", {"minMember": 4}) | {"apiVersion": api}
    of = template(**naming)
    job = thing("Job", "b", {"template": of, "parallelism": 3})
    pods = [pod("a", of), pod("c", of), pod("other")]
    cluster = read(group, job, *pods)
    (gang,) = cluster.gangs
    assert (gang.name, gang.copies) == ("PodGroup/default/g", 1)
    assert dict(gang.minimum) == {"Job/default/b": 3, "Pod/default/a": 1}
    assert [one.gang for one in cluster.demand] == [gang.name, gang.name, gang.name, None]
    assert read(group, job, node(), *pods, pod("d", of, node="node-1")).gangs[0].copies == 0


def test_pods_name_a_pod_group_that_their_template_does_not_name() -> None:
    group = thing("PodGroup", "g", {"minMember": 2}) | {"apiVersion": "scheduling.run.ai/v2alpha2"}
    owner = deployment(replicas=3, uid="u-d")
    annotated = template(annotations={"pod-group-name": "g"})
    pods = [pod(name, annotated, owner=owner) for name in "ab"]
    (gang,) = read(group, owner, *pods).gangs
    assert (dict(gang.minimum), gang.copies) == ({"Deployment/default/web": 2}, 1)
    (gang,) = read(group, owner, node(), *pods, pod("c", annotated, owner=owner, node="node-1")).gangs
    assert gang.copies == 0


def test_a_pod_group_that_is_not_there_is_told() -> None:
    of = template(labels={"scheduling.x-k8s.io/pod-group": "gone"})
    assert notes(read(pod("a", of))) == [("unknown-pod-group", "PodGroup/default/gone", 1)]
