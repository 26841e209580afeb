"""Audit lines: one JSON object a decision, with what it was computed from, what it asked for and what became of that.

A line holds names, reasons and results, never what was written: no object and no patch is in it, so no value that
somebody keeps secret can be. What is done later for the same decision (pods bound, nodes drained) is a further line
with the same decision id. A decision that repeats without anything being done is told once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from raypipe.controller.telling import Mode, Telling, micro_time
from raypipe.errors import InputError, Problem
from raypipe.model.actions import Action
from raypipe.model.plan import ClusterPlan, FleetPlan, Inputs
from raypipe.model.results import Result

AUDIT_SCHEMA = "raypipe.audit/v1"


class Audit(Telling):
    """A `Telling` that writes a line a decision; `write` takes it, without a line end."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._plan = FleetPlan()
        self._last: dict[str, tuple[str, Mode]] = {}

    def decided(self, at: datetime, plan: FleetPlan, seconds: float) -> None:
        """Keep what the decision was computed from."""
        del at, seconds
        self._plan = plan

    def acted(self, at: datetime, plan: ClusterPlan, mode: Mode, results: Sequence[Result]) -> None:
        """Write the line, unless it says nothing new."""
        is_known = self._last.get(plan.name) == (plan.decision_id, mode)
        if is_known and not results:
            return
        self._last[plan.name] = (plan.decision_id, mode)
        asked = () if is_known else plan.actions
        self._write(line(at, plan, self._plan.inputs, mode, entries(asked, results)))


def line(at: datetime, plan: ClusterPlan, inputs: Inputs, mode: Mode, actions: Sequence[Mapping[str, Any]]) -> str:
    """One line of JSON, its fields in the order in which a person asks."""
    cost = plan.usd_per_hour
    fields = {
        "schema": AUDIT_SCHEMA,
        "at": micro_time(at),
        "cluster": plan.name,
        "context": plan.context,
        "decision_id": plan.decision_id,
        "mode": mode,
        "inputs": inputs,
        "status": plan.status,
        "usd_per_hour": {"before": cost.before, "after": cost.after, "lower_bound": cost.lower_bound},
        "gap_fraction": plan.gap_fraction,
        "unplaced_pods": sum(entry.count for entry in plan.unplaced),
        "stale": plan.stale,
        "error": plan.error,
        "actions": actions,
    }
    return msgspec.json.encode(fields).decode()


def entries(asked: Iterable[Action], results: Sequence[Result]) -> list[dict[str, Any]]:
    """What was asked for, with its result where there is one, and then results of what nobody asked for here."""
    ends = {result.action.id: result for result in results}
    ordered = [*asked]
    known = {action.id for action in ordered}
    ordered += [result.action for result in results if result.action.id not in known]
    return [_entry(action, ends.get(action.id)) for action in ordered]


def _entry(action: Action, result: Result | None) -> dict[str, Any]:
    return {
        "id": action.id,
        "kind": action.kind,
        "object": action.object.key,
        "reason": action.reason,
        "result": None if result is None else result.outcome,
        "words": "" if result is None else result.words,
    }


def audit_file(path: Path, complain: Callable[[str], None]) -> Callable[[str], None]:
    """Append lines to a file that only its owner may read; InputError where that is impossible from the start.

    It is opened anew for each line, so that it may be moved away while the loop runs. A line that cannot be written
    later (a full disk) is complained of: to stop the loop would harm more than a gap.
    """
    try:
        _append(path, "")
    except OSError as error:
        found = error.strerror or "cannot be written"
        raise InputError(
            Problem(file=str(path), field="--audit", found=found, expected="a file to append to")
        ) from None

    def write(text: str) -> None:
        try:
            _append(path, text + "\n")
        except OSError as error:
            complain(f"{path}: {error.strerror or 'cannot be written'}: a line of the audit is lost")

    return write


def _append(path: Path, text: str) -> None:
    """One write, so that lines of two processes do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
