"""One cluster: its entry in a fleet file (or all defaults) and the manifests that belong to it, as a snapshot.

A key that is not known is an error with its nearest spelling. Provider, region and zones have defaults, and each
default taken is one note. A cluster that cannot be read keeps its problems as its `error`: the others are planned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import fields, replace

from raypipe.errors import Problem, SettingsError, nearest
from raypipe.manifests.demand import demand_of
from raypipe.manifests.fields import Field
from raypipe.manifests.karpenter import note_min_values, read_node_pool
from raypipe.manifests.kuberay import KINDS as RAY_KINDS
from raypipe.manifests.limits import read_limits
from raypipe.manifests.nodes import machines_of, read_node
from raypipe.manifests.objects import Objects, collect
from raypipe.manifests.origins import Observed, Origin, opened
from raypipe.manifests.places import Place, place_of
from raypipe.manifests.regions import DEFAULT_PROVIDER, DEFAULT_REGION, PROVIDERS, default_zones
from raypipe.manifests.requirements import requirements
from raypipe.manifests.set_aside import MOST_ROUNDS, without
from raypipe.manifests.sources import Source
from raypipe.model.nodes import KARPENTER, KWOK, NODE_GROUPS, PRINT, Standby
from raypipe.model.plan import Note
from raypipe.model.requirements import gpu_name
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings, with_overrides

ARCHS = ("amd64", "arm64", "amd64+arm64", "amd64|arm64", "arm64|amd64")
PACKINGS = ("joint", "shared", "dedicated")
BACKENDS = (KARPENTER, KWOK, NODE_GROUPS, PRINT)
CAPACITY_TYPES = ("spot", "on-demand", "reserved")
MOST_SLICES = 64
MOST_STANDBY = 10_000
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


def read_cluster(entry: Field, name: str, origin: Origin, settings: Settings, place: Place) -> ClusterSnapshot:
    """Read one cluster; what is wrong in its entry or its objects is its `error`."""
    settings = read_settings(entry.get("settings"), settings)
    for _ in range(MOST_ROUNDS):
        snapshot, sources = _read(entry, name, origin, settings, place)
        wrong = sources[0].first_by_document if isinstance(origin, Observed) else {}
        mended = without(origin, wrong) if isinstance(origin, Observed) and wrong else None
        if mended is None:
            break
        origin = mended
    problems = [str(problem) for source in (entry.source, *sources) for problem in source.take()]
    if isinstance(origin, Observed) and origin.error is not None:
        problems.append(origin.error)
    if problems:
        return broken_cluster(name, settings, problems, snapshot.context)
    return _without_homeless(snapshot)


def _read(
    entry: Field, name: str, origin: Origin, settings: Settings, place: Place
) -> tuple[ClusterSnapshot, list[Source]]:
    """The cluster as its origin has it, and the places where problems may be noted."""
    notes: list[Note] = []
    sources, found = opened(origin, entry, notes)
    objects = collect(found)
    declared = _declared(entry, name, settings, place, objects, notes)
    if not isinstance(origin, Observed):
        return _with_objects(declared, objects, frozenset(), notes), sources
    return _with_objects(replace(declared, context=origin.context), objects, origin.served, notes), sources


def broken_cluster(
    name: str, settings: Settings, problems: Iterable[Problem | str], context: str | None = None
) -> ClusterSnapshot:
    """A cluster that cannot be read, and why."""
    error = "\n".join(str(problem) for problem in problems)
    return ClusterSnapshot(name=name, context=context, settings=settings, error=error)


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


def _declared(
    entry: Field, name: str, settings: Settings, place: Place, objects: Objects, notes: list[Note]
) -> ClusterSnapshot:
    """What the entry in the fleet file says; where it is, its nodes may say."""
    entry.only(CLUSTER_KEYS)
    provider, region, zones = _where(entry, name, place, place_of(objects.of("Node")), notes)
    wanted = entry.get("requirements")
    for one in wanted.items():
        one.only(("key", "operator", "values", "minValues"))
    note_min_values(wanted, name, notes)
    node_class = entry.get("nodeClass")
    node_class.only(("group", "kind", "name"))
    return ClusterSnapshot(
        name=name,
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
        standby=_standby(entry.get("standby")),
        settings=settings,
    )


def _with_objects(
    declared: ClusterSnapshot, objects: Objects, served: frozenset[str], notes: list[Note]
) -> ClusterSnapshot:
    """The cluster with its objects; `served`: kinds that a live one has, with or without objects."""
    demand = demand_of(objects, declared.settings)
    pools = tuple(read_node_pool(one, notes) for one in objects.of("NodePool"))
    has_karpenter = bool(pools or objects.of("NodeClaim") or "NodeClaim" in served)
    return replace(
        declared,
        nodes_backend=declared.nodes_backend or (KARPENTER if has_karpenter else PRINT),
        node_pools=pools,
        nodes=tuple(read_node(one) for one in machines_of(objects)),
        daemonsets=tuple(demand.daemonsets),
        demand=tuple(demand.groups),
        bound=tuple(demand.bound),
        gangs=tuple(demand.gangs),
        ray_objects=tuple(demand.ray_objects),
        alternatives=tuple(demand.alternatives),
        excluded=tuple(demand.excluded),
        resource_versions=_versions(objects),
        notes=_in_order([*objects.notes, *notes, *demand.notes]),
    )


def _versions(objects: Objects) -> dict[str, str]:
    """The resource versions of what raypipe may write to with a test of it."""
    return {one.key: one.resource_version for one in objects.of(*RAY_KINDS) if one.resource_version is not None}


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


def _where(entry: Field, name: str, place: Place, seen: Place, notes: list[Note]) -> tuple[str, str, tuple[str, ...]]:
    """Provider, region and zones, with a note for each that nobody gave; `seen`: where the nodes are."""
    known = seen.provider or DEFAULT_PROVIDER
    provider = entry.get("provider").choice(PROVIDERS, place.provider or known)
    if entry.get("provider").value is None and place.provider is None:
        notes.append(_default(name, "provider", provider, seen.provider))
    region = entry.get("region").text() or place.region or ""
    if not region:
        there = seen.region if provider == known else None
        region = there or DEFAULT_REGION[provider]
        notes.append(_default(name, "region", region, there))
    zones = entry.get("zones")
    if zones.value is not None:
        found = tuple(dict.fromkeys(zones.texts()))
        if not found and isinstance(zones.value, list):
            zones.problem("no zone", "at least one")
        return provider, region, found
    chosen = default_zones(provider, region)
    notes.append(_default(name, "zones", ", ".join(chosen)))
    return provider, region, chosen


def _default(name: str, what: str, value: str, seen: str | None = None) -> Note:
    why = ", as its nodes say" if seen is not None else ""
    return Note(kind="default", subject=name, message=f"{name}: no {what} given, {value} taken{why}")


def _standby(field: Field) -> tuple[Standby, ...]:
    """Nodes that are to wait for pods: entries of one kind count together, in order."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in field.items():
        one.only(("instanceType", "capacityType", "count"))
        kind, count = one.get("instanceType").text(), one.get("count").integer(1, high=MOST_STANDBY)
        if not kind:
            one.get("instanceType").problem("nothing", "an instance type")
        counts[kind, one.get("capacityType").choice(CAPACITY_TYPES, "on-demand")] += count
    return tuple(
        Standby(instance_type=kind, capacity_type=capacity, count=count)
        for (kind, capacity), count in sorted(counts.items())
        if count
    )


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
