"""One turn of the live loop, pure: what was seen becomes facts, and of what was decided so much may be done now.

A snapshot knows one moment. Whoever looks again and again keeps a `Memory` of each cluster: since when launches have
been under way and nodes empty, what could not be had a moment ago, and how large nodes really were. `looked` is the
memory after one more look, `with_facts` the snapshot with what follows from it, `given_up` the launches to take back,
and `allowed` the part of a plan that the caps of a cycle let through, with a reason for each action that is held back.

Lost memory costs time and money, never correctness: nodes on their way are seen in the API, whoever remembers them. The
hour is an argument, in seconds since 1970; the simulator has its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import msgspec

from raypipe.catalog import Catalog
from raypipe.catalog.existing import capacity_type_of
from raypipe.disruption import clocks
from raypipe.disruption.clocks import Clocks, facts_of, ticked
from raypipe.manifests.launches import Launch
from raypipe.model.actions import Action, ActionKind
from raypipe.model.nodes import Fact, Unavailable
from raypipe.model.plan import ClusterPlan, PlannedNode
from raypipe.model.requirements import INSTANCE_TYPE, ZONE
from raypipe.model.resources import Resources
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings

SPOT = "spot"
ROUNDING_USD = 1e-9
"""Prices in plans are rounded to a nano-dollar: sums of them may be over a cap by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A launch, and when it was first seen."""

    offering: Unavailable
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An offering that could not be had, when, and why."""

    offering: Unavailable
    at: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is remembered of one cluster.

    Attributes:
        launches: under way, by name. failures: of the last `capacity_failure_s`, one an offering, the last.
        learned: by instance type, where nodes have another size than the catalogue says.
        clocks: since when nodes have been as they are.
    """

    launches: Mapping[str, Started] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    learned: Mapping[str, Resources] = field(default_factory=dict)
    clocks: Clocks = field(default_factory=Clocks)

    def to_json(self) -> str:
        """The memory as text that `from_json` reads back to an equal value."""
        return msgspec.json.encode(self, order="sorted").decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Memory:
        """Read what `to_json` wrote; raise ValueError saying which field is wrong."""
        return msgspec.json.decode(text, type=cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A launch to take back, and why."""

    launch: Launch
    words: str


def given_up(memory: Memory, launches: Sequence[Launch], settings: Settings, now: float) -> tuple[GivenUp, ...]:
    """The launches that have failed, or are not ready in time."""
    return tuple(GivenUp(launch=one, words=words) for one in launches if (words := _lost(one, memory, settings, now)))


def _lost(one: Launch, memory: Memory, settings: Settings, now: float) -> str:
    """Why a launch is lost, or nothing."""
    if one.failed:
        return one.failed
    started = memory.launches.get(one.name)
    late = started is not None and now - started.at >= settings.launch_timeout_s
    return f"not ready after {settings.launch_timeout_s} s" if late else ""


def looked(
    memory: Memory,
    cluster: ClusterSnapshot,
    launches: Sequence[Launch],
    arrived: Collection[str],
    catalog: Catalog,
    now: float,
) -> Memory:
    """The memory after one more look; `arrived`: names of what was launched and has brought a node.

    A launch that is neither under way any longer nor has arrived was refused by the provider (Karpenter deletes the
    claim) or taken back by somebody: that kind of node is not bought again for a while. Nor is the kind of a spot node
    that the provider is about to take back, as long as that is announced and for as long thereafter.
    """
    settings = cluster.settings
    there = {one.name for one in launches}.union(arrived)
    told = {one.offering for one in memory.failures}  # of a launch that was given up it is known why
    gone = [
        Failure(offering=started.offering, at=now, words=f"{name} is gone and has brought no node")
        for name, started in sorted(memory.launches.items())
        if name not in there and started.offering not in told
    ]
    lost = [
        Failure(offering=one.launch.offering, at=now, words=one.words)
        for one in given_up(memory, launches, settings, now)
    ]
    return Memory(
        launches={one.name: memory.launches.get(one.name) or _started(one, now) for one in launches},
        failures=_remembered(
            (*memory.failures, *gone, *lost, *_taken_back(cluster, now)), now - settings.capacity_failure_s
        ),
        learned=_learned(memory.learned, cluster, catalog),
        clocks=ticked(memory.clocks, cluster, now),
    )


def _taken_back(cluster: ClusterSnapshot, now: float) -> Iterator[Failure]:
    """The offerings of spot nodes that are announced to be interrupted."""
    for node in cluster.nodes:
        offering = Unavailable(
            instance_type=node.labels.get(INSTANCE_TYPE, ""),
            zone=node.labels.get(ZONE, ""),
            capacity_type=capacity_type_of(node.labels),
        )
        announced = any(taint.key in cluster.settings.interruption_taints for taint in node.taints)
        if announced and offering.capacity_type == SPOT and offering.instance_type:
            yield Failure(offering=offering, at=now, words=f"{node.name} of it will be interrupted")


def _started(one: Launch, now: float) -> Started:
    return Started(offering=one.offering, at=now)


def _remembered(failures: Iterable[Failure], since: float) -> tuple[Failure, ...]:
    """The last failure of each offering, unless it is too long ago."""
    last = {one.offering: one for one in failures if one.at > since}
    return tuple(last[offering] for offering in sorted(last))


def _learned(
    known: Mapping[str, Resources], cluster: ClusterSnapshot, catalog: Catalog
) -> dict[str, Mapping[str, int]]:
    """How large types really are, by the smallest of our nodes of each; those as the catalogue says are left out.

    What no node shows any longer stays as it was last seen.
    """
    seen: dict[str, list[Resources]] = {}
    for node in cluster.nodes:
        if node.own and not node.coming and node.open and INSTANCE_TYPE in node.labels:
            seen.setdefault(node.labels[INSTANCE_TYPE], []).append(node.allocatable)
    learned = {name: size for name, size in known.items() if name not in seen}
    for name, sizes in seen.items():
        kind = catalog.type_of(cluster.provider, name, cluster.settings.reserve)
        size = _smallest(sizes)
        if kind is not None and any(kind.allocatable.get(what, amount) != amount for what, amount in size.items()):
            learned[name] = size
    return dict(sorted(learned.items()))


def _smallest(sizes: Sequence[Resources]) -> dict[str, int]:
    """The least that nodes have of each resource which every node has; GPUs and the like come late and are no measure.

    >>> _smallest([{"cpu": 3920, "memory": 980, "nvidia.com/gpu": 0}, {"cpu": 3900, "memory": 1000}])
    {'cpu': 3900, 'memory': 980}
    """
    names = {name for size in sizes for name in size if "/" not in name}
    common = sorted(name for name in names if all(size.get(name, 0) > 0 for size in sizes))
    return {name: min(size[name] for size in sizes) for name in common}


def with_facts(cluster: ClusterSnapshot, memory: Memory, now: float) -> ClusterSnapshot:
    """The snapshot with what follows from the memory: what a plan is made from and what a replay repeats."""
    most = max(0, _most_removed(cluster) - sum(node.leaving for node in cluster.nodes))
    return replace(
        cluster,
        settings=replace(cluster.settings, most_removed=most),
        facts=facts_of(cluster, memory.clocks, now),
        unavailable=tuple(sorted({one.offering for one in memory.failures})),
        learned=memory.learned,
    )


def next_due(memory: Memory, cluster: ClusterSnapshot, now: float) -> float | None:
    """When time alone will change something, though nothing is seen to happen; None: never."""
    settings = cluster.settings
    due = [one.at + settings.launch_timeout_s for one in memory.launches.values()]
    due += [one.at + settings.capacity_failure_s for one in memory.failures]
    fact = clocks.next_due(cluster, memory.clocks, now)
    return min((moment for moment in (*due, fact) if moment is not None and moment > now), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An action that is not carried out in this cycle, and why."""

    action: Action
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What of a plan may be done in this cycle, in its order, and what is held back."""

    actions: tuple[Action, ...]
    held: tuple[Held, ...] = ()


def allowed(plan: ClusterPlan, cluster: ClusterSnapshot) -> Allowed:
    """The actions within the caps of a cycle.

    Nodes are bought in the plan's order as long as caps allow. Nodes with pods of one gang that is yet to be admitted
    are bought together or not at all: half a gang on half of its nodes costs money and runs nothing. Nodes that are
    still being emptied count among those that are given back; those that will be interrupted do not: they die anyway.
    """
    words = _over_the_caps(plan, cluster)
    dying = {name for name, facts in cluster.facts.items() if Fact.INTERRUPTED in facts}
    removals = [one for one in plan.actions if one.kind is ActionKind.REMOVE_NODE and one.object.name not in dying]
    most = _most_removed(cluster)
    leaving = sum(node.leaving and node.name not in dying for node in cluster.nodes)  # since earlier cycles
    for action in removals[max(0, most - leaving) :]:
        words[action.id] = f"max_removed_fraction: {most} of {len(cluster.nodes)} nodes are given back at a time"
    return Allowed(
        actions=tuple(one for one in plan.actions if one.id not in words),
        held=tuple(Held(action=one, words=words[one.id]) for one in plan.actions if one.id in words),
    )


def _most_removed(cluster: ClusterSnapshot) -> int:
    """Most nodes that may be given back at once."""
    return max(1, int(cluster.settings.max_removed_fraction * len(cluster.nodes)))


def _over_the_caps(plan: ClusterPlan, cluster: ClusterSnapshot) -> dict[str, str]:
    """Why nodes are not bought in this cycle, by the id of the action."""
    settings, words = cluster.settings, dict[str, str]()
    nodes = {node.name: node for node in plan.nodes if not node.existing}
    bought, added_usd = 0, 0.0
    for actions in _units([one for one in plan.actions if one.kind is ActionKind.BUY_NODE], nodes, cluster):
        price = sum(_usd(nodes.get(one.object.name)) for one in actions)
        why = ""
        if bought + len(actions) > settings.max_nodes_bought:
            why = f"max_nodes_bought: {settings.max_nodes_bought} nodes are bought in a cycle"
        cap = settings.max_usd_per_hour_added
        if cap is not None and added_usd + price > cap + ROUNDING_USD:
            why = f"max_usd_per_hour_added: ${cap:g}/h is added in a cycle"
        if why:
            together = f", and the {len(actions)} nodes of a gang are bought together" if len(actions) > 1 else ""
            words |= {one.id: why + together for one in actions}
            continue
        bought, added_usd = bought + len(actions), added_usd + price
    return words


def _usd(node: PlannedNode | None) -> float:
    return node.usd_per_hour or 0.0 if node is not None else 0.0


def _units(
    actions: Sequence[Action], nodes: Mapping[str, PlannedNode], cluster: ClusterSnapshot
) -> Iterator[tuple[Action, ...]]:
    """What is bought together: each node alone, or all nodes that pods of one gang tie to each other."""
    gangs = [frozenset(gang.minimum) for gang in cluster.gangs if gang.copies > 0]
    left = list(actions)
    while left:
        unit, keys = [left.pop(0)], frozenset[str]()
        while True:
            keys = _tied([nodes.get(one.object.name) for one in unit], gangs)
            more = [one for one in left if _holds(nodes.get(one.object.name), keys)]
            if not more:
                break
            unit += more
            left = [one for one in left if one not in more]
        yield tuple(unit)


def _tied(nodes: Iterable[PlannedNode | None], gangs: Sequence[Set[str]]) -> frozenset[str]:
    """The keys of all gangs of which a node has pods."""
    return frozenset(key for node in nodes for gang in gangs if _holds(node, gang) for key in gang)


def _holds(node: PlannedNode | None, keys: Set[str]) -> bool:
    return node is not None and any(key.partition("@")[0] in keys for key in node.added)
