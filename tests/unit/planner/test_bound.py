"""What the bound of a plan says of itself: how it was proven, and what it leaves out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.model.constraints import HostPort, PodSelector, PodTerm, Spread
from raypipe.model.pods import PodGroup
from raypipe.model.requirements import HOSTNAME, Operator, Requirement
from raypipe.model.requirements import ZONE as ZONE_KEY
from raypipe.settings import Settings
from tests.unit.planner.builders import catalog_in, planned, pods

LARGE = Settings(enumerate_patterns=0)
"""Nothing is listed whole, as in large problems."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def app(name: str, cpu: int = 1000, count: int = 4, **asks: Any) -> PodGroup:
    group = pods(name, cpu, count)
    return dataclasses.replace(group, spec=dataclasses.replace(group.spec, namespace="d", labels={"app": name}, **asks))


def apps(*names: str) -> PodSelector:
    return PodSelector(namespaces=("d",), labels=(Requirement(key="app", operator=Operator.IN, values=names),))


@pytest.mark.parametrize(
    ("asks", "left_out"),
    [
        pytest.param({}, (), id="nothing is asked"),
        pytest.param(
            {"pod_anti_affinity": (PodTerm(topology_key=HOSTNAME, pods=apps("web")),)},
            (),
            id="apart from its own kind: a cap on a node",
        ),
        pytest.param(
            {"pod_anti_affinity": (PodTerm(topology_key=HOSTNAME, pods=apps("web", "db")),)},
            ("pod-anti-affinity",),
            id="apart from others too",
        ),
        pytest.param(
            {"spread": (Spread(topology_key=HOSTNAME, max_skew=2, pods=apps("web")),)},
            (),
            id="spread over nodes: a cap",
        ),
        pytest.param(
            {"spread": (Spread(topology_key=HOSTNAME, max_skew=2, pods=apps("web", "db")),)},
            ("topology-spread",),
            id="spread over nodes beside others that do not ask for it",
        ),
        pytest.param({"host_ports": (HostPort(port=80),)}, (), id="a host port of its own: a cap"),
        pytest.param(
            {"spread": (Spread(topology_key=ZONE_KEY, max_skew=1, pods=apps("web")),)}, ("zone-spread",), id="zones"
        ),
    ],
)
def test_caps_on_a_node_are_in_the_bound_and_what_spans_nodes_is_left_out(
    asks: dict[str, Any], left_out: tuple[str, ...], catalog: Catalog
) -> None:
    plan = planned(catalog, app("web", **asks), app("db"), settings=LARGE)
    assert (plan.bound.left_out, plan.bound.pods) == (left_out, 8)


@pytest.mark.parametrize(
    ("cpu", "kind", "bound"),
    [
        pytest.param(1000, "aggregated-lp", 1.25, id="pods that fill nodes"),
        pytest.param(1500, "pattern-lp", 2.0, id="five of 1.5 cores on 8, two on 4"),
    ],
)
def test_the_bound_counts_whole_pods(cpu: int, kind: str, bound: float, catalog: Catalog) -> None:
    plan = planned(catalog, pods("web", cpu, 25, gib=0), settings=LARGE)
    assert (plan.bound.kind, plan.bought.lower_bound) == (kind, pytest.approx(bound))
