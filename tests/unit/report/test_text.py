"""The table: what is told, in which order, at which width."""

from __future__ import annotations

import dataclasses

import pytest

from raypipe.model.plan import Admission, Bound, Cost, Scope, Status, Unplaced
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.report.text import MOST_UNPLACED, Telling, render
from tests.unit.report.plans import WEB, cluster, fleet_plan, node


def test_one_cluster_is_told_in_the_order_of_a_readers_questions() -> None:
    fleet = FleetSnapshot(clusters=(ClusterSnapshot(name="research", provider="aws", region="us-east-1"),))
    assert render(fleet_plan(), Telling(fleet=fleet, seconds=1.94, saved_as="plan.json")).splitlines() == [
        "research   aws us-east-1 · 23 pods of 4 groups · planned in 1.9 s",
        "",
        "  nodes  instance type  capacity   zones  $/h each    $/h  cpu  mem   gpu  pods",
        "      1  g6.xlarge      on-demand  a        0.8048  0.805  77%  57%  100%     1  CHOSEN",
        "      2  m7g.2xlarge    spot       a,b      0.1632  0.326  96%  77%     –    16  CHOSEN",
        "      1  m7g.2xlarge    spot       a                0.200  96%  77%     –     3  KEPT, +1 pod",
        "      –  c7g.4xlarge    spot                0.2810  would cost 0.4 % more",
        "",
        "  total          $1.3312/h  ($972 a month)     now $0.20/h: adds $1.1312/h",
        "  proven bound   $1.3161/h  no plan can be cheaper: this one is within 1.15 % (what it buys: within 1.35 %)",
        "  consolidation  moving pods would save $0.05/h in 2 actions",
        "  unplaced       3 × Deployment/ml/train: gpu: no offering has 16 GPUs on a node (largest: p5.48xlarge, 8)",
        "  excluded       1 pod: suspended 1",
        "  notes          excluded-category: 4 types of category inf are not bought; likewise trn",
        "",
        "  next           raypipe explain plan.json Deployment/ml/train",
    ]


def test_eighty_columns_are_kept_and_no_name_is_cut() -> None:
    text = render(fleet_plan(), Telling(width=80))
    assert max(map(len, text.splitlines())) <= 80
    for name in ("m7g.2xlarge", "g6.xlarge", "c7g.4xlarge", "Deployment/ml/train", "p5.48xlarge"):
        assert name in text


def test_a_name_wider_than_the_terminal_is_shown_whole() -> None:
    wide = cluster(nodes=(node(instance_type="Standard_NC96ads_A100_v4_with_a_very_long_family_name"),))
    assert "Standard_NC96ads_A100_v4_with_a_very_long_family_name" in render(fleet_plan(wide), Telling(width=60))


def test_the_gpu_column_is_there_only_where_a_node_has_gpus() -> None:
    assert "gpu" not in render(fleet_plan(cluster(nodes=(node(),), unplaced=())))


def test_slices_of_gpus_count_as_gpus() -> None:
    sliced = node(
        requested={"cpu": "1", "memory": "1Gi", "nvidia.com/gpu.shared": "3"},
        allocatable={"cpu": "4", "memory": "16Gi", "nvidia.com/gpu.shared": "4"},
    )
    assert " 75%" in render(fleet_plan(cluster(nodes=(sliced,))))


def test_a_pool_is_named_and_kinds_of_two_pools_stay_apart() -> None:
    nodes = (node("a", pool="spot"), node("b", pool="steady"))
    text = render(fleet_plan(cluster(nodes=nodes)))
    assert "CHOSEN from NodePool spot" in text
    assert "CHOSEN from NodePool steady" in text


@pytest.mark.parametrize(
    ("cost", "gap", "status", "told"),
    [
        pytest.param((0, 1.0, 1.0), 0.0, Status.OPTIMAL, "this one is optimal", id="proven"),
        pytest.param((0, 0.0, 0.0), 0.0, Status.OPTIMAL, "nothing is bought", id="free"),
        pytest.param((0, 1.0, 0.0), None, Status.BUDGET_SPENT, "nothing is proven", id="no bound"),
        pytest.param((0, 1.0, 0.99), 0.0101, Status.BUDGET_SPENT, "within 1.01 %", id="a gap"),
    ],
)
def test_the_bound_is_told_as_it_is(
    cost: tuple[float, float, float], gap: float | None, status: Status, told: str
) -> None:
    before, after, bound = cost
    made = cluster(
        usd_per_hour=Cost(before=before, after=after, lower_bound=bound), gap_fraction=gap, status=status, unplaced=()
    )
    assert told in render(fleet_plan(made))


@pytest.mark.parametrize(
    ("before", "after", "scope", "told"),
    [
        (2.0, 1.5, Scope.PENDING, "now $2.00/h: saves $0.50/h"),
        (2.0, 1.5, Scope.WHOLE, "now $2.00/h: $0.50/h less"),
        (2.0, 2.5, Scope.PENDING, "now $2.00/h: adds $0.50/h"),
        (2.0, 2.0, Scope.PENDING, "now $2.00/h: nothing to add"),
    ],
)
def test_the_cost_is_compared_with_what_is_there(before: float, after: float, scope: Scope, told: str) -> None:
    made = cluster(usd_per_hour=Cost(before=before, after=after, lower_bound=1.0))
    assert told in render(fleet_plan(made, scope=scope))


def test_what_spot_saves_is_told_where_it_was_asked_for() -> None:
    cost = Cost(before=0, after=1.0, lower_bound=1.0, on_demand_only=4.0)
    assert "on-demand only $4.00/h: spot saves $3.00/h (75 %)" in render(fleet_plan(cluster(usd_per_hour=cost)))


def test_a_long_list_of_unplaced_pods_ends_in_how_many_more() -> None:
    many = tuple(
        Unplaced(pods=f"Pod/x/p{n:02d}", count=1, reason="gang", message=f"size: {n}") for n in range(MOST_UNPLACED + 7)
    )
    text = render(fleet_plan(cluster(unplaced=many)))
    assert "Pod/x/p09: size: 9" in text
    assert "Pod/x/p10" not in text
    assert "… and 7 more" in text


def test_pods_kept_out_by_one_reason_are_told_together() -> None:
    gang = tuple(Unplaced(pods=f"RayJob/ml/c/worker/{n}", count=1, reason="gang") for n in range(7))
    assert "1 × RayJob/ml/c/worker/4 and 2 more: gang" in render(fleet_plan(cluster(unplaced=gang)))


def test_an_approximated_admission_is_said() -> None:
    assert "heuristic" in render(fleet_plan(cluster(admission=Admission.HEURISTIC)))


@pytest.mark.parametrize(
    ("limit", "price", "told"),
    [
        ("cluster/x/cpu", 0.02, "cluster/x/cpu binds: one more core would save $0.02/h"),
        ("nodepool/x/memory", 1e-12, "nodepool/x/memory binds: one more GiB would save $0.0011/h"),
        ("cluster/x/nvidia.com/gpu", 0.5, "cluster/x/nvidia.com/gpu binds: one more GPU would save $0.50/h"),
        ("fleet/nodes", 0.1, "fleet/nodes binds: one more node would save $0.10/h"),
    ],
)
def test_a_binding_limit_has_its_price(limit: str, price: float, told: str) -> None:
    assert told in render(fleet_plan(cluster(bound=Bound(kind="aggregated-lp", prices={limit: price}))))


def test_a_broken_cluster_shows_every_line_of_its_error_and_the_fleet_counts_it() -> None:
    broken = dataclasses.replace(cluster(name="bad"), nodes=(), error="negative.yaml:15: found -1\nother.yaml: found x")
    text = render(fleet_plan(cluster(unplaced=()), broken), Telling(seconds=0.5))
    assert "  error          negative.yaml:15: found -1\n                 other.yaml: found x" in text
    assert "fleet   2 clusters · 1 without a plan · 3 pods unplaced · planned in 0.5 s" in text


def test_a_stale_plan_is_called_stale() -> None:
    assert "not acted on" in render(fleet_plan(cluster(stale=True)))


def test_existing_nodes_without_a_price_are_counted() -> None:
    made = cluster(unpriced_nodes=2, nodes=(node(existing=True, usd_per_hour=None, pods={WEB: 1}, added={}),))
    text = render(fleet_plan(made))
    assert "2 existing nodes without a known price" in text
    assert "KEPT" in text


def test_an_empty_cluster_is_told_too() -> None:
    empty = cluster(nodes=(), unplaced=(), excluded=(), considered=(), notes=(), actions=())
    assert render(fleet_plan(empty)).startswith("research   0 pods of 0 groups")
