"""Catalogues and clusters in a few words, for the tests of this package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from raypipe.catalog import Filters, Market, load, offerings_for
from raypipe.catalog.tables import Catalog
from raypipe.model.nodes import Offering
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.resources import CPU, GPU, MEMORY, PODS
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings

GIB = 2**30
TYPES = """provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib
aws,m5.large,m5,amd64,2,8192,,,,
aws,m6g.large,m6g,arm64,2,8192,,,,
aws,g4dn.xlarge,g4dn,amd64,4,16384,nvidia,t4,1,16384
aws,inf2.xlarge,inf2,amd64,4,16384,aws,inferentia2,1,32768
"""
OFFERINGS = """provider,region,instance_type,capacity_type,usd_per_hour,interruption_bucket
aws,us-east-1,m5.large,on-demand,0.096,
aws,us-east-1,m5.large,spot,0.04,1
aws,us-east-1,m6g.large,on-demand,0.077,
aws,us-east-1,g4dn.xlarge,on-demand,0.526,
aws,us-east-1,inf2.xlarge,on-demand,0.758,
"""


def folder(path: Path, types: str = TYPES, offerings: str = OFFERINGS) -> Path:
    """Write a catalogue's two files."""
    (path / "instance_types.csv").write_text(types, encoding="utf-8")
    (path / "offerings.csv").write_text(offerings, encoding="utf-8")
    return path


def small(path: Path, types: str = TYPES, offerings: str = OFFERINGS) -> Catalog:
    return load(folder(path, types, offerings))


def cluster(**fields: Any) -> ClusterSnapshot:
    """One zone of AWS us-east-1 that buys both architectures; settings as a mapping."""
    settings = Settings(**fields.pop("settings", {}))
    demand = tuple(
        PodGroup(key=f"Pod/default/p{number}", spec=spec, count=1) for number, spec in enumerate(fields.pop("pods", ()))
    )
    given: dict[str, Any] = {"name": "c", "zones": ("a",), "arch": "amd64+arm64"}
    return ClusterSnapshot(**given | {"settings": settings, "demand": demand} | fields)


def pod(cpu: float = 0, gib: float = 0, gpus: int = 0, **fields: Any) -> PodSpec:
    requests = {CPU: round(cpu * 1000), MEMORY: round(gib * GIB), GPU: gpus, PODS: 1}
    return PodSpec(requests={name: amount for name, amount in requests.items() if amount}, **fields)


def market(catalog: Catalog, **fields: Any) -> Market:
    return offerings_for(cluster(**fields), catalog)


def admitted(offerings: Iterable[Offering], snapshot: ClusterSnapshot, spec: PodSpec) -> list[Offering]:
    """The offerings that the filters admit, cheapest first."""
    listed = list(offerings)
    mask = Filters(listed, snapshot).mask(spec)
    found = [one for one, passed in zip(listed, mask, strict=True) if passed]
    return sorted(found, key=lambda one: (one.usd_nanos_per_hour, one.order))


def notes(of: Market | Catalog) -> dict[str, int]:
    """Counts by kind of note."""
    counts: dict[str, int] = {}
    for note in of.notes:
        counts[note.kind] = counts.get(note.kind, 0) + note.count
    return counts
