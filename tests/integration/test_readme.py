"""What the README and the examples show is what happens: commands are run, printed results compared."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from raypipe.cli import main
from raypipe.manifests import read_paths
from tests.integration.readme import rerun

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_every_session_prints_what_it_is_said_to_print(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    assert rerun(README) == README, "where that is as it should be: python -m tests.integration.readme"


def test_a_certificate_proves_what_the_readme_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["plan", "examples/fleet", "--certify", "--quiet"]) == 0
    said = re.search(r"`--certify`.*?shop's rises to (\S+), and the plan is (within .*? %)", README, re.DOTALL)
    shown = re.search(r"proven bound +(\S+) .*?(within .*? %)", capsys.readouterr().out)
    assert said is not None
    assert shown is not None
    assert said.groups() == shown.groups()


def test_the_python_of_the_readme_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for language, text in BLOCKS:
        if language == "python":
            exec(compile(text, "README.md", "exec"), {})


def test_the_yaml_of_the_readme_is_a_fleet_file_or_settings(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    for language, text in BLOCKS:
        if language == "yaml" and yaml.safe_load(text).get("kind") == "Fleet":
            path = tmp_path / "fleet.yaml"
            path.write_text(text, encoding="utf-8")
            assert all(cluster.error is None for cluster in read_paths([path]).clusters)


def test_ci_calls_the_second_command_of_the_readme() -> None:
    lines = [line for language, text in BLOCKS if language == "bash" for line in text.splitlines()]
    (second,) = {line.partition("#")[0].strip() for line in lines if "pytest" in line}
    assert f"\n{second}\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_ten_lines_plan_the_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["plan_in_ten_lines.py", "examples/fleet"])
    runpy.run_path("examples/plan_in_ten_lines.py")
    printed = capsys.readouterr().out
    assert "/h, proven to be at least $" in printed
    assert "research" in printed
    assert "not placed" not in printed


def test_a_terminal_of_ascii_is_no_failure() -> None:
    code = "import sys; from raypipe.cli import main; sys.exit(main(['plan', 'examples/fleet']))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=False, env={"PYTHONIOENCODING": "ascii"}
    )
    assert run.returncode == 0, run.stderr
    assert b"proven bound" in run.stdout
