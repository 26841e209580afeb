"""Cases of at most 15 pods against one plain MILP; smaller ones hold that MILP to what trying everything finds.

``python -m tests.property.test_plain_milp --cases 100`` prints mean and worst excess.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from raypipe.fleet import merged
from raypipe.model.plan import Scope
from raypipe.model.snapshot import FleetSnapshot
from raypipe.planner import plan_cluster
from raypipe.validation import check_plan
from tests.property.constrained_brute_force import best_plan
from tests.property.constrained_cases import Case, catalogue, snapshot
from tests.property.plain_milp import least_cents, random_case

MEAN_EXCESS = 0.01
CASES = 100


def planned_cents(case: Case, folder: Path) -> float:
    """What raypipe buys, once its own second opinion has passed it and everything is placed."""
    cluster, catalog = snapshot(case), catalogue(case, folder)
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_cluster(cluster, catalog)
    check_plan(merged(fleet, catalog, Scope.PENDING, (plan,)), fleet, catalog)
    assert plan.unplaced == ()
    assert plan.bought.lower_bound <= plan.bought.usd_per_hour + 1e-9
    return plan.bought.usd_per_hour * 100


def excess(seed: int, folder: Path) -> float:
    """How far the plan of a case costs more than the optimum of the MILP, as a fraction."""
    case = random_case(seed)
    least, found = least_cents(case), planned_cents(case, folder / str(seed))
    assert least is not None
    assert found >= least - 1e-6, f"case {seed} costs {found}, and the MILP calls {least} the least"
    return (found - least) / max(1, least)


def test_the_milp_finds_what_trying_everything_finds() -> None:
    cases = {seed: random_case(seed, most_pods=5) for seed in range(CASES)}
    milp = {seed: least_cents(case) for seed, case in cases.items()}
    assert milp == {seed: best_plan(case).cents for seed, case in cases.items()}


def test_plans_cost_what_the_milp_says(tmp_path: Path) -> None:
    found = {seed: excess(seed, tmp_path) for seed in range(CASES)}
    assert sum(found.values()) / CASES <= MEAN_EXCESS, {seed: more for seed, more in found.items() if more > 0}


def main() -> int:
    """Print mean and worst excess over the first cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {seed: excess(seed, Path(folder)) for seed in range(asked.cases)}
    worst = max(found, key=lambda seed: found[seed])
    mean = sum(found.values()) / len(found)
    sys.stdout.write(f"{len(found)} cases: mean excess {mean:.3%}, worst {found[worst]:.3%} (case {worst})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
