"""An easier question has no worse answer: one more offering, one pod fewer, a looser limit, a looser quota.

Of a pair, the plan of the easier question admits no less in the order of admission; where it admits the same, it buys
for no more than the harder one's cost x (1 + its own gap), as printed. A right plan with a right bound cannot break the
second: what it costs is within its gap of the least that any plan costs, which the harder one's cannot undercut.

``python -m tests.property.test_monotone --cases 500`` prints the table; the test looks at the first cases.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from raypipe.catalog import load
from raypipe.errors import InvalidPlanError
from raypipe.fleet import merged
from raypipe.model.plan import Admission, ClusterPlan, Scope
from raypipe.model.pods import PodGroup
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.planner import plan_cluster
from raypipe.validation import check_plan
from tests.property.pairs import Pair, Question, pairs

CASES = 32
"""Pairs that the test looks at, of about 0.3 s each."""

SLACK_USD = 2e-9


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One pair: what the easier question's plan is beside the harder one's.

    Attributes:
        case: seed, and what was changed. valid: both plans pass the second opinion. exact: both call their order exact.
        less: it admits less. more: it admits more. dearer: its cost over the harder one's, where both admit the same.
        allowed: its own gap, None where its bound is 0.
    """

    world: str
    change: str
    seed: int
    valid: bool
    exact: bool
    less: bool
    more: bool
    dearer: float
    allowed: float | None
    excess_usd: float

    @property
    def too_dear(self) -> bool:
        """Above the other's cost by more than its gap."""
        return not (self.less or self.more) and self.excess_usd > SLACK_USD


def compared(seed: int, pair: Pair) -> Compared:
    """Plan both questions of a pair."""
    easier, harder = _planned(pair.easier), _planned(pair.harder)
    admitted = [_admitted(pair, plan) for plan in (easier, harder)]
    cost, other, gap = easier.bought.usd_per_hour, harder.bought.usd_per_hour, easier.bought.gap_fraction
    return Compared(
        world=pair.world,
        change=pair.change,
        seed=seed,
        valid=_is_valid(pair.easier, easier) and _is_valid(pair.harder, harder),
        exact=easier.admission is harder.admission is Admission.EXACT,
        less=admitted[0] < admitted[1],
        more=admitted[0] > admitted[1],
        dearer=cost / other - 1 if other else 0.0,
        allowed=gap,
        excess_usd=0.0 if gap is None else cost - other * (1 + gap),
    )


def _planned(question: Question) -> ClusterPlan:
    return plan_cluster(question.cluster, question.catalog)


def _is_valid(question: Question, plan: ClusterPlan) -> bool:
    fleet = FleetSnapshot(clusters=(question.cluster,))
    try:
        check_plan(merged(fleet, question.catalog, Scope.PENDING, (plan,)), fleet, question.catalog)
    except InvalidPlanError:
        return False
    return True


def _admitted(pair: Pair, plan: ClusterPlan) -> list[int]:
    """Pods admitted of each unit, in the order of admission; of the key that has a pod fewer, as if it were gone."""
    placed: dict[str, int] = {}
    for node in plan.nodes:
        for key, count in node.added.items():
            placed[key] = placed.get(key, 0) + count
    if pair.without is not None:
        wanted = sum(group.count for group in pair.easier.cluster.demand if group.key == pair.without)
        placed[pair.without] = min(placed.get(pair.without, 0), wanted)
    return [min(placed.get(key, 0) for key in keys) for keys in _units(pair.harder.cluster)]


def _units(cluster: ClusterSnapshot) -> list[tuple[str, ...]]:
    """Keys that are admitted together, in order: higher priority, older (age not known last), key."""
    gangs = {gang.name: tuple(gang.minimum) for gang in cluster.gangs if gang.copies}
    groups = {group.key: group for group in cluster.demand}
    alone = [(key,) for key, group in groups.items() if group.gang not in gangs]
    units = [*gangs.values(), *alone]
    return sorted(units, key=lambda keys: _place([groups[key] for key in keys]))


def _place(groups: Sequence[PodGroup]) -> tuple[int, bool, str, str]:
    created = min((group.created for group in groups if group.created), default=None)
    priority = max(group.spec.priority for group in groups)
    return (-priority, created is None, created or "", min(group.key for group in groups))


def many(first: int, count: int, folder: Path) -> Iterator[Compared]:
    """So many pairs, from the seed `first` on."""
    shipped = load(None)
    seed = first
    while count > 0:
        for pair in pairs(seed, shipped, folder):
            yield compared(seed, pair)
            count -= 1
        seed += 1


def test_an_easier_question_has_no_worse_answer(tmp_path: Path) -> None:
    found = list(many(0, CASES, tmp_path))
    assert [one for one in found if not one.valid or one.less or one.too_dear] == []
    assert sum(one.more for one in found) > CASES / 10  # else the changes make nothing easier


@pytest.mark.parametrize(
    ("seed", "change"),
    [
        pytest.param(159, "a looser limit", id="cheap nodes are many, and the limit is on nodes"),
        pytest.param(219, "a looser limit", id="a limit on nodes between what is cheapest and what is largest"),
        pytest.param(284, "a looser quota", id="a packing found while asking whom to blame"),
    ],
)
def test_what_once_was_worse_no_longer_is(seed: int, change: str, tmp_path: Path) -> None:
    pair = next(pair for pair in pairs(seed, load(None), tmp_path) if pair.change == change)
    found = compared(seed, pair)
    assert (found.valid, found.less, found.too_dear) == (True, False, False)


def rows(found: Sequence[Compared]) -> Iterator[str]:
    """The table: a line for each change in each world, then all."""
    for world, change in sorted({(one.world, one.change) for one in found}):
        yield _line(f"{world}: {change}", [one for one in found if (one.world, one.change) == (world, change)])
    yield _line("all", found)


def _line(title: str, some: Sequence[Compared]) -> str:
    wrong = [f"{one.seed} {kind}" for one in some for kind, is_so in _wrong(one) if is_so]
    same = [one for one in some if not (one.less or one.more)]
    dearer = [one for one in same if one.dearer > 1e-9]
    worst = max((one.dearer for one in same), default=0.0)
    return (
        f"{title:<42}{len(some):>6}{sum(one.exact for one in some):>7}{sum(one.less for one in some):>6}"
        f"{sum(one.more for one in some):>6}{len(dearer):>8}{worst:>9.2%}{sum(one.too_dear for one in some):>10}"
        f"  {'; '.join(wrong[:6])}"
    )


def _wrong(one: Compared) -> tuple[tuple[str, bool], ...]:
    return (("invalid", not one.valid), ("admits less", one.less), ("too dear", one.too_dear))


def main() -> int:
    """Print the table; 1 where an easier question has a worse answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = list(many(asked.first, asked.cases, Path(folder)))
    sys.stdout.write(
        f"{'easier question':<42}{'pairs':>6}{'exact':>7}{'less':>6}{'more':>6}{'dearer':>8}{'worst':>9}"
        f"{'above gap':>10}  seeds\n" + "\n".join(rows(found)) + "\n"
    )
    return 1 if any(one.less or one.too_dear or not one.valid for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
