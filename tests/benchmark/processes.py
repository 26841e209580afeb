"""Processes of a command as the operating system sees them: which there are, what they take, and how they end."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def marked(mark: str, title: bytes = b"") -> list[int]:
    """Processes that have the mark in their environment, and are called so."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes() and title in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it is gone, or somebody else's
    return found


def first_marked(mark: str, title: bytes, starter: subprocess.Popen[bytes]) -> int | None:
    """Wait for a process that is called so; None where the one that would start it ends before."""
    while starter.poll() is None:
        if found := marked(mark, title):
            return found[0]
        time.sleep(0.05)
    return None


def descendants(pid: int) -> list[int]:
    """A process and all that it has started, and so on."""
    parents: dict[int, int] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(process.name)] = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # it is gone
    family = [pid]
    for one in family:
        family += [child for child, parent in parents.items() if parent == one]
    return family


def cpu_s(pid: int) -> float:
    """Seconds of processor time so far; 0 of a process that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def most_mib(pid: int) -> float:
    """The most memory that a process ever had."""
    return _status_mib(pid, "VmHWM")


def rss_mib(pid: int) -> float:
    """The memory that a process has."""
    return _status_mib(pid, "VmRSS")


def _status_mib(pid: int, name: str) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))
