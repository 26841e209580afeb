"""The converter of the openb trace, on a few rows of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import raypipe

ROOT = Path(__file__).parents[2]
HEADER = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n"


def convert(text: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    trace = tmp_path / "trace.csv"
    trace.write_text(text)
    command = [sys.executable, str(ROOT / "examples" / "openb_to_manifests.py"), str(trace)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_rows_become_pods_that_can_be_planned(tmp_path: Path) -> None:
    done = convert(HEADER + "a,4000,1024,1,500,T4\nb,1000,512,0,0,\nc,2000,2048,2,1000,G2|T4\n", tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "openb.json").write_text(done.stdout)
    items = json.loads(done.stdout)["items"]
    assert items[0]["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] == "1"
    assert items[2]["metadata"]["annotations"] == {"raypipe.io/instance-gpu-skus": "a10g,l4,t4"}
    plan = raypipe.plan(raypipe.read(tmp_path / "openb.json"))
    assert plan.unplaced == ()


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "line 2" in convert(HEADER + "a,many,1024,0,0,\n", tmp_path).stderr
    done = convert("name,cpu\n", tmp_path)
    assert done.returncode == 2
    assert "memory_mib" in done.stderr
