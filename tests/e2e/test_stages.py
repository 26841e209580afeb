"""Simulated nodes with the faults of real ones: GPUs that come late, and spot capacity that is taken back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.api import Api, Object
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.objects import GPU_AFTER, NOTICE, RECLAIM, daemon_set, deployment, is_ready, node
from tests.e2e.processes import until
from tests.e2e.rig import Rig
from tests.e2e.stages import Stages

GPU = "nvidia.com/gpu"
SPOT_NOTICE = "aws-node-termination-handler/spot-itn"


@pytest.fixture(scope="module")
def cluster(rig: Rig) -> Iterator[Cluster]:
    """A cluster of its own, whose GPUs come two seconds after their device plugin."""
    cluster = rig.start("late", Wanted(stages=Stages(late_gpu_s=2)))
    yield cluster
    cluster.end()


@pytest.fixture
def api(cluster: Cluster, clean: None) -> Api:  # noqa: ARG001 - first
    return cluster.api


def has_gpus(found: Object) -> bool:
    return GPU in found["status"]["allocatable"]


def test_a_gpu_node_shows_its_gpus_only_after_its_device_plugin_runs(api: Api) -> None:
    plugin = daemon_set("plugin", labels={"e2e.raypipe.io/device-plugin": "nvidia"})
    with_plugin = node("with", labels={"gpu": "yes"}, gpus=4)
    without = node("without", annotations={GPU_AFTER: "0s"}, gpus=4)
    api.create(with_plugin, without)
    ready = [api.wait(each, is_ready) for each in (with_plugin, without)]
    assert [has_gpus(found) for found in ready] == [False, False]
    assert [found["status"]["allocatable"]["memory"] for found in ready] == [f"{16 * 2**20 * 98 // 100}Ki"] * 2
    plugin["spec"]["template"]["spec"]["nodeSelector"] = {"gpu": "yes"}
    began = time.monotonic()
    api.create(plugin)
    pods = until(lambda: api.items("v1", "Pod", labelSelector="app=plugin"), 20, "the plugin's pod is there")
    registered = api.wait(
        pods[0], lambda found: "e2e.raypipe.io/registered" in found["metadata"].get("annotations", {})
    )
    assert registered["spec"]["nodeName"] == "with"
    shown = api.wait(with_plugin, has_gpus)
    assert time.monotonic() - began > 2
    assert (shown["status"]["allocatable"][GPU], shown["status"]["capacity"][GPU]) == ("4", "4")
    assert not has_gpus(api.get(without))


def test_a_reclaimed_spot_node_has_notice_dies_and_is_gone_before_its_pods(api: Api) -> None:
    taint = {"key": "dedicated", "value": "spot", "effect": "NoSchedule"}
    web = deployment("web", 2, tolerations=[{"key": "dedicated", "operator": "Exists"}])
    spot = node("spot", annotations={NOTICE: "4s"})
    spot["spec"] = {"taints": [taint]}
    api.create(spot)
    api.wait(spot, is_ready)
    api.create(web)
    api.wait(web, lambda found: found["status"].get("readyReplicas") == 2)
    api.patch(spot, {"metadata": {"annotations": {RECLAIM: "1s"}}})
    noticed = api.wait(spot, lambda found: SPOT_NOTICE in [each["key"] for each in found["spec"]["taints"]])
    assert taint in noticed["spec"]["taints"]
    assert is_ready(noticed)
    dead = api.wait(spot, lambda found: not is_ready(found))
    assert dead["status"]["conditions"][0]["reason"] == "Reclaimed"
    until(lambda: api.find(spot) is None, 20, "the node is gone")
    pods = api.items("v1", "Pod", labelSelector="app=web")
    assert [pod["spec"]["nodeName"] for pod in pods] == [
        "spot",
        "spot",
    ]  # until the garbage collector comes, in a minute
