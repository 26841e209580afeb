"""`raypipe status`: what a loop has said, as a table or as data, and what is wrong with the question."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe.cli import main
from raypipe.model.status import ClusterStatus, Status

SAID = Status(at="2026-01-05T12:00:00Z", clusters=(ClusterStatus(name="research", mode="paused", nodes=3),))


@pytest.fixture
def state(tmp_path: Path) -> str:
    (tmp_path / "status.json").write_text(SAID.to_json())
    return str(tmp_path)


def test_a_status_is_a_table_where_nobody_watches(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state", state]) == 0
    printed = capsys.readouterr().out
    assert "OLD: no loop writes it now" in printed
    assert "  research  paused      3" in printed


def test_a_status_as_data_is_what_the_loop_wrote(state: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--state", state, "-o", "json"]) == 0
    assert Status.from_json(json.dumps(json.loads(capsys.readouterr().out))) == SAID


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(None, "--state: found no such file, expected the status that a loop writes", id="none"),
        pytest.param("{", "--state: found Input data was truncated", id="half of one"),
        pytest.param('{"clusters": 3}', "--state: found Expected `array`, got `int`", id="something else"),
    ],
)
def test_a_state_without_a_status_is_wrong_input(
    tmp_path: Path, text: str | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / "status.json").write_text(text)
    assert main(["status", "--state", str(tmp_path)]) == 2
    assert f"{tmp_path}/status.json: {words}" in capsys.readouterr().err


def test_a_status_of_nothing_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 2
    assert "status: name the --state of a loop, or a cluster by --context" in capsys.readouterr().err
