"""Warm starts from the outside: in Python from plan to plan, on the command line by way of a folder, and replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raypipe import api
from raypipe.cli import main
from raypipe.model.plan import FleetPlan, Note
from raypipe.model.pool import Pool
from raypipe.model.snapshot import FleetSnapshot, digest, pools_digest
from raypipe.state import pool_path, read_state, warmed, write_state

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet"
NAMES = ("shop", "research")


@pytest.fixture(scope="module")
def fleet() -> FleetSnapshot:
    """The example, too large to be listed whole."""
    return api.read(EXAMPLE, settings={"enumerate_patterns": 0})


@pytest.fixture(scope="module")
def before(fleet: FleetSnapshot) -> FleetPlan:
    return api.plan(fleet)


def without_hour(plan: FleetPlan) -> str:
    return "\n".join(line for line in plan.to_json().splitlines() if not line.startswith(' "created_at"'))


def test_a_plan_starts_from_the_one_before_it(fleet: FleetSnapshot, before: FleetPlan) -> None:
    warm = api.plan(fleet, warm=before)
    assert set(before.pools) == set(NAMES)
    assert (before.inputs.pool, warm.inputs.pool) == (None, digest([digest(before.pools[name]) for name in NAMES]))
    assert warm.usd_per_hour.after <= before.usd_per_hour.after
    assert warm.inputs.snapshot == before.inputs.snapshot
    assert sum(one.work.lp_iterations for one in warm.clusters) < sum(one.work.lp_iterations for one in before.clusters)


def test_a_warm_decision_is_replayed_byte_for_byte(fleet: FleetSnapshot, before: FleetPlan) -> None:
    warm = api.plan(fleet, warm=before)
    saved = api.snapshot(api.warmed(fleet, before)).to_json()
    replayed = api.replay(FleetSnapshot.from_json(saved))
    assert without_hour(replayed) == without_hour(warm)
    assert replayed.pools == warm.pools


def test_a_pool_that_the_fleet_brings_comes_first(fleet: FleetSnapshot, before: FleetPlan) -> None:
    own = warmed(fleet, {"shop": Pool()})
    assert [one.pool for one in api.warmed(own, before).clusters] == [Pool(), before.pools["research"]]


def test_state_is_what_was_handed_on(fleet: FleetSnapshot, before: FleetPlan, tmp_path: Path) -> None:
    write_state(tmp_path, before.pools)
    assert read_state(tmp_path, fleet) == api.warmed(fleet, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["research.pool.json", "shop.pool.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "nothing handed on yet", id="no file"),
        pytest.param(b"", "no pattern pool (Input data was truncated)", id="an empty file"),
        pytest.param(b"\xff\xfe", "no pattern pool (", id="no text"),
        pytest.param(b'{"schema": "raypipe.plan/v1"}', "no pattern pool (schema: found", id="a plan"),
        pytest.param(b"[" * 100_000, "no pattern pool (", id="brackets without end"),
    ],
)
def test_a_pool_that_cannot_be_read_is_a_note(
    content: bytes | None, said: str, fleet: FleetSnapshot, before: FleetPlan, tmp_path: Path
) -> None:
    write_state(tmp_path, before.pools)
    path = pool_path(tmp_path, "shop")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    found = read_state(tmp_path, fleet)
    assert [one.pool for one in found.clusters] == [None, before.pools["research"]]
    (note,) = (note for note in found.notes if note not in fleet.notes)
    assert (note.kind, note.subject) == ("cold-start", "shop")
    assert note.message.startswith(f"{path}: {said}")


def test_a_folder_in_the_place_of_a_file_is_a_note(fleet: FleetSnapshot, tmp_path: Path) -> None:
    pool_path(tmp_path, "shop").mkdir()
    assert (
        Note(
            kind="cold-start",
            subject="shop",
            message=f"{tmp_path}/shop.pool.json: Is a directory: planned from nothing, which takes longer",
        )
        in read_state(tmp_path, fleet).notes
    )


def command(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main([*words, "-o", "json", "--quiet"]) == 0
    plan: dict[str, object] = json.loads(capsys.readouterr().out)
    del plan["created_at"]
    return plan


def test_the_command_line_hands_on_by_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state, saved = tmp_path / "of" / "mine", tmp_path / "snapshot.json"
    first = command(capsys, "plan", str(EXAMPLE), "--state", str(state))
    assert [note["kind"] for note in first["notes"]] == ["cold-start", "cold-start"]  # type: ignore[attr-defined]
    assert main(["snapshot", str(EXAMPLE), "--state", str(state), "--out", str(saved), "--quiet"]) == 0
    second = command(capsys, "plan", str(EXAMPLE), "--state", str(state))
    assert second["notes"] == []
    assert command(capsys, "replay", str(saved)) == second
    assert second["inputs"]["pool"] == pools_digest(FleetSnapshot.from_json(saved.read_text()).clusters)  # type: ignore[index]


def test_a_state_that_is_no_folder_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "state"
    file.write_text("")
    assert main(["plan", str(EXAMPLE), "--state", str(file)]) == 2
    assert f"{file}: --state: found File exists, expected a folder to write to" in capsys.readouterr().err


def test_state_that_cannot_be_saved_is_told_and_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop.pool.json").mkdir()
    assert main(["plan", str(EXAMPLE), "--state", str(tmp_path), "--quiet"]) == 0
    assert f"{tmp_path}/shop.pool.json: Is a directory: the next plan starts from nothing" in capsys.readouterr().err
