"""Warm starts measured: the plan after a few pods have changed, from nothing and from what the plan before handed on.

5 % of an instance's pods change: most of them are pods more or fewer of Deployments that are there, the rest are new
Deployments. Both plans are of the changed instance. Time is the process's own (`time.process_time`), because a machine
may be shared; it is that of the planning function in a warm process.

``python -m tests.benchmark.warm [--catalog DIR] [--seeds N]`` prints cold and warm cost, time and simplex iterations.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raypipe.catalog import Catalog, load
from raypipe.manifests import read_paths
from raypipe.model.plan import ClusterPlan
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.planner import plan_cluster
from tests.benchmark.instances import Object, instance, services, write
from tests.benchmark.suite import SHARED

SHARE = 0.05
NEW_SHARE = 0.2
"""Of the pods that change, those of new Deployments."""

INSTANCES = ((1_000, 100), (10_000, 100))
MOST_TIME, MOST_DEARER = 1 / 3, 0.003
"""What a warm start is for: a third of the time, and on average no more than 0.3 % dearer."""


@dataclass(frozen=True)
class Compared:
    """Two plans of the changed instance, with the seconds they took."""

    pods: int
    groups: int
    seed: int
    cold: ClusterPlan
    warm: ClusterPlan
    cold_s: float
    warm_s: float

    @property
    def dearer(self) -> float:
        return self.warm.usd_per_hour.after / self.cold.usd_per_hour.after - 1

    @property
    def time(self) -> float:
        return self.warm_s / self.cold_s

    def line(self) -> str:
        return (
            f"services {self.pods:6,} of {self.groups}  seed {self.seed}  "
            f"cold {self.cold.usd_per_hour.after:9.4f} $/h {self.cold_s:5.2f} s {self.cold.work.lp_iterations:6}  "
            f"warm {self.warm.usd_per_hour.after:9.4f} $/h {self.warm_s:5.2f} s {self.warm.work.lp_iterations:6}  "
            f"{self.dearer:+7.3%} cost  {self.time:5.2f} of the time"
        )


def changed(objects: Sequence[Object], seed: int, share: float = SHARE) -> list[Object]:
    """The objects after `share` of the pods have changed: other counts, and two Deployments that are new."""
    rng = np.random.default_rng((seed, 5))
    result = copy.deepcopy(list(objects))
    left = round(share * sum(one["spec"]["replicas"] for one in result))
    new = services(max(2, round(NEW_SHARE * left)), 2, rng)
    for number, one in enumerate(new):
        one["metadata"]["name"] = f"new-{number}"
    left -= sum(one["spec"]["replicas"] for one in new)
    while left > 0:
        spec = result[int(rng.integers(len(result)))]["spec"]
        step = min(left, int(rng.integers(1, spec["replicas"] // 3 + 2)))
        fewer = rng.random() < 0.5 and spec["replicas"] > step
        spec["replicas"] += -step if fewer else step
        left -= step
    return result + new


def snapshot(objects: Sequence[Object]) -> ClusterSnapshot:
    """The one cluster of these objects."""
    with tempfile.TemporaryDirectory() as folder:
        return read_paths([write(Path(folder), list(objects))]).clusters[0]


def compare(pods: int, groups: int, seed: int, catalog: Catalog) -> Compared:
    """Plan an instance, change it, and plan it again from nothing and from the first plan's pool."""
    objects = instance("services", pods, groups, seed)
    before, _ = timed(snapshot(objects), catalog)
    after = snapshot(changed(objects, seed))
    cold, cold_s = timed(after, catalog)
    warm, warm_s = timed(dataclasses.replace(after, pool=before.pool), catalog)
    return Compared(pods, groups, seed, cold, warm, cold_s, warm_s)


def timed(cluster: ClusterSnapshot, catalog: Catalog) -> tuple[ClusterPlan, float]:
    """A plan, and the seconds of the process that it took."""
    gc.collect()
    begun = time.process_time()
    plan = plan_cluster(cluster, catalog)
    return plan, time.process_time() - begun


def rows(catalog: Catalog, seeds: int) -> Iterator[list[Compared]]:
    for pods, groups in INSTANCES:
        made = []
        for seed in range(1, seeds + 1):
            made.append(compare(pods, groups, seed, catalog))
            print(made[-1].line(), flush=True)
        yield made


def main() -> int:
    """Print the table; 1 where a warm start is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", type=Path, default=SHARED / "catalog", help="the big catalogue")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if not arguments.catalog.is_dir():
        print(f"skipped: no catalogue at {arguments.catalog}", file=sys.stderr)
        return 0
    good = True
    for made in rows(load(arguments.catalog), arguments.seeds):
        dearer = sum(one.dearer for one in made) / len(made)
        share = sum(one.warm_s for one in made) / sum(one.cold_s for one in made)
        kept = dearer <= MOST_DEARER and share <= MOST_TIME
        good &= kept
        print(
            f"services {made[0].pods:6,} of {made[0].groups}  mean: {dearer:+.3%} cost (at most {MOST_DEARER:+.1%}), "
            f"{share:.2f} of the time (at most {MOST_TIME:.2f})  {'ok' if kept else 'MISSED'}"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
