"""Addresses of a Ray that is not to be joined: a clear error in time, exit code 1, and nothing left running."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.benchmark.processes import marked

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from raypipe.cli import main; sys.exit(main())"
OTHER_VERSION = f"import ray; ray.__version__ = '2.59.0'; {COMMAND}"
WITHIN_S = 30
TOKEN = {"RAY_AUTH_MODE": "token"}
WRONG = TOKEN | {"RAY_AUTH_TOKEN": "a" * 64}
REFUSED = r"it asks for a token and got none or another: found {}, expected RAY_AUTH_MODE=token and its token in RAY_"
client = pytest.mark.skipif(find_spec("grpc") is None, reason="Ray's client, which ray:// needs, is missing")


@dataclass(frozen=True, kw_only=True)
class Head:
    """A Ray with token authentication: where it is, and the HOME with its token."""

    gcs: str
    client: str
    home: str


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    home, mark = tmp_path_factory.mktemp("home"), uuid.uuid4().hex
    folder = tempfile.mkdtemp(prefix="ray-")  # not below tmp_path: the names of sockets have to be short
    gcs, served = free_port(), free_port()
    words = ["--head", "--num-cpus=1", f"--temp-dir={folder}", f"--port={gcs}", "--include-dashboard=false"]
    words += [f"--ray-client-server-port={served}"] if find_spec("grpc") is not None else []
    environment = surroundings(home, RAYPIPE_TEST_MARK=mark, **TOKEN)
    for command in (["get-auth-token", "--generate"], ["start", *words]):
        ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", *command]
        done = subprocess.run(ray, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    yield Head(gcs=f"127.0.0.1:{gcs}", client=f"ray://127.0.0.1:{served}", home=str(home))
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in marked(mark):
            os.kill(process, number)
        until = time.monotonic() + 3
        while marked(mark) and time.monotonic() < until:
            time.sleep(0.05)
    assert marked(mark) == []
    shutil.rmtree(folder)


def surroundings(home: Path | str, **more: str) -> dict[str, str]:
    """An environment that knows of no Ray but by `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {"HOME": str(home), "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"} | more


def refused(address: str, code: str, home: Path | str, more: dict[str, str]) -> str:
    """The last line of what the command says, which fails in time and leaves nothing behind."""
    mark = uuid.uuid4().hex
    words = ["plan", str(ROOT / "examples" / "fleet"), "--quiet", "--address", address]
    environment = surroundings(home, RAYPIPE_TEST_MARK=mark, **more)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, timeout=2 * WITHIN_S
    )
    seconds = time.monotonic() - begun
    assert (done.returncode, done.stdout, marked(mark)) == (1, "", [])
    assert seconds < WITHIN_S
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("by", "code", "knows", "more", "said"),
    [
        pytest.param("gcs", COMMAND, False, {}, REFUSED.format("no RAY_AUTH_MODE"), id="no token"),
        pytest.param("gcs", COMMAND, False, TOKEN, REFUSED.format("RAY_AUTH_MODE=token"), id="a token that is nowhere"),
        pytest.param("gcs", COMMAND, True, WRONG, REFUSED.format("RAY_AUTH_MODE=token"), id="a wrong token"),
        pytest.param("gcs", OTHER_VERSION, True, TOKEN,
                     r"Version mismatch: The cluster was started with: Ray: \S+ .* started with: Ray: 2\.59\.0",
                     id="another version"),
        pytest.param("client", COMMAND, False, {}, REFUSED.format("no RAY_AUTH_MODE"), id="by the client, no token",
                     marks=client),
        pytest.param("client", COMMAND, True, WRONG, REFUSED.format("RAY_AUTH_MODE=token"), marks=client,
                     id="by the client, a wrong token"),
    ],
)  # fmt: skip
def test_a_ray_that_lets_nobody_in_is_told_in_words(
    by: str, code: str, knows: bool, more: dict[str, str], said: str, head: Head, tmp_path: Path
) -> None:
    address = head.gcs if by == "gcs" else head.client
    told = refused(address, code, head.home if knows else tmp_path, more)
    assert re.match(f"raypipe: Ray at {address}: {said}", told), told


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_a_dead_address_is_told_in_words(address: str, tmp_path: Path) -> None:
    dead = address.format(free_port())
    assert refused(dead, COMMAND, tmp_path, {}) == f"raypipe: Ray at {dead}: nobody answers (Connection refused)"
