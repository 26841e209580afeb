"""kube-scheduler would admit what a plan promises: plans of small constrained cases, played pod by pod.

``python -m tests.property.test_scheduler_agrees --cases 200`` prints the table; the test looks at the first of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from raypipe.planner import plan_cluster
from tests.property.constrained_cases import catalogue, random_case, snapshot
from tests.property.scheduler import Refused, replay

CASES = 60


def played(seed: int, folder: Path) -> tuple[int, list[Refused]]:
    """How many pods the plan of a case places, and those that the scheduler refuses in every order tried."""
    case = random_case(seed)
    cluster, catalog = snapshot(case), catalogue(case, folder / str(seed))
    plan = plan_cluster(cluster, catalog)
    return sum(sum(node.added.values()) for node in plan.nodes), replay(plan, cluster, catalog)


def test_the_scheduler_admits_each_pod_on_its_node(tmp_path: Path) -> None:
    found = [played(seed, tmp_path) for seed in range(CASES)]
    assert sum(placed for placed, _ in found) > 2 * CASES
    assert [refused for _, refused in found if refused] == []


def main() -> int:
    """Print how many pods were placed and which seeds the scheduler disagrees with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [played(seed, Path(folder)) for seed in range(asked.cases)]
    refused = [seed for seed, (_, left) in enumerate(found) if left]
    placed = sum(placed for placed, _ in found)
    sys.stdout.write(f"{asked.cases} plans, {placed} pods placed; plans with a pod refused: {len(refused)} {refused}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
