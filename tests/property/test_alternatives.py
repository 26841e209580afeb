"""Small cases with alternative worker groups against every division tried.

``python -m tests.property.test_alternatives --cases 1000`` tries more than the tests do.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pytest

from raypipe.fleet import plan_fleet
from raypipe.validation import check_plan
from tests.property.alternative_cases import (
    admission,
    best_division,
    divisible_case,
    divisible_snapshot,
)
from tests.property.cases import catalogue

MOST_DEARER = 1.02


def compared(seed: int, folder: Path) -> tuple[bool, str]:
    """Whether the plan of a case costs the least, and what is wrong with it."""
    case = divisible_case(seed)
    best, cents = best_division(case)
    fleet, catalog = divisible_snapshot(case), catalogue(case.case, folder)
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    (cluster,) = plan.clusters
    keys = [key for node in cluster.nodes for key, count in node.added.items() for _ in range(count)]
    found, paid = admission(case, keys), round(cluster.bought.usd_per_hour * 100)
    if cluster.bought.lower_bound > cents / 100 + 1e-9 and found == best:
        return False, f"{seed}: bound {cluster.bought.lower_bound} above {cents / 100}"
    if found != best or paid > cents * MOST_DEARER or paid < cents:
        return False, f"{seed}: {found} for {paid} instead of {best} for {cents}"
    return paid == cents, ""


def _tally(seeds: range, folder: Path) -> tuple[int, list[str]]:
    outcomes = [compared(seed, folder / str(seed)) for seed in seeds]
    return sum(least for least, _ in outcomes), [wrong for _, wrong in outcomes if wrong]


@pytest.mark.parametrize("first_case", range(0, 150, 50))
def test_divisions_of_small_cases_cost_the_least(first_case: int, tmp_path: Path) -> None:
    least, wrong = _tally(range(first_case, first_case + 50), tmp_path)
    assert not wrong
    assert least >= 49


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    cases = parser.parse_args().cases
    with tempfile.TemporaryDirectory() as name:
        equal, problems = _tally(range(cases), Path(name))
    print(f"{cases} cases: {equal} of least cost, {len(problems)} wrong", *problems, sep="\n")
