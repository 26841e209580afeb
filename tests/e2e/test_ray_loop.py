"""The live loop and Ray objects, real programs: gangs under a limit, and worker groups that follow the price."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

import raypipe
from tests.e2e.api import JSON_PATCH, Object
from tests.e2e.cluster import Cluster
from tests.e2e.kuberay import A, B, either, groups, ray_job
from tests.e2e.processes import until
from tests.e2e.running import RunningLoop, catalogue, fleet_file, kubeconfig_of, workers, written

LEASE_S = 2.0
GPU_LIMIT = 4
"""What two gangs of two workers take, with a GPU each."""


@pytest.fixture
def loop(contested: Cluster, tmp_path: Path) -> Iterator[RunningLoop]:
    """A loop that is about to be started; afterwards the cluster is empty."""
    fleet = fleet_file(tmp_path / "fleet.yaml", [contested.name], lease_s=LEASE_S, settle_s=0.5)
    running = RunningLoop(tmp_path, kubeconfig_of(tmp_path / "kubeconfig.yaml", [contested]), fleet)
    yield running
    running.close()
    contested.clear()


def training(name: str, *, admit: bool) -> Object:
    """A suspended gang of a head and two workers with a GPU each; `admit`: raypipe may resume it."""
    job = ray_job(name, {"workers": 2}, suspend=True)
    if admit:
        job["metadata"]["annotations"] = {"raypipe.io/admit": "true"}
    for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "1"
    return job


def running_workers(cluster: Cluster) -> dict[str, list[str]]:
    """Phases of the worker pods of each RayJob that has any."""
    found: dict[str, list[str]] = {}
    for pod in cluster.api.items("v1", "Pod", labelSelector="ray.io/node-type=worker"):
        name = pod["metadata"]["labels"]["ray.io/cluster"].rpartition("-")[0]  # a RayCluster is called after its RayJob
        found.setdefault(name, []).append(pod["status"]["phase"])
    return found


def finish(cluster: Cluster, job: Object) -> None:
    """End a job as KubeRay sees it; simulated pods run no Ray that would."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ended = {"jobStatus": "SUCCEEDED", "jobDeploymentStatus": "Complete", "endTime": now}
    cluster.api.patch(job, {"status": ended}, subresource="status")


def test_of_three_gangs_under_a_gpu_limit_two_run_and_the_third_when_one_ends(
    contested: Cluster, loop: RunningLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = yaml.safe_load(loop.fleet.read_text()) | {"limits": {"nvidia.com/gpu": str(GPU_LIMIT)}}
    loop.fleet.write_text(yaml.safe_dump(fleet))
    first, second, third = (training(name, admit=True) for name in ("first", "second", "third"))
    persons = training("persons", admit=False)
    for job in (first, second, third, persons):  # one after another: the older is admitted first
        contested.api.create(job)
    untouched = contested.api.wait(persons, lambda one: one.get("status", {}).get("jobDeploymentStatus") == "Suspended")

    loop.start("--apply")
    two = {"first": ["Running"] * 2, "second": ["Running"] * 2}
    until(lambda: running_workers(contested) == two, 60, "two gangs run")
    assert written(contested, "rayjobs") == ["first", "second"]
    note = until(lambda: loop_event(contested, "third", "Unplaced"), 20, "it is said why the third does not run")
    assert "fleet/nvidia.com/gpu" in note
    monkeypatch.setenv("KUBECONFIG", str(loop.kubeconfig))
    (plan,) = raypipe.plan(raypipe.read(loop.fleet, strict=True)).clusters
    assert {(one.pods, one.reason, one.limit) for one in plan.unplaced} == {
        (f"RayJob/default/third/{part}", "limit", "fleet/nvidia.com/gpu")
        for part in ("head", "worker/workers", "submitter")
    }
    assert running_workers(contested) == two

    finish(contested, first)
    until(
        lambda: running_workers(contested) == {"second": two["second"], "third": ["Running"] * 2},
        60,
        "the third runs in place of the first",
    )
    assert written(contested, "rayjobs") == ["first", "second", "third"]
    assert contested.api.get(persons)["metadata"] == untouched["metadata"]


def loop_event(cluster: Cluster, name: str, reason: str) -> str | None:
    """The note of an Event of this reason on an object of this name, None where there is none."""
    events = cluster.api.items("events.k8s.io/v1", "Event")
    return next(
        (one["note"] for one in events if (one["regarding"].get("name"), one["reason"]) == (name, reason)), None
    )


def test_two_of_six_workers_move_to_the_group_that_became_cheap_and_no_other_dies(
    contested: Cluster, loop: RunningLoop
) -> None:
    prices, ray, before = loop.folder / "prices", either(4), len(written(contested, "rayclusters"))
    catalogue(prices, {A: 0.10, B: 0.15})
    fleet = yaml.safe_load(loop.fleet.read_text())
    fleet["clusters"][0]["limits"] = {"usdPerHour": "0.45"}
    fleet["settings"]["settle_most_s"] = 2
    loop.fleet.write_text(yaml.safe_dump(fleet))
    contested.api.create(ray)
    loop.start("--apply", "--catalog", str(prices))
    until(lambda: len(workers(contested, "a", running=True)) == 4, 60, "four workers run")
    contested.api.patch(ray, [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": 6}], JSON_PATCH)
    until(lambda: loop_event(contested, "serving", "Unplaced"), 20, "it is said that two have no place")
    stay, go = workers(contested, "a", running=True), workers(contested, "a", running=False)
    assert (len(stay), len(go)) == (4, 2)
    assert len(written(contested, "rayclusters")) == before

    catalogue(prices, {A: 0.10, B: 0.02})
    until(lambda: len(workers(contested, "b", running=True)) == 2, 60, "two workers of the other group run")
    assert workers(contested, "a", running=True) == stay
    assert workers(contested, "a", running=False) == set()
    settled = contested.api.wait(ray, lambda one: groups(one)["a"]["scaleStrategy"] == {"workersToDelete": []})
    assert {name: group["replicas"] for name, group in groups(settled).items()} == {"a": 4, "b": 2}
    kept = json.loads(settled["metadata"]["annotations"]["raypipe.io/requested-replicas"])
    assert kept == {"wish": {"a": 6, "b": 0}, "written": {"a": 4, "b": 2}}
    # Replicas with the names, then the names struck off: in one write, or in one a worker where they do not go at once.
    assert len(written(contested, "rayclusters")) - before in (2, 3)
