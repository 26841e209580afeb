"""`-` is what is piped in: manifests or a snapshot, once, called `-` in every message."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import yaml

from raypipe.cli import main
from raypipe.errors import InputError
from raypipe.manifests import read_paths
from raypipe.model.snapshot import FleetSnapshot
from tests.unit.manifests.builders import Object, deployment, pod, template, wanted, written

LIST: Object = {"apiVersion": "v1", "kind": "List", "items": [deployment(replicas=3), pod("a")]}
WANTED = {"Deployment/default/web": 3, "Pod/default/a": 1}


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """Standard input; write to it what comes."""
    content = io.BytesIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(content))
    return content


def piped(pipe: io.BytesIO, content: str | bytes, *beside: Path) -> FleetSnapshot:
    pipe.write(content if isinstance(content, bytes) else content.encode())
    pipe.seek(0)
    return read_paths(["-", *beside])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(json.dumps(LIST), id="as kubectl get -o json writes it"),
        pytest.param(yaml.safe_dump(LIST), id="as kubectl get -o yaml writes it"),
        pytest.param(yaml.safe_dump_all(LIST["items"]), id="many documents"),
    ],
)
def test_objects_are_read_from_it(content: str, pipe: io.BytesIO) -> None:
    (cluster,) = piped(pipe, content).clusters
    assert (cluster.name, wanted(cluster)) == ("cluster", WANTED)


def test_it_is_one_cluster_with_other_paths(pipe: io.BytesIO, tmp_path: Path) -> None:
    folder = written(tmp_path, {"shop/db.yaml": [deployment("db")]}) / "shop"
    (cluster,) = piped(pipe, json.dumps(LIST), folder).clusters
    assert (cluster.name, wanted(cluster)) == ("shop", WANTED | {"Deployment/default/db": 1})


def test_a_snapshot_is_read_from_it(pipe: io.BytesIO, tmp_path: Path) -> None:
    fleet = read_paths([written(tmp_path, {"shop/objects.json": json.dumps(LIST)}) / "shop"])
    assert piped(pipe, fleet.to_json()) == fleet


def test_what_is_wrong_has_its_line(pipe: io.BytesIO) -> None:
    with pytest.raises(InputError, match=r"^-:6: spec\.replicas: found -1"):
        piped(pipe, yaml.safe_dump(deployment(replicas=-1, of=template())))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("apiVersion: raypipe.io/v1\nkind: Fleet\nclusters: []\n", "-: found a fleet file", id="a fleet"),
        pytest.param("{'kind': [", "-:2: found", id="broken"),
        pytest.param(b"\xff\xfe\x00", "-:1: found", id="no text"),
        pytest.param("3", "-:1: found '3', expected an object", id="a number"),
    ],
)
def test_what_is_no_manifest_is_refused(content: str | bytes, said: str, pipe: io.BytesIO) -> None:
    with pytest.raises(InputError) as refused:
        piped(pipe, content)
    assert str(refused.value).startswith(said)


def test_it_is_planned_like_any_path(pipe: io.BytesIO, capsys: pytest.CaptureFixture[str]) -> None:
    pipe.write(json.dumps(LIST).encode())
    pipe.seek(0)
    assert main(["plan", "-", "-o", "json", "--quiet"]) == 0
    plan = json.loads(capsys.readouterr().out)["clusters"][0]
    assert (plan["name"], plan["bound"]["pods"], plan["unplaced"]) == ("cluster", 4, [])
