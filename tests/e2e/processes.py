"""Programs that run for as long as the tests do: started with a log each, watched, and ended by pid."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.e2e import guard

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections, so that none of these takes a port between choice and use."""


class ProgramError(Exception):
    """A program of the rig ended by itself."""


class Guard:
    """The process that ends all others when this one dies (guard.py)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", guard.__file__], stdin=subprocess.PIPE, start_new_session=True, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch(self, program: Program) -> None:
        """From now on this program ends with us."""
        self._input.write(json.dumps({"pid": program.pid, "command": program.command}) + "\n")
        self._input.flush()

    def close(self) -> None:
        """End what still runs, and the guard."""
        self._input.close()
        self._process.wait()

    @property
    def _input(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin


@dataclass
class Program:
    """A program of a rig: its command, where it logs, and the process while it runs.

    It gets a session of its own: Ctrl-C reaches the tests, which then end it.
    """

    name: str
    command: list[str]
    log: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None, f"{self.name} was never started"
        return self.process.pid

    def start(self, guard_process: Guard) -> None:
        """Start it; again after an end, with the same command."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        guard_process.watch(self)

    def end(self) -> None:
        """End it now and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            guard.end(self.process.pid, self.command)
            self.process.wait()

    def check(self) -> None:
        """Raise ProgramError, with the end of its log, where it no longer runs."""
        if self.process is None or (status := self.process.poll()) is None:
            return
        raise ProgramError(f"{self.name} ended with status {status}:\n{self.tail()}")

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(line[:400] for line in text.splitlines()[-lines:])

    @property
    def rss_bytes(self) -> int:
        """Memory that it holds now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different."""
    ports: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise OSError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop}")


def until[T](ask: Callable[[], T | None], within_s: float, what: str, programs: Sequence[Program] = ()) -> T:
    """What `ask` answers once that is true of anything.

    AssertionError after `within_s`; ProgramError as soon as one of `programs` has ended.
    """
    deadline = time.monotonic() + within_s
    pause_s = 0.02
    while True:
        answer = ask()
        if answer:
            return answer
        for program in programs:
            program.check()
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within_s:g} s in vain: {what}")
        time.sleep(pause_s)
        pause_s = min(0.25, pause_s * 1.5)
