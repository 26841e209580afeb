"""The sessions of the README, run again: ``python -m tests.integration.readme`` writes what they print now."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from pathlib import Path

from raypipe.cli import main

ROOT = Path(__file__).parents[2]
SESSION = re.compile(r"(^```console\n)(.*?)(^```$)", re.MULTILINE | re.DOTALL)
SECONDS = re.compile(r"planned in \d+\.\d s")


def rerun(text: str) -> str:
    """The text with every console session run again in this folder; times are kept as they were."""
    times = iter(SECONDS.findall(text))
    again = SESSION.sub(lambda found: found[1] + _session(found[2]) + found[3], text)
    return SECONDS.sub(lambda found: next(times, found[0]), again)


def _session(text: str) -> str:
    """The commands of a session, each followed by what it prints."""
    return "".join(f"$ {command}\n{_printed(command)}" for command in re.findall(r"^\$ (.*)$", text, re.MULTILINE))


def _printed(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "raypipe", command
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        main(arguments)
    printed = output.getvalue()
    assert printed or "--quiet" in arguments, f"{command} prints nothing"
    return printed


if __name__ == "__main__":
    readme = ROOT / "README.md"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        os.chdir(folder)
        readme.write_text(rerun(readme.read_text(encoding="utf-8")), encoding="utf-8")
