"""Which fields of a worker group Ray's own autoscaler looks at, as far as a cluster's objects tell."""

from __future__ import annotations

import pytest

from raypipe.model.alternatives import RayTarget
from tests.unit.manifests.builders import Object, container, problems, ray_spec, read, template, thing

PRIORITY: Object = {"priority": {"type": "integer"}}


def groups() -> list[Object]:
    marked = template(annotations={"raypipe.io/alternatives": "s"})
    return [{"groupName": name, "replicas": 1, "template": marked} for name in "ab"]


def spec(**more: object) -> Object:
    return ray_spec(*groups(), **{"enableInTreeAutoscaling": True, "rayVersion": "2.60.0", **more})


def definition(kind: str, *way: str, version: str = "v1") -> Object:
    """A CustomResourceDefinition whose worker groups, `way` below the spec, have a priority."""
    schema: Object = {"properties": {"workerGroupSpecs": {"items": {"properties": PRIORITY}}}}
    for step in reversed(("spec", *way)):
        schema = {"properties": {step: schema}}
    served = {"name": version, "served": True, "schema": {"openAPIV3Schema": schema}}
    content = {"group": "ray.io", "names": {"kind": kind}, "versions": [served]}
    return thing("CustomResourceDefinition", f"{kind.lower()}s.ray.io", content)


def target(*objects: Object) -> RayTarget:
    (one,) = read(*objects).alternatives
    return one.target


BY_VARIABLE = template(container() | {"env": [{"name": "RAY_enable_autoscaler_v2", "value": "1"}]})
V2: Object = {"autoscalerOptions": {"version": "v2"}}


@pytest.mark.parametrize(
    ("more", "hurries"),
    [
        pytest.param({}, False, id="the first version, unless something else is said"),
        pytest.param({"autoscalerOptions": {"version": "v1"}}, False, id="the first version"),
        pytest.param(V2, True, id="the second"),
        pytest.param({"head": BY_VARIABLE}, True, id="the second, by the head's environment"),
        pytest.param(V2 | {"enableInTreeAutoscaling": False}, False, id="no autoscaler"),
    ],
)
def test_the_second_version_looks_at_idle_timeouts(more: Object, hurries: bool) -> None:
    assert target(thing("RayCluster", spec=spec(**more))).hurries is hurries


def test_an_idle_timeout_of_the_cluster_holds_where_a_group_has_none() -> None:
    assert target(thing("RayCluster", spec=spec())).idle_timeout_s == 60
    assert target(thing("RayCluster", spec=spec(autoscalerOptions={"idleTimeoutSeconds": 5}))).idle_timeout_s == 5
    (told,) = problems(thing("RayCluster", spec=spec(autoscalerOptions={"idleTimeoutSeconds": -1})))
    assert "spec.autoscalerOptions.idleTimeoutSeconds: found -1, expected a whole number from 0" in told


@pytest.mark.parametrize(
    ("version", "prefers"),
    [("2.60.0", True), ("2.56.0", True), ("2.55.9", False), ("3.0", True), ("nightly", False), (2.56, False)],
)
def test_a_ray_of_2_56_or_later_looks_at_priorities(version: object, prefers: bool) -> None:
    one = thing("RayCluster", spec=spec(**V2 | {"rayVersion": version}))
    assert target(one, definition("RayCluster")).prefers is prefers


def test_the_definition_of_the_kind_that_is_written_counts() -> None:
    job = thing("RayJob", spec={"rayClusterSpec": spec(**V2)})
    assert target(job, definition("RayJob", "rayClusterSpec")).prefers
    assert not target(job, definition("RayCluster")).prefers
    assert not target(job, definition("RayJob", "rayClusterSpec", version="v1alpha1")).prefers
    made = thing("RayCluster", "x-1", spec(**V2), job)
    assert target(job, made, definition("RayCluster")).prefers


@pytest.mark.parametrize("nonsense", [None, 3, "x", [], {}, {"versions": 3}, {"versions": [None]}])
def test_a_definition_of_nonsense_serves_nothing(nonsense: object) -> None:
    broken = definition("RayCluster") | {"spec": {"group": "ray.io", "names": {"kind": "RayCluster"}, "versions": []}}
    broken["spec"] = nonsense if not isinstance(nonsense, dict) else broken["spec"] | nonsense
    one = thing("RayCluster", spec=spec(**V2))
    assert problems(one, broken) or not target(one, broken).prefers
