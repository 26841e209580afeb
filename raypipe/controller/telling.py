"""What the loop tells of itself, and to whom.

Events, audit lines, metrics, health and the status table all say the same few things in their own way: what was
observed, decided, done, and what is waited for. The loop says each once, to a `Telling`; `Everybody` passes it on.

Whoever is told keeps no loop from its work: it neither raises nor waits for a network. The hour is an argument, so that
what is told can be tested, and told again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from raypipe.manifests.origins import Observed
from raypipe.model.plan import ClusterPlan, FleetPlan
from raypipe.model.results import Result
from raypipe.model.snapshot import FleetSnapshot


class Mode(StrEnum):
    """Whether decisions are carried out."""

    ACTING = "acting"
    DRY_RUN = "dry-run"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Something under way: what is waited for, on which object (``Kind/namespace/name``), and since when."""

    object: str
    words: str
    since: datetime | None = None


class Telling(Protocol):
    """What the loop calls, in this order, each cycle; `at` is the hour, in UTC.

    Whoever says that he is one (``class Audit(Telling)``) need not listen to everything.
    """

    def observed(self, at: datetime, fleet: FleetSnapshot, seen: Mapping[str, Observed]) -> None:
        """The clusters as they are now; `seen`: what their API servers told, by context."""
        del at, fleet, seen

    def supplied(self, prices_read: datetime | None, shards_died: int | None) -> None:
        """What plans are made with, whenever it is asked for.

        prices_read: when prices were read last, None where they ship with the package. shards_died: planner shards that
        have died and were started anew, None where nobody can tell.
        """
        del prices_read, shards_died

    def decided(self, at: datetime, plan: FleetPlan, seconds: float) -> None:
        """A validated plan, and how long it took; clusters that were not planned again are not in it."""
        del at, plan, seconds

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        """What became of one cluster's plan, once a decision; without results where nothing is carried out."""
        del at, plan, mode, results

    def waiting(self, at: datetime, cluster: str, waits: Sequence[Wait]) -> None:
        """All that is under way in a cluster at the end of the cycle; none where it has settled."""
        del at, cluster, waits


class Everybody(Telling):
    """A `Telling` that tells several, in order."""

    def __init__(self, *told: Telling) -> None:
        self._told = told

    def observed(self, at: datetime, fleet: FleetSnapshot, seen: Mapping[str, Observed]) -> None:
        """Pass it on."""
        for one in self._told:
            one.observed(at, fleet, seen)

    def supplied(self, prices_read: datetime | None, shards_died: int | None) -> None:
        """Pass it on."""
        for one in self._told:
            one.supplied(prices_read, shards_died)

    def decided(self, at: datetime, plan: FleetPlan, seconds: float) -> None:
        """Pass it on."""
        for one in self._told:
            one.decided(at, plan, seconds)

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        """Pass it on."""
        for one in self._told:
            one.acted(at, plan, mode, results)

    def waiting(self, at: datetime, cluster: str, waits: Sequence[Wait]) -> None:
        """Pass it on."""
        for one in self._told:
            one.waiting(at, cluster, waits)


def micro_time(at: datetime) -> str:
    """A moment as Kubernetes' MicroTime: microseconds, always six digits, and Z.

    >>> micro_time(datetime(2026, 11, 25, 9, 30, tzinfo=UTC))
    '2026-11-25T09:30:00.000000Z'
    """
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
