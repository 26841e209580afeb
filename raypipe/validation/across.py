"""The order of admission over clusters, as far as one node shows it.

Where the order is called exact, no pod that a limit of the fleet keeps out could have had the place of others that come
after it: with a node given back that holds only such pods, one more node for the pod is beyond some limit still. Gangs,
and clusters where pods ask things of each other, are left to the planner's proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from raypipe.model.plan import Admission, ClusterPlan, PlannedNode, Scope
from raypipe.model.resources import GPU_SHARED
from raypipe.validation.ground import Ground

type Grounds = Sequence[tuple[ClusterPlan, Ground]]
type Place = tuple[int, bool, str, str, str]


def order_violations(grounds: Grounds, limits: Mapping[str, int]) -> Iterator[str]:
    """Pods left out for a limit of the fleet, `limits` by resource, whose place others have that come after them."""
    left = {
        resource: amount - sum(ground.counted(resource, None, plan.nodes) for plan, ground in grounds)
        for resource, amount in limits.items()
    }
    given_back = [found for plan, ground in grounds for found in _latest(plan, ground)]
    for plan, ground in grounds:
        if not _is_plain(plan, ground):
            continue
        for entry in plan.unplaced:
            spec = ground.specs.get(entry.pods)
            if not (entry.limit or "").startswith("fleet/") or spec is None or spec.requests.get(GPU_SHARED):
                continue
            if ground.is_in_gang(entry.pods):
                continue
            place = _places(ground)[entry.pods]
            for first, node, theirs in given_back:
                if first > place and (kind := _instead(entry.pods, node, theirs, plan, ground, left)) is not None:
                    yield (
                        f"{plan.name}: unplaced {entry.pods}: node {node.name} of {theirs.cluster.name} holds only "
                        f"pods that come after it, and one {kind} in its place would hold it"
                    )
                    break


def _latest(plan: ClusterPlan, ground: Ground) -> Iterator[tuple[Place, PlannedNode, Ground]]:
    """Of the bought nodes of one kind the one whose pods come last."""
    latest: dict[object, tuple[Place, PlannedNode, Ground]] = {}
    for found in _nodes(plan, ground):
        mark = ground.mark_of(found[1])
        if mark not in latest or latest[mark][0] < found[0]:
            latest[mark] = found
    yield from latest.values()


def _nodes(plan: ClusterPlan, ground: Ground) -> Iterator[tuple[Place, PlannedNode, Ground]]:
    """Bought nodes without gangs, with the place of the first of their pods."""
    if not _is_plain(plan, ground):
        return
    places = _places(ground)
    for node in plan.nodes:
        known = all(key in places and not ground.is_in_gang(key) for key in node.added)
        if not node.existing and node.added and known and ground.offering_of(node) is not None:
            yield min(places[key] for key in node.added), node, ground


def _is_plain(plan: ClusterPlan, ground: Ground) -> bool:
    """Whether the order is called exact, and a pod needs nothing but room."""
    specs = [*ground.specs.values(), *(pods.spec for pods in ground.cluster.bound)]
    asks = any(one.pod_affinity or one.pod_anti_affinity or one.spread or one.host_ports for one in specs)
    joint = ground.cluster.packing == "joint" and ground.scope is Scope.PENDING
    quotas = bool(ground.cluster.settings.quotas)
    return plan.admission is Admission.EXACT and joint and not asks and not quotas


def _places(ground: Ground) -> dict[str, Place]:
    """Where each key stands in the order over all clusters."""
    return {
        group.key: (
            -group.spec.priority,
            group.created is None,
            group.created or "",
            ground.cluster.name,
            group.key,
        )
        for group in ground.cluster.demand
    }


def _instead(
    key: str, node: PlannedNode, theirs: Ground, plan: ClusterPlan, ground: Ground, left: Mapping[str, int]
) -> str | None:
    """A type of which one more holds a pod of `key` within all limits once `node` is given back."""
    back = theirs.offering_of(node)
    if back is None:
        return None
    nodes = [one for one in plan.nodes if one is not node]
    for kind, offering in ground.bought_for(ground.specs[key]):
        within = all(
            ground.counts(resource, None, offering) <= max(0, room + theirs.counts(resource, None, back))
            for resource, room in left.items()
            if ground.counts(resource, None, offering)
        )
        own = all(
            ground.counted(resource, pool, nodes) + ground.counts(resource, pool, offering) <= amount
            for _, resource, amount, pool in ground.limits()
            if ground.counts(resource, pool, offering)
        )
        if within and own and offering.max_count is None:
            return kind
    return None
