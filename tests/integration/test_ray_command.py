"""Ray from the outside: started by the command, silent, and gone with it; not even imported where it is not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet"
COMMAND = "import sys; from raypipe.cli import main; sys.exit(main())"


def run(code: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"RAY_AUTH_MODE": "token"} | variables
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def plan(text: str) -> dict[str, object]:
    made: dict[str, object] = json.loads(text)
    del made["created_at"]
    return made


def marked(mark: str) -> Iterator[str]:
    """The command lines of processes that have the mark in their environment."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                yield (process / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue  # it is gone, or somebody else's


def test_the_command_starts_ray_in_silence_and_leaves_nothing_behind(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    words = ("plan", str(EXAMPLE), "-o", "json")
    on_ray = run(COMMAND, *words, "--executor", "ray", HOME=str(tmp_path), RAYPIPE_TEST_MARK=mark)
    assert (on_ray.returncode, on_ray.stderr) == (0, "")
    assert list(marked(mark)) == []
    assert plan(on_ray.stdout) == plan(run(COMMAND, *words).stdout)


UNDER_UV = """
import sys
from raypipe.actors.runtime import connect
runtime = connect(None, 1)
import ray
print(sys.executable == ray.get(ray.remote(lambda: sys.executable).remote()))
runtime.stop()
"""


def test_a_ray_that_is_started_under_uv_runs_the_same_python(tmp_path: Path) -> None:
    """Ray by itself sends the working folder to a virtual environment of its own where a parent is `uv run`."""
    (tmp_path / "run").write_text('"$@"\nexit $?\n')
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ENABLE_UV_RUN_RUNTIME_ENV"}
    told = subprocess.run(
        ["uv", "run", sys.executable, "-c", UNDER_UV],  # a shell by the name of uv, with a script by the name of run
        executable="/bin/sh",
        cwd=tmp_path,
        env=environment | {"HOME": str(tmp_path), "PYTHONPATH": str(EXAMPLE.parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (told.stdout, told.stderr) == ("True\n", "")


ADDRESSES = """
import sys
from raypipe.actors.runtime import connect
from raypipe.errors import ClusterError
for address in sys.argv[1:]:
    try:
        connect(address, None)
    except ClusterError as error:
        print(error)
"""


def test_an_address_without_ray_is_told_in_words() -> None:
    told = run(ADDRESSES, "127.0.0.1:1", "elsewhere")
    assert told.stdout.splitlines() == [
        "Ray at 127.0.0.1:1: nobody answers (Connection refused)",
        "Ray at elsewhere: Invalid address format: elsewhere",
    ]
    assert told.stderr == ""


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import raypipe; raypipe.read, raypipe.plan, raypipe.Planner", id="the names of the package"),
        pytest.param("from raypipe.cli import main; main(['--help'])", id="help"),
        pytest.param(f"from raypipe.cli import main; main(['plan', {str(EXAMPLE)!r}])", id="a small plan"),
    ],
)
def test_ray_is_imported_by_nobody_who_does_not_use_it(code: str) -> None:
    assert run(f"{code}; import sys; sys.exit('ray' in sys.modules)").returncode == 0
