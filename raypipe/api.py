"""What ``import raypipe`` offers: read, plan, validate, each a plain function over values.

The core is pure; the one thing that this layer adds is what purity forbids: the hour at which a plan was made
(`created_at`), and that every plan is validated, by code that knows nothing of the optimiser, before anybody sees it.

    fleet = raypipe.read("fleet/")
    plan = raypipe.plan(fleet)
    print(plan.usd_per_hour.after, plan.gap_fraction)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from raypipe.model.plan import FleetPlan, Scope

if TYPE_CHECKING:
    from raypipe.actors.connection import Connection
    from raypipe.catalog import Catalog
    from raypipe.catalog.feed import Feed
    from raypipe.catalog.versions import Version
    from raypipe.fleet import Executor
    from raypipe.manifests.origins import Observed
    from raypipe.model.snapshot import FleetSnapshot
    from raypipe.settings import Settings

__all__ = [
    "FleetPlan",
    "Planner",
    "certifying",
    "consolidating",
    "load_catalog",
    "load_settings",
    "plan",
    "read",
    "replay",
    "snapshot",
    "validate",
    "warmed",
]

EXECUTORS = ("auto", "serial", "ray")
"""How clusters are dealt out, by name: `Planner` says what each means."""

SERIAL_CLUSTERS = 16
"""Most clusters that `auto` plans one after another: to start Ray takes as long as to plan a few."""


def read(
    *paths: str | Path,
    context: str | Sequence[str] = (),
    settings: Settings | Mapping[str, Any] | None = None,
    strict: bool = False,
    provider: str | None = None,
    region: str | None = None,
) -> FleetSnapshot:
    """Read a fleet file, a folder with one, a saved snapshot, or manifests that together are one cluster.

    `context`: kubeconfig contexts (``in-cluster``: the cluster that this runs in), each a live cluster beside them; it
    is read and never written to. `settings` lie under those of the fleet file, `provider` and `region` likewise. A
    cluster whose input is wrong, or that cannot be seen, keeps its `error` and the others are read; InputError, with
    every problem found, if none can be read or `strict`.
    """
    from raypipe.manifests import read_paths

    base = _overridden(None, settings)
    contexts = (context,) if isinstance(context, str) else tuple(context)
    seen: dict[str, Observed] = {}
    fleet = read_paths(
        paths,
        contexts=contexts,
        observe=partial(_look, seen),
        settings=base,
        provider=provider,
        region=region,
        strict=strict,
    )
    if not seen:
        return fleet
    from raypipe.adapters.nodes.node_groups import with_all_groups

    return dataclasses.replace(with_all_groups(fleet, seen), observed_at=_now())


def _look(seen: dict[str, Observed], contexts: Sequence[str]) -> Mapping[str, Observed]:
    """Look at live clusters, and note that somebody did; whoever has none pays nothing for the client's import."""
    if not contexts:
        return {}
    from raypipe.adapters.kubernetes import look

    found = look(contexts)
    seen.update(found)
    return found


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def load_catalog(path: str | Path | None = None) -> Catalog:
    """Read a catalogue folder (instance_types.csv, offerings.csv); None: the table that ships with the package."""
    from raypipe.catalog import load

    return load(path)


def load_settings(path: str | Path | None = None) -> Settings:
    """Read a settings file, a YAML mapping of the fields of `raypipe.settings.Settings`; None: the defaults.

    Raises InputError where it is no such file, SettingsError with every setting that is wrong.
    """
    from raypipe.errors import SettingsError
    from raypipe.manifests.files import line_of
    from raypipe.settings import Settings, with_overrides

    chosen = Settings()
    if path is None:
        return chosen
    values = _settings_in(Path(path), str(path))
    wrong: list[str] = []
    for document, key, value in values:
        try:
            chosen = with_overrides(chosen, {key: value})
        except SettingsError as error:
            wrong.append(f"{path}:{line_of(Path(path), document, (key,))}: {error}")
    if wrong:
        raise SettingsError("\n".join(wrong))
    return chosen


def _settings_in(path: Path, shown: str) -> list[tuple[int, Any, Any]]:
    """The settings that a file names: which document of it, key, value; InputError where it holds something else."""
    from raypipe.errors import InputError, Problem
    from raypipe.manifests.files import SourceFile
    from raypipe.manifests.parsing import parsed

    expected = "settings in YAML, as gap_target_fraction: 0.01"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(Problem(file=shown, found=error.strerror or "no readable file", expected=expected)) from None
    source = SourceFile(shown=shown, path=path)
    values: list[tuple[int, Any, Any]] = []
    for document, content in enumerate(parsed(source, data, path.suffix == ".json")):
        if isinstance(content, Mapping):
            values += [(document, key, value) for key, value in content.items()]
        elif content is not None:
            found = "a list" if isinstance(content, list) else repr(content)[:60]
            source.problem(found, expected, document=document)
    if source.problems:
        raise InputError(source.problems)
    return values


def plan(
    fleet: FleetSnapshot,
    catalog: Catalog | str | Path | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    scope: Scope | str = Scope.PENDING,
    executor: Executor | str | None = None,
    progress: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    compare_on_demand: bool = False,
    warm: FleetPlan | None = None,
    address: str | None = None,
    certify: bool = False,
    consolidate: bool = False,
    remove_any: bool = False,
) -> FleetPlan:
    """Plan the cheapest nodes for every cluster, validate the plan, and say when it was made.

    Args:
        fleet: what `read` returned.
        catalog: a catalogue, the folder of one (read once, as `load_catalog` does), or None for the shipped table.
        settings: values laid over each cluster's settings (a mapping), or Settings that replace them.
        scope: ``pending`` (what exists stays) or ``whole`` (every pod anew: a floor, never carried out).
        executor, address: as `Planner` takes them, which is the way to plan more than once on Ray.
        progress: told in a line of text what has been done.
        stop: asked between solver calls; once it says True, the best plan so far is returned.
        compare_on_demand: also plan with on-demand offerings alone (`usd_per_hour.on_demand_only`).
        warm: the plan made before, in this process: what it knows makes this one quicker where little has changed
            (``plan = raypipe.plan(fleet, warm=plan)``). Pools that the fleet brings come first.
        certify: spend minutes on a better bound of the same plan (setting `certify_search`, where none is set).
        consolidate, remove_any: move pods where that saves; also from nodes that raypipe did not buy (settings).

    Raises:
        SettingsError, CatalogError: wrong settings, catalogue, scope or executor.
        ClusterError: Ray cannot be started or joined.
        InvalidPlanError: the plan is not legal for the fleet; always a bug of raypipe.
    """
    with Planner(executor, address) as planner:
        return planner.plan(
            fleet,
            _catalog(catalog),
            settings,
            scope=scope,
            progress=progress,
            stop=stop,
            compare_on_demand=compare_on_demand,
            warm=warm,
            certify=certify,
            consolidate=consolidate,
            remove_any=remove_any,
        )


class Planner:
    """Plans fleets one after another and keeps what the next plan can use: Ray, its actors, and their memo.

    The memo holds plans by the exact digest of what they were made from, so a cluster that has not changed is not
    planned again. It changes how long a plan takes and never the plan.

        with raypipe.Planner(executor="ray") as planner:
            plan = planner.plan(fleet)

    A folder of prices is read again for every plan (on Ray by the PriceScout), and what it says is not believed at any
    price: `catalog_of_the_day`.

    Args:
        executor: ``serial``: clusters are planned one after another, in this process. ``ray``: on many processes, by
            Ray. ``auto``: by Ray where an address is given or more than 16 clusters are to be planned. An executor of
            your own: what deals clusters out by an ordered ``map(function, items)``.
        address: of a running Ray, as ``ray.init`` takes it (``auto``: the one of this machine or job). Its Coordinator
            is shared with others and stays. None: Ray is started when it is first needed, and ends with the planner.
        shards: how many processes plan; None: as many as Ray has CPUs.
    """

    def __init__(
        self, executor: Executor | str | None = "auto", address: str | None = None, *, shards: int | None = None
    ) -> None:
        self._executor = executor_called(executor)
        self._address, self._shards = address, shards
        self._connection: Connection | None = None
        self._feeds: dict[str, Feed] = {}
        self._versions: dict[str, Version] = {}
        self._checked: tuple[FleetPlan, FleetSnapshot, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started for this planner."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def plan(
        self,
        fleet: FleetSnapshot,
        catalog: Catalog | str | Path | None = None,
        settings: Settings | Mapping[str, Any] | None = None,
        scope: Scope | str = Scope.PENDING,
        progress: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
        compare_on_demand: bool = False,
        warm: FleetPlan | None = None,
        certify: bool = False,
        consolidate: bool = False,
        remove_any: bool = False,
    ) -> FleetPlan:
        """As `raypipe.plan`, with this planner's executor; `catalog`: a folder stands for its catalogue of the day."""
        wanted = _with_settings(fleet if warm is None else warmed(fleet, warm), settings)
        wanted = certifying(wanted) if certify else wanted
        wanted = consolidating(wanted, consolidate=consolidate, remove_any=remove_any)
        options: dict[str, Any] = {"progress": progress, "stop": stop, "compare_on_demand": compare_on_demand}
        plan_fleet = self._plan_fleet(wanted)
        if isinstance(catalog, str | Path):
            today = self.catalog_of_the_day(catalog)
            prices, wanted = today.catalog, dataclasses.replace(wanted, notes=(*wanted.notes, *today.notes))
        else:
            prices = _catalog(catalog)
        made = plan_fleet(wanted, prices, scope=_scope(scope), **options)
        self._check(made, wanted, prices)
        return dataclasses.replace(made, created_at=_now())

    def shards_died(self) -> int | None:
        """How many planner processes have died and were replaced; None where nobody can tell, 0 without Ray."""
        return 0 if self._connection is None else self._connection.deaths()

    def catalog_of_the_day(self, folder: str | Path) -> Version:
        """What is believed of a folder's prices now.

        The last good version stays, with its age, where the folder cannot be read; a price that is none (NaN, zero,
        negative) or ten times as high or low as the last is set aside, with a note in the plan. CatalogError where the
        folder cannot be read and never could.
        """
        from raypipe.catalog.feed import Feed

        source = str(Path(folder).absolute())
        last = self._versions.get(source)
        if self._connection is not None or self._executor == "ray":
            version = self._connected().catalog_of_the_day(source, last)
        else:
            version = self._feeds.setdefault(source, Feed(source)).refreshed(datetime.now(UTC))
        self._versions[source] = version
        return version

    def _plan_fleet(self, fleet: FleetSnapshot) -> Callable[..., FleetPlan]:
        """`plan_fleet`, here or by Ray."""
        many = self._address is not None or len(fleet.clusters) > SERIAL_CLUSTERS
        if self._executor == "ray" or (self._executor == "auto" and many):
            return self._connected().plan_fleet
        from raypipe.fleet import plan_fleet

        return plan_fleet if isinstance(self._executor, str) else partial(plan_fleet, executor=self._executor)

    def _connected(self) -> Connection:
        if self._connection is None:
            from raypipe import __version__
            from raypipe.actors.connection import Connection  # here: Ray takes a second to import

            self._connection = Connection(self._address, __version__, self._shards)
        return self._connection

    def _check(self, plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
        """Validate a plan, unless it is the very one that was validated last, for an equal fleet."""
        from raypipe.validation import check_plan

        if self._checked is not None and self._checked[0] is plan and self._checked[1:] == (fleet, catalog.digest):
            return
        check_plan(plan, fleet, catalog)
        self._checked = plan, fleet, catalog.digest


def warmed(fleet: FleetSnapshot, previous: FleetPlan) -> FleetSnapshot:
    """The fleet with what the previous plan handed on: what `plan(fleet, warm=previous)` plans and `snapshot` saves.

    A plan read from JSON has handed on nothing: pattern pools travel beside a plan and not in it.
    """
    from raypipe import state

    return state.warmed(fleet, previous.pools)


def certifying(fleet: FleetSnapshot) -> FleetSnapshot:
    """The fleet with a budget for a better bound in every cluster: what `plan(fleet, certify=True)` plans.

    A cluster whose settings have such a budget keeps its own.
    """
    from raypipe.settings import CERTIFY_SEARCH

    settings = [dataclasses.replace(one.settings, certify_search=CERTIFY_SEARCH) for one in fleet.clusters]
    clusters = tuple(
        one if one.settings.certify_search else dataclasses.replace(one, settings=more)
        for one, more in zip(fleet.clusters, settings, strict=True)
    )
    return dataclasses.replace(fleet, clusters=clusters)


def consolidating(fleet: FleetSnapshot, *, consolidate: bool = True, remove_any: bool = False) -> FleetSnapshot:
    """The fleet with nodes given back where that saves: what `plan(fleet, consolidate=True)` plans.

    What is False leaves the setting of each cluster as it is.
    """
    given = {name: True for name, wanted in (("consolidate", consolidate), ("remove_any", remove_any)) if wanted}
    return _with_settings(fleet, given) if given else fleet


def validate(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog | str | Path | None = None) -> None:
    """Check from first principles that the plan is legal for the fleet; raise InvalidPlanError with every violation."""
    from raypipe.validation import check_plan

    check_plan(plan, fleet, _catalog(catalog))


def snapshot(fleet: FleetSnapshot, catalog: Catalog | str | Path | None = None) -> FleetSnapshot:
    """The fleet with the digest of the catalogue it is planned against: what `replay` repeats a decision from."""
    return dataclasses.replace(fleet, catalog=_catalog(catalog).digest)


def replay(
    fleet: FleetSnapshot,
    catalog: Catalog | str | Path | None = None,
    scope: Scope | str = Scope.PENDING,
    progress: Callable[[str], None] | None = None,
    compare_on_demand: bool = False,
) -> FleetPlan:
    """Make the decision of a saved snapshot again; ReplayError where the catalogue is not the one it was taken with."""
    from raypipe.errors import ReplayError

    prices = _catalog(catalog)
    if fleet.catalog is not None and fleet.catalog != prices.digest:
        raise ReplayError(
            f"the snapshot was taken with catalogue {fleet.catalog}, this one is {prices.digest}: "
            "name the folder of the former with --catalog, or plan the snapshot anew with `raypipe plan`"
        )
    return plan(fleet, prices, scope=scope, progress=progress, compare_on_demand=compare_on_demand)


def _catalog(given: Catalog | str | Path | None) -> Catalog:
    return load_catalog(given) if given is None or isinstance(given, str | Path) else given


def _scope(given: Scope | str) -> Scope:
    try:
        return Scope(given)
    except ValueError:
        from raypipe.errors import SettingsError, nearest

        near = nearest(str(given), list(Scope))
        hint = f" (did you mean {near!r}?)" if near else ""
        raise SettingsError(f"scope: found {given!r}, expected one of {', '.join(Scope)}{hint}") from None


def executor_called(given: Executor | str | None) -> Executor | str:
    """The executor, or the name of one (None: auto); SettingsError for a name that is none."""
    if given is None:
        return "auto"
    if not isinstance(given, str) or given in EXECUTORS:
        return given
    from raypipe.errors import SettingsError, nearest

    near = nearest(given, EXECUTORS)
    hint = f" (did you mean {near!r}?)" if near else ""
    raise SettingsError(f"executor: found {given!r}, expected one of {', '.join(EXECUTORS)}{hint}")


def _overridden(base: Settings | None, given: object) -> Settings:
    """`given` settings whole, or `given` values over `base` (None: the defaults); SettingsError for anything else."""
    from raypipe.settings import Settings, with_overrides

    if isinstance(given, Settings):
        return given
    if given is not None and not isinstance(given, Mapping):
        from raypipe.errors import SettingsError

        raise SettingsError(
            f"settings: found {given!r:.80}, expected Settings or a mapping; a file: load_settings(path)"
        )
    return with_overrides(base or Settings(), given if given is not None else {})


def _with_settings(fleet: FleetSnapshot, given: Settings | Mapping[str, Any] | None) -> FleetSnapshot:
    if given is None:
        return fleet
    clusters = tuple(
        dataclasses.replace(cluster, settings=_overridden(cluster.settings, given)) for cluster in fleet.clusters
    )
    return dataclasses.replace(fleet, clusters=clusters)
