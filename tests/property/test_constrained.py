"""Small cases with placement constraints against everything tried: who is admitted, the cost, and the bound.

``python -m tests.property.test_constrained --cases 1000`` prints the table; the test looks at its first cases. With
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
from raypipe.fleet import merged
from raypipe.model.plan import Admission, Scope
from raypipe.model.snapshot import FleetSnapshot
from raypipe.planner import plan_cluster
from raypipe.settings import Settings
from raypipe.validation import check_plan
from tests.property.constrained_brute_force import World
from tests.property.constrained_cases import catalogue, random_case, snapshot

SHARE_OF_EQUAL_COST = 0.99
WORST_RATIO = 1.02
CASES = 240
LARGER = 100
SHARE_ADMITTED_ALIKE = 0.95
"""Cases that the test looks at, of about 0.1 s each."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One case: what raypipe's plan is beside the best one.

    Attributes:
        is_valid: raypipe's own second opinion passes it. is_right: it keeps every rule, by the oracle.
        everything: the best plan admits all that is wanted. as_admitted: the plan admits the same pods.
        proven: it calls its order of admission exact.
        ratio: its cost / least cost of placing the pods that it places (0/0 = 1); None where these cannot be placed.
        is_bound: its bound is not above that least cost.
    """

    seed: int
    is_valid: bool
    is_right: bool
    everything: bool
    as_admitted: bool
    proven: bool
    ratio: float | None
    is_bound: bool

    @property
    def is_as_feasible(self) -> bool:
        """Whether both see alike what can be placed: all of it or not all, and by a plan that keeps the rules."""
        return self.is_right and self.ratio is not None and (self.as_admitted or not self.everything)

    @property
    def is_as_cheap(self) -> bool:
        return self.ratio is not None and abs(self.ratio - 1) < 1e-6


def compared(seed: int, folder: Path, settings: Settings | None = None) -> Compared:
    """Plan the case of a seed and find the best plan by trying everything."""
    case = random_case(seed)
    world, catalog = World(case), catalogue(case, folder / str(seed))
    cluster = dataclasses.replace(snapshot(case), settings=settings or Settings())
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_cluster(cluster, catalog)
    try:
        check_plan(merged(fleet, catalog, Scope.PENDING, (plan,)), fleet, catalog)
        is_valid = True
    except InvalidPlanError:
        is_valid = False
    placed, admitted = world.placed(plan), world.admitted()
    least = world.cheapest(placed)
    cents, bound = plan.bought.usd_per_hour * 100, plan.bought.lower_bound * 100
    return Compared(
        seed=seed,
        is_valid=is_valid,
        is_right=world.is_right_plan(plan),
        everything=admitted == tuple(group.count for group in case.groups),
        as_admitted=placed == admitted,
        proven=plan.admission is Admission.EXACT,
        ratio=_ratio(cents, least),
        is_bound=least is not None and bound <= least + 1e-6,
    )


def _ratio(cents: float, least: int | None) -> float | None:
    if least is None:
        return None
    return cents / least if least else (1.0 if cents < 1e-6 else float("inf"))


def rows(cases: Iterable[Compared]) -> Iterator[tuple[str, str, list[int]]]:
    """What is told: a title, how many or how much, and the seeds that are to blame."""
    all_of = list(cases)
    for title, wrong in (
        ("valid by raypipe", [one.seed for one in all_of if not one.is_valid]),
        ("right by the oracle", [one.seed for one in all_of if not one.is_right]),
        ("feasible alike", [one.seed for one in all_of if not one.is_as_feasible]),
        ("admission alike", [one.seed for one in all_of if not one.as_admitted]),
        ("order called exact", [one.seed for one in all_of if not one.proven]),
        ("cost equal", [one.seed for one in all_of if not one.is_as_cheap]),
        ("bound at most the optimum", [one.seed for one in all_of if not one.is_bound]),
    ):
        yield title, f"{1 - len(wrong) / len(all_of):.2%}", wrong
    worst = max(all_of, key=lambda one: one.ratio or 0)
    yield "worst cost / optimum", f"{worst.ratio or 0:.4f}", [worst.seed]
    yield "all that is wanted fits", f"{sum(one.everything for one in all_of) / len(all_of):.2%}", []


def test_plans_are_those_that_trying_everything_finds(tmp_path: Path) -> None:
    found = [compared(seed, tmp_path) for seed in range(CASES)]
    wrong = [
        one for one in found if not (one.is_valid and one.is_right and one.as_admitted and one.proven and one.is_bound)
    ]
    assert not wrong
    assert sum(one.is_as_cheap for one in found) >= SHARE_OF_EQUAL_COST * CASES
    assert max(one.ratio or 0 for one in found) <= WORST_RATIO


def test_the_way_for_larger_problems_keeps_every_rule_and_admits_the_same_nearly_always(tmp_path: Path) -> None:
    found = [compared(seed, tmp_path, Settings(enumerate_patterns=0)) for seed in range(LARGER)]
    assert not [one for one in found if not (one.is_valid and one.is_right and one.is_as_feasible and one.is_bound)]
    assert not [one for one in found if one.proven and not one.as_admitted]
    assert sum(one.as_admitted for one in found) >= SHARE_ADMITTED_ALIKE * LARGER


def main() -> int:
    """Print the table over the first cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--patterns", type=int, default=Settings().enumerate_patterns)
    asked = parser.parse_args()
    settings = Settings(enumerate_patterns=asked.patterns)
    with tempfile.TemporaryDirectory() as folder:
        found = [compared(seed, Path(folder), settings) for seed in range(asked.first, asked.first + asked.cases)]
    for title, amount, seeds in rows(found):
        sys.stdout.write(f"{title:<28}{amount:>10}  {' '.join(map(str, seeds[:12]))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
