"""A driver's connection to the Coordinator: asks for plans, sends what the Coordinator lacks, asks again if it died.

The Coordinator is a named actor, so that every driver of a Ray cluster finds the same one. With an address it is
detached and stays, with its memo, when the driver ends; without, it ends with the connection. The PriceScout of the
driver's machine likewise.
"""

from __future__ import annotations

import gc
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, ObjectLostError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raypipe.actors.coordinator import NAME, NAMESPACE, CoordinatorActor, Reply, State
from raypipe.actors.meanwhile import Meanwhile
from raypipe.actors.parcels import PART_BYTES, Large, Missing, Packed, Same, digest_of, pack, unpack_whole
from raypipe.actors.price_scout import NAME as SCOUT_NAME
from raypipe.actors.price_scout import PriceScoutActor, Published
from raypipe.actors.runtime import Runtime, connect, starts_here
from raypipe.catalog import Catalog
from raypipe.catalog.feed import Feed
from raypipe.catalog.versions import Version
from raypipe.errors import ClusterError
from raypipe.model.plan import FleetPlan
from raypipe.model.snapshot import FleetSnapshot

ATTEMPTS = 6
"""How often a Coordinator that dies is asked again."""

RETURN_S = 60
"""How long to wait for a Coordinator that died to be started again."""

ASK_EVERY_S = 0.25
"""How often progress is asked for, and `stop`."""


class Connection:
    """A running Ray with its Coordinator; close it. `version` is raypipe's."""

    def __init__(self, address: str | None, version: str, shards: int | None = None) -> None:
        self._address, self._version, self._shards = address, version, shards
        self._runtime: Runtime | None = None
        self._coordinator: Any = None
        self._own = False
        self._scout: Any = None
        self._last: tuple[str, FleetPlan] | None = None

    def _joined(self) -> Runtime:
        """Ray, started or joined when it is first needed."""
        self._runtime = self._runtime or connect(self._address, self._shards)
        return self._runtime

    def close(self) -> None:
        """End the actors that are ours alone, and leave Ray as it was found."""
        if self._runtime is None:
            return
        ours = [self._coordinator if self._own else None, None if self._runtime.shared else self._scout]
        for actor in ours:
            if actor is not None and ray.is_initialized():
                ray.kill(actor)
        self._coordinator = self._scout = None
        self._runtime.stop()

    def plan_fleet(
        self,
        fleet: FleetSnapshot,
        catalog: Catalog,
        *,
        progress: Callable[[str], None] | None = None,
        stop: Callable[[], bool] | None = None,
        **options: Any,
    ) -> FleetPlan:
        """`raypipe.fleet.plan_fleet` elsewhere: the same arguments but the executor, the same plan.

        Raises what that raises, and ClusterError where Ray cannot be used.
        """
        answers = self._answered_meanwhile(fleet, catalog, progress, stop, options)
        packed = pack((fleet, catalog, options))
        for attempt in range(ATTEMPTS):
            try:
                return self._asked(packed, answers, progress or (lambda _: None), stop or (lambda: False))
            except RayTaskError as error:
                raise (error.cause or error) from None
            except ActorUnavailableError:
                self._await_return()
            except RayActorError:
                self._lost()
                time.sleep(0.3 * attempt)
            except RayError as error:
                raise ClusterError(f"Ray: {str(error).strip().splitlines()[0]:.300}") from error
        raise ClusterError(f"Ray: the Coordinator died {ATTEMPTS} times in a row: see the logs of Ray")

    def _answered_meanwhile(
        self,
        fleet: FleetSnapshot,
        catalog: Catalog,
        progress: Callable[[str], None] | None,
        stop: Callable[[], bool] | None,
        options: Mapping[str, Any],
    ) -> Mapping[str, bytes]:
        """Have the Coordinator there, and what could be planned here until it was."""
        if self._runtime is not None or not starts_here(self._address):
            return {}
        meanwhile = Meanwhile(fleet, catalog, progress, stop or (lambda: False), options)
        try:
            self._found()
        finally:
            answers = meanwhile.enough()
        return answers

    def catalog_of_the_day(self, folder: str, last: Version | None) -> Version:
        """What the PriceScout believes of a folder of this machine; a new one goes on from `last`.

        Where no PriceScout can be on this machine (an address of Ray's client), the folder is read here.

        Raises CatalogError where the folder cannot be read and never could, ClusterError where Ray cannot be used.
        """
        if not self._joined().near:
            return Feed(folder, last).refreshed(datetime.now(UTC))
        for attempt in range(ATTEMPTS):
            try:
                published: Published = ray.get(self._scouting(last).refreshed.remote(folder))
                return published.version(last)
            except RayTaskError as error:
                raise (error.cause or error) from None
            except (RayActorError, ObjectLostError):
                self._scout = None
                time.sleep(0.3 * attempt)
        raise ClusterError(f"Ray: the PriceScout died {ATTEMPTS} times in a row: see the logs of Ray")

    def _scouting(self, last: Version | None) -> Any:
        """The PriceScout of this machine, made where there is none and told what was believed last."""
        if self._scout is None:
            shared = self._joined().shared
            node = ray.get_runtime_context().get_node_id()
            options: dict[str, Any] = {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
            if shared:
                name = f"{SCOUT_NAME}-{self._version}-{node}"
                options |= {"name": name, "namespace": NAMESPACE, "get_if_exists": True, "lifetime": "detached"}
            self._scout = PriceScoutActor.options(**options).remote()
            if last is not None:
                self._scout.believe.remote(last)
        return self._scout

    def state(self) -> State:
        """What the Coordinator is and has done."""
        state: State = ray.get(self._found().state.remote())
        return state

    def deaths(self) -> int | None:
        """How many planner shards have died and were replaced; None while the Coordinator cannot tell."""
        try:
            return self.state().deaths
        except RayError:
            return None

    def _await_return(self) -> None:
        """Ray starts a Coordinator that died again, which takes seconds on a machine with much to do."""
        given_up = time.monotonic() + RETURN_S
        while time.monotonic() < given_up:
            try:
                ray.get(self._found().version.remote())
            except ActorUnavailableError:
                time.sleep(ASK_EVERY_S)
            except RayActorError:
                return self._lost()
            else:
                return None
        raise ClusterError(f"Ray: the Coordinator died and was not back within {RETURN_S} s: see the logs of Ray")

    def _lost(self) -> None:
        """A Coordinator that was ended for good is looked for anew."""
        self._coordinator = None
        gc.collect()  # as long as a handle is left in some frame, Ray finds the dead one by the name

    def _found(self) -> Any:
        """The Coordinator, made where there is none; ClusterError for one of another version."""
        if self._coordinator is None:
            shared = self._joined().shared
            coordinator: Any
            try:
                coordinator = ray.get_actor(NAME, NAMESPACE)
                self._own = False
            except ValueError:
                coordinator = self._made(shared)
                self._own = not shared
            version: str = ray.get(coordinator.version.remote())
            if version != self._version:
                raise ClusterError(
                    f"Ray: found a Coordinator of raypipe {version}, expected {self._version}; end it with "
                    f"ray.kill(ray.get_actor({NAME!r}, {NAMESPACE!r})), or plan with its version"
                )
            self._coordinator = coordinator
        return self._coordinator

    def _made(self, shared: bool) -> Any:
        options: dict[str, Any] = {"name": NAME, "namespace": NAMESPACE, "get_if_exists": True, "max_restarts": -1}
        if shared:
            options["lifetime"] = "detached"
        return CoordinatorActor.options(**options).remote(self._version, self._shards)

    def _asked(
        self,
        packed: Packed,
        answers: Mapping[str, bytes],
        progress: Callable[[str], None],
        stop: Callable[[], bool],
    ) -> FleetPlan:
        """Ask for the plan and send what is missing, until the plan comes; `answers`: what is known of it already."""
        coordinator, request = self._found(), uuid.uuid4().hex
        for part in batches(answers.items()):
            ray.get(coordinator.remember.remote(part))
        for _ in range(ATTEMPTS):
            answer: Reply | None = self._waited(coordinator, request, packed, progress, stop)
            if isinstance(answer, Large):
                answer = fetched(coordinator, request, answer.size)
            if isinstance(answer, Same) and self._last is not None:
                return self._last[1]
            if isinstance(answer, bytes):
                plan: FleetPlan = unpack_whole(answer)
                self._last = digest_of(answer), plan
                return plan
            if isinstance(answer, Missing):
                catalogs = {digest: packed.catalogs[digest] for digest in answer.catalogs}
                ray.get(coordinator.keep.remote({}, catalogs))
                for batch in batches(packed.sent(answer.clusters)):
                    ray.get(coordinator.keep.remote(batch, {}))
        raise ClusterError("Ray: the fleet is more than the Coordinator can hold")

    def _waited(
        self, coordinator: Any, request: str, packed: Packed, progress: Callable[[str], None], stop: Callable[[], bool]
    ) -> Reply:
        """Wait for an answer, telling meanwhile what goes on and handing on the wish to stop."""
        has = None if self._last is None else self._last[0]
        call, stopped, before = coordinator.plan.remote(request, packed.parcel, has), False, ""
        while not ray.wait([call], timeout=ASK_EVERY_S if stopped or not stop() else 0.0)[0]:
            if stop() and not stopped:
                stopped = True
                ray.get(coordinator.stop.remote(request))
            if (told := ray.get(coordinator.told.remote(request))) != before:
                progress(told)
                before = told
        answer: Reply = ray.get(call)
        return answer


def fetched(coordinator: Any, request: str, size: int) -> bytes | None:
    """A large answer, part by part; None where the Coordinator has it no longer."""
    parts: list[bytes] = []
    for start in range(0, size, PART_BYTES):
        part: bytes | None = ray.get(coordinator.part.remote(request, start))
        if part is None:
            return None
        parts.append(part)
    return b"".join(parts)


def batches(entries: Iterable[tuple[str, bytes]]) -> Iterator[dict[str, bytes]]:
    """The entries in parts of at most `PART_BYTES`, or of one that is larger; each made when it is asked for.

    >>> [list(part) for part in batches([("a", bytes(3 * 2**20)), ("b", bytes(2 * 2**20)), ("c", b"")])]
    [['a'], ['b', 'c']]
    """
    part: dict[str, bytes] = {}
    for digest, data in entries:
        if part and sum(map(len, part.values())) + len(data) > PART_BYTES:
            yield part
            part = {}
        part[digest] = data
    if part:
        yield part
