"""Planning on Ray: the same plan as in one process, whoever dies and however often it is asked."""

from __future__ import annotations

import dataclasses
import os
import random
import runpy
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import ray

import raypipe
from raypipe import api
from raypipe.actors.connection import Connection
from raypipe.actors.coordinator import State
from raypipe.catalog.tables import SHIPPED
from raypipe.errors import CatalogError, ClusterError
from raypipe.model.plan import FleetPlan, Note
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from tests.benchmark import idle, on_ray
from tests.benchmark.instances import instance, write

pytestmark = pytest.mark.usefixtures("local_ray")
EXAMPLES = Path(__file__).parents[2] / "examples"
SETTINGS = {"lp_rounds": 2, "search_nodes": 5}
"""Little work a cluster: it is the carrying that is tested."""


def cluster(folder: Path, number: int) -> ClusterSnapshot:
    objects = instance("services", 60, 12, number)
    (one,) = api.read(write(folder / str(number), objects), settings=SETTINGS).clusters
    return dataclasses.replace(one, name=f"cluster-{number:02d}")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> FleetSnapshot:
    """Eight clusters, the third of which cannot be read."""
    clusters = [cluster(tmp_path_factory.mktemp("fleet"), number) for number in range(8)]
    clusters[2] = ClusterSnapshot(name="broken", error="broken.yaml:3: found a list, expected a mapping")
    return FleetSnapshot(clusters=tuple(clusters))


@pytest.fixture(scope="module")
def serial(fleet: FleetSnapshot) -> FleetPlan:
    return raypipe.plan(fleet, executor="serial")


@pytest.fixture(scope="module")
def planner(local_ray: None) -> Iterator[raypipe.Planner]:  # noqa: ARG001 - it must be there first
    with raypipe.Planner(executor="ray", shards=2) as planner:
        yield planner


def without_hour(plan: FleetPlan) -> str:
    return "\n".join(line for line in plan.to_json().splitlines() if not line.startswith(' "created_at"'))


def state(planner: raypipe.Planner) -> State:
    assert planner._connection is not None
    return planner._connection.state()


@pytest.mark.parametrize("shards", [1, 3])  # before the test that first asks for `planner`, whose Coordinator stays
def test_any_number_of_shards_makes_the_same_plan_and_leaves_nothing_behind(
    shards: int, fleet: FleetSnapshot, serial: FleetPlan
) -> None:
    few = dataclasses.replace(fleet, clusters=fleet.clusters[:4])
    with raypipe.Planner(executor="ray", shards=shards) as planner:
        plan = planner.plan(few)
        processes = state(planner)
    assert plan.clusters == serial.clusters[:4]
    assert gone(processes.pid, *processes.shards)


def test_two_shards_plan_as_one_process_does(planner: raypipe.Planner, fleet: FleetSnapshot, serial: FleetPlan) -> None:
    plan = planner.plan(fleet)
    assert without_hour(plan) == without_hour(serial)
    assert plan.pools == serial.pools
    assert [one.error for one in plan.clusters if one.error is not None] == [fleet.clusters[2].error]


def test_only_what_has_changed_is_planned_again(planner: raypipe.Planner, fleet: FleetSnapshot) -> None:
    first = planner.plan(fleet)
    before = state(planner).remembered
    again = planner.plan(fleet)
    assert without_hour(again) == without_hour(first)
    assert again.clusters is first.clusters  # which has not travelled again
    assert state(planner).remembered == before + 1  # the fleet as a whole
    changed = dataclasses.replace(fleet, clusters=(doubled(fleet.clusters[0]), *fleet.clusters[1:]))
    assert without_hour(planner.plan(changed)) == without_hour(raypipe.plan(changed, executor="serial"))
    assert state(planner).remembered == before + 1 + 7


def doubled(cluster: ClusterSnapshot) -> ClusterSnapshot:
    demand = tuple(dataclasses.replace(group, count=2 * group.count) for group in cluster.demand)
    return dataclasses.replace(cluster, demand=demand)


@pytest.mark.parametrize("victim", ["shard", "coordinator"])
def test_a_process_killed_in_the_middle_changes_nothing(
    victim: str, planner: raypipe.Planner, fleet: FleetSnapshot
) -> None:
    settings = SETTINGS | {"lp_rounds": {"shard": 3, "coordinator": 4}[victim]}  # nothing of it is remembered
    planner.plan(FleetSnapshot(clusters=fleet.clusters[2:3]))
    before = state(planner)
    pid = before.pid if victim == "coordinator" else before.shards[-1]
    killed = during(planner, fleet, settings, lambda: os.kill(pid, signal.SIGKILL))
    assert without_hour(killed) == without_hour(raypipe.plan(fleet, settings=settings, executor="serial"))
    after = state(planner)
    if victim == "coordinator":
        assert after.pid != before.pid
        assert gone(*before.shards)
    else:
        assert (after.pid, after.deaths) == (before.pid, before.deaths + 1)
        assert planner.shards_died() == after.deaths


def during(
    planner: raypipe.Planner, fleet: FleetSnapshot, settings: Mapping[str, Any], act: Callable[[], None]
) -> FleetPlan:
    """Plan, and act once a cluster has been planned and others have not."""
    acted: list[str] = []

    def progress(line: str) -> None:
        if not acted and line[:1].isdigit():
            acted.append(line)
            act()

    plan = planner.plan(fleet, settings=settings, progress=progress)
    assert acted, "the plan was made before anything could happen"
    return plan


def gone(*pids: int) -> bool:
    """Whether processes end within seconds."""
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_a_stop_reaches_the_shards_and_is_not_remembered(planner: raypipe.Planner, fleet: FleetSnapshot) -> None:
    one, settings = FleetSnapshot(clusters=fleet.clusters[4:5]), {"lp_rounds": 61, "search_nodes": 500}
    stopped = planner.plan(one, settings=settings, stop=lambda: True)
    whole = planner.plan(one, settings=settings)
    assert without_hour(whole) == without_hour(raypipe.plan(one, settings=settings, executor="serial"))
    assert stopped.clusters[0].work.lp_iterations < whole.clusters[0].work.lp_iterations


def test_status_is_answered_while_a_shard_solves(planner: raypipe.Planner, fleet: FleetSnapshot) -> None:
    """Else it would come after the plan, which it ends."""
    one, settings = FleetSnapshot(clusters=fleet.clusters[5:6]), {"lp_rounds": 61, "search_nodes": 500}
    planner.plan(FleetSnapshot(clusters=fleet.clusters[2:3]))  # the shards are there
    answers: list[State] = []

    def stop() -> bool:
        answers.append(state(planner))
        return len(answers) >= 2

    stopped = planner.plan(one, settings=settings, stop=stop)
    whole = planner.plan(one, settings=settings)
    assert stopped.clusters[0].work.lp_iterations < whole.clusters[0].work.lp_iterations
    assert {len(answer.shards) for answer in answers} == {2}


def test_no_fleet_sits_in_the_object_store_as_a_whole(planner: raypipe.Planner) -> None:
    """200 clusters whose snapshots and plans are 150 KB each, and do not compress."""
    dice = random.Random(1)
    clusters = [
        ClusterSnapshot(name=f"cluster-{number}", notes=(Note(kind="x", subject="y", message=text),))
        for number, text in ((number, dice.randbytes(150_000).hex()) for number in range(200))
    ]
    planner.plan(FleetSnapshot(clusters=tuple(clusters[:1])))
    before, peak, ended = stored_bytes(), [0.0], Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], stored_bytes() - before)

    watching = Thread(target=watch)
    watching.start()
    try:
        plan = planner.plan(FleetSnapshot(clusters=tuple(clusters)))
    finally:
        ended.set()
        watching.join()
    assert len(plan.to_json()) > 200 * 300_000
    assert 0 < peak[0] < 15e6


def stored_bytes() -> float:
    """What is in Ray's object store."""
    name = "object_store_memory"
    held: float = ray.cluster_resources()[name] - ray.available_resources().get(name, 0.0)
    return held


def test_a_coordinator_is_found_by_its_name_and_left_to_who_made_it(
    planner: raypipe.Planner, fleet: FleetSnapshot
) -> None:
    plan = planner.plan(fleet)
    with raypipe.Planner(executor="ray") as other:
        assert without_hour(other.plan(fleet)) == without_hour(plan)
        assert state(other).pid == state(planner).pid
    assert without_hour(planner.plan(fleet)) == without_hour(plan)


def test_a_coordinator_of_another_version_is_refused(planner: raypipe.Planner, fleet: FleetSnapshot) -> None:
    planner.plan(fleet)
    with pytest.raises(ClusterError, match=r"found a Coordinator of raypipe .*, expected 0\.0\.0"):
        Connection(None, "0.0.0").plan_fleet(fleet, api.load_catalog())


def test_wrong_settings_are_told_as_in_one_process(planner: raypipe.Planner, fleet: FleetSnapshot) -> None:
    settings = {"custom_shapes": ({"family": "n9", "usdPerVcpuHour": 1},)}
    planned = planner.plan(fleet, settings=settings)
    assert without_hour(planned) == without_hour(raypipe.plan(fleet, settings=settings, executor="serial"))


def test_what_is_scarce_is_divided_as_in_one_process(
    fleet: FleetSnapshot, serial: FleetPlan, planner: raypipe.Planner
) -> None:
    """Frames and rounds of prices travel as clusters do."""
    limits = {"usdPerHour": round(0.8e9 * serial.usd_per_hour.after), "nodes": 60}
    scarce = dataclasses.replace(fleet, limits=limits)
    planned = planner.plan(scarce)
    assert any(entry.limit == "fleet/usdPerHour" for entry in planned.unplaced)
    assert without_hour(planned) == without_hour(raypipe.plan(scarce, executor="serial"))


def test_the_example_plans_three_times(
    local_ray: None,  # noqa: ARG001 - which the example finds in its process
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["planner_on_ray.py", str(EXAMPLES / "fleet")])
    runpy.run_path(str(EXAMPLES / "planner_on_ray.py"), run_name="__main__")
    first, again, grown = capsys.readouterr().out.splitlines()
    assert first.removeprefix("first") == again.removeprefix("again")
    assert grown.removeprefix("grown") != first.removeprefix("first")


def test_prices_are_believed_as_in_one_process_even_if_the_scout_dies(fleet: FleetSnapshot, tmp_path: Path) -> None:
    """A folder of prices that grows absurd, loses its scout, and cannot be read any more, on Ray and without."""
    few = dataclasses.replace(fleet, clusters=fleet.clusters[:3])
    for file in SHIPPED.glob("*.csv"):
        shutil.copy(file, tmp_path)
    good = (tmp_path / "offerings.csv").read_text(encoding="utf-8")
    with raypipe.Planner(executor="ray", shards=1) as planner, raypipe.Planner(executor="serial") as here:
        told = [both(planner, here, few, tmp_path)]
        (tmp_path / "offerings.csv").write_text(good.replace(",spot,0.", ",spot,99."), encoding="utf-8")
        told.append(both(planner, here, few, tmp_path))
        assert planner._connection is not None
        scout = planner._connection._scout
        os.kill(ray.get(scout.pid.remote()), signal.SIGKILL)
        told.append(both(planner, here, few, tmp_path))
        assert planner._connection._scout is not scout
        (tmp_path / "offerings.csv").unlink()
        told.append(both(planner, here, few, tmp_path))
        with pytest.raises(CatalogError, match="expected a catalogue: two CSV files"):
            planner.plan(few, tmp_path / "elsewhere")
        pid = ray.get(planner._connection._scout.pid.remote())
    assert told == [set(), {"absurd-price"}, {"absurd-price"}, {"absurd-price", "old-prices"}]
    assert gone(pid)


def both(planner: raypipe.Planner, here: raypipe.Planner, fleet: FleetSnapshot, prices: Path) -> set[str]:
    """What the plan notes of its prices, the same on Ray as here."""
    plan = planner.plan(fleet, prices)
    other = here.plan(fleet, prices)
    at = [version.read_at for one in (here, planner) for version in one._versions.values()]
    assert without_hour(plan).replace(f"{at[1]:%F %T}", "") == without_hour(other).replace(f"{at[0]:%F %T}", "")
    return {note.kind for note in plan.notes} & {"absurd-price", "old-prices"}


def test_a_fleet_where_nothing_happens_is_measured_and_stays_as_it_is(
    local_ray: None,  # noqa: ARG001 - which the benchmark finds in this process
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(idle, "CYCLE_S", 0.1)
    monkeypatch.setattr(sys, "argv", ["on_ray", "--rows", "idle", "--clusters", "2", "--minutes", "0"])
    assert on_ray.main() == 0
    assert "2 idle clusters, 1 cycles" in capsys.readouterr().out
