"""The main job's table: the whole command, as a user types it, in a process of its own for each instance.

Gaps are measured against the aggregated LP as `tests.benchmark.aggregated` solves it, not the plan's own word.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raypipe.catalog import Catalog, load
from raypipe.manifests import read_paths
from tests.benchmark.aggregated import aggregated
from tests.benchmark.certify import Certificate
from tests.benchmark.instances import instance, write
from tests.benchmark.suite import ROOT, openb
from tests.benchmark.world import undominated, world_of

_KEPT: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("thresholds.json").read_text())
THRESHOLDS: dict[str, dict[str, Any]] = _KEPT["rows"]
OPTIMISER_THRESHOLDS: dict[str, dict[str, Any]] = _KEPT["optimiser"]["rows"]
PEERS: dict[str, Any] = _KEPT["peers"]
NAMES = ("openb", "services", "gpu", "mixed", "catalogue", "help")
COMMAND = "import sys; from raypipe.cli import main; sys.exit(main())"


@dataclass(frozen=True)
class Run:
    """One whole command: exit code, wall seconds, peak RSS, and the plan it printed."""

    code: int
    seconds: float
    mib: float
    plan: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    name: str
    runs: list[Run]
    gaps: list[float]
    certified: list[float]

    def missed(self) -> list[str]:
        limits = THRESHOLDS[self.name]
        wrong = [f"exit {run.code}" for run in self.runs if run.code not in (0, 3)]
        if sum(self.gaps) / len(self.gaps) > limits["gap_mean"]:
            wrong.append(f"mean gap above {limits['gap_mean']:.0%}")
        for gap, certified in zip(self.gaps, self.certified, strict=True):
            if certified < limits["gap_worst"] < gap:
                wrong.append(f"worst gap above {limits['gap_worst']:.0%}")
            elif gap > limits["gap_worst"] and (1 + gap) / (1 + certified) - 1 > limits["gap_to_certificate"]:
                wrong.append(f"above {limits['gap_to_certificate']:.1%} of a proven bound")
        if min(self.gaps) < -1e-6:
            wrong.append("cost below the bound")
        if max(run.seconds for run in self.runs) > limits["seconds"]:
            wrong.append(f"slower than {limits['seconds']} s")
        if max(run.mib for run in self.runs) > limits["mib"]:
            wrong.append(f"more than {limits['mib']} MiB")
        return wrong

    def proven_out_of_reach(self) -> str:
        """Gaps above the threshold where a better bound proves that no plan is within it."""
        limit = THRESHOLDS[self.name]["gap_worst"]
        told = [
            f"; {gap:.2%} where every plan is proven to be above {certified:.2%}: without it the worst is "
            f"{max((g for g, c in zip(self.gaps, self.certified, strict=True) if c <= limit), default=0.0):.2%}"
            for gap, certified in zip(self.gaps, self.certified, strict=True)
            if certified > limit
        ]
        return "".join(told)

    def line(self) -> str:
        own = [run.plan["gap_fraction"] or 0.0 for run in self.runs]
        seconds, mib = [run.seconds for run in self.runs], [run.mib for run in self.runs]
        count = len(self.runs)
        missed = self.missed()
        return (
            f"{self.name:10} {count:2}  {sum(self.gaps) / count:7.2%} {max(self.gaps):7.2%}  {sum(own) / count:7.2%} "
            f"{max(own):7.2%}  {sum(seconds) / count:6.2f} {max(seconds):6.2f}  {max(mib):6.0f}  "
            f"{'MISSED: ' + ', '.join(missed) if missed else 'ok'}{self.proven_out_of_reach()}"
        )


def child_environment() -> dict[str, str]:
    """As a user would have it: bytecode compiled once and kept."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT)}


def run(arguments: list[str]) -> Run:
    """Run raypipe in a process of its own and wait for it."""
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], stdout=out, env=child_environment())
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    plan = json.loads(text) if child.returncode in (0, 3) and text[:1] == b"{" else {}
    return Run(child.returncode, seconds, usage.ru_maxrss / 1024, plan)


def planned(
    name: str, folders: list[Path], catalog_path: Path, catalog: Catalog, certificates: Mapping[str, Certificate]
) -> Row:
    """Plan each folder by the whole command; measure its gap against (A), and how far above (A) any plan must be."""
    runs, gaps, certified = [], [], []
    for folder in folders:
        runs.append(run(["plan", str(folder), "--catalog", str(catalog_path), "-o", "json", "--quiet"]))
        world = world_of(read_paths([folder]).clusters[0], catalog)
        lowest = aggregated(world.only_kinds(undominated(world))).usd_per_hour
        proven = certificates.get(world.digest())
        gaps.append(runs[-1].plan["usd_per_hour"]["after"] / lowest - 1)
        certified.append(proven.usd_per_hour / lowest - 1 if proven is not None else 0.0)
    return Row(name, runs, gaps, certified)


def rows(
    chosen: Collection[str],
    seeds_from: Callable[[int], range],
    catalog_path: Path,
    certificates: Mapping[str, Certificate],
    scratch: Path,
) -> Iterator[Row]:
    """The rows of the table, one after the other; `seeds_from`: the seeds of a row that has so many by itself."""
    catalog = load(catalog_path)
    if "openb" in chosen:
        yield planned("openb", [openb(scratch / "openb")], catalog_path, catalog, certificates)
    for name, pods, groups, usual in (("services", 1000, 100, 5), ("gpu", 500, 0, 3), ("mixed", 600, 0, 3)):
        if name in chosen:
            folders = [
                write(scratch / f"{name}-{pods}-{groups}-{seed}", instance(name, pods, groups, seed))
                for seed in seeds_from(usual)
            ]
            yield planned(name, folders, catalog_path, catalog, certificates)


def timed(name: str, seconds: list[float]) -> bool:
    """Print a row that is only a time; return whether it is within its threshold."""
    limit = THRESHOLDS[name]["seconds"]
    good = min(seconds) <= limit
    mean = sum(seconds) / len(seconds)
    verdict = "ok" if good else f"MISSED: slower than {limit} s"
    print(f"{name:10} {len(seconds):2}  {'':16} {'':16} {mean:6.2f} {max(seconds):6.2f}  {'':6}  {verdict}")
    return good


def load_times(catalog_path: Path, count: int = 5) -> list[float]:
    """Seconds to read the catalogue, in this process."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        load(catalog_path)
        seconds.append(time.perf_counter() - started)
    return seconds
