"""``python -m tests.benchmark.on_ray``: what planning on Ray takes, on this machine, now. Exit 1 where it is too much.

* command: the whole command plans a fleet of 50 clusters of 200 pods on two shards and starts Ray for it; its plan is
  that of one process.
* shards: the same plan from one shard, two and three (`--shards`).
* kills: the same plan where a shard is killed at some moment of it, ten times (`--kills`).
* scale: 100 clusters of 1,000 pods of 100 services, with a short budget of work: on two shards against on one, and the
  most memory that the driver and the Coordinator take.
* cost: what the same fleet costs at that budget, over what it costs at the default one.
* memo: the same fleet again in the same Planner, and again with five of its clusters changed.
* idle: 500 small clusters that do not change, planned every ten seconds for five minutes (`--minutes`).

``--rows command --clusters 8`` measures a smaller form, whose times are held to the same share of the goal.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import raypipe
from raypipe.model.plan import FleetPlan
from raypipe.model.snapshot import FleetSnapshot
from raypipe.settings import Settings
from tests.benchmark.command import child_environment
from tests.benchmark.idle import NOVA, idled
from tests.benchmark.instances import fleet as fleet_file
from tests.benchmark.instances import instance
from tests.benchmark.processes import first_marked, marked, most_mib

COMMANDS = ("command", "shards", "kills")
PLANNERS = ("scale", "cost", "memo")
ROWS = (*COMMANDS, *PLANNERS, "idle")
SMALL = {"lp_rounds": 4, "search_nodes": 10}
"""The small budget of work: what is measured is the carrying."""

SHORT = {"lp_rounds": 20, "search_nodes": 10}
"""The budget of the large fleet, in half the time of the default one: what it costs is the row `cost`."""

COMMAND_S, SCALE_S, MOST_MIB, AGAIN_S, CHANGED_S, FASTER, DEARER = 40.0, 100.0, 600.0, 0.5, 8.0, 1.5, 1.01
RAY_S = 15.0
"""Of the command's seconds, those in which Ray starts: as many for few clusters as for many."""

BY_COMMAND = "import sys; from raypipe.cli import main; sys.exit(main())"
BY_SHARDS = """
import sys, raypipe
with raypipe.Planner("ray", shards=int(sys.argv[1])) as planner:
    print(planner.plan(raypipe.read(sys.argv[2])).to_json())
"""


def write(folder: Path, clusters: int, pods: int, groups: int, settings: Mapping[str, int] | None = None) -> Path:
    """A fleet of so many clusters, each services of a seed of its own."""
    entries = []
    for seed in range(1, clusters + 1):
        name = f"cluster-{seed:04d}"
        items = {"apiVersion": "v1", "kind": "List", "items": instance("services", pods, groups, seed)}
        (folder / f"{name}.json").write_text(json.dumps(items))
        entries.append(fleet_file(f"{name}.json")["clusters"][0] | {"name": name})
    whole = {"apiVersion": "raypipe.io/v1", "kind": "Fleet", "settings": settings or SMALL, "clusters": entries}
    (folder / "fleet.json").write_text(json.dumps(whole))
    return folder


def told(name: str, value: float, goal: float, unit: str, good: bool, more: str = "") -> bool:
    """Print a row; return whether it is good."""
    print(f"{name:44} {value:8.2f} {unit:4} goal {goal:6.2f} {unit:4} {'ok' if good else 'MISSED'}{more}", flush=True)
    return good


def plan_by(code: str, words: list[str], kill_after_s: float | None = None) -> tuple[float, dict[str, Any], int]:
    """Seconds, plan and left-over processes of a program; a shard is killed so long after the first is there."""
    mark = uuid.uuid4().hex
    environment = child_environment() | {"RAYPIPE_BENCHMARK_MARK": mark}
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen([sys.executable, "-c", code, *words], stdout=out, env=environment)
        if kill_after_s is not None and first_marked(mark, b"ray::PlannerShard", child) is not None:
            time.sleep(kill_after_s)
            if child.poll() is None and (shards := marked(mark, b"ray::PlannerShard")):
                os.kill(random.choice(shards), signal.SIGKILL)
        ended = child.wait()
        seconds = time.perf_counter() - begun
        out.seek(0)
        plan = json.loads(out.read()) if ended in (0, 3) else {"exit": ended}
    plan.pop("created_at", None)
    return seconds, plan, len(marked(mark))


@dataclass
class Command:
    """The rows of the whole command."""

    folder: Path
    clusters: int
    serial_s: float = field(default=0.0, init=False)

    @cached_property
    def serial(self) -> dict[str, Any]:
        """The plan of one process."""
        self.serial_s, plan, _ = self._planned("serial")
        print(f"{f'{self.clusters} x 200 pods in one process':44} {self.serial_s:8.2f} s", flush=True)
        return plan

    def _planned(self, executor: str, kill_after_s: float | None = None) -> tuple[float, dict[str, Any], int]:
        words = ["plan", str(self.folder), "--executor", executor, "-o", "json", "--quiet"]
        return plan_by(BY_COMMAND, words, kill_after_s)

    def command(self) -> bool:
        """How long it takes."""
        expected = self.serial
        seconds, plan, left = self._planned("ray")
        goal = COMMAND_S * self.clusters / 50 + RAY_S * (1 - self.clusters / 50)
        return self._told("by Ray, started by the command", seconds, goal, plan == expected, left)

    def shards(self, numbers: list[int]) -> bool:
        """That its plan is the same from any number of shards."""
        good, expected = True, self.serial
        for number in numbers:
            seconds, plan, left = plan_by(BY_SHARDS, [str(number), str(self.folder)])
            good &= self._told(f"… on {number} shard(s)", seconds, None, plan == expected, left)
        return good

    def kills(self, dice: random.Random, times: int) -> bool:
        """That its plan is the same whenever a shard is killed."""
        good, expected = True, self.serial
        for _ in range(times):
            after_s = dice.uniform(0.0, max(1.0, self.serial_s / 3))
            seconds, plan, left = self._planned("ray", after_s)
            good &= self._told(f"… a shard killed after {after_s:.1f} s", seconds, None, plan == expected, left)
        return good

    def _told(self, name: str, seconds: float, goal: float | None, same: bool, left: int) -> bool:
        more = f"  plan {'the same' if same else 'ANOTHER'}, {left} processes left"
        if goal is None:
            print(f"{name:44} {seconds:8.2f} s    {'ok' if same and left == 0 else 'MISSED'}{more}", flush=True)
            return same and left == 0
        return told(name, seconds, goal, "s", seconds <= goal and same and left == 0, more)


def command_rows(scratch: Path, arguments: argparse.Namespace, rows: list[str]) -> bool:
    """The whole command: its time, shards of any number, and shards killed."""
    clusters = arguments.clusters or 50
    whole = Command(write(scratch, clusters, 200, 40), clusters)
    good = True
    if "command" in rows:
        good &= whole.command()
    if "shards" in rows:
        good &= whole.shards([int(number) for number in arguments.shards.split(",")])
    if "kills" in rows:
        good &= whole.kills(random.Random(arguments.seed), arguments.kills)
    return good


def planner_rows(scratch: Path, arguments: argparse.Namespace, rows: list[str]) -> bool:
    """A large fleet on one and on two shards, what a small budget costs, and what the second plan of it takes."""
    clusters = arguments.clusters or 100
    fleet = raypipe.read(write(scratch, clusters, 1000, 100, SHORT))
    good, one_s = True, 0.0
    if "scale" in rows:
        with raypipe.Planner(executor="ray", shards=1) as planner:
            one_s, one, _ = planned(planner, fleet)
        print(f"{f'{clusters} x 1000 pods on 1 shard':44} {one_s:8.2f} s", flush=True)
    with raypipe.Planner(executor="ray", shards=2) as planner:
        two_s, two, mib = planned(planner, fleet)
        if "scale" in rows:
            same = f"  plan {'the same' if one == two else 'ANOTHER'}"
            in_time = two_s <= SCALE_S * clusters / 100
            good &= told(f"{clusters} x 1000 pods on 2 shards", two_s, SCALE_S * clusters / 100, "s", in_time, same)
            good &= told("… times as fast as 1", one_s / two_s, FASTER, "x", one_s / two_s >= FASTER and one == two)
            good &= told("… memory of driver and Coordinator", mib, MOST_MIB, "MiB", mib <= MOST_MIB)
        if "memo" in rows:
            again_s, again, _ = planned(planner, fleet)
            good &= told("… again, unchanged", again_s, AGAIN_S, "s", again_s <= AGAIN_S and again == two)
            changed_s, _, _ = planned(planner, grown(fleet, max(1, clusters // 20)))
            name = f"… again, {max(1, clusters // 20)} of {clusters} changed"
            good &= told(name, changed_s, CHANGED_S, "s", changed_s <= CHANGED_S)
        if "cost" in rows:
            default_s, default, _ = planned(planner, at_default_budget(fleet))
            ratio = fmean(cost(one) / cost(other) for one, other in zip(two.clusters, default.clusters, strict=True))
            more = f"  in {two_s:.0f} s for {default_s:.0f} s"
            good &= told("… cost over that of the default budget", ratio, DEARER, "", ratio <= DEARER, more)
    return good


def cost(plan: Any) -> float:
    """Dollars an hour of a cluster's plan."""
    usd: float = plan.usd_per_hour.after
    return usd


def at_default_budget(fleet: FleetSnapshot) -> FleetSnapshot:
    """The fleet with as much work a cluster as there is without settings."""
    default = {name: getattr(Settings(), name) for name in SHORT}
    clusters = (
        dataclasses.replace(one, settings=dataclasses.replace(one.settings, **default)) for one in fleet.clusters
    )
    return dataclasses.replace(fleet, clusters=tuple(clusters))


def grown(fleet: FleetSnapshot, count: int) -> FleetSnapshot:
    """The fleet with one pod more in its first clusters."""

    def more(index: int) -> Iterator[Any]:
        for number, group in enumerate(fleet.clusters[index].demand):
            yield dataclasses.replace(group, count=group.count + (number == 0))

    first = [dataclasses.replace(fleet.clusters[index], demand=tuple(more(index))) for index in range(count)]
    return dataclasses.replace(fleet, clusters=(*first, *fleet.clusters[count:]))


def planned(planner: raypipe.Planner, fleet: FleetSnapshot) -> tuple[float, FleetPlan, float]:
    """Seconds, plan, and the most MiB of this process and the Coordinator; Ray is started before."""
    planner._connected().state()
    begun = time.perf_counter()
    plan = planner.plan(fleet)
    seconds = time.perf_counter() - begun
    assert planner._connection is not None
    mib = most_mib(os.getpid()) + most_mib(planner._connection.state().pid)
    return seconds, dataclasses.replace(plan, created_at=None), mib


def idle_rows(scratch: Path, arguments: argparse.Namespace, _: list[str]) -> bool:
    """A fleet where nothing happens."""
    clusters = arguments.clusters or 500
    fleet = raypipe.read(write(scratch, clusters, 20, 4))
    with raypipe.Planner(executor="ray") as planner:
        idle = idled(planner, fleet, arguments.minutes)
    nova = ", ".join(f"{cores}m and {mib} Mi with {number}" for number, (cores, mib) in NOVA.items())
    print(f"{f'{clusters} idle clusters, {idle.cycles} cycles':44} the longest took {idle.longest_s:.2f} s")
    print(f"{'… driver, Coordinator and shards':44} {idle.millicores:7.0f} m {idle.mib:6.0f} MiB  (Nova: {nova})")
    print(f"{'… processes of Ray itself':44} {idle.rays_millicores:7.0f} m {idle.rays_mib:6.0f} MiB")
    return idle.same


def main() -> int:
    """Print the rows asked for; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma list (default: all)")
    parser.add_argument("--clusters", type=int, help="so many instead of 50, 100 and 500")
    parser.add_argument("--shards", default="1,2,3", help="comma list of their numbers, for the row of that name")
    parser.add_argument("--kills", type=int, default=10, help="how many, for the row of that name")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which shards are killed")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the row idle takes")
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"--rows: {', '.join(sorted(unknown))}: expected any of {', '.join(ROWS)}")
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    good = True
    for names, table in ((COMMANDS, command_rows), (PLANNERS, planner_rows), (("idle",), idle_rows)):
        if set(names) & set(rows):
            with tempfile.TemporaryDirectory() as scratch:
                good &= table(Path(scratch), arguments, rows)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
