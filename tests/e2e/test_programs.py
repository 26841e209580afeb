"""Building the rig's programs: once, and told apart whose fault it is that they cannot be had."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest

from tests.e2e.processes import until
from tests.e2e.programs import ASSETS, ETCD, BuildError, Go, Part, Programs, UnavailableError

HELLO = 'package main\n\nfunc main() { println("hello") }\n'
NOWHERE = "http://127.0.0.1:1"
"""A proxy that refuses every connection."""


@pytest.fixture(autouse=True)
def _go(tmp_path: Path) -> None:
    try:
        Go.found(tmp_path, print)
    except UnavailableError as error:
        pytest.skip(str(error))


def part(folder: Path, *, source: str = HELLO, requires: str = "") -> Part:
    """A part whose one program is a module of its own."""
    home = folder / "modules" / "small"
    home.mkdir(parents=True)
    (home / "go.mod").write_text(f"module example.com/small\n\ngo 1.26\n{requires}")
    (home / "go.sum").write_text("")
    (home / "main.go").write_text(source)
    return Part(name="small", module="example.com/small", programs={"hello": "example.com/small"}, modules=home.parent)


def test_a_program_is_built_once_and_anew_when_what_is_pinned_changes(tmp_path: Path) -> None:
    said: list[str] = []
    programs, small = Programs(said.append, tmp_path / "cache"), part(tmp_path)
    first = programs.paths(small)["hello"]
    assert (first.is_file(), said[0]) == (True, "building small, once: its modules first")
    said.clear()
    assert (programs.paths(small)["hello"], said) == (first, [])
    (small.folder / "go.sum").write_text("example.com/other v1.0.0 h1:none=\n")
    assert programs.paths(small)["hello"] != first
    assert [path.name for path in (tmp_path / "cache").iterdir() if "unfinished" in path.name] == []


def test_given_programs_are_used_and_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etcd").write_text("")
    monkeypatch.setenv(ASSETS, str(tmp_path))
    assert Programs(pytest.fail, tmp_path / "cache").paths(ETCD) == {"etcd": tmp_path / "etcd"}


def test_a_machine_that_reaches_no_modules_is_told_from_a_build_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", NOWHERE)
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modcache"))
    missing = part(tmp_path / "missing", requires="\nrequire example.com/other v1.0.0\n")
    with pytest.raises(
        UnavailableError, match=r"the Go modules of small cannot be downloaded: .*127\.0\.0\.1:1.*refused"
    ):
        Programs(print, tmp_path / "cache").paths(missing)
    broken = part(tmp_path / "broken", source="package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(BuildError, match=r"small: go build example\.com/small: .*undefined: undefined"):
        Programs(print, tmp_path / "cache").paths(broken)


def test_two_runs_never_build_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "cache").mkdir()
    programs, small = Programs(said.append, tmp_path / "cache"), part(tmp_path)
    with (tmp_path / "cache" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=programs.paths, args=[small])
        second.start()
        until(lambda: said, 10, "the second run says that it waits")
        assert said == ["another run is building; waiting for it"]
    second.join()
    assert programs.paths(small)["hello"].is_file()
