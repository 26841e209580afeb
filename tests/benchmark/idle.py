"""A fleet where nothing happens: what it costs to find that out, cycle by cycle.

Every cycle has snapshots of its own, equal to the last ones, as if they had just been read from the clusters. What is
printed beside Nova, a scheduler for fleets of clusters, is its published use with 500 idle clusters; it watches them by
API servers, which this does not measure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import raypipe
from raypipe.model.snapshot import FleetSnapshot
from tests.benchmark.processes import cpu_s, descendants, rss_mib

CYCLE_S = 10.0
NOVA = {500: (118, 432), 100: (120, 386)}
"""Millicores and MiB that Nova publishes, by clusters."""


@dataclass(frozen=True, kw_only=True)
class Idle:
    """What `cycles` cycles took: the longest, and the use of the driver with its actors and of Ray's own processes."""

    cycles: int
    longest_s: float
    millicores: float
    mib: float
    rays_millicores: float
    rays_mib: float
    same: bool


def idled(planner: raypipe.Planner, fleet: FleetSnapshot, minutes: float) -> Idle:
    """Plan the fleet once, then again every `CYCLE_S` for so many minutes."""
    text, catalog = fleet.to_json(), raypipe.load_catalog()
    first = planner.plan(fleet, catalog)
    assert planner._connection is not None
    state = planner._connection.state()
    ours = {os.getpid(), state.pid, *state.shards}
    used, begun, seconds, same = {pid: cpu_s(pid) for pid in descendants(os.getpid())}, time.monotonic(), [], True
    for end in ends(begun, minutes):
        read_s = cpu_s(os.getpid())
        seen = FleetSnapshot.from_json(text)  # whoever watches clusters has this already
        used[os.getpid()] += cpu_s(os.getpid()) - read_s
        at = time.monotonic()
        same &= planner.plan(seen, catalog).clusters == first.clusters
        seconds.append(time.monotonic() - at)
        time.sleep(max(0.0, end - time.monotonic()))
    wall_s = time.monotonic() - begun
    use = {pid: 1000 * (cpu_s(pid) - before) / wall_s for pid, before in used.items()}
    return Idle(
        cycles=len(seconds),
        longest_s=max(seconds),
        millicores=sum(share for pid, share in use.items() if pid in ours),
        mib=sum(rss_mib(pid) for pid in used if pid in ours),
        rays_millicores=sum(share for pid, share in use.items() if pid not in ours),
        rays_mib=sum(rss_mib(pid) for pid in used if pid not in ours),
        same=same,
    )


def ends(begun: float, minutes: float) -> Iterator[float]:
    """When each cycle ends; one at least."""
    for number in range(max(1, round(minutes * 60 / CYCLE_S))):
        yield begun + (number + 1) * CYCLE_S
