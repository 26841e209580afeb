"""The figures that a scrape reads."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from raypipe.controller.metrics import Metrics
from raypipe.controller.telling import Mode, Wait
from raypipe.model.actions import ActionKind
from raypipe.model.nodes import Unavailable
from raypipe.model.plan import Unplaced
from raypipe.model.results import Outcome
from tests.unit.controller.tellings import NOON, buy, cluster, cluster_plan, fleet, fleet_plan, later, node, result

SOLD_OUT = Unavailable(instance_type="g6.xlarge", zone="us-east-1a", capacity_type="spot")


def figures(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels, as they stand in a scrape; creation times and histogram classes apart."""
    return {
        sample.name + "".join(f",{value}" for value in sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith(("_created", "_bucket"))
    }


def test_a_cycle_is_told_in_figures() -> None:
    metrics = Metrics()
    unplaced = Unplaced(pods="Pod/default/huge", count=2, reason="gang")
    plan = cluster_plan([buy()], [unplaced], nodes=(node("a", existing=True), node("b", existing=True), node("c")))
    evicted = replace(buy(), kind=ActionKind.EVICT_POD)

    metrics.supplied(NOON, 1)
    metrics.observed(later(90), fleet(cluster(unavailable=(SOLD_OUT,)), cluster(name="lost", error="no answer")), {})
    metrics.decided(later(91), fleet_plan(plan), 0.4)
    ends = [result(buy()), result(evicted), result(evicted, Outcome.FAILED)]
    metrics.acted(later(92), plan, Mode.ACTING, ends)
    metrics.waiting(later(93), "research", [Wait(object="NodeClaim//x", words="launched")])

    assert figures(metrics) == {
        "raypipe_cluster_up,research": 1,
        "raypipe_cluster_up,lost": 0,
        "raypipe_pending_pods,research": 3,
        "raypipe_unplaced_pods,research": 2,
        "raypipe_current_usd_per_hour,research": 10.0,
        "raypipe_planned_usd_per_hour,research": 12.34,
        "raypipe_bound_usd_per_hour,research": 12.2,
        "raypipe_gap_fraction,research": 0.011475,
        "raypipe_nodes,research,m7g.large,spot": 2,
        "raypipe_under_way,research": 1,
        "raypipe_solve_seconds_count": 1,
        "raypipe_solve_seconds_sum": 0.4,
        "raypipe_actions_total,research,BuyNode,done": 1,
        "raypipe_actions_total,research,EvictPod,done": 1,
        "raypipe_actions_total,research,EvictPod,failed": 1,
        "raypipe_evictions_total,research,done": 1,
        "raypipe_evictions_total,research,failed": 1,
        "raypipe_capacity_failures_total,research,g6.xlarge,us-east-1a,spot": 1,
        "raypipe_price_age_seconds": 90,
        "raypipe_shard_restarts_total": 1,
    }


def test_an_offering_that_stays_sold_out_failed_once_and_again_when_it_is_tried_again() -> None:
    metrics = Metrics()
    for unavailable in ((SOLD_OUT,), (SOLD_OUT,), (), (SOLD_OUT,)):
        metrics.observed(NOON, fleet(cluster(unavailable=unavailable)), {})

    assert figures(metrics)["raypipe_capacity_failures_total,research,g6.xlarge,us-east-1a,spot"] == 2


def test_shards_that_died_are_counted_over_the_lives_of_who_counts_them() -> None:
    metrics = Metrics()
    for count in (0, 2, None, 3, 1):  # the last: the Coordinator was started anew
        metrics.supplied(None, count)

    assert figures(metrics)["raypipe_shard_restarts_total"] == 4


def test_what_is_gone_has_no_figure() -> None:
    metrics = Metrics()
    metrics.observed(NOON, fleet(cluster()), {})
    metrics.decided(NOON, fleet_plan(cluster_plan(nodes=(node("a", existing=True),))), 0.1)
    metrics.decided(NOON, fleet_plan(cluster_plan(nodes=(), gap_fraction=None)), 0.1)
    here = figures(metrics)

    assert not [name for name in here if name.startswith(("raypipe_nodes", "raypipe_gap"))]

    metrics.observed(NOON, fleet(), {})
    assert not [name for name in figures(metrics) if name.endswith(",research")]


def test_the_readme_names_every_figure() -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(raypipe_\w+)`", text))
    families = {family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()}
    assert named == families
