"""``python -m tests.benchmark.loop``: the live loop on real control planes, where it is killed, cut off or kept busy.

A row each (`--rows NAME,…`); every row ends with the same question: do all pods run, is no node without pods (one that
was bought twice is), and do pods run where they were meant to. Exit 1 where a row misses.

* waves: pods come every 3 s while nodes take 40 s to boot; the cost beside that of one plan for all of them, on-demand:
  on spot, where some large machines are cheap, a plan for all is cheaper than any plans for a few pods at a time.
* kills: the loop is killed (SIGKILL) at 20 random moments while pods keep coming.
* away: the API server is stopped for 60 s while pods wait.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import raypipe
from tests.benchmark.rigs import scratch_rig
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.instance_types import sold_on_aws
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.objects import deployment
from tests.e2e.processes import until
from tests.e2e.rig import Rig
from tests.e2e.running import USER, ZONES, RunningLoop, claims, fleet_file, kubeconfig_of, unhappy
from tests.e2e.stages import Stages

MOST_OF_ONE_PLAN = 1.05
KILLS = 20
AWAY_S = 60
WAVES, WAVE_S, BOOT_S = 12, 3.0, 40.0
SIZES = (("500m", "1Gi"), ("1", "2Gi"), ("1500m", "2Gi"), ("2", "6Gi"))

type Figures = dict[str, Any]


@contextmanager
def looped(
    rig: Rig,
    name: str,
    folder: Path,
    stages: Stages | None = None,
    capacity_types: Sequence[str] = ("spot", "on-demand"),
    **settings: object,
) -> Iterator[tuple[Cluster, RunningLoop]]:
    """A new cluster and a loop that is about to be started in it."""
    wanted = Wanted(
        karpenter=sold_on_aws(*ZONES), audit=True, users={USER: ("system:masters",)}, stages=stages or Stages()
    )
    cluster = rig.start(name, wanted)
    cluster.api.apply(NODE_CLASS)
    (folder / name).mkdir()
    fleet = fleet_file(folder / name / "fleet.yaml", [name], capacity_types, lease_s=3.0, **settings)
    loop = RunningLoop(folder / name, kubeconfig_of(folder / name / "kubeconfig.yaml", [cluster]), fleet)
    try:
        yield cluster, loop
    finally:
        loop.close()
        cluster.end()


def wave(cluster: Cluster, number: int) -> int:
    """Create a Deployment of each size; how many pods they have together."""
    replicas = [2 + (number + place) % 3 for place in range(len(SIZES))]
    for place, (cpu, memory) in enumerate(SIZES):
        cluster.api.create(deployment(f"wave{number}-{place}", replicas[place], cpu=cpu, memory=memory))
    return sum(replicas)


def await_running(cluster: Cluster, count: int, within_s: float) -> float:
    """Wait until so many pods run; seconds it took."""
    begun = time.monotonic()

    def done() -> bool:
        return [one["status"]["phase"] for one in cluster.api.items("v1", "Pod")] == ["Running"] * count

    until(done, within_s, f"{count} pods run")
    return time.monotonic() - begun


def moved(cluster: Cluster) -> int:
    """Pods that run elsewhere than on the node that was bought for them by name."""
    at = {one["metadata"]["uid"]: one["spec"].get("nodeName") for one in cluster.api.items("v1", "Pod")}
    count = 0
    for claim in claims(cluster):
        meant = json.loads(claim["metadata"]["annotations"].get("raypipe.io/pods", "{}"))
        node = claim["status"].get("nodeName")
        uids = [uid for one in meant.values() if isinstance(one, dict) for uid in one.get("uids", ())]
        count += sum(1 for uid in uids if uid in at and at[uid] != node)
    return count


def cost_beside_one_plan(loop: RunningLoop) -> tuple[float, float]:
    """What the cluster costs, and what one plan for all its pods would, in $/h."""
    whole = in_context(loop, lambda: raypipe.plan(raypipe.read(loop.fleet), scope="whole"))
    return whole.usd_per_hour.before, whole.usd_per_hour.after


def in_context[T](loop: RunningLoop, ask: Callable[[], T]) -> T:
    """Ask with the kubeconfig of the loop."""
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(loop.kubeconfig)
    try:
        return ask()
    finally:
        if before is None:
            del os.environ["KUBECONFIG"]
        else:
            os.environ["KUBECONFIG"] = before


def verdict(cluster: Cluster, loop: RunningLoop, count: int, within_s: float, **more: object) -> Figures:
    """What every row says in the end."""
    try:
        after_s = await_running(cluster, count, within_s)
    except AssertionError as error:
        return {"wrong": [str(error), *unhappy(cluster), loop.told()[-3000:], cluster.tails(3)], **more}
    now, then = cost_beside_one_plan(loop)
    return {
        "pods": count,
        "nodes": len(claims(cluster)),
        "settled_after_s": round(after_s, 1),
        "wrong": unhappy(cluster),
        "moved": moved(cluster),
        "usd_per_hour": round(now, 4),
        "of_one_plan": round(now / then, 4) if then else None,
        **more,
    }


def waves(rig: Rig, folder: Path) -> Figures:
    """Pods that keep coming while nodes are on their way."""
    with looped(rig, "waves", folder, Stages(boot_s=BOOT_S), capacity_types=("on-demand",)) as (cluster, loop):
        loop.start("--apply")
        count = 0
        for number in range(WAVES):
            count += wave(cluster, number)
            time.sleep(WAVE_S)
        found = verdict(cluster, loop, count, 180, waves=WAVES)
        found["missed"] = bool(found["wrong"]) or found["of_one_plan"] > MOST_OF_ONE_PLAN
        return found


def kills(rig: Rig, folder: Path) -> Figures:
    """A loop that is killed again and again, at moments from before its first look to after its last write."""
    chance = random.Random(1)
    with looped(rig, "kills", folder, settle_s=0.3) as (cluster, loop):
        count = 0
        for number in range(KILLS):
            loop.start("--apply")
            count += wave(cluster, number)
            told = loop.told().count("decision")
            if number % 4:  # around a decision and what follows
                until(lambda told=told: loop.told().count("decision") > told, 60, "a decision")  # type: ignore[misc]
                time.sleep(chance.uniform(0.0, 0.3))
            else:
                time.sleep(chance.uniform(0.2, 6.0))
            loop.kill()
        loop.start("--apply")
        found = verdict(cluster, loop, count, 120, kills=KILLS)
        found["missed"] = bool(found["wrong"])
        return found


def away(rig: Rig, folder: Path) -> Figures:
    """An API server that does not answer for a minute."""
    with looped(rig, "away", folder, launch_timeout_s=40) as (cluster, loop):
        loop.start("--apply")
        count = wave(cluster, 0) + wave(cluster, 1)
        loop.says("BuyNode")
        cluster.stop("kube-apiserver")
        time.sleep(AWAY_S)
        cluster.restart("kube-apiserver")
        count += wave(cluster, 2)
        found = verdict(cluster, loop, count, 180, away_s=AWAY_S)
        found["missed"] = bool(found["wrong"])
        return found


ROWS: Mapping[str, Callable[[Rig, Path], Figures]] = {"waves": waves, "kills": kills, "away": away}


def main(arguments: list[str]) -> int:
    """Run the rows; exit 1 where one misses, 2 where the programs cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmark.loop", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help="rows, with commas between")
    names = parser.parse_args(arguments).rows.split(",")
    missed = False
    with scratch_rig(unavailable=2) as (rig, folder):
        for name in names:
            found = ROWS[name](rig, folder)
            missed |= bool(found["missed"])
            print(f"{name:8} {json.dumps(found)}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
