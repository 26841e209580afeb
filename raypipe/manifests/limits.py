"""Limits of a fleet, a cluster or a NodePool: amounts by resource, `nodes` and `usdPerHour`."""

from __future__ import annotations

import re

from raypipe.errors import nearest
from raypipe.manifests.fields import Field
from raypipe.model.resources import NODES, USD_PER_HOUR

KNOWN_LIMITS = ("cpu", "memory", "ephemeral-storage", "pods", "nvidia.com/gpu", NODES, USD_PER_HOUR)
_EXTENDED = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]*/[-A-Za-z0-9_.]+")


def read_limits(field: Field, *, money: bool = True) -> dict[str, int]:
    """Limits by resource, in smallest units; `usdPerHour` in nano-dollars (no `money`: Karpenter knows no prices)."""
    known = KNOWN_LIMITS if money else KNOWN_LIMITS[:-1]
    limits: dict[str, int] = {}
    for name, amount in sorted(field.fields(), key=lambda entry: entry[0]):
        if name not in known and _EXTENDED.fullmatch(name) is None:
            amount.problem(f"an unknown resource {name[:60]!r}", "a resource", nearest(name, known))
        elif name == USD_PER_HOUR:
            limits[name] = amount.usd_per_hour()
        else:
            limits[name] = amount.quantity(name)
    return limits
