"""``raypipe run``, ``pause`` and ``resume``: the loop with all who are told of it, until it is asked to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from raypipe.adapters.kubernetes import Server
from raypipe.controller.audit import Audit, audit_file
from raypipe.controller.durable import PAUSED, Durable, Folder
from raypipe.controller.endpoints import Endpoints
from raypipe.controller.event_writer import EventWriter, Said
from raypipe.controller.events import Events, LateEvents
from raypipe.controller.health import Health
from raypipe.controller.later import Later
from raypipe.controller.lease import identity
from raypipe.controller.lines import Lines
from raypipe.controller.loop import Loop
from raypipe.controller.metrics import Metrics
from raypipe.controller.start import Options, config_map, folder_of, started
from raypipe.controller.telling import Everybody, Telling
from raypipe.errors import ClusterError, InputError, Problem

DONE, WRONG_INPUT, UNPLACED = 0, 2, 3


@dataclass(frozen=True, kw_only=True)
class Outside:
    """Who is told: `say` and `complain` take a line; audit: a file; listen: an address for metrics and health."""

    say: Callable[[str], None]
    complain: Callable[[str], None]
    audit: Path | None = None
    listen: str | None = None


def serve(options: Options, outside: Outside, *, once: bool = False) -> int:
    """Run the loop until Ctrl-C or SIGTERM, or for one cycle; the exit code."""
    stop = threading.Event()
    with ExitStack() as stack:
        told: list[Telling] = [Lines(outside.say)]
        if outside.audit is not None:
            told.append(Audit(audit_file(outside.audit, outside.complain)))
        if outside.listen is not None:
            metrics, health = Metrics(), Health()
            told += [metrics, health]
            stack.enter_context(Endpoints(outside.listen, metrics, health))
        if options.acts:
            writers, later = stack.enter_context(_Writers(outside.complain)), Later()
            stack.callback(later.close)  # first of the two: what is left is written
            told.append(Events(LateEvents(writers.of, later)))
        loop = stack.enter_context(started(options, Everybody(*told), outside.complain, outside.say))
        stack.enter_context(_ending(stop, loop))
        if once:
            loop.once()
        else:
            loop.run(stop)
        if not once:
            return DONE
        if loop.errors:
            return WRONG_INPUT
        return UNPLACED if any(plan.unplaced for plan in loop.plans.values()) else DONE


class _Writers:
    """Who writes the Events of each cluster, by connections of their own."""

    def __init__(self, complain: Callable[[str], None]) -> None:
        self._complain, self._instance = complain, identity()
        self._writers: dict[str, EventWriter] = {}
        self._servers: list[Server] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()

    def of(self, context: str) -> Callable[[Said, datetime], None] | None:
        """Who writes in the cluster of this context, None where it cannot be reached."""
        if context not in self._writers:
            try:
                server = Server(context)
            except ClusterError as error:
                self._complain(f"an Event was not written: {error}")
                return None
            self._servers.append(server)
            self._writers[context] = EventWriter(server, self._instance, self._complain)
        return self._writers[context].say


@contextmanager
def _ending(stop: threading.Event, loop: Loop) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the loop after its cycle; a second Ctrl-C at once."""

    def ended(_signal: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        loop.bell.set()

    before = {number: signal.signal(number, ended) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def pause(state: str, contexts: Sequence[str]) -> str:
    """Say to every loop with this state to change nothing; words for a person."""
    durable = _durable(state, contexts)
    if durable.read(PAUSED) is not None:
        return "it was paused already"
    note = {
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": identity(),
    }
    durable.write(PAUSED, msgspec.json.encode(note))
    return "paused: loops with this state observe and report, and change nothing"


def resume(state: str, contexts: Sequence[str]) -> str:
    """Let loops with this state act again; words for a person."""
    durable = _durable(state, contexts)
    if durable.read(PAUSED) is None:
        return "it was not paused"
    durable.delete(PAUSED)
    return "resumed: loops with this state act again"


def _durable(state: str, contexts: Sequence[str]) -> Durable:
    folder = folder_of(state)
    if folder is None:
        return config_map(state, contexts)[0]
    if not folder.is_dir():
        raise InputError(Problem(file=state, field="--state", found="no such folder", expected="the state of a loop"))
    return Folder(folder)
