"""Fleet files: which clusters there are, what holds for all of them, and where their manifests lie."""

from __future__ import annotations

import re
from pathlib import Path

from raypipe.errors import InputError, Problem, nearest
from raypipe.manifests.clusters import CLUSTER_KEYS, Place, Root, broken_cluster, read_cluster, read_settings
from raypipe.manifests.fields import Field
from raypipe.manifests.files import documents
from raypipe.manifests.limits import read_limits
from raypipe.manifests.sources import Source
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings

API_VERSION = "raypipe.io/v1"
FLEET_KEYS = ("apiVersion", "kind", "metadata", "limits", "settings", "clusters")
NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.:/@]*[A-Za-z0-9])?")
LONGEST_NAME = 253


def read_fleet(path: Path, shown: str, settings: Settings, place: Place) -> FleetSnapshot:
    """Read a fleet file and the clusters it names; InputError where what holds for all of them is wrong."""
    source = Source(shown, path)
    root = _root(source)
    root.only(FLEET_KEYS)
    if root.plain("apiVersion") != API_VERSION:
        root.get("apiVersion").problem(repr(root.plain("apiVersion"))[:60], API_VERSION)
    limits = read_limits(root.get("limits"))
    settings = read_settings(root.get("settings"), settings)
    entries = _entries(root.get("clusters"))
    if source.count:
        raise InputError(source.problems)
    clusters = tuple(_cluster(name, entry, settings, place) for name, entry in entries.items())
    return FleetSnapshot(clusters=clusters, limits=limits)


def _root(source: Source) -> Field:
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


def _cluster(name: str, entry: Field, settings: Settings, place: Place) -> ClusterSnapshot:
    if entry.plain("context") is not None:
        entry.get("context").problem("a live cluster", "manifests (live clusters come later)")
        return broken_cluster(name, settings, entry.source.take())
    manifests = entry.get("manifests")
    names = (manifests.text(),) if isinstance(manifests.value, str) else manifests.texts()
    if not any(names) and isinstance(manifests.value, str | list | None):
        manifests.problem("nothing", "manifests or context")
    return read_cluster(entry, name, [_beside(entry.source, one) for one in names if one], settings, place)


def _beside(fleet: Source, name: str) -> Root:
    """A path that a fleet file names: relative to it, and shown as relative to where the user stands."""
    above = fleet.shown.rpartition("/")[0]
    absolute = name.startswith("/") or not above
    return Root(fleet.path.parent / name, name if absolute else f"{above}/{name}")
