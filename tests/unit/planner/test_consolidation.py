"""What moving pods would save is said within all limits: the cluster's own, and what it shares with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.model.plan import Consolidation
from raypipe.model.pods import BoundPods
from raypipe.settings import Settings
from tests.unit.planner.builders import OFFERINGS, catalog_in, cluster, node, planned_fleet, spec

OFTEN = OFFERINGS.replace("m5.2xlarge,on-demand,0.4", "m5.2xlarge,on-demand,0.9")
SAVES = Consolidation(usd_per_hour_saved=0.5, actions=3)
"""One large node for 0.9 given back, two small ones for 0.2 each bought."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path, offerings=OFTEN)


def quota(most: int) -> Settings:
    return Settings(quotas=({"name": "q", "resource": "nodes", "amount": most},))


@pytest.mark.parametrize(
    ("own", "of_fleet", "others", "said"),
    [
        pytest.param({}, {}, 0, SAVES, id="no limit"),
        pytest.param({"limits": {"nodes": 2}}, {}, 0, SAVES, id="a limit of the cluster that leaves one node more"),
        pytest.param({"limits": {"nodes": 1}}, {}, 0, Consolidation(), id="a limit of the cluster that leaves none"),
        pytest.param({"settings": quota(1)}, {}, 0, Consolidation(), id="a quota that two clusters share"),
        pytest.param({"settings": quota(2)}, {}, 0, SAVES, id="a quota that leaves one node more"),
        pytest.param({"settings": quota(2)}, {}, 1, Consolidation(), id="a quota of which the other has the rest"),
        pytest.param({}, {"nodes": 2}, 0, SAVES, id="a limit of the fleet that leaves one node more"),
        pytest.param({}, {"nodes": 1}, 0, Consolidation(), id="a limit of the fleet that leaves none"),
        pytest.param({}, {"nodes": 2}, 1, Consolidation(), id="a limit of the fleet of which the other has the rest"),
        pytest.param({}, {"usdPerHour": 900_000_000}, 0, SAVES, id="a limit of the fleet that the dear node fills"),
    ],
)
def test_savings_are_within_the_limits(
    own: dict[str, Any], of_fleet: dict[str, int], others: int, said: Consolidation, catalog: Catalog
) -> None:
    dear = cluster(
        name="a",
        nodes=(node("n", 8000, 32, kind="m5.2xlarge"),),
        bound=(BoundPods(node="n", key="Deployment/d/web", spec=spec(4000), count=2),),
        **own,
    )
    other = cluster(name="b", nodes=(node("m"),) * others, **own)
    assert planned_fleet(catalog, dear, other, limits=of_fleet).clusters[0].consolidation == said
