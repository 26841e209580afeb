"""-o yaml: objects and patches that a reader can apply as they are."""

from __future__ import annotations

import yaml

from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.plan import Scope
from raypipe.report.objects import render
from tests.unit.report.plans import SUSPEND, buy, cluster, fleet_plan, node


def documents(text: str) -> list[object]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def test_a_node_to_buy_is_a_whole_node_claim() -> None:
    (claim,) = documents(render(fleet_plan(cluster(actions=(buy(node()),)))))
    assert claim == {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {
            "name": "research-3f9a1c0b77-0001",
            "labels": {"raypipe.io/cluster": "research"},
            "annotations": {"raypipe.io/decision": "3f9a"},
        },
        "spec": {
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["m7g.2xlarge"]},
            ],
            "resources": {"requests": {"cpu": "7500m", "memory": "22Gi"}},
        },
    }


def test_a_node_claim_without_a_node_class_says_what_is_missing() -> None:
    assert "# Karpenter wants a nodeClassRef" in render(fleet_plan(cluster(actions=(buy(node()),))))


def test_a_change_is_a_merge_patch_that_names_its_object_under_its_reason() -> None:
    text = render(fleet_plan(cluster(actions=(SUSPEND,))))
    assert documents(text) == [
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayJob",
            "metadata": {
                "name": "late",
                "namespace": "ml",
                "annotations": {"raypipe.io/suspended-by": "cluster/research/cpu"},
            },
            "spec": {"suspend": True},
        }
    ]
    assert "# SuspendRayJob ba9876543210 in cluster research, merge patch: cluster/research/cpu keeps it out\n" in text
    assert "\n# none of its pods runs\n" in text


def test_a_plan_without_actions_says_so() -> None:
    assert render(fleet_plan(cluster(actions=()))) == "# nothing to do\n"
    assert "nothing to carry out" in render(fleet_plan(scope=Scope.WHOLE))


def test_a_cluster_without_a_plan_is_a_comment() -> None:
    text = render(fleet_plan(cluster(actions=(), error="a.yaml:1: found x\nb.yaml: found y")))
    assert text == "# cluster research could not be planned: a.yaml:1: found x\n# b.yaml: found y\n"


def test_a_change_of_worker_groups_is_a_json_patch_under_the_command_that_carries_it_out() -> None:
    patch = ({"op": "test", "path": "/metadata/uid", "value": "u"}, {"op": "add", "path": "/spec/x", "value": 3})
    scale = Action(
        id="0123456789ab",
        kind=ActionKind.SCALE_WORKER_GROUP,
        object=ObjectRef(kind="RayCluster", name="demo", namespace="ml"),
        reason="alternatives gpus",
        patch=patch,
    )
    text = render(fleet_plan(cluster(actions=(scale,))))
    assert documents(text) == [list(patch)]
    assert "# ScaleWorkerGroup 0123456789ab in cluster research, JSON patch: alternatives gpus\n" in text
    assert "# kubectl --namespace ml patch raycluster demo --type json --patch-file FILE\n" in text


def test_a_patch_of_an_object_without_annotations_says_when_it_is_refused() -> None:
    first = {"op": "test", "path": "/metadata/annotations", "value": None}
    action = Action(
        id="0123456789ab",
        kind=ActionKind.RESUME_RAY_JOB,
        object=ObjectRef(kind="RayJob", name="late", namespace="ml"),
        patch=(first, {"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}),
    )
    assert "# read without annotations: refused where it has some" in render(fleet_plan(cluster(actions=(action,))))


def test_the_command_names_the_context_of_a_live_cluster() -> None:
    text = render(fleet_plan(cluster(context="arn:aws:eks:us east", actions=(buy(node()), SUSPEND))))
    assert "# kubectl --context 'arn:aws:eks:us east' create --filename FILE\n" in text
    assert "# kubectl --context 'arn:aws:eks:us east' --namespace ml patch rayjob late --type merge --patch" in text
