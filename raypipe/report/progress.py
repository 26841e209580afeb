"""The progress line: what is being done, on a terminal only, gone when the work is done."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Self


class ProgressLine:
    """One line on stderr that says what happens; silent where stderr is no terminal or `quiet` is asked for."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._status: Any = None

    def __enter__(self) -> Self:
        if self._shown:
            from rich.console import Console  # here: a run without a terminal does not pay for it

            self._status = Console(stderr=True, highlight=False).status("reading")
            self._status.start()
        return self

    def __call__(self, text: str) -> None:
        """Say what is being done now."""
        if self._status is not None:
            from rich.text import Text  # names from user input are text, not markup

            self._status.update(Text(text))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
