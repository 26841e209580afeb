"""A loop's status as a table, and below it what each cluster waits for, has done lately and leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from raypipe.model.status import ClusterStatus, Done, LeftOut, Status, Waited
from raypipe.report.amounts import ABSENT, money
from raypipe.report.layout import Column, Row, entries, table

STALE_S = 60
"""Seconds after which a status is called old: a loop that lives writes one each cycle, which is 10 s at most."""
MOST_WAITS = 10
MOST_DONE = 5
MOST_LEFT_OUT = 5

_COLUMNS = (
    Column(title="cluster"),
    Column(title="mode"),
    Column(title="nodes", right=True),
    Column(title="coming", right=True),
    Column(title="pending", right=True),
    Column(title="unplaced", right=True),
    Column(title="$/h now", right=True),
    Column(title="$/h planned", right=True),
    Column(title="bound", right=True, expendable=True),
    Column(title="seen", right=True),
    Column(title="decision", expendable=True),
)


def render(status: Status, now: datetime, width: int | None = None) -> str:
    """The status as lines of text; `now` says how long ago things were."""
    written = age_s(status.at, now)
    if written is None or not status.clusters:
        return "no cycle has ended yet"
    head = f"as of {ago(written)}" + ("   OLD: no loop writes it now, or it hangs" if written > STALE_S else "")
    lines = [head, "", *table(_COLUMNS, [_row(one, now) for one in status.clusters], width)]
    for one in status.clusters:
        told = _cluster(one, now, width)
        lines += ["", one.name, *told] if told else []
    return "\n".join(lines)


def age_s(at: str | None, now: datetime) -> float | None:
    """Seconds since a time as a status has it; None where there is none."""
    return None if at is None else max(0.0, (now - datetime.fromisoformat(at)).total_seconds())


def ago(seconds: float | None) -> str:
    """How long ago, as short as it can be.

    >>> ago(7.2), ago(600), ago(90_000), ago(None)
    ('7 s ago', '10 min ago', '25 h ago', '–')
    """
    if seconds is None:
        return ABSENT
    for unit, size in (("h", 3_600), ("min", 120)):
        if seconds >= size:
            return f"{seconds / (3_600 if unit == 'h' else 60):.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _row(one: ClusterStatus, now: datetime) -> Row:
    decided = one.usd_per_hour_now is not None
    left_out = f"{sum(entry.count for entry in one.unplaced):,}" if decided else ABSENT
    costs = (one.usd_per_hour_now, one.usd_per_hour_after, one.usd_per_hour_bound)
    cells = (
        one.name,
        one.mode or ABSENT,
        f"{one.nodes:,}",
        f"{one.coming:,}",
        f"{one.pending:,}",
        left_out,
        *(ABSENT if cost is None else money(cost) for cost in costs),
        ago(age_s(one.seen_at, now)),
        one.decision_id or ABSENT,
    )
    return Row(cells=cells)


def _cluster(one: ClusterStatus, now: datetime, width: int | None) -> list[str]:
    return [
        *entries("error", (one.error or "").splitlines(), 5, width),
        *entries("waits for", [_wait(wait, now) for wait in one.waits], MOST_WAITS, width),
        *entries("sold out", one.unavailable, MOST_LEFT_OUT, width),
        *entries("unplaced", [_left_out(entry) for entry in one.unplaced], MOST_LEFT_OUT, width),
        *entries("did", _did(one.done, now), MOST_DONE, width),
    ]


def _wait(wait: Waited, now: datetime) -> str:
    since = age_s(wait.since, now)
    return f"{wait.object}: {wait.words}" + ("" if since is None else f" (since {ago(since).removesuffix(' ago')})")


def _left_out(entry: LeftOut) -> str:
    return f"{entry.count:,} × {entry.pods}: {entry.why}"


def _did(done: Sequence[Done], now: datetime) -> list[str]:
    return [
        f"{ago(age_s(one.at, now))}: {one.kind} {one.object} {one.outcome}" + (f": {one.words}" if one.words else "")
        for one in done
    ]
