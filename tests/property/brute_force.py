"""The best plan of a small case by trying everything, in integers of its own.

First who is admitted (in order: higher priority, older, unknown age last, key; a gang as one unit at the place of
its first key), each if some way exists to place all admitted so far and it within the limits; then the least cost of
nodes to buy for those admitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.property.cases import Case, Existing, Kind, Pod


@dataclass(frozen=True)
class Best:
    """Keys admitted, and cents an hour of bought nodes."""

    admitted: frozenset[str]
    cents: int


type Within = Callable[[Case, Sequence[Kind]], bool]


def _always(_case: Case, _bought: Sequence[Kind]) -> bool:
    return True


def best_plan(case: Case, within: Within = _always) -> Best:
    """Admission first, then cost; `within`: what bought nodes must keep to beside the limits of the case."""
    admitted: list[Pod] = []
    for unit in units(case):
        if _cheapest(case, [*admitted, *unit], within) is not None:
            admitted += unit
    cents = _cheapest(case, admitted, within)
    assert cents is not None
    return Best(frozenset(pod.key for pod in admitted), cents)


def units(case: Case) -> list[list[Pod]]:
    """Pods that are admitted together, in the order of admission."""
    gangs: dict[str, list[Pod]] = {}
    alone: list[list[Pod]] = []
    for pod in case.pods:
        if pod.gang is None:
            alone.append([pod])
        else:
            gangs.setdefault(pod.gang, []).append(pod)
    return sorted([*alone, *gangs.values()], key=place_of)


def place_of(unit: list[Pod]) -> tuple[int, int, str, str]:
    """Where a unit stands in the order of admission."""
    created = min((pod.created for pod in unit if pod.created), default=None)
    return (-max(pod.priority for pod in unit), created is None, created or "", min(pod.key for pod in unit))


def _cheapest(case: Case, pods: Sequence[Pod], within: Within) -> int | None:
    """The least cents of bought nodes that place all of `pods` within the limits, or None."""
    costs = (sum(kind.cents for kind in kinds) for kinds in ways(case, pods) if within(case, kinds))
    return min(costs, default=None)


def ways(case: Case, pods: Sequence[Pod]) -> Iterator[tuple[Kind, ...]]:
    """The nodes bought by each way to place all of `pods` within the limits of the case."""
    existing: list[list[Pod]] = [[] for _ in case.nodes]
    bought: list[tuple[Kind, list[Pod]]] = []

    def place(index: int) -> Iterator[tuple[Kind, ...]]:
        if index == len(pods):
            kinds = tuple(kind for kind, _ in bought)
            if is_within(case, kinds):
                yield kinds
            return
        pod = pods[index]
        for node, there in zip(case.nodes, existing, strict=True):
            if holds_existing(node, [*there, pod]):
                there.append(pod)
                yield from place(index + 1)
                there.pop()
        for kind, there in list(bought):
            if holds(kind, [*there, pod]):
                there.append(pod)
                yield from place(index + 1)
                there.pop()
        for kind in case.kinds:
            if holds(kind, [pod]):
                bought.append((kind, [pod]))
                yield from place(index + 1)
                bought.pop()

    yield from place(0)


def holds(kind: Kind, pods: Sequence[Pod]) -> bool:
    """Whether a new node of a kind holds all of `pods`."""
    if any(pod.labelled or (pod.on_demand and kind.capacity_type != "on-demand") for pod in pods):
        return False
    return (
        sum(pod.cpu_m for pod in pods) <= kind.cpu_m
        and sum(pod.memory_mib for pod in pods) <= kind.allocatable_mib
        and sum(pod.gpus for pod in pods) <= kind.gpus
        and len(pods) <= kind.pods
    )


def holds_existing(node: Existing, pods: Sequence[Pod]) -> bool:
    """Whether the free room of a node holds all of `pods`."""
    kind = node.kind
    if any(pod.labelled and not node.labelled for pod in pods):
        return False
    if any(pod.on_demand and kind.capacity_type != "on-demand" for pod in pods):
        return False
    there = 1 if node.used_cpu_m or node.used_mib else 0
    return (
        node.used_cpu_m + sum(pod.cpu_m for pod in pods) <= kind.cpu_m
        and node.used_mib + sum(pod.memory_mib for pod in pods) <= kind.allocatable_mib
        and sum(pod.gpus for pod in pods) <= kind.gpus
        and there + len(pods) <= kind.pods
    )


def is_within(case: Case, bought: Sequence[Kind]) -> bool:
    """Whether kept and bought nodes are within the limits; one exceeded by kept nodes alone lets nothing be bought."""
    for name, limit in case.limits.items():
        kept = sum(counts(name, node.kind) for node in case.nodes)
        if sum(counts(name, kind) for kind in bought) > max(0, limit - kept):
            return False
    return True


def counts(name: str, kind: Kind) -> int:
    """What one node of a kind counts against a limit."""
    return {
        "cpu": kind.vcpu * 1000,
        "memory": kind.memory_mib,
        "nvidia.com/gpu": kind.gpus,
        "nodes": 1,
        "usdPerHour": kind.cents,
    }[name]
