"""Fleet files: what they say, what is taken where they say nothing, and what they may not say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raypipe.errors import InputError
from raypipe.manifests import read_paths
from raypipe.model.nodes import Standby
from raypipe.model.requirements import Operator, Requirement
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings
from tests.unit.manifests.builders import (
    deployment,
    node,
    notes,
    pod,
    problems_of_fleet,
    read,
    read_fleet,
    template,
    thing,
    wanted,
    written,
)

FULL = """
provider: gcp
region: us-east1
zones: [us-east1-b, us-east1-b, us-east1-c]
capacityTypes: [on-demand]
requirements: [{key: a, operator: Exists}]
limits: {cpu: "2000", nvidia.com/gpu: 32, usdPerHour: $120/h, nodes: 7}
packing: shared
sharedNode: {cpu: "8", memory: 32Gi}
dedicatedFrom: {cpu: "3"}
gpuSlices: {nvidia-tesla-t4: 4}
arch: amd64+arm64
nodes: kwok
nodeClass: {group: g, kind: k, name: n}
settings: {gap_target_fraction: 0.5}
manifests: objects.yaml
"""


def test_all_that_a_cluster_may_say() -> None:
    fleet = read_fleet(FULL, above="limits: {usdPerHour: 500}\nsettings: {gap_target_fraction: 0.1, lp_rounds: 3}")
    assert fleet.limits == {"usdPerHour": 500_000_000_000}
    assert fleet.clusters == (
        ClusterSnapshot(
            name="one",
            provider="gcp",
            region="us-east1",
            zones=("us-east1-b", "us-east1-c"),
            capacity_types=("on-demand",),
            requirements=(Requirement(key="a", operator=Operator.EXISTS),),
            limits={"cpu": 2_000_000, "nodes": 7, "nvidia.com/gpu": 32, "usdPerHour": 120_000_000_000},
            packing="shared",
            shared_node={"cpu": 8000, "memory": 32 << 30},
            dedicated_from={"cpu": 3000},
            gpu_slices={"t4": 4},
            arch="amd64+arm64",
            nodes_backend="kwok",
            node_class={"group": "g", "kind": "k", "name": "n"},
            settings=Settings(gap_target_fraction=0.5, lp_rounds=3),
        ),
    )


@pytest.mark.parametrize(
    ("entry", "zones", "defaults"),
    [
        ("", ("us-east-1a", "us-east-1b", "us-east-1c"), ["provider", "region", "zones"]),
        ("provider: aws\nregion: eu-west-1", ("eu-west-1a", "eu-west-1b", "eu-west-1c"), ["zones"]),
        ("provider: gcp", tuple(f"us-central1-{zone}" for zone in "abcf"), ["region", "zones"]),
        ("provider: gcp\nregion: asia-east1", ("asia-east1-a", "asia-east1-b", "asia-east1-c"), ["zones"]),
        ("provider: azure", ("eastus-1", "eastus-2", "eastus-3"), ["region", "zones"]),
        ("zones: [x]", ("x",), ["provider", "region"]),
    ],
)
def test_each_default_taken_is_a_note(entry: str, zones: tuple[str, ...], defaults: list[str]) -> None:
    (cluster,) = read_fleet(f"manifests: [objects.yaml]\n{entry}").clusters
    assert cluster.zones == zones
    assert [note.message.split()[2] for note in cluster.notes if note.kind == "default"] == defaults
    assert (cluster.capacity_types, cluster.arch, cluster.packing) == (("spot", "on-demand"), "amd64|arm64", "joint")


def test_provider_and_region_of_the_command_line_are_for_clusters_that_name_none(tmp_path: Path) -> None:
    written(tmp_path, {"a.yaml": [pod("p")]})
    (cluster,) = read_paths([tmp_path], provider="gcp", region="us-west1").clusters
    assert (cluster.provider, cluster.region, cluster.zones[0]) == ("gcp", "us-west1", "us-west1-a")
    with pytest.raises(InputError, match=r"found 'awz', expected one of aws, gcp, azure \(did you mean 'aws'\?\)"):
        read_paths([tmp_path], provider="awz")


def test_nodes_are_karpenters_where_it_is_served() -> None:
    assert read(pod("p")).nodes_backend == "print"
    assert read(thing("NodePool")).nodes_backend == "karpenter"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("zoness: [a]", "zoness: found an unknown field 'zoness', expected one of name, provider, region, zones"),
        ("zoness: [a]", "(did you mean 'zones'?)"),
        ("provider: awss", "provider: found 'awss', expected one of aws, gcp, azure (did you mean 'aws'?)"),
        ("zones: []", "zones: found no zone, expected at least one"),
        ("zones: a", "zones: found 'a', expected a list"),
        ("capacityTypes: [spott]", "capacityTypes[0]: found 'spott', expected one of spot, on-demand, reserved"),
        (
            "limits: {cpuu: 1}",
            "limits.cpuu: found an unknown resource 'cpuu', expected a resource (did you mean 'cpu'?)",
        ),
        ("limits: {cpu: -1}", "limits.cpu: found -1, expected a quantity that is not negative"),
        ("limits: {usdPerHour: lots}", "limits.usdPerHour: found 'lots', expected dollars an hour"),
        ("limits: {cpu: }", "limits.cpu: found nothing, expected an amount"),
        ("packing: tight", "packing: found 'tight', expected one of joint, shared, dedicated"),
        ("sharedNode: {cpus: 1}", "found an unknown field 'cpus', expected one of cpu, memory (did you mean 'cpu'?)"),
        ("gpuSlices: {t4: 0}", "gpuSlices.t4: found 0, expected a whole number from 1 to 64"),
        ("gpuSlices: {t4: }", "gpuSlices.t4: found nothing, expected a number of slices a GPU"),
        ("gpuSlices: {t4: 2, T4: 3}", "found 't4' twice, expected a number of slices a GPU"),
        ("arch: x86", "arch: found 'x86', expected one of amd64, arm64, amd64+arm64, amd64|arm64, arm64|amd64"),
        ("requirements: [{key: a, operater: In}]", "(did you mean 'operator'?)"),
        ("nodeClass: {nam: x}", "(did you mean 'name'?)"),
        (
            "settings: {gap_target: 1}",
            "settings.gap_target: found an unknown setting 'gap_target', expected the name of a setting "
            "(did you mean 'gap_target_fraction'?)",
        ),
        (
            "settings: {burstable: lst}",
            "found 'lst', expected one of sustained, list, exclude (did you mean 'list'?)",
        ),
        ("settings: {lp_rounds: -1}", "settings.lp_rounds: found -1, expected a number from 0 to 10000"),
        ("settings: [1]", "settings: found a list, expected a mapping"),
        ("standby: [{instanceTyp: a}]", "(did you mean 'instanceType'?)"),
        ("standby: [{count: 2}]", "expected an instance type"),
        ("standby: [{instanceType: a, count: -1}]", "standby[0].count"),
        ("manifests: [nowhere]", "nowhere: no such file or folder, expected manifests"),
        ("manifests: []", "manifests: found nothing, expected manifests or context"),
        ("context: c", "context: found a live cluster, expected manifests"),
    ],
)
def test_what_a_cluster_may_not_say(entry: str, told: str) -> None:
    more = "" if entry.startswith(("manifests", "context")) else "\nmanifests: [objects.yaml]"
    (problem,) = problems_of_fleet(entry + more)[:1]
    assert told in problem
    assert problem.startswith("fleet.yaml:6: clusters[0].")


@pytest.mark.parametrize(
    ("above", "told"),
    [
        (
            "limit: {}",
            "fleet.yaml:3: limit: found an unknown field 'limit', expected one of apiVersion, kind, metadata",
        ),
        ("limits: {cpu: x}", "fleet.yaml:3: limits.cpu: found 'x', expected a quantity"),
        ("settings: {lp_rounds: x}", "fleet.yaml:3: settings.lp_rounds: found 'x', expected a number"),
    ],
)
def test_what_a_fleet_may_not_say(above: str, told: str) -> None:
    assert told in problems_of_fleet("manifests: [objects.yaml]", above=above)[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("apiVersion: raypipe.io/v2\nkind: Fleet\nclusters: [{name: a, manifests: [.]}]", "expected raypipe.io/v1"),
        ("apiVersion: raypipe.io/v1\nkind: Fleet\n", "clusters: found no cluster, expected at least one"),
        ("apiVersion: raypipe.io/v1\nkind: Fleet\nclusters: x", "clusters: found 'x', expected a list"),
        ("apiVersion: raypipe.io/v1\nkind: Fleet\nclusters: [{nam: a}]", "found no name but 'nam', expected a name"),
        ("apiVersion: raypipe.io/v1\nkind: Fleet\nclusters: [{name: ' '}]", "expected letters, digits and"),
        ("apiVersion: raypipe.io/v1\nkind: Fleet\nclusters: [{name: a}, {name: a}]", "found 'a' twice, expected each"),
        ("apiVersion: raypipe.io/v1\nkind: Fleet\nclusters: [7]", "clusters[0]: found 7, expected a mapping"),
        ("kind: Fleet\n---\nkind: Fleet\n", "found 2 documents, expected one fleet"),
    ],
)
def test_fleets_that_are_refused(tmp_path: Path, text: str, told: str) -> None:
    written(tmp_path, {"fleet.yaml": text})
    for path in (tmp_path, tmp_path / "fleet.yaml"):
        with pytest.raises(InputError) as caught:
            read_paths([path])
        assert told in str(caught.value)


def test_manifests_that_are_no_list_are_told_once() -> None:
    assert problems_of_fleet("manifests: 5") == ["fleet.yaml:6: clusters[0].manifests: found 5, expected a list"]


@pytest.mark.parametrize("start", ["\ufeff", "\ufeff# ours\r\n", "---\r\n"])
def test_a_fleet_file_is_known_whatever_editor_wrote_it(tmp_path: Path, start: str) -> None:
    lines = "kind: Fleet\r\napiVersion: raypipe.io/v1\r\nclusters:\r\n- {name: a, manifests: [a.yaml]}\r\n"
    written(tmp_path, {"all.yaml": start + lines, "a.yaml": [deployment()]})
    (cluster,) = read_paths([tmp_path / "all.yaml"]).clusters
    assert (cluster.name, wanted(cluster)) == ("a", {"Deployment/default/web": 1})


TWO = """
apiVersion: raypipe.io/v1
kind: Fleet
clusters:
- {name: good, manifests: [good]}
- {name: bad, manifests: [bad/a.yaml]}
"""


def test_a_broken_cluster_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = deployment(of=template({"resources": {"requests": {"cpu": "-1", "memory": "x"}}}))
    written(tmp_path, {"f/fleet.yaml": TWO, "f/good/a.yaml": [deployment()], "f/bad/a.yaml": [bad]})
    monkeypatch.chdir(tmp_path)
    good, broken = read_paths(["f"]).clusters
    assert wanted(good) == {"Deployment/default/web": 1}
    assert (good.error, broken.name, broken.demand) == (None, "bad", ())
    assert broken.error is not None
    assert [line.partition(": found")[0] for line in broken.error.splitlines()] == [
        f"f/bad/a.yaml:{line}: spec.template.spec.containers[0].resources.requests.{name}"
        for line, name in ((15, "cpu"), (16, "memory"))
    ]
    with pytest.raises(InputError, match=r"f/bad/a\.yaml:15"):
        read_paths(["f"], strict=True)


def test_a_fleet_file_among_its_manifests_is_none_of_them(tmp_path: Path) -> None:
    text = "apiVersion: raypipe.io/v1\nkind: Fleet\nclusters: [{name: a, manifests: [.]}]"
    written(tmp_path, {"fleet.yaml": text, "a.yaml": [deployment()]})
    (cluster,) = read_paths([tmp_path]).clusters
    assert (wanted(cluster), notes(cluster)) == ({"Deployment/default/web": 1}, [])


def test_a_fleet_file_stands_alone(tmp_path: Path) -> None:
    written(tmp_path, {"f.yaml": TWO, "a.yaml": [deployment()]})
    with pytest.raises(InputError, match="found a fleet file beside other paths"):
        read_paths([tmp_path / "a.yaml", tmp_path / "f.yaml"])


@pytest.mark.parametrize(
    "text",
    [
        "kind: Fleet\napiVersion: raypipe.io/v1",
        '{"apiVersion": "raypipe.io/v1", "kind": "Fleet"}',
        "{apiVersion: raypipe.io/v1, kind: Fleet}",
        '"kind": "Fleet"  \napiVersion: raypipe.io/v1',
        "kind: Fleet # of mine",
    ],
)
def test_a_fleet_is_known_by_its_kind(tmp_path: Path, text: str) -> None:
    written(tmp_path, {"x.yaml": text})
    with pytest.raises(InputError, match="found no cluster"):
        read_paths([tmp_path / "x.yaml"])


def test_text_about_fleets_is_no_fleet(tmp_path: Path) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"x": "a\nkind: Fleet\n"}}
    written(tmp_path, {"x.yaml": json.dumps(config), "y.yaml": "# kind: Fleets\n" + json.dumps(config)})
    assert notes(read_paths([tmp_path / "x.yaml"]).clusters[0]) == [("unknown-kind", "ConfigMap", 1)]


def test_standby_nodes_of_one_kind_count_together() -> None:
    entry = (
        "standby: [{instanceType: g6.xlarge}, {instanceType: a, capacityType: spot, count: 0},"
        " {instanceType: g6.xlarge, capacityType: on-demand, count: 2}]\nmanifests: [objects.yaml]"
    )
    standby = Standby(instance_type="g6.xlarge", capacity_type="on-demand", count=3)
    assert read_fleet(entry).clusters[0].standby == (standby,)


def test_an_empty_folder_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (cluster,) = read_paths([tmp_path / "empty"]).clusters
    assert [note.kind for note in cluster.notes if note.kind != "default"] == ["no-manifests"]


def test_a_saved_snapshot_is_read_back(tmp_path: Path) -> None:
    everything = [deployment(), node(), pod("p", node="node-1"), thing("NodePool"), thing("DaemonSet", spec=SPEC)]
    written(tmp_path, {"c/a.yaml": everything})
    fleet = read_paths([tmp_path / "c"])
    (tmp_path / "snapshot.json").write_text(fleet.to_json())
    assert read_paths([tmp_path / "snapshot.json"]) == fleet
    for wrong in ({"schema": "raypipe.snapshot/v1", "clusters": 5}, {"schema": "raypipe.plan/v1", "clusters": []}):
        (tmp_path / "wrong.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError, match="expected a snapshot"):
            read_paths([tmp_path / "wrong.json"])


SPEC: dict[str, Any] = {"template": template()}


def test_a_clusters_name_is_its_first_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, {"my cluster/a.yaml": [pod("p")], "other/b.yaml": [pod("q")]})
    assert read_paths([tmp_path / "my cluster", tmp_path / "other"]).clusters[0].name == "my-cluster"
    assert read_paths([tmp_path / "my cluster" / "a.yaml", tmp_path / "other"]).clusters[0].name == "other"
    monkeypatch.chdir(tmp_path / "other")
    assert read_paths(["b.yaml"]).clusters[0].name == read_paths(["."]).clusters[0].name == "other"
    with pytest.raises(InputError, match="no path"):
        read_paths([])


GOLDEN = Path(__file__).parents[3] / ".." / "shared" / "golden"


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden cases (../shared/golden) are not here")
def test_the_golden_inputs_are_read() -> None:
    read_so = {path.name: read_paths([path / "fleet.yaml"]) for path in GOLDEN.glob("[0-9]*")}
    broken = {cluster.name for fleet in read_so.values() for cluster in fleet.clusters if cluster.error is not None}
    assert len(read_so) == 12
    assert broken == {"bad"}
