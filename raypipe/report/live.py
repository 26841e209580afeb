"""Text on a terminal that is drawn anew as it changes, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 2.0


def live(text: Callable[[], str]) -> None:
    """Show the text; it stays as it was last when Ctrl-C ends it."""
    from rich.live import Live  # here: nobody else pays for its import
    from rich.text import Text  # names from user input are text, not markup

    try:
        with Live(Text(text()), auto_refresh=False, vertical_overflow="crop") as shown:
            while True:
                time.sleep(EVERY_S)
                shown.update(Text(text()), refresh=True)
    except KeyboardInterrupt:
        return
