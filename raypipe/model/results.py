"""What became of an action: done, skipped because what it relied on no longer held, or failed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from raypipe.model.actions import Action


class Outcome(StrEnum):
    """How an action ended. A skipped one has changed nothing; a failed one may be done again."""

    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One action and its end; `words` say why, for a person, where it is not simply done."""

    action: Action
    outcome: Outcome
    words: str = ""
