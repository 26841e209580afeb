"""An instance as plain arrays: what is wanted and what may be bought.

Certificates and the emulations of peers are computed from these and from nothing of `raypipe.packing` or
`raypipe.planner`, so that a mistake there cannot cancel out here. Only the catalogue and its filters are shared:
prices, sizes and who may go where are the question and not the answer.

Of what pods ask of each other only what the benchmark's instances use is read: anti-affinity and spread by hostname
among a Deployment's own pods are a cap a node, spread and affinity by zone a rule of the shape. Bounds keep the caps
and leave the zones out, which keeps them bounds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from raypipe.catalog import Catalog, Filters, offerings_for
from raypipe.model.nodes import Offering
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.requirements import HOSTNAME, ZONE
from raypipe.model.resources import CPU, GPU, MEMORY, Resources
from raypipe.model.snapshot import ClusterSnapshot

type Bools = NDArray[np.bool_]
type Ints = NDArray[np.int64]
type Floats = NDArray[np.float64]

ANY_NUMBER = np.iinfo(np.int64).max


class Zones(StrEnum):
    """What pods of a shape ask of each other's zones."""

    FREE = "free"
    SPREAD = "spread"
    TOGETHER = "together"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """K shapes of pods, J kinds of node, R resources.

    Attributes:
        demand: (K,) pods. requests: (K, R). admits: (K, J). most: (K,) pods of the shape on one node.
        zones: what each shape asks of zones. keys: one pod key of each shape.
        capacity: (J, R), price: (J,) $/h, spot: (J,), zone: (J,) number of the zone, offerings: (J,) of each kind.
        resources: the names of the R. unplaceable: pods that no kind can hold, which are in none of these.
    """

    demand: Ints
    requests: Ints
    admits: Bools
    most: Ints
    zones: tuple[Zones, ...]
    keys: tuple[str, ...]
    capacity: Ints
    price: Floats
    spot: Bools
    zone: Ints
    offerings: tuple[Offering, ...]
    resources: tuple[str, ...]
    unplaceable: int = 0

    @property
    def fits(self) -> Bools:
        """Where one pod of each shape can stand, (K, J)."""
        small = [(row <= self.capacity).all(axis=1) for row in self.requests]
        return self.admits & np.array(small, dtype=bool).reshape(self.admits.shape)

    @property
    def vcpus(self) -> Floats:
        """vCPUs of each kind, (J,)."""
        return np.array([one.capacity.get(CPU, 0) for one in self.offerings]) / 1000

    def amount(self, name: str) -> Ints:
        """What each shape requests of a resource, (K,); 0 where nobody does."""
        if name not in self.resources:
            return np.zeros(len(self.demand), dtype=np.int64)
        return self.requests[:, self.resources.index(name)]

    def only_kinds(self, kinds: Ints) -> World:
        """The same demand before fewer kinds."""
        return replace(
            self,
            admits=self.admits[:, kinds],
            capacity=self.capacity[kinds],
            price=self.price[kinds],
            spot=self.spot[kinds],
            zone=self.zone[kinds],
            offerings=tuple(self.offerings[j] for j in kinds.tolist()),
        )

    def digest(self) -> str:
        """16 hex digits of all that a bound depends on: a certificate holds for this question and for no other."""
        whole = hashlib.sha256(repr((self.resources, self.admits.shape)).encode())
        nanos = np.rint(self.price * 1e9).astype(np.int64)
        for part in (self.demand, self.requests, self.most, self.capacity, nanos, np.packbits(self.admits)):
            whole.update(np.ascontiguousarray(part).tobytes())
        return whole.hexdigest()[:16]


def world_of(cluster: ClusterSnapshot, catalog: Catalog) -> World:
    """Read the pending pods and the offerings of a cluster; existing nodes are left out."""
    offerings = offerings_for(cluster, catalog).offerings
    filters = Filters(offerings, cluster)
    shapes: dict[object, tuple[PodGroup, Bools, int]] = {}
    unplaceable = 0
    for group in cluster.demand:
        mask = filters.mask(group.spec)
        if not mask.any():
            unplaceable += group.count
            continue
        most, zones = _asked(group.spec)
        alone = group.key if most < ANY_NUMBER or zones is not Zones.FREE else ""
        mark = (tuple(sorted(group.spec.requests.items())), mask.tobytes(), alone)
        first, _, count = shapes.get(mark, (group, mask, 0))
        shapes[mark] = (first, mask, count + group.count)
    groups = [group for group, _, _ in shapes.values()]
    resources = tuple(sorted({name for group in groups for name in group.spec.requests}))
    admits = np.array([mask for _, mask, _ in shapes.values()], dtype=bool).reshape(len(groups), len(offerings))
    asked = [_asked(group.spec) for group in groups]
    ruled = any(zones is not Zones.FREE for _, zones in asked)
    kinds = _distinct(offerings, admits, resources, by_zone=ruled)
    names = sorted({one.zone for one in offerings})
    return World(
        demand=np.array([count for _, _, count in shapes.values()], dtype=np.int64),
        requests=_amounts([group.spec.requests for group in groups], resources),
        admits=admits[:, kinds],
        most=np.array([most for most, _ in asked], dtype=np.int64),
        zones=tuple(zones for _, zones in asked),
        keys=tuple(group.key for group in groups),
        capacity=_amounts([offerings[j].allocatable for j in kinds], resources),
        price=np.array([offerings[j].usd_nanos_per_hour for j in kinds]) / 1e9,
        spot=np.array([offerings[j].capacity_type == "spot" for j in kinds], dtype=bool),
        zone=np.array([names.index(offerings[j].zone) for j in kinds], dtype=np.int64),
        offerings=tuple(offerings[j] for j in kinds),
        resources=resources,
        unplaceable=unplaceable,
    )


def _asked(spec: PodSpec) -> tuple[int, Zones]:
    """Most pods of its own kind on a node, and what it asks of zones."""
    apart = any(term.topology_key == HOSTNAME for term in spec.pod_anti_affinity)
    caps = [one.max_skew for one in spec.spread if one.topology_key == HOSTNAME and one.required]
    most = min([1] * apart + caps, default=ANY_NUMBER)
    if any(one.topology_key == ZONE and one.required for one in spec.spread):
        return most, Zones.SPREAD
    if any(term.topology_key == ZONE for term in spec.pod_affinity):
        return most, Zones.TOGETHER
    return most, Zones.FREE


def _distinct(
    offerings: tuple[Offering, ...], admits: Bools, resources: tuple[str, ...], *, by_zone: bool
) -> list[int]:
    """One offering of each sort that any pod may use: by room, price, capacity type, vCPUs and who is admitted."""
    columns = np.packbits(admits, axis=0).T
    seen: dict[object, int] = {}
    for j in np.flatnonzero(admits.any(axis=0)).tolist():
        one = offerings[j]
        room = tuple(one.allocatable.get(name, 0) for name in resources)
        sort = (one.usd_nanos_per_hour, one.capacity_type, one.capacity.get(CPU, 0), bool(one.gpu_count))
        seen.setdefault((columns[j].tobytes(), room, sort, one.zone if by_zone else ""), j)
    return list(seen.values())


def _amounts(amounts: list[Resources], resources: tuple[str, ...]) -> Ints:
    rows = [[amount.get(name, 0) for name in resources] for amount in amounts]
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(resources))


def undominated(world: World, *, within_sizes: bool = False) -> Ints:
    """Kinds that no cheaper one beats in everything; `within_sizes`: only one of as many vCPUs can beat another."""
    order = np.argsort(world.price, kind="stable")
    capacity, vcpus = world.capacity[order], world.vcpus[order]
    admitted = np.packbits(world.admits[:, order], axis=0).T
    kept = np.zeros(len(order), dtype=bool)
    for j in range(len(order)):
        others = np.flatnonzero(kept[:j])
        beats = (capacity[others] >= capacity[j]).all(axis=1)
        beats &= ((admitted[others] | admitted[j]) == admitted[others]).all(axis=1)
        if within_sizes:
            beats &= vcpus[others] == vcpus[j]
        kept[j] = not beats.any()
    return np.sort(order[kept])


def dealt_to_zones(world: World) -> World:
    """The world with every shape that asks something of zones split over them, as evenly as can be, or put into one.

    Zones have one price each here, so that any even dealing is as good as another.
    """
    rows: list[tuple[int, int, Bools]] = []
    for k, zones in enumerate(world.zones):
        rows += [(k, count, mask) for count, mask in _parts(world, k, zones)]
    of = np.array([k for k, _, _ in rows], dtype=np.int64)
    return replace(
        world,
        demand=np.array([count for _, count, _ in rows], dtype=np.int64),
        requests=world.requests[of],
        admits=np.array([mask for _, _, mask in rows], dtype=bool),
        most=world.most[of],
        zones=(Zones.FREE,) * len(rows),
        keys=tuple(world.keys[k] for k in of.tolist()),
    )


def _parts(world: World, shape: int, zones: Zones) -> Iterator[tuple[int, Bools]]:
    count, mask = int(world.demand[shape]), world.admits[shape]
    names = np.unique(world.zone[world.fits[shape]]) if zones is not Zones.FREE else np.zeros(0, dtype=np.int64)
    if not len(names):
        yield count, mask
    elif zones is Zones.TOGETHER:
        yield count, mask & (world.zone == names[0])
    else:
        for number, name in enumerate(names.tolist()):
            part = count // len(names) + (number < count % len(names))
            if part:
                yield part, mask & (world.zone == name)


def is_gpu(world: World) -> Bools:
    """Kinds with GPUs, (J,)."""
    return np.array([one.gpu_count > 0 for one in world.offerings], dtype=bool)


def theoretical_price(world: World, cpu: float, gib: float, gpu: float) -> Floats:
    """Prices of pods by what they request, (K,) $/h."""
    cores, memory = world.amount(CPU) / 1000, world.amount(MEMORY) / 2**30
    return cores * cpu + memory * gib + world.amount(GPU) * gpu
