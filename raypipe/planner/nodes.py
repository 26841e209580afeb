"""From patterns to nodes with names, keys and reasons.

Nodes that exist keep their name; bought ones are ordered by instance type, zone, capacity type, pool and content, and
numbered in that order, so that a node's name follows from the decision alone. Keys of one shape take their places in
order, existing nodes first.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from raypipe.disruption.under_use import is_large
from raypipe.model.nodes import Offering
from raypipe.model.plan import PlannedNode
from raypipe.model.pods import PodSpec
from raypipe.model.resources import CPU, MEMORY, PODS, Resources, shown, times, total
from raypipe.packing.arrays import Ints
from raypipe.packing.problem import UNLIMITED, Packing
from raypipe.planner.decide import Decision
from raypipe.planner.rooms import Room
from raypipe.quantities import usd

LONGEST_CLUSTER = 30
STANDBY = "on standby: it waits for pods to come"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoughtNode:
    """A node to buy: its offering (by number), and its pods by number in `Decision.wanted`."""

    name: str
    offering: int
    pods: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What each existing node gets (by number in `Supply.nodes`), and the nodes to buy."""

    added: Mapping[int, Mapping[int, int]]
    bought: tuple[BoughtNode, ...]


def node_prefix(cluster: str) -> str:
    """The cluster's name as node names carry it: lower case, [a-z0-9-], at most 30 characters.

    >>> node_prefix("research"), node_prefix("arn:aws:eks:x")
    ('research', 'arn-aws-eks-x-7c84')
    """
    name = re.sub(r"[^a-z0-9-]+", "-", cluster.lower()).strip("-")
    if name == cluster and len(name) <= LONGEST_CLUSTER:
        return name
    mark = hashlib.sha256(cluster.encode()).hexdigest()[:4]
    return f"{name[: LONGEST_CLUSTER - 5].rstrip('-') or 'cluster'}-{mark}"


def place(decision: Decision) -> Placement:
    """Deal the keys of each shape to the nodes of the packing."""
    packing = decision.solved.packing
    if packing is None:
        return Placement(added={}, bought=())
    queues = _queues(decision)
    existing, bought = _ordered(decision, packing)
    added = {node: _dealt(queues, pattern) for node, pattern in existing}
    nodes = tuple(
        BoughtNode(name=bought_name(decision, number), offering=offering, pods=_dealt(queues, pattern))
        for number, (offering, pattern) in enumerate(bought, start=1)
    )
    return Placement(added=added, bought=nodes)


def bought_name(decision: Decision, number: int) -> str:
    """What the node to buy of this number is called."""
    return f"{node_prefix(decision.cluster.name)}-{decision.decision_id[:10]}-{number:04d}"


def _queues(decision: Decision) -> list[list[list[int]]]:
    """For each shape, the keys with pods to place: [number in wanted, how many], the first key last."""
    queues: list[list[list[int]]] = [[] for _ in decision.shapes.specs]
    for w in reversed(range(len(decision.wanted))):
        if decision.number[w] >= 0 and decision.admitted[w] > 0:
            queues[int(decision.shapes.of[decision.number[w]])].append([w, decision.admitted[w]])
    return queues


def _ordered(decision: Decision, packing: Packing) -> tuple[list[tuple[int, Ints]], list[tuple[int, Ints]]]:
    """Existing nodes with what they get, and offerings to buy with what they hold, both in order."""
    kinds, offerings = decision.kinds, decision.supply.offerings
    existing: list[tuple[int, Ints]] = []
    bought: list[tuple[int, Ints]] = []
    free = {j: list(members) for j, members in enumerate(kinds.members) if members}
    order = sorted(range(len(packing.kinds)), key=lambda p: (int(packing.kinds[p]), (-packing.patterns[p]).tolist()))
    for p in order:
        kind, count = int(packing.kinds[p]), int(packing.counts[p])
        if kind in free:
            existing += [(free[kind].pop(0), packing.patterns[p]) for _ in range(count)]
        else:
            bought += [(int(kinds.offering[kind]), packing.patterns[p])] * count
    existing.sort(key=lambda entry: entry[0])
    bought.sort(key=lambda entry: (offerings[entry[0]].order, (-entry[1]).tolist()))
    return existing, bought


def _dealt(queues: list[list[list[int]]], pattern: Ints) -> dict[int, int]:
    """Take the pods of one node from the queues."""
    pods: dict[int, int] = {}
    for k in np.flatnonzero(pattern).tolist():
        need = int(pattern[k])
        while need:
            entry = queues[k][-1]
            taken = min(need, entry[1])
            pods[entry[0]] = pods.get(entry[0], 0) + taken
            entry[1] -= taken
            need -= taken
            if not entry[1]:
                queues[k].pop()
    return pods


def planned_nodes(
    decision: Decision, placement: Placement, *, without: Collection[int] = (), wished: bool = False
) -> tuple[PlannedNode, ...]:
    """All nodes after the plan, by name, some existing ones left out; `wished`: what pods prefer was weighed, too."""
    reasons = Reasons(decision, wished=wished)
    nodes = [_bought(decision, node, reasons) for node in placement.bought]
    if decision.scope == "pending":
        nodes += [
            _kept(decision, number, placement.added.get(number, {}))
            for number in range(len(decision.supply.nodes))
            if number not in without
        ]
    return tuple(sorted(nodes, key=lambda node: node.name))


def _by_key(decision: Decision, pods: Mapping[int, int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for w, count in pods.items():
        key = decision.wanted[w].key
        counts[key] = counts.get(key, 0) + count
    return dict(sorted(counts.items()))


def _requested(pods: list[tuple[PodSpec, int]]) -> dict[str, int]:
    """What pods request together, without pod slots."""
    amounts = total(times(spec.requests, count) for spec, count in pods)
    return {name: amount for name, amount in amounts.items() if name != PODS and amount > 0}


def _quantities(requested: Resources, reserved: Resources, allocatable: Resources) -> dict[str, dict[str, str]]:
    names = {CPU, MEMORY, *requested}
    return {
        "requested": shown(requested, names),
        "reserved": shown(reserved, names),
        "allocatable": shown(allocatable, names),
    }


def _bought(decision: Decision, node: BoughtNode, reasons: Reasons) -> PlannedNode:
    offering = decision.supply.offerings[node.offering]
    pods = _by_key(decision, node.pods)
    requested = _requested([(decision.wanted[w].spec, count) for w, count in node.pods.items()])
    return PlannedNode(
        name=node.name,
        existing=False,
        pool=offering.pool,
        instance_type=offering.instance_type,
        region=offering.region,
        zone=offering.zone,
        capacity_type=offering.capacity_type,
        usd_per_hour=usd(offering.usd_nanos_per_hour),
        list_usd_per_hour=usd(offering.list_usd_nanos_per_hour),
        pods=pods,
        added=pods,
        reason=reasons.of(node) + _given_up(decision, pods),
        **_quantities(requested, decision.supply.reserves[node.offering], offering.allocatable),
    )


def _given_up(decision: Decision, pods: Mapping[str, int]) -> str:
    """What was given up for pods on a node, that they fit anything."""
    return "".join(f"; {one.pods} gave up {', '.join(one.gave_up)}" for one in decision.relaxed if one.pods in pods)


def _kept(decision: Decision, number: int, added: Mapping[int, int]) -> PlannedNode:
    room: Room = decision.supply.nodes[number]
    node, facts = room.existing.node, room.existing.offering
    placed = _by_key(decision, added)
    pods = dict(placed)
    for bound in room.bound:
        if bound.counted:
            pods[bound.key] = pods.get(bound.key, 0) + bound.count
    requested = _requested(
        [(bound.spec, bound.count) for bound in room.bound if bound.counted]
        + [(decision.wanted[w].spec, count) for w, count in added.items()]
    )
    price, list_price = room.existing.usd_nanos_per_hour, room.existing.list_usd_nanos_per_hour
    return PlannedNode(
        name=room.name,
        existing=True,
        pool=facts.pool,
        instance_type=facts.instance_type,
        region=facts.region,
        zone=facts.zone,
        capacity_type=facts.capacity_type,
        usd_per_hour=None if price is None else usd(price),
        list_usd_per_hour=None if list_price is None else usd(list_price),
        pods=dict(sorted(pods.items())),
        added=placed,
        reason=_why_kept(room, bool(added)),
        **_quantities(requested, room.reserved, node.allocatable),
    )


def _why_kept(room: Room, used: bool) -> str:
    node = room.existing.node
    there = "is on its way" if node.coming else "exists"
    if not node.open:
        return f"{there} and takes no demand: {node.why_closed.removeprefix('on its way, ')}"
    return f"{there}: its free room costs nothing more" if used else there


class Reasons:
    """Why each bought node is of its kind: the cheapest that holds its pods, and what the next one costs."""

    def __init__(self, decision: Decision, *, wished: bool = False) -> None:
        self._decision, self._wished = decision, wished
        self._known: dict[tuple[int, bytes], str] = {}
        problem = decision.kinds.problem
        self._endless = np.flatnonzero(problem.most >= UNLIMITED)
        self._endless = self._endless[np.lexsort((problem.rank[self._endless], problem.price[self._endless]))]
        self._capacity = np.ascontiguousarray(problem.capacity[self._endless].T)
        self._fits = problem.fits[:, self._endless]
        offered = (decision.supply.offerings[int(o)] for o in decision.kinds.offering[self._endless])
        self._paid = np.array([one.usd_nanos_per_hour for one in offered], dtype=np.int64)

    def of(self, node: BoughtNode) -> str:
        """The sentence for one node."""
        decision = self._decision
        cluster = decision.cluster
        if not node.pods:
            return STANDBY
        if cluster.packing == "shared" and not any(
            is_large(decision.wanted[w].spec, cluster.dedicated_from) for w in node.pods
        ):
            return "the cheapest kind of node of the size that small pods share"
        pattern = np.zeros(len(decision.shapes.specs), dtype=np.int64)
        for w, count in node.pods.items():
            pattern[decision.shapes.of[decision.number[w]]] += count
        mark = (node.offering, pattern.tobytes())
        if mark not in self._known:
            self._known[mark] = self._sentence(decision.supply.offerings[node.offering], pattern)
        return self._known[mark]

    def _sentence(self, offering: Offering, pattern: Ints) -> str:
        load = pattern @ self._decision.kinds.problem.requests
        asked = np.flatnonzero(load)
        holds = (self._capacity[asked] >= load[asked, None]).all(axis=0) & self._fits[pattern > 0].all(axis=0)
        held = np.flatnonzero(holds)
        dearer = held[self._paid[held] > offering.usd_nanos_per_hour]
        cheaper = held[self._paid[held] < offering.usd_nanos_per_hour]
        if len(cheaper):
            other = self._offering(cheaper[0]).instance_type
            if self._wished:
                return f"holds these pods by limits and by what they prefer; {other} would be cheaper"
            return f"holds these pods within the limits; {other} would be cheaper but counts more"
        if not len(dearer):
            return "the only kind of node that holds these pods"
        following = self._offering(dearer[0])
        more = following.usd_nanos_per_hour / max(1, offering.usd_nanos_per_hour) - 1
        return (
            f"the cheapest of {len(held)} kinds of node that hold these pods together; the next, "
            f"{following.instance_type} {following.capacity_type}, costs {more:.1%} more"
        )

    def _offering(self, number: int) -> Offering:
        """What the kind without end of this number is bought as."""
        return self._decision.supply.offerings[int(self._decision.kinds.offering[self._endless[number]])]
