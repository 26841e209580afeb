"""The table of planning on Ray: what it says of processes is so, and its checks can fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.benchmark import on_ray
from tests.benchmark.processes import cpu_s, descendants, first_marked, rss_mib

STARTS_ONE = "import json, subprocess, sys; subprocess.Popen(['sleep', '60']); print(json.dumps({'plan': sys.argv[1]}))"


def test_a_process_that_is_left_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def marked(mark: str, title: bytes = b"") -> list[int]:
        left.extend(found := real(mark, title))
        return found

    real = on_ray.marked
    monkeypatch.setattr(on_ray, "marked", marked)
    seconds, plan, count = on_ray.plan_by(STARTS_ONE, ["a plan"])
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert (plan, count) == ({"plan": "a plan"}, 1)
    assert seconds > 0


def test_a_program_that_fails_has_made_no_plan() -> None:
    assert on_ray.plan_by("import sys; sys.exit(7)", [])[1:] == ({"exit": 7}, 0)


def test_a_process_that_never_comes_is_not_waited_for() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    assert first_marked("no such mark", b"ray::", ended) is None


def test_a_family_is_who_started_whom() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"])
    while len(family := descendants(child.pid)) < 2:
        assert child.poll() is None
    assert set(family) < set(descendants(os.getpid()))
    assert rss_mib(child.pid) > 1
    for pid in family:
        os.kill(pid, signal.SIGKILL)
    child.wait()
    assert (cpu_s(child.pid), rss_mib(child.pid)) == (0.0, 0.0)
