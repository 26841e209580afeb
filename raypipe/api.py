"""What ``import raypipe`` offers: read, plan, validate, each a plain function over values.

The core is pure; the one thing that this layer adds is what purity forbids: the hour at which a plan was made
(`created_at`), and that every plan is validated, by code that knows nothing of the optimiser, before anybody sees it.

    fleet = raypipe.read("fleet/")
    plan = raypipe.plan(fleet)
    print(plan.usd_per_hour.after, plan.gap_fraction)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raypipe.model.plan import FleetPlan, Scope

if TYPE_CHECKING:
    from raypipe.catalog import Catalog
    from raypipe.fleet import Executor
    from raypipe.model.snapshot import FleetSnapshot
    from raypipe.settings import Settings

__all__ = ["FleetPlan", "load_catalog", "load_settings", "plan", "read", "replay", "snapshot", "validate", "warmed"]

EXECUTORS = ("auto", "serial")
"""How clusters are dealt out, by name: for now both are one after another."""


def read(
    *paths: str | Path,
    settings: Settings | Mapping[str, Any] | None = None,
    strict: bool = False,
    provider: str | None = None,
    region: str | None = None,
) -> FleetSnapshot:
    """Read a fleet file, a folder with one, a saved snapshot, or manifests that together are one cluster.

    `settings` lie under those of the fleet file, `provider` and `region` likewise. A cluster whose input is wrong
    keeps its `error` and the others are read; InputError, with every problem found, if none can be read or `strict`.
    """
    from raypipe.manifests import read_paths

    base = _overridden(None, settings)
    return read_paths(paths, settings=base, provider=provider, region=region, strict=strict)


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
    from raypipe.manifests.files import Source
    from raypipe.manifests.parsing import parsed

    expected = "settings in YAML, as gap_target_fraction: 0.01"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(Problem(file=shown, found=error.strerror or "no readable file", expected=expected)) from None
    source = Source(shown=shown, path=path)
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
) -> FleetPlan:
    """Plan the cheapest nodes for every cluster, validate the plan, and say when it was made.

    Args:
        fleet: what `read` returned.
        catalog: a catalogue, the folder of one, or None for the shipped table.
        settings: values laid over each cluster's settings (a mapping), or Settings that replace them.
        scope: ``pending`` (what exists stays) or ``whole`` (every pod anew: a floor, never carried out).
        executor: deals clusters out by an ordered ``map(function, items)``; None, auto or serial: one after another.
        progress: told in a line of text what has been done.
        stop: asked between solver calls; once it says True, the best plan so far is returned.
        compare_on_demand: also plan with on-demand offerings alone (`usd_per_hour.on_demand_only`).
        warm: the plan made before, in this process: what it knows makes this one quicker where little has changed
            (``plan = raypipe.plan(fleet, warm=plan)``). Pools that the fleet brings come first.

    Raises:
        SettingsError, CatalogError: wrong settings, catalogue, scope or executor.
        InvalidPlanError: the plan is not legal for the fleet; always a bug of raypipe.
    """
    from raypipe.fleet import plan_fleet
    from raypipe.validation import check_plan

    prices = _catalog(catalog)
    wanted = _with_settings(fleet if warm is None else warmed(fleet, warm), settings)
    made = plan_fleet(
        wanted,
        prices,
        scope=_scope(scope),
        executor=executor_called(executor),
        progress=progress,
        stop=stop,
        compare_on_demand=compare_on_demand,
    )
    check_plan(made, wanted, prices)
    return dataclasses.replace(made, created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def warmed(fleet: FleetSnapshot, previous: FleetPlan) -> FleetSnapshot:
    """The fleet with what the previous plan handed on: what `plan(fleet, warm=previous)` plans and `snapshot` saves.

    A plan read from JSON has handed on nothing: pattern pools travel beside a plan and not in it.
    """
    from raypipe import state

    return state.warmed(fleet, previous.pools)


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


def executor_called(given: Executor | str | None) -> Executor | None:
    """The executor that a name stands for, None for one after another; SettingsError for a name that is none."""
    from raypipe.errors import SettingsError, nearest

    if not isinstance(given, str):
        return given
    if given == "ray":
        raise SettingsError("executor: found 'ray', which this version has not; expected auto or serial")
    if given not in EXECUTORS:
        near = nearest(given, EXECUTORS)
        hint = f" (did you mean {near!r}?)" if near else ""
        raise SettingsError(f"executor: found {given!r}, expected {' or '.join(EXECUTORS)}{hint}")
    return None


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
