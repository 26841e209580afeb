"""Small random cases with one set of alternative worker groups, and the best division by trying every one.

A case of `cases` with at most two pods of its own gets a Ray object of two or three groups. Divisions are tried in
numbers of this file: replicas within the bounds that do the work, none of which could be spared (or any, where some
group fits nowhere). First who is admitted (in the order of `brute_force`; the set stands where its first group does,
and counts by its work, no more than was wanted of groups that fit somewhere), then the least cost.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from itertools import product

from raypipe.model.alternatives import Alternatives, RayTarget, WorkerGroup
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.snapshot import FleetSnapshot
from raypipe.model.workloads import Gang, RayObject
from tests.property.brute_force import counts, holds, holds_existing, is_within, place_of, units
from tests.property.cases import MIB, Case, Kind, Pod, random_case, snapshot

OWNER = "RayCluster/default/r"
SET = f"{OWNER}/a"


@dataclass(frozen=True)
class Group:
    """A worker group in plain numbers; speed in hundredths."""

    name: str
    cpu_m: int
    memory_mib: int
    gpus: int
    on_demand: bool
    hosts: int
    speed: int
    low: int
    high: int
    replicas: int

    @property
    def key(self) -> str:
        return f"{OWNER}/worker/{self.name}"

    def pods(self, replicas: int, gang: bool) -> list[Pod]:
        """The pods of so many replicas."""
        return [
            Pod(
                key=f"{self.key}#{number}",
                cpu_m=self.cpu_m,
                memory_mib=self.memory_mib,
                gpus=self.gpus,
                on_demand=self.on_demand,
                labelled=False,
                priority=0,
                created=None,
                gang=OWNER if gang else None,
            )
            for number in range(replicas * self.hosts)
        ]


@dataclass(frozen=True)
class Divisible:
    """A case with a set of groups; `starting`: the cluster does not run yet, so that the groups are one gang."""

    case: Case
    groups: tuple[Group, ...]
    starting: bool

    @property
    def work(self) -> int:
        return sum(group.replicas * group.speed for group in self.groups)


def divisible_case(seed: int) -> Divisible:
    """The case of a seed."""
    case = random_case(seed)
    draw = random.Random(-1 - seed)
    case = replace(case, pods=tuple(replace(pod, gang=None) for pod in case.pods[:2]))
    groups = []
    for number in range(draw.choice((2, 2, 2, 3))):
        low = draw.choice((0, 0, 0, 1))
        high = max(low, draw.choice((1, 2, 3, 4)))
        groups.append(
            Group(
                name=f"g{number}",
                cpu_m=draw.choice((400, 900, 1500, 1900, 2500, 3900)),
                memory_mib=draw.choice((128, 1024, 3000)),
                gpus=draw.choice((0, 0, 0, 1)),
                on_demand=draw.random() < 0.2,
                hosts=draw.choice((1, 1, 1, 2)),
                speed=draw.choice((100, 100, 50, 45, 90, 200)),
                low=low,
                high=high,
                replicas=0,
            )
        )
    wishes = [draw.randint(group.low, min(group.high, 2)) if draw.random() < 0.6 else group.low for group in groups]
    groups = [replace(group, replicas=max(group.low, n)) for group, n in zip(groups, wishes, strict=True)]
    one = Divisible(case, tuple(groups), starting=draw.random() < 0.5)
    return replace(one, case=replace(case, limits={})) if hopeless(one) else one


def divisible_snapshot(one: Divisible) -> FleetSnapshot:
    """The case as raypipe sees it."""
    fleet = snapshot(one.case)
    (cluster,) = fleet.clusters
    groups = tuple(
        WorkerGroup(
            name=group.name,
            index=number,
            pods=group.key,
            spec=_spec(group),
            hosts=group.hosts,
            speed_millionths=group.speed * 10_000,
            low=group.low,
            high=group.high,
            wish=group.replicas,
            replicas=group.replicas,
            stated={"replicas": group.replicas, "minReplicas": group.low, "maxReplicas": group.high},
        )
        for number, group in enumerate(one.groups)
    )
    target = RayTarget(kind="RayCluster", namespace="default", name="r")
    own = [
        PodGroup(key=group.pods, spec=group.spec, count=group.replicas * group.hosts, gang=OWNER, owner=OWNER)
        for group in groups
        if group.replicas
    ]
    minimum = {group.key: group.count for group in own}
    ray = RayObject(kind="RayCluster", namespace="default", name="r", suspendable=True)
    gang = Gang(name=OWNER, minimum=minimum if one.starting else {}, copies=int(one.starting), ray=ray)
    return replace(
        fleet,
        clusters=(
            replace(
                cluster,
                demand=(*cluster.demand, *own),
                gangs=(gang,),
                alternatives=(Alternatives(name="a", owner=OWNER, target=target, groups=groups),),
            ),
        ),
    )


def _spec(group: Group) -> PodSpec:
    selector = {"karpenter.sh/capacity-type": "on-demand"} if group.on_demand else {}
    requests = {"cpu": group.cpu_m, "memory": group.memory_mib * MIB, "pods": 1}
    return PodSpec(requests=requests | ({"nvidia.com/gpu": group.gpus} if group.gpus else {}), node_selector=selector)


type Admission = tuple[Fraction, ...]


def best_division(one: Divisible) -> tuple[Admission, int]:
    """How much is admitted at each place of the order, and cents of bought nodes, of the best division."""
    best: tuple[Admission, int] | None = None
    for replicas in product(*(range(group.low, group.high + 1) for group in one.groups)):
        spare = sum(n * group.speed for n, group in zip(replicas, one.groups, strict=True)) - one.work
        lean = not any(n > g.low and g.speed <= spare for n, g in zip(replicas, one.groups, strict=True))
        if spare < 0 or not (lean or hopeless(one)):
            continue
        pods = [pod for n, group in zip(replicas, one.groups, strict=True) for pod in group.pods(n, one.starting)]
        found = _admitted(one, pods)
        if best is None or (found[0], -found[1]) > (best[0], -best[1]):
            best = found
    assert best is not None
    return best


def _admitted(one: Divisible, members: list[Pod]) -> tuple[Admission, int]:
    case = replace(one.case, pods=(*one.case.pods, *members))
    admitted: list[Pod] = []
    for unit in units(case):
        if least_cents(case, [*admitted, *unit]) is not None:
            admitted += unit
    cents = least_cents(case, admitted)
    assert cents is not None
    return admission(one, [pod.key.partition("#")[0] for pod in admitted]), cents


def hopeless(one: Divisible) -> list[Group]:
    """The groups of which no pod fits anywhere."""
    free = replace(one.case, limits={})
    return [group for group in one.groups if least_cents(free, group.pods(1, gang=False)[:1]) is None]


def least_cents(case: Case, pods: list[Pod]) -> int | None:
    """The least cents of bought nodes that hold all pods within the limits, or None: node by node, by kind of pod."""
    kinds = list({_bare(pod): pod for pod in pods}.values())
    wanted = tuple(sum(_bare(pod) == _bare(kind) for pod in pods) for kind in kinds)

    def fillings(left: tuple[int, ...], fits: Callable[[Sequence[Pod]], bool]) -> Iterator[tuple[int, ...]]:
        for filling in product(*(range(count + 1) for count in left)):
            if fits([kind for kind, count in zip(kinds, filling, strict=True) for _ in range(count)]):
                yield filling

    @cache
    def bought(left: tuple[int, ...]) -> frozenset[tuple[Kind, ...]]:
        """Sets of nodes that hold what is left, dearer ones that count no less left out."""
        if not any(left):
            return frozenset({()})
        found: set[tuple[Kind, ...]] = set()
        first = next(number for number, count in enumerate(left) if count)
        for kind in case.kinds:
            for filling in fillings(left, partial(holds, kind)):
                if filling[first]:
                    rest = tuple(count - taken for count, taken in zip(left, filling, strict=True))
                    found |= {tuple(sorted((kind, *others), key=str)) for others in bought(rest)}
        return frozenset(_undominated(case, found))

    possible = {wanted}
    for node in case.nodes:
        possible = {
            tuple(count - taken for count, taken in zip(left, filling, strict=True))
            for left in possible
            for filling in fillings(left, partial(holds_existing, node))
        }
    paid = [
        sum(kind.cents for kind in nodes) for left in possible for nodes in bought(left) if is_within(case, list(nodes))
    ]
    return min(paid, default=None)


def _bare(pod: Pod) -> tuple[object, ...]:
    return (pod.cpu_m, pod.memory_mib, pod.gpus, pod.on_demand, pod.labelled)


def _undominated(case: Case, found: set[tuple[Kind, ...]]) -> list[tuple[Kind, ...]]:
    """Without sets of nodes than which another costs no more and counts no more against any limit."""
    kept: dict[tuple[int, ...], tuple[Kind, ...]] = {}
    for nodes in sorted(found, key=str):
        counted = (sum(k.cents for k in nodes), *(sum(counts(name, k) for k in nodes) for name in case.limits))
        kept.setdefault(counted, nodes)
    return [
        nodes
        for mark, nodes in kept.items()
        if not any(other != mark and all(a <= b for a, b in zip(other, mark, strict=True)) for other in kept)
    ]


def admission(one: Divisible, keys: list[str]) -> Admission:
    """What keys of admitted pods, one a pod, come to at each place of the order."""
    speed = {group.key: Fraction(group.speed, group.hosts) for group in one.groups}
    work = sum((speed.get(key, Fraction(0)) for key in keys), Fraction(0))
    own = sorted(one.case.pods, key=lambda pod: place_of([pod]))
    first = place_of(one.groups[0].pods(1, gang=False))
    before = [Fraction(pod.key in keys) for pod in own if place_of([pod]) < first]
    after = [Fraction(pod.key in keys) for pod in own if place_of([pod]) >= first]
    wanted = one.work - sum(group.low * group.speed for group in hopeless(one))
    return (*before, min(work, Fraction(max(0, wanted))), *after)
