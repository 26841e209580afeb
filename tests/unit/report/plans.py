"""Small plans built by hand, for what renders plans."""

from __future__ import annotations

import dataclasses

from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.plan import (
    Bought,
    ClusterPlan,
    Considered,
    Consolidation,
    Cost,
    Excluded,
    FilterCount,
    FleetPlan,
    Note,
    PlannedNode,
    Status,
    Unplaced,
)

WEB, DEMO = "Deployment/shop/web", "RayCluster/ml/demo/worker/small"


def node(name: str = "research-3f9a1c0b77-0001", **changes: object) -> PlannedNode:
    """A bought m7g.2xlarge with seven web pods and one Ray worker."""
    made = PlannedNode(
        name=name,
        existing=False,
        pool=None,
        instance_type="m7g.2xlarge",
        region="us-east-1",
        zone="us-east-1a",
        capacity_type="spot",
        usd_per_hour=0.1632,
        list_usd_per_hour=0.1632,
        pods={WEB: 7, DEMO: 1},
        added={WEB: 7, DEMO: 1},
        requested={"cpu": "7500m", "memory": "22Gi"},
        reserved={"cpu": "100m", "memory": "64Mi"},
        allocatable={"cpu": "7910m", "memory": "29317Mi"},
        reason="the cheapest of 12 kinds of node that hold these pods together",
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def buy(planned: PlannedNode) -> Action:
    """The action that buys a node."""
    return Action(
        id="0123456789ab",
        kind=ActionKind.BUY_NODE,
        object=ObjectRef(kind="NodeClaim", name=planned.name),
        set={
            "metadata": {"labels": {"raypipe.io/cluster": "research"}, "annotations": {"raypipe.io/decision": "3f9a"}},
            "spec": {
                "requirements": [
                    {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [planned.instance_type]}
                ],
                "resources": {"requests": dict(planned.requested)},
            },
        },
        precondition={"exists": False},
        reason="8 pods have no place",
    )


SUSPEND = Action(
    id="ba9876543210",
    kind=ActionKind.SUSPEND_RAY_JOB,
    object=ObjectRef(kind="RayJob", name="late", namespace="ml"),
    set={"spec": {"suspend": True}, "metadata": {"annotations": {"raypipe.io/suspended-by": "cluster/research/cpu"}}},
    precondition={"uid": None},
    reason="cluster/research/cpu keeps it out\nnone of its pods runs",
)

TRAIN = Unplaced(
    pods="Deployment/ml/train",
    count=3,
    reason="no-offering-fits",
    filters=(
        FilterCount(filter="pool", left=812),
        FilterCount(filter="arch", left=812),
        FilterCount(filter="selector", left=812),
        FilterCount(filter="gpu", left=0),
    ),
    message="gpu: no offering has 16 GPUs on a node (largest: p5.48xlarge, 8)",
)


def cluster(**changes: object) -> ClusterPlan:
    """Three nodes bought, one kept, something unplaced, excluded, noted and considered."""
    bought = [node(f"research-3f9a1c0b77-000{n}", zone=f"us-east-1{zone}") for n, zone in ((1, "a"), (2, "b"))]
    gpu = node(
        "research-3f9a1c0b77-0003",
        instance_type="g6.xlarge",
        capacity_type="on-demand",
        usd_per_hour=0.8048,
        list_usd_per_hour=0.8048,
        pods={"Deployment/ml/llm": 1},
        added={"Deployment/ml/llm": 1},
        requested={"cpu": "3", "memory": "8Gi", "nvidia.com/gpu": "1"},
        reserved={"cpu": "0", "memory": "0", "nvidia.com/gpu": "0"},
        allocatable={"cpu": "3920m", "memory": "14Gi", "nvidia.com/gpu": "1"},
    )
    kept = node("ip-10-0-0-1", existing=True, pods={WEB: 3}, added={WEB: 1}, reason="exists", usd_per_hour=0.2)
    made = ClusterPlan(
        name="research",
        decision_id="3f9a1c0b77de",
        status=Status.BUDGET_SPENT,
        usd_per_hour=Cost(before=0.2, after=1.3312, lower_bound=1.3161),
        gap_fraction=0.011475,
        bought=Bought(usd_per_hour=1.1312, lower_bound=1.1161, gap_fraction=0.0135),
        consolidation=Consolidation(usd_per_hour_saved=0.05, actions=2),
        marginal_usd_per_hour={WEB: 0.0213},
        nodes=(kept, *bought, gpu),
        unplaced=(TRAIN,),
        excluded=(Excluded(pods="RayJob/ml/later/head", count=1, reason="suspended", message="spec.suspend is true"),),
        actions=(SUSPEND, *(buy(one) for one in (*bought, gpu))),
        considered=(
            Considered(instance_type="m7g.2xlarge", capacity_type="spot", usd_per_hour=0.1632, chosen=True),
            Considered(
                instance_type="c7g.4xlarge",
                capacity_type="spot",
                usd_per_hour=0.281,
                chosen=False,
                why_not="would cost 0.4 % more",
            ),
        ),
        notes=(
            Note(kind="excluded-category", subject="inf", count=4, message="4 types of category inf are not bought"),
            Note(kind="excluded-category", subject="trn", count=2, message="2 types of category trn are not bought"),
        ),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def fleet_plan(*clusters: ClusterPlan, **changes: object) -> FleetPlan:
    """A plan of these clusters (the one of `cluster` if none is given)."""
    listed = clusters or (cluster(),)
    made = FleetPlan(
        clusters=listed,
        status=listed[0].status,
        usd_per_hour=listed[0].usd_per_hour,
        gap_fraction=listed[0].gap_fraction,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]
