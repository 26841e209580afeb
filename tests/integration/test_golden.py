"""The golden cases: the semantics by example, each by the command it names, compared by its own program."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from raypipe.cli import main

GOLDEN = Path(__file__).parents[2] / ".." / "shared" / "golden"
CASES = sorted(path.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("*/expect*.json"))

pytestmark = pytest.mark.skipif(not CASES, reason="the golden cases (../shared/golden) are not here")


@pytest.mark.parametrize("case", CASES)
def test_the_plan_is_the_expected_one(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = json.loads((GOLDEN / case).read_text(encoding="utf-8"))
    monkeypatch.chdir(GOLDEN)
    code = main(shlex.split(expected["command"])[1:])
    printed = capsys.readouterr()
    plan = tmp_path / "plan.json"
    plan.write_text(printed.out, encoding="utf-8")
    compared = subprocess.run(
        [sys.executable, "compare.py", case, plan], capture_output=True, text=True, check=False, cwd=GOLDEN
    )
    assert compared.stdout.strip() == "same", printed.err
    assert code == expected["exit"]


@pytest.mark.parametrize("case", CASES)
def test_the_table_and_the_objects_can_be_told_too(
    case: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = json.loads((GOLDEN / case).read_text(encoding="utf-8"))
    monkeypatch.chdir(GOLDEN)
    command = shlex.split(expected["command"])[1:-2]  # without -o json
    assert main(command) == expected["exit"]
    table = capsys.readouterr().out
    assert "proven bound" in table
    assert main([*command, "-o", "yaml"]) == expected["exit"]


def test_the_error_of_a_broken_cluster_is_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(GOLDEN)
    assert main(["plan", "12-broken-cluster", "--catalog", "catalog", "-o", "json"]) == 2
    said = capsys.readouterr().err
    for part in ("negative.yaml", "resources.requests.cpu", "-1"):
        assert part in said
