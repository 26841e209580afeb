"""Which pods are planned with `manage: labelled`: the truth table of label, annotation and ignore (L1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.manifests import read_paths
from raypipe.settings import Settings

LABELLED = Settings(manage="labelled", managed_annotations={"example.com/planned": "yes"})


def read(tmp_path: Path, settings: Settings, *, label: bool, annotation: bool, ignore: bool) -> tuple[int, list[str]]:
    """Pods of demand, and the reasons of those left out."""
    annotations = ({"example.com/planned": "yes"} if annotation else {}) | (
        {"pod.elotl.co/ignore": "true"} if ignore else {}
    )
    metadata = {"name": "p", "labels": {"elotl-luna": "true"} if label else {}, "annotations": annotations}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "a"}]}}
    path = tmp_path / "pod.json"
    path.write_text(json.dumps(pod))
    (cluster,) = read_paths([path], settings=settings).clusters
    return sum(group.count for group in cluster.demand), [entry.reason for entry in cluster.excluded]


@pytest.mark.parametrize(
    ("label", "annotation", "ignore", "planned", "reasons"),
    [
        (True, False, False, 1, []),
        (False, True, False, 1, []),
        (True, True, False, 1, []),
        (False, False, False, 0, ["not-managed"]),
        (True, True, True, 0, ["ignored"]),
        (False, False, True, 0, ["ignored"]),
    ],
    ids=["label", "annotation", "both", "neither", "ignore wins", "ignore alone"],
)
def test_a_label_or_an_annotation_designates_and_ignore_wins(
    tmp_path: Path, label: bool, annotation: bool, ignore: bool, planned: int, reasons: list[str]
) -> None:
    found = read(tmp_path, LABELLED, label=label, annotation=annotation, ignore=ignore)
    assert found == (planned, reasons)


@pytest.mark.parametrize(("ignore", "planned"), [(False, 1), (True, 0)])
def test_by_default_every_pod_is_planned_but_those_to_ignore(tmp_path: Path, ignore: bool, planned: int) -> None:
    assert read(tmp_path, Settings(), label=False, annotation=False, ignore=ignore)[0] == planned
