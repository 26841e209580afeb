"""``python -m tests.benchmark.acting``: plans carried out on real clusters, and what came of them.

Rows ``claims``, ``kwok`` and ``scheduler``: a RayCluster of 3 groups and 200 pods of 20 Deployments wait; they are
planned and the plan is carried out through Karpenter's NodeClaims, through KWOK's Nodes, and through NodeClaims with
``bind: scheduler``. The nodes must cost what the plan said, every pod must run, and but for the last row every planned
pod must be on the node where the plan put it.

Row ``late-gpus``: GPU nodes show their GPU 20 s after they are Ready, brought by a DaemonSet pod, and have 2 % less
memory than the catalogue. ``raypipe run --apply`` buys for a pod of one GPU, and then for one that needs between 98 and
100 % of the memory of that type: no pod is refused or lost, and the second purchase is of a larger type.

Exit 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

import raypipe
from raypipe.adapters.kubernetes import look
from raypipe.controller.applying import Telling, apply
from raypipe.manifests.pending import objects_in, planned_pods
from raypipe.model.plan import ClusterPlan
from raypipe.settings import Settings
from tests.benchmark.command import COMMAND, child_environment
from tests.benchmark.rigs import scratch_rig
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.instance_types import sold_on_aws
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.kuberay import ray_cluster
from tests.e2e.objects import daemon_set, deployment
from tests.e2e.processes import until
from tests.e2e.rig import Rig
from tests.e2e.stages import Stages

ZONES = ("us-east-1a", "us-east-1b")
GROUPS: Mapping[str, int] = {"small": 6, "medium": 4, "large": 2}
GROUP_CPU = {"small": "1", "medium": "3", "large": "7"}
DEPLOYMENTS, REPLICAS = 20, 10
GPU_AFTER_S = 20.0
MOST_S = 240.0
"""A run that has not ended by then has missed its goal."""


def workloads() -> list[Object]:
    """A RayCluster whose workers differ by group, and Deployments of many sizes."""
    ray = ray_cluster("demo", GROUPS)
    for group in ray["spec"]["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        amounts = {"cpu": GROUP_CPU[group["groupName"]], "memory": "4Gi"}
        container["resources"] = {"requests": amounts, "limits": amounts}
    return [ray, *(_deployment(number) for number in range(DEPLOYMENTS))]


def _deployment(number: int) -> Object:
    """Between a quarter and 2.6 CPU, between 300 MiB and 6 GiB, neither in step with the other."""
    cpu, memory = 250 + 337 * (number * 7 % DEPLOYMENTS) % 2400, 300 + 911 * (number * 3 % DEPLOYMENTS) % 5900
    return deployment(f"app-{number:02d}", REPLICAS, cpu=f"{cpu}m", memory=f"{memory}Mi")


PODS = 1 + sum(GROUPS.values()) + DEPLOYMENTS * REPLICAS


def fleet(cluster: Cluster, nodes: str, settings: Mapping[str, object]) -> Path:
    """The fleet file of one live cluster."""
    entry = {
        "name": cluster.name,
        "context": cluster.name,
        "provider": "aws",
        "region": "us-east-1",
        "zones": list(ZONES),
        "nodes": nodes,
        "nodeClass": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
        "settings": dict(settings),
    }
    path = cluster.folder / "fleet.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "raypipe.io/v1", "kind": "Fleet", "clusters": [entry]}))
    return path


def planned(path: Path) -> ClusterPlan:
    """The plan of the one cluster as it is now."""
    (plan,) = raypipe.plan(raypipe.read(path, strict=True)).clusters
    return plan


def carried_out(rig: Rig, row: str, nodes: str, bind: str) -> bool:
    """Plan, apply and count; print the row."""
    cluster = rig.start(row, Wanted(kuberay=True, karpenter=sold_on_aws(*ZONES)))
    with kubeconfig_of(cluster):
        path = fleet(cluster, nodes, {"bind": bind})
        cluster.api.apply(NODE_CLASS)
        cluster.api.create(*workloads())
        until(lambda: len(cluster.api.items("v1", "Pod")) == PODS, 60, f"{PODS} pods wait")
        plan = planned(path)
        begun = time.monotonic()
        applied = apply(plan, Settings(bind=bind), Telling(progress=_ignored, show=_ignored), wait=True)
        pending = settled(cluster)
        seconds = time.monotonic() - begun
        placed = as_planned(cluster, plan)
        cost = planned(path).usd_per_hour.before
        if applied.waiting or pending:
            print({**applied.waiting}, file=sys.stderr)
    cluster.end()
    good = cost == plan.usd_per_hour.after and (bind == "scheduler" or (placed == PODS and not pending))
    print(
        f"{row:10} {len(plan.nodes):3} nodes, planned ${plan.usd_per_hour.after:.4f}/h, bought ${cost:.4f}/h; "
        f"{placed} of {PODS} pods where planned, {pending} pending; {seconds:.1f} s  {'ok' if good else 'MISSED'}",
        flush=True,
    )
    return good


def _ignored(_: str) -> None:
    pass


def settled(cluster: Cluster) -> int:
    """Wait until every pod runs or nothing has changed for 10 s; how many do not run."""
    left, since = PODS, time.monotonic()
    while left and time.monotonic() - since < 10:
        now = sum(pod["status"]["phase"] != "Running" for pod in cluster.api.items("v1", "Pod"))
        if now != left:
            left, since = now, time.monotonic()
        time.sleep(0.5)
    return left


def as_planned(cluster: Cluster, plan: ClusterPlan) -> int:
    """How many pods are on the node that the plan has for pods of their key, none counted beyond what it has there."""
    objects = objects_in(look([cluster.name])[cluster.name])
    called = {one.status.get("nodeName").text(): one.name for one in objects.of("NodeClaim")}
    found = Counter((called.get(pod.node, pod.node), pod.key) for pod in planned_pods(objects, Settings()) if pod.node)
    wanted = Counter({(node.name, key): count for node in plan.nodes for key, count in node.pods.items()})
    return (found & wanted).total()


def late_gpus(rig: Rig) -> bool:
    """GPUs that come late and memory that is less than was said."""
    stages = Stages(late_gpu_s=GPU_AFTER_S)
    cluster = rig.start("late-gpus", Wanted(karpenter=sold_on_aws(*ZONES), stages=stages))
    with kubeconfig_of(cluster), looping(cluster, fleet(cluster, "karpenter", {})):
        cluster.api.apply(NODE_CLASS)
        cluster.api.create(daemon_set("plugin", {"e2e.raypipe.io/device-plugin": "nvidia"}))
        first, first_s = running(cluster, _gpu_pod("first", "1Gi"))
        type_, memory = first["metadata"]["labels"]["node.kubernetes.io/instance-type"], _promised(first)
        second, second_s = running(cluster, _gpu_pod("second", f"{memory * 99 // 100 // 2**20}Mi"))
        bought = [
            one["metadata"]["labels"]["node.kubernetes.io/instance-type"] for one in cluster.api.items("v1", "Node")
        ]
        phases = Counter(pod["status"]["phase"] for pod in cluster.api.items("v1", "Pod"))
    cluster.end()
    larger = second["metadata"]["labels"]["node.kubernetes.io/instance-type"]
    good = larger != type_ and sorted(bought) == sorted([type_, larger]) and set(phases) == {"Running"}
    print(
        f"late-gpus  first on {type_} after {first_s:.1f} s, second on {larger} after {second_s:.1f} s; "
        f"bought {', '.join(bought)}; pods {dict(phases)}  {'ok' if good else 'MISSED'}",
        flush=True,
    )
    return good


def _gpu_pod(name: str, memory: str) -> Object:
    one = deployment(name, 1, cpu="1", memory=memory)
    (container,) = one["spec"]["template"]["spec"]["containers"]
    container["resources"]["limits"] = {"nvidia.com/gpu": "1"}
    return one


def _promised(node: Object) -> int:
    """Bytes of memory that the catalogue has for a node's type, of which the node shows 98 %."""
    kind = node["metadata"]["labels"]["node.kubernetes.io/instance-type"]
    return next(one.allocatable["memory"] for one in sold_on_aws(*ZONES) if one.instance_type == kind)


def running(cluster: Cluster, one: Object) -> tuple[Object, float]:
    """The node of a Deployment's pod once it runs, and after how long."""
    begun = time.monotonic()
    cluster.api.create(one)
    cluster.api.wait(one, lambda found: found["status"].get("readyReplicas") == 1, within_s=MOST_S)
    (pod,) = cluster.api.items("v1", "Pod", labelSelector=f"app={one['metadata']['name']}")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": pod["spec"]["nodeName"]}}
    return cluster.api.get(node), time.monotonic() - begun


@contextmanager
def looping(cluster: Cluster, path: Path) -> Iterator[None]:
    """``raypipe run --apply`` in a process of its own, until the end of the block."""
    log = cluster.folder / "raypipe.log"
    words = ["run", str(path), "--apply", "--state", str(cluster.folder / "state")]
    environment = child_environment() | {"KUBECONFIG": str(cluster.kubeconfig)}
    with log.open("wb") as file:
        child = subprocess.Popen([sys.executable, "-c", COMMAND, *words], stdout=file, stderr=file, env=environment)
    try:
        yield
    except AssertionError:
        print(log.read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        child.terminate()
        child.wait()


@contextmanager
def kubeconfig_of(cluster: Cluster) -> Iterator[None]:
    """The cluster's contexts where raypipe looks for them."""
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    try:
        yield
    finally:
        if before is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = before


ROWS: Mapping[str, Callable[[Rig], bool]] = {
    "claims": lambda rig: carried_out(rig, "claims", "karpenter", "raypipe"),
    "kwok": lambda rig: carried_out(rig, "kwok", "kwok", "raypipe"),
    "scheduler": lambda rig: carried_out(rig, "scheduler", "karpenter", "scheduler"),
    "late-gpus": late_gpus,
}


def main() -> int:
    """Print the rows asked for; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma list (default: all)")
    rows = parser.parse_args().rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"--rows: {', '.join(sorted(unknown))}: expected any of {', '.join(ROWS)}")
    with scratch_rig() as (rig, _):
        good = [ROWS[name](rig) for name in rows]  # a row that missed its goal keeps no other from being shown
        return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
