"""Live pods under the keys that plans count them by."""

from __future__ import annotations

from typing import Any

from raypipe.manifests.origins import Observed
from raypipe.manifests.waiting import waiting_pods


def known(api: str, kind: str, name: str, owner: tuple[str, str, str] | None = None, **more: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "ml", "uid": f"{kind}-{name}"} | more.pop("metadata", {})
    if owner is not None:
        group, owner_kind, owner_name = owner
        reference = {"apiVersion": group, "kind": owner_kind, "name": owner_name, "uid": f"{owner_kind}-{owner_name}"}
        metadata["ownerReferences"] = [reference]
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **more}


def test_pods_that_wait_are_found_under_the_keys_of_plans() -> None:
    job, ray = ("ray.io/v1", "RayJob", "train"), ("ray.io/v1", "RayCluster", "train-x")
    labels = {"ray.io/node-type": "worker", "ray.io/group": "gpu"}
    leader = {"leaderworkerset.sigs.k8s.io/worker-index": "0", "leaderworkerset.sigs.k8s.io/name": "llm"}
    worker = {**leader, "leaderworkerset.sigs.k8s.io/worker-index": "1"}
    objects = (
        known("ray.io/v1", "RayJob", "train"),
        known("ray.io/v1", "RayCluster", "train-x", job),
        known("v1", "Pod", "train-b", ray, metadata={"labels": labels}),
        known("v1", "Pod", "train-a", ray, metadata={"labels": labels}),
        known("v1", "Pod", "train-head", ray, metadata={"labels": {"ray.io/node-type": "head"}}),
        known("v1", "Pod", "submits", job),
        known("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "llm"),
        known("v1", "Pod", "llm-0", ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "llm"),
              metadata={"labels": leader}, spec={"nodeName": "n-1"}),
        known("v1", "Pod", "llm-0-1", ("v1", "Pod", "llm-0"), metadata={"labels": worker}),
        known("v1", "Pod", "alone"),
        known("v1", "Pod", "bound", spec={"nodeName": "n-1"}),
        known("v1", "Pod", "ends", metadata={"deletionTimestamp": "2026-11-25T12:00:00Z"}),
    )  # fmt: skip

    found = waiting_pods(Observed(context="prod", objects=objects))

    assert {key: [pod.name for pod in pods] for key, pods in found.items()} == {
        "LeaderWorkerSet/ml/llm/worker": ["llm-0-1"],
        "Pod/ml/alone": ["alone"],
        "RayJob/ml/train/head": ["train-head"],
        "RayJob/ml/train/submitter": ["submits"],
        "RayJob/ml/train/worker/gpu": ["train-a", "train-b"],
    }
