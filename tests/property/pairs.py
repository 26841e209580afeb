"""Pairs of questions of which one is easier: it has one more offering, one pod fewer, or a looser limit.

Small worlds are those of the oracles (`cases`, `constrained_cases`, `test_quotas`), with limits, quotas, gangs,
constraints and existing nodes. Middle-size ones are the benchmark's instances at the prices that ship, half of them
beside the nodes of another demand.

Two things would make the question another one and not an easier one, and are left out: an offering that brings a new
domain (where pods spread, an empty domain is a duty), and a pod that others want to be with or are to be even with.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from raypipe.catalog import Catalog
from raypipe.manifests import read_paths
from raypipe.model.nodes import Node
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.requirements import CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, REGION, ZONE
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.planner import plan_cluster
from raypipe.settings import Settings
from tests.benchmark.instances import instance, write
from tests.property import cases, constrained_cases, test_quotas

NANOS = 10**9
MIDDLE = (
    ("services", 40, 8),
    ("services", 120, 20),
    ("constrained", 60, 12),
    ("gpu", 60, 0),
    ("mixed", 100, 0),
)
"""Kind, pods and groups of middle-size instances."""
STILL_THERE = 0.6
"""Share of another demand's pods that are still bound to the nodes it was given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What a plan is made of."""

    cluster: ClusterSnapshot
    catalog: Catalog


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """Two questions; `change` says what makes the first the easier one, `without` is the key that has a pod fewer."""

    world: str
    change: str
    easier: Question
    harder: Question
    without: str | None = None


type Change = Callable[[Question, random.Random], Pair | None]


def pairs(seed: int, shipped: Catalog, folder: Path) -> Iterator[Pair]:
    """The pairs of a seed, one a change; a change that a world does not lend itself to is passed over."""
    draw = random.Random(seed)
    world, question = _question(seed, shipped, folder)
    for change in (_one_more_offering, _one_pod_fewer, _looser_limit, _looser_quota):
        pair = change(question, draw)
        if pair is not None:
            yield dataclasses.replace(pair, world=world)


def _question(seed: int, shipped: Catalog, folder: Path) -> tuple[str, Question]:
    """A world of the seed, and its name."""
    match seed % 5:
        case 0:
            case = cases.random_case(seed)
            catalog = cases.catalogue(case, folder / str(seed))
            return "small", Question(cluster=cases.snapshot(case).clusters[0], catalog=catalog)
        case 1 | 2:
            ruled = constrained_cases.random_case(seed)
            catalog = constrained_cases.catalogue(ruled, folder / str(seed))
            return "small, constrained", Question(cluster=constrained_cases.snapshot(ruled), catalog=catalog)
        case 3:
            under = test_quotas.quota_case(seed)
            cluster = dataclasses.replace(cases.snapshot(under).clusters[0], settings=test_quotas.settings(under))
            return "small, quotas", Question(cluster=cluster, catalog=cases.catalogue(under, folder / str(seed)))
    kind, pods, groups = MIDDLE[seed // 5 % len(MIDDLE)]
    cluster = read_paths([write(folder / f"{seed}", instance(kind, pods, groups, seed))]).clusters[0]
    if seed // 5 % 2:
        return kind, Question(cluster=cluster, catalog=shipped)
    other = read_paths([write(folder / f"{seed}-before", instance("services", 40, 8, seed + 1))]).clusters[0]
    nodes, bound = as_existing(plan_cluster(other, shipped), other, shipped)
    beside = dataclasses.replace(cluster, nodes=nodes, bound=_some_of(bound, random.Random(seed)))
    return f"{kind}, nodes", Question(cluster=beside, catalog=shipped)


def as_existing(
    plan: ClusterPlan, cluster: ClusterSnapshot, catalog: Catalog
) -> tuple[tuple[Node, ...], tuple[BoundPods, ...]]:
    """The nodes of a plan and the pods on them, as they stand once it is carried out."""
    specs = {group.key: group.spec for group in cluster.demand}
    nodes = []
    for one in plan.nodes:
        kind = catalog.type_of(cluster.provider, one.instance_type)
        assert kind is not None
        place = {INSTANCE_TYPE: one.instance_type, REGION: one.region, ZONE: one.zone, HOSTNAME: one.name}
        labels = {**kind.labels, **place, CAPACITY_TYPE: one.capacity_type}
        nodes.append(Node(name=one.name, labels=labels, capacity=kind.allocatable, allocatable=kind.allocatable))
    bound = tuple(
        BoundPods(node=one.name, key=key, spec=specs[key], count=count)
        for one in plan.nodes
        for key, count in sorted(one.pods.items())
    )
    return tuple(nodes), bound


def _some_of(bound: tuple[BoundPods, ...], draw: random.Random) -> tuple[BoundPods, ...]:
    """The pods that are still there, each by a draw of its own, under keys of their own."""
    left = [
        (one, sum(draw.random() < STILL_THERE for _ in range(one.count)))
        for one in bound
    ]  # fmt: skip
    return tuple(
        dataclasses.replace(one, key=one.key.replace("/default/", "/before/"), count=count)
        for one, count in left
        if count
    )


# What makes a question easier


def _one_more_offering(question: Question, draw: random.Random) -> Pair | None:
    """A type more; one that the plan uses where there is any, since another would change nothing.

    Not one of which a node exists: without the type, the price of that node would be unknown and count for nothing.
    """
    cluster, catalog = question.cluster, question.catalog
    place = (cluster.provider, cluster.region)
    rows = catalog.prices.get(place, ())
    kept = {node.labels[INSTANCE_TYPE] for node in cluster.nodes}
    bought = {node.instance_type for node in plan_cluster(cluster, catalog).nodes if not node.existing}
    names = sorted(bought - kept or {row.instance_type for row in rows} - kept)
    if not names:
        return None
    left = draw.choice(names)
    fewer = tuple(row for row in rows if row.instance_type != left)
    if not fewer or (any(group.spec.spread for group in cluster.demand) and _brings_a_domain(question, left)):
        return None
    without = dataclasses.replace(
        catalog, digest=f"{catalog.digest}-{left}", prices={**catalog.prices, place: fewer}, _types={}
    )
    harder = Question(cluster=cluster, catalog=without)
    return Pair(world="", change="one more offering", easier=question, harder=harder)


def _brings_a_domain(question: Question, name: str) -> bool:
    """Whether some topology key of a spread has a value on this type alone."""
    cluster, catalog = question.cluster, question.catalog
    values: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for row in catalog.prices[cluster.provider, cluster.region]:
        kind = catalog.type_of(cluster.provider, row.instance_type)
        labels: Mapping[str, str] = kind.labels if kind is not None else {}
        zones = (row.zone,) if row.zone else cluster.zones
        found = {(ZONE, zone) for zone in zones} | {(CAPACITY_TYPE, row.capacity_type), *labels.items()}
        values[row.instance_type == name] |= found
    keys = {spread.topology_key for group in cluster.demand for spread in group.spec.spread}
    return any(key in keys for key, _ in values[True] - values[False])


def _one_pod_fewer(question: Question, draw: random.Random) -> Pair | None:
    """A pod fewer of a group that is in no gang and that no other pod wishes for or is even with."""
    groups = [
        group
        for group in question.cluster.demand
        if group.gang is None and not any(_looks_for(other, group) for other in question.cluster.demand)
    ]
    if not groups:
        return None
    chosen = draw.choice(groups)
    fewer = tuple(
        dataclasses.replace(group, count=group.count - 1) if group is chosen else group
        for group in question.cluster.demand
        if group is not chosen or group.count > 1
    )
    easier = Question(cluster=dataclasses.replace(question.cluster, demand=fewer), catalog=question.catalog)
    return Pair(world="", change="one pod fewer", easier=easier, harder=question, without=chosen.key)


def _looks_for(other: PodGroup, group: PodGroup) -> bool:
    """Whether pods of another group may need those of a group: to be with them, or to be no more uneven."""
    spec: PodSpec = group.spec
    wishes = [term.pods for term in other.spec.pod_affinity] + [one.pods for one in other.spec.spread]
    return other is not group and any(one.matches(spec.namespace, spec.labels) for one in wishes)


def _looser_limit(question: Question, draw: random.Random) -> Pair | None:
    """A limit that leaves a part of what would be bought, and one that leaves more of it."""
    cluster = question.cluster
    plan = plan_cluster(dataclasses.replace(cluster, limits={}), question.catalog)
    bought, nodes = round(plan.bought.usd_per_hour * NANOS), [one for one in plan.nodes if not one.existing]
    if not nodes:
        return None
    kept = round(sum(one.usd_per_hour or 0 for one in plan.nodes if one.existing) * NANOS)
    name, beside, least = draw.choice(
        (("usdPerHour", kept, bought), ("nodes", len(plan.nodes) - len(nodes), len(nodes)))
    )
    low, high = sorted((draw.uniform(0.3, 1.0), draw.uniform(0.3, 1.1)))
    tight, loose = (
        dataclasses.replace(cluster, limits={**cluster.limits, name: beside + round(least * share)})
        for share in (low, high)
    )
    return Pair(
        world="",
        change="a looser limit",
        easier=Question(cluster=loose, catalog=question.catalog),
        harder=Question(cluster=tight, catalog=question.catalog),
    )


def _looser_quota(question: Question, draw: random.Random) -> Pair | None:
    """An account's quota in vCPUs on one capacity type, and a smaller one."""
    cluster = question.cluster
    wanted = sum(group.spec.requests.get("cpu", 0) * group.count for group in cluster.demand) // 1000 + 1
    low, high = sorted((draw.randint(0, wanted), draw.randint(0, wanted)))
    tight, loose = (
        dataclasses.replace(cluster, settings=_with_quota(cluster.settings, cores)) for cores in (low, high)
    )
    return Pair(
        world="",
        change="a looser quota",
        easier=Question(cluster=loose, catalog=question.catalog),
        harder=Question(cluster=tight, catalog=question.catalog),
    )


def _with_quota(settings: Settings, cores: int) -> Settings:
    entry = {"name": "drawn", "resource": "cpu", "amount": str(cores), "capacityType": "on-demand"}
    return dataclasses.replace(settings, quotas=(*settings.quotas, entry))
