"""The pattern pool as a value: saved and read back, beside the plan, outside of the digest of what was observed."""

from __future__ import annotations

import dataclasses
import json

import msgspec
import pytest

from raypipe.model.plan import ClusterPlan, FleetPlan
from raypipe.model.pool import NodeKind, Pattern, Pool
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot, cluster_digest, pool_digest, pools_digest

POOL = Pool(
    patterns=(
        Pattern(node=NodeKind(instance_type="m5.large", capacity_type="spot"), pods={"0a": 3, "0b": 1}, nodes=2),
        Pattern(
            node=NodeKind(
                instance_type="g4dn.xlarge", capacity_type="on-demand", zone="us-east-1a", pool="gpu", gpu_slices=4
            ),
            pods={"0b": 4},
        ),
    ),
    usd_nanos_per_hour={"0a": 12_345_678, "0b": 1},
)
COLD = ClusterSnapshot(name="shop")
WARM = dataclasses.replace(COLD, pool=POOL)


def test_a_pool_survives_json() -> None:
    assert Pool.from_json(POOL.to_json()) == POOL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "truncated", id="nothing"),
        pytest.param('{"patterns": 3}', "Expected `array`, got `int` - at `$.patterns`", id="another shape"),
        pytest.param(
            '{"schema": "raypipe.plan/v1"}', "schema: found 'raypipe.plan/v1', expected 'raypipe.pool/v1'", id="a plan"
        ),
    ],
)
def test_what_is_no_pool_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("$", r"\$")):
        Pool.from_json(text)


def test_a_snapshot_carries_the_pool_of_each_cluster() -> None:
    fleet = FleetSnapshot(clusters=(WARM, ClusterSnapshot(name="research")))
    assert FleetSnapshot.from_json(fleet.to_json()) == fleet


def test_a_snapshot_from_before_there_were_pools_is_read() -> None:
    content = json.loads(FleetSnapshot(clusters=(COLD,)).to_json())
    del content["clusters"][0]["pool"]
    assert FleetSnapshot.from_json(json.dumps(content)) == FleetSnapshot(clusters=(COLD,))


def test_a_pool_has_a_digest_of_its_own() -> None:
    other = dataclasses.replace(WARM, pool=dataclasses.replace(POOL, usd_nanos_per_hour={}))
    assert cluster_digest(WARM) == cluster_digest(COLD)
    assert pool_digest(COLD) is None
    assert len({pool_digest(COLD), pool_digest(WARM), pool_digest(other)}) == 3
    assert pools_digest((COLD, COLD)) is None
    assert len({pools_digest((COLD, WARM)), pools_digest((WARM, COLD)), pools_digest((WARM, WARM))}) == 3


def test_a_pool_is_beside_the_plan_and_not_in_it() -> None:
    plan = FleetPlan(clusters=(ClusterPlan(name="shop"), ClusterPlan(name="research")))
    clusters = (dataclasses.replace(plan.clusters[0], pool=POOL), plan.clusters[1])
    warm = dataclasses.replace(plan, clusters=clusters)
    assert warm == plan
    assert warm.to_json() == plan.to_json()
    assert warm.to_dict() == plan.to_dict()
    assert (plan.pools, warm.pools) == ({}, {"shop": POOL})
    assert FleetPlan.from_json(warm.to_json()).clusters[0].pool is msgspec.UNSET
