"""Small fleets under limits and quotas that clusters share, against everything tried: who is admitted, cost, and bound.

``python -m tests.property.test_fleet --cases 200`` prints the table; the test looks at its first cases. With
``--patterns 0`` clusters are planned as if they were too large for all fillings to be listed, with ``--wide`` there are
three to six clusters with more gangs.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from raypipe.fleet import plan_fleet
from raypipe.model.plan import Admission, FleetPlan
from raypipe.settings import Settings
from raypipe.validation import check_plan
from tests.property.cases import catalogue
from tests.property.fleet_cases import FleetCase, best_fleet, fleet_case, fleet_snapshot, wide_fleet_case

CASES = 40
SHARED = ("fleet/", "quota/")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One case: what raypipe's plan is beside the best one. Cents an hour of what is bought."""

    seed: int
    admits_alike: bool
    is_exact: bool
    binds: bool
    has_prices: bool
    cents: int
    best_cents: int
    bound_cents: float

    @property
    def is_right(self) -> bool:
        """Whether all that it says is so: the order where it is called exact, and the bound."""
        alike = self.admits_alike or not self.is_exact
        costs = not self.admits_alike or self.bound_cents - 1e-6 <= self.best_cents <= self.cents
        return alike and costs


def compared(seed: int, folder: Path, settings: Settings, case_of: Callable[[int], FleetCase] = fleet_case) -> Compared:
    """Plan the case of a seed, and try everything."""
    case = case_of(seed)
    fleet, catalog = fleet_snapshot(case, settings), catalogue(next(iter(case.clusters.values())), folder / str(seed))
    plan, best = plan_fleet(fleet, catalog), best_fleet(case)
    check_plan(plan, fleet, catalog)
    return Compared(
        seed=seed,
        admits_alike=admitted(plan) == best.admitted,
        is_exact=plan.admission is Admission.EXACT,
        binds=any((entry.limit or "").startswith(SHARED) for entry in plan.unplaced),
        has_prices=any(name.startswith(SHARED) for one in plan.clusters for name in one.bound.prices),
        cents=round(sum(one.bought.usd_per_hour for one in plan.clusters) * 100),
        best_cents=best.cents,
        bound_cents=sum(one.bought.lower_bound for one in plan.clusters) * 100,
    )


def admitted(plan: FleetPlan) -> frozenset[tuple[str, str]]:
    """Cluster and key of every pod placed."""
    return frozenset((one.name, key) for one in plan.clusters for node in one.nodes for key in node.added)


def rows(found: Iterable[Compared]) -> Iterator[tuple[str, int, list[int]]]:
    """The table: what is counted, how often, and the seeds."""
    found = list(found)
    for title, seeds in (
        ("cases", [one.seed for one in found]),
        ("a limit keeps pods out", [one.seed for one in found if one.binds]),
        ("a limit has a price", [one.seed for one in found if one.has_prices]),
        ("order proven", [one.seed for one in found if one.is_exact]),
        ("same pods admitted", [one.seed for one in found if one.admits_alike]),
        ("same cost", [one.seed for one in found if one.admits_alike and one.cents == one.best_cents]),
        ("bound is the cost", [one.seed for one in found if abs(one.bound_cents - one.cents) < 1e-6]),
        ("wrong", [one.seed for one in found if not one.is_right]),
    ):
        yield title, len(seeds), seeds


def test_small_fleets_under_limits_equal_brute_force(tmp_path: Path) -> None:
    found = [compared(seed, tmp_path, Settings()) for seed in range(CASES)]
    assert [one.seed for one in found if not (one.is_right and one.is_exact and one.admits_alike)] == []
    assert sum(one.cents for one in found) <= 1.01 * sum(one.best_cents for one in found)
    assert sum(one.binds for one in found) > CASES / 3
    assert sum(one.has_prices for one in found) > CASES / 20


def test_wide_fleets_with_gangs_equal_brute_force(tmp_path: Path) -> None:
    found = [compared(seed, tmp_path, Settings(), wide_fleet_case) for seed in range(CASES // 2)]
    assert [one.seed for one in found if not one.is_right] == []
    assert sum(one.admits_alike for one in found) >= 0.95 * len(found)
    assert sum(one.cents for one in found) <= 1.02 * sum(one.best_cents for one in found)
    assert sum(one.binds for one in found) > CASES / 6


def test_fleets_too_large_to_be_listed_are_called_heuristic_where_they_are_not_proven(tmp_path: Path) -> None:
    found = [compared(seed, tmp_path, Settings(enumerate_patterns=0)) for seed in range(CASES // 2)]
    assert [one.seed for one in found if not one.is_right] == []
    assert sum(one.admits_alike for one in found) >= 0.9 * len(found)


def test_the_order_of_clusters_does_not_matter(tmp_path: Path) -> None:
    for seed in range(10):
        case = fleet_case(seed)
        fleet, catalog = fleet_snapshot(case), catalogue(next(iter(case.clusters.values())), tmp_path / str(seed))
        shuffled = random.Random(seed).sample(fleet.clusters, len(fleet.clusters))
        plans = [plan_fleet(one, catalog) for one in (fleet, dataclasses.replace(fleet, clusters=tuple(shuffled)))]
        first, second = ({one.name: one for one in plan.clusters} for plan in plans)
        assert first == second, seed


def main() -> int:
    """Print the table over the first cases; exit 1 if anything said is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--patterns", type=int, default=Settings().enumerate_patterns)
    parser.add_argument("--wide", action="store_true")
    asked = parser.parse_args()
    case_of = wide_fleet_case if asked.wide else fleet_case
    settings = Settings(enumerate_patterns=asked.patterns)
    with tempfile.TemporaryDirectory() as folder:
        seeds = range(asked.first, asked.first + asked.cases)
        found = [compared(seed, Path(folder), settings, case_of) for seed in seeds]
    for title, amount, seeds in rows(found):
        sys.stdout.write(f"{title:<28}{amount:>10}  {' '.join(map(str, seeds[:12]))}\n")
    return 1 if any(not one.is_right for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
