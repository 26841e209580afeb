"""Fleet files: which clusters there are, what holds for all of them, and where their manifests lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from raypipe.errors import InputError, Problem, nearest
from raypipe.manifests.clusters import CLUSTER_KEYS, broken_cluster, read_cluster, read_settings
from raypipe.manifests.fields import Field
from raypipe.manifests.files import documents
from raypipe.manifests.limits import read_limits
from raypipe.manifests.origins import Files, Observe, Observed, Origin, Root
from raypipe.manifests.places import Place
from raypipe.manifests.sources import SourceFile
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings

API_VERSION = "raypipe.io/v1"
FLEET_KEYS = ("apiVersion", "kind", "metadata", "limits", "settings", "clusters")
NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.:/@]*[A-Za-z0-9])?")
LONGEST_NAME = 253


def read_fleet(
    path: Path, shown: str, settings: Settings, place: Place, observe: Observe | None = None
) -> FleetSnapshot:
    """Read a fleet file and the clusters it names; InputError where what holds for all of them is wrong.

    observe: looks at the live clusters among them; None: there are none to be had.
    """
    source = SourceFile(shown, path)
    root = _root(source)
    root.only(FLEET_KEYS)
    if root.plain("apiVersion") != API_VERSION:
        root.get("apiVersion").problem(repr(root.plain("apiVersion"))[:60], API_VERSION)
    limits = read_limits(root.get("limits"))
    settings = read_settings(root.get("settings"), settings)
    entries = _entries(root.get("clusters"))
    if source.count:
        raise InputError(source.problems)
    seen = observe(_contexts(entries.values())) if observe is not None else {}
    reading = _Reading(source=source, settings=settings, place=place, seen=seen)
    return FleetSnapshot(clusters=tuple(reading.cluster(*entry) for entry in entries.items()), limits=limits)


def _root(source: SourceFile) -> Field:
    found = list(documents(source))
    if len(found) > 1:
        source.problem(f"{len(found)} documents", "one fleet", document=found[1].number)
    if source.count or not found:
        raise InputError(source.problems or [Problem(file=source.shown, found="nothing", expected="a fleet")])
    return Field.of(found[0])


def _entries(clusters: Field) -> dict[str, Field]:
    """The entries of clusters by name, in the order of the file."""
    entries: dict[str, Field] = {}
    if not clusters.items() and isinstance(clusters.value, list | None):
        clusters.problem("no cluster", "at least one")
    for entry in clusters.items():
        name = entry.get("name").text()
        if name and NAME.fullmatch(name) and len(name) <= LONGEST_NAME and name not in entries:
            entries[name] = entry
        elif name in entries:
            entry.get("name").problem(f"{name!r} twice", "each cluster once")
        elif name:
            entry.get("name").problem(repr(name)[:80], "letters, digits and -_.:/@")
        elif isinstance(entry.value, dict) and not isinstance(entry.plain("name"), dict | list):
            misspelt = nearest("name", [key for key in entry.value if key not in CLUSTER_KEYS])
            entry.get("name").problem(f"no name but {misspelt[:60]!r}" if misspelt else "nothing", "a name", "name")
    return entries


def _contexts(entries: Iterable[Field]) -> list[str]:
    """The contexts that entries name and nothing else: what is wrong is told where the entry is read."""
    stated = (entry.plain("context") for entry in entries if entry.plain("manifests") is None)
    return list(dict.fromkeys(one for one in stated if isinstance(one, str) and one))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What the entries of one fleet file are read with; `seen`: its live clusters, by context."""

    source: SourceFile
    settings: Settings
    place: Place
    seen: Mapping[str, Observed]

    def cluster(self, name: str, entry: Field) -> ClusterSnapshot:
        origin = self._origin(entry)
        if origin is None:
            return broken_cluster(name, self.settings, self.source.take())
        return read_cluster(entry, name, origin, self.settings, self.place)

    def _origin(self, entry: Field) -> Origin | None:
        """Where the cluster's objects come from; None with the problem noted."""
        manifests, context = entry.get("manifests"), entry.get("context")
        if context.value is not None and manifests.value is not None:
            context.problem("a live cluster beside manifests", "one of manifests and context")
            return None
        if context.value is not None:
            if not (name := context.text()) and isinstance(context.value, str):
                context.problem("nothing", "the name of a kubeconfig context")
            if name and name not in self.seen:
                context.problem("a live cluster", "manifests, as nothing here can look at live clusters")
            return self.seen.get(name)
        names = (manifests.text(),) if isinstance(manifests.value, str) else manifests.texts()
        if not any(names) and isinstance(manifests.value, str | list | None):
            manifests.problem("nothing", "manifests or context")
        return Files(roots=[_beside(self.source, one) for one in names if one], without=self.source.path)


def _beside(fleet: SourceFile, name: str) -> Root:
    """A path that a fleet file names: relative to it, and shown as relative to where the user stands."""
    above = fleet.shown.rpartition("/")[0]
    absolute = name.startswith("/") or not above
    return Root(fleet.path.parent / name, name if absolute else f"{above}/{name}")
