"""Small cases with preferences against everything tried: who is placed, the objective, and its bound.

``python -m tests.property.test_preferred --cases 200`` prints the table; the test looks at its first cases. With
``--patterns 0`` small cases are planned as if they were too large for all fillings to be listed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from raypipe.errors import InvalidPlanError
from raypipe.fleet.merge import merged
from raypipe.model.plan import Scope
from raypipe.model.snapshot import FleetSnapshot
from raypipe.planner import plan_cluster
from raypipe.settings import Settings
from raypipe.validation import check_plan
from tests.property.constrained_cases import catalogue, snapshot
from tests.property.preferred_brute_force import PreferringWorld
from tests.property.preferred_cases import PRICED, preferring_case

SHARE_OF_EQUAL_OBJECTIVE = 0.99
CASES = 30


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One case: what raypipe's plan is beside the best one.

    Attributes:
        is_valid: raypipe's own second opinion passes it. is_right: it keeps every rule, by the oracle.
        is_told: its objective is what the oracle counts on its nodes.
        as_placed: it places the same pods as without preferences, at a cost that is no lower, over the same bound.
        value, least: its objective, and the least for its pods by trying everything, in cents.
        is_bound: its bound is not above that. matters: the plan without preferences has another objective.
    """

    seed: int
    is_valid: bool
    is_right: bool
    is_told: bool
    as_placed: bool
    value: float
    least: int | None
    is_bound: bool
    matters: bool

    @property
    def is_best(self) -> bool:
        return self.least is not None and abs(self.value - self.least) < 1e-6


def compared(seed: int, folder: Path, settings: Settings = PRICED) -> Compared:
    """Plan the case of a seed and find the best plan by trying everything."""
    case = preferring_case(seed)
    world, catalog = PreferringWorld(case), catalogue(case, folder / str(seed))
    cluster = dataclasses.replace(snapshot(case), settings=settings)
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_cluster(cluster, catalog)
    deaf = dataclasses.replace(settings, preference_usd_per_hour=0.0, skew_usd_per_hour=0.0)
    plain = plan_cluster(dataclasses.replace(cluster, settings=deaf), catalog)
    try:
        check_plan(merged(fleet, catalog, Scope.PENDING, (plan,)), fleet, catalog)
        is_valid = True
    except InvalidPlanError:
        is_valid = False
    placed = world.placed(plan)
    least = world.cheapest(placed)
    kept = plan.usd_per_hour.after - plan.bought.usd_per_hour
    value, bound = (plan.objective.value - kept) * 100, (plan.objective.lower_bound - kept) * 100
    return Compared(
        seed=seed,
        is_valid=is_valid,
        is_right=world.is_right_plan(plan),
        is_told=abs(world.objective(plan) - value) < 1e-6,
        as_placed=placed == world.placed(plain)
        and plan.bought.usd_per_hour >= plain.bought.usd_per_hour - 1e-9
        and plan.bought.lower_bound == plain.bought.lower_bound,
        value=value,
        least=least,
        is_bound=least is not None and bound <= least + 1e-6,
        matters=world.objective(plain) != world.objective(plan),
    )


def rows(cases: Iterable[Compared]) -> Iterator[tuple[str, str, list[int]]]:
    """What is told: a title, how many, and the seeds that are to blame."""
    all_of = list(cases)
    for title, wrong in (
        ("valid by raypipe", [one.seed for one in all_of if not one.is_valid]),
        ("right by the oracle", [one.seed for one in all_of if not one.is_right]),
        ("objective as counted", [one.seed for one in all_of if not one.is_told]),
        ("places as without", [one.seed for one in all_of if not one.as_placed]),
        ("objective equal", [one.seed for one in all_of if not one.is_best]),
        ("bound at most the optimum", [one.seed for one in all_of if not one.is_bound]),
    ):
        yield title, f"{1 - len(wrong) / len(all_of):.2%}", wrong
    ratios = [one.value / one.least for one in all_of if one.least]
    yield "mean objective / optimum", f"{sum(ratios) / len(ratios):.4f}", []
    yield "preferences matter", f"{sum(one.matters for one in all_of) / len(all_of):.2%}", []


def test_plans_are_worth_most_to_their_pods(tmp_path: Path) -> None:
    found = [compared(seed, tmp_path) for seed in range(CASES)]
    assert not [
        one for one in found if not (one.is_valid and one.is_right and one.is_told and one.as_placed and one.is_bound)
    ]
    assert sum(one.is_best for one in found) >= SHARE_OF_EQUAL_OBJECTIVE * CASES
    assert any(one.matters for one in found)


def test_the_way_for_larger_problems_counts_right_and_places_the_same(tmp_path: Path) -> None:
    found = [compared(seed, tmp_path, dataclasses.replace(PRICED, enumerate_patterns=0)) for seed in range(CASES)]
    assert not [
        one for one in found if not (one.is_valid and one.is_right and one.is_told and one.as_placed and one.is_bound)
    ]


def main() -> int:
    """Print the table over the first cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--patterns", type=int, default=PRICED.enumerate_patterns)
    asked = parser.parse_args()
    settings = dataclasses.replace(PRICED, enumerate_patterns=asked.patterns)
    with tempfile.TemporaryDirectory() as folder:
        found = [compared(seed, Path(folder), settings) for seed in range(asked.first, asked.first + asked.cases)]
    for title, amount, seeds in rows(found):
        sys.stdout.write(f"{title:<28}{amount:>10}  {' '.join(map(str, seeds[:12]))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
