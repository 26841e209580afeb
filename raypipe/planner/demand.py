"""Who wants to be placed: groups of pods, brought down to shapes.

A shape is what the optimiser sees of a pod: its requests and where it may go. Pods of many keys share a shape; which
key gets which place is decided afterwards, in the order of keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np

from raypipe.model.pods import PodSpec
from raypipe.model.resources import CPU, GPU_SHARED, MEMORY, PODS, Resources
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.arrays import Bools, Ints
from raypipe.planner.constraints import Role, Roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Pods of one key that are alike and want a place. `gang`: the gang that its first pods belong to, or None."""

    key: str
    spec: PodSpec
    count: int
    created: str | None
    gang: str | None = None


def pending_demand(cluster: ClusterSnapshot) -> tuple[Wanted, ...]:
    """Pods that no node has yet, in the order of keys."""
    wanted = [
        Wanted(key=group.key, spec=group.spec, count=group.count, created=group.created, gang=group.gang)
        for group in cluster.demand
        if group.count > 0
    ]
    return tuple(sorted(wanted, key=lambda one: one.key))


def whole_demand(cluster: ClusterSnapshot) -> tuple[Wanted, ...]:
    """Every pod that is planned, bound or not, in the order of keys."""
    moved = movable(cluster, {node.name for node in cluster.nodes})
    return tuple(sorted((*pending_demand(cluster), *moved), key=lambda one: (one.key, one.gang or "")))


def movable(cluster: ClusterSnapshot, nodes: Iterable[str]) -> tuple[Wanted, ...]:
    """The counted pods bound to these nodes, as if they were still to be placed."""
    names = set(nodes)
    return tuple(
        Wanted(key=bound.key, spec=bound.spec, count=bound.count, created=bound.created)
        for bound in cluster.bound
        if bound.counted and bound.node in names
    )


def resource_names(wanted: Sequence[Wanted]) -> tuple[str, ...]:
    """The resources that anybody requests, and always cpu, memory and pods."""
    names = {CPU, MEMORY, PODS}
    for one in wanted:
        names.update(name for name, amount in one.spec.requests.items() if amount > 0)
    return tuple(sorted(names))


class Admitting(Protocol):
    """What says where a pod may go (`raypipe.catalog.Filters`)."""

    def mask(self, spec: PodSpec) -> Bools: ...


class Masks:
    """Where a spec may go among what is `usable`, asked once for all specs that are alike to a plan."""

    def __init__(
        self,
        filters: Sequence[Admitting],
        usable: Bools,
        roles: Roles,
        wished: Callable[[PodSpec], object] = lambda _: None,
    ) -> None:
        """wished: what pods must have in common to be alike where some prefer what others do not."""
        self.wished = wished
        self._filters = filters
        self._usable = usable
        self.roles = roles
        self._by_id: dict[int, tuple[bytes, Bools]] = {}
        self._by_content: dict[bytes, Bools] = {}
        self._kept: list[PodSpec] = []

    @property
    def size(self) -> int:
        """How many places there are."""
        return len(self._usable)

    def of(self, spec: PodSpec) -> tuple[bytes, Bools]:
        """The digest of what matters of the spec, and where it may go."""
        known = self._by_id.get(id(spec))
        if known is None:
            content = _content(spec, self.roles.of(spec), self.wished(spec))
            mask = self._by_content.get(content)
            if mask is None:
                parts = [filters.mask(spec) for filters in self._filters]
                mask = np.concatenate(parts) & self._usable
                forbidden = self.roles.forbidden(spec)
                mask = self._by_content[content] = mask if forbidden is None else mask & ~forbidden
            known = self._by_id[id(spec)] = (content, mask)
            self._kept.append(spec)
        return known


def placement_words(spec: PodSpec) -> tuple[object, ...]:
    """What the place of a pod depends on by its own words, other pods apart."""
    return (
        spec.requests,
        spec.node_selector,
        spec.node_affinity,
        spec.tolerations,
        spec.gpu_skus,
        spec.max_gpus,
        spec.max_usd_nanos_per_hour,
        spec.capacity_types,
        spec.family_inclusions,
        spec.family_exclusions,
        spec.type_regexp,
        spec.gpu_memory_bytes,
        spec.instance_annotation,
        spec.volume_affinity,
    )


def _content(spec: PodSpec, role: Role, wished: object) -> bytes:
    """What a placement depends on, as bytes."""
    return msgspec.json.encode((*placement_words(spec), role.own, role.meant, wished), order="sorted")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shapes:
    """Shapes of a list of `Wanted`.

    Attributes:
        of: (W,) the shape of each. demand: (K,). requests: (K, R). admits: (K, J). slice_use: (K, 2).
        specs: one spec of each shape.
    """

    of: Ints
    demand: Ints
    requests: Ints
    admits: Bools
    slice_use: Ints
    specs: tuple[PodSpec, ...]


def shapes_of(wanted: Sequence[Wanted], masks: Masks, resources: Sequence[str]) -> Shapes:
    """Merge what requests the same, may go to the same places, packs alike and has the same role to others."""
    numbers: dict[tuple[bytes, bytes, bool, Role, bytes], int] = {}
    of_content: dict[bytes, int] = {}
    specs: list[PodSpec] = []
    admits: list[Bools] = []
    of = np.zeros(len(wanted), dtype=np.int64)
    for w, one in enumerate(wanted):
        content, mask = masks.of(one.spec)
        number = of_content.get(content)
        if number is None:
            spec = one.spec
            amounts = msgspec.json.encode((sorted(spec.requests.items()), spec.gpu_memory_bytes))
            wished = msgspec.json.encode(masks.wished(spec), order="sorted")
            mark = (amounts, np.packbits(mask).tobytes(), spec.instance_annotation, masks.roles.of(spec), wished)
            number = of_content[content] = numbers.setdefault(mark, len(numbers))
            if number == len(specs):
                specs.append(spec)
                admits.append(mask)
        of[w] = number
    return Shapes(
        of=of,
        demand=_counted(of, wanted, len(specs)),
        requests=amounts_of([spec.requests for spec in specs], resources),
        admits=np.array(admits, dtype=bool).reshape(len(specs), masks.size),
        slice_use=np.array(
            [(spec.requests.get(GPU_SHARED, 0), spec.gpu_memory_bytes or 0) for spec in specs], dtype=np.int64
        ).reshape(len(specs), 2),
        specs=tuple(specs),
    )


def demand_of(shapes: Shapes, wanted: Sequence[Wanted]) -> Ints:
    """Pods of each shape, (K,), where those that the shapes were made of want other numbers."""
    return _counted(shapes.of, wanted, len(shapes.specs))


def _counted(of: Ints, wanted: Sequence[Wanted], shapes: int) -> Ints:
    demand = np.zeros(shapes, dtype=np.int64)
    np.add.at(demand, of, np.array([one.count for one in wanted], dtype=np.int64))
    return demand


def amounts_of(amounts: Sequence[Resources], resources: Sequence[str]) -> Ints:
    """Mappings of amounts as an array (len(amounts), R)."""
    rows = [[amount.get(name, 0) for name in resources] for amount in amounts]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(resources))
