"""raypipe reads live clusters: all that a plan needs of them, nothing that is nobody's business, and writes nothing."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import incluster_config

import raypipe
from raypipe.adapters.kubernetes import Observer, Server, listing
from raypipe.adapters.kubernetes.kinds import KINDS
from raypipe.cli import main
from raypipe.manifests.origins import Observed
from raypipe.model.snapshot import ClusterSnapshot
from tests.e2e import kubeconfig
from tests.e2e.api import ApiError, Object
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.objects import deployment, is_ready, node, pod, pod_spec
from tests.e2e.processes import free_ports, until
from tests.e2e.rig import Rig

README = Path(__file__).parents[2] / "README.md"
READER, NOBODY = "reader", "nobody"
ON_DEMAND = {
    "node.kubernetes.io/instance-type": "m7g.2xlarge",
    "topology.kubernetes.io/region": "us-east-1",
    "topology.kubernetes.io/zone": "us-east-1a",
    "karpenter.sh/capacity-type": "on-demand",
    "kubernetes.io/arch": "arm64",
}
PLANTED = "hunter2-planted"


def ray_cluster(name: str, workers: int) -> Object:
    """A RayCluster of a head and one worker group."""
    group = {
        "groupName": "small",
        "replicas": workers,
        "minReplicas": 0,
        "maxReplicas": 10,
        "rayStartParams": {},
        "template": {"spec": pod_spec(cpu="1", memory="1Gi")},
    }
    head = {"rayStartParams": {}, "template": {"spec": pod_spec(cpu="500m", memory="1Gi")}}
    spec = {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": [group]}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": name}, "spec": spec}


def daemon_set(name: str) -> Object:
    """A DaemonSet of small pods."""
    made = deployment(name, 0)
    del made["spec"]["replicas"]
    return {**made, "kind": "DaemonSet"}


def secretive(name: str) -> list[Object]:
    """A pod with secrets wherever people put them, and a Secret and a ConfigMap beside it."""
    container = {
        "env": [{"name": "PASSWORD", "value": PLANTED}],
        "command": ["run", PLANTED],
        "args": [PLANTED],
        "livenessProbe": {"exec": {"command": [PLANTED]}},
    }
    made = pod(name, annotations={"example.com/token": PLANTED})
    made["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = PLANTED
    made["spec"]["containers"][0] |= container
    kinds = {"Secret": "stringData", "ConfigMap": "data"}
    beside = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, field: {"password": PLANTED}}
        for kind, field in kinds.items()
    ]
    return [made, *beside]


@pytest.fixture(scope="module")
def seen(rig: Rig) -> Cluster:
    """A cluster in use: nodes with room, a RayCluster that runs, pods that wait, a pod full of secrets."""
    cluster = rig.start("seen", Wanted(kuberay=True, audit=True, users={READER: [], NOBODY: []}))
    api = cluster.api
    nodes = [node(f"n{number}", labels=ON_DEMAND, cpu=8, memory="32Gi") for number in range(4)]
    api.create(*nodes)
    until(lambda: is_served(cluster, "ray.io/v1", "RayCluster"), 20, "RayClusters are served")
    api.create(ray_cluster("demo", 3), *secretive("secretive"))
    api.create(deployment("web", 4, cpu="1"), deployment("huge", 2, cpu="9"), daemon_set("agent"))
    for one in nodes:
        api.wait(one, is_ready)
    until(lambda: settled(cluster), 60, "everything that fits runs")
    return cluster


def is_served(cluster: Cluster, api_version: str, kind: str) -> bool:
    """Whether a kind can be used already: that takes a moment longer than its CRD says."""
    try:
        cluster.api.items(api_version, kind)
    except ApiError as error:
        if error.status not in (404, 429):
            raise
        return False
    return True


@pytest.fixture(scope="module")
def bare(rig: Rig) -> Cluster:
    """A cluster without any operator."""
    return rig.start("bare")


def settled(cluster: Cluster) -> bool:
    """Whether every pod runs but the two that fit nowhere: 4 of Ray, 1 of nobody, 4 of web, 4 agents."""
    pods = cluster.api.items("v1", "Pod")
    running = [one for one in pods if one["status"].get("phase") == "Running"]
    (ray,) = cluster.api.items("ray.io/v1", "RayCluster")
    return (len(running), len(pods)) == (13, 15) and ray.get("status", {}).get("state") == "ready"


@pytest.fixture
def contexts(seen: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The cluster, with its contexts where raypipe finds them."""
    monkeypatch.setenv("KUBECONFIG", str(seen.kubeconfig))
    return seen


def exported(cluster: Cluster, folder: Path) -> Path:
    """All objects of the kinds that raypipe reads, as a file in a folder called as the cluster's context is."""
    items = [
        item
        for kind in KINDS
        if kind.group in ("", "apps", "batch", "policy", "ray.io", "scheduling.k8s.io", "storage.k8s.io")
        for item in cluster.api.items(f"{kind.group}/{kind.version}".lstrip("/"), kind.name)
    ]
    path = folder / cluster.name
    path.mkdir()
    (path / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return path


def told(plan: raypipe.FleetPlan) -> str:
    """A plan as JSON without what names it: when, from where, and the ids that follow from that."""
    content = plan.to_dict() | {"created_at": None, "inputs": None}
    for cluster in content["clusters"]:
        cluster["context"] = None
        cluster["notes"] = [note for note in cluster["notes"] if note["kind"] != "not-served"]
    return re.sub(r"\b[0-9a-f]{10,12}\b", "…", json.dumps(content, indent=1, sort_keys=True))


def test_a_live_plan_is_that_of_the_same_objects_in_files(contexts: Cluster, tmp_path: Path) -> None:
    live = raypipe.read(context="seen")
    files = raypipe.read(exported(contexts, tmp_path))
    (cluster,) = live.clusters
    assert (cluster.name, cluster.context, cluster.region) == ("seen", "seen", "us-east-1")
    assert live.observed_at is not None
    running = {one.key: one.count for one in _bound(cluster) if one.key.startswith("RayCluster")}
    assert running == {"RayCluster/default/demo/head": 1, "RayCluster/default/demo/worker/small": 3}
    for scope in ("pending", "whole"):
        plan = raypipe.plan(live, scope=scope)
        assert plan.clusters[0].context == "seen"
        assert told(plan) == told(raypipe.plan(files, scope=scope))


def _bound(cluster: ClusterSnapshot) -> list[Any]:
    """Counted pods by key, those of all nodes together."""
    found: dict[str, Any] = {}
    for one in cluster.bound:
        if one.counted:
            before = found.get(one.key)
            found[one.key] = dataclasses.replace(one, count=one.count + (before.count if before else 0))
    return list(found.values())


def test_a_snapshot_of_a_live_cluster_is_planned_as_the_cluster_was(contexts: Cluster, tmp_path: Path) -> None:
    saved = tmp_path / "snapshot.json"
    assert main(["snapshot", "--context", contexts.name, "--quiet", "--out", str(saved)]) == 0
    plans = [raypipe.plan(fleet) for fleet in (raypipe.read(saved), raypipe.read(context=contexts.name))]
    again, live = (dataclasses.replace(plan, created_at=None).to_json() for plan in plans)
    assert again == live


def test_the_cluster_that_raypipe_runs_in_needs_no_kubeconfig(
    seen: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = seen.context()
    (tmp_path / "token").write_text(context.token)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(context.authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(context.port))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    (found,) = raypipe.read(context="in-cluster").clusters
    assert (found.name, found.context, found.error, len(found.nodes)) == ("in-cluster", "in-cluster", None, 4)


def test_the_table_begins_with_what_the_cluster_costs_now_and_anew(
    contexts: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--context", contexts.name, "--quiet"]) == 0
    first, steps, *_ = capsys.readouterr().out.splitlines()
    sentence = (
        r"seen costs \$1\.3056/h \(\$953 a month\) now, on 4 nodes\. The same pods( and \d+ that wait)?, planned anew, "
        r"would cost \$0\.\d+/h, \d+(\.\d+)? % less; no plan for them costs less than \$0\.\d+/h\."
    )
    assert re.fullmatch(sentence, first), first
    assert steps.startswith("  first steps    ")


def test_pages_are_put_together(contexts: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = raypipe.read(context="seen")
    monkeypatch.setattr(listing, "PAGE", 3)
    assert raypipe.read(context="seen").clusters == whole.clusters
    assert contexts.api.items("v1", "Pod", limit=3) != contexts.api.items("v1", "Pod")


def test_one_cluster_is_planned_while_another_cannot_be_reached(
    seen: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    gone = dataclasses.replace(seen.context(), name="gone", port=port)
    wrong = dataclasses.replace(seen.context(), name="wrong", token="expired")
    path = kubeconfig.write(tmp_path / "config", [seen.context(), gone, wrong])
    monkeypatch.setenv("KUBECONFIG", str(path))
    begun = time.monotonic()
    options = [word for name in ("gone", "wrong", "sen", "seen") for word in ("--context", name)]
    assert main(["plan", *options, "-o", "json"]) == 2
    assert time.monotonic() - begun < 40
    output = capsys.readouterr()
    clusters = {one["name"]: one for one in json.loads(output.out)["clusters"]}
    assert clusters["seen"]["error"] is None
    assert clusters["seen"]["nodes"]
    errors = {name: one["error"] for name, one in clusters.items() if one["error"] is not None}
    assert errors == {
        "gone": f"gone: no answer from https://127.0.0.1:{port}: [Errno 111] Connection refused",
        "wrong": "wrong: its credentials are not accepted (401 Unauthorized): expired, or not of this cluster",
        "sen": f"{path}: found no context 'sen', expected one of its contexts: gone, seen, wrong "
        "(did you mean 'seen'?)",
    }
    for error in errors.values():
        assert error in output.err


def reading_role(*without: str) -> Object:
    """The right to list everything that raypipe reads, but for these."""
    rules = [
        {"apiGroups": [kind.group], "resources": [kind.plural], "verbs": ["list"]}
        for kind in KINDS
        if kind.plural not in without
    ]
    return {**RBAC, "kind": "ClusterRole", "metadata": {"name": READER}, "rules": rules}


RBAC = {"apiVersion": "rbac.authorization.k8s.io/v1"}
BINDING = {
    **RBAC,
    "kind": "ClusterRoleBinding",
    "metadata": {"name": READER},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": READER},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": READER}],
}


@pytest.fixture
def reader(contexts: Cluster) -> Iterator[str]:
    """The context of a user who may list what raypipe reads and nothing else."""
    contexts.api.apply(reading_role(), BINDING)
    until(lambda: raypipe.read(context="seen-reader").clusters[0].error is None, 10, "the role is in force")
    yield "seen-reader"
    contexts.api.delete(reading_role(), BINDING)


def test_the_right_to_list_is_all_that_it_takes(reader: str, contexts: Cluster) -> None:
    plan = raypipe.plan(raypipe.read(context=reader))
    assert told(plan).replace("seen-reader", "seen") == told(raypipe.plan(raypipe.read(context=contexts.name)))


@pytest.mark.usefixtures("reader")
def test_one_right_fewer_is_told_by_verb_resource_and_user(contexts: Cluster) -> None:
    def error() -> str:
        try:
            raypipe.read(context="seen-reader")
        except raypipe.errors.InputError as refused:
            return str(refused)
        return ""

    contexts.api.apply(reading_role("rayjobs"))
    until(error, 10, "the right is taken away")
    assert error() == (
        'seen-reader: forbidden: rayjobs.ray.io is forbidden: User "reader" cannot list resource "rayjobs" '
        'in API group "ray.io" at the cluster scope'
    )
    contexts.api.apply(reading_role("resourcequotas"))
    until(lambda: not error(), 10, "quotas are only counted")
    (cluster,) = raypipe.read(context="seen-reader").clusters
    (note,) = [note.message for note in cluster.notes if note.kind == "not-seen"]
    assert 'User "reader" cannot list resource "resourcequotas"' in note


def test_who_may_nothing_is_told_everything_that_he_may_not(
    contexts: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--context", f"{contexts.name}-{NOBODY}"]) == 2
    lines = capsys.readouterr().err.splitlines()
    forbidden = [line for line in lines if f'User "{NOBODY}" cannot list resource' in line]
    assert {'"pods"', '"rayclusters"', '"deployments"'} <= {re.findall(r'"[a-z]+"', line)[1] for line in forbidden}


def test_nothing_is_written_and_nothing_else_is_asked_for(
    reader: str, contexts: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(contexts.audited(READER, writes_only=False))
    assert main(["plan", "--context", reader, "--quiet"]) == 0
    assert main(["snapshot", "--context", reader, "--quiet", "--out", str(tmp_path / "snapshot.json")]) == 0
    events = contexts.audited(READER, writes_only=False)[before:]
    assert {event["verb"] for event in events} <= {"get", "list"}
    asked = {event["objectRef"]["resource"] for event in events if "objectRef" in event}
    assert asked == {kind.plural for kind in KINDS if kind.group in ("", "apps", "batch", "policy", "ray.io")} | {
        "customresourcedefinitions",
        "priorityclasses",
        "storageclasses",
    }
    assert {event["requestURI"] for event in events if "objectRef" not in event} == {"/apis"}
    capsys.readouterr()


def test_no_secret_enters_a_snapshot(contexts: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert PLANTED in json.dumps(contexts.api.items("v1", "Pod"))
    assert main(["snapshot", "--context", contexts.name]) == 0
    text = capsys.readouterr().out
    assert "Pod/default/secretive" in text
    assert PLANTED not in text
    with Observer(Server(contexts.name)) as observer:
        known = once(observer, lambda seen: seen.error is None)
    kept = [one for one in known.objects if PLANTED in json.dumps(one)]
    assert [one["metadata"]["name"] for one in kept] == ["secretive"]
    assert kept[0]["metadata"]["annotations"] == {"example.com/token": PLANTED}  # of what it may mean nobody is sure


def test_without_operators_there_are_notes(bare: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(bare.kubeconfig))
    (found,) = raypipe.read(context=bare.name).clusters
    (note,) = [note.message for note in found.notes if note.kind == "not-served"]
    assert "RayCluster, RayJob, RayService (ray.io)" in note
    assert "NodePool, NodeClaim (karpenter.sh)" in note
    assert (found.error, found.nodes_backend) == (None, "print")


def once(observer: Observer, holds: Any) -> Observed:
    """What an observer sees as soon as it is as expected."""
    return until(lambda: seen if holds(seen := observer.seen()) else None, 60, "it is seen")


def by_uid(objects: Any) -> dict[str, Mapping[str, Any]]:
    return {one["metadata"]["uid"]: one for one in objects}


@pytest.fixture
def empty(bare: Cluster) -> Iterator[Cluster]:
    """The cluster without operators, with nothing in it before and after."""
    bare.clear()
    yield bare
    bare.clear()


def test_the_readmes_commands_run_and_print_what_it_shows(
    empty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contexts = [dataclasses.replace(empty.context(), name=name) for name in ("prod", "staging")]
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig.write(tmp_path / "config", contexts)))
    monkeypatch.chdir(tmp_path)
    nodes = [node(f"n{number}", labels=ON_DEMAND, cpu=8, memory="32Gi") for number in range(2)]
    for one in empty.api.create(*nodes):
        empty.api.wait({**one, "apiVersion": "v1", "kind": "Node"}, is_ready)
    empty.api.create(deployment("web", 10, cpu="1", memory="6Gi"))
    empty.api.wait(deployment("web", 10), lambda found: found["status"].get("readyReplicas") == 10)
    empty.api.create(deployment("batch", 2, cpu="6", memory="8Gi"))
    until(lambda: len(empty.api.items("v1", "Pod")) == 12, 20, "pods wait")
    assert main(["plan", "--context", "prod", "--quiet"]) == 0
    told = capsys.readouterr().out.split("\n\n")[0]
    readme = README.read_text()
    shown = re.search(r"^```text\n(prod costs .*?)\n```$", readme, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert " ".join(told.split()) == " ".join(shown[1].split())
    (block,) = re.findall(r"^```bash\n([^`]*--context prod .*?)\n```$", readme, re.MULTILINE | re.DOTALL)
    for line in block.splitlines():
        program, *words = shlex.split(line, comments=True)
        assert (program, main(words)) == ("raypipe", 0), line


def test_an_observer_knows_what_a_list_would_say_and_outlives_the_api_server(
    empty: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(empty.kubeconfig))
    with Observer(Server(empty.name)) as observer:
        once(observer, lambda seen: seen.error is None)
        empty.api.create(node("n1"), deployment("web", 5), deployment("brief", 2))
        empty.api.wait(deployment("web", 5), lambda found: found["status"].get("readyReplicas") == 5)
        empty.api.delete(deployment("brief", 2), propagationPolicy="Background")
        until(lambda: len(empty.api.items("v1", "Pod")) == 5, 20, "pods of the deleted are gone")
        agrees(observer, empty)
        empty.stop("kube-apiserver")
        away = once(observer, lambda seen: seen.error is not None)
        assert "no answer" in str(away.error) or "the watch broke" in str(away.error)
        empty.restart("kube-apiserver")
        empty.api.create(deployment("after", 3))
        empty.api.wait(deployment("after", 3), lambda found: found["status"].get("readyReplicas") == 3)
        once(observer, lambda seen: seen.error is None)
        agrees(observer, empty)


def agrees(observer: Observer, cluster: Cluster) -> None:
    """Wait until an observer knows the same objects, at the same versions, as the API server."""

    def same() -> bool:
        listed = {
            (one["kind"], one["metadata"]["uid"], one["metadata"]["resourceVersion"])
            for api_version, kind in (
                ("v1", "Pod"),
                ("v1", "Node"),
                ("apps/v1", "Deployment"),
                ("apps/v1", "ReplicaSet"),
            )
            for one in cluster.api.items(api_version, kind)
        }
        kinds = {kind for kind, *_ in listed}
        known = {
            (one["kind"], one["metadata"]["uid"], one["metadata"]["resourceVersion"])
            for one in observer.seen().objects
            if one["kind"] in kinds
        }
        return listed == known

    until(same, 20, "the observer and the API server agree")
