"""``python -m tests.benchmark.beside_karpenter``: raypipe and Karpenter buy for the same pods, each in a real cluster.

Both clusters are the test rig's, with Karpenter's simulated provider, the same instance types (categories c, m, r and t
of AWS us-east-1, burstable ones at their list price), zones and prices. In one Karpenter buys by itself through two
pools as one would tune them: spot before on-demand, types of at most 32 vCPU, consolidation on. In the other it only
launches what ``raypipe run --apply`` asks for. A run ends when every pod is bound and no node has come or gone for
`--settled` seconds.

* latency: seconds from the moment a pod exists to the moment it has a node, 95th percentile over the pods of a run, of
  the services instance; nodes boot at once. raypipe's worst run must be no worse than Karpenter's.
* cost: the nodes' price once settled, of seeds 1 to 3, with spot and on demand alone, over Karpenter's, and over the
  bound that `raypipe plan --scope whole` proves for the same pods.

Exit 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from statistics import fmean, quantiles

from raypipe.catalog import load, offerings_for
from raypipe.manifests import read_paths
from raypipe.model.nodes import Offering
from raypipe.quantities import NANOS_PER_USD
from tests.benchmark.command import COMMAND, child_environment
from tests.benchmark.command import run as run_command
from tests.benchmark.instances import fleet, instance, write
from tests.benchmark.rigs import scratch_rig
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.processes import until
from tests.e2e.rig import Rig

CMRT = ("c", "m", "r", "t")
MOST_VCPU = 32
SPOT, ON_DEMAND = "spot", "on-demand"
BOTH, ALONE = (SPOT, ON_DEMAND), (ON_DEMAND,)
CHEAPER: Mapping[tuple[str, ...], float] = {BOTH: 0.65, ALONE: 0.77}
"""Most that raypipe's nodes may cost over Karpenter's, in the mean."""
ABOVE_BOUND = 1.06
MOST_RUN_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One cluster: what its nodes cost, how many there are, how long each pod waited, when the last change was.

    settled_s: None where nodes still came and went.
    """

    usd_per_hour: float
    nodes: int
    waited_s: Sequence[float]
    settled_s: float | None

    @property
    def p95_s(self) -> float:
        return quantiles(self.waited_s, n=20)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Pods, and what may be bought for them: a fleet folder, its objects and its offerings."""

    folder: Path
    objects: Sequence[Object]
    offerings: Sequence[Offering]
    capacity_types: tuple[str, ...]

    def prices(self) -> dict[tuple[str, str, str], int]:
        """Nano-dollars an hour by instance type, zone and capacity type."""
        return {(one.instance_type, one.zone, one.capacity_type): one.usd_nanos_per_hour for one in self.offerings}


def question(scratch: Path, pods: int, groups: int, seed: int, capacity_types: tuple[str, ...]) -> Question:
    """The services instance of a seed."""
    objects = instance("services", pods, groups, seed)
    name = f"services-{pods}-{groups}-{seed}-{len(capacity_types)}"
    folder = write(scratch / name, objects, capacity_types=capacity_types, categories=CMRT)
    (cluster,) = read_paths([folder]).clusters
    return Question(
        folder=folder,
        objects=objects,
        offerings=offerings_for(cluster, load()).offerings,
        capacity_types=capacity_types,
    )


class Waits:
    """How long each pod waits, told by a watch that begins before the pods do."""

    def __init__(self, cluster: Cluster) -> None:
        self._ended = False
        self._made: dict[str, float] = {}
        self._bound: dict[str, float] = {}
        self._thread = threading.Thread(target=self._follow, args=(cluster,), daemon=True)
        self._thread.start()

    def _follow(self, cluster: Cluster) -> None:
        while not self._ended:  # an API server ends a watch that is slow; the next one begins with all that is there
            try:
                for _, pod in cluster.api.watch("v1", "Pod", MOST_RUN_S):
                    uid, now = pod["metadata"]["uid"], time.monotonic()
                    self._made.setdefault(uid, now)
                    if pod["spec"].get("nodeName"):
                        self._bound.setdefault(uid, now)
            except (OSError, HTTPException):
                continue

    def end(self) -> None:
        """Follow no longer, once the cluster is gone."""
        self._ended = True

    def bound(self) -> int:
        """How many pods have a node."""
        return len(self._bound)

    def seconds(self) -> list[float]:
        """Of every pod that has a node."""
        return [self._bound[uid] - self._made[uid] for uid in list(self._bound)]


def settled(cluster: Cluster, asked: Question, pods: int, quiet_s: float, most_s: float) -> Run:
    """Create the pods and wait until they all have a node and nodes stay as they are."""
    waits, begun = Waits(cluster), time.monotonic()
    time.sleep(0.5)  # for the watch to be there
    cluster.api.create(*asked.objects)
    until(lambda: waits.bound() >= pods, MOST_RUN_S, f"{pods} pods are bound ({waits.bound()} are)")
    waits.end()
    first, known, since = waits.seconds(), set[str](), time.monotonic()
    while time.monotonic() - since < quiet_s:
        names = {node["metadata"]["name"] for node in cluster.api.items("v1", "Node")}
        waiting = cluster.api.items("v1", "Pod", fieldSelector="spec.nodeName=")
        if names != known or waiting:
            known, since = names, time.monotonic()
        if time.monotonic() - begun > most_s and not waiting:
            break
        time.sleep(2)
    prices = asked.prices()
    bought = [_offering(node) for node in cluster.api.items("v1", "Node")]
    return Run(
        usd_per_hour=sum(prices[one] for one in bought) / NANOS_PER_USD,
        nodes=len(bought),
        waited_s=first,
        settled_s=since - begun if time.monotonic() - since >= quiet_s else None,
    )


def _offering(node: Object) -> tuple[str, str, str]:
    labels = node["metadata"]["labels"]
    return (
        labels["node.kubernetes.io/instance-type"],
        labels["topology.kubernetes.io/zone"],
        labels["karpenter.sh/capacity-type"],
    )


def tuned_pools(capacity_types: Iterable[str]) -> list[Object]:
    """Karpenter's pools: spot first; consolidation as by default."""
    return [
        {
            "apiVersion": "karpenter.sh/v1",
            "kind": "NodePool",
            "metadata": {"name": capacity_type},
            "spec": {
                "weight": 100 if capacity_type == SPOT else 10,
                "disruption": {
                    "consolidationPolicy": "WhenEmptyOrUnderutilized",
                    "consolidateAfter": "0s",
                    "budgets": [{"nodes": "100%"}],
                },
                "template": {
                    "spec": {
                        "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
                        "expireAfter": "Never",
                        "requirements": [
                            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": [capacity_type]},
                            {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64", "arm64"]},
                        ],
                    }
                },
            },
        }
        for capacity_type in capacity_types
    ]


def by_karpenter(rig: Rig, name: str, asked: Question, pods: int, quiet_s: float, most_s: float) -> Run:
    """Karpenter buys by itself."""
    small = [one for one in asked.offerings if one.capacity["cpu"] <= MOST_VCPU * 1000]
    cluster = rig.start(name, Wanted(karpenter=small))
    try:
        cluster.api.apply(NODE_CLASS, *tuned_pools(asked.capacity_types))
        time.sleep(3)  # for the pools to be ready
        return settled(cluster, asked, pods, quiet_s, most_s)
    finally:
        cluster.end()


def by_raypipe(rig: Rig, name: str, asked: Question, pods: int, quiet_s: float, most_s: float) -> Run:
    """``raypipe run --apply`` buys through claims that Karpenter launches."""
    cluster = rig.start(name, Wanted(karpenter=asked.offerings))
    try:
        cluster.api.apply(NODE_CLASS)
        with running(cluster, asked):
            return settled(cluster, asked, pods, quiet_s, most_s)
    finally:
        cluster.end()


@contextmanager
def running(cluster: Cluster, asked: Question) -> Iterator[None]:
    """The loop, in a process of its own, until the end of the block."""
    entry = fleet("", capacity_types=asked.capacity_types, categories=CMRT)
    (one,) = entry["clusters"]
    del one["manifests"]
    one |= {
        "name": cluster.name,
        "context": cluster.name,
        "nodes": "karpenter",
        "nodeClass": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
    }
    path = cluster.folder / "fleet.json"
    path.write_text(json.dumps(entry))
    words = ["run", str(path), "--apply", "--state", str(cluster.folder / "state")]
    log = cluster.folder / "raypipe.log"
    environment = child_environment() | {"KUBECONFIG": str(cluster.kubeconfig)}
    with log.open("wb") as file:
        child = subprocess.Popen([sys.executable, "-c", COMMAND, *words], stdout=file, stderr=file, env=environment)
    try:
        yield
        if child.poll() is not None:
            raise AssertionError(f"raypipe ended with {child.returncode}: {log.read_text()[-2000:]}")
    except AssertionError:
        print(log.read_text()[-4000:], file=sys.stderr)
        raise
    finally:
        child.terminate()
        child.wait()


def bound_of(asked: Question) -> float:
    """Dollars an hour that no plan for these pods is below, as the command proves it."""
    plan = run_command(["plan", str(asked.folder), "-o", "json", "--quiet"]).plan
    lower: float = plan["usd_per_hour"]["lower_bound"]
    return lower


def latency(rig: Rig, scratch: Path, arguments: argparse.Namespace) -> bool:
    """Pods wait no longer for raypipe than for Karpenter."""
    asked = question(scratch, arguments.pods, arguments.groups, 1, BOTH)
    worst = {}
    for way, buy in (("karpenter", by_karpenter), ("raypipe", by_raypipe)):
        if way not in arguments.ways:
            continue
        runs = [buy(rig, f"{way}-{n}", asked, arguments.pods, 0.0, 0.0) for n in range(arguments.runs)]
        p95 = [run.p95_s for run in runs]
        worst[way] = max(p95)
        print(f"{way:10} p95 of {len(runs)} runs: mean {fmean(p95):6.2f} s, worst {max(p95):6.2f} s", flush=True)
    return len(worst) < 2 or told("raypipe's worst over Karpenter's", worst["raypipe"] / worst["karpenter"], 1.0)


def cost(rig: Rig, scratch: Path, arguments: argparse.Namespace) -> bool:
    """What both have bought once settled."""
    good = True
    for types, goal in CHEAPER.items():
        ratios, above = [], []
        for seed in range(1, arguments.seeds + 1):
            asked = question(scratch, arguments.pods, arguments.groups, seed, types)
            runs = {}
            for way, buy in (("karpenter", by_karpenter), ("raypipe", by_raypipe)):
                if way in arguments.ways:
                    name = f"{way}-{len(types)}-{seed}"
                    run = runs[way] = buy(rig, name, asked, arguments.pods, arguments.settled, arguments.most)
                    when = "not settled" if run.settled_s is None else f"settled after {run.settled_s:.0f} s"
                    print(
                        f"{way:10} {'+'.join(types):15} seed {seed}: ${run.usd_per_hour:8.3f}/h on {run.nodes} nodes, "
                        f"{when}, p95 {run.p95_s:.1f} s",
                        flush=True,
                    )
            if "raypipe" in runs:
                above.append(runs["raypipe"].usd_per_hour / bound_of(asked))
            if len(runs) == 2:
                ratios.append(runs["raypipe"].usd_per_hour / runs["karpenter"].usd_per_hour)
        if ratios:
            good &= told(f"raypipe over Karpenter, {'+'.join(types)}, mean", fmean(ratios), goal)
        if above:
            good &= told(f"raypipe over the proven bound, {'+'.join(types)}, worst", max(above), ABOVE_BOUND)
    return good


def told(name: str, value: float, goal: float) -> bool:
    """Print a row; return whether it is good."""
    print(f"{name:60} {value:6.3f}  goal {goal:5.2f}  {'ok' if value <= goal else 'MISSED'}", flush=True)
    return value <= goal


ROWS = {"latency": latency, "cost": cost}


def main() -> int:
    """Print the rows asked for; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma list (default: all)")
    parser.add_argument("--ways", default="karpenter,raypipe", help="comma list of who buys (default: both)")
    parser.add_argument("--runs", type=int, default=5, help="of the row latency")
    parser.add_argument("--seeds", type=int, default=3, help="of the row cost")
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=100, help="Deployments that the pods are of")
    parser.add_argument("--settled", type=float, default=60.0, help="seconds without a change of nodes")
    parser.add_argument("--most", type=float, default=300.0, help="seconds after which a run ends anyway")
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"--rows: {', '.join(sorted(unknown))}: expected any of {', '.join(ROWS)}")
    good = True
    with scratch_rig() as (rig, folder):
        print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
        for name in rows:
            (scratch := folder / name).mkdir()
            good &= ROWS[name](rig, scratch, arguments)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
