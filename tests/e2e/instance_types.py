"""What Karpenter's simulated provider sells: raypipe's own offerings, in the file that it reads.

Both then know the same types, zones and prices. Karpenter takes 100m of CPU and 10Mi of memory off what a type has and
calls the rest allocatable, so a type is written with that much more. It treats every offering as available.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from raypipe.catalog import load, offerings_for
from raypipe.model.nodes import Offering
from raypipe.model.resources import CPU, MEMORY
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.quantities import NANOS_PER_USD, format_quantity

_TAKEN_OFF = {CPU: 100, MEMORY: 10 * 2**20}
"""Millicores and bytes."""


def sold_on_aws(*zones: str) -> Sequence[Offering]:
    """All that the shipped catalogue has in these zones of us-east-1."""
    return offerings_for(ClusterSnapshot(name="", provider="aws", region="us-east-1", zones=zones), load()).offerings


def write(path: Path, offerings: Iterable[Offering]) -> Path:
    """Write the file; offerings of pools and of sliced GPUs are none of Karpenter's."""
    by_type: dict[str, list[Offering]] = {}
    for offering in offerings:
        by_type.setdefault(offering.instance_type, []).append(offering)
    path.write_text(json.dumps([_instance_type(name, sold) for name, sold in sorted(by_type.items())]))
    return path


def _instance_type(name: str, offerings: list[Offering]) -> dict[str, object]:
    allocatable = offerings[0].allocatable
    resources = {
        resource: format_quantity(amount + _TAKEN_OFF.get(resource, 0), resource)
        for resource, amount in allocatable.items()
    }
    return {
        "name": name,
        "architecture": offerings[0].arch,
        "operatingSystems": ["linux"],
        "resources": resources,
        "offerings": [_offering(offering) for offering in offerings],
    }


def _offering(offering: Offering) -> dict[str, object]:
    requirements = {
        "karpenter.sh/capacity-type": offering.capacity_type,
        "topology.kubernetes.io/zone": offering.zone,
    }
    return {
        "Price": offering.usd_nanos_per_hour / NANOS_PER_USD,
        "Available": True,
        "Requirements": [{"key": key, "operator": "In", "values": [value]} for key, value in requirements.items()],
    }
