"""read_paths: what a user names on the command line, as a fleet.

Paths are one fleet file, one folder with a ``fleet.yaml``, one saved snapshot, or manifests and folders that together
are one cluster, called after the first folder. ``-`` is a snapshot or manifests on standard input. Each kubeconfig
context beside them is one cluster more, called as the context is.
"""

from __future__ import annotations

import codecs
import gc
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from raypipe.errors import InputError, Problem, nearest
from raypipe.manifests.clusters import read_cluster
from raypipe.manifests.fields import Field
from raypipe.manifests.files import SUFFIXES, exists
from raypipe.manifests.fleet import LONGEST_NAME, NAME, read_fleet
from raypipe.manifests.origins import Files, Observe, Observed, Root
from raypipe.manifests.piped import PIPED, piped_in
from raypipe.manifests.places import Place
from raypipe.manifests.regions import PROVIDERS
from raypipe.manifests.sources import Source
from raypipe.model.snapshot import SNAPSHOT_SCHEMA, ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings

FLEET_FILES = ("fleet.yaml", "fleet.yml", "fleet.json")
_HEAD_BYTES = 65_536
_FLEET = re.compile(rb"""(?:^|[{,]\s*)["']?kind["']?\s*:\s*["']?Fleet["']?\s*(?:$|[,}#])""", re.MULTILINE)


def read_paths(
    paths: Sequence[str | Path],
    *,
    contexts: Sequence[str] = (),
    observe: Observe | None = None,
    settings: Settings | None = None,
    provider: str | None = None,
    region: str | None = None,
    strict: bool = False,
) -> FleetSnapshot:
    """Read a fleet.

    contexts: live clusters beside the paths; observe: looks at them, and at those that a fleet file names.
    settings: below those of the fleet file, which are below a cluster's own. provider, region: for clusters that name
    none. A cluster that cannot be read keeps its `error`; InputError where none can be read, or with `strict`.
    """
    base, place = settings or Settings(), Place(provider=provider, region=region)
    with _roots(paths) as roots, _without_collector():
        _refuse(roots, contexts, provider)
        fleet = _of_paths(roots, base, place, observe) if roots else FleetSnapshot(clusters=())
        if contexts and observe is not None:
            fleet = _with_live(fleet, observe(list(dict.fromkeys(contexts))), base, place)
    errors = [cluster.error for cluster in fleet.clusters if cluster.error is not None]
    if errors and (strict or len(errors) == len(fleet.clusters)):
        raise InputError([Problem(found=line) for error in errors for line in error.splitlines()])
    return fleet


def _of_paths(roots: Sequence[Root], settings: Settings, place: Place, observe: Observe | None) -> FleetSnapshot:
    """The fleet that paths stand for."""
    fleet = _single(roots[0], settings, place, observe) if len(roots) == 1 else None
    if fleet is not None:
        return fleet
    cluster = read_cluster(_nothing(roots[0].shown), _name(roots), Files(roots=roots), settings, place)
    return FleetSnapshot(clusters=(cluster,))


def _nothing(shown: str) -> Field:
    """The entry of a cluster that no fleet file names."""
    return Field({}, Source(shown), 0, ())


def _with_live(fleet: FleetSnapshot, seen: Mapping[str, Observed], settings: Settings, place: Place) -> FleetSnapshot:
    """The fleet with a cluster for each context."""
    live: list[ClusterSnapshot] = []
    for context, observed in seen.items():
        live.append(read_cluster(_nothing(context), _plain(context) or "cluster", observed, settings, place))
    clusters = (*fleet.clusters, *live)
    twice = sorted(name for name, count in Counter(cluster.name for cluster in clusters).items() if count > 1)
    if twice:
        raise InputError([Problem(found=f"two clusters {name!r}", expected="each cluster once") for name in twice])
    return replace(fleet, clusters=clusters)


@contextmanager
def _roots(paths: Sequence[str | Path]) -> Iterator[list[Root]]:
    """The paths as files and folders that can be read more than once."""
    with ExitStack() as stack:
        piped = stack.enter_context(piped_in()) if PIPED in map(str, paths) else None
        yield [Root(piped if piped and str(path) == PIPED else Path(path), str(path)) for path in paths]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Read without the search for cycles: plain values have none, and looking for them is a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _refuse(roots: Sequence[Root], contexts: Sequence[str], provider: str | None) -> None:
    """Raise InputError for all that is wrong before anything is read."""
    wrong: list[Problem] = []
    if not roots and not contexts:
        wrong.append(Problem(found="no path", expected="a fleet file, a snapshot, manifests or a context"))
    for root in roots:
        if not exists(root.path):
            wrong.append(Problem(file=root.shown, found="no such file or folder", expected="manifests"))
        elif root.shown == PIPED and _is_fleet(root.path):
            wrong.append(
                Problem(file=root.shown, found="a fleet file, whose paths are relative to it", expected="manifests")
            )
        elif len(roots) > 1 and _is_fleet(root.path):
            wrong.append(Problem(file=root.shown, found="a fleet file beside other paths", expected="it alone"))
    if provider is not None and provider not in PROVIDERS:
        expected = f"one of {', '.join(PROVIDERS)}"
        near = nearest(provider, PROVIDERS)
        wrong.append(Problem(field="provider", found=repr(provider)[:60], expected=expected, suggestion=near))
    if wrong:
        raise InputError(wrong)


def _name(roots: Sequence[Root]) -> str:
    """The cluster's name: that of the first folder, else of the folder of the first file; `-` is in none."""
    files = [root.path for root in roots if root.shown != PIPED]
    if not files:
        return "cluster"
    folder = next((path for path in files if path.is_dir()), files[0].parent)
    return _plain(folder.resolve().name.replace(":", "-").replace("@", "-")) or "cluster"


def _plain(text: str) -> str:
    """A text as a cluster may be called; "" where nothing of it is left."""
    name = re.sub(r"[^-A-Za-z0-9_.:/@]+", "-", text)[:LONGEST_NAME].strip("-._:/@")
    return name if NAME.fullmatch(name) else ""


def _single(root: Root, settings: Settings, place: Place, observe: Observe | None) -> FleetSnapshot | None:
    """The fleet that one path stands for, or None where it is manifests."""
    path, shown = root.path, root.shown
    if path.is_dir():
        found = next((path / name for name in FLEET_FILES if (path / name).is_file()), None)
        within = f"{shown.rstrip('/')}/"
        return None if found is None else read_fleet(found, within + found.name, settings, place, observe)
    if path.suffix == ".json" and (snapshot := _snapshot(path, shown)) is not None:
        return snapshot
    return read_fleet(path, shown, settings, place, observe) if _is_fleet(path) else None


def _is_fleet(path: Path) -> bool:
    """Whether a file is a fleet file, by its kind; a file of manifests is not read through for it."""
    return path.suffix in SUFFIXES and path.is_file() and _FLEET.search(_head(path)) is not None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES).removeprefix(codecs.BOM_UTF8)
    except OSError:
        return b""  # it is read again as manifests, which says what is wrong


def _snapshot(path: Path, shown: str) -> FleetSnapshot | None:
    """A saved snapshot, or None where the file is something else."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    schema = _schema(data)
    if not schema.startswith("raypipe."):
        return None
    expected = f"a snapshot ({SNAPSHOT_SCHEMA})"
    if schema != SNAPSHOT_SCHEMA:
        raise InputError(Problem(file=shown, field="schema", found=repr(schema)[:60], expected=expected))
    try:
        return FleetSnapshot.from_json(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(Problem(file=shown, found=str(error)[:300], expected=expected)) from None


def _schema(data: bytes) -> str:
    """What a JSON text says it is."""
    try:
        return msgspec.json.decode(data, type=_Schema).schema if b'"raypipe.' in data else ""
    except (msgspec.DecodeError, RecursionError):
        return ""


class _Schema(msgspec.Struct):
    schema: str = ""
