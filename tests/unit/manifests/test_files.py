"""Which files are read, and what becomes of the documents in them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from raypipe.errors import InputError
from raypipe.manifests import read_paths
from tests.unit.manifests.builders import (
    Object,
    container,
    deployment,
    node,
    notes,
    pod,
    problems,
    ray_spec,
    read,
    read_text,
    template,
    thing,
    wanted,
    written,
)

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {containers: [{resources: {requests: {cpu: %s}}}]}\n"


def test_folders_are_read_through_in_every_format(tmp_path: Path) -> None:
    files = {
        "one/a.yaml": POD % ("a", 1),
        "one/deep/er/b.yml": POD % ("b", 1) + "---\n---\n" + POD % ("c", 1),
        "one/d.json": json.dumps(pod("d")),
        "one/e.txt": "not a manifest",
        "one/.hidden/f.yaml": "not: [a manifest",
        "two/g.yaml": POD % ("g", 1),
    }
    written(tmp_path, files)
    cluster = read_paths([tmp_path / "one", tmp_path / "two" / "g.yaml"]).clusters[0]
    assert cluster.name == "one"
    assert wanted(cluster) == {f"Pod/default/{name}": 1 for name in "abcdg"}


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        pytest.param("List", pod("a"), id="List"),
        pytest.param("PodList", pod("a"), id="PodList"),
        pytest.param("PodList", {key: one for key, one in pod("a").items() if key != "kind"}, id="items without kind"),
        pytest.param("List", {"apiVersion": "v1", "kind": "List", "items": [pod("a")]}, id="List of List"),
    ],
)
def test_lists_are_their_items(kind: str, item: object) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": kind, "items": [item]})
    assert wanted(read_text(text, "list.json")) == wanted(read_text(text, "list.yaml")) == {"Pod/default/a": 1}


def test_the_same_object_twice_counts_once() -> None:
    assert wanted(read(deployment(replicas=3), deployment(replicas=3))) == {"Deployment/default/web": 3}


def test_one_object_told_in_two_ways_names_both_places(tmp_path: Path) -> None:
    written(tmp_path, {"a.yaml": POD % ("p", 1), "b.yaml": "---\n" + POD % ("p", 2)})
    with pytest.raises(InputError) as caught:
        read_paths([tmp_path])
    assert "b.yaml:2: " in str(caught.value)
    assert "a.yaml:1" in str(caught.value)
    assert "Pod/default/p" in str(caught.value)


def test_kinds_that_are_not_planned_are_one_note_each() -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}}
    other = {"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "metadata": {"name": "v"}, "spec": {}}
    queue = {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue", "metadata": {"name": "q"}}
    cluster = read(config, {**config, "metadata": {"name": "d"}}, quota, other, queue)
    assert notes(cluster) == [
        ("unchecked-kind", "Queue", 1),
        ("unchecked-kind", "ResourceQuota", 1),
        ("unknown-kind", "ConfigMap", 2),
        ("unknown-kind", "Job (batch.volcano.sh)", 1),
    ]


def test_secrets_never_enter_a_snapshot() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "labels": {"a": "hush"}}}
    cluster = read(secret | {"stringData": {"key": "hush"}}, pod("a"))
    assert "hush" not in str(cluster)


def test_order_of_files_and_objects_makes_no_difference(tmp_path: Path) -> None:
    objects = [deployment("a", 2), deployment("b", 3), pod("p"), pod("q"), {"apiVersion": "v1", "kind": "X"}]
    written(tmp_path, {"one/c/a.yaml": objects[:3], "one/c/b.yaml": objects[3:]})
    written(tmp_path, {"two/c/a.yaml": objects[3:][::-1], "two/c/b.yaml": objects[:3][::-1]})
    assert read_paths([tmp_path / "one" / "c"]) == read_paths([tmp_path / "two" / "c"])


def everything() -> list[Object]:
    """Objects of every kind that demand is made of, several of each and some alike."""
    made: list[Object] = []
    for number in range(3):
        owner = deployment(f"d{number}", 4, uid=f"u-{number}")
        set_of = thing(
            "ReplicaSet", f"d{number}-5d9", {"replicas": 4, "template": template()}, owner, uid=f"v-{number}"
        )
        shapes = (template(), template(container("2")), template(container("3"), labels={"x": "y"}))
        made += [owner, set_of, node(f"n{number}"), thing("DaemonSet", f"s{number}", {"template": template()})]
        made += [
            pod(f"p{number}{at}", one, owner=set_of, node=f"n{at % 2}" if at else None) for at, one in enumerate(shapes)
        ]
        made += [pod(f"q{number}", template(labels={"scheduling.x-k8s.io/pod-group": "g"}))]
        made += [thing("RayCluster", f"r{number}", ray_spec({"replicas": 2}), uid=f"w-{number}")]
        made += [
            thing("NodePool", f"np{number}", {"limits": {"cpu": number}}),
            {"apiVersion": "v1", "kind": f"K{number}"},
        ]
    return [*made, thing("PodGroup", "g", {"minMember": 2})]


@pytest.mark.parametrize("seed", range(8))
def test_any_order_of_files_and_objects_gives_the_same_bytes(tmp_path: Path, seed: int) -> None:
    objects = everything()
    written(tmp_path, {"first/c/a.yaml": objects})
    random.Random(seed).shuffle(objects)
    parts = {f"second/c/{name}.yaml": objects[number::3] for number, name in enumerate("zxy")}
    written(tmp_path, {name: part for name, part in parts.items() if part})
    first, second = (read_paths([tmp_path / name / "c"]) for name in ("first", "second"))
    assert first.clusters[0].error is None
    assert first.to_json() == second.to_json()


def test_paths_in_problems_are_as_the_user_wrote_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, {"c/a.yaml": POD % ("a", -1)})
    monkeypatch.chdir(tmp_path)
    for path in ("c", "./c/", "c/a.yaml"):
        with pytest.raises(InputError) as caught:
            read_paths([path])
        assert str(caught.value).startswith(f"{path.rstrip('/').removesuffix('/a.yaml')}/a.yaml:4: spec.containers[0]")


@pytest.mark.parametrize("path", ["nowhere", "a" * 5000, "a\0b"])
def test_paths_that_do_not_exist_are_named(path: str) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_paths([path])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (pod("a", template(affinity=[])), "spec.affinity"),
        (pod("a", template({"resources": []})), "spec.containers[0].resources"),
        (thing("RayJob", "a", {"suspend": "true", "rayClusterSpec": ray_spec()}), "spec.suspend"),
        (
            thing("LeaderWorkerSet", "a", {"leaderWorkerTemplate": {"size": 2}}),
            "spec.leaderWorkerTemplate.workerTemplate",
        ),
    ],
    ids=["affinity", "resources", "suspend", "a template for two roles"],
)
def test_what_is_wrong_is_told_once_however_often_it_is_read(wrong: Object, field: str) -> None:
    told = problems(wrong)
    assert len(told) == 1
    assert told[0].startswith(f"objects.json:1: items[0].{field}")


def test_what_is_wrong_in_two_roles_of_one_object_is_still_told_of_the_next() -> None:
    both = [thing("LeaderWorkerSet", name, {"leaderWorkerTemplate": {"size": 2}}) for name in "ab"]
    assert [one.partition(".spec")[0] for one in problems(*both)] == [f"objects.json:1: items[{n}]" for n in (0, 1)]


def test_all_that_is_wrong_is_told_at_once_and_a_flood_is_cut_short() -> None:
    wrong = [deployment(f"d{number}", -1) for number in range(200)]
    told = problems(*wrong)
    assert len(told) == 51
    assert told[-1].endswith("150 more problems like these")
