"""What a plan is checked against: the snapshot and the catalogue, looked up by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property

from raypipe.catalog import Catalog, ExistingNode, existing_nodes, offerings_for
from raypipe.model.nodes import Offering, daemonset_reserve
from raypipe.model.plan import PlannedNode, Scope
from raypipe.model.pods import BoundPods, PodSpec
from raypipe.model.requirements import NODEPOOL
from raypipe.model.resources import Resources, fits, minus, times, total
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.quantities import usd
from raypipe.validation.eligibility import refused_by
from raypipe.validation.quotas import Quota, quotas_of

type Mark = tuple[str, str, str, str | None, bool]
"""What names an offering in a plan: instance type, zone, capacity type, pool, whether its GPUs are sliced."""


class Ground:
    """One cluster's snapshot and market."""

    def __init__(
        self, cluster: ClusterSnapshot, catalog: Catalog, scope: Scope, observed: ClusterSnapshot | None = None
    ) -> None:
        """observed: the cluster with the nodes that the plan gives back, where it gives some back."""
        self.cluster = cluster
        self._observed = cluster if observed is None else observed
        self.scope = scope
        self._catalog = catalog
        self._refused: dict[tuple[int, int], str | None] = {}
        self._rooms: dict[int, Resources] = {}
        self.refused_by_words: dict[object, list[str | None]] = {}

    @property
    def pending(self) -> bool:
        return self.scope is Scope.PENDING

    @cached_property
    def existing(self) -> dict[str, ExistingNode]:
        return {one.node.name: one for one in existing_nodes(self.cluster, self._catalog)}

    def existing_prices(self) -> Iterator[int | None]:
        return (one.usd_nanos_per_hour for one in self.existing.values())

    @cached_property
    def before_usd_nanos(self) -> int:
        """What the nodes cost that were there before the plan."""
        return sum(one.usd_nanos_per_hour or 0 for one in existing_nodes(self._observed, self._catalog))

    @cached_property
    def _market(self) -> dict[Mark, Offering]:
        offerings = offerings_for(self.cluster, self._catalog).offerings
        return {
            (one.instance_type, one.zone, one.capacity_type, one.pool, bool(one.gpu_slices)): one for one in offerings
        }

    @property
    def offerings(self) -> Iterable[Offering]:
        return self._market.values()

    def mark_of(self, node: PlannedNode) -> Mark:
        sliced = "nvidia.com/gpu.shared" in node.allocatable and "nvidia.com/gpu" not in node.allocatable
        return (node.instance_type, node.zone, node.capacity_type, node.pool, sliced)

    def offering(self, mark: Mark) -> Offering | None:
        return self._market.get(mark)

    def prices_of(self, kind: str, capacity_type: str) -> set[float]:
        """What a type costs in the zones and pools where it is sold, $/h."""
        return {
            usd(one.usd_nanos_per_hour)
            for one in self._market.values()
            if (one.instance_type, one.capacity_type) == (kind, capacity_type)
        }

    def offering_of(self, node: PlannedNode) -> Offering | None:
        """The offering of a node that exists or is bought."""
        if node.existing:
            return self.existing[node.name].offering if node.name in self.existing else None
        return self.offering(self.mark_of(node))

    def reservations(self) -> dict[str, int]:
        """Nodes of each reservation, by the name of its limit."""
        return {
            f"reserved/{entry.get('instanceType')}/{entry.get('zone')}": int(entry.get("count", 0))
            for entry in self.cluster.settings.reserved
        }

    def groups(self) -> dict[str, int]:
        """Nodes that groups may grow by, by the name of the limit: instance type, zone and capacity type."""
        left: dict[str, int] = {}
        for one in (self.cluster.buyable or ()) if self.pending else ():
            name = f"node-group/{one.instance_type}/{one.zone}/{one.capacity_type}"
            left[name] = left.get(name, 0) + one.count
        return left

    def reserved_count(self, kind: str, zone: str) -> int:
        """How many nodes of a type are reserved in a zone."""
        return sum(
            int(entry.get("count", 0))
            for entry in self.cluster.settings.reserved
            if (entry.get("instanceType"), entry.get("zone")) == (kind, zone)
        )

    @cached_property
    def specs(self) -> dict[str, PodSpec]:
        """The specification of each key that may be placed."""
        specs = {group.key: group.spec for group in self.cluster.demand}
        if not self.pending:
            specs |= {bound.key: bound.spec for bound in self.cluster.bound if bound.counted}
        return specs

    @cached_property
    def wanted(self) -> Counter[str]:
        """Pods of each key that must be somewhere: demand, and counted bound pods."""
        wanted: Counter[str] = Counter()
        for group in self.cluster.demand:
            wanted[group.key] += group.count
        for bound in self.cluster.bound:
            if bound.counted:
                wanted[bound.key] += bound.count
        return wanted

    @cached_property
    def _bound(self) -> dict[str, list[BoundPods]]:
        bound: dict[str, list[BoundPods]] = {}
        for pods in self.cluster.bound:
            bound.setdefault(pods.node, []).append(pods)
        return bound

    def bound_on(self, node: str) -> list[BoundPods]:
        return self._bound.get(node, [])

    def is_free(self, node: str) -> bool:
        """Whether an existing node may wait for pods: its own, open, with nothing on it but what every node has."""
        one = self.existing[node].node
        return one.own and one.open and not any(pods.counted or pods.held for pods in self.bound_on(node))

    def reserved(self, offering: Offering, node: str | None) -> dict[str, int]:
        """What DaemonSets and pods that are not counted request there."""
        bound = self.bound_on(node) if node is not None else []
        running = [pods.daemonset for pods in bound if pods.daemonset is not None]
        templates = daemonset_reserve(offering.labels, offering.taints, self.cluster.daemonsets, running)
        return total([templates, *(times(pods.spec.requests, pods.count) for pods in bound if not pods.counted)])

    def refused(self, spec: PodSpec, offering: Offering, *, existing: bool, price: int | None) -> str | None:
        """The filter that keeps the pod off, asked once for each pair."""
        pair = (id(spec), id(offering))
        if pair not in self._refused:
            self._refused[pair] = refused_by(spec, offering, self.cluster, existing=existing, price=price)
        return self._refused[pair]

    def limits(self) -> Iterator[tuple[str, str, int, str | None]]:
        """Name, resource, amount and pool of each limit of cluster and pools."""
        for resource, amount in self.cluster.limits.items():
            yield f"cluster/{self.cluster.name}/{resource}", resource, amount, None
        for pool in self.cluster.node_pools:
            for resource, amount in pool.limits.items():
                yield f"nodepool/{pool.name}/{resource}", resource, amount, pool.name

    def counted(self, resource: str, pool: str | None, nodes: Iterable[PlannedNode]) -> int:
        """What nodes count against a limit."""
        amount = 0
        for node in nodes:
            if node.existing:
                one = self.existing.get(node.name)
                if one is None:  # told already
                    continue
                if pool is not None and one.node.labels.get(NODEPOOL) != pool:
                    continue
                capacity, price = one.offering.capacity, one.usd_nanos_per_hour or 0
            else:
                offering = self.offering(self.mark_of(node))
                if offering is None or (pool is not None and node.pool != pool):
                    continue
                capacity, price = offering.capacity, offering.usd_nanos_per_hour
            amount += _counts(resource, capacity, price)
        return amount

    @cached_property
    def quotas(self) -> tuple[Quota, ...]:
        """Quotas of the account that the cluster is under."""
        return quotas_of(self.cluster)

    def counted_by(self, quota: Quota, nodes: Iterable[PlannedNode]) -> int:
        """What nodes count against a quota; one that neither exists nor is sold, which is told elsewhere, nothing."""
        return sum(quota.counts(offering) for node in nodes if (offering := self.offering_of(node)) is not None)

    def can_hold(self, spec: PodSpec, offering: Offering) -> bool:
        """Whether one pod fits on an empty node of an offering that can be had now, and may be there."""
        return not offering.unavailable and self.would_hold(spec, offering)

    def would_hold(self, spec: PodSpec, offering: Offering) -> bool:
        """Whether it would be there and fit if the offering could be had."""
        return (
            fits(spec.requests, self.empty_room(offering))
            and self.refused(spec, offering, existing=False, price=offering.usd_nanos_per_hour) is None
        )

    def empty_room(self, offering: Offering) -> Resources:
        """What DaemonSets leave of an empty node."""
        if id(offering) not in self._rooms:
            self._rooms[id(offering)] = minus(offering.allocatable, self.reserved(offering, None))
        return self._rooms[id(offering)]

    def counts(self, resource: str, pool: str | None, offering: Offering) -> int:
        """What one more node of the offering counts against a limit."""
        if pool is not None and offering.pool != pool:
            return 0
        return _counts(resource, offering.capacity, offering.usd_nanos_per_hour)

    def is_in_gang(self, key: str) -> bool:
        """Whether pods of the key belong to a gang, and so may wait for others."""
        return key in self._in_gangs

    @cached_property
    def _in_gangs(self) -> frozenset[str]:
        """Keys of pods in gangs, gathered once: every key is asked for."""
        members = {key for gang in self.cluster.gangs if gang.copies for key in gang.minimum}
        return frozenset(members | {group.key for group in self.cluster.demand if group.gang is not None})

    def bought_for(self, spec: PodSpec) -> Iterator[tuple[str, Offering]]:
        """Offerings that hold one such pod, with their type."""
        for offering in self._market.values():
            if self.can_hold(spec, offering):
                yield offering.instance_type, offering

    def could_be_bought_for(self, key: str) -> str | None:
        """An offering without end that would hold one pod of the key, gangs apart."""
        spec = self.specs.get(key)
        if spec is None or self.is_in_gang(key):
            return None
        return next((kind for kind, offering in self.bought_for(spec) if offering.max_count is None), None)


def _counts(resource: str, capacity: Resources, price: int) -> int:
    if resource == "nodes":
        return 1
    return price if resource == "usdPerHour" else capacity.get(resource, 0)
