"""The best plan of a small case with placement constraints, by trying everything, in integers of its own.

Everything is tried: each way to fill the existing nodes, and each collection of nodes to buy, filled in each way. Pods
of one group are alike, and so are nodes of one kind, so that each collection is looked at once. Whether a finished one
is right is asked of its pods one by one, rule by rule (`World.is_right`). Two things shorten the search and leave
nothing out that could be better:

* of kinds that are alike to every rule, one is left out where another holds the same pods, costs no more and counts no
  more;
* a beginning is given up where the cheapest nodes for the rest, all rules between nodes and all limits forgotten, would
  reach the best cost known.

First who is admitted, then the least cost of what is bought for them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from raypipe.model.constraints import PodSelector, Spread
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, ZONE, Taint, tolerated
from tests.property.constrained_cases import MIB, Case, Kind

type Counts = tuple[int, ...]
"""Pods of each group of the case."""


@dataclass(frozen=True)
class Best:
    """Pods admitted of each group, in the order of the case, and cents an hour of bought nodes."""

    admitted: Counts
    cents: int


@dataclass(frozen=True, eq=False)
class Machine:
    """A node that exists (it has a name), or a kind of node that can be bought in one zone.

    cpu_m, mib, slots: what is free. stays: pods that are there already, and whether they are terminating.
    """

    name: str | None
    labels: Mapping[str, str]
    cpu_m: int
    mib: int
    slots: int
    cents: int
    vcpu_m: int
    taints: tuple[Taint, ...] = ()
    open: bool = True
    stays: tuple[tuple[PodSpec, bool], ...] = ()


@dataclass(frozen=True, eq=False)
class Pod:
    """One pod where it stands; `node` is the number of its node in the collection, `group` that of its group if new."""

    spec: PodSpec
    node: int
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    group: int | None
    terminating: bool = False


type Collection = Sequence[tuple[Machine, Counts]]
"""All nodes after a plan, each existing one among them, with the new pods on each."""


def best_plan(case: Case) -> Best:
    """Admission first, then cost."""
    world = World(case)
    admitted = world.admitted()
    cents = world.cheapest(admitted)
    assert cents is not None
    return Best(admitted, cents)


@dataclass(eq=False)
class World:
    """A case with its machines."""

    case: Case
    _exists: dict[Counts, bool] = field(default_factory=dict)

    @cached_property
    def specs(self) -> tuple[PodSpec, ...]:
        return tuple(group.spec for group in self.case.groups)

    @cached_property
    def existing(self) -> tuple[Machine, ...]:
        machines = []
        for node in self.case.nodes:
            stays = [
                (lot.spec, lot.terminating)
                for lot in self.case.bound
                if lot.node == node.name
                for _ in range(lot.count)
            ]
            kind = next(kind for kind in self.case.kinds if kind.name == node.labels[INSTANCE_TYPE])
            machines.append(
                Machine(
                    name=node.name,
                    labels=node.labels,
                    cpu_m=node.allocatable["cpu"] - sum(spec.requests["cpu"] for spec, _ in stays),
                    mib=node.allocatable["memory"] // MIB - sum(spec.requests["memory"] // MIB for spec, _ in stays),
                    slots=node.allocatable["pods"] - len(stays),
                    cents=kind.cents,
                    vcpu_m=kind.vcpu * 1000,
                    taints=node.taints,
                    open=node.open,
                    stays=tuple(stays),
                )
            )
        return tuple(machines)

    @cached_property
    def for_sale(self) -> tuple[Machine, ...]:
        return tuple(
            _new(kind, zone)
            for kind in self.case.kinds
            for zone in ((kind.zone,) if kind.zone else self.case.zones)
            if zone in self.case.zones
        )

    # Admission

    def admitted(self) -> Counts:
        """Everything that some node could hold, if it can be placed; else pod by pod in the order of admission.

        A pod that is refused is asked again after each later one that is admitted, the first refused first.
        """
        everything = tuple(
            group.count if any(_holds_one(one, group.spec) for one in (*self.existing, *self.for_sale)) else 0
            for group in self.case.groups
        )
        if self.exists(everything):
            return everything
        admitted: Counts = (0,) * len(everything)
        waiting: list[int] = []
        for pod in self._in_order(everything):
            waiting.append(pod)
            while (one := next((one for one in waiting if self.exists(_more(admitted, one))), None)) is not None:
                admitted = _more(admitted, one)
                waiting.remove(one)
        return admitted

    def _in_order(self, counts: Counts) -> list[int]:
        """The group of each pod: higher priority, older, unknown age last, key."""
        groups = self.case.groups
        order = sorted(
            range(len(groups)),
            key=lambda g: (-groups[g].spec.priority, groups[g].created is None, groups[g].created or "", groups[g].key),
        )
        return [g for g in order for _ in range(counts[g])]

    def exists(self, counts: Counts) -> bool:
        """Whether so many pods of each group can be placed within the limits."""
        if counts not in self._exists:
            self._exists[counts] = self._search(counts, any_will_do=True) is not None
        return self._exists[counts]

    # Cost

    def cheapest(self, counts: Counts) -> int | None:
        """The least cents, what counts beside among them, that place so many pods of each group, or None."""
        return self._search(counts, any_will_do=False)

    def _search(self, counts: Counts, *, any_will_do: bool) -> int | None:
        options = self._options(counts)
        least = _Least(options)
        left_of_limits = self._left_of_limits()
        best: list[int | None] = [None]

        def is_over(cents: int, left: Counts) -> bool:
            rest = least.of(left)
            return rest is None or (best[0] is not None and (any_will_do or cents + rest >= best[0]))

        def fill(number: int, left: Counts, nodes: list[tuple[Machine, Counts]]) -> None:
            """Choose what the existing nodes take, from `number` on, then buy for the rest."""
            if number == len(self.existing):
                if self.may_become_right(nodes):
                    buy(left, 0, -1, nodes)
                return
            machine = self.existing[number]
            for pods in _up_to(left):
                if self._holds(machine, pods):
                    fill(number + 1, _less(left, pods), [*nodes, (machine, pods)])

        def buy(left: Counts, cents: int, last: int, nodes: list[tuple[Machine, Counts]]) -> None:
            """Buy a node for the first group that has pods left; for one group, options in their order."""
            if is_over(cents, left):
                return
            if not any(left):
                if self.is_right(nodes) and not is_over(total := cents + self.beside(nodes), left):
                    best[0] = total
                return
            first = _first(left)
            for number, (machine, pods) in enumerate(options):
                if _first(pods) != first or not _within(pods, left):
                    continue
                if number < last and _first(options[last][1]) == first:
                    continue
                more = [*nodes, (machine, pods)]
                if _keeps_limits(more, left_of_limits) and self.may_become_right(more):
                    buy(_less(left, pods), cents + machine.cents, number, more)

        fill(0, counts, [])
        return best[0]

    def beside(self, _nodes: Collection) -> int:
        """Cents an hour that count beside what is bought."""
        return 0

    def _options(self, counts: Counts) -> list[tuple[Machine, Counts]]:
        """Nodes that may be bought, with each filling: of those alike to the rules only what may be best."""
        options: list[tuple[Machine, Counts]] = []
        for machine in sorted(self.for_sale, key=lambda one: (one.cents, one.vcpu_m)):
            for pods in _up_to(counts):
                better = (
                    one
                    for one, held in options
                    if held == pods and self._mark(one) == self._mark(machine) and one.vcpu_m <= machine.vcpu_m
                )
                if any(pods) and next(better, None) is None and self._holds(machine, pods):
                    options.append((machine, pods))
        return options

    def _mark(self, machine: Machine) -> tuple[object, ...]:
        """What the rules see of a machine that can be bought: labels that are topology keys, and who selects it."""
        values = [machine.labels.get(key) for key in self._topology_keys]
        return (*values, *(spec.selects(machine.labels) for spec in self.specs))

    @cached_property
    def _topology_keys(self) -> list[str]:
        specs = (*self.specs, *(spec for machine in self.existing for spec, _ in machine.stays))
        return sorted(
            {
                asked.topology_key
                for spec in specs
                for asked in (*spec.pod_affinity, *spec.pod_anti_affinity, *spec.spread)
            }
        )

    def _left_of_limits(self) -> dict[str, int]:
        """What existing nodes leave; where they are above a limit already, nothing that counts is bought."""
        return {
            name: max(0, limit - sum(_counts(name, machine) for machine in self.existing))
            for name, limit in self.case.limits.items()
        }

    def _holds(self, machine: Machine, pods: Counts) -> bool:
        """Whether the machine has room for the pods and may be used by each of them."""
        if not any(pods):
            return True
        if any(count and not _may_use(machine, spec) for spec, count in zip(self.specs, pods, strict=True)):
            return False
        asked = [(spec.requests, count) for spec, count in zip(self.specs, pods, strict=True)]
        return (
            sum(requests["cpu"] * count for requests, count in asked) <= machine.cpu_m
            and sum(requests["memory"] // MIB * count for requests, count in asked) <= machine.mib
            and sum(pods) <= machine.slots
        )

    # Rules

    def is_right(self, nodes: Collection) -> bool:
        """Whether the pods keep every rule as they stand in the end."""
        if not self.may_become_right(nodes):
            return False
        pods = self.pods(nodes)
        return self._keeps_spread(pods) and self._can_come_in_turn(pods)

    def may_become_right(self, nodes: Collection) -> bool:
        """The rules that more pods never mend: who must be apart, ports, and how many may be on one node."""
        pods = self.pods(nodes)
        pairs = list(itertools.permutations(pods, 2))
        return not any(self._repels(p, q) or _take_one_port(p, q) for p, q in pairs) and self._keeps_node_spread(pods)

    def pods(self, nodes: Collection) -> list[Pod]:
        """Each pod that stays and each new one."""
        pods = []
        for number, (machine, counts) in enumerate(nodes):
            at = {"node": number, "labels": machine.labels, "taints": machine.taints}
            pods += [Pod(spec=spec, group=None, terminating=gone, **at) for spec, gone in machine.stays]
            pods += [Pod(spec=self.specs[g], group=g, **at) for g, count in enumerate(counts) for _ in range(count)]
        return pods

    def _repels(self, p: Pod, q: Pod) -> bool:
        """Anti-affinity of p against q, one of them new: rule 1, and as q may be the new one, its mirror image."""
        if p.group is None and q.group is None:
            return False
        return any(are_together(p, q, one.topology_key) and means(one.pods, q) for one in p.spec.pod_anti_affinity)

    def _keeps_node_spread(self, pods: Sequence[Pod]) -> bool:
        """Hostname spread: where an owner is placed, no more than max_skew matching pods."""
        return all(
            sum(means(one.pods, q) for q in pods if q.node == p.node and not q.terminating) <= one.max_skew
            for p in pods
            if p.group is not None
            for one in _required(p.spec)
            if one.topology_key == HOSTNAME
        )

    def _keeps_spread(self, pods: Sequence[Pod]) -> bool:
        """Spread over any other key: no domain that receives an owner is max_skew above the emptiest one."""
        return all(
            self._is_even(p.spec, one, [q for q in pods if q.group == p.group], pods)
            for p in pods
            if p.group is not None
            for one in _required(p.spec)
            if one.topology_key != HOSTNAME
        )

    def _is_even(self, spec: PodSpec, spread: Spread, owners: Sequence[Pod], pods: Sequence[Pod]) -> bool:
        key = spread.topology_key
        if any(key not in owner.labels for owner in owners):
            return False
        counted = [
            q.labels[key]
            for q in pods
            if key in q.labels
            and not q.terminating
            and means(spread.pods, q)
            and counts_for(spec, spread, q.labels, q.taints)
        ]
        domains = self.domains(spec, spread)
        least = min(counted.count(domain) for domain in domains)
        if len(domains) < (spread.min_domains or 1):
            least = 0
        return all(counted.count(owner.labels[key]) - least <= spread.max_skew for owner in owners)

    def domains(self, spec: PodSpec, spread: Spread) -> set[str]:
        """Values among nodes that exist or may be bought, for whomever, and that count for the pod."""
        machines = [one for one in (*self.for_sale, *self.existing) if counts_for(spec, spread, one.labels, one.taints)]
        return {one.labels[spread.topology_key] for one in machines if spread.topology_key in one.labels}

    def _can_come_in_turn(self, pods: Sequence[Pod]) -> bool:
        """Affinity: whether there is an order in which each new pod finds whom it wants when it comes."""
        if not any(pod.spec.pod_affinity for pod in pods if pod.group is not None):
            return True
        stay, new = [p for p in pods if p.group is None], [p for p in pods if p.group is not None]
        dead: set[frozenset[int]] = set()

        def come(there: frozenset[int]) -> bool:
            if len(there) == len(new):
                return True
            if there in dead:
                return False
            present = [*stay, *(new[i] for i in there)]
            for i in range(len(new)):
                if i not in there and _is_welcome(new[i], present) and come(there | {i}):
                    return True
            dead.add(there)
            return False

        return come(frozenset())

    # A plan of raypipe's

    def placed(self, plan: ClusterPlan) -> Counts:
        """How many pods of each group a plan places."""
        return tuple(sum(node.added.get(group.key, 0) for node in plan.nodes) for group in self.case.groups)

    def nodes_of(self, plan: ClusterPlan) -> Collection | None:
        """A plan's nodes as machines with their new pods; None where one neither exists nor can be bought."""
        known = {machine.name: machine for machine in self.existing}
        sold = {_place(one.labels): one for one in self.for_sale}
        nodes = []
        for node in plan.nodes:
            place = (node.instance_type, node.zone, node.capacity_type)
            machine = known.get(node.name) if node.existing else sold.get(place)
            if machine is None:
                return None
            nodes.append((machine, tuple(node.added.get(group.key, 0) for group in self.case.groups)))
        return nodes

    def is_right_plan(self, plan: ClusterPlan) -> bool:
        """Whether a plan's nodes exist or can be bought, hold their pods, and keep limits and rules."""
        nodes = self.nodes_of(plan)
        return (
            nodes is not None
            and sum(machine.name is not None for machine, _ in nodes) == len(self.existing)
            and all(self._holds(machine, pods) for machine, pods in nodes)
            and _keeps_limits(nodes, self._left_of_limits())
            and self.is_right(nodes)
        )


def _new(kind: Kind, zone: str) -> Machine:
    return Machine(
        name=None,
        labels=kind.labels(zone),
        cpu_m=kind.cpu_m,
        mib=kind.allocatable_mib,
        slots=kind.pods,
        cents=kind.cents,
        vcpu_m=kind.vcpu * 1000,
    )


def _place(labels: Mapping[str, str]) -> tuple[str, str, str]:
    return (labels[INSTANCE_TYPE], labels[ZONE], labels[CAPACITY_TYPE])


def _may_use(machine: Machine, spec: PodSpec) -> bool:
    """Open, selected (by volumes too) and tolerated."""
    return machine.open and spec.selects(machine.labels) and tolerated(machine.taints, spec.tolerations)


def _holds_one(machine: Machine, spec: PodSpec) -> bool:
    """Whether the machine could hold one such pod, were it not for other pods' sake."""
    return (
        _may_use(machine, spec)
        and spec.requests["cpu"] <= machine.cpu_m
        and spec.requests["memory"] // MIB <= machine.mib
        and machine.slots >= 1
    )


def means(selector: PodSelector, pod: Pod) -> bool:
    return selector.matches(pod.spec.namespace, pod.spec.labels)


def are_together(p: Pod, q: Pod, key: str) -> bool:
    """Whether two pods are in one domain of a topology key."""
    if key == HOSTNAME:
        return p.node == q.node
    return key in p.labels and p.labels[key] == q.labels.get(key)


def _required(spec: PodSpec) -> list[Spread]:
    return [one for one in spec.spread if one.required]


def counts_for(spec: PodSpec, spread: Spread, labels: Mapping[str, str], taints: tuple[Taint, ...]) -> bool:
    """Whether a node counts for the spread of a pod, by its two policies: volumes are no part of them."""
    named = all(labels.get(key) == value for key, value in spec.node_selector.items())
    liked = not spec.node_affinity or any(all(part.admits(labels) for part in term) for term in spec.node_affinity)
    if spread.honors_affinity and not (named and liked):
        return False
    return not spread.honors_taints or tolerated(taints, spec.tolerations)


def _take_one_port(p: Pod, q: Pod) -> bool:
    """Whether two pods, one of them new, want the same port of one node."""
    if p.node != q.node or (p.group is None and q.group is None):
        return False
    return any(mine.conflicts_with(theirs) for mine in p.spec.host_ports for theirs in q.spec.host_ports)


def _is_welcome(p: Pod, present: Sequence[Pod]) -> bool:
    """Whether p finds, in the domain of each of its terms, a pod that all its terms mean; or is the first of these."""
    terms = p.spec.pod_affinity
    if any(term.topology_key != HOSTNAME and term.topology_key not in p.labels for term in terms):
        return False
    wanted = [q for q in present if all(means(term.pods, q) for term in terms)]
    if all(any(are_together(p, q, term.topology_key) for q in wanted) for term in terms):
        return True
    return not wanted and all(means(term.pods, p) for term in terms)


def _counts(name: str, machine: Machine) -> int:
    return {"cpu": machine.vcpu_m, "nodes": 1, "usdPerHour": machine.cents}[name]


def _keeps_limits(nodes: Collection, left: Mapping[str, int]) -> bool:
    """Whether what is bought is within what is left of each limit."""
    bought = [machine for machine, _ in nodes if machine.name is None]
    return all(sum(_counts(name, machine) for machine in bought) <= amount for name, amount in left.items())


def _first(counts: Counts) -> int:
    """The first group that has pods there."""
    return next(g for g, count in enumerate(counts) if count)


def _up_to(counts: Counts) -> Iterator[Counts]:
    """Everything from nothing to all of it."""
    return itertools.product(*(range(count + 1) for count in counts))


def _more(counts: Counts, group: int) -> Counts:
    return tuple(count + (g == group) for g, count in enumerate(counts))


def _less(counts: Counts, taken: Counts) -> Counts:
    return tuple(count - less for count, less in zip(counts, taken, strict=True))


def _within(pods: Counts, left: Counts) -> bool:
    return all(count <= most for count, most in zip(pods, left, strict=True))


class _Least:
    """The least cents for which some options hold exactly so many pods, rules between nodes and limits forgotten."""

    def __init__(self, options: Iterable[tuple[Machine, Counts]]) -> None:
        self._cents: dict[Counts, int] = {}
        for machine, pods in options:
            self._cents[pods] = min(machine.cents, self._cents.get(pods, machine.cents))
        self._known: dict[Counts, int | None] = {}

    def of(self, counts: Counts) -> int | None:
        """The cents, or None where they cannot be held."""
        if not any(counts):
            return 0
        if counts not in self._known:
            rests = (
                (cents, self.of(_less(counts, pods))) for pods, cents in self._cents.items() if _within(pods, counts)
            )
            self._known[counts] = min((cents + rest for cents, rest in rests if rest is not None), default=None)
        return self._known[counts]
