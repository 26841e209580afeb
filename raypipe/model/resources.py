"""Amounts of resources: mappings of resource name to an integer in the smallest unit (see `raypipe.quantities`).

A resource that a mapping does not name is 0. ``pods`` is a resource like any other: every pod takes one slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from raypipe.quantities import format_quantity

CPU = "cpu"
MEMORY = "memory"
EPHEMERAL_STORAGE = "ephemeral-storage"
PODS = "pods"
GPU = "nvidia.com/gpu"
GPU_SHARED = "nvidia.com/gpu.shared"
USD_PER_HOUR = "usdPerHour"
NODES = "nodes"

type Resources = Mapping[str, int]


def total(amounts: Iterable[Resources]) -> dict[str, int]:
    """Add amounts up.

    >>> total([{"cpu": 500}, {"cpu": 250, "pods": 1}])
    {'cpu': 750, 'pods': 1}
    """
    result: dict[str, int] = {}
    for amount in amounts:
        for name, value in amount.items():
            result[name] = result.get(name, 0) + value
    return result


def times(amount: Resources, count: int) -> dict[str, int]:
    """Multiply every amount by `count`."""
    return {name: value * count for name, value in amount.items()}


def minus(left: Resources, right: Resources) -> dict[str, int]:
    """Subtract `right` from `left`; a resource only in `right` goes below zero."""
    return {name: left.get(name, 0) - right.get(name, 0) for name in {**left, **right}}


def greatest(amounts: Iterable[Resources]) -> dict[str, int]:
    """The greatest amount of each resource."""
    result: dict[str, int] = {}
    for amount in amounts:
        for name, value in amount.items():
            result[name] = max(result.get(name, 0), value)
    return result


def fits(request: Resources, room: Resources) -> bool:
    """Whether every requested resource is there; what is requested at 0 need not exist."""
    return all(value <= room.get(name, 0) for name, value in request.items() if value > 0)


def shown(amount: Resources, names: Iterable[str]) -> dict[str, str]:
    """Amounts of the resources `names`, in Kubernetes' canonical form, by name."""
    return {name: format_quantity(amount.get(name, 0), name) for name in sorted(set(names))}
