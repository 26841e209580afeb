"""Where pods can go: offerings that may be bought and existing nodes with free room, brought down to kinds.

Offerings that a plan cannot tell apart (zones of one price, types that are equal to every pod) are one kind, named by
the first of them in order; existing nodes with equal free room that admit the same pods are one class. What remains are
hundreds of kinds where there were thousands of offerings.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.catalog import Catalog, Filters, existing_nodes, offerings_for
from raypipe.model.nodes import Offering, daemonset_reserve
from raypipe.model.plan import Note
from raypipe.model.resources import GPU_SHARED, Resources, minus
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.arrays import Ints
from raypipe.packing.problem import UNLIMITED, Problem, Slicing
from raypipe.planner.constraints import PlaceRules
from raypipe.planner.demand import Shapes, amounts_of
from raypipe.planner.limits import Limits
from raypipe.planner.rooms import Room, rooms_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Supply:
    """What a cluster can use.

    Attributes:
        offerings: in order; rooms: allocatable of each, DaemonSets taken off; reserves: what those request.
        nodes: every existing node, in order of name. filters, node_filters: who is admitted where.
    """

    offerings: tuple[Offering, ...]
    rooms: tuple[Resources, ...]
    reserves: tuple[Resources, ...]
    nodes: tuple[Room, ...]
    filters: Filters
    node_filters: Filters
    notes: tuple[Note, ...]


def supply_of(cluster: ClusterSnapshot, catalog: Catalog) -> Supply:
    """Read what may be bought and what exists."""
    market = offerings_for(cluster, catalog)
    reserves = _reserves(cluster, market.offerings)
    rooms = tuple(
        minus(offering.allocatable, reserve) for offering, reserve in zip(market.offerings, reserves, strict=True)
    )
    existing = sorted(existing_nodes(cluster, catalog), key=lambda one: one.node.name)
    nodes = rooms_of(cluster, existing)
    return Supply(
        offerings=market.offerings,
        rooms=rooms,
        reserves=reserves,
        nodes=nodes,
        filters=Filters(market.offerings, cluster, rooms=rooms),
        node_filters=Filters(
            [room.existing.offering for room in nodes],
            cluster,
            rooms=[room.free for room in nodes],
            existing=True,
            priced=[room.existing.usd_nanos_per_hour is not None for room in nodes],
        ),
        notes=market.notes,
    )


def _reserves(cluster: ClusterSnapshot, offerings: Sequence[Offering]) -> tuple[Resources, ...]:
    """What DaemonSets request on each offering; worked out once for all offerings where none of them selects nodes."""
    selective = any(one.spec.node_selector or one.spec.node_affinity for one in cluster.daemonsets)
    if not cluster.daemonsets or selective:
        return tuple(daemonset_reserve(one.labels, one.taints, cluster.daemonsets) for one in offerings)
    by_taints: dict[object, Resources] = {}
    result = []
    for one in offerings:
        if one.taints not in by_taints:
            by_taints[one.taints] = daemonset_reserve(one.labels, one.taints, cluster.daemonsets)
        result.append(by_taints[one.taints])
    return tuple(result)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kinds:
    """The kinds of a problem and what they stand for.

    Attributes:
        offering: (J,) number of the offering, -1 for existing nodes. members: for existing nodes, which (in `nodes`).
    """

    problem: Problem
    offering: Ints
    members: tuple[tuple[int, ...], ...]


def kinds_of(
    supply: Supply,
    shapes: Shapes,
    limits: Limits,
    resources: Sequence[str],
    rules: PlaceRules,
    *,
    use_nodes: bool = True,
    node_prices: Mapping[int, int] | None = None,
    told_apart: Callable[[Room], object] = lambda _: None,
    wished: Callable[[int], object] = lambda _: None,
) -> Kinds:
    """Build the packing problem of `shapes` (its `admits` is over offerings, then nodes) under `rules`.

    wished: what places must have in common beside that, by their number, where pods prefer some to others.
    told_apart: what existing nodes must have in common to be of one class, beside room and the pods that they admit.
    node_prices: existing nodes that may be emptied and given back, with their price and their whole room. Every other
    open node takes part with its free room at no price.
    """

    marks = rules.marks()

    def asked(place: int) -> object:
        return (marks[place], wished(place))

    offering_numbers = _distinct_offerings(supply, shapes, limits, asked)
    classes = _classes(supply, shapes, asked, use_nodes, node_prices, told_apart)
    offered = np.array(offering_numbers, dtype=np.int64)
    first = len(supply.offerings)
    order = sorted(range(first), key=lambda j: (-supply.offerings[j].pool_weight, supply.offerings[j].order))
    rank = np.zeros(first, dtype=np.int64)
    rank[order] = np.arange(first)
    prices = np.array([supply.offerings[j].usd_nanos_per_hour for j in offering_numbers], dtype=np.int64)
    free = [_room_of(supply, members[0], node_prices) for members in classes]
    columns = np.concatenate((offered, [first + members[0] for members in classes])).astype(np.int64)
    bought_weights = limits.weights(supply.offerings, offering_numbers)
    emptied = node_prices or {}
    kept_weights = limits.node_weights(supply.nodes, [m[0] for m in classes], counted=emptied)
    capacity = np.maximum(0, amounts_of([*(supply.rooms[j] for j in offering_numbers), *free], resources))
    problem = Problem(
        demand=shapes.demand,
        requests=np.column_stack((shapes.requests, *(members.astype(np.int64) for members, _ in rules.caps))),
        capacity=np.column_stack((capacity, *(most[columns] for _, most in rules.caps))),
        price=np.concatenate((prices, [emptied.get(m[0], 0) for m in classes])).astype(np.int64),
        admits=shapes.admits[:, columns],
        most=np.array([UNLIMITED] * len(offering_numbers) + [len(members) for members in classes], dtype=np.int64),
        weights=np.concatenate((bought_weights, kept_weights), axis=1),
        limits=limits.left,
        rank=np.concatenate((rank[offered], np.arange(len(classes)) - len(classes))).astype(np.int64),
        slicing=_slicings(supply, offering_numbers, classes, whole=emptied),
        slice_use=shapes.slice_use,
        caps=len(resources) + np.arange(len(rules.caps), dtype=np.int64),
        apart=tuple(rule.only_kinds(columns) for rule in rules.apart),
        beside=tuple(rule.only_kinds(columns) for rule in rules.beside),
        domains=tuple(rule.only_kinds(columns) for rule in rules.domains),
        cell=rules.cells(columns),
    )
    return Kinds(
        problem=problem,
        offering=np.concatenate((offered, np.full(len(classes), -1))).astype(np.int64),
        members=((),) * len(offering_numbers) + tuple(classes),
    )


def _room_of(supply: Supply, node: int, node_prices: Mapping[int, int] | None) -> Resources:
    """What a plan may put on an existing node: its free room, or all of it where its pods are moved too."""
    room = supply.nodes[node]
    is_whole = node_prices is not None and node in node_prices
    return minus(room.existing.node.allocatable, room.reserved) if is_whole else room.free


def _distinct_offerings(supply: Supply, shapes: Shapes, limits: Limits, asked: Callable[[int], object]) -> list[int]:
    """One offering of each sort that admits anything, in order."""
    packed = np.packbits(shapes.admits[:, : len(supply.offerings)], axis=0).T
    useful = shapes.admits[:, : len(supply.offerings)].any(axis=0)
    seen: set[object] = set()
    numbers = []
    order = sorted(
        np.flatnonzero(useful).tolist(),
        key=lambda j: (-supply.offerings[j].pool_weight, supply.offerings[j].order),
    )
    for j in order:
        one, room = supply.offerings[j], supply.rooms[j]
        mark = (
            packed[j].tobytes(),
            one.usd_nanos_per_hour,
            tuple(sorted(room.items())),
            limits.mark(one),
            asked(j),
            one.gpu_slices and (one.gpu_slices, one.gpu_count, one.gpu_memory_bytes),
        )
        if mark not in seen:
            seen.add(mark)
            numbers.append(j)
    return numbers


def _classes(
    supply: Supply,
    shapes: Shapes,
    asked: Callable[[int], object],
    use_nodes: bool,
    node_prices: Mapping[int, int] | None,
    told_apart: Callable[[Room], object],
) -> list[tuple[int, ...]]:
    """Existing nodes that are alike to the plan, in order of their first member."""
    if not use_nodes:
        return []
    packed = np.packbits(shapes.admits[:, len(supply.offerings) :], axis=0).T
    classes: dict[object, list[int]] = {}
    for number, room in enumerate(supply.nodes):
        if not room.existing.node.open:
            continue
        emptied = node_prices is not None and number in node_prices
        amounts = tuple(sorted(_room_of(supply, number, node_prices).items()))
        taken = () if emptied else _slices_taken(room)
        price = (node_prices or {}).get(number, 0)
        apart = (asked(len(supply.offerings) + number), told_apart(room), emptied)
        mark = (packed[number].tobytes(), amounts, price, _slicing(room.existing.offering, taken), apart)
        classes.setdefault(mark, []).append(number)
    return [tuple(members) for members in classes.values()]


def _slices_taken(room: Room) -> tuple[int, ...]:
    """Memory sizes of the GPU slices that pods on the node hold."""
    sizes: list[int] = []
    for pods in room.bound:
        sizes += [pods.spec.gpu_memory_bytes or 0] * (pods.spec.requests.get(GPU_SHARED, 0) * pods.count)
    return tuple(sorted(sizes))


def _slicings(
    supply: Supply, offerings: Sequence[int], classes: Sequence[tuple[int, ...]], *, whole: Container[int]
) -> tuple[Slicing | None, ...]:
    """Slicing of each kind; an empty tuple where nothing is sliced."""
    sliced = [_slicing(supply.offerings[j], ()) for j in offerings]
    for members in classes:
        room = supply.nodes[members[0]]
        sliced.append(_slicing(room.existing.offering, () if members[0] in whole else _slices_taken(room)))
    return tuple(sliced) if any(one is not None for one in sliced) else ()


def _slicing(offering: Offering, taken: tuple[int, ...]) -> Slicing | None:
    slices = offering.allocatable.get(GPU_SHARED, 0)
    if not slices or not offering.gpu_count or not offering.gpu_memory_bytes:
        return None
    per_gpu = offering.gpu_slices or slices // offering.gpu_count
    return Slicing(gpus=offering.gpu_count, slices=per_gpu, memory_bytes=offering.gpu_memory_bytes, taken=taken)
