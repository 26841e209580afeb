"""Quotas of the cloud account, read a second time: what they leave, and what a node counts.

An entry of the setting `quotas` is read as it stands. What a node is (family, category, GPUs, capacity type) is the
catalogue's word, or that of its labels where it exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.model.nodes import Offering
from raypipe.model.requirements import gpu_name
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.quantities import parse_quantity, parse_usd_per_hour
from raypipe.settings import quota_name


@dataclass(frozen=True, slots=True)
class Quota:
    """One entry for one cluster: `room` is the amount without what is used outside of the clusters under it."""

    name: str
    room: int
    entry: Mapping[str, Any]

    @property
    def place(self) -> tuple[str, object, object]:
        """What tells it from other quotas: clusters with the same are under one quota."""
        return self.name, self.entry.get("provider"), self.entry.get("region")

    def counts(self, offering: Offering) -> int:
        """What one node counts."""
        entry = self.entry
        if entry.get("region") not in (None, offering.region):
            return 0
        for key, word in (
            ("capacityType", offering.capacity_type),
            ("families", offering.family),
            ("categories", offering.category),
        ):
            if entry.get(key) and word.casefold() not in [one.casefold() for one in _listed(entry[key])]:
                return 0
        if entry.get("gpuKinds") and offering.gpu_name not in [gpu_name(one) for one in _listed(entry["gpuKinds"])]:
            return 0
        match entry["resource"]:
            case "nodes":
                return 1
            case "usdPerHour":
                return offering.usd_nanos_per_hour
            case resource:
                return offering.capacity.get(resource, 0)


def _listed(value: Any) -> Sequence[str]:
    return (value,) if isinstance(value, str) else tuple(value)


def quotas_of(cluster: ClusterSnapshot) -> tuple[Quota, ...]:
    """The quotas that the cluster is under."""
    return tuple(
        Quota(
            f"quota/{quota_name(entry)}/{entry['resource']}", _amount(entry, "amount") - _amount(entry, "used"), entry
        )
        for entry in cluster.settings.quotas
        if entry.get("provider") in (None, cluster.provider) and entry.get("region") in (None, cluster.region)
    )


def _amount(entry: Mapping[str, Any], key: str) -> int:
    value = entry.get(key)
    if value is None:
        return 0
    return parse_usd_per_hour(value) if entry["resource"] == "usdPerHour" else parse_quantity(value, entry["resource"])


def shared_quotas(clusters: Iterable[ClusterSnapshot]) -> frozenset[str]:
    """Names of quotas that more than one of the clusters is under."""
    seen: set[tuple[str, object, object]] = set()
    several: set[str] = set()
    for cluster in clusters:
        places = {quota.place for quota in quotas_of(cluster)}
        several.update(name for name, *_ in places & seen)
        seen |= places
    return frozenset(several)
