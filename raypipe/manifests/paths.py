"""read_paths: what a user names on the command line, as a fleet.

Paths are one fleet file, one folder with a ``fleet.yaml``, one saved snapshot, or manifests and folders that together
are one cluster, called after the first folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from raypipe.errors import InputError, Problem, SettingsError
from raypipe.manifests.fields import Field
from raypipe.manifests.files import Document, Source, documents, exists
from raypipe.manifests.fleet import NAME, Place, fleet_entries, read_cluster
from raypipe.manifests.nodes import read_limits
from raypipe.model.snapshot import SNAPSHOT_SCHEMA, ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings, with_overrides

FLEET_FILES = ("fleet.yaml", "fleet.yml", "fleet.json")


def read_paths(
    paths: Sequence[str | Path],
    *,
    settings: Settings | None = None,
    provider: str | None = None,
    region: str | None = None,
    strict: bool = False,
) -> FleetSnapshot:
    """Read a fleet.

    settings: below those of the fleet file, which are below a cluster's own. provider, region: for clusters that name
    none. A cluster that cannot be read keeps its `error`; InputError where none can be read, or with `strict`.
    """
    given = [(Path(path), str(path)) for path in paths]
    if not given:
        raise InputError(Problem(found="no path", expected="a fleet file, a snapshot, or manifests"))
    missing = [
        Problem(file=shown, found="no such file or folder", expected="manifests")
        for path, shown in given
        if not exists(path)
    ]
    if missing:
        raise InputError(missing)
    base, place = settings or Settings(), Place(provider=provider, region=region)
    fleet = _single(given[0], base, place) if len(given) == 1 else None
    if fleet is None:
        fleet = FleetSnapshot(clusters=(read_cluster(None, _name(given), given, base, place),))
    errors = [cluster.error for cluster in fleet.clusters if cluster.error is not None]
    if errors and (strict or len(errors) == len(fleet.clusters)):
        raise InputError([Problem(found=line) for error in errors for line in error.splitlines()])
    return fleet


def _name(given: Sequence[tuple[Path, str]]) -> str:
    """The cluster's name: that of the first folder, else of the folder of the first file."""
    folder = next((path for path, _ in given if path.is_dir()), given[0][0].parent)
    name = re.sub(r"[^-A-Za-z0-9_.]+", "-", folder.resolve().name).strip("-._")
    return name if name and NAME.fullmatch(name) else "cluster"


def _single(given: tuple[Path, str], settings: Settings, place: Place) -> FleetSnapshot | None:
    """The fleet that one path stands for, or None where it is manifests."""
    path, shown = given
    if path.is_dir():
        found = next((path / name for name in FLEET_FILES if (path / name).is_file()), None)
        return None if found is None else _fleet(found, f"{shown.rstrip('/')}/{found.name}", settings, place)
    if path.suffix == ".json" and (snapshot := _snapshot(path, shown)) is not None:
        return snapshot
    if path.suffix in (".yaml", ".yml", ".json") and _is_fleet(path):
        return _fleet(path, shown, settings, place)
    return None


def _is_fleet(path: Path) -> bool:
    """Whether the file is a fleet file, by its kind; a file of manifests is not read for it."""
    with path.open("rb") as file:
        head = file.read(65536)
    return re.search(rb"""(?m)(^|[{,\s])["']?kind["']?\s*:\s*["']?Fleet\b""", head) is not None


def _snapshot(path: Path, shown: str) -> FleetSnapshot | None:
    """A saved snapshot, or None where the file is something else."""
    with path.open("rb") as file:
        if SNAPSHOT_SCHEMA.partition("/")[0].encode() not in file.read():
            return None
    try:
        return FleetSnapshot.from_json(path.read_bytes())
    except (msgspec.DecodeError, RecursionError) as error:
        if b'"kind"' in path.read_bytes()[:4096]:
            return None
        raise InputError(
            Problem(file=shown, found=str(error)[:300], expected=f"a snapshot ({SNAPSHOT_SCHEMA})")
        ) from None


def _fleet(path: Path, shown: str, settings: Settings, place: Place) -> FleetSnapshot:
    source = Source(shown, path)
    found = list(documents(source))
    if source.problems or not found:
        raise InputError(source.problems or [Problem(file=shown, found="nothing", expected="a fleet")])
    if len(found) > 1:
        source.problem(f"{len(found)} documents", "one fleet", document=found[1].number)
        raise InputError(source.problems)
    root, entries = fleet_entries(found[0])
    limits = read_limits(root.get("limits"))
    try:
        settings = with_overrides(settings, root.get("settings").mapping(), "settings")
    except SettingsError as error:
        root.get("settings").problem(str(error), "settings that are known")
    if source.problems:
        raise InputError(source.problems)
    clusters = tuple(_cluster(name, entry, found[0], shown, settings, place) for name, entry in entries)
    return FleetSnapshot(clusters=clusters, limits=limits)


def _cluster(
    name: str, entry: Field, document: Document, shown: str, settings: Settings, place: Place
) -> ClusterSnapshot:
    folder = document.source.path.parent
    above = shown.rpartition("/")[0]
    if entry.get("context").value is not None:
        message = (
            f"{shown}: clusters[{name}].context: found a live cluster, expected manifests (live clusters come later)"
        )
        return ClusterSnapshot(name=name, settings=settings, error=message)
    manifests = entry.get("manifests")
    names = (manifests.text(),) if isinstance(manifests.value, str) else manifests.texts()
    if not names:
        manifests.problem("nothing", "manifests or context")
    roots = [(folder / one, f"{above}/{one}" if above else one) for one in names]
    snapshot = read_cluster(entry, name, roots, settings, place)
    problems = [str(problem) for problem in document.source.take()]
    if problems:
        error = "\n".join([*problems, *([snapshot.error] if snapshot.error else [])])
        return ClusterSnapshot(name=name, settings=settings, error=error)
    return replace(snapshot, name=name)
