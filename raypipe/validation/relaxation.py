"""What was given up for pods that fit nothing: only what the settings allow, in their order, and no more than needed.

The plan is then checked against the pods without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.pods import PodSpec
from raypipe.model.relaxation import asked, without
from raypipe.model.resources import fits, minus, times, total
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import RELAXABLE
from raypipe.validation.ground import Ground


def as_relaxed(cluster: ClusterSnapshot, plan: ClusterPlan, scope: Scope) -> ClusterSnapshot:
    """The cluster with its pods as if they did not ask for what the plan says was given up."""
    words = {one.pods: [word for word in one.gave_up if word in RELAXABLE] for one in plan.relaxed}
    if not words:
        return cluster
    demand = [replace(group, spec=without(group.spec, words.get(group.key, ()))) for group in cluster.demand]
    bound = [
        replace(pods, spec=without(pods.spec, words.get(pods.key, ()))) if scope is Scope.WHOLE else pods
        for pods in cluster.bound
    ]
    return replace(cluster, demand=tuple(demand), bound=tuple(bound))


def relaxation_violations(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Everything wrong with what was given up; `ground` has the pods as they ask."""
    keys = [one.pods for one in plan.relaxed]
    if keys != sorted(set(keys)):
        yield "what was given up is not told once a key, in order"
    allowed = ground.cluster.settings.relax
    tried: list[PodSpec] = []  # kept, since the ground knows specifications by identity

    def fitting(spec: PodSpec, words: Sequence[str]) -> bool:
        tried.append(without(spec, words))
        return _fits(tried[-1], ground)

    for one in plan.relaxed:
        spec = ground.specs.get(one.pods)
        if spec is None or not one.gave_up:
            yield f"relaxed {one.pods}: no such pods, or nothing given up"
            continue
        if [word for word in allowed if word in one.gave_up] != list(one.gave_up):
            yield f"relaxed {one.pods}: {', '.join(one.gave_up)} given up, the settings allow {', '.join(allowed)}"
            continue
        if not all(asked(spec, word) for word in one.gave_up):
            yield f"relaxed {one.pods}: it does not ask for all of {', '.join(one.gave_up)}"
        for word in one.gave_up:
            rest = [other for other in one.gave_up if other != word]
            if fitting(spec, rest):
                yield f"relaxed {one.pods}: {word} need not have been given up"
        before = allowed[: allowed.index(one.gave_up[-1])]
        if fitting(spec, before):
            yield f"relaxed {one.pods}: words before {one.gave_up[-1]} would have been enough"


def _fits(spec: PodSpec, ground: Ground) -> bool:
    """Whether something that can be bought, or the free room of a node, holds such a pod."""
    if any(ground.can_hold(spec, offering) for offering in ground.offerings):
        return True
    return ground.pending and any(
        existing.node.open
        and ground.refused(spec, existing.offering, existing=True, price=existing.usd_nanos_per_hour) is None
        and fits(spec.requests, _free(name, ground))
        for name, existing in ground.existing.items()
    )


def _free(name: str, ground: Ground) -> dict[str, int]:
    """What DaemonSets and bound pods leave of a node."""
    offering = ground.existing[name].offering
    bound = [times(pods.spec.requests, pods.count) for pods in ground.bound_on(name) if pods.counted]
    return minus(offering.allocatable, total([*bound, ground.reserved(offering, name)]))
