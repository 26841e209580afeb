"""The rights of ray_cluster.yaml are enough for all that raypipe writes, and none of them is one too many.

Each write is made once as the service account with all of its rights. Then each right is taken away in turn: the write
that needs it fails, and says which right that was.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from raypipe.adapters.kubernetes import Server, Writer, look
from raypipe.adapters.nodes import Karpenter
from raypipe.controller.event_writer import MERGE, EventWriter, Said, Subject
from raypipe.controller.status_sources import status_of
from raypipe.errors import ClusterError
from raypipe.model.actions import Action, ActionKind, ObjectRef
from tests.e2e import kubeconfig
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.objects import deployment, node, pod
from tests.e2e.processes import until
from tests.e2e.running import RunningLoop, fleet_file

pytestmark = pytest.mark.usefixtures("clean")

FILE = Path(__file__).parents[2] / "ray_cluster.yaml"
ACCOUNT = "system:serviceaccount:default:raypipe"
HOUR = datetime(2026, 11, 25, 12, tzinfo=UTC)
EVENTS, LEASES, MAPS = (
    "/apis/events.k8s.io/v1/namespaces/default/events",
    "/apis/coordination.k8s.io/v1/namespaces/default/leases",
    "/api/v1/namespaces/default/configmaps",
)

RAY = ("RayService", "RayJob", "RayCluster")
"""Kinds of Ray object; a RayService makes RayClusters as long as it is there."""

LEFT = tuple(
    {"apiVersion": api_version, "kind": kind, "metadata": {"name": "raypipe"}}
    for api_version, kind in (("coordination.k8s.io/v1", "Lease"), ("v1", "ConfigMap"))
)
"""What a loop leaves behind beside what it has bought."""

type Right = tuple[str, str, str]
"""API group, resource (with its subresource) and verb."""


def granted() -> list[Object]:
    """What ray_cluster.yaml makes before the RayCluster."""
    return [one for one in yaml.safe_load_all(FILE.read_text(encoding="utf-8")) if one["kind"] != "RayCluster"]


def rights_to_act() -> list[Right]:
    """Each right of raypipe-act, once."""
    rules = [rule for one in granted() if one["metadata"]["name"] == "raypipe-act" for rule in one.get("rules", ())]
    return [
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def without(right: Right) -> list[Object]:
    """The roles that lose something when a right is taken away, without it."""
    roles = [copy.deepcopy(one) for one in granted() if one["metadata"]["name"] == "raypipe-act" and "rules" in one]
    changed = []
    for role in roles:
        rules = [part for rule in role["rules"] for part in split(rule) if part_of(part) != right]
        if len(rules) < sum(len(split(rule)) for rule in role["rules"]):
            changed.append({**role, "rules": rules})
    return changed


def split(rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A rule as rules of one right each."""
    return [
        {**rule, "apiGroups": [group], "resources": [resource], "verbs": [verb]}
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def part_of(rule: Mapping[str, Any]) -> Right:
    return rule["apiGroups"][0], rule["resources"][0], rule["verbs"][0]


@pytest.fixture
def way_in(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A context that is raypipe's service account, as in a pod of the cluster, and the kubeconfig with it alone."""
    cluster.api.apply(*granted(), NODE_CLASS)
    account = cluster.service_account_context("default", "raypipe")
    context = dataclasses.replace(account, name="in-cluster")
    yield context.name, kubeconfig.write(tmp_path / "account.yaml", [context])
    cluster.api.delete(*granted(), *(ray(kind) for kind in RAY), *LEFT)


@pytest.fixture
def account(way_in: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The API server as raypipe's service account reaches it."""
    context, path = way_in
    monkeypatch.setenv("KUBECONFIG", str(path))
    server = Server(context)
    yield server
    server.close()


@pytest.fixture
def loop(way_in: tuple[str, Path], tmp_path: Path) -> Iterator[RunningLoop]:
    """A loop that acts as raypipe's service account, and keeps its state in the ConfigMap that it has rights to."""
    context, path = way_in
    running = RunningLoop(tmp_path, path, fleet_file(tmp_path / "fleet.yaml", [context], settle_s=0.5))
    yield running
    running.close()


def claim(name: str) -> Object:
    wanted = {
        "node.kubernetes.io/instance-type": "m5.large",
        "topology.kubernetes.io/zone": "us-east-1a",
        "karpenter.sh/capacity-type": "on-demand",
    }
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": name, "annotations": {"raypipe.io/decision": "3f9a1c0b77de"}},
        "spec": {
            "requirements": [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()],
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
            "expireAfter": "Never",
        },
    }


def ray(kind: str) -> Object:
    """A Ray object that its operator leaves alone."""
    group = {
        "groupName": "g", "replicas": 0, "minReplicas": 0, "maxReplicas": 1, "rayStartParams": {},
        "template": {"spec": {"containers": [{"name": "w", "image": "none"}]}},
    }  # fmt: skip
    head = {"rayStartParams": {}, "template": {"spec": {"containers": [{"name": "h", "image": "none"}]}}}
    below: Object = {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": [group]}
    spec = {
        "RayCluster": {**below, "suspend": True},
        "RayJob": {"suspend": True, "shutdownAfterJobFinishes": True, "entrypoint": "true", "rayClusterSpec": below},
        "RayService": {"serveConfigV2": "", "rayClusterConfig": below},
    }[kind]
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "r", "namespace": "default"}, "spec": spec}


def annotate(kind: str, namespace: str | None = "default", name: str = "r") -> tuple[ObjectRef, list[Object]]:
    patch = [{"op": "add", "path": "/metadata/annotations", "value": {"raypipe.io/decision": "3f9a1c0b77de"}}]
    return ObjectRef(kind=kind, namespace=namespace, name=name), patch


def writes(server: Server, cluster: Cluster) -> dict[Right, Callable[[], object]]:
    """Everything that raypipe writes, by the right that it needs; the objects that are written to are there."""
    writer = Writer(server)
    uid = {name: cluster.api.get(pod(name))["metadata"]["uid"] for name in ("bound", "gone", "meant")}
    pods = {name: ObjectRef(kind="Pod", namespace="default", name=name) for name in uid}
    subject = Subject(api_version="v1", kind="Pod", namespace="default", name="bound", uid=uid["bound"])
    said = Said(subject=subject, reason="Unplaced", action="Plan", note="no place")

    def fails(words: str) -> None:
        raise ClusterError(words)

    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "raypipe"}, "spec": {}}
    state = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "raypipe"}, "data": {}}
    buy = Action(id="a", kind=ActionKind.BUY_NODE, object=ObjectRef(kind="NodeClaim", name="bought"))
    return {
        ("karpenter.sh", "nodeclaims", "create"): lambda: Karpenter(writer).buy(buy, claim("bought")),
        ("karpenter.sh", "nodeclaims", "delete"): lambda: Karpenter(writer).give_back("n", "bought"),
        ("", "nodes", "patch"): lambda: writer.patch(*annotate("Node", None, "n-1")),
        ("", "pods/binding", "create"): lambda: writer.bind(pods["bound"], uid["bound"], "n-1"),
        ("", "pods/status", "patch"): lambda: writer.merge(
            pods["meant"], {"status": {"nominatedNodeName": "n-1"}}, subresource="status"
        ),
        ("", "pods/eviction", "create"): lambda: writer.evict(pods["gone"], uid["gone"]),
        **{("ray.io", f"{kind.lower()}s", "patch"): lambda kind=kind: writer.patch(*annotate(kind)) for kind in RAY},
        ("events.k8s.io", "events", "create"): lambda: EventWriter(server, "test", fails).say(said, HOUR),
        ("events.k8s.io", "events", "get"): lambda: server.get(f"{EVENTS}/{said.name}"),
        ("events.k8s.io", "events", "patch"): lambda: server.send(
            "PATCH", f"{EVENTS}/{said.name}", {"series": None}, content_type=MERGE
        ),
        ("coordination.k8s.io", "leases", "create"): lambda: server.send("POST", LEASES, lease),
        ("coordination.k8s.io", "leases", "get"): lambda: server.get(f"{LEASES}/raypipe"),
        ("coordination.k8s.io", "leases", "update"): lambda: server.send(
            "PUT", f"{LEASES}/raypipe", server.get(f"{LEASES}/raypipe")
        ),
        ("", "configmaps", "create"): lambda: server.send("POST", MAPS, state),
        ("", "configmaps", "get"): lambda: server.get(f"{MAPS}/raypipe"),
        ("", "configmaps", "patch"): lambda: server.send(
            "PATCH", f"{MAPS}/raypipe", {"data": {"paused": "x"}}, content_type=MERGE
        ),
    }


def may(cluster: Cluster, right: Right) -> bool:
    """Whether the service account has a right now; what a role says takes a moment to be so."""
    group, resource, verb = right
    name, _, subresource = resource.partition("/")
    asked = {"group": group, "resource": name, "verb": verb, "namespace": "default", "name": "raypipe"}
    if subresource:
        asked["subresource"] = subresource
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "groups": ["system:serviceaccounts"], "resourceAttributes": asked},
    }
    answer = cluster.api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"].get("allowed"))


def take_away(cluster: Cluster, right: Right) -> None:
    """Let the service account have one right less."""
    cluster.api.apply(*without(right))
    until(lambda: not may(cluster, right), 10, f"{right} is taken away")


def give_back(cluster: Cluster, right: Right) -> None:
    """Let the service account have all its rights."""
    cluster.api.apply(*(one for one in granted() if "rules" in one))
    until(lambda: may(cluster, right), 10, f"{right} is given back")


def test_the_rights_are_enough_and_each_is_needed(cluster: Cluster, account: Server) -> None:
    api = cluster.api
    api.create(node("n-1"), *(ray(kind) for kind in RAY))
    api.create(*(pod(name, schedulerName="none") for name in ("bound", "gone", "meant")))
    rights = rights_to_act()
    until(lambda: all(may(cluster, right) for right in rights), 10, "the account has its rights")

    (seen,) = look([account.context]).values()
    assert seen.error is None

    made = writes(account, cluster)
    assert set(made) == set(rights)
    for write in made.values():
        write()

    for right in rights:
        take_away(cluster, right)
        with pytest.raises(ClusterError) as refused:
            made[right]()
        give_back(cluster, right)
        group, resource, verb = right
        said = f'cannot {verb} resource "{resource}" in API group "{group}"'
        assert said in str(refused.value)
        assert "forbidden" in str(refused.value)


def test_a_loop_acts_with_these_rights_and_says_which_one_it_lacks(
    cluster: Cluster, loop: RunningLoop, way_in: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ("karpenter.sh", "nodeclaims", "create")
    take_away(cluster, right)
    cluster.api.create(deployment("web", 6, cpu="900m"))
    audit = loop.folder / "audit.jsonl"
    loop.start("--state", "configmap:default/raypipe", "--apply", "--audit", str(audit))
    loop.says('cannot create resource "nodeclaims" in API group "karpenter.sh"')
    assert cluster.api.items("v1", "Node") == []

    give_back(cluster, right)
    until(lambda: states(cluster) == ["Running"] * 6, 60, "the pods run on nodes that the loop has bought")
    monkeypatch.setenv("KUBECONFIG", str(loop.kubeconfig))
    said = status_of("configmap:default/raypipe", way_in[:1])
    lease = cluster.api.get(LEFT[0])
    until(lambda: ("NodeClaim", "BuyNode") in events(cluster), 20, "an Event says why a node was bought")
    told = loop.told().splitlines()

    assert loop.end() == 0
    assert ("Deployment", "NodesBought") in events(cluster)
    assert {("BuyNode", "failed"), ("BuyNode", "done"), ("BindPods", "done")} <= audited(audit)
    assert [(one.name, one.mode, one.pending) for one in said.clusters] == [(way_in[0], "acting", 0)]
    assert lease["spec"]["holderIdentity"]
    assert [line for line in told if "forbidden" in line and "nodeclaims" not in line] == []


def events(cluster: Cluster) -> set[tuple[str, str]]:
    """Of what kind of object raypipe has said what."""
    found = cluster.api.items("events.k8s.io/v1", "Event")
    return {(one["regarding"]["kind"], one["reason"]) for one in found if one.get("reportingController") == "raypipe"}


def audited(path: Path) -> set[tuple[str, str | None]]:
    """Kinds of action in an audit file, and what became of them."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {(action["kind"], action["result"]) for line in lines for action in line["actions"]}


def states(cluster: Cluster) -> list[str]:
    """The phases of all pods."""
    return [one["status"]["phase"] for one in cluster.api.items("v1", "Pod")]
