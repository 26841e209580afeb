"""``python -m tests.benchmark.live``: what it takes to see a live cluster of 5,000 pods, on real control planes.

One row for a list of everything (`raypipe plan --context`), one for an Observer that has listed everything and follows
it. Each is measured in a process of its own: seconds, CPU seconds of the process, peak of resident memory. The servers
run on the same machine, so that seconds tell of both sides and CPU seconds of raypipe alone. Exit 1 where a threshold
is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from raypipe.adapters.kubernetes import Observer, Server, look
from raypipe.manifests import read_paths
from raypipe.manifests.origins import Observed
from tests.benchmark.command import child_environment
from tests.benchmark.rigs import scratch_rig
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster
from tests.e2e.objects import deployment, node
from tests.e2e.processes import until
from tests.e2e.rig import Rig

CONTEXT = "live"
PODS_A_NODE, PODS_A_DEPLOYMENT = 10, 100
MOST_CPU_S = 1.3
"""To list and read 5,000 pods: 0.79 and 0.88 (2 cores, 2026-11-25), + 50 %."""

MOST_MIB = 240
"""198 and 198, + 20 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one way of seeing the cluster took.

    Attributes:
        objects, requests: how many. seen_s: seconds until everything was seen; seen_cpu_s: of the process.
        read_cpu_s: CPU seconds to read it into a snapshot. mib: peak of resident memory.
    """

    objects: int
    requests: int
    seen_s: float
    seen_cpu_s: float
    read_cpu_s: float
    mib: float

    def line(self, way: str) -> str:
        return (
            f"{way:9} {self.objects:7,} {self.requests:9} {self.seen_s:6.2f} {self.seen_cpu_s:8.2f} "
            f"{self.read_cpu_s:9.2f} {self.mib:5.0f}  {self.verdict}"
        )

    @property
    def verdict(self) -> str:
        wrong = [f"more than {MOST_CPU_S} s of CPU"] if self.seen_cpu_s + self.read_cpu_s > MOST_CPU_S else []
        wrong += [f"more than {MOST_MIB} MiB"] if self.mib > MOST_MIB else []
        return f"MISSED: {', '.join(wrong)}" if wrong else "ok"


HEADER = "way       objects  requests      s    CPU s  CPU read   MiB  thresholds"


def listed() -> tuple[Observed, int]:
    """The cluster, listed once."""
    servers: list[Server] = []

    def connect(context: str) -> Server:
        servers.append(Server(context))
        return servers[-1]

    seen = look([CONTEXT], connect)[CONTEXT]
    return seen, servers[0].requests


def observed() -> tuple[Observed, int]:
    """The cluster as an Observer knows it first."""
    server = Server(CONTEXT)
    with Observer(server) as observer:
        change = 0
        while (seen := observer.seen()).error is not None:
            change = observer.wait(change, 60)
        return seen, server.requests


WAYS: dict[str, Callable[[], tuple[Observed, int]]] = {"list": listed, "observer": observed}


def measure(way: str) -> Figures:
    """See the cluster of the kubeconfig in one way, in this process."""
    begun, cpu = time.perf_counter(), time.process_time()
    seen, requests = WAYS[way]()
    seen_s, seen_cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    cpu = time.process_time()
    (cluster,) = read_paths([], contexts=[CONTEXT], observe=lambda _: {CONTEXT: seen}).clusters
    if cluster.error is not None:
        raise SystemExit(cluster.error)
    return Figures(
        objects=len(seen.objects),
        requests=requests,
        seen_s=seen_s,
        seen_cpu_s=seen_cpu_s,
        read_cpu_s=time.process_time() - cpu,
        mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def filled(rig: Rig, pods: int) -> Cluster:
    """A cluster in which so many pods of Deployments run, made as controllers and scheduler would, without them."""
    cluster = rig.start(CONTEXT)
    for program in ("kube-scheduler", "kube-controller-manager"):
        cluster.stop(program)
    nodes = pods // PODS_A_NODE
    cluster.api.create(*(node(f"n{number}", cpu=8, memory="32Gi") for number in range(nodes)))
    wanted = [deployment(f"d{number}", PODS_A_DEPLOYMENT, cpu="500m") for number in range(pods // PODS_A_DEPLOYMENT)]
    owners = cluster.api.create(*wanted)
    sets = cluster.api.create(*(_owned(one, owner, "ReplicaSet") for one, owner in zip(wanted, owners, strict=True)))
    cluster.api.create(
        *(
            _pod(one, owner, f"n{(number * PODS_A_DEPLOYMENT + member) % nodes}", member)
            for number, (one, owner) in enumerate(zip(wanted, sets, strict=True))
            for member in range(PODS_A_DEPLOYMENT)
        )
    )

    def all_run() -> bool:
        found = cluster.api.items("v1", "Pod", fieldSelector="status.phase=Running")
        return len(found) == pods

    until(all_run, 300, f"{pods} pods run")
    return cluster


def _owned(wanted: Object, owner: Object, kind: str) -> Object:
    """What a Deployment's controller makes of it."""
    name = f"{wanted['metadata']['name']}-5d9"
    return {**wanted, "kind": kind, "metadata": {"name": name, "ownerReferences": [_reference(owner, "Deployment")]}}


def _pod(wanted: Object, owner: Object, node_name: str, number: int) -> Object:
    """A pod of a ReplicaSet on its node."""
    template = wanted["spec"]["template"]
    name = f"{owner['metadata']['name']}-{number:05}"
    metadata = {**template["metadata"], "name": name, "ownerReferences": [_reference(owner, "ReplicaSet")]}
    spec = {**template["spec"], "nodeName": node_name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _reference(owner: Object, kind: str) -> Object:
    metadata = owner["metadata"]
    name, uid = metadata["name"], metadata["uid"]
    return {"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": True}


def main() -> int:
    """Print the table; 1 where a threshold is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=5_000, help="pods that run (default: 5000)")
    parser.add_argument("--measure", choices=list(WAYS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure is not None:
        print(json.dumps(asdict(measure(asked.measure))))
        return 0
    good = True
    with scratch_rig() as (rig, _):
        cluster = filled(rig, asked.pods)
        environment = {**child_environment(), "KUBECONFIG": str(cluster.kubeconfig)}
        print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores\n{HEADER}")
        for way in WAYS:
            command = [sys.executable, "-m", "tests.benchmark.live", "--measure", way]
            child = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            figures = Figures(**json.loads(child.stdout))
            print(figures.line(way), flush=True)
            good &= figures.verdict == "ok"
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
