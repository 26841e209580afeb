"""Nodes come up and pods run on the rig as they would elsewhere."""

from __future__ import annotations

import datetime
from itertools import pairwise

import pytest

from tests.e2e.api import Api
from tests.e2e.cluster import Cluster
from tests.e2e.objects import BOOT, PULL, RUNS_FOR, deployment, is_ready, node, pod


@pytest.fixture
def api(cluster: Cluster, clean: None) -> Api:  # noqa: ARG001 - first
    return cluster.api


def test_a_node_comes_up_and_the_pods_of_a_deployment_run_on_it(api: Api) -> None:
    api.create(deployment("web", 3, cpu="1"))
    api.create(node("n1", cpu=4))
    api.wait(node("n1"), is_ready)
    web = api.wait(deployment("web", 3), lambda found: found["status"].get("readyReplicas") == 3)
    pods = api.items("v1", "Pod", labelSelector="app=web")
    assert web["status"]["replicas"] == 3
    assert {item["spec"]["nodeName"] for item in pods} == {"n1"}


def test_a_node_that_boots_takes_no_pod_before_it_is_ready(api: Api) -> None:
    api.create(node("slow", annotations={BOOT: "3s"}))
    api.create(pod("waits"))
    booting = api.wait(node("slow"), lambda found: found["status"].get("conditions"))
    assert not is_ready(booting)
    running = api.wait(pod("waits"), lambda found: found["status"]["phase"] == "Running")
    ready = api.wait(node("slow"), is_ready)
    assert running["status"]["startTime"] >= ready["status"]["conditions"][0]["lastTransitionTime"]


def test_a_pod_pulls_its_image_runs_and_ends_as_annotated(api: Api) -> None:
    api.create(node("n1"))
    api.create(pod("batch", annotations={PULL: "2s", RUNS_FOR: "2s"}))
    ended = api.wait(pod("batch"), lambda found: found["status"]["phase"] == "Succeeded")
    (container,) = ended["status"]["containerStatuses"]
    bound = next(each for each in ended["status"]["conditions"] if each["type"] == "PodScheduled")["lastTransitionTime"]
    times = [bound, ended["status"]["startTime"], container["state"]["terminated"]["finishedAt"]]
    moments = [datetime.datetime.fromisoformat(time) for time in times]
    for before, after in pairwise(moments):  # told in whole seconds
        assert after - before >= datetime.timedelta(seconds=1)
