"""An outsider recomputes the bound of plans from their JSON, the catalogue and the manifests, and believes no other.

``python -m tests.property.test_outsider --cases 100`` prints how far what can be shown is from what is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import raypipe
from tests.property.outsider import recomputed, refusals
from tests.property.outsider_cases import SORTS, write_case

LITTLE_WORK = {"enumerate_patterns": 0, "neighbourhoods": 0, "lp_rounds": 2}
BY_PRICES = LITTLE_WORK | {"bound_search": 0}
SETTINGS = {
    "aggregated-lp": BY_PRICES | {"cut_rounds": 0},
    "pattern-lp": BY_PRICES,
    "aggregated-milp": LITTLE_WORK,
}
"""What makes plans state a bound of this kind, unless an easier one is as good."""
CASES = 2 * len(SORTS)
UNDER_A_QUOTA = {"aggregated-lp": 3, "pattern-lp": 3, "aggregated-milp": 33}
"""A case in which the quota has a price, and no bound a hundredth higher can be shown."""
FEW_NODES = (2, 3, *range(len(SORTS), 2 * len(SORTS)), 64)
BY_WHOLE_NODES = {2, 3, 6, 7, 10, 64}
"""Of the cases of few nodes, those that whole numbers of them bound better than prices do."""

type Asked = tuple[str, Path, Path]


def planned(number: int, kind: str, folder: Path) -> Asked:
    """The plan of a case as JSON, its catalogue and its manifests."""
    catalogue, fleet = write_case(number, folder / str(number))
    plan = raypipe.plan(raypipe.read(fleet), catalog=catalogue, settings=SETTINGS[kind])
    return plan.to_json(), catalogue, fleet


def _named(number: int) -> str:
    return f"{number}-{SORTS[number % len(SORTS)]}"


@pytest.mark.parametrize("kind", ["aggregated-lp", "pattern-lp"])
@pytest.mark.parametrize("number", range(CASES), ids=_named)
def test_the_prices_of_a_plan_prove_its_bound(number: int, kind: str, tmp_path: Path) -> None:
    asked = planned(number, kind, tmp_path)
    found = recomputed(*asked)
    assert (found.kind, refusals(asked[0], found)) == (kind, [])


def test_what_whole_nodes_prove_is_proven_by_another_milp(tmp_path: Path) -> None:
    asked = {number: planned(number, "aggregated-milp", tmp_path) for number in FEW_NODES}
    found = {number: recomputed(*plan) for number, plan in asked.items()}
    assert {number: refusals(asked[number][0], one) for number, one in found.items()} == {n: [] for n in FEW_NODES}
    assert {number for number, one in found.items() if one.kind == "aggregated-milp"} == BY_WHOLE_NODES
    assert all(found[number].bought > found[number].by_prices + 0.01 for number in BY_WHOLE_NODES)


def _dearest(cluster: dict[str, Any]) -> str:
    prices: dict[str, float] = cluster["marginal_usd_per_hour"]
    return max(prices, key=lambda key: prices[key])


def _scaled(cluster: dict[str, Any], *path: str, by: float) -> None:
    *way, last = path
    for name in way:
        cluster = cluster[name]
    cluster[last] *= by


def _all_marginals(cluster: dict[str, Any]) -> None:
    for key in cluster["marginal_usd_per_hour"]:
        _scaled(cluster, "marginal_usd_per_hour", key, by=1.01)


DOCTORED: dict[str, Callable[[dict[str, Any]], None]] = {
    "a bound on what is bought of a hundredth more": lambda one: _scaled(one, "bought", "lower_bound", by=1.01),
    "a bound on all of a hundredth more": lambda one: _scaled(one, "usd_per_hour", "lower_bound", by=1.01),
    "prices that prove a hundredth more": lambda one: _scaled(one, "bound", "by_prices_usd_per_hour", by=1.01),
    "a bound above the cost": lambda one: _scaled(one, "bought", "usd_per_hour", by=0.5),
    "a pod too dear": lambda one: _scaled(one, "marginal_usd_per_hour", _dearest(one), by=1.1),
    "a pod too cheap": lambda one: _scaled(one, "marginal_usd_per_hour", _dearest(one), by=0.9),
    "all pods too dear": _all_marginals,
    "a limit too dear": lambda one: _scaled(one, "bound", "prices", "quota/spot/cpu", by=1.1),
    "a limit too cheap": lambda one: _scaled(one, "bound", "prices", "quota/spot/cpu", by=0.9),
    "a limit without a price": lambda one: one["bound"]["prices"].clear(),
}


@pytest.fixture(scope="module", params=SETTINGS)
def under_a_quota(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return planned(UNDER_A_QUOTA[request.param], request.param, tmp_path_factory.mktemp("quota"))


@pytest.mark.parametrize("doctor", DOCTORED.values(), ids=DOCTORED)
def test_a_doctored_plan_is_refused(doctor: Callable[[dict[str, Any]], None], under_a_quota: Asked) -> None:
    text, catalogue, fleet = under_a_quota
    plan = json.loads(text)
    doctor(plan["clusters"][0])
    doctored = json.dumps(plan)
    assert refusals(doctored, recomputed(doctored, catalogue, fleet)) != []


def main() -> int:
    """Print the largest difference of each kind of bound, and every plan that is refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    asked = parser.parse_args()
    for kind in SETTINGS:
        short, refused = [], list[str]()
        for number in range(asked.cases):
            with tempfile.TemporaryDirectory() as folder:
                plan = planned(number, kind, Path(folder))
                claimed = json.loads(plan[0])["clusters"][0]["bought"]["lower_bound"]
                found = recomputed(*plan)
                short.append(claimed - found.bought)
                refused += [f"case {_named(number)}: {wrong}" for wrong in refusals(plan[0], found)]
        sys.stdout.write(
            f"{kind}: {asked.cases} cases, {len(refused)} refusals; printed less recomputed bound "
            f"{min(short):.2e} to {max(short):.2e} $/h\n"
        )
        sys.stdout.writelines(f"  {line}\n" for line in refused)
    return 0


if __name__ == "__main__":
    sys.exit(main())
