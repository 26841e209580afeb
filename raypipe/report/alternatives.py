"""Alternative worker groups in words: which got the work, and why."""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.model.plan import DividedGroup, DividedSet


def divided(sets: Iterable[DividedSet]) -> list[str]:
    """Sets of worker groups as sentences: what each group gets and why, the one that does most first."""
    return [
        f"{one.set}: {group.replicas:,} × {group.group}{_asked(group)}: {group.reason}"
        for one in sets
        for group in sorted(one.groups, key=lambda group: (-group.replicas * group.speed, group.group))
    ]


def _asked(group: DividedGroup) -> str:
    return f" (asked for {group.requested:,})" if group.replicas != group.requested else ""
