"""``-`` for a path: what is piped in, as kubectl takes it.

A pipe is read once, and the line of a problem is looked up in a second pass: so it is copied to a file for as long as
it is read. It is called ``-`` in every message. A fleet file cannot come by it, because what that names is found
relative to the file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

PIPED = "-"


@contextmanager
def piped_in() -> Iterator[Path]:
    """A file with what stands on standard input, called by what it is: JSON, or YAML."""
    data = sys.stdin.buffer.read()
    with tempfile.TemporaryDirectory(prefix="raypipe-") as folder:
        path = Path(folder) / ("stdin.json" if _is_json(data) else "stdin.yaml")
        path.write_bytes(data)
        yield path


def _is_json(data: bytes) -> bool:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
