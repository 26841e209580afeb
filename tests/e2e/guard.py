"""Ends the programs of a rig when the tests that started them are gone, however they went.

Runs as a process of its own, with nothing but Python: every line of its input is a program, as JSON with its pid and
its command. The input ends when the tests close it or die; then each of these programs that still runs is ended. A pid
may belong to somebody else by then, so what is ended is a process with that very command line and no other.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path


def command_of(pid: int) -> list[str]:
    """The command line of a process, [] where there is none (gone, or ended and not yet waited for)."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [os.fsdecode(word) for word in raw.split(b"\0")[:-1]]


def end(pid: int, command: Sequence[str]) -> bool:
    """End the process `pid` if its command line is `command`: at once, since nothing that it holds outlives a rig."""
    if command_of(pid) != list(command):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


def main() -> None:
    """Wait for the end of the input, then end what it named, the last started first."""
    programs = [json.loads(line) for line in sys.stdin]
    for program in reversed(programs):
        end(program["pid"], program["command"])


if __name__ == "__main__":
    main()
