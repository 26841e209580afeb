"""Which files are read, and what becomes of the documents in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.errors import InputError
from raypipe.manifests import read_paths
from tests.unit.manifests.builders import deployment, notes, pod, problems, read, read_text, wanted, written

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
    cluster = read(config, {**config, "metadata": {"name": "d"}}, quota, other)
    assert notes(cluster) == [
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


def test_all_that_is_wrong_is_told_at_once_and_a_flood_is_cut_short() -> None:
    wrong = [deployment(f"d{number}", -1) for number in range(200)]
    told = problems(*wrong)
    assert len(told) == 51
    assert told[-1].endswith("150 more problems like these")
