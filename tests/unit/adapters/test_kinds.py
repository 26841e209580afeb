"""What is read of a live cluster: the kinds that manifests know, no more, and of them what a plan needs, no more."""

from __future__ import annotations

import json

from raypipe.adapters.kubernetes.kinds import KINDS
from raypipe.adapters.kubernetes.pruning import pruned
from raypipe.manifests.objects import GROUPS, UNCHECKED

SECRET = "hunter2"


def test_every_kind_that_manifests_know_is_listed_once_in_each_of_its_groups() -> None:
    listed = [(kind.name, kind.group) for kind in KINDS]
    known = [(kind, group) for kind, groups in GROUPS.items() for group in groups if group != "extensions"]
    noted = [(kind, "") for kind in UNCHECKED if kind not in GROUPS]
    assert sorted(listed) == sorted([*known, *noted])


def test_no_secret_and_no_configmap_is_ever_asked_for() -> None:
    assert not {kind.plural for kind in KINDS} & {"secrets", "configmaps"}


def container(name: str) -> dict[str, object]:
    return {
        "name": name,
        "image": "app:1",
        "env": [{"name": "PASSWORD", "value": SECRET}],
        "command": ["run", SECRET],
        "args": [SECRET],
        "livenessProbe": {"exec": {"command": [SECRET]}},
        "lifecycle": {"preStop": {"exec": {"command": [SECRET]}}},
        "resources": {"requests": {"cpu": "1"}},
        "ports": [{"hostPort": 80}],
    }


def kept(name: str) -> dict[str, object]:
    return {
        "name": name,
        "image": "app:1",
        "resources": {"requests": {"cpu": "1"}},
        "ports": [{"hostPort": 80}],
    }


def metadata(**more: object) -> dict[str, object]:
    applied = {"kubectl.kubernetes.io/last-applied-configuration": SECRET}
    return {"name": "x", "annotations": {"raypipe.io/admit": "true", **applied}, "managedFields": [SECRET], **more}


def test_environments_commands_and_what_kubectl_kept_are_dropped_wherever_templates_lie() -> None:
    template = {"metadata": metadata(), "spec": {"initContainers": [container("a")], "containers": [container("b")]}}
    ray = {"workerGroupSpecs": [{"groupName": "g", "template": template}]}
    one = {"kind": "RayService", "metadata": metadata(), "spec": {"rayClusterConfig": ray}}
    bare = {"name": "x", "annotations": {"raypipe.io/admit": "true"}}
    clean = {"metadata": bare, "spec": {"initContainers": [kept("a")], "containers": [kept("b")]}}
    assert pruned(json.loads(json.dumps(one))) == {
        "kind": "RayService",
        "metadata": bare,
        "spec": {"rayClusterConfig": {"workerGroupSpecs": [{"groupName": "g", "template": clean}]}},
    }


def test_odd_objects_are_left_as_they_are() -> None:
    odd = [None, [], "x", {"metadata": None, "spec": 3}, {"spec": {"containers": {"a": 1}, "metadata": []}}]
    assert [pruned(one) for one in odd] == odd
