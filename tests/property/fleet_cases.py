"""Small random fleets: two or three clusters of few pods, or three to six of fewer, and limits over all of them.

`best_fleet` knows only the numbers of a case: it lists what every cluster could buy for every part of its pods, and
tries all together. What costs and counts no less than something else is left out.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from raypipe.model.snapshot import FleetSnapshot
from raypipe.settings import Settings
from tests.property.brute_force import counts, ways
from tests.property.cases import Case, Existing, Kind, Pod, random_case, snapshot

SIZES = {"cpu": 1, "memory": 2**20, "nvidia.com/gpu": 1, "nodes": 1, "usdPerHour": 10**7}

type Option = tuple[int, tuple[int, ...]]
"""Cents an hour, and what is counted against each limit."""


@dataclasses.dataclass(frozen=True)
class FleetCase:
    """Clusters by name, which buy of the same kinds; limits as in a case of one cluster: millicores, MiB, cents.

    With `families`, names of kinds, the limits are quotas that all clusters are under and that count those alone.
    """

    clusters: dict[str, Case]
    limits: dict[str, int]
    families: frozenset[str] | None = None

    def counts(self, name: str, kind: Kind) -> int:
        """What one node counts against a limit."""
        return counts(name, kind) if self.families is None or kind.name in self.families else 0


@dataclasses.dataclass(frozen=True)
class BestFleet:
    """Pods admitted, by cluster and key, and cents an hour of nodes bought."""

    admitted: frozenset[tuple[str, str]]
    cents: int


def fleet_case(seed: int) -> FleetCase:
    """The case of a seed."""
    draw = random.Random(seed + 5_000_000)
    kinds = _kinds(draw)
    names = draw.sample(("a", "b", "c"), draw.choice((2, 2, 3)))
    clusters = {name: _cluster(kinds, draw, most=4 if len(names) == 2 else 3) for name in names}
    if seed % 3 != 2:
        return FleetCase(clusters, _limits(draw))
    families = frozenset(kind.name for kind in draw.sample(kinds, 3))
    limits = {name: most for name, most in _limits(draw).items() if name != "memory"} or {"nodes": 2}
    return FleetCase(clusters, limits, families)


def wide_fleet_case(seed: int) -> FleetCase:
    """The case of a seed with three to six clusters, limits as much wider, and gangs in every second of them."""
    draw = random.Random(seed + 6_000_000)
    kinds = _kinds(draw)
    names = draw.sample(("a", "b", "c", "d", "e", "f"), draw.choice((3, 4, 5, 6)))
    clusters = {name: _cluster(kinds, draw, most=3 if len(names) < 5 else 2) for name in names}
    for name in draw.sample(sorted(clusters), len(clusters) // 2):
        ganged = tuple(dataclasses.replace(pod, gang="PodGroup/default/g") for pod in clusters[name].pods[:2])
        clusters[name] = dataclasses.replace(clusters[name], pods=(*ganged, *clusters[name].pods[2:]))
    return FleetCase(clusters, {name: most * len(names) // 2 for name, most in _limits(draw).items()})


def _kinds(draw: random.Random) -> tuple[Kind, ...]:
    """Four kinds, so that there is something to choose: what costs less may count more."""
    while len(kinds := random_case(draw.randrange(10**6)).kinds) < 4:
        pass
    return kinds


def _cluster(kinds: tuple[Kind, ...], draw: random.Random, most: int) -> Case:
    drawn = random_case(draw.randrange(10**6))
    pods = [
        dataclasses.replace(
            pod,
            gpus=draw.choice((0, 0, 1)) if any(kind.gpus for kind in kinds) else 0,
            on_demand=False,
            priority=draw.choice((0, 0, 100)),
            created=draw.choice((None, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")),
        )
        for pod in drawn.pods[:most]
    ]
    nodes = []
    for node in drawn.nodes[:1]:
        kind = draw.choice(kinds)
        used = min(node.used_cpu_m, kind.cpu_m), min(node.used_mib, kind.allocatable_mib)
        nodes.append(Existing(node.name, kind, *used, labelled=False))
    limits = {"nodes": draw.randint(1, 3)} if draw.random() < 0.15 else {}
    return Case(kinds, tuple(pods), tuple(nodes), limits)


def _limits(draw: random.Random) -> dict[str, int]:
    possible = {
        "cpu": draw.choice((8, 10, 12, 14, 16, 20)) * 1000,
        "memory": draw.choice((16, 24, 32, 48)) * 1024,
        "nvidia.com/gpu": draw.choice((0, 1, 2, 3)),
        "nodes": draw.choice((2, 3, 4)),
        "usdPerHour": draw.randint(10, 120),
    }
    return {name: possible[name] for name in draw.sample(sorted(possible), draw.choice((1, 1, 2)))}


def fleet_snapshot(case: FleetCase, settings: Settings | None = None) -> FleetSnapshot:
    """The case as raypipe sees it."""
    clusters = tuple(
        dataclasses.replace(snapshot(one).clusters[0], name=name, settings=_with_quotas(case, settings or Settings()))
        for name, one in case.clusters.items()
    )
    limits = {name: most * SIZES[name] for name, most in case.limits.items()} if case.families is None else {}
    return FleetSnapshot(clusters=clusters, limits=limits)


def _with_quotas(case: FleetCase, settings: Settings) -> Settings:
    """The settings with the limits of the case, where those are quotas."""
    if case.families is None:
        return settings
    units = {"cpu": 1000, "usdPerHour": 100}
    entries = [
        {
            "name": "shared",
            "resource": name,
            "amount": f"{most / units.get(name, 1):g}",
            "families": [kind.partition(".")[0].replace("t", "m") for kind in sorted(case.families)],
        }
        for name, most in case.limits.items()
    ]
    return dataclasses.replace(settings, quotas=tuple(entries))


def best_fleet(case: FleetCase) -> BestFleet:
    """Admission over all clusters first, then the least cost for those admitted."""
    left = tuple(
        max(0, most - sum(case.counts(name, node.kind) for one in case.clusters.values() for node in one.nodes))
        for name, most in case.limits.items()
    )

    @cache
    def options(cluster: str, pods: frozenset[Pod]) -> frozenset[Option]:
        """What packings of these pods cost and count."""
        return _least(
            (
                sum(kind.cents for kind in kinds),
                tuple(sum(case.counts(name, kind) for kind in kinds) for name in case.limits),
            )
            for kinds in ways(case.clusters[cluster], sorted(pods, key=lambda pod: pod.key))
        )

    def cheapest(chosen: dict[str, frozenset[Pod]]) -> int | None:
        together = frozenset({(0, (0,) * len(left))})
        for cluster, pods in sorted(chosen.items()):
            sums = (
                (cents + more, tuple(one + other for one, other in zip(use, uses, strict=True)))
                for cents, use in together
                for more, uses in options(cluster, pods)
            )
            together = _least(one for one in sums if all(used <= most for used, most in zip(one[1], left, strict=True)))
        return min((cents for cents, _ in together), default=None)

    chosen: dict[str, frozenset[Pod]] = dict.fromkeys(case.clusters, frozenset())
    for cluster, unit in sorted(_units(case), key=_place):
        with_it = chosen | {cluster: chosen[cluster] | frozenset(unit)}
        if cheapest(with_it) is not None:
            chosen = with_it
    cents = cheapest(chosen)
    assert cents is not None
    return BestFleet(frozenset((name, pod.key) for name, pods in chosen.items() for pod in pods), cents)


def _least(options: Iterable[Option]) -> frozenset[Option]:
    """Those that no other is as good as in cost and in all that is counted."""
    kept: list[Option] = []
    for cents, use in sorted(set(options)):
        if not any(all(one <= other for one, other in zip(known, use, strict=True)) for _, known in kept):
            kept.append((cents, use))
    return frozenset(kept)


def _units(case: FleetCase) -> Iterator[tuple[str, Sequence[Pod]]]:
    """Pods that are admitted together, with their cluster."""
    for name, one in case.clusters.items():
        gangs: dict[str, list[Pod]] = {}
        for pod in one.pods:
            if pod.gang is None:
                yield name, [pod]
            else:
                gangs.setdefault(pod.gang, []).append(pod)
        yield from ((name, members) for members in gangs.values())


def _place(entry: tuple[str, Sequence[Pod]]) -> tuple[int, bool, str, str, str]:
    cluster, unit = entry
    created = min((pod.created for pod in unit if pod.created), default=None)
    priority = max(pod.priority for pod in unit)
    return (-priority, created is None, created or "", cluster, min(pod.key for pod in unit))
