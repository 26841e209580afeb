"""Warm starts: what a plan hands on, and that the next plan takes it for advice and nothing more."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from pathlib import Path

import pytest

from raypipe.catalog import Catalog
from raypipe.fleet import plan_fleet
from raypipe.model.constraints import PodSelector, PodTerm, Spread
from raypipe.model.plan import ClusterPlan, FleetPlan
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.pool import NodeKind, Pattern, Pool
from raypipe.model.requirements import Operator, Requirement
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot, digest
from raypipe.planner.constraints import Roles
from raypipe.planner.pool import shape_name
from raypipe.settings import Settings
from raypipe.validation import check_plan

from .builders import GIB, catalog_in, cluster, pods

PIPELINE_ONLY = Settings(enumerate_patterns=0)
"""Clusters of a test are small enough to be listed whole; a pool is for those that are not."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def deployments(seed: int = 0) -> list[PodGroup]:
    draw = random.Random(seed)
    sizes = [(draw.choice((300, 700, 1100, 1900, 2600)), draw.randint(1, 7), draw.randint(3, 20)) for _ in range(14)]
    return [pods(f"d{n:02d}", cpu, count, gib=gib) for n, (cpu, gib, count) in enumerate(sizes)]


def shop(*demand: PodGroup, **fields: object) -> ClusterSnapshot:
    return cluster(*demand, settings=PIPELINE_ONLY, **fields)


def planned(catalog: Catalog, one: ClusterSnapshot) -> ClusterPlan:
    """The plan, valid by the second opinion."""
    return fleet_planned(catalog, one).clusters[0]


def fleet_planned(catalog: Catalog, *clusters: ClusterSnapshot) -> FleetPlan:
    fleet = FleetSnapshot(clusters=clusters)
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    return plan


def pool_of(plan: ClusterPlan) -> Pool:
    assert isinstance(plan.pool, Pool)
    return plan.pool


def nodes(plan: ClusterPlan) -> Counter[tuple[str, str]]:
    """What is bought and what is on it, whatever it is called."""
    return Counter((node.instance_type, str(sorted(node.pods.items()))) for node in plan.nodes)


def few_changes(demand: list[PodGroup]) -> list[PodGroup]:
    """Two Deployments of another size, one gone, one that is new, and all under other names."""
    changed = [dataclasses.replace(one, key=one.key + "-v2") for one in demand[1:]]
    changed[0] = dataclasses.replace(changed[0], count=changed[0].count + 2)
    changed[1] = dataclasses.replace(changed[1], count=changed[1].count - 1)
    return [*changed, pods("new", 900, 3, gib=5)]


def test_a_pool_says_what_the_plan_bought(catalog: Catalog) -> None:
    plan = planned(catalog, shop(*deployments()))
    pool = pool_of(plan)
    bought = Counter[str]()
    for one in pool.patterns:
        bought[one.node.instance_type] += one.nodes
    assert +bought == Counter(node.instance_type for node in plan.nodes)
    assert sum(sum(one.pods.values()) * one.nodes for one in pool.patterns) == sum(one.count for one in deployments())
    assert any(one.nodes == 0 for one in pool.patterns)
    assert set().union(*(one.pods for one in pool.patterns)) == set(pool.usd_nanos_per_hour)


def test_a_warm_plan_is_as_good_and_takes_less_work(catalog: Catalog) -> None:
    before, after = deployments(), few_changes(deployments())
    pool = pool_of(planned(catalog, shop(*before)))
    cold, warm = planned(catalog, shop(*after)), planned(catalog, shop(*after, pool=pool))
    assert warm.usd_per_hour.after <= cold.usd_per_hour.after * 1.003
    assert warm.usd_per_hour.lower_bound == cold.usd_per_hour.lower_bound
    assert warm.work.lp_iterations < cold.work.lp_iterations


def test_the_pool_is_an_input_of_the_plan(catalog: Catalog) -> None:
    cold = fleet_planned(catalog, shop(*deployments()))
    pool = cold.pools["c"]
    warm = fleet_planned(catalog, shop(*deployments(), pool=pool))
    assert (cold.inputs.pool, warm.inputs.pool) == (None, digest([digest(pool)]))
    assert warm.inputs.snapshot == cold.inputs.snapshot
    assert len({cold.decision_id, warm.decision_id}) == 2
    assert len({cold.clusters[0].decision_id, warm.clusters[0].decision_id}) == 2


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_nothing_matters(seed: int, catalog: Catalog) -> None:
    draw = random.Random(seed)
    demand = deployments()
    pool = pool_of(planned(catalog, shop(*demand)))
    after = few_changes(demand)
    warm = planned(catalog, shop(*after, pool=pool))
    draw.shuffle(demand)
    assert pool_of(planned(catalog, shop(*demand))) == pool
    shuffled = dataclasses.replace(
        pool,
        patterns=tuple(draw.sample(pool.patterns, len(pool.patterns))),
        usd_nanos_per_hour=dict(draw.sample(list(pool.usd_nanos_per_hour.items()), len(pool.usd_nanos_per_hour))),
    )
    draw.shuffle(after)
    assert nodes(planned(catalog, shop(*after, pool=shuffled))) == nodes(warm)


def garbage(pool: Pool) -> dict[str, Pool]:
    """Pools that nobody should believe."""
    node, shapes = NodeKind(instance_type="m5.2xlarge", capacity_type="on-demand"), list(pool.usd_nanos_per_hour)
    everything = dict.fromkeys(shapes, 10**30)
    return {
        "empty": Pool(),
        "unknown shapes": Pool(patterns=(Pattern(node=node, pods={"nobody": 3}, nodes=5),)),
        "unknown nodes": Pool(
            patterns=tuple(
                dataclasses.replace(one, node=dataclasses.replace(node, instance_type="x9.huge"))
                for one in pool.patterns
            )
        ),
        "more than a node holds": Pool(patterns=(Pattern(node=node, pods=everything, nodes=10**30),)),
        "less than nothing": Pool(
            patterns=(Pattern(node=node, pods={shapes[0]: -4}, nodes=-1),), usd_nanos_per_hour={shapes[0]: -(10**40)}
        ),
        "no pods": Pool(patterns=(Pattern(node=node, pods={}, nodes=7),)),
    }


@pytest.mark.parametrize("which", garbage(Pool(usd_nanos_per_hour={"s": 1})))
def test_a_pool_that_means_nothing_changes_nothing(which: str, catalog: Catalog) -> None:
    cold = planned(catalog, shop(*deployments()))
    warm = planned(catalog, shop(*deployments(), pool=garbage(pool_of(cold))[which]))
    assert nodes(warm) == nodes(cold)
    assert warm.work == cold.work


@pytest.mark.parametrize("which", ["one pod a node", "prices from nowhere", "one pattern alone", "settings refuse it"])
def test_a_pool_that_misleads_costs_time_alone(which: str, catalog: Catalog) -> None:
    cold = planned(catalog, shop(*deployments()))
    pool = pool_of(cold)
    node = NodeKind(instance_type="m5.2xlarge", capacity_type="on-demand")
    lonely = tuple(Pattern(node=node, pods={name: 1}, nodes=10**9) for name in sorted(pool.usd_nanos_per_hour))
    misleading = {
        "one pod a node": Pool(patterns=lonely),
        "prices from nowhere": dataclasses.replace(
            pool, usd_nanos_per_hour={name: 10**17 * (n % 2) for n, name in enumerate(pool.usd_nanos_per_hour)}
        ),
        "one pattern alone": Pool(patterns=pool.patterns[:1]),
        "settings refuse it": pool,
    }[which]
    one = shop(*deployments(), pool=misleading)
    if which == "settings refuse it":
        one = dataclasses.replace(one, settings=dataclasses.replace(PIPELINE_ONLY, warm_lp_rounds=0))
    assert planned(catalog, one).usd_per_hour.after <= cold.usd_per_hour.after * 1.005


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"limits": {"nodes": 9}}, id="a limit that keeps pods out"),
        pytest.param({"limits": {"usdPerHour": 6 * 10**9}}, id="a limit in dollars"),
        pytest.param({"packing": "dedicated"}, id="each pod a node"),
    ],
)
def test_limits_and_modes_hold_with_a_pool(fields: dict[str, object], catalog: Catalog) -> None:
    pool = pool_of(planned(catalog, shop(*deployments())))
    after = few_changes(deployments())
    cold, warm = planned(catalog, shop(*after, **fields)), planned(catalog, shop(*after, pool=pool, **fields))
    assert [(one.pods, one.count) for one in warm.unplaced] == [(one.pods, one.count) for one in cold.unplaced]
    assert warm.usd_per_hour.after <= cold.usd_per_hour.after + 0.2  # a node more or less of a dozen is chance


def labelled(name: str, **fields: object) -> PodSpec:
    return PodSpec(requests={"cpu": 500, "memory": GIB, "pods": 1}, labels={"app": name}, **fields)


MEANT = PodSelector(labels=(Requirement(key="app", operator=Operator.IN, values=("web",)),))


def test_the_name_of_a_shape_outlasts_a_plan() -> None:
    web = labelled("web")
    apart = labelled("web", pod_anti_affinity=(PodTerm(topology_key="kubernetes.io/hostname", pods=MEANT),))
    spread = labelled("web", spread=(Spread(topology_key="topology.kubernetes.io/zone", max_skew=1, pods=MEANT),))
    other = dataclasses.replace(web, labels={"app": "other"}, namespace="elsewhere", priority=9)
    alone = Roles([web, other], (), (), ())
    crowd = Roles([labelled("x", spread=spread.spread), apart, other, web], (), (), ())
    assert shape_name(web, alone) == shape_name(other, alone)  # what nobody asks about makes no difference
    assert shape_name(web, crowd) != shape_name(other, crowd)  # `web` pods are meant by others now
    assert shape_name(other, crowd) == shape_name(other, alone)
    assert len({shape_name(one, crowd) for one in (web, apart, spread)}) == 3


def test_zones_belong_to_the_name_of_a_node_where_rules_tell_them_apart(catalog: Catalog) -> None:
    zones = ("us-east-1a", "us-east-1b")
    one_zone = PodTerm(topology_key="topology.kubernetes.io/zone", pods=MEANT)
    tied = PodGroup(key="Deployment/d/web", spec=labelled("web", pod_affinity=(one_zone,)), count=5)
    plain = pool_of(planned(catalog, shop(*deployments(), zones=zones)))
    ruled = pool_of(planned(catalog, shop(*deployments(), tied, zones=zones)))
    assert {one.node.zone for one in plain.patterns} == {None}
    assert {one.node.zone for one in ruled.patterns} <= set(zones)
    assert planned(catalog, shop(*deployments(), tied, zones=zones, pool=plain)).unplaced == ()
    assert planned(catalog, shop(*deployments(), zones=zones, pool=ruled)).unplaced == ()
