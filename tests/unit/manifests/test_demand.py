"""Demand of a key = its live unbound pods + max(0, wanted - live pods); every pod under one key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings
from tests.unit.manifests.builders import (
    Object,
    container,
    deployment,
    excluded,
    node,
    notes,
    pod,
    problems,
    read,
    read_text,
    reference,
    template,
    thing,
    wanted,
)

OF = {"template": template()}
NOW = "2026-01-05T09:00:00Z"


def bound(cluster: ClusterSnapshot) -> dict[tuple[str, str], tuple[int, bool]]:
    return {(one.node, one.key): (one.count, one.counted) for one in cluster.bound}


@pytest.mark.parametrize(
    ("kind", "spec", "status", "count"),
    [
        ("Deployment", {"replicas": 3}, {}, 3),
        ("Deployment", {}, {}, 1),
        ("Deployment", {"replicas": 0}, {}, 0),
        ("ReplicaSet", {"replicas": 2}, {}, 2),
        ("StatefulSet", {"replicas": None}, {}, 1),
        ("Job", {}, {}, 1),
        ("Job", {"parallelism": 3}, {}, 3),
        ("Job", {"completions": 5}, {}, 1),
        ("Job", {"parallelism": 3, "completions": 5}, {"succeeded": 1}, 3),
        ("Job", {"parallelism": 3, "completions": 5}, {"succeeded": 4}, 1),
        ("Job", {"parallelism": 3, "completions": 5}, {"succeeded": 9}, 0),
        ("Job", {"parallelism": 3}, {"conditions": [{"type": "Complete", "status": "True"}]}, 0),
        ("Job", {"parallelism": 3}, {"conditions": [{"type": "Failed", "status": "True"}]}, 0),
        ("Job", {"parallelism": 3}, {"conditions": [{"type": "Failed", "status": "False"}]}, 3),
    ],
)
def test_what_workloads_want(kind: str, spec: Object, status: Object, count: int) -> None:
    one = thing(kind, spec=OF | spec, status=status)
    assert wanted(read(one)) == ({f"{kind}/default/x": count} if count else {})
    assert wanted(read(one | {"metadata": {"name": "x", "deletionTimestamp": NOW}})) == {}


def test_a_leader_worker_set_wants_its_groups() -> None:
    big = template(container("4"))
    both = {"size": 3, "workerTemplate": template(), "leaderTemplate": big}
    cluster = read(thing("LeaderWorkerSet", spec={"replicas": 2, "leaderWorkerTemplate": both}))
    assert wanted(cluster) == {"LeaderWorkerSet/default/x/leader": 2, "LeaderWorkerSet/default/x/worker": 4}
    assert [group.spec.requests["cpu"] for group in cluster.demand] == [4000, 1000]
    one = read(thing("LeaderWorkerSet", spec={"leaderWorkerTemplate": {"workerTemplate": template()}}))
    assert wanted(one) == {"LeaderWorkerSet/default/x/leader": 1}


def test_a_suspended_job_is_left_out_with_the_count_that_would_be_wanted() -> None:
    cluster = read(thing("Job", spec=OF | {"parallelism": 4, "suspend": True}))
    assert (wanted(cluster), excluded(cluster)) == ({}, {("Job/default/x", "suspended"): 4})


def test_a_cron_job_is_its_active_jobs() -> None:
    cron = thing("CronJob", "c", {"jobTemplate": {"spec": OF | {"parallelism": 2}}}, uid="u-c")
    ended = {"conditions": [{"type": "Complete", "status": "True"}]}
    old = thing("Job", "c-1", OF, cron, status=ended)
    assert excluded(read(cron, old)) == {("CronJob/default/c", "cron"): 2}
    cluster = read(cron, old, thing("Job", "c-2", OF | {"parallelism": 2}, cron))
    assert (wanted(cluster), excluded(cluster)) == ({"Job/default/c-2": 2}, {})
    going = thing("Job", "c-3", OF, cron, deletionTimestamp=NOW)
    assert excluded(read(cron, going)) == {("CronJob/default/c", "cron"): 2}
    assert excluded(read(cron | {"metadata": cron["metadata"] | {"deletionTimestamp": NOW}})) == {}
    told = problems(thing("CronJob", "c", {"jobTemplate": {"spec": {"template": template(container("-1"))}}}))
    assert "spec.jobTemplate.spec.template.spec.containers[0].resources.requests.cpu" in told[0]


DEPLOYMENT = deployment(replicas=6, uid="u-d", creationTimestamp="2026-01-05T08:00:00Z")
REPLICA_SET = thing("ReplicaSet", "web-5d9", OF | {"replicas": 6}, DEPLOYMENT, uid="u-rs")
WEB = "Deployment/default/web"


def test_live_pods_are_counted_once() -> None:
    pods = [
        pod("a", node="node-1", owner=REPLICA_SET),
        pod("b", node="node-1", owner=REPLICA_SET),
        pod("c", owner=REPLICA_SET),
        pod("d", node="node-1", owner=REPLICA_SET, deletionTimestamp=NOW),
        pod("e", owner=REPLICA_SET, deletionTimestamp=NOW),
        pod("f", node="node-1", owner=REPLICA_SET, phase="Succeeded"),
        pod("g", node="node-1", owner=REPLICA_SET, phase="Failed"),
    ]
    cluster = read(DEPLOYMENT, REPLICA_SET, node(), *pods)
    (group,) = cluster.demand
    assert (group.key, group.count, group.owner, group.created) == (WEB, 1 + 3, WEB, "2026-01-05T08:00:00Z")
    assert [(one.key, one.count, one.counted) for one in cluster.bound] == [(WEB, 1, False), (WEB, 2, True)]
    assert all(one.spec is group.spec for one in cluster.bound)


def test_bound_pods_that_are_going_are_terminating() -> None:
    agent = thing("DaemonSet", "agent", OF, uid="u-ds")
    pods = [
        pod("stays", node="node-1", owner=REPLICA_SET),
        pod("goes", node="node-1", owner=REPLICA_SET, deletionTimestamp=NOW),
        pod("waits", owner=REPLICA_SET, deletionTimestamp=NOW),
        pod("agent-1", node="node-1", owner=agent),
        pod("agent-2", node="node-1", owner=agent, deletionTimestamp=NOW),
    ]
    cluster = read(DEPLOYMENT, REPLICA_SET, agent, node(), *pods)
    assert [(one.key, one.counted, one.terminating, one.count) for one in cluster.bound] == [
        ("DaemonSet/default/agent", False, False, 1),
        ("DaemonSet/default/agent", False, True, 1),
        (WEB, False, True, 1),
        (WEB, True, False, 1),
    ]


def test_more_pods_than_wanted_are_wanted_while_they_wait() -> None:
    few = deployment(replicas=1, uid="u-d")
    assert wanted(read(few, *(pod(name, owner=few) for name in "abc"))) == {WEB: 3}


def test_an_owner_that_is_going_wants_nothing_and_its_pods_stay() -> None:
    going = deployment(replicas=6, uid="u-d", deletionTimestamp=NOW)
    cluster = read(going, node(), pod("a", owner=going), pod("b", owner=going, node="node-1"))
    assert wanted(cluster) == {WEB: 1}
    assert bound(cluster) == {("node-1", WEB): (1, True)}


@pytest.mark.parametrize(
    ("objects", "labels", "key"),
    [
        pytest.param([DEPLOYMENT, REPLICA_SET], {}, WEB, id="through the ReplicaSet"),
        pytest.param([DEPLOYMENT], {"pod-template-hash": "5d9"}, WEB, id="the ReplicaSet is not in the input"),
        pytest.param([], {}, "ReplicaSet/default/web-5d9", id="no owner is in the input"),
    ],
)
def test_a_pod_counts_under_its_topmost_owner(objects: list[Object], labels: Object, key: str) -> None:
    cluster = read(*objects, pod("web-5d9-a", template(labels=labels), owner=REPLICA_SET))
    assert wanted(cluster) == {key: 6 if objects else 1}


def test_owners_are_found_by_uid_before_name() -> None:
    first = deployment("a", 0, uid="u-1")
    second = thing("StatefulSet", "b", OF | {"replicas": 0}, uid="u-2")
    lost = pod("p", owner={**first, "metadata": {"name": "elsewhere", "uid": "u-2"}})
    named = pod("q", owner={**first, "metadata": {"name": "a"}})
    assert wanted(read(first, second, lost, named)) == {"StatefulSet/default/b": 1, "Deployment/default/a": 1}


def test_owners_of_other_groups_are_no_owners_of_ours() -> None:
    volcano = {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {"name": "v", "uid": "u"}}
    assert wanted(read(pod("a", owner=volcano))) == {"Pod/default/a": 1}


def test_owners_in_a_circle_are_gone_round_once() -> None:
    first, second = deployment("a", uid="u-a"), deployment("b", uid="u-b")
    first["metadata"]["ownerReferences"] = [reference(second)]
    second["metadata"]["ownerReferences"] = [reference(first)]
    assert sum(wanted(read(first, second, pod("p", owner=first))).values()) == 1


def test_leader_and_worker_pods_are_told_apart() -> None:
    workers = thing(
        "LeaderWorkerSet", "m", {"replicas": 1, "leaderWorkerTemplate": {"size": 3, "workerTemplate": OF["template"]}}
    )
    outer = thing("StatefulSet", "m", OF, workers)
    leader = pod("m-0", template(labels={"leaderworkerset.sigs.k8s.io/worker-index": "0"}), owner=outer, node="node-1")
    inner = thing("StatefulSet", "m-0", OF, leader)
    worker = pod("m-0-1", template(labels={"leaderworkerset.sigs.k8s.io/worker-index": "1"}), owner=inner)
    cluster = read(workers, outer, inner, node(), leader, worker)
    assert wanted(cluster) == {"LeaderWorkerSet/default/m/worker": 2}
    assert bound(cluster) == {("node-1", "LeaderWorkerSet/default/m/leader"): (1, True)}


def test_pods_of_a_leader_worker_set_are_known_by_their_label_where_its_stateful_sets_are_not_in_the_input() -> None:
    workers = thing("LeaderWorkerSet", "m", {"leaderWorkerTemplate": {"size": 2, "workerTemplate": OF["template"]}})
    prefix = "leaderworkerset.sigs.k8s.io"
    pods = [
        pod(name, template(labels={f"{prefix}/name": "m", f"{prefix}/worker-index": index}), owner=owner)
        for name, index, owner in (("m-0", "0", thing("StatefulSet", "m")), ("m-0-1", "1", thing("StatefulSet", "m-0")))
    ]
    assert wanted(read(workers, *pods)) == {
        "LeaderWorkerSet/default/m/leader": 1,
        "LeaderWorkerSet/default/m/worker": 1,
    }


# shapes

ADDED = [
    {"key": f"node.kubernetes.io/{name}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
    for name in ("not-ready", "unreachable")
]


@pytest.mark.parametrize(
    "admitted",
    [
        pytest.param({"tolerations": ADDED}, id="tolerations"),
        pytest.param({"volumes": [{"name": "kube-api-access-x", "projected": {}}]}, id="the token's volume"),
        pytest.param({"priority": 100}, id="the class's priority"),
        pytest.param({"schedulerName": "default-scheduler", "dnsPolicy": "ClusterFirst"}, id="defaults"),
        pytest.param({"containers": [{"resources": {"limits": {"cpu": 1}, "requests": {"cpu": 1}}}]}, id="requests"),
    ],
)
def test_what_admission_adds_makes_no_other_shape(admitted: Object) -> None:
    spec = {"priorityClassName": "high", "containers": [{"resources": {"limits": {"cpu": 1}}}]}
    high = thing("PriorityClass", "high") | {"value": 100}
    owner = deployment(replicas=2, of={"metadata": {"labels": {"a": "b"}}, "spec": spec}, uid="u-d")
    live = pod(
        "p", {"metadata": {"labels": {"a": "b", "pod-template-hash": "1"}}, "spec": spec | admitted}, owner=owner
    )
    cluster = read(owner, high, live)
    assert wanted(cluster) == {WEB: 2}


def test_pods_of_another_shape_carry_its_digest() -> None:
    owner = deployment(replicas=3, uid="u-d")
    old = [pod(name, template(container("2")), owner=owner) for name in "ab"]
    cluster = read(owner, node(), *old, pod("c", template(container("2")), owner=owner, node="node-1"))
    (group,) = cluster.demand
    assert group.key.startswith(f"{WEB}@")
    assert len(group.key) == len(WEB) + 9
    assert (group.count, group.owner, group.spec.requests["cpu"]) == (2, WEB, 2000)
    assert [one.key for one in cluster.bound] == [group.key]


def test_labels_make_no_other_shape() -> None:
    owner = deployment(replicas=2, uid="u-d")
    assert wanted(read(owner, pod("a", template(labels={"x": "y"}), owner=owner))) == {WEB: 2}


def test_claims_of_a_stateful_set_are_part_of_its_shape() -> None:
    owner = thing(
        "StatefulSet", "db", OF | {"replicas": 2, "volumeClaimTemplates": [{"metadata": {"name": "v"}}]}, uid="u"
    )
    claim = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "v-db-0"}}]}
    cluster = read(owner, pod("db-0", template(**claim), owner=owner))
    assert wanted(cluster) == {"StatefulSet/default/db": 2}
    assert cluster.demand[0].spec.unchecked == ("volumes",)


# what is left out


def test_gated_pods_are_live_and_left_out() -> None:
    owner = deployment(replicas=3, uid="u-d")
    gated = template(schedulingGates=[{"name": "wait"}])
    cluster = read(owner, pod("a", gated, owner=owner), pod("b", gated))
    assert wanted(cluster) == {WEB: 2}
    assert excluded(cluster) == {(WEB, "gated"): 1, ("Pod/default/b", "gated"): 1}
    assert excluded(read(deployment(replicas=3, of=gated))) == {(WEB, "gated"): 3}


def test_nominated_pods_are_ordinary_demand() -> None:
    nominated = pod("a") | {"status": {"phase": "Pending", "nominatedNodeName": "node-1"}}
    assert wanted(read(node(), nominated)) == {"Pod/default/a": 1}


@pytest.mark.parametrize(("priority", "below", "left_out"), [(-10, -10, False), (-11, -10, True), (-11, -20, False)])
def test_expendable_pods_are_left_out_while_they_wait(priority: int, below: int, left_out: bool) -> None:
    of = template(priority=priority)
    settings = Settings(expendable_below_priority=below)
    cluster = read(deployment(replicas=2, of=of), node(), pod("a", of), pod("b", of, node="node-1"), settings=settings)
    keys = {WEB: 2, "Pod/default/a": 1}
    assert wanted(cluster) == ({} if left_out else keys)
    assert excluded(cluster) == ({(key, "expendable"): count for key, count in keys.items()} if left_out else {})
    assert bound(cluster) == {("node-1", "Pod/default/b"): (1, True)}


# DaemonSets, static pods, nodes on their way

AGENT = thing("DaemonSet", "agent", OF, uid="u-ds")


def test_daemonsets_are_reserve_with_the_tolerations_of_their_controller() -> None:
    cluster = read(AGENT)
    (daemonset,) = cluster.daemonsets
    assert (daemonset.key, cluster.demand) == ("DaemonSet/default/agent", ())
    added = {one.key.rpartition("/")[2] for one in daemonset.spec.tolerations}
    usual = {"not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"}
    assert added == usual
    (host,) = read(thing("DaemonSet", "agent", {"template": template(hostNetwork=True)})).daemonsets
    assert {one.key.rpartition("/")[2] for one in host.spec.tolerations} == usual | {"network-unavailable"}
    assert read(thing("DaemonSet", "agent", OF, deletionTimestamp=NOW)).daemonsets == ()


def test_pods_that_belong_to_a_node_are_its_reserve() -> None:
    static = pod("proxy-node-1", node="node-1", owner=node())
    cluster = read(AGENT, node(), pod("agent-x", owner=AGENT, node="node-1"), pod("agent-y", owner=AGENT), static)
    assert wanted(cluster) == {}
    assert [(one.key, one.counted, one.daemonset) for one in cluster.bound] == [
        ("DaemonSet/default/agent", False, "DaemonSet/default/agent"),
        ("Pod/default/proxy-node-1", False, None),
    ]


def test_pods_on_their_way_have_their_place() -> None:
    owner = deployment(replicas=5, uid="u-d")
    coming = node("node-2", annotations={"raypipe.io/pods": json.dumps({WEB: 3, "Deployment/default/gone": 1})})
    cluster = read(owner, coming, pod("a", owner=owner), pod("b", owner=owner, node="node-2"))
    assert bound(cluster) == {("node-2", WEB): (3, True)}
    assert wanted(cluster) == {WEB: 2}
    told = problems(node(annotations={"raypipe.io/pods": "[1]"}))
    assert "metadata.annotations.raypipe.io/pods: found '[1]', expected a JSON mapping" in told[0]


def test_pods_of_another_shape_on_their_way_have_their_place_too() -> None:
    owner = deployment(replicas=3, uid="u-d")
    old = [pod(name, template(container("2")), owner=owner) for name in "abc"]
    (shape,) = wanted(read(owner, *old))
    coming = node("node-2", annotations={"raypipe.io/pods": json.dumps({shape: 2, f"{WEB}@00000000": 1})})
    cluster = read(owner, coming, *old)
    assert bound(cluster) == {("node-2", shape): (2, True)}
    assert wanted(cluster) == {shape: 1}


@pytest.mark.parametrize(
    ("meant", "there", "left"),
    [
        pytest.param({"uids": ["u-a"]}, 2, 3, id="a pod that waits"),
        pytest.param({"uids": ["u-a", "u-b"]}, 2, 3, id="a pod that waits and one that is bound there already"),
        pytest.param(
            {"uids": ["u-a"], "count": 2}, 3, 2, id="a pod that waits and two that were to come, one of which is there"
        ),
        pytest.param({"uids": ["u-b"], "count": 1}, 2, 3, id="one to come beside the one that is bound there"),
        pytest.param({"count": 1}, 1, 4, id="the one that was to come is bound there"),
        pytest.param({"uids": ["u-gone", "u-c"]}, 1, 4, id="one that is gone and one that is bound elsewhere"),
        pytest.param({"uids": ["u-x"]}, 1, 4, id="one that is of another key by now"),
    ],
)
def test_pods_named_by_uid_have_their_place(meant: dict[str, Any], there: int, left: int) -> None:
    """Six are wanted: a waits, b is on the node, c on another, three are still to be created."""
    owner = deployment(replicas=6, uid="u-d")
    pods = [
        pod("a", owner=owner, uid="u-a"),
        pod("b", owner=owner, uid="u-b", node="node-2"),
        pod("c", owner=owner, uid="u-c", node="node-1"),
        pod("x", uid="u-x"),
    ]
    cluster = read(owner, node(), node("node-2", annotations={"raypipe.io/pods": json.dumps({WEB: meant})}), *pods)
    assert bound(cluster)["node-2", WEB] == (there, True)
    assert wanted(cluster) == {WEB: left, "Pod/default/x": 1}


def test_a_count_takes_no_pod_that_another_node_names() -> None:
    """Two wait, of which node-2 is meant for one by its uid; node-1, which comes first, may take the other."""
    owner = deployment(replicas=2, uid="u-d")
    coming = [
        node("node-1", annotations={"raypipe.io/pods": json.dumps({WEB: 2})}),
        node("node-2", annotations={"raypipe.io/pods": json.dumps({WEB: {"uids": ["u-a"]}})}),
    ]
    cluster = read(owner, *coming, *(pod(name, owner=owner, uid=f"u-{name}") for name in "ab"))
    assert bound(cluster) == {("node-1", WEB): (1, True), ("node-2", WEB): (1, True)}
    assert wanted(cluster) == {}


@pytest.mark.parametrize(
    ("meant", "starting", "there"),
    [
        pytest.param({"uids": ["u-a"]}, False, 0, id="the one that waits is wanted again"),
        pytest.param({"count": 1}, False, 0, id="whichever it is"),
        pytest.param({"uids": ["u-b"]}, False, 1, id="one for which there is room"),
        pytest.param({"uids": ["u-a"]}, True, 1, id="until the node is open its room is kept"),
    ],
)
def test_who_was_meant_for_a_node_that_others_have_filled_is_wanted_again(
    meant: dict[str, Any], starting: bool, there: int
) -> None:
    """The node has 7.9 cpu, of which the scheduler has given 6 to another pod: a asks for 4, b for 1."""
    large, small = deployment(replicas=1, uid="u-d", of=template(container("4"))), deployment("small", uid="u-s")
    owner = small if meant.get("uids") == ["u-b"] else large
    spec = {"taints": [{"key": "raypipe.io/starting", "effect": "NoSchedule"}]} if starting else {}
    key, note = f"Deployment/default/{owner['metadata']['name']}", {"raypipe.io/cluster": "prod"}
    bought = node("node-2", labels=note, annotations={"raypipe.io/pods": json.dumps({key: meant})}, spec=spec)
    pods = [
        pod("a", template(container("4")), owner=large, uid="u-a"),
        pod("b", owner=small, uid="u-b"),
        pod("other", template(container("6")), node="node-2"),
    ]
    cluster = read(large, small, bought, *pods)
    assert bound(cluster).get(("node-2", key), (0, True)) == (there, True)
    assert wanted(cluster).get(key, 0) == 1 - there


@pytest.mark.parametrize("meant", [{"uids": "u-a"}, {"uids": ["u-a"], "more": 1}, {"count": -1}, 1.5, None])
def test_what_is_no_meaning_of_pods_is_told(meant: object) -> None:
    (told,) = problems(node(annotations={"raypipe.io/pods": json.dumps({WEB: meant})}))
    assert "metadata.annotations.raypipe.io/pods: found" in told
    assert "expected a JSON mapping of key to count, or to uids and count" in told


def test_fewer_than_no_pods_are_not_on_their_way() -> None:
    told = problems(node(annotations={"raypipe.io/pods": json.dumps({WEB: -2})}))
    assert "expected a JSON mapping of key to count" in told[0]


def test_pods_bound_to_nodes_that_are_not_there_are_told() -> None:
    cluster = read(pod("a", node="node-9"), pod("b", node="node-9"))
    assert cluster.bound == ()
    assert notes(cluster) == [("unknown-node", "node-9", 2)]


# age


@pytest.mark.parametrize(
    ("stamp", "created"),
    [
        ("2026-01-05T08:00:00Z", "2026-01-05T08:00:00Z"),
        ("2026-01-05T10:00:00+02:00", "2026-01-05T08:00:00Z"),
        ("2026-01-05 08:00:00", "2026-01-05T08:00:00Z"),
        ("2026-01-05T08:00:00.750000Z", "2026-01-05T08:00:00Z"),  # as text it would come before its own second
        (None, None),
    ],
)
def test_ages_are_of_one_spelling(stamp: str | None, created: str | None) -> None:
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a, creationTimestamp: {json.dumps(stamp)}}}\nspec: "
    assert read_text(text + json.dumps(template()["spec"])).demand[0].created == created


def test_an_age_that_is_none_is_told() -> None:
    assert (
        "metadata.creationTimestamp: found 'noon', expected a time" in problems(pod("a", creationTimestamp="noon"))[0]
    )


def test_the_age_of_an_owner_that_is_not_there_is_its_oldest_pods() -> None:
    pods = [
        pod(name, owner=REPLICA_SET, creationTimestamp=f"2026-01-05T0{hour}:00:00Z")
        for name, hour in zip("abc", "978", strict=True)
    ]
    assert read(*pods).demand[0].created == "2026-01-05T07:00:00Z"


# numbers


@pytest.mark.parametrize(
    ("replicas", "told"),
    [
        (-1, "spec.replicas: found -1, expected a whole number from 0 to 10000000"),
        ("3", "spec.replicas: found '3', expected a whole number"),
        (True, "spec.replicas: found True, expected a whole number"),
        (1.5, "spec.replicas: found 1.5, expected a whole number"),
        (10**30, "expected a whole number"),
        (10**400, "found an integer of 1329 bits, expected a whole number"),
    ],
)
def test_counts_that_are_refused(replicas: Any, told: str) -> None:
    assert told in problems(deployment(replicas=replicas))[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"kind": None}, "kind: found nothing, expected a kind"),
        ({"kind": 5}, "kind: found 5, expected a kind"),
        (
            {"kind": "fleet", "apiVersion": "raypipe.io/v1"},
            "kind: found 'fleet', expected Fleet (did you mean 'Fleet'?)",
        ),
        ({"apiVersion": None}, "apiVersion: found nothing, expected an apiVersion"),
        ({"metadata": None}, "metadata: found nothing, expected a mapping with a name"),
        ({"metadata": {}}, "metadata.name: found nothing, expected a name"),
        ({"metadata": {"name": "a/b"}}, "metadata.name: found 'a/b', expected a name"),
        ({"metadata": {"name": "a", "namespace": 1}}, "metadata.namespace: found 1, expected a namespace"),
        ({"metadata": {"name": "a", "ownerReferences": {}}}, ""),
        ({"metadata": {"name": "a", "ownerReferences": 7}}, "metadata.ownerReferences: found 7, expected a list"),
        ({"spec": None}, "spec.containers: found no container, expected at least one"),
        ({"spec": []}, "spec: found a list, expected a mapping"),
        ({"status": "x"}, "status: found 'x', expected a mapping"),
    ],
)
def test_objects_that_are_refused(change: Object, told: str) -> None:
    found = problems(pod("a") | change)
    assert told in (found[0] if found else "")


def test_a_hundred_thousand_pods_become_counts() -> None:
    owner = deployment(replicas=100_000)
    cluster = read(owner, deployment("b", 50_000, of=template(container("2"))))
    assert [group.count for group in cluster.demand] == [50_000, 100_000]


def test_as_many_single_pods_as_a_trace_has_share_their_shapes() -> None:
    pods = [pod(f"p{number:04d}", template(container(str(1 + number % 7)))) for number in range(8152)]
    cluster = read(*pods)
    assert sum(wanted(cluster).values()) == len(cluster.demand) == 8152
    assert len({id(group.spec) for group in cluster.demand}) == 7


def test_live_pods_with_names_of_their_own_become_counts() -> None:
    owner = deployment(replicas=2000, uid="u-d")
    volumes = [{"volumes": [{"name": f"kube-api-access-{number}"}]} for number in range(2000)]
    cluster = read(
        owner, node(), *(pod(f"p{n}", template(**volumes[n]), owner=owner, node="node-1") for n in range(2000))
    )
    assert bound(cluster) == {("node-1", WEB): (2000, True)}
