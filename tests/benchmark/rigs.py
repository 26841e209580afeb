"""The end-to-end rig for a benchmark: its clusters end with it, and where its programs cannot be had that is said."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.programs import Programs, UnavailableError
from tests.e2e.rig import Rig


@contextmanager
def scratch_rig(unavailable: int = 0) -> Iterator[tuple[Rig, Path]]:
    """A rig and the folder that it is in; the process exits with `unavailable` where its programs cannot be had."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            rig = Rig(Path(folder), Programs(lambda line: print(line, file=sys.stderr, flush=True)))
        except UnavailableError as error:
            print(f"skipped: {error}", file=sys.stderr)
            raise SystemExit(unavailable) from None
        try:
            yield rig, Path(folder)
        finally:
            rig.end()
