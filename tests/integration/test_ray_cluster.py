"""ray_cluster.yaml: KubeRay takes it, it may read what a plan is made from and nothing else, and it can be planned."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import raypipe
from raypipe.manifests.objects import GROUPS
from tests.integration.definitions import Schema, definition_of, problems, schema_of

FILE = Path(__file__).parents[2] / "ray_cluster.yaml"
DOCUMENTS = list(yaml.safe_load_all(FILE.read_text(encoding="utf-8")))
OBJECTS = {one["kind"]: one for one in DOCUMENTS}
ROLES = {(one["kind"], one["metadata"]["name"]): one for one in DOCUMENTS if one["kind"].endswith("Role")}
BINDINGS = [one for one in DOCUMENTS if one["kind"].endswith("RoleBinding")]


@pytest.fixture(scope="module")
def schema() -> Schema:
    """KubeRay's schema of a RayCluster."""
    return schema_of(definition_of("RayCluster"))


def test_kuberay_takes_it(schema: Schema) -> None:
    assert problems(schema, OBJECTS["RayCluster"]) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("authOption", {"mode": "token"}, id="a field misspelt"),
        pytest.param("authOptions", {"mode": "none"}, id="a word that it does not know"),
        pytest.param("workerGroupSpecs", [{"groupName": "shards"}], id="a group without a template"),
    ],
)
def test_the_schema_would_tell(field: str, value: object, schema: Schema) -> None:
    cluster = OBJECTS["RayCluster"]
    assert len(problems(schema, cluster | {"spec": cluster["spec"] | {field: value}})) > 0


def test_it_may_read_what_a_plan_is_made_from_and_nothing_else() -> None:
    rules = ROLES["ClusterRole", "raypipe-read"]["rules"]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch"}
    granted = {(group, kind) for rule in rules for group in rule["apiGroups"] for kind in rule["resources"]}
    assert granted == {
        (group, resource(kind)) for kind, groups in GROUPS.items() for group in groups if group != "extensions"
    }


def resource(kind: str) -> str:
    """A kind as a role names it."""
    name = kind.lower()
    return name + "es" if name.endswith("s") else name.removesuffix("y") + "ies" if name.endswith("y") else name + "s"


def test_it_may_write_nothing_by_a_wildcard_and_read_no_secret() -> None:
    for role in ROLES.values():
        for rule in role["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
            assert "secrets" not in rule["resources"]


def test_the_rights_are_the_heads_alone() -> None:
    account = OBJECTS["ServiceAccount"]["metadata"]
    spec = OBJECTS["RayCluster"]["spec"]
    assert {(one["roleRef"]["kind"], one["roleRef"]["name"]) for one in BINDINGS} == set(ROLES)
    for binding in BINDINGS:
        subject = {"kind": "ServiceAccount"} | {key: account[key] for key in ("name", "namespace")}
        assert binding["subjects"] == [subject]
    assert spec["headGroupSpec"]["template"]["spec"]["serviceAccountName"] == account["name"]
    for group in spec["workerGroupSpecs"]:
        assert group["template"]["spec"]["automountServiceAccountToken"] is False


def test_it_is_planned() -> None:
    plan = raypipe.plan(raypipe.read(FILE))
    pods = {key: count for node in plan.clusters[0].nodes for key, count in node.pods.items()}
    assert pods == {"RayCluster/default/raypipe/head": 1, "RayCluster/default/raypipe/worker/shards": 2}
    assert plan.unplaced == ()
