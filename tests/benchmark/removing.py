"""``python -m tests.benchmark.removing``: nodes given back on a real control plane, turn by turn of the live loop.

A row each (`--rows NAME,…`); exit 1 where one misses.

* consolidation: 300 pods of 20 Deployments, of which 70 % leave; budgets allow one pod of each to be gone. The cost
  once settled beside that of a plan from scratch, and whether a budget was ever broken or the cap exceeded.
* reclaim: 10 of 40 spot nodes get a notice of two minutes at random moments of one minute, and die. When all pods run
  again, and whether something was bought again of a kind that was being taken back.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import raypipe
from raypipe.adapters.kubernetes import Server, Writer
from raypipe.adapters.nodes import Kwok
from raypipe.model.plan import Scope
from raypipe.settings import Settings
from tests.benchmark.rigs import scratch_rig
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster
from tests.e2e.objects import NOTICE, RECLAIM, deployment, is_ready
from tests.e2e.processes import until
from tests.e2e.rig import Rig
from tests.e2e.running import fleet_file
from tests.e2e.turns import Turns

MOST_OF_SCRATCH = 1.05
LEFT = 0.3
SIZES = (("250m", "512Mi"), ("500m", "2Gi"), ("1", "2Gi"), ("1500m", "3Gi"), ("2", "6Gi"))

type Figures = dict[str, Any]


def consolidation(rig: Rig, folder: Path, seed: int) -> Figures:
    """After most pods have left."""
    kinds = "m5.large, m5.xlarge, m5.2xlarge, m6i.large, m6i.xlarge, c5.xlarge, c5.2xlarge, r5.large, r5.xlarge"
    settings = Settings(consolidate=True, max_removed_fraction=0.1)
    cluster, loop = begun(rig, "consolidation", folder, settings, kinds, "on-demand")
    counts = [15] * 20
    wanted = [deployment(f"d{k:02}", n, cpu=SIZES[k % 5][0], memory=SIZES[k % 5][1]) for k, n in enumerate(counts)]
    cluster.api.create(*wanted)
    settled(cluster, loop, sum(counts), 300)
    nodes = len(cluster.api.items("v1", "Node"))
    chance = random.Random(seed)
    left = [max(1, round(n * LEFT * chance.uniform(0.5, 1.5))) for n in counts]
    for one, count in zip(wanted, left, strict=True):
        cluster.api.patch(one, {"spec": {"replicas": count}})
    until(lambda: len(ready(cluster)) == sum(left), 60, "the others have left")
    budgets = cluster.api.create(*(budget(one, count - 1) for one, count in zip(wanted, left, strict=True)))
    before, begin = loop.cost(), time.monotonic()
    broken = settled(cluster, loop, sum(left), 500, budgets)
    after, scratch = loop.cost(), loop.cost(Scope.WHOLE)
    return {
        "seed": seed,
        "pods": sum(left),
        "nodes": f"{nodes} -> {len(cluster.api.items('v1', 'Node'))}",
        "usd_per_hour": f"{before:.3f} -> {after:.3f}",
        "scratch": round(scratch, 3),
        "of scratch": round(after / scratch, 4),
        "removed": len(loop.marked),
        "most at once": f"{loop.most_leaving} of {nodes}",
        "budgets broken": broken,
        "s": round(time.monotonic() - begin, 1),
        "missed": after > MOST_OF_SCRATCH * scratch or broken > 0 or loop.most_leaving > max(1, nodes // 10),
    }


def reclaim(rig: Rig, folder: Path, seed: int) -> Figures:
    """Spot nodes taken back."""
    cluster, loop = begun(rig, "reclaim", folder, Settings(), "m5.large, m6i.large, m5.xlarge, m6i.xlarge", "spot")
    cluster.api.create(deployment("web", 40, cpu="1", memory="2Gi", **apart("web")))
    settled(cluster, loop, 40, 300)
    there = cluster.api.items("v1", "Node")
    chance = random.Random(seed)
    doomed = chance.sample(sorted(one["metadata"]["name"] for one in there), 10)
    for name in doomed:
        marks = {NOTICE: "120s", RECLAIM: f"{chance.uniform(0, 60):.0f}s"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        cluster.api.patch(node, {"metadata": {"annotations": marks}})
    begin, least, away = time.monotonic(), 40, 0.0
    again: list[str] = []
    while time.monotonic() - begin < 240 and not (away and is_over(cluster, doomed)):
        loop.turn()
        now = len(ready(cluster))
        least = min(least, now)
        gone = {one["metadata"]["name"] for one in cluster.api.items("v1", "Node")}
        if not gone & set(doomed) and now == 40 and not away:
            away = time.monotonic() - begin
        again = loop.bought[len(there) :]
        time.sleep(0.3)
    kinds = {kind(one) for one in there if one["metadata"]["name"] in doomed}
    fresh = [kind(one) for one in cluster.api.items("v1", "Node") if one["metadata"]["name"] in again]
    return {
        "seed": seed,
        "nodes": len(there),
        "reclaimed": len(doomed),
        "bought again": len(again),
        "of a kind being taken back": sum(one in kinds for one in fresh),
        "fewest pods ready": least,
        "all run after s": round(away, 1),
        "missed": not away or len(ready(cluster)) != 40 or any(one in kinds for one in fresh),
    }


def is_over(cluster: Cluster, doomed: list[str]) -> bool:
    """Whether none of these nodes is left and all pods run."""
    names = {one["metadata"]["name"] for one in cluster.api.items("v1", "Node")}
    return not names & set(doomed) and len(ready(cluster)) == 40


def kind(node: Object) -> tuple[str, str]:
    labels = node["metadata"]["labels"]
    return labels["node.kubernetes.io/instance-type"], labels["topology.kubernetes.io/zone"]


def apart(name: str) -> Object:
    """One pod a node, so that there are as many nodes as pods."""
    term = {"labelSelector": {"matchLabels": {"app": name}}, "topologyKey": "kubernetes.io/hostname"}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def budget(one: Object, least: int) -> Object:
    name = one["metadata"]["name"]
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": name}}}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def begun(
    rig: Rig, name: str, folder: Path, settings: Settings, kinds: str, capacity_type: str
) -> tuple[Cluster, Turns]:
    """A new cluster, and the loop that tends it."""
    cluster = rig.start(name)
    os.environ["KUBECONFIG"] = str(rig.kubeconfig([cluster]))
    path = fleet_file(folder / f"{name}.yaml", [name], [capacity_type], nodes="kwok", types=kinds.split(", "))
    writer = Writer(Server(name))
    catalog = raypipe.load_catalog()
    return cluster, Turns(
        context=name, fleet=path, writer=writer, backend=Kwok(writer), catalog=catalog, settings=settings
    )


def settled(cluster: Cluster, loop: Turns, pods: int, within_s: float, budgets: list[Object] | None = None) -> int:
    """Turn until nothing is left to do and all pods run; how often a budget was seen broken."""
    broken, end = 0, time.monotonic() + within_s
    while loop.turn() or len(ready(cluster)) != pods:
        if time.monotonic() > end:
            raise SystemExit(f"not settled after {within_s} s: {sorted(loop.words)[:5]}")
        for one in budgets or ():
            status = cluster.api.get(one).get("status", {})
            broken += status.get("currentHealthy", 0) < status.get("desiredHealthy", 0)
        time.sleep(0.2)
    return broken


def ready(cluster: Cluster) -> list[Object]:
    pods = cluster.api.items("v1", "Pod")
    return [one for one in pods if is_ready(one) and "deletionTimestamp" not in one["metadata"]]


ROWS: dict[str, Callable[[Rig, Path, int], Figures]] = {"consolidation": consolidation, "reclaim": reclaim}


def main() -> int:
    """Print a line of figures a row; 1 where one misses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    missed = False
    with scratch_rig(unavailable=1) as (rig, folder):
        for row in given.rows.split(","):
            found = ROWS[row](rig, folder, given.seed)
            missed |= found.pop("missed")
            print(row, json.dumps(found), flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
