"""The planning function in a warm process: ``python -m tests.benchmark.measure CATALOG FOLDER…``, a JSON line a folder.

Every instance is planned twice, the first time to warm up. Only then are the plans checked, so that the peak of memory
is the planner's (and the reader's) own.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from raypipe.catalog import Catalog, load
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.manifests import read_paths
from raypipe.model.plan import FleetPlan
from raypipe.model.snapshot import FleetSnapshot
from raypipe.validation import check_plan

DONE = re.compile(r"\d+/\d+ ")
"""How the message begins that a cluster is planned to the end: no incumbent on the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one plan came to.

    Attributes:
        bought_usd_per_hour, bought_lower_bound: without the nodes that are there already.
        first_s: seconds to the first verified packing, None where the planner tells of none. final_s: to the plan.
        mib: peak of resident memory so far. unplaced: pods. wrong: what the independent check objects to, or "".
        bound_kind: how the plan's own bound was proven. status, stopped: as the plan says.
    """

    bought_usd_per_hour: float
    bought_lower_bound: float
    first_s: float | None
    final_s: float
    mib: float
    unplaced: int
    wrong: str
    bound_kind: str
    status: str
    stopped: str

    @property
    def own_gap(self) -> float:
        return self.bought_usd_per_hour / self.bought_lower_bound - 1 if self.bought_lower_bound else 0.0


class Watch:
    """Seconds since `start` until somebody tells of a first packing by its cost."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._started = clock()
        self.first_s: float | None = None

    def __call__(self, message: str) -> None:
        if self.first_s is None and "$" in message and not DONE.match(message):
            self.first_s = self.seconds

    @property
    def seconds(self) -> float:
        return self._clock() - self._started


def measured(folders: list[Path], catalog: Catalog) -> list[Figures]:
    """Plan each folder twice, check the second plan."""
    planned: list[tuple[FleetSnapshot, FleetPlan, Watch, float, float]] = []
    for folder in folders:
        fleet = read_paths([folder])
        plan_fleet(fleet, catalog)
        watch = Watch()
        plan = plan_fleet(fleet, catalog, progress=watch)
        planned.append((fleet, plan, watch, watch.seconds, peak_mib()))
    return [
        _figures(plan, watch.first_s, seconds, mib, _wrong(plan, fleet, catalog))
        for fleet, plan, watch, seconds, mib in planned
    ]


def _figures(plan: FleetPlan, first_s: float | None, final_s: float, mib: float, wrong: str) -> Figures:
    cluster = plan.clusters[0]
    return Figures(
        bought_usd_per_hour=cluster.bought.usd_per_hour,
        bought_lower_bound=cluster.bought.lower_bound,
        first_s=first_s,
        final_s=final_s,
        mib=mib,
        unplaced=sum(entry.count for entry in plan.unplaced),
        wrong=wrong,
        bound_kind=cluster.bound.kind,
        status=str(plan.status),
        stopped=cluster.work.stopped,
    )


def _wrong(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> str:
    try:
        check_plan(plan, fleet, catalog)
    except InvalidPlanError as error:
        return str(error).splitlines()[0][:100]
    return ""


def peak_mib() -> float:
    """Peak resident memory of this process; `ru_maxrss` would count the parent's at the time of the fork too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Measure the folders named on the command line."""
    catalog = load(Path(sys.argv[1]))
    for one in measured([Path(name) for name in sys.argv[2:]], catalog):
        print(json.dumps(asdict(one)))


if __name__ == "__main__":
    main()
