"""Live clusters: objects that an API server told of are read as files are, and named by what they are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from raypipe.errors import InputError
from raypipe.manifests import read_paths
from raypipe.manifests.origins import Observed
from raypipe.model.meant import EXPECTED
from raypipe.model.plan import Note
from raypipe.model.snapshot import ClusterSnapshot
from tests.unit.manifests.builders import (
    Object,
    container,
    deployment,
    excluded,
    node,
    pod,
    template,
    thing,
    wanted,
    written,
)


def observed(*objects: Object, context: str = "prod", served: Sequence[str] = (), error: str | None = None) -> Observed:
    return Observed(context=context, objects=objects, served=frozenset(served), error=error)


def looking_at(*clusters: Observed) -> object:
    """What observes these clusters, and knows no others."""
    known = {one.context: one for one in clusters}

    def look(contexts: Sequence[str]) -> Mapping[str, Observed]:
        return {name: known.get(name, Observed(context=name, error=f"{name}: no answer")) for name in contexts}

    return look


def read_live(*clusters: Observed, fleet: Path | None = None, **more: object) -> tuple[ClusterSnapshot, ...]:
    paths = [] if fleet is None else [fleet]
    contexts = [one.context for one in clusters] if fleet is None else []
    return read_paths(paths, contexts=contexts, observe=looking_at(*clusters), **more).clusters


CLUSTER = (
    deployment("web", 3, template(container("500m", "1Gi"))),
    node("n1"),
    pod("alone", node="n1"),
)


def test_live_objects_and_the_same_objects_in_a_file_are_one(tmp_path: Path) -> None:
    written(tmp_path, {"prod/objects.json": json.dumps({"apiVersion": "v1", "kind": "List", "items": CLUSTER})})
    (from_file,) = read_paths([tmp_path / "prod"]).clusters
    (live,) = read_live(observed(*CLUSTER))
    assert from_file.demand
    assert from_file.bound
    assert live == dataclasses.replace(from_file, context="prod")


def test_what_is_wrong_in_a_live_object_is_told_by_its_name_without_a_line() -> None:
    broken = thing("NodePool", "p", {"limits": {"cpu": "-1"}})
    with pytest.raises(InputError) as told:
        read_live(observed(node("n1"), broken))
    assert str(told.value) == "prod NodePool/p: spec.limits.cpu: found '-1', expected a quantity that is not negative"


COSTLY = {"raypipe.io/instance-max-cost": "much"}
WRONG = template(annotations=COSTLY)
FOUND = "found 'much', expected dollars an hour such as '1.62'"


def aside(cluster: ClusterSnapshot) -> list[str]:
    """What is set aside, in words, without what all say."""
    ending = "; left out until that is mended"
    return [note.message.removesuffix(ending) for note in cluster.notes if note.kind == "set-aside"]


def test_a_workload_that_cannot_be_read_is_left_out_with_what_it_owns_and_its_pods_keep_their_room() -> None:
    web = deployment("web", 3, WRONG, uid="d")
    of_web = thing("ReplicaSet", "web-1", {"replicas": 3, "template": WRONG}, owner=web, uid="r")
    pods = [pod(f"web-1-{number}", WRONG, node="n1" if number else None, owner=of_web) for number in range(3)]
    (cluster,) = read_live(observed(*CLUSTER[1:], web, of_web, *pods))
    assert cluster.error is None
    assert wanted(cluster) == {}
    assert excluded(cluster) == {("ReplicaSet/default/web-1", "ignored"): 1}
    assert [(one.key, one.count, one.counted) for one in cluster.bound] == [
        ("Pod/default/alone", 1, True),
        ("ReplicaSet/default/web-1", 2, False),
    ]
    told = [one.partition(": ")[0] for one in aside(cluster)]
    assert told == ["prod Deployment/web", "prod Pod/default/web-1-0"]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        pytest.param(
            deployment("bad", -1),
            "prod Deployment/bad: spec.replicas: found -1, expected a whole number from 0 to 10000000",
            id="a workload",
        ),
        pytest.param(
            thing("DaemonSet", "bad", {"template": WRONG}),
            f"prod DaemonSet/bad: spec.template.metadata.annotations.raypipe.io/instance-max-cost: {FOUND}",
            id="a DaemonSet, which is reserved for all the same",
        ),
        pytest.param(
            node("bad", annotations={"raypipe.io/pods": "[1]"}),
            f"prod Node/bad: metadata.annotations.raypipe.io/pods: found '[1]', expected {EXPECTED}",
            id="a node",
        ),
    ],
)
def test_what_can_be_set_aside_stops_nobody(broken: Object, told: str) -> None:
    (cluster,) = read_live(observed(*CLUSTER, broken))
    assert (cluster.error, aside(cluster)) == (None, [told])
    assert wanted(cluster) == {"Deployment/default/web": 3}
    assert len(cluster.daemonsets) == (broken["kind"] == "DaemonSet")


def test_many_pods_that_say_the_same_are_set_aside_at_once() -> None:
    many = [pod(f"p{number}", WRONG) for number in range(100)]
    (cluster,) = read_live(observed(*CLUSTER, *many))
    assert cluster.error is None
    assert len(cluster.excluded) == 100
    assert len(aside(cluster)) == 1


def test_a_cluster_that_cannot_be_seen_keeps_its_error_and_its_context_and_the_others_are_read() -> None:
    seen, unseen = read_live(observed(*CLUSTER), observed(context="gone", error="gone: no answer"))
    assert seen.error is None
    assert (unseen.name, unseen.context, unseen.error) == ("gone", "gone", "gone: no answer")
    with pytest.raises(InputError, match="gone: no answer"):
        read_live(observed(context="gone", error="gone: no answer"))


@pytest.mark.parametrize(
    ("context", "name"),
    [
        ("arn:aws:eks:us-east-1:1234:cluster/prod", "arn:aws:eks:us-east-1:1234:cluster/prod"),
        ("gke_project_europe-west1_prod", "gke_project_europe-west1_prod"),
        ("admin@prod", "admin@prod"),
        ("my cluster (old)", "my-cluster-old"),
        ("☃", "cluster"),
    ],
)
def test_a_cluster_is_called_as_its_context_is_as_far_as_it_may(context: str, name: str) -> None:
    (cluster,) = read_live(observed(context=context))
    assert (cluster.name, cluster.context) == (name, context)


def test_two_clusters_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="two clusters 'my-prod', expected each cluster once"):
        read_live(observed(context="my prod"), observed(context="my-prod"))


def test_manifests_beside_a_context_are_a_cluster_of_their_own(tmp_path: Path) -> None:
    written(tmp_path, {"new/objects.json": json.dumps(CLUSTER[0])})
    clusters = read_paths([tmp_path / "new"], contexts=["prod"], observe=looking_at(observed(*CLUSTER))).clusters
    assert [(cluster.name, cluster.context) for cluster in clusters] == [("new", None), ("prod", "prod")]


@pytest.mark.parametrize(
    ("served", "objects", "backend"),
    [
        pytest.param(["NodeClaim"], (), "karpenter", id="Karpenter is installed and has made nothing yet"),
        pytest.param([], (), "print", id="no Karpenter"),
    ],
)
def test_nodes_are_bought_by_karpenter_where_its_claims_are_served(
    served: list[str], objects: tuple[Object, ...], backend: str
) -> None:
    (cluster,) = read_live(observed(*objects, served=served))
    assert cluster.nodes_backend == backend


def fleet_file(folder: Path, entry: str) -> Path:
    text = f"apiVersion: raypipe.io/v1\nkind: Fleet\nclusters:\n- name: one\n{entry}"
    return written(folder, {"fleet.yaml": text}) / "fleet.yaml"


def test_a_fleet_file_names_live_clusters_by_context(tmp_path: Path) -> None:
    path = fleet_file(tmp_path, "  context: prod\n  region: eu-west-1\n- name: two\n  context: gone\n")
    one, two = read_live(observed(*CLUSTER), fleet=path)
    assert (one.name, one.context, one.region, len(one.nodes)) == ("one", "prod", "eu-west-1", 1)
    assert (two.name, two.context, two.error) == ("two", "gone", "gone: no answer")


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("  context: prod\n  manifests: [a/]\n", "context: found a live cluster beside manifests, expected one of"),
        ("  context: ''\n", "context: found nothing, expected the name of a kubeconfig context"),
        ("  context: {}\n", "context: found a mapping, expected text"),
    ],
)
def test_a_context_that_is_none_is_an_error_of_the_entry(tmp_path: Path, entry: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        read_live(observed(), fleet=fleet_file(tmp_path, entry))
    assert told in str(error.value)


def test_without_anybody_to_look_a_live_cluster_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing here can look at live clusters"):
        read_paths([fleet_file(tmp_path, "  context: prod\n")])


def at(region: str | None = None, provider_id: str | None = None, **labels: str) -> Object:
    made: Object = node("x", labels={key.replace("__", "/"): value for key, value in labels.items()})
    if region is not None:
        made["metadata"]["labels"]["topology.kubernetes.io/region"] = region
    if provider_id is not None:
        made["spec"] = {**made.get("spec", {}), "providerID": provider_id}
    return made


def numbered(nodes: Sequence[Object]) -> list[Object]:
    return [{**one, "metadata": {**one["metadata"], "name": f"n{number}"}} for number, one in enumerate(nodes)]


@pytest.mark.parametrize(
    ("nodes", "place", "notes"),
    [
        pytest.param([], ("aws", "us-east-1"), ["aws taken", "us-east-1 taken"], id="no node says it"),
        pytest.param(
            [at("europe-west1", "gce://project/europe-west1-b/x")],
            ("gcp", "europe-west1"),
            ["gcp taken, as its nodes say", "europe-west1 taken, as its nodes say"],
            id="by the scheme of the providerID",
        ),
        pytest.param(
            [at("westeurope", **{"kubernetes.azure.com__cluster": "x"})],
            ("azure", "westeurope"),
            ["azure taken, as its nodes say", "westeurope taken, as its nodes say"],
            id="by a label that only one cloud has",
        ),
        pytest.param(
            [at("us-west-2"), at("us-west-2"), at("eu-west-1")],
            ("aws", "us-west-2"),
            ["aws taken", "us-west-2 taken, as its nodes say"],
            id="where most of them are",
        ),
        pytest.param(
            [at("eu-west-1"), at("ap-south-1")],
            ("aws", "ap-south-1"),
            ["aws taken", "ap-south-1 taken, as its nodes say"],
            id="of equally many the first by name",
        ),
        pytest.param(
            [at("us-central1", "gce://a"), at("westeurope", "azure:///b"), at("westeurope", "azure:///c")],
            ("azure", "westeurope"),
            ["azure taken, as its nodes say", "westeurope taken, as its nodes say"],
            id="the region of another cloud does not count",
        ),
    ],
)
def test_where_nobody_says_it_the_nodes_do(nodes: list[Object], place: tuple[str, str], notes: list[str]) -> None:
    (cluster,) = read_live(observed(*numbered(nodes)))
    assert (cluster.provider, cluster.region) == place
    told = [note.message.partition("given, ")[2] for note in cluster.notes if note.kind == "default"]
    assert told[:2] == notes


def test_what_is_said_lies_above_what_the_nodes_say() -> None:
    (cluster,) = read_live(observed(*numbered([at("us-central1", "gce://a")])), provider="aws")
    assert (cluster.provider, cluster.region) == ("aws", "us-east-1")
    (cluster,) = read_live(observed(*numbered([at("us-central1", "gce://a")])), region="us-east1")
    assert (cluster.provider, cluster.region) == ("gcp", "us-east1")


def test_notes_on_what_is_not_there_are_kept() -> None:
    note = Note(kind="not-served", subject="ray.io", message="RayCluster (ray.io): not served here, so there are none")
    (cluster,) = read_live(dataclasses.replace(observed(), notes=(note,)))
    assert note in cluster.notes
