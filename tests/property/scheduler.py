"""kube-scheduler's filters once more, in plain words, and plans played through them pod by pod.

The filters are those of the default profile that a plan depends on, each as its documentation and its source say
(kubernetes.io, Assigning Pods to Nodes, Pod Topology Spread Constraints; pkg/scheduler/framework/plugins). They ask
about one pod, one node and the cluster as it is at that moment, and know nothing of plans; nothing here is taken from
raypipe's own rules, the meaning of selectors and tolerations included. `replay` lets the nodes of a plan be there from
the start, bound pods and DaemonSets on them, and looks for an order in which each new pod passes every filter of the
node that the plan gives it.

So a plan that is right by raypipe's definitions and is not admitted here shows where those are too generous.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from raypipe.catalog import Catalog, offerings_for
from raypipe.model.constraints import PodSelector, PodTerm, Spread
from raypipe.model.nodes import Offering
from raypipe.model.plan import ClusterPlan, PlannedNode
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import HOSTNAME, Requirement, Taint, Term, Toleration
from raypipe.model.snapshot import ClusterSnapshot

MOST_STEPS = 5000
"""Steps beyond one a pod that are tried for one plan before the search for an order is given up."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pod:
    """One pod; two of a kind are two pods."""

    spec: PodSpec
    key: str = ""
    terminating: bool = False


@dataclass(kw_only=True, eq=False)
class Machine:
    """A node and who is on it."""

    name: str
    labels: Mapping[str, str]
    allocatable: Mapping[str, int] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    pods: list[Pod] = field(default_factory=list)


# Labels, selectors, taints


def _holds(part: Requirement, labels: Mapping[str, str]) -> bool:
    """One line of matchExpressions or matchLabels."""
    value = labels.get(part.key)
    match str(part.operator):
        case "In":
            return value is not None and value in part.values
        case "NotIn":
            return value is None or value not in part.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    try:
        number, bound = int(value or ""), int(part.values[0])
    except (ValueError, IndexError):
        return False
    return number > bound if str(part.operator) == "Gt" else number < bound


def _one_holds(terms: Sequence[Term], labels: Mapping[str, str]) -> bool:
    """nodeSelectorTerms: one of them must hold, and an empty one holds nowhere."""
    return any(term and all(_holds(part, labels) for part in term) for term in terms)


def _selects_node(pod: PodSpec, node: Machine) -> bool:
    """nodeSelector and requiredDuringScheduling… of nodeAffinity."""
    if any(node.labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    return not pod.node_affinity or _one_holds(pod.node_affinity, node.labels)


def _tolerates(pod: PodSpec, node: Machine) -> bool:
    """PreferNoSchedule is a preference and keeps nobody off."""
    return all(
        taint.effect == "PreferNoSchedule" or any(_ignores(one, taint) for one in pod.tolerations)
        for taint in node.taints
    )


def _ignores(toleration: Toleration, taint: Taint) -> bool:
    """An empty effect is every effect; an empty key with Exists is every taint."""
    if toleration.effect not in ("", taint.effect):
        return False
    if toleration.operator == "Exists":
        return toleration.key in ("", taint.key)
    return toleration.key == taint.key and toleration.value == taint.value


def _means(selector: PodSelector, pod: PodSpec) -> bool:
    """A null selector means no pod, an empty one every pod of the namespaces."""
    if selector.labels is None or (selector.namespaces is not None and pod.namespace not in selector.namespaces):
        return False
    return all(_holds(part, pod.labels) for part in selector.labels)


# Filters: may this pod go on this node of these?

type Filter = Callable[[PodSpec, Machine, Sequence[Machine]], bool]


def node_unschedulable(_pod: PodSpec, node: Machine, _nodes: Sequence[Machine]) -> bool:
    """Nothing new on a cordoned node."""
    return not node.unschedulable


def node_resources_fit(pod: PodSpec, node: Machine, _nodes: Sequence[Machine]) -> bool:
    """What all pods there request and this one too is allocatable; what it does not request does not matter."""
    return all(
        sum(one.spec.requests.get(name, 0) for one in node.pods) + amount <= node.allocatable.get(name, 0)
        for name, amount in pod.requests.items()
        if amount > 0
    )


def node_affinity(pod: PodSpec, node: Machine, _nodes: Sequence[Machine]) -> bool:
    return _selects_node(pod, node)


def taint_toleration(pod: PodSpec, node: Machine, _nodes: Sequence[Machine]) -> bool:
    return _tolerates(pod, node)


def volume_zone(pod: PodSpec, node: Machine, _nodes: Sequence[Machine]) -> bool:
    """The node affinity of each PersistentVolume holds."""
    return all(_one_holds(terms, node.labels) for terms in pod.volume_affinity)


def node_ports(pod: PodSpec, node: Machine, _nodes: Sequence[Machine]) -> bool:
    """Port and protocol are taken once an address; 0.0.0.0 is every address."""
    taken = [port for one in node.pods for port in one.spec.host_ports]
    return not any(
        (port.port, port.protocol) == (other.port, other.protocol)
        and (port.address == other.address or "0.0.0.0" in (port.address, other.address))
        for port in pod.host_ports
        for other in taken
    )


def inter_pod_affinity(pod: PodSpec, node: Machine, nodes: Sequence[Machine]) -> bool:
    """Affinity and anti-affinity of the pod, and anti-affinity of those that are there (being deleted or not)."""
    return (
        _finds_company(pod, node, nodes)
        and not any(_is_met(term, node, nodes) for term in pod.pod_anti_affinity)
        and not _is_kept_away(pod, node, nodes)
    )


def _finds_company(pod: PodSpec, node: Machine, nodes: Sequence[Machine]) -> bool:
    """Each term is met by a pod that meets all terms, or nobody meets them yet but the pod itself."""
    terms = pod.pod_affinity
    if not all(term.topology_key in node.labels for term in terms):
        return False
    domains = {
        (term.topology_key, other.labels[term.topology_key])
        for other in nodes
        for one in other.pods
        if all(_means(term.pods, one.spec) for term in terms)
        for term in terms
        if term.topology_key in other.labels
    }
    if all((term.topology_key, node.labels[term.topology_key]) in domains for term in terms):
        return True
    return not domains and all(_means(term.pods, pod) for term in terms)


def _is_met(term: PodTerm, node: Machine, nodes: Sequence[Machine]) -> bool:
    """Whether a pod that the term means is in the node's domain."""
    return any(
        _are_together(node, other, term.topology_key) and any(_means(term.pods, one.spec) for one in other.pods)
        for other in nodes
    )


def _is_kept_away(pod: PodSpec, node: Machine, nodes: Sequence[Machine]) -> bool:
    return any(
        _are_together(node, other, term.topology_key) and _means(term.pods, pod)
        for other in nodes
        for one in other.pods
        for term in one.spec.pod_anti_affinity
    )


def _are_together(node: Machine, other: Machine, topology_key: str) -> bool:
    return topology_key in node.labels and node.labels[topology_key] == other.labels.get(topology_key)


def pod_topology_spread(pod: PodSpec, node: Machine, nodes: Sequence[Machine]) -> bool:
    """matching pods in the domain + itself if it matches - the least of any domain <= maxSkew, for each constraint."""
    hard = [one for one in pod.spread if one.required]
    for constraint in hard:
        if constraint.topology_key not in node.labels:
            return False
        matching = _matching_by_domain(pod, constraint, hard, nodes)
        least = min(matching.values(), default=0)
        if len(matching) < (constraint.min_domains or 1):
            least = 0
        itself = 1 if _means(constraint.pods, pod) else 0
        if matching.get(node.labels[constraint.topology_key], 0) + itself - least > constraint.max_skew:
            return False
    return True


def _matching_by_domain(
    pod: PodSpec, constraint: Spread, hard: Sequence[Spread], nodes: Sequence[Machine]
) -> dict[str, int]:
    """Every eligible domain with its matching pods; a node lacking a key of any constraint is passed over."""
    matching: Counter[str] = Counter()
    for node in nodes:
        if not all(one.topology_key in node.labels for one in hard):
            continue
        if constraint.honors_affinity and not _selects_node(pod, node):
            continue
        if constraint.honors_taints and not _tolerates(pod, node):
            continue
        matching[node.labels[constraint.topology_key]] += sum(
            not one.terminating and _means(constraint.pods, one.spec) for one in node.pods
        )
    return dict(matching)


FILTERS: Mapping[str, Filter] = {
    "NodeUnschedulable": node_unschedulable,
    "TaintToleration": taint_toleration,
    "NodeAffinity": node_affinity,
    "NodePorts": node_ports,
    "NodeResourcesFit": node_resources_fit,
    "VolumeZone": volume_zone,
    "PodTopologySpread": pod_topology_spread,
    "InterPodAffinity": inter_pod_affinity,
}


def refused_by(pod: PodSpec, node: Machine, nodes: Sequence[Machine]) -> str | None:
    """The first filter that keeps a pod off a node, or None."""
    return next((name for name, admits in FILTERS.items() if not admits(pod, node, nodes)), None)


# Plans


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Pods of a key that no order that was tried lets onto the node that a plan gives them."""

    key: str
    node: str
    count: int
    filter: str


def replay(plan: ClusterPlan, cluster: ClusterSnapshot, catalog: Catalog, *, whole: bool = False) -> list[Refused]:
    """Place the plan's new pods one by one; those that are left where the fewest are.

    whole: the plan is of scope `whole`, in which no node exists and nobody is bound.
    """
    nodes = [] if whole else _existing(cluster)
    nodes += _bought(plan, cluster, catalog)
    _add_daemonsets(nodes, cluster)
    specs = {group.key: group.spec for group in cluster.demand}
    if whole:
        specs |= {pods.key: pods.spec for pods in cluster.bound if pods.counted}
    by_name = {node.name: node for node in nodes}
    waiting = Counter(
        {(key, by_name[node.name]): count for node in plan.nodes for key, count in sorted(node.added.items())}
    )
    return _Search(specs, nodes, waiting).run()


def _existing(cluster: ClusterSnapshot) -> list[Machine]:
    return [
        Machine(
            name=node.name,
            labels={HOSTNAME: node.name, **node.labels},
            allocatable=node.allocatable,
            taints=node.taints,
            unschedulable=not node.open,
            pods=[
                Pod(spec=pods.spec, key=pods.key, terminating=pods.terminating)
                for pods in cluster.bound
                if pods.node == node.name
                for _ in range(pods.count)
            ],
        )
        for node in cluster.nodes
    ]


def _bought(plan: ClusterPlan, cluster: ClusterSnapshot, catalog: Catalog) -> list[Machine]:
    sold = offerings_for(cluster, catalog).offerings
    machines = []
    for node in plan.nodes:
        if not node.existing:
            one = next(offering for offering in sold if _is_of(node, offering))
            labels = {**one.labels, HOSTNAME: node.name}
            machines.append(
                Machine(name=node.name, labels=labels, allocatable=one.allocatable, taints=one.taints),
            )
    return machines


def _is_of(node: PlannedNode, offering: Offering) -> bool:
    sliced = "nvidia.com/gpu.shared" in node.allocatable and "nvidia.com/gpu" not in node.allocatable
    return (node.instance_type, node.zone, node.capacity_type, node.pool, sliced) == (
        offering.instance_type,
        offering.zone,
        offering.capacity_type,
        offering.pool,
        offering.gpu_slices > 0,
    )


def _add_daemonsets(nodes: Sequence[Machine], cluster: ClusterSnapshot) -> None:
    """A pod of each DaemonSet on each node that it may be on and where none is bound."""
    there = {(pods.node, pods.daemonset) for pods in cluster.bound if pods.daemonset is not None}
    for node in nodes:
        for one in cluster.daemonsets:
            if (node.name, one.key) not in there and _selects_node(one.spec, node) and _tolerates(one.spec, node):
                node.pods.append(Pod(spec=one.spec, key=one.key))


type Cell = tuple[str, Machine]
"""Pods of a key that a plan puts on one node."""


class _Search:
    """A search for an order: the likeliest pod next, one step back where nobody can be placed.

    `waiting` counts what is not placed. No state is looked at twice.
    """

    def __init__(self, specs: Mapping[str, PodSpec], nodes: Sequence[Machine], waiting: Counter[Cell]) -> None:
        self._specs = specs
        self._nodes = nodes
        self._waiting = waiting
        self._fewest: list[Refused] | None = None

    def run(self) -> list[Refused]:
        dead: set[frozenset[tuple[Cell, int]]] = set()
        placed: list[Cell] = []
        choices = [self._choices()]
        for _ in range(self._waiting.total() + MOST_STEPS):
            if not self._waiting:
                return []
            cell = next(choices[-1], None)
            if cell is None:
                self._note()
                dead.add(frozenset(self._waiting.items()))
                choices.pop()
                if not choices:
                    break
                self._take_back(placed.pop())
                continue
            self._place(cell)
            if frozenset(self._waiting.items()) in dead:
                self._take_back(cell)
                continue
            placed.append(cell)
            choices.append(self._choices())
        self._note()
        return self._fewest or []

    def _choices(self) -> Iterator[Cell]:
        """Cells of which a pod passes now, the likeliest first."""
        for key, node in sorted(self._waiting, key=self._turn):
            if refused_by(self._specs[key], node, self._nodes) is None:
                yield key, node

    def _turn(self, cell: Cell) -> tuple[int, int, str, str]:
        """First pods of a kind, which need nobody; then those of spread, the emptiest domain first; then all others.

        Who is not spread comes last, as it may go anywhere at any time, and may stand in the way of one who is.
        """
        key, node = cell
        spec = self._specs[key]
        hard = [one for one in spec.spread if one.required and one.topology_key in node.labels]
        if spec.pod_affinity and all(_means(term.pods, spec) for term in spec.pod_affinity):
            turn = 0
        else:
            turn = 1 if hard or spec.pod_affinity else 2
        crowd = sum(
            _matching_by_domain(spec, one, hard, self._nodes).get(node.labels[one.topology_key], 0) for one in hard
        )
        return (turn, crowd, node.name, key)

    def _place(self, cell: Cell) -> None:
        key, node = cell
        node.pods.append(Pod(spec=self._specs[key], key=key))
        self._waiting[cell] -= 1
        if not self._waiting[cell]:
            del self._waiting[cell]

    def _take_back(self, cell: Cell) -> None:
        cell[1].pods.pop()  # the last one that was placed there, since steps are taken back in turn
        self._waiting[cell] += 1

    def _note(self) -> None:
        """Remember who is left here, if they are the fewest so far."""
        if self._fewest is not None and self._waiting.total() >= sum(one.count for one in self._fewest):
            return
        self._fewest = [
            Refused(
                key=key,
                node=node.name,
                count=count,
                filter=refused_by(self._specs[key], node, self._nodes) or "no order was tried to its end",
            )
            for (key, node), count in sorted(self._waiting.items(), key=lambda one: (one[0][1].name, one[0][0]))
        ]
