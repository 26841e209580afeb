"""The README's Ray job, by its words alone: a head with token authentication, a job, its plan."""

from __future__ import annotations

import json
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
from importlib.util import find_spec
from pathlib import Path

import pytest

import raypipe

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.skipif(find_spec("aiohttp_cors") is None, reason="ray[default], which jobs need, is missing")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def words() -> list[str]:
    """The commands of the README that need no network and end nobody else's Ray."""
    (block,) = (text for text in re.findall(r"^```bash\n(.*?)^```$", README, re.M | re.S) if "ray job submit" in text)
    lines = [line.partition("  #")[0].strip() for line in block.splitlines()]
    assert (*lines[:2], lines[-1]) == (". .venv/bin/activate", "pip install 'ray[default]'", "ray stop")
    return lines[2:-1]


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose processes are found again and ended: `ray stop` would end everybody's."""
    mark = uuid.uuid4().hex
    programs = Path(sys.executable).parent
    environment = {
        "HOME": str(tmp_path),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_FOLDER": tempfile.mkdtemp(prefix="ray-"),  # not below tmp_path: the names of sockets have to be short
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAYPIPE_TEST_MARK": mark,
    }
    yield environment
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in marked(mark):
            os.kill(process, number)
        until = time.monotonic() + 3
        while list(marked(mark)) and time.monotonic() < until:
            time.sleep(0.05)
    assert list(marked(mark)) == []
    shutil.rmtree(environment["RAY_FOLDER"])


def marked(mark: str) -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                yield int(process.name)
        except OSError:
            continue


HUGE = """
{apiVersion: v1, kind: Pod, metadata: {name: huge},
 spec: {containers: [{name: main, resources: {requests: {cpu: 9000}}}]}}
"""


def test_the_readmes_job_plans_the_example_and_fails_where_a_pod_stays_unplaced(
    ours: dict[str, str], tmp_path: Path
) -> None:
    port, folder = free_port(), ours["RAY_FOLDER"]
    started = f"ray start --head --num-cpus=2 --temp-dir={folder} --dashboard-port={port}"
    started += f" --port={free_port()} --ray-client-server-port={free_port()}"
    started += f" --dashboard-agent-listen-port={free_port()}"  # else taken where another Ray runs
    text = "\n".join(words()).replace("ray start --head", started).replace(":8265", f":{port}")
    (tmp_path / "huge").mkdir()
    (tmp_path / "huge" / "pod.yaml").write_text(HUGE, encoding="utf-8")
    unplaced = f"ray job submit --working-dir {tmp_path}/huge -- python {ROOT}/jobs/plan.py pod.yaml"
    script = f"set -e\n{text} -o json --out {tmp_path}/plan.json\n{unplaced} || echo the client ends with $?\n"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=ours, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    assert "1 × Pod/default/huge: size: needs 9000 cpu" in done.stdout
    assert "failed with exit code 3" in done.stdout
    assert done.stdout.endswith("the client ends with 1\n")
    made = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    here = json.loads(raypipe.plan(raypipe.read(ROOT / "examples" / "fleet")).to_json())
    assert made | {"created_at": None} == here | {"created_at": None}
