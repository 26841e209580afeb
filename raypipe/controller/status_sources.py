"""Where a status comes from: the state of a loop, and the clusters themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from raypipe import api
from raypipe.controller.status import looked_at
from raypipe.errors import InputError, Problem
from raypipe.model.status import Status

STATUS_FILE = "status.json"


def status_of(state: str | None, contexts: Sequence[str]) -> Status:
    """What the loop with this state has said last, and how the clusters of these contexts are now.

    Raises InputError where the state holds no status, or no cluster can be seen.
    """
    said = Status() if state is None else _read(Path(state) / STATUS_FILE)
    if not contexts:
        return said
    return looked_at(said, api.read(context=contexts), datetime.now(UTC))


def _read(path: Path) -> Status:
    try:
        return Status.from_json(path.read_bytes())
    except FileNotFoundError:
        found = "no such file"
    except OSError as error:
        found = error.strerror or "cannot be read"
    except (ValueError, RecursionError) as error:
        found = str(error)
    raise InputError(Problem(file=str(path), field="--state", found=found, expected="the status that a loop writes"))
