"""One cluster: its entry in a fleet file (or all defaults) and the manifests that belong to it, as a snapshot.

A key that is not known is an error with its nearest spelling. Provider, region and zones have defaults, and each
default taken is one note. A cluster that cannot be read keeps its problems as its `error`: the others are planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from raypipe.errors import Problem, SettingsError, nearest
from raypipe.manifests.demand import demand_of
from raypipe.manifests.fields import Field
from raypipe.manifests.files import documents, exists, files_in
from raypipe.manifests.karpenter import note_min_values, read_node_pool
from raypipe.manifests.limits import read_limits
from raypipe.manifests.nodes import read_node
from raypipe.manifests.objects import Objects, collect
from raypipe.manifests.regions import DEFAULT_PROVIDER, DEFAULT_REGION, PROVIDERS, default_zones
from raypipe.manifests.requirements import requirements
from raypipe.manifests.sources import Source
from raypipe.model.plan import Note
from raypipe.model.requirements import gpu_name
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings, with_overrides

ARCHS = ("amd64", "arm64", "amd64+arm64", "amd64|arm64", "arm64|amd64")
PACKINGS = ("joint", "shared", "dedicated")
BACKENDS = ("karpenter", "kwok", "node-groups", "print")
CAPACITY_TYPES = ("spot", "on-demand", "reserved")
MOST_SLICES = 64
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the command line says of provider and region, for clusters that do not say it."""

    provider: str | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """A file or folder of manifests; `shown` as the user would name it."""

    path: Path
    shown: str


def read_cluster(entry: Field, name: str, roots: Sequence[Root], settings: Settings, place: Place) -> ClusterSnapshot:
    """Read one cluster; what is wrong in its entry or its manifests is its `error`."""
    sources, notes = _sources(entry, roots)
    objects = collect(document for source in sources for document in documents(source))
    settings = read_settings(entry.get("settings"), settings)
    snapshot = _with_objects(_declared(entry, name, settings, place, notes), objects, notes)
    problems = [problem for source in (entry.source, *sources) for problem in source.take()]
    if problems:
        return broken_cluster(name, settings, problems)
    return _without_homeless(snapshot)


def broken_cluster(name: str, settings: Settings, problems: Iterable[Problem]) -> ClusterSnapshot:
    """A cluster that cannot be read, and why."""
    return ClusterSnapshot(name=name, settings=settings, error="\n".join(str(problem) for problem in problems))


def read_settings(field: Field, settings: Settings) -> Settings:
    """`settings` with those of a mapping on top; each that is wrong is noted where it stands."""
    names = [known.name for known in fields(Settings)]
    for key, one in field.fields():
        if key not in names:
            one.problem(f"an unknown setting {key[:60]!r}", "the name of a setting", nearest(key, names))
            continue
        try:
            settings = with_overrides(settings, {key: one.value}, "settings")
        except SettingsError as error:
            words = str(error).removeprefix(f"settings.{key}: ").removeprefix("found ")
            found, _, expected = words.partition(", expected ")
            choices = expected.removeprefix("one of ").split(", ") if expected.startswith("one of ") else ()
            one.problem(" ".join(found.split()), expected, nearest(str(one.value), choices))
    return settings


def _sources(entry: Field, roots: Sequence[Root]) -> tuple[list[Source], list[Note]]:
    """The files under the roots, the fleet file itself left out; a note for each folder that has none."""
    sources: list[Source] = []
    notes: list[Note] = []
    for root in roots:
        if not exists(root.path):
            entry.get("manifests").problem(f"{root.shown[:200]}: no such file or folder", "manifests")
            continue
        try:
            files = files_in(root.path, root.shown)
        except OSError as error:
            entry.get("manifests").problem(f"{root.shown}: {error.strerror}", "a folder that can be read")
            continue
        sources += [Source(shown, path) for path, shown in files if path.absolute() != entry.source.path.absolute()]
        if not files:
            message = f"{root.shown}: no .yaml, .yml or .json file in this folder"
            notes.append(Note(kind="no-manifests", subject=root.shown, message=message))
    return sources, notes


def _declared(entry: Field, name: str, settings: Settings, place: Place, notes: list[Note]) -> ClusterSnapshot:
    """What the entry in the fleet file says."""
    entry.only(CLUSTER_KEYS)
    provider, region, zones = _where(entry, name, place, notes)
    _note_standby(entry.get("standby"), name, notes)
    wanted = entry.get("requirements")
    for one in wanted.items():
        one.only(("key", "operator", "values", "minValues"))
    note_min_values(wanted, name, notes)
    node_class = entry.get("nodeClass")
    node_class.only(("group", "kind", "name"))
    return ClusterSnapshot(
        name=name,
        context=entry.get("context").text() or None,
        provider=provider,
        region=region,
        zones=zones,
        capacity_types=_capacity_types(entry.get("capacityTypes")),
        requirements=requirements(wanted),
        limits=read_limits(entry.get("limits")),
        packing=entry.get("packing").choice(PACKINGS, "joint"),
        shared_node=_size(entry.get("sharedNode")),
        dedicated_from=_size(entry.get("dedicatedFrom")),
        gpu_slices=_slices(entry.get("gpuSlices")),
        arch=entry.get("arch").choice(ARCHS, "amd64|arm64"),
        nodes_backend=entry.get("nodes").choice(BACKENDS, ""),
        node_class=node_class.labels(),
        settings=settings,
    )


def _with_objects(declared: ClusterSnapshot, objects: Objects, notes: list[Note]) -> ClusterSnapshot:
    """The cluster with what its manifests hold."""
    demand = demand_of(objects, declared.settings)
    pools = tuple(read_node_pool(one, notes) for one in objects.of("NodePool"))
    served = "karpenter" if pools or objects.of("NodeClaim") else "print"
    return replace(
        declared,
        nodes_backend=declared.nodes_backend or served,
        node_pools=pools,
        nodes=tuple(read_node(one) for one in objects.of("Node")),
        daemonsets=tuple(demand.daemonsets),
        demand=tuple(demand.groups),
        bound=tuple(demand.bound),
        gangs=tuple(demand.gangs),
        ray_objects=tuple(demand.ray_objects),
        alternatives=tuple(demand.alternatives),
        excluded=tuple(demand.excluded),
        notes=_in_order([*objects.notes, *notes, *demand.notes]),
    )


def _in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    return tuple(sorted(notes, key=lambda note: (note.kind, note.subject, note.message)))


def _without_homeless(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """Pods bound to nodes that the input does not have are told, not lost."""
    names = {node.name for node in snapshot.nodes}
    homeless = [one for one in snapshot.bound if one.node not in names]
    if not homeless:
        return snapshot
    missing = sorted({one.node for one in homeless})
    count = sum(one.count for one in homeless)
    shown = ", ".join(missing[:3])
    message = f"{count} pods are bound to nodes that the input does not have ({shown}), and were left out"
    note = Note(kind="unknown-node", subject=missing[0], count=count, message=message)
    kept = tuple(one for one in snapshot.bound if one.node in names)
    return replace(snapshot, bound=kept, notes=_in_order((*snapshot.notes, note)))


def _where(entry: Field, name: str, place: Place, notes: list[Note]) -> tuple[str, str, tuple[str, ...]]:
    """Provider, region and zones, with a note for each default taken."""
    provider = entry.get("provider").choice(PROVIDERS, place.provider or DEFAULT_PROVIDER)
    if entry.get("provider").value is None and place.provider is None:
        notes.append(_default(name, "provider", provider))
    region = entry.get("region").text() or place.region or ""
    if not region:
        region = DEFAULT_REGION[provider]
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


def _note_standby(field: Field, name: str, notes: list[Note]) -> None:
    for one in field.items():
        one.only(("instanceType", "capacityType", "count"))
    if field.items():
        message = f"{name}: standby capacity is not planned yet and was left out"
        notes.append(Note(kind="standby", subject=name, count=len(field.items()), message=message))


def _capacity_types(field: Field) -> tuple[str, ...]:
    if field.value is None:
        return ("spot", "on-demand")
    result = tuple(dict.fromkeys(one.choice(CAPACITY_TYPES, "on-demand") for one in field.items()))
    if not result and isinstance(field.value, list):
        field.problem("no capacity type", "at least one")
    return result


def _size(field: Field) -> dict[str, int]:
    field.only(("cpu", "memory"))
    return {name: field.get(name).quantity(name) for name in ("cpu", "memory") if name in field.mapping()}


def _slices(field: Field) -> dict[str, int]:
    """Slices a GPU by canonical name of its kind."""
    result: dict[str, int] = {}
    for kind, count in sorted(field.fields(), key=lambda entry: entry[0]):
        if count.value is None or gpu_name(kind) in result:
            count.problem("nothing" if count.value is None else f"{kind[:60]!r} twice", "a number of slices a GPU")
        result[gpu_name(kind)] = count.integer(1, low=1, high=MOST_SLICES)
    return result
