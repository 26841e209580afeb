"""100 small cases under quotas against everything tried, and quotas that are shared against their sum."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from raypipe.fleet import plan_fleet
from raypipe.model.plan import Admission, FleetPlan, Status
from raypipe.model.snapshot import FleetSnapshot
from raypipe.settings import Settings
from raypipe.validation import check_plan
from tests.property.brute_force import best_plan
from tests.property.cases import Case, Kind, catalogue, random_case, snapshot


@dataclasses.dataclass(frozen=True)
class Selected:
    """A quota in plain numbers: cores, GPUs, nodes or cents of these kinds (by number) of one capacity type, or any."""

    resource: str
    amount: int
    used: int
    kinds: frozenset[int]
    capacity_type: str | None
    with_gpus: bool

    def counts(self, case: Case, kind: Kind) -> int:
        if case.kinds.index(kind) not in self.kinds or self.capacity_type not in (None, kind.capacity_type):
            return 0
        if self.with_gpus and not kind.gpus:
            return 0
        return {"cpu": kind.vcpu, "nvidia.com/gpu": kind.gpus, "nodes": 1, "usdPerHour": kind.cents}[self.resource]

    def leaves(self, case: Case) -> int:
        kept = sum(self.counts(case, node.kind) for node in case.nodes)
        return max(0, self.amount - self.used - kept)


@dataclasses.dataclass(frozen=True)
class QuotaCase(Case):
    quotas: tuple[Selected, ...] = ()


def quota_case(seed: int) -> QuotaCase:
    """The case of a seed, limits and all, with one to three quotas."""
    case, draw = random_case(seed), random.Random(seed + 1_000_000)
    quotas = []
    for _ in range(draw.randint(1, 3)):
        resource = draw.choice(("cpu", "cpu", "nvidia.com/gpu", "nodes", "usdPerHour"))
        most = {"cpu": 16, "nvidia.com/gpu": 2, "nodes": 3, "usdPerHour": 60}[resource]
        quotas.append(
            Selected(
                resource=resource,
                amount=draw.randint(0, most),
                used=draw.choice((0, 0, draw.randint(0, 4))),
                kinds=frozenset(draw.sample(range(len(case.kinds)), draw.randint(1, len(case.kinds)))),
                capacity_type=draw.choice((None, None, "spot", "on-demand")),
                with_gpus=draw.random() < 0.2,
            )
        )
    return QuotaCase(**{field.name: getattr(case, field.name) for field in dataclasses.fields(case)}, quotas=(*quotas,))


def within(case: Case, bought: Sequence[Kind]) -> bool:
    """Whether bought nodes are within the quotas."""
    assert isinstance(case, QuotaCase)
    return all(sum(quota.counts(case, kind) for kind in bought) <= quota.leaves(case) for quota in case.quotas)


def settings(case: QuotaCase) -> Settings:
    """The quotas as an operator writes them; a kind of number n is the family mn."""
    return Settings(quotas=tuple(_entry(number, quota) for number, quota in enumerate(case.quotas)))


def _entry(number: int, quota: Selected) -> dict[str, Any]:
    cents = quota.resource == "usdPerHour"
    entry: dict[str, Any] = {
        "name": f"q{number}",
        "resource": quota.resource,
        "amount": f"{quota.amount / 100:.2f}" if cents else str(quota.amount),
        "used": f"{quota.used / 100:.2f}" if cents else quota.used,
        "families": [f"m{kind}" for kind in sorted(quota.kinds)],
    }
    entry |= {"capacityType": quota.capacity_type} if quota.capacity_type else {}
    return entry | ({"gpuKinds": ["T4"]} if quota.with_gpus else {})


@pytest.mark.parametrize("first_case", range(0, 100, 25))
def test_small_cases_under_quotas_equal_brute_force(first_case: int, tmp_path: Path) -> None:
    wrong, scarce = [], 0
    for seed in range(first_case, first_case + 25):
        case = quota_case(seed)
        best = best_plan(case, within)
        bare, catalog = snapshot(case).clusters[0], catalogue(case, tmp_path / str(seed))
        fleet = FleetSnapshot(clusters=(dataclasses.replace(bare, settings=settings(case)),))
        plan = plan_fleet(fleet, catalog)
        check_plan(plan, fleet, catalog)
        cluster = plan.clusters[0]
        found = (_admitted(plan), round(cluster.bought.usd_per_hour * 100))
        if found != (best.admitted, best.cents) or cluster.admission is not Admission.EXACT:
            wrong.append((seed, found, best, cluster.admission))
        assert cluster.status is Status.OPTIMAL, seed
        assert cluster.bought.lower_bound <= cluster.bought.usd_per_hour + 1e-9, seed
        scarce += best != best_plan(case)
    assert not wrong
    assert scarce > 2  # else the quotas bind nothing


def _admitted(plan: FleetPlan) -> frozenset[str]:
    return frozenset(key for node in plan.clusters[0].nodes for key in node.added)


def test_a_quota_that_two_clusters_share_holds_over_both(tmp_path: Path) -> None:
    """Twice the same cluster: what both buy and keep is within each quota, unless what they keep is above it."""
    scarce = 0
    for seed in range(260, 300):
        case = dataclasses.replace(quota_case(seed), limits={})
        one = dataclasses.replace(snapshot(case).clusters[0], settings=settings(case))
        fleet = FleetSnapshot(clusters=(one, dataclasses.replace(one, name="other")))
        catalog = catalogue(case, tmp_path / str(seed))
        plan = plan_fleet(fleet, catalog)
        check_plan(plan, fleet, catalog)
        kinds = {kind.name: kind for kind in case.kinds}
        bought = [kinds[node.instance_type] for one in plan.clusters for node in one.nodes if not node.existing]
        for quota in case.quotas:
            kept = 2 * sum(quota.counts(case, node.kind) for node in case.nodes)
            taken = sum(quota.counts(case, kind) for kind in bought)
            assert taken <= max(0, quota.amount - quota.used - kept), (seed, quota)
        first, second = plan.clusters
        scarce += first.bought != second.bought
    assert scarce > 3  # the second gets less
