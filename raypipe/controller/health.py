"""Whether the loop lives and whether it is of use: what a kubelet asks at /healthz and /readyz.

*Alive*: something was told within `limit_s`. A loop that hangs is started anew by its kubelet; one that waits for a
cluster is not hanging, since it says so each cycle. *Ready*: at the last look at least one cluster was seen; that
others cannot be reached is told and leaves it ready, because those that can are served.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from raypipe.controller.telling import Mode, Telling, Wait
from raypipe.manifests.origins import Observed
from raypipe.model.plan import ClusterPlan, FleetPlan
from raypipe.model.results import Result
from raypipe.model.snapshot import FleetSnapshot

LIMIT_S = 600.0
"""Seconds of silence after which a loop is taken for dead: a large fleet planned from nothing takes some minutes."""


class Health(Telling):
    """A `Telling` that remembers when it was told last. `clock` is monotonic, in seconds."""

    def __init__(self, limit_s: float = LIMIT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._last = clock()
        self._errors: Mapping[str, str | None] = {}

    def observed(self, at: datetime, fleet: FleetSnapshot, seen: Mapping[str, Observed]) -> None:
        """Which clusters can be seen."""
        del at, seen
        self._last = self._clock()
        self._errors = {cluster.name: cluster.error for cluster in fleet.clusters}

    def decided(self, at: datetime, plan: FleetPlan, seconds: float) -> None:
        """It lives."""
        del at, plan, seconds
        self._last = self._clock()

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        """It lives."""
        del at, plan, mode, results
        self._last = self._clock()

    def waiting(self, at: datetime, cluster: str, waits: Sequence[Wait]) -> None:
        """It lives."""
        del at, cluster, waits
        self._last = self._clock()

    def alive(self) -> tuple[bool, str]:
        """Whether the loop lives, and in words since when nothing was heard of it."""
        silent_s = self._clock() - self._last
        return silent_s <= self._limit_s, f"heard of {silent_s:.0f} s ago, at most {self._limit_s:.0f} s are expected"

    def ready(self) -> tuple[bool, str]:
        """Whether a cluster was seen, and in words which were not; errors are told in their first line."""
        if not self._errors:
            return False, "no cluster has been looked at yet"
        missing = [f"{name}: {error.splitlines()[0]}" for name, error in self._errors.items() if error]
        seen = len(self._errors) - len(missing)
        return seen > 0, "\n".join([f"{seen} of {len(self._errors)} clusters seen", *missing])
