"""A loop put together from its parts, and taken apart again."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from raypipe import api, state
from raypipe.adapters.kubernetes import Server
from raypipe.adapters.kubernetes.contexts import IN_CLUSTER
from raypipe.adapters.kubernetes.server import Patience
from raypipe.adapters.nodes.chosen import backend_called
from raypipe.adapters.nodes.node_groups import with_all_groups
from raypipe.catalog import Catalog
from raypipe.controller.durable import STATUS, ConfigMap, Durable, Folder, Nowhere, config_map_named
from raypipe.controller.hands import ClusterHands, Hands
from raypipe.controller.lease import Lease, identity
from raypipe.controller.live import Holding
from raypipe.controller.loop import Loop, Parts
from raypipe.controller.sources import Sources
from raypipe.controller.status import StatusBoard
from raypipe.controller.steps import StepWriter
from raypipe.controller.telling import Everybody, Telling
from raypipe.errors import ClusterError, InputError, OutputError, Problem
from raypipe.manifests import read_paths
from raypipe.manifests.origins import Observe, Observed
from raypipe.model.plan import FleetPlan
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.model.status import Status
from raypipe.settings import Settings

SAVED_S = 10.0
"""Seconds after which a status is written again though only the hour has changed."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What an operator says of a loop.

    Attributes:
        paths: a fleet file, or nothing. contexts: live clusters beside it. settings: below those of the fleet file.
        catalog: a folder of prices, None for the shipped table. state: a folder, ``configmap:NS/NAME``, or None.
        acts: whether decisions are carried out.
    """

    paths: Sequence[Path] = ()
    contexts: Sequence[str] = ()
    settings: Settings = field(default_factory=Settings)
    provider: str | None = None
    region: str | None = None
    catalog: Path | None = None
    executor: str = "auto"
    address: str | None = None
    state: str | None = None
    acts: bool = False


class Guarded(Server):
    """A server that is written to only while the loop may: between a decision and its last write much can happen."""

    def __init__(self, context: str, patience: Patience, may_write: Callable[[], bool]) -> None:
        super().__init__(context, patience)
        self._may_write = may_write

    def send(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """As a server does; ClusterError where the Lease is lost."""
        if not self._may_write():
            raise ClusterError(f"{self.context}: nothing is written: this loop no longer holds the Lease")
        return super().send(method, path, body, **more)


class _Nobody:
    """Never acts: a dry run asks for no Lease."""

    term, why_not = 0, "this is a dry run"

    def held(self) -> bool:
        return False


@contextmanager
def started(
    options: Options, telling: Telling, complain: Callable[[str], None], show: Callable[[str], None]
) -> Iterator[Loop]:
    """A loop that is ready to run; at the end Leases are given back and all connections closed.

    show: gets what somebody else is to buy (``nodes: print``).
    """
    with ExitStack() as stack:
        bell = threading.Event()
        sources = Sources(bell.set)
        stack.callback(sources.close)
        planner = stack.enter_context(api.Planner(options.executor, options.address))
        kept = _Kept(options)
        stack.callback(kept.close)
        board = StatusBoard()
        everybody = Everybody(board, telling)
        parts = Parts(
            read=_Reader(options).read,
            sources=sources,
            plan=kept.planned(planner, complain),
            catalog=_catalog(options, planner, everybody),
            equip=_Equip(options, stack, bell.set, show).of,
            durable=kept.durable,
            telling=everybody,
            complain=complain,
            finished=Saved(board, kept.durable, SAVED_S),
        )
        loop = Loop(parts, acts=options.acts)
        loop.bell = bell
        yield loop


class _Reader:
    """Reads the fleet anew each cycle; the first time with the pattern pools of an earlier life.

    What nobody has changed is not read again, but for node groups, which no watch tells of.
    """

    def __init__(self, options: Options) -> None:
        self._options, self._is_first = options, True
        self._seen: Mapping[str, Observed] = {}
        self._last: FleetSnapshot | None = None

    def read(self, observe: Observe) -> FleetSnapshot:
        """The fleet by what `observe` sees, node groups included; InputError where a cluster cannot be watched."""
        options, seen = self._options, dict[str, Observed]()
        if self._last is not None and self._is_as_it_was(observe):
            return self._last

        def observing(contexts: Sequence[str]) -> Mapping[str, Observed]:
            found = observe(contexts)
            seen.update(found)
            return found

        fleet = read_paths(
            options.paths,
            contexts=options.contexts,
            observe=observing,
            settings=options.settings,
            provider=options.provider,
            region=options.region,
        )
        dead = [one.name for one in fleet.clusters if one.context is None]
        if dead:
            expected = "a context for each cluster: files do not change by themselves"
            raise InputError(
                [Problem(field=f"clusters {name}", found="no context", expected=expected) for name in dead]
            )
        fleet = with_all_groups(fleet, seen)
        folder = folder_of(options.state)
        if self._is_first and folder is not None:
            self._is_first = False
            return state.read_state(folder, fleet)
        self._seen, self._last = seen, fleet
        return fleet

    def _is_as_it_was(self, observe: Observe) -> bool:
        """Whether no cluster has told anything new, and none may have changed without a word."""
        assert self._last is not None
        if any(one.nodes_backend == "node-groups" for one in self._last.clusters):
            return False
        now = observe(list(self._seen))
        return all(now[context] is seen for context, seen in self._seen.items())


class _Kept:
    """Durable state: texts, and pattern pools where it is a folder."""

    def __init__(self, options: Options) -> None:
        self._server: Server | None = None
        self._folder = folder_of(options.state)
        self.durable: Durable = Nowhere()
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self.durable = Folder(self._folder)
        elif options.state is not None and options.acts:
            self.durable, self._server = config_map(options.state, options.contexts)

    def planned(
        self, planner: api.Planner, complain: Callable[[str], None]
    ) -> Callable[[FleetSnapshot, Catalog], FleetPlan]:
        """Plans, and keeps what the next life can start from."""

        def plan(fleet: FleetSnapshot, catalog: Catalog) -> FleetPlan:
            made = planner.plan(fleet, catalog)
            try:
                if self._folder is not None:
                    state.write_state(self._folder, made.pools)
            except OutputError as error:
                complain(f"{error}: the next life of this loop plans from nothing")
            return made

        return plan

    def close(self) -> None:
        """Let go of the connection."""
        if self._server is not None:
            self._server.close()


def folder_of(text: str | None) -> Path | None:
    """The folder that ``--state`` names, None where it names none."""
    return None if text is None or config_map_named(text) is not None else Path(text)


def config_map(text: str, contexts: Sequence[str]) -> tuple[Durable, Server]:
    """The ConfigMap that ``--state`` names, in the first of the contexts, else in the cluster that this runs in."""
    named = config_map_named(text)
    assert named is not None
    server = Server(contexts[0] if contexts else IN_CLUSTER)
    return ConfigMap(server, *named), server


def _catalog(options: Options, planner: api.Planner, telling: Telling) -> Callable[[], Catalog]:
    """The catalogue of the moment, which is told: a folder's may change, the shipped one does not."""
    folder = options.catalog
    if folder is None:
        shipped = api.load_catalog()
        return lambda: _supplied(telling, planner, None, shipped)

    def of_the_day() -> Catalog:
        version = planner.catalog_of_the_day(folder)
        return _supplied(telling, planner, version.read_at, version.catalog)

    return of_the_day


def _supplied(telling: Telling, planner: api.Planner, read_at: datetime | None, catalog: Catalog) -> Catalog:
    telling.supplied(read_at, planner.shards_died())
    return catalog


class _Equip:
    """Gives each cluster hands and a Lease, when it is met."""

    def __init__(
        self, options: Options, stack: ExitStack, ring: Callable[[], None], show: Callable[[str], None]
    ) -> None:
        self._options, self._stack, self._ring, self._show = options, stack, ring, show
        self._identity = identity()

    def of(self, cluster: ClusterSnapshot) -> tuple[Hands, Holding]:
        """What acts on a cluster, and whether this loop may."""
        assert cluster.context is not None
        lease_s = cluster.settings.lease_s
        held: Holding = _Nobody()
        if self._options.acts:
            quick = Patience(connect_s=lease_s / 5, read_s=lease_s / 5, whole_s=0.0)
            asking = Server(cluster.context, quick)
            self._stack.callback(asking.close)
            lease = Lease(asking, self._identity, lease_s, self._ring)
            lease.start()
            self._stack.callback(lease.stop)
            held = lease
        patience = Patience(read_s=lease_s / 3, whole_s=lease_s / 5)
        server = Guarded(cluster.context, patience, held.held)
        self._stack.callback(server.close)
        writer = StepWriter(server)
        backend = backend_called(cluster.nodes_backend, writer, self._show, cluster.name, cluster.region)
        return ClusterHands(writer, backend), held


class Saved:
    """Writes the status that ``raypipe status`` reads, at the end of a cycle."""

    def __init__(self, board: StatusBoard, durable: Durable, least_s: float) -> None:
        """least_s: seconds between two writes, where nothing but the hour has changed."""
        self._board, self._durable, self._least_s = board, durable, least_s
        self._said: Status | None = None
        self._at = -float("inf")

    def __call__(self) -> None:
        """Save it, unless it says what it said a moment ago; OutputError or ClusterError where that is impossible."""
        status, now = self._board.status(), time.monotonic()
        timeless = dataclasses.replace(
            status, at=None, clusters=tuple(dataclasses.replace(one, seen_at=None) for one in status.clusters)
        )
        if timeless == self._said and now - self._at < self._least_s:
            return
        self._durable.write(STATUS, status.to_json().encode())
        self._said, self._at = timeless, now
