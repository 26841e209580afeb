"""The order of admission, by cases that say what they mean."""

from __future__ import annotations

import numpy as np

from raypipe.model.pods import PodSpec
from raypipe.model.workloads import Gang
from raypipe.planner.constraints import Roles
from raypipe.planner.demand import Masks, Shapes, Wanted, shapes_of
from raypipe.planner.nodes import node_prefix
from raypipe.planner.order import candidates


class Anywhere:
    """One place that admits everybody."""

    def mask(self, spec: PodSpec) -> np.ndarray:  # noqa: ARG002  (the Protocol names it)
        return np.array([True])


def wanted(
    key: str, count: int = 1, *, priority: int = 0, created: str | None = None, gang: str | None = None
) -> Wanted:
    spec = PodSpec(requests={"cpu": sum(map(ord, key)), "pods": 1}, priority=priority)
    return Wanted(key=key, spec=spec, count=count, created=created, gang=gang)


def order_of(pods: list[Wanted], gangs: list[Gang] | None = None) -> list[tuple[str, ...]]:
    shapes: Shapes = shapes_of(pods, Masks([Anywhere()], np.array([True]), Roles((), (), (), ())), ("cpu", "pods"))
    return [tuple(pods[w].key for w in one.pods) * one.unit.times for one in candidates(pods, gangs or [], shapes)]


def test_higher_priority_first_then_older_then_key_and_unknown_age_last() -> None:
    pods = [
        wanted("a", created=None),
        wanted("bb", created="2026-01-02T00:00:00Z"),
        wanted("ccc", created="2026-01-01T00:00:00Z"),
        wanted("dddd", priority=5),
        wanted("eeeee", created="2026-01-01T00:00:00Z"),
    ]
    assert order_of(pods) == [("dddd",), ("ccc",), ("eeeee",), ("bb",), ("a",)]


def test_a_gang_is_one_unit_before_its_own_further_pods() -> None:
    pods = [
        wanted("RayCluster/ml/x/head", gang="RayCluster/ml/x", created="2026-01-01T00:00:00Z"),
        wanted("RayCluster/ml/x/worker/small", 3, gang="RayCluster/ml/x", created="2026-01-01T00:00:00Z"),
    ]
    gang = Gang(
        name="RayCluster/ml/x",
        minimum={"RayCluster/ml/x/head": 1, "RayCluster/ml/x/worker/small": 1},
        created="2026-01-01T00:00:00Z",
    )
    assert order_of(pods, [gang]) == [
        ("RayCluster/ml/x/head", "RayCluster/ml/x/worker/small"),
        ("RayCluster/ml/x/worker/small",) * 2,
    ]


def test_pods_beyond_a_gang_come_after_it_though_they_are_older_or_first_by_key() -> None:
    """A PodGroup has an age of its own, and not all pods that name it belong to its minimum."""
    pods = [
        wanted("a", gang="g", created="2020-01-01T00:00:00Z"),
        wanted("bb", gang="g", created="2026-01-01T00:00:00Z"),
        wanted("ccc", 2, gang="g", created="2025-01-01T00:00:00Z"),
        wanted("dddd", created="2025-06-01T00:00:00Z"),
    ]
    gang = Gang(name="g", minimum={"bb": 1, "ccc": 1}, created="2026-01-01T00:00:00Z")
    assert order_of(pods, [gang]) == [("dddd",), ("bb", "ccc"), ("a",), ("ccc",)]


def test_each_copy_of_a_leader_worker_set_is_admitted_by_itself() -> None:
    pods = [wanted("LeaderWorkerSet/d/l/leader", 2, gang="g"), wanted("LeaderWorkerSet/d/l/worker", 6, gang="g")]
    minimum = {"LeaderWorkerSet/d/l/leader": 1, "LeaderWorkerSet/d/l/worker": 3}
    (one,) = [c.unit for c in candidates(pods, [Gang(name="g", minimum=minimum, copies=2)], _shapes(pods))]
    assert one.times == 2
    assert sorted(one.pods.tolist()) == [1, 3]


def _shapes(pods: list[Wanted]) -> Shapes:
    return shapes_of(pods, Masks([Anywhere()], np.array([True]), Roles((), (), (), ())), ("cpu", "pods"))


def test_node_names_carry_a_mark_where_the_cluster_name_had_to_be_changed() -> None:
    assert node_prefix("research") == "research"
    assert node_prefix("Research").startswith("research-")
    assert len(node_prefix("arn:aws:eks:us-east-1:123456789012:cluster/production")) <= 30
    assert node_prefix("a" * 31) != node_prefix("a" * 32)
