"""Sets of worker groups: does each division do the work within its bounds?

The plan is then checked against the demand as it divides it, made here from the snapshot and the replicas told. What is
written for it: `group_writes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.pods import PodGroup
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.model.workloads import Gang
from raypipe.validation.group_writes import Told, write_violations


def told_division(plan: ClusterPlan) -> Told:
    """How the plan says that sets are divided."""
    return {one.set: {group.group: group.replicas for group in one.groups} for one in plan.alternatives}


def as_told(cluster: ClusterSnapshot, told: Told) -> ClusterSnapshot:
    """The cluster with the demand and the gangs that follow from the replicas told; what is told wrongly stays."""
    pods: dict[str, int] = {}
    fixed: dict[str, int] = {}
    missing: list[PodGroup] = []
    known = {group.key for group in cluster.demand}
    for one in cluster.alternatives:
        for group in one.groups:
            replicas = told.get(one.key, {}).get(group.name, group.replicas)
            if replicas == group.replicas:
                continue
            pods[group.pods] = max(0, replicas * group.hosts - group.staying)
            if not one.autoscaling:
                fixed[group.pods] = pods[group.pods]
            if group.pods not in known:
                missing.append(
                    PodGroup(
                        key=group.pods, spec=group.spec, count=0, gang=one.owner, created=one.created, owner=one.owner
                    )
                )
    if not pods:
        return cluster
    demand = [replace(group, count=pods.get(group.key, group.count)) for group in (*cluster.demand, *missing)]
    return replace(
        cluster,
        demand=tuple(sorted((group for group in demand if group.count > 0), key=lambda group: group.key)),
        gangs=tuple(_gang(gang, cluster, fixed) for gang in cluster.gangs),
    )


def _gang(gang: Gang, cluster: ClusterSnapshot, fixed: Mapping[str, int]) -> Gang:
    own = {
        group.pods
        for one in cluster.alternatives
        if one.owner == gang.name and gang.copies > 0
        for group in one.groups
        if group.pods in fixed
    }
    minimum = dict(gang.minimum) | {key: fixed[key] for key in own}
    return replace(gang, minimum={key: count for key, count in minimum.items() if count > 0})


def division_violations(plan: ClusterPlan, cluster: ClusterSnapshot, scope: Scope) -> Iterator[str]:
    """Everything wrong with how sets are divided and written."""
    told = told_division(plan)
    known = [(one.key, [group.name for group in one.groups]) for one in cluster.alternatives]
    if [(one.set, [group.group for group in one.groups]) for one in plan.alternatives] != known:
        yield "the sets of alternatives and their groups are not the snapshot's, in order"
        return
    for stated, one in zip(plan.alternatives, cluster.alternatives, strict=True):
        replicas = told[one.key]
        if any((g.pods, g.requested) != (s.pods, s.wish) for g, s in zip(stated.groups, one.groups, strict=True)):
            yield f"{one.key}: pods or wishes of its groups are not the snapshot's"
        work = sum(group.wish * group.speed_millionths for group in one.groups)
        if abs(stated.work * 1_000_000 - work) > 0.5:
            yield f"{one.key}: {stated.work} units of work, the wishes say {work / 1_000_000}"
        if all(replicas[group.name] == group.replicas for group in one.groups):
            continue  # left as it stands, whatever that is
        done = sum(replicas[group.name] * group.speed_millionths for group in one.groups)
        if done < work:
            yield f"{one.key}: {done / 1_000_000} of {work / 1_000_000} units of work are done"
        for group in one.groups:
            n, running = replicas[group.name], max(group.started, -(-group.staying // group.hosts))
            if not max(group.low, running) <= n <= max(group.high, group.low, running):
                yield f"{one.key}: {n} replicas of {group.name}, of {group.low} to {group.high}; {running} stay"
    if scope is Scope.PENDING:
        yield from write_violations(plan, as_told(cluster, told), told)
