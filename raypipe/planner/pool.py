"""The pattern pool of a decision in words, and a pool read back as columns of the problem at hand.

Both directions rest on names that do not depend on the order or the number of anything. A shape is named by a digest
of what makes it one: what is requested, where its own words let it go, whether it may share a node, what it asks of
other pods and they of it. A kind of node is named by what is bought; its zone belongs to the name only where the
problem tells zones apart, as rules over zones do. Existing nodes are in no pool: they may be gone the next time.

Names that mean nothing now are dropped; `raypipe.packing.warm` does the rest of the checking.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from raypipe.model.nodes import Offering
from raypipe.model.pods import PodSpec
from raypipe.model.pool import NodeKind, Pattern, Pool
from raypipe.packing.arrays import Ints
from raypipe.packing.solve import Solved
from raypipe.packing.warm import Columns
from raypipe.planner.constraints import Roles
from raypipe.planner.demand import Shapes, placement_words
from raypipe.planner.supply import Kinds
from raypipe.quantities import NANOS_PER_USD

DIGITS = 16
"""Hex digits of a shape's name: two of a million shapes are called the same once in 10^7 pools, and that costs time."""


def shape_name(spec: PodSpec, roles: Roles) -> str:
    """A digest of what makes pods alike to a plan, whatever they are called."""
    words = (
        *placement_words(spec),
        spec.pod_affinity,
        spec.pod_anti_affinity,
        spec.spread,
        spec.host_ports,
        roles.told(spec),
    )
    return hashlib.sha256(msgspec.json.encode(words, order="sorted")).hexdigest()[:DIGITS]


def pool_of(solved: Solved, kinds: Kinds, shapes: Shapes, roles: Roles, offerings: Sequence[Offering]) -> Pool:
    """What a solved problem hands on: its nodes, the patterns that were nearly worth it, and the prices of pods."""
    names = [shape_name(spec, roles) for spec in shapes.specs]
    node_kinds = _node_kinds(kinds, offerings)
    nodes: dict[tuple[int, bytes], tuple[Ints, int]] = {}
    if solved.packing is not None:
        packing = solved.packing
        for j, pattern, count in zip(packing.kinds, packing.patterns, packing.counts, strict=True):
            nodes[int(j), pattern.tobytes()] = (pattern, int(count))
    if solved.columns is not None:
        for j, pattern in zip(solved.columns.kinds, solved.columns.patterns, strict=True):
            nodes.setdefault((int(j), pattern.tobytes()), (pattern, 0))
    patterns = [
        Pattern(
            node=node_kinds[j], nodes=count, pods={names[k]: int(pattern[k]) for k in np.flatnonzero(pattern).tolist()}
        )
        for (j, _), (pattern, count) in nodes.items()
        if kinds.offering[j] >= 0
    ]
    prices = solved.pods if solved.columns is None else solved.columns.pods
    return Pool(
        patterns=tuple(sorted(patterns, key=_order)),
        usd_nanos_per_hour={
            name: round(float(price) * NANOS_PER_USD)
            for name, price in sorted(zip(names, prices, strict=True))
            if np.isfinite(price) and price > 0
        },
    )


def columns_of(pool: Pool, kinds: Kinds, shapes: Shapes, roles: Roles, offerings: Sequence[Offering]) -> Columns | None:
    """A pool as columns of the problem of `kinds` and `shapes`; None where it names nothing that is known."""
    numbers = {shape_name(spec, roles): k for k, spec in enumerate(shapes.specs)}
    known = _known_kinds(kinds, offerings)
    rows: list[tuple[int, Ints, int]] = []
    for one in sorted(pool.patterns, key=_order):  # whoever wrote it, in whatever order
        pattern = np.zeros(len(shapes.specs), dtype=np.int64)
        for name, count in one.pods.items():
            if name in numbers:
                k = numbers[name]
                pattern[k] = min(max(count, 0), int(shapes.demand[k]))
        nodes = min(max(one.nodes, 0), int(shapes.demand.sum()))
        rows += [(j, pattern, nodes if i == 0 else 0) for i, j in enumerate(_meant(one.node, known)) if pattern.any()]
    if not rows:
        return None
    prices = np.full(len(shapes.specs), np.nan)
    for name, price in pool.usd_nanos_per_hour.items():
        if name in numbers and 0 <= price < 2**63:
            prices[numbers[name]] = price / NANOS_PER_USD
    return Columns(
        kinds=np.array([j for j, _, _ in rows], dtype=np.int64),
        patterns=np.array([pattern for _, pattern, _ in rows], dtype=np.int64),
        nodes=np.array([nodes for _, _, nodes in rows], dtype=np.int64),
        pods=prices,
    )


def _order(one: Pattern) -> tuple[object, ...]:
    """The order of patterns in a pool: by what the node is, then by what is on it."""
    node = one.node
    key = (node.instance_type, node.capacity_type, node.zone or "", node.pool or "", node.gpu_slices)
    return (*key, sorted(one.pods.items()), one.nodes)


type _Sort = tuple[str, str, str | None, int]


def _sort(one: Offering | NodeKind) -> _Sort:
    """What a node is, its zone apart."""
    return (one.instance_type, one.capacity_type, one.pool, one.gpu_slices)


def _known_kinds(kinds: Kinds, offerings: Sequence[Offering]) -> dict[_Sort, dict[str, int]]:
    """The kinds that can be bought: for each sort of node, the zones that the problem tells apart."""
    known: dict[_Sort, dict[str, int]] = defaultdict(dict)
    for j, offering in enumerate(kinds.offering.tolist()):
        if offering >= 0:
            known[_sort(offerings[offering])][offerings[offering].zone] = j
    return known


def _node_kinds(kinds: Kinds, offerings: Sequence[Offering]) -> dict[int, NodeKind]:
    """What each kind that can be bought is called."""
    return {
        j: NodeKind(
            instance_type=sort[0],
            capacity_type=sort[1],
            zone=zone if len(zones) > 1 else None,
            pool=sort[2],
            gpu_slices=sort[3],
        )
        for sort, zones in _known_kinds(kinds, offerings).items()
        for zone, j in zones.items()
    }


def _meant(node: NodeKind, known: dict[_Sort, dict[str, int]]) -> list[int]:
    """The kinds that a name means now: the one in its zone, or all of its sort where zones are not told apart."""
    zones = known.get(_sort(node), {})
    if node.zone is not None and len(zones) > 1:
        return [zones[node.zone]] if node.zone in zones else []
    return [zones[zone] for zone in sorted(zones)]
