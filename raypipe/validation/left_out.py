"""Who is left out, and whether rightly: the limit named exists, the filters end at the first 0, and no room was missed.

Where the order of admission is called exact, every pod left out (gangs apart) has no place beside the pods placed: not
in the free room of a node, and not on one more node within the limits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from raypipe.model.nodes import Offering
from raypipe.model.plan import FILTERS, Admission, ClusterPlan, PlannedNode, Unplaced
from raypipe.model.pods import PodSpec
from raypipe.model.resources import GPU_SHARED, fits, minus, times, total
from raypipe.validation.ground import Ground
from raypipe.validation.precedence import overtaken
from raypipe.validation.quotas import Quota
from raypipe.validation.recount import filter_violations

REASONS = ("no-offering-fits", "constraint", "gang", "limit", "unavailable")


def left_out_violations(plan: ClusterPlan, ground: Ground, shared: Collection[str]) -> Iterator[str]:
    """Everything wrong with what is unplaced; `shared`: limits of the fleet, and quotas under which others are, too."""
    of_fleet = {name for name in shared if name.startswith("fleet/")}
    names = {name for name, *_ in ground.limits()} | of_fleet | {quota.name for quota in ground.quotas}
    names |= {*ground.reservations(), *ground.groups()}
    for entry in plan.unplaced:
        for text in _entry(entry, ground, names):
            yield f"unplaced {entry.pods}: {text}"
    for name in plan.bound.prices:
        if name not in names:
            yield f"the bound has a price for {name}, which is no limit"
    if plan.admission is Admission.EXACT and ground.cluster.packing == "joint" and not _is_constrained(ground):
        yield from _missed(plan, ground, shared, may_buy=not of_fleet)


def _entry(entry: Unplaced, ground: Ground, names: Collection[str]) -> Iterator[str]:
    if entry.reason not in REASONS or entry.count <= 0:
        yield f"{entry.count} for reason {entry.reason!r}"
    if (entry.reason == "limit") != (entry.limit is not None):
        yield f"reason {entry.reason} with limit {entry.limit}"
    if entry.limit is not None and entry.limit not in names:
        yield f"{entry.limit} is no limit of this cluster"
    filters = [one.filter for one in entry.filters]
    if filters != [name for name in FILTERS if name in filters]:
        yield "filters out of order"
    if any(one.left == 0 for one in entry.filters[:-1]):
        yield "filters go on after the first 0"
    left = [one.left for one in entry.filters]
    if left != sorted(left, reverse=True):
        yield f"filters leave more than they were given: {left}"
    if entry.reason == "no-offering-fits" and (kind := ground.could_be_bought_for(entry.pods)):
        yield f"{kind} would hold it, and no limit is named"
    spec = ground.specs.get(entry.pods)
    if spec is not None and entry.reason != "gang":  # a gang is told the filters of the member to blame
        yield from filter_violations(entry, spec, ground)
    yield from _reason(entry, ground)


def _reason(entry: Unplaced, ground: Ground) -> Iterator[str]:
    """Whether the reason can be the one: sold out, of a gang, under a rule, or what would fit but for a limit."""
    spec = ground.specs.get(entry.pods)
    if spec is None:
        return
    match entry.reason:
        case "unavailable":
            holding = [one for one in ground.offerings if ground.would_hold(spec, one)]
            if not holding or not all(one.unavailable for one in holding):
                yield "is said to be sold out, and is not"
        case "gang" if not ground.is_in_gang(entry.pods):
            yield "is of no gang"
        case "constraint" if not _is_constrained(ground):
            yield "nobody asks anything of others"
        case "limit" if not any(ground.would_hold(spec, one) for one in ground.offerings):
            nodes = (one for one in ground.existing.values() if one.node.open)
            if not any(fits(spec.requests, one.node.allocatable) for one in nodes):
                yield "no limit keeps it out: nothing could hold it"


def _is_constrained(ground: Ground) -> bool:
    """Whether pods ask things of each other, so that free room is not all that a pod needs."""
    specs = [*ground.specs.values(), *(pods.spec for pods in ground.cluster.bound)]
    return any(one.pod_affinity or one.pod_anti_affinity or one.spread or one.host_ports for one in specs)


def _missed(plan: ClusterPlan, ground: Ground, shared: Collection[str], *, may_buy: bool) -> Iterator[str]:
    alone = [entry for entry in plan.unplaced if not ground.is_in_gang(entry.pods)]
    rooms = [(node, _room_left(node, ground)) for node in plan.nodes] if alone else []
    quotas = [
        (one, 0 if one.name in shared else one.room - ground.counted_by(one, plan.nodes)) for one in ground.quotas
    ]
    for entry in alone:
        spec = ground.specs.get(entry.pods)
        if spec is None or spec.requests.get(GPU_SHARED):  # slices need more than a sum to be dealt
            continue
        for node, room in rooms:
            if fits(spec.requests, room) and _may_be_on(spec, node, ground):
                yield f"unplaced {entry.pods}: node {node.name} has room for it"
                break
        if may_buy and (kind := _one_more(spec, plan.nodes, ground, quotas)) is not None:
            yield f"unplaced {entry.pods}: one more {kind} holds it within the limits"
    yield from overtaken(alone, rooms, ground, lambda spec, node: _may_be_on(spec, node, ground))


def _room_left(node: PlannedNode, ground: Ground) -> dict[str, int]:
    """What pods placed and bound, and DaemonSets, leave of a node."""
    bound = ground.bound_on(node.name) if node.existing else []
    amounts = [times(pods.spec.requests, pods.count) for pods in bound if pods.counted]
    amounts += [times(ground.specs[key].requests, count) for key, count in node.added.items() if key in ground.specs]
    offering = ground.offering_of(node)
    if offering is None:
        return {}
    reserved = ground.reserved(offering, node.name if node.existing else None)
    return minus(offering.allocatable, total([*amounts, reserved]))


def _may_be_on(spec: PodSpec, node: PlannedNode, ground: Ground) -> bool:
    offering, one = ground.offering_of(node), ground.existing.get(node.name) if node.existing else None
    if offering is None or (one is not None and not one.node.open):
        return False
    price = offering.usd_nanos_per_hour if one is None else one.usd_nanos_per_hour
    return ground.refused(spec, offering, existing=node.existing, price=price) is None


def _one_more(
    spec: PodSpec, nodes: Sequence[PlannedNode], ground: Ground, quotas: Sequence[tuple[Quota, int]]
) -> str | None:
    """A type of which one more node would hold the pod and keep every limit; `quotas` with what is surely left."""
    for kind, offering in ground.bought_for(spec):
        if not _is_left(offering, nodes, ground):
            continue
        if all(
            ground.counted(resource, pool, nodes) + ground.counts(resource, pool, offering) <= amount
            for _, resource, amount, pool in ground.limits()
            if ground.counts(resource, pool, offering)
        ) and all(quota.counts(offering) <= max(0, left) for quota, left in quotas):
            return kind
    return None


def _is_left(offering: Offering, nodes: Sequence[PlannedNode], ground: Ground) -> bool:
    """Whether one more may be had of an offering of which there are only so many."""
    if offering.max_count is None:
        return True
    kind = (offering.instance_type, offering.zone, offering.capacity_type)
    like = [node for node in nodes if (node.instance_type, node.zone, node.capacity_type) == kind]
    if offering.capacity_type == "reserved":
        return ground.reservations().get(f"reserved/{kind[0]}/{kind[1]}", 0) > len(like)
    bought = sum(not node.existing for node in like)
    return not ground.pending or ground.groups().get(f"node-group/{'/'.join(kind)}", 0) > bought
