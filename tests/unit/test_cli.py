"""The command line over a hand-made plan: outputs, exit codes, messages; no failure without words."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raypipe import __version__, api
from raypipe.cli import main
from raypipe.errors import CatalogError, InputError, InvalidPlanError, Problem
from raypipe.model.plan import ClusterPlan, FleetPlan, Note
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from tests.unit.controller.tellings import buy
from tests.unit.report.plans import cluster, fleet_plan

FLEET = FleetSnapshot(clusters=(ClusterSnapshot(name="research"),))


class Catalog:
    """Stands for a catalogue where only its digest matters."""

    digest = "sha256:of-this-catalogue"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Let the commands find a plan already made; tests change what it is, and read how it was asked for."""
    world: dict[str, object] = {"plan": fleet_plan(cluster(unplaced=()))}

    def plan(_fleet: FleetSnapshot, _catalog: object = None, **options: object) -> FleetPlan:
        world["options"] = options
        made = world["plan"]
        if callable(made):
            made = made(**options)
        assert isinstance(made, FleetPlan)
        return made

    monkeypatch.setattr(api, "read", lambda *_paths, **_options: FLEET)
    monkeypatch.setattr(api, "load_catalog", lambda _path=None: Catalog())
    monkeypatch.setattr(api, "plan", plan)
    return world


def broken(name: str = "bad") -> ClusterPlan:
    return ClusterPlan(name=name, error="negative.yaml:15: resources.requests.cpu: found -1")


@pytest.mark.parametrize(
    ("clusters", "code"),
    [
        pytest.param((cluster(unplaced=()),), 0, id="all placed"),
        pytest.param((cluster(),), 3, id="something unplaced"),
        pytest.param((cluster(), broken()), 2, id="a broken cluster counts before an unplaced pod"),
        pytest.param((broken(),), 2, id="only a broken cluster"),
    ],
)
def test_the_exit_code_is_the_first_that_applies(
    planned: dict[str, object], clusters: tuple[ClusterPlan, ...], code: int
) -> None:
    planned["plan"] = fleet_plan(*clusters)
    assert main(["plan", "x"]) == code


def test_json_is_exactly_the_plan(planned: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "x", "-o", "json"]) == 0
    made = planned["plan"]
    assert isinstance(made, FleetPlan)
    assert capsys.readouterr().out == made.to_json() + "\n"


def test_a_broken_cluster_is_named_on_stderr_too(
    planned: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    planned["plan"] = fleet_plan(cluster(), broken())
    main(["plan", "x", "-o", "json", "--quiet"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["clusters"][1]["name"] == "bad"
    assert "bad: negative.yaml:15: resources.requests.cpu: found -1" in printed.err


@pytest.mark.usefixtures("planned")
def test_out_saves_the_json_and_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "plan.json"
    assert main(["plan", "x", "--out", str(saved)]) == 0
    assert FleetPlan.from_json(saved.read_text()).clusters[0].name == "research"
    printed = capsys.readouterr()
    assert f"raypipe explain {saved} Deployment/shop/web" in printed.out
    assert f"wrote {saved}" in printed.err


@pytest.mark.usefixtures("planned")
def test_objects_that_were_saved_are_not_offered_to_explain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "plan.yaml"
    assert main(["plan", "x", "--out", str(saved)]) == 0
    assert saved.read_text().startswith("---")
    assert f"explain {saved}" not in capsys.readouterr().out
    assert main(["explain", str(saved), "web"]) == 2
    assert "expected a plan as `raypipe plan --out plan.json` writes it" in capsys.readouterr().err


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize(("form", "start"), [("json", "{"), ("yaml", "---"), ("table", "research")])
def test_out_with_a_format_writes_that_and_prints_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, start: str
) -> None:
    saved = tmp_path / "result"
    assert main(["plan", "x", "-o", form, "--out", str(saved), "--quiet"]) == 0
    assert saved.read_text().startswith(start)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")


@pytest.mark.usefixtures("planned")
def test_a_saved_plan_can_be_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved = tmp_path / "plan.json"
    main(["plan", "x", "--out", str(saved), "--quiet"])
    capsys.readouterr()
    assert main(["explain", str(saved), "web"]) == 0
    assert "17 pods placed" in capsys.readouterr().out
    assert main(["explain", str(saved), "web", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["pods"] == "Deployment/shop/web"
    assert main(["explain", str(saved), "wep"]) == 2
    assert "did you mean 'Deployment/shop/web'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["plam"], "Did you mean 'plan'", id="a command misspelt"),
        pytest.param(["place", "x"], "No such command 'place'", id="a command of a later version"),
        pytest.param(["plan"], "found no path, expected a fleet file", id="nothing to plan"),
        pytest.param(["plan", "x", "--scop", "whole"], "--scope", id="an option misspelt"),
        pytest.param(["plan", "x", "--policy"], "No such option: --policy", id="an option of a later version"),
        pytest.param(["plan", "x", "--scope", "whol"], "is not one of 'pending', 'whole'", id="a scope misspelt"),
        pytest.param(
            ["plan", "x", "--executor", "rey"],
            "expected one of auto, serial, ray (did you mean 'ray'?)",
            id="an executor misspelt",
        ),
        pytest.param(["plan", "x", "--time-budget", "-1"], "--time-budget", id="negative seconds"),
        pytest.param(["plan", "x", "--out", "no/such/folder/x"], "--out: found no folder", id="no folder to write to"),
        pytest.param(["plan", "x", "--out", "."], "--out: found a folder", id="a folder to write to"),
        pytest.param(["explain", "no-such.json", "web"], "No such file", id="no plan"),
        pytest.param(["replay", "no-such.json"], "No such file", id="no snapshot"),
    ],
)
def test_wrong_usage_is_code_2_with_a_hint(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "JSON is malformed"),
        ("[]", "Expected `object`"),
        ('{"schema": "raypipe.snapshot/v1"}', "schema: found 'raypipe.snapshot/v1', expected 'raypipe.plan/v1'"),
        ('{"schema": "raypipe.snapshot/v1", "clusters": [{"bound": []}]}', "schema: found 'raypipe.snapshot/v1'"),
        ('{"schema": [1]}', "schema: found [1]"),
        ('{"clusters": [{"name": 1}]}', "Expected `str`, got `int` - at `$.clusters[0].name`"),
        ("[" * 100_000, "expected a plan"),
    ],
)
def test_a_file_that_is_no_plan_says_what_is_wrong(
    content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    assert main(["explain", str(path), "web"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError(Problem(file="a.yaml", line=3, found="x", expected="y")), 2, "raypipe: a.yaml:3: found x"),
        (CatalogError(Problem(file="offerings.csv", line=9, found="NaN")), 2, "offerings.csv:9: found NaN"),
        (InvalidPlanError(["a node holds too much"]), 1, "raypipe snapshot"),
        (KeyError("surprise"), 1, "internal error (KeyError: 'surprise'): please report it"),
        (RecursionError("too deep"), 1, "internal error (RecursionError"),
    ],
)
def test_every_failure_ends_in_words(
    error: Exception,
    code: int,
    said: str,
    planned: dict[str, object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> FleetPlan:
        raise error

    planned["plan"] = fail
    assert main(["plan", "x"]) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_the_traceback_is_there_for_those_who_ask(
    planned: dict[str, object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> FleetPlan:
        raise KeyError("surprise")

    monkeypatch.setenv("RAYPIPE_DEBUG", "1")
    planned["plan"] = fail
    assert main(["plan", "x"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_prints_the_best_plan_so_far(planned: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bool] = []

    def interrupted(**options: object) -> FleetPlan:
        stop = options["stop"]
        assert callable(stop)
        asked.append(stop())
        os.kill(os.getpid(), signal.SIGINT)
        asked.append(stop())
        return fleet_plan(cluster(unplaced=()))

    planned["plan"] = interrupted
    before = signal.getsignal(signal.SIGINT)
    assert main(["plan", "x"]) == 0
    assert asked == [False, True]
    assert signal.getsignal(signal.SIGINT) is before
    printed = capsys.readouterr()
    assert printed.out.startswith("research")
    assert "best plan so far" in printed.err


def test_a_second_ctrl_c_aborts(planned: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(**_: object) -> FleetPlan:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return fleet_plan()

    planned["plan"] = interrupted
    assert main(["plan", "x"]) == 130
    assert capsys.readouterr().out == ""


def test_a_time_budget_stops_the_search(planned: dict[str, object]) -> None:
    main(["plan", "x", "--time-budget", "0"])
    options = planned["options"]
    assert isinstance(options, dict)
    assert options["stop"]() is True
    main(["plan", "x", "--time-budget", "1000"])
    options = planned["options"]
    assert isinstance(options, dict)
    assert options["stop"]() is False


@pytest.mark.usefixtures("planned")
def test_a_snapshot_is_replayed_against_its_own_catalogue_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "snapshot.json"
    assert main(["snapshot", "x", "--out", str(saved)]) == 0
    assert FleetSnapshot.from_json(saved.read_text()).catalog == Catalog.digest
    assert main(["replay", str(saved), "-o", "json"]) == 0
    capsys.readouterr()
    saved.write_text(dataclasses.replace(FLEET, catalog="sha256:another").to_json())
    assert main(["replay", str(saved)]) == 2
    assert "sha256:another" in capsys.readouterr().err


@pytest.mark.usefixtures("planned")
def test_options_that_a_snapshot_overrules_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved, settings = tmp_path / "snapshot.json", tmp_path / "settings.yaml"
    saved.write_text(FLEET.to_json())
    settings.write_text("gap_target_fraction: 0.1")
    options = ["--settings", str(settings), "--region", "us-east-1"]
    assert main(["plan", str(saved), *options]) == 0
    said = "raypipe: a snapshot brings its own settings and places: --settings, --region without effect\n"
    assert capsys.readouterr().err == said
    assert main(["plan", str(settings), *options]) == 0
    assert main(["plan", str(saved), *options, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_snapshot_of_a_broken_cluster_is_written_with_code_2(
    planned: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = FleetSnapshot(clusters=(ClusterSnapshot(name="bad", error="a.yaml: found x"),))
    monkeypatch.setattr(api, "read", lambda *_paths, **_options: fleet)
    assert planned
    assert main(["snapshot", "x"]) == 2
    printed = capsys.readouterr()
    assert FleetSnapshot.from_json(printed.out).clusters[0].error == "a.yaml: found x"
    assert "bad: a.yaml: found x" in printed.err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"raypipe {__version__}\n"


@pytest.mark.parametrize("command", [[], ["plan"], ["explain"], ["prices"], ["snapshot"], ["replay"]])
def test_help_teaches_by_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert f"\n  raypipe {' '.join(command)}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from raypipe.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stderr.split("'"))
    assert loaded.isdisjoint({"numpy", "pandas", "pulp", "highspy", "yaml", "ray", "kubernetes", "rich", "msgspec"})


def test_a_reader_that_has_gone_is_no_failure() -> None:
    code = "import sys, time; from raypipe.cli import main; time.sleep(0.2); sys.exit(main(['--version']))"
    run = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{code}" | true; exit "${{PIPESTATUS[0]}}"'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk_is_told_in_words_and_code_1() -> None:
    code = "import sys; from raypipe.cli import main; sys.exit(main(['--version']))"
    with Path("/dev/full").open("w") as full:
        run = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (run.returncode, run.stderr) == (1, "raypipe: stdout: No space left on device\n")


@pytest.mark.usefixtures("planned")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_result_file_that_takes_no_more_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "x", "--out", "/dev/full"]) == 1
    assert capsys.readouterr().err == "raypipe: /dev/full: No space left on device\n"


def test_a_file_that_may_not_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: path != tmp_path)
    assert main(["plan", "no-such-manifests", "--out", str(tmp_path / "plan.json")]) == 2
    assert "--out: found no permission to write there" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_the_caller_closed_is_one_that_nobody_reads(closed: str) -> None:
    code = (
        "from raypipe.cli import main; raise SystemExit(main(['explain', 'no-such.json', 'x']) + main(['--version']))"
    )
    run = subprocess.run(
        ["bash", "-c", f'"{sys.executable}" -c "{code}" {closed}'], capture_output=True, text=True, check=False
    )
    said = "" if "2>&-" in closed else "raypipe: no-such.json: found No such file or directory, expected a plan as "
    printed = "" if closed.startswith(">&-") else f"raypipe {__version__}\n"
    assert (run.returncode, run.stdout, run.stderr[: len(said)]) == (2, printed, said)


@pytest.mark.parametrize(
    ("form", "encoding", "printed"),
    [
        pytest.param("table", "ascii", b"0 pods of 0 groups | planned in ", id="plain characters for a plain terminal"),
        pytest.param("table", "utf-8", "0 pods of 0 groups · planned in ".encode(), id="all of them elsewhere"),
        pytest.param("json", "ascii", "☃".encode(), id="data is UTF-8 whatever the terminal is"),
    ],
)
def test_a_terminal_without_the_characters_gets_others(
    form: str, encoding: str, printed: bytes, planned: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned["plan"] = fleet_plan(ClusterPlan(name="research", notes=(Note(kind="default", subject="☃"),)))
    monkeypatch.setattr(api, "read", lambda *_paths, **_options: FleetSnapshot(clusters=()))
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert main(["plan", "x", "-o", form]) == 0
    assert printed in raw.getvalue()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({}, "clusters[0].context: found null, expected the context of a live cluster", id="from files"),
        pytest.param({"scope": "whole"}, "scope: found whole, expected pending", id="a floor"),
    ],
)
def test_a_plan_that_is_of_no_live_cluster_is_not_applied(
    change: dict[str, object], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "plan.json"
    saved.write_text(json.dumps(json.loads(fleet_plan(cluster()).to_json()) | change))
    assert main(["apply", str(saved), "--yes"]) == 2
    assert told in capsys.readouterr().err


def test_nothing_is_applied_before_somebody_says_yes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    saved = tmp_path / "plan.json"
    live = dataclasses.replace(cluster(), context="prod", actions=(buy(),))
    saved.write_text(fleet_plan(live).to_json())
    assert main(["apply", str(saved)]) == 1
    said = capsys.readouterr()
    assert "BuyNode research-3f9a1c0b77-0001: 2 pods have no place" in said.out
    assert "Carry this out?" in said.err
