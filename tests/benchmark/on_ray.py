"""``python -m tests.benchmark.on_ray``: what planning on Ray takes, on this machine, now. Exit 1 where it is too much.

* command: the whole command plans a fleet of 50 clusters of 200 pods and starts Ray for it; its plan is that of one
  process, also where a shard is killed at some moment of it.
* scale: 100 clusters of 1,000 pods of 100 services, with a small budget of work: on two shards against on one, and the
  most memory that the driver and the Coordinator take.
* memo: the same fleet again in the same Planner, and again with five of its clusters changed.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import raypipe
from raypipe.model.plan import FleetPlan
from raypipe.model.snapshot import FleetSnapshot
from tests.benchmark.command import COMMAND, child_environment
from tests.benchmark.instances import fleet as fleet_file
from tests.benchmark.instances import instance

ROWS = ("command", "scale", "memo")
SMALL = {"lp_rounds": 4, "search_nodes": 10}
"""The small budget of work: what is measured is the carrying."""

COMMAND_S, SCALE_S, MOST_MIB, AGAIN_S, CHANGED_S, FASTER = 40.0, 100.0, 600.0, 0.5, 8.0, 1.5
KILLS = 3


def write(folder: Path, clusters: int, pods: int, groups: int) -> Path:
    """A fleet of so many clusters, each services of a seed of its own."""
    entries = []
    for seed in range(1, clusters + 1):
        name = f"cluster-{seed:04d}"
        items = {"apiVersion": "v1", "kind": "List", "items": instance("services", pods, groups, seed)}
        (folder / f"{name}.json").write_text(json.dumps(items))
        entries.append(fleet_file(f"{name}.json")["clusters"][0] | {"name": name})
    whole = {"apiVersion": "raypipe.io/v1", "kind": "Fleet", "settings": SMALL, "clusters": entries}
    (folder / "fleet.json").write_text(json.dumps(whole))
    return folder


def told(name: str, value: float, goal: float, unit: str, good: bool, more: str = "") -> bool:
    """Print a row; return whether it is good."""
    print(f"{name:44} {value:8.2f} {unit:4} goal {goal:6.1f} {unit:4} {'ok' if good else 'MISSED'}{more}", flush=True)
    return good


def marked(mark: str, title: bytes = b"") -> list[int]:
    """Processes that have the mark in their environment, and are called so."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes() and title in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it is gone, or somebody else's
    return found


def plan_by_command(
    folder: Path, executor: str, kill_after_s: float | None = None
) -> tuple[float, dict[str, Any], int]:
    """Seconds, plan and left-over processes of the whole command; a shard is killed so long after the first is up."""
    mark = uuid.uuid4().hex
    words = ["plan", str(folder), "--executor", executor, "-o", "json", "--quiet"]
    environment = child_environment() | {"RAYPIPE_BENCHMARK_MARK": mark}
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen([sys.executable, "-c", COMMAND, *words], stdout=out, env=environment)
        if kill_after_s is not None:
            while child.poll() is None and not (shards := marked(mark, b"ray::PlannerShard")):
                time.sleep(0.05)
            time.sleep(kill_after_s)
            if shards and child.poll() is None:
                os.kill(random.choice(shards), signal.SIGKILL)
        code = child.wait()
        seconds = time.perf_counter() - begun
        out.seek(0)
        plan = json.loads(out.read()) if code in (0, 3) else {"exit": code}
    plan.pop("created_at", None)
    return seconds, plan, len(marked(mark))


def command_rows(scratch: Path, clusters: int, dice: random.Random) -> bool:
    """The whole command, left alone and with shards killed."""
    folder = write(scratch, clusters, 200, 40)
    alone_s, here, _ = plan_by_command(folder, "serial")
    print(f"{f'{clusters} x 200 pods in one process':44} {alone_s:8.2f} s")
    goal = COMMAND_S * clusters / 50 + 15.0 * (1 - clusters / 50)  # Ray takes as long to start for fewer
    good = True
    for kill in (None, *(dice.uniform(0.0, max(1.0, alone_s / 3)) for _ in range(KILLS))):
        seconds, plan, left = plan_by_command(folder, "ray", kill)
        name = "by Ray, started by the command" if kill is None else f"… a shard killed after {kill:.1f} s"
        same = f"  plan {'the same' if plan == here else 'ANOTHER'}, {left} processes left"
        in_time = seconds <= goal or kill is not None
        good &= told(name, seconds, goal, "s", in_time and plan == here and left == 0, same)
    return good


def scale_rows(scratch: Path, clusters: int, rows: list[str]) -> bool:
    """A large fleet on one and on two shards, and what the second plan of it takes."""
    fleet = raypipe.read(write(scratch, clusters, 1000, 100))
    good, one_s = True, 0.0
    if "scale" in rows:
        with raypipe.Planner(executor="ray", shards=1) as planner:
            one_s, one, _ = planned(planner, fleet)
        print(f"{f'{clusters} x 1000 pods on 1 shard':44} {one_s:8.2f} s")
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
    return good


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


def most_mib(pid: int) -> float:
    """The most memory that a process ever had."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> int:
    """Print the rows asked for; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default=",".join(ROWS), help="comma list (default: all)")
    parser.add_argument("--clusters", type=int, help="so many instead of 50 and 100")
    parser.add_argument("--seed", type=int, default=1, help="of the moments at which shards are killed")
    arguments = parser.parse_args()
    rows = arguments.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"--rows: {', '.join(sorted(unknown))}: expected any of {', '.join(ROWS)}")
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    tables: list[Callable[[Path], bool]] = []
    if "command" in rows:
        dice = random.Random(arguments.seed)
        tables.append(lambda scratch: command_rows(scratch, arguments.clusters or 50, dice))
    if {"scale", "memo"} & set(rows):
        tables.append(lambda scratch: scale_rows(scratch, arguments.clusters or 100, rows))
    good = True
    for table in tables:
        with tempfile.TemporaryDirectory() as scratch:
            good &= table(Path(scratch))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
