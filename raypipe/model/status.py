"""What a loop sees, does and waits for, as it says at the end of each cycle: the file ``status.json`` of its state.

Everything in it is for people and for those who watch; no loop reads it back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

STATUS_SCHEMA = "raypipe.status/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """Something under way: the object (``Kind/namespace/name``), what it waits for, and since when (RFC 3339)."""

    object: str
    words: str
    since: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of an action lately."""

    at: str
    kind: str
    object: str
    outcome: str
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Pods without a place, and why."""

    pods: str
    count: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """One cluster.

    Attributes:
        seen_at: when it was looked at last. error: why it could not be seen, or planned; None where all is well.
        mode: acting, dry-run or paused; "" before the first decision.
        nodes: that are up. coming: that are on their way. pending: pods that want a place.
        usd_per_hour: now, after the plan, and its bound; None before the first decision.
        unavailable: offerings that could not be had, as ``type zone capacity-type``.
        done: the last actions, the newest first.
    """

    name: str
    context: str | None = None
    seen_at: str | None = None
    error: str | None = None
    mode: str = ""
    nodes: int = 0
    coming: int = 0
    pending: int = 0
    decision_id: str = ""
    decided_at: str | None = None
    usd_per_hour_now: float | None = None
    usd_per_hour_after: float | None = None
    usd_per_hour_bound: float | None = None
    unplaced: tuple[LeftOut, ...] = ()
    unavailable: tuple[str, ...] = ()
    waits: tuple[Waited, ...] = ()
    done: tuple[Done, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All clusters of a loop; `at`: when it was written. `from_json` and `to_json` are inverse."""

    schema: str = STATUS_SCHEMA
    at: str | None = None
    clusters: tuple[ClusterStatus, ...] = field(default=())

    def to_json(self) -> str:
        """The status as text."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Status:
        """Read what `to_json` wrote; raise ValueError (msgspec.ValidationError) saying which field is wrong."""
        return msgspec.json.decode(text, type=cls)
