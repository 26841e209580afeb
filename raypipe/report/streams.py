"""Where results and messages go: stdout and stderr as the shell left them, closed, full or unable to show a character.

A result that cannot be written is a failure in words; one that nobody reads any more (``| head``) is none. Tables are
spelt in plain characters where the terminal has no others; data is UTF-8 everywhere, because programs read it.
"""

from __future__ import annotations

import codecs
import io
import os
import sys

from raypipe.errors import OutputError

_PLAIN = {"·": "|", "–": "-", "×": "x", "…": "..."}


def prepare() -> None:
    """Make stdout and stderr safe to write to; a stream that the caller closed is one that nobody reads."""
    codecs.register_error("raypipe.plain", plain)
    sys.stdout = _safe(sys.stdout, 1)
    sys.stderr = _safe(sys.stderr, 2)


def plain(error: UnicodeError) -> tuple[str, int]:
    """Spell what a terminal cannot show in plain characters, and with a question mark what has no such spelling.

    >>> codecs.register_error("raypipe.plain", plain)
    >>> "2 × t4 · –, ☃".encode("ascii", "raypipe.plain")
    b'2 x t4 | -, ?'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(one, "?") for one in error.object[error.start : error.end]), error.end


def _safe[T](stream: T | None, number: int) -> T | io.TextIOWrapper:
    if stream is None:
        # Opened under its own number, lest the next file that is opened gets it and the output with it.
        sink = os.open(os.devnull, os.O_WRONLY)
        if sink != number:
            os.dup2(sink, number)
            os.close(sink)
        return io.TextIOWrapper(io.FileIO(number, "w"), encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="raypipe.plain")
    return stream


def print_result(text: str, *, data: bool = False) -> None:
    """Print a table, or data (JSON, YAML) in UTF-8; raise OutputError where stdout takes no more, a full disk say."""
    if data and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()  # the reader has seen enough, and nothing is wrong
    except OSError as error:
        _forget_stdout()
        raise OutputError(f"stdout: {error.strerror or 'cannot be written'}") from None


def _forget_stdout() -> None:
    """Send what is still buffered nowhere, or Python would complain of it on its way out."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)


def tell(text: str) -> None:
    """A message to the person, never part of the result."""
    sys.stderr.write("".join(f"raypipe: {line}\n" for line in text.splitlines()))
