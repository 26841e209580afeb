"""Fleet files: which clusters there are, what may be bought for each, and where their manifests lie.

A key that is not known is an error with its nearest spelling. Provider, region and zones have defaults, and each
default taken is one note. A cluster that cannot be read keeps its problems as its `error`, so that the
others are planned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raypipe.errors import SettingsError, nearest
from raypipe.manifests.demand import demand_of
from raypipe.manifests.fields import Field
from raypipe.manifests.files import Document, Source, documents, exists, files_in
from raypipe.manifests.nodes import read_limits, read_node, read_node_pool
from raypipe.manifests.objects import collect
from raypipe.manifests.requirements import requirements
from raypipe.model.plan import Note
from raypipe.model.requirements import gpu_name
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings, with_overrides

PROVIDERS = ("aws", "gcp", "azure")
DEFAULT_REGION = {"aws": "us-east-1", "gcp": "us-central1", "azure": "eastus"}
ARCHS = ("amd64", "arm64", "amd64+arm64", "amd64|arm64", "arm64|amd64")
PACKINGS = ("joint", "shared", "dedicated")
BACKENDS = ("karpenter", "kwok", "node-groups", "print")
CAPACITY_TYPES = ("spot", "on-demand", "reserved")
FLEET_KEYS = ("apiVersion", "kind", "metadata", "limits", "settings", "clusters")
CLUSTER_KEYS = (
    "name",
    "provider",
    "region",
    "zones",
    "capacityTypes",
    "requirements",
    "limits",
    "packing",
    "sharedNode",
    "dedicatedFrom",
    "gpuSlices",
    "arch",
    "nodes",
    "nodeClass",
    "standby",
    "manifests",
    "context",
    "settings",
)
GCP_ZONES: Mapping[str, str] = {
    "us-central1": "abcf",
    "us-east1": "bcd",
    "europe-west1": "bcd",
}
"""Zone letters of the GCP regions that do not have a, b, c (cloud.google.com/compute/docs/regions-zones, 2026-11)."""

NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.:/@]*[A-Za-z0-9])?")
LONGEST_NAME = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the command line says of provider and region, for clusters that do not say it."""

    provider: str | None = None
    region: str | None = None


def default_zones(provider: str, region: str) -> tuple[str, ...]:
    """The zones taken where none is declared.

    >>> default_zones("aws", "us-east-1")[0], default_zones("gcp", "us-east1")[0], default_zones("azure", "eastus")[2]
    ('us-east-1a', 'us-east1-b', 'eastus-3')
    """
    if provider == "azure":
        return tuple(f"{region}-{number}" for number in (1, 2, 3))
    if provider == "gcp":
        return tuple(f"{region}-{letter}" for letter in GCP_ZONES.get(region, "abc"))
    return tuple(region + letter for letter in "abc")


def read_cluster(
    entry: Field | None, name: str, roots: Sequence[tuple[Path, str]], settings: Settings, place: Place
) -> ClusterSnapshot:
    """Read one cluster: its entry in a fleet file (None: all defaults), and the manifests under `roots`."""
    there = [(root, given) for root, given in roots if exists(root)]
    sources = [Source(shown, path) for root, given in there for path, shown in files_in(root, given)]
    objects = collect(document for source in sources for document in documents(source))
    own = Source(entry.source.shown, entry.source.path) if entry is not None else Source(name, Path())
    entry = Field(
        {} if entry is None else entry.value, own, entry.document if entry else 0, entry.steps if entry else ()
    )
    entry.only(CLUSTER_KEYS)
    settings = _settings(entry, settings)
    notes: list[Note] = list(objects.notes)
    provider, region, zones = _where(entry, name, place, notes)
    for root, given in roots:
        if not exists(root):
            own.problem(
                f"{given[:200]}: no such file or folder", "manifests", document=entry.document, steps=entry.steps
            )
    demand = demand_of(objects, settings)
    pools = tuple(read_node_pool(one, notes) for one in objects.of("NodePool"))
    has_karpenter = bool(pools) or bool(objects.of("NodeClaim"))
    snapshot = ClusterSnapshot(
        name=name,
        context=entry.get("context").text() or None,
        provider=provider,
        region=region,
        zones=zones,
        capacity_types=_capacity_types(entry.get("capacityTypes")),
        requirements=requirements(entry.get("requirements")),
        limits=read_limits(entry.get("limits")),
        packing=entry.get("packing").choice(PACKINGS, "joint"),
        shared_node=_size(entry.get("sharedNode")),
        dedicated_from=_size(entry.get("dedicatedFrom")),
        gpu_slices={
            gpu_name(kind): count.integer(1, low=1, high=64) for kind, count in sorted(entry.get("gpuSlices").fields())
        },
        arch=entry.get("arch").choice(ARCHS, "amd64|arm64"),
        nodes_backend=entry.get("nodes").choice(BACKENDS, "karpenter" if has_karpenter else "print"),
        node_class=entry.get("nodeClass").labels(),
        settings=settings,
        node_pools=pools,
        nodes=tuple(read_node(one) for one in objects.of("Node")),
        daemonsets=tuple(demand.daemonsets),
        demand=tuple(demand.groups),
        bound=tuple(demand.bound),
        gangs=tuple(demand.gangs),
        ray_objects=tuple(demand.ray_objects),
        excluded=tuple(demand.excluded),
        notes=tuple(sorted([*notes, *demand.notes], key=lambda note: (note.kind, note.subject, note.message))),
    )
    if entry.get("standby").items():
        own.problem(
            "standby",
            "no standby capacity: it is not planned yet",
            document=entry.document,
            steps=entry.get("standby").steps,
        )
    problems = [problem for source in (own, *sources) for problem in source.problems]
    if problems:
        return ClusterSnapshot(name=name, settings=settings, error="\n".join(str(problem) for problem in problems))
    return _homeless_checked(snapshot)


def _homeless_checked(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """Pods bound to nodes that the input does not have are told, not lost."""
    names = {node.name for node in snapshot.nodes}
    homeless = [one for one in snapshot.bound if one.node not in names]
    if not homeless:
        return snapshot
    from dataclasses import replace

    missing = sorted({one.node for one in homeless})
    count = sum(one.count for one in homeless)
    message = (
        f"{count} pods are bound to nodes that the input does not have ({', '.join(missing[:3])}), and were left out"
    )
    note = Note(kind="unknown-node", subject=missing[0], count=count, message=message)
    kept = tuple(one for one in snapshot.bound if one.node in names)
    notes = sorted((*snapshot.notes, note), key=lambda one: (one.kind, one.subject, one.message))
    return replace(snapshot, bound=kept, notes=tuple(notes))


def _settings(entry: Field, settings: Settings) -> Settings:
    field = entry.get("settings")
    if field.value is None:
        return settings
    try:
        return with_overrides(settings, field.mapping(), "settings")
    except SettingsError as error:
        field.problem(str(error), "settings that are known")
        return settings


def _where(entry: Field, name: str, place: Place, notes: list[Note]) -> tuple[str, str, tuple[str, ...]]:
    """Provider, region and zones, with a note for each default taken."""
    provider = entry.get("provider").choice(PROVIDERS, place.provider or "aws")
    if entry.get("provider").value is None and place.provider is None:
        notes.append(_default(name, "provider", provider))
    region = entry.get("region").text(place.region or DEFAULT_REGION[provider])
    if entry.get("region").value is None and place.region is None:
        notes.append(_default(name, "region", region))
    zones = entry.get("zones")
    if zones.value is not None:
        found = tuple(dict.fromkeys(zones.texts()))
        if not found and isinstance(zones.value, list):
            zones.problem("no zone", "at least one")
        return provider, region, found
    chosen = default_zones(provider, region)
    notes.append(_default(name, "zones", ", ".join(chosen)))
    return provider, region, chosen


def _default(name: str, what: str, value: str) -> Note:
    return Note(kind="default", subject=name, message=f"{name}: no {what} given, {value} taken")


def _capacity_types(field: Field) -> tuple[str, ...]:
    if field.value is None:
        return ("spot", "on-demand")
    result = tuple(dict.fromkeys(one.choice(CAPACITY_TYPES, "on-demand") for one in field.items()))
    if not result and isinstance(field.value, list):
        field.problem("no capacity type", "at least one")
    return result


def _size(field: Field) -> dict[str, int]:
    field.only(("cpu", "memory"))
    return {name: amount.quantity(name) for name, amount in sorted(field.fields()) if name in ("cpu", "memory")}


def fleet_entries(document: Document) -> tuple[Field, list[tuple[str, Field]]]:
    """The root of a fleet file and its clusters by name; problems are noted in its source."""
    root = Field.of(document)
    root.only(FLEET_KEYS)
    if not str(root.get("apiVersion").text()).startswith("raypipe.io/"):
        root.get("apiVersion").problem(repr(root.get("apiVersion").value)[:60], "raypipe.io/v1")
    clusters = root.get("clusters")
    entries: list[tuple[str, Field]] = []
    if not clusters.items() and isinstance(clusters.value, list | type(None)):
        clusters.problem("no cluster", "at least one")
    for entry in clusters.items():
        name = entry.get("name").text()
        if not name:
            misspelt = nearest("name", [str(key) for key in entry.mapping() if key not in CLUSTER_KEYS])
            entry.get("name").problem("nothing", "the name of a cluster", misspelt and "name")
            continue
        if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
            entry.get("name").problem(repr(name)[:80], "letters, digits and -_.:/@")
            continue
        if name in dict(entries):
            entry.get("name").problem(f"{name!r} twice", "each cluster once")
            continue
        entries.append((name, entry))
    return root, entries
