"""One node of a plan: does it exist or can it be bought, may its pods be there, do they fit, is it told truly?"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator

from raypipe.model.nodes import Offering
from raypipe.model.plan import PlannedNode
from raypipe.model.pods import PodSpec
from raypipe.model.resources import CPU, GPU_SHARED, MEMORY, PODS, fits, times, total
from raypipe.quantities import format_quantity, usd
from raypipe.validation.eligibility import slices_fit
from raypipe.validation.ground import Ground

_NAME = re.compile(r"(.+)-[0-9a-f]{10}-\d{4,}")


def node_violations(node: PlannedNode, ground: Ground) -> Iterator[str]:
    """Everything wrong with one node."""
    if node.existing:
        one = ground.existing.get(node.name)
        if one is None or not ground.pending:
            yield "does not exist, or is planned as if nothing existed"
            return
        yield from _existing(node, ground)
        yield from _pods(node, one.offering, one.usd_nanos_per_hour, ground)
        return
    offering = ground.offering(ground.mark_of(node))
    if offering is None:
        yield f"{node.instance_type} {node.capacity_type} in {node.zone} (pool {node.pool}) cannot be bought"
        return
    yield from _bought(node, offering, ground)
    yield from _pods(node, offering, offering.usd_nanos_per_hour, ground)


def _existing(node: PlannedNode, ground: Ground) -> Iterator[str]:
    one = ground.existing[node.name]
    if node.added and not one.node.open:
        yield f"takes no demand ({one.node.why_closed}) and gets {sum(node.added.values())} pods"
    price = None if one.usd_nanos_per_hour is None else usd(one.usd_nanos_per_hour)
    if node.usd_per_hour != price:
        yield f"costs {price}, not {node.usd_per_hour}"
    list_price = None if one.list_usd_nanos_per_hour is None else usd(one.list_usd_nanos_per_hour)
    facts = one.offering
    stated = (node.instance_type, node.region, node.zone, node.capacity_type, node.pool, node.list_usd_per_hour)
    true = (facts.instance_type, facts.region, facts.zone, facts.capacity_type, facts.pool, list_price)
    if stated != true:
        yield f"says type, region, zone, capacity type, pool and list price {stated}, its labels {true}"
    bound = Counter[str]()
    for pods in ground.bound_on(node.name):
        if pods.counted:
            bound[pods.key] += pods.count
    if Counter(node.pods) != bound + Counter(node.added):
        yield "its pods are not those bound there and those added"


def _bought(node: PlannedNode, offering: Offering, ground: Ground) -> Iterator[str]:
    found = _NAME.fullmatch(node.name)
    if found is None or found.group(1) != _prefix(ground.cluster.name):
        yield f"its name does not begin with {_prefix(ground.cluster.name)}"
    if node.pods != node.added:
        yield "holds what was not added"
    stated = (node.usd_per_hour, node.list_usd_per_hour, node.region)
    true = (usd(offering.usd_nanos_per_hour), usd(offering.list_usd_nanos_per_hour), offering.region)
    if stated != true:
        yield f"says price, list price and region {stated}, the catalogue {true}"
    if offering.unavailable:
        yield "is sold out for now"


def _prefix(cluster: str) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", cluster.lower()).strip("-")
    if name == cluster and len(name) <= 30:
        return name
    return f"{name[:25].rstrip('-') or 'cluster'}-{hashlib.sha256(cluster.encode()).hexdigest()[:4]}"


def _pods(node: PlannedNode, offering: Offering, price: int | None, ground: Ground) -> Iterator[str]:
    """Whether the pods may be there and fit, and whether the quantities are told truly."""
    specs: list[tuple[PodSpec, int]] = []
    for key, count in node.added.items():
        spec = ground.specs.get(key)
        if spec is None or count <= 0:
            yield f"{count} of {key}, which nobody asked for"
            continue
        specs.append((spec, count))
        refused = ground.refused(spec, offering, existing=node.existing, price=price)
        if refused is not None:
            yield f"{key} may not be there: {refused}"
    added = total(times(spec.requests, count) for spec, count in specs)
    if node.added and (text := _shares(node, ground)) is not None:
        yield text
    if _is_small(node, offering, ground):
        yield "is smaller than the node that small pods share"
    if node.existing:
        specs += [(pods.spec, pods.count) for pods in ground.bound_on(node.name) if pods.counted]
    requested = total(times(spec.requests, count) for spec, count in specs)
    reserved = ground.reserved(offering, node.name if node.existing else None)
    if node.added or not node.existing:
        for name in sorted(added):  # what is overcommitted already is not the plan's doing
            needed, room = requested[name] + reserved.get(name, 0), offering.allocatable.get(name, 0)
            if added[name] > 0 and needed > room:
                yield f"{name}: {needed} needed, {room} allocatable"
        yield from _slices(specs, offering, node, ground)
    names = {CPU, MEMORY, *(name for name, amount in requested.items() if name != PODS and amount > 0)}
    for title, shown, true in (
        ("requested", node.requested, requested),
        ("reserved", node.reserved, reserved),
        ("allocatable", node.allocatable, offering.allocatable),
    ):
        if dict(shown) != {name: format_quantity(true.get(name, 0), name) for name in names}:
            yield f"{title} says {dict(shown)}"


def _shares(node: PlannedNode, ground: Ground) -> str | None:
    """What is wrong with who is together: with `dedicated` every pod is alone, with `shared` every large one."""
    cluster, pods = ground.cluster, sum(node.pods.values())
    if cluster.packing == "joint" or pods <= 1:
        return None
    if cluster.packing == "dedicated":
        return f"{pods} pods share it, and packing is dedicated"
    bound = [one.spec for one in ground.bound_on(node.name) if one.counted] if node.existing else []
    for spec in (*bound, *(ground.specs[key] for key in node.added if key in ground.specs)):
        if _is_large(spec, ground):
            return f"{pods} pods share it, and one of them is to have a node of its own"
    return None


def _is_small(node: PlannedNode, offering: Offering, ground: Ground) -> bool:
    """Whether a node is bought for small pods and is not of the size that they share, though such a node would do."""
    cluster = ground.cluster
    if cluster.packing != "shared" or node.existing or fits(cluster.shared_node, offering.capacity):
        return False
    sized = [one for one in ground.offerings if fits(cluster.shared_node, one.capacity)]
    small = [spec for key in node.added if (spec := ground.specs.get(key)) is not None and not _is_large(spec, ground)]
    return any(ground.can_hold(spec, one) for spec in small for one in sized)


def _is_large(spec: PodSpec, ground: Ground) -> bool:
    asked = [spec.requests.get(name, 0) >= amount for name, amount in ground.cluster.dedicated_from.items()]
    return spec.wants_gpu or spec.instance_annotation or any(asked)


def _slices(specs: list[tuple[PodSpec, int]], offering: Offering, node: PlannedNode, ground: Ground) -> Iterator[str]:
    """The slices on one GPU never exceed its memory."""
    if not offering.gpu_count or not offering.gpu_memory_bytes or not offering.allocatable.get(GPU_SHARED):
        return
    bound = (
        [(pods.spec, pods.count) for pods in ground.bound_on(node.name) if not pods.counted] if node.existing else []
    )
    sizes: list[int] = []
    for spec, count in (*specs, *bound):
        sizes += [spec.gpu_memory_bytes or 0] * (spec.requests.get(GPU_SHARED, 0) * count)
    slices = offering.gpu_slices or offering.allocatable[GPU_SHARED] // offering.gpu_count
    if not slices_fit(sizes, offering.gpu_count, slices, offering.gpu_memory_bytes):
        yield "GPU slices that need more memory than the GPUs have"
