"""What the loop decides and does, as lines for the person who started it: one a decision, one an action, one a wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime

from raypipe.controller.telling import Mode, Telling, Wait
from raypipe.model.plan import ClusterPlan
from raypipe.model.results import Result

_PREFIX = {Mode.ACTING: "", Mode.DRY_RUN: "dry run, ", Mode.PAUSED: "paused, "}


class Lines(Telling):
    """A `Telling` that hands lines to `print_line`; nothing is said twice in a row."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        self._print = print_line
        self._decided: dict[str, str] = {}
        self._waits: dict[str, frozenset[str]] = {}

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        """The decision, once, and every result."""
        if self._decided.get(plan.name) != plan.decision_id:
            self._decided[plan.name] = plan.decision_id
            self._say(at, decision(plan, mode))
            if mode is not Mode.ACTING:
                for action in plan.actions:
                    self._say(at, f"{plan.name}: would {action.kind} {action.object.key}: {action.reason}")
        for result in results:
            words = f": {result.words}" if result.words else ""
            self._say(at, f"{plan.name}: {result.action.kind} {result.action.object.key}: {result.outcome}{words}")

    def waiting(self, at: datetime, cluster: str, waits: Sequence[Wait]) -> None:
        """What is waited for, where that is new."""
        now = frozenset(f"{one.object}: {one.words}" for one in waits)
        for words in sorted(now - self._waits.get(cluster, frozenset())):
            self._say(at, f"{cluster}: waiting for {words}")
        self._waits[cluster] = now

    def _say(self, at: datetime, words: str) -> None:
        self._print(f"{at:%H:%M:%S} {words}")


def decision(plan: ClusterPlan, mode: Mode) -> str:
    """One decision in a line."""
    counts = Counter(action.kind.value for action in plan.actions)
    asked = ", ".join(f"{count} × {kind}" for kind, count in sorted(counts.items())) or "nothing to do"
    unplaced = sum(entry.count for entry in plan.unplaced)
    left = f", {unplaced} pods without a place" if unplaced else ""
    cost = plan.usd_per_hour
    return (
        f"{plan.name}: {_PREFIX[mode]}decision {plan.decision_id}: {asked}; "
        f"${cost.before:.4g}/h now, ${cost.after:.4g}/h then, bound ${cost.lower_bound:.4g}/h{left}"
    )
