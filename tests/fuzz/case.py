"""One fuzzed case: a fleet folder, settings and a catalogue, some of them mutated, through the whole pipeline."""

from __future__ import annotations

import random
import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import raypipe
from raypipe.api import load_settings
from raypipe.errors import InvalidPlanError, RaypipeError
from tests.fuzz.documents import FLEET, MANIFESTS, OFFERINGS, SETTINGS, TYPES
from tests.fuzz.mutate import mutated_table, mutated_text, mutated_tree

MOST_SECONDS = 2.0


@dataclass(frozen=True)
class Outcome:
    """How a case ended: plan, error (one that says what is wrong) or crash (anything else), and how long it took."""

    seed: int
    ended: str
    seconds: float
    text: str = ""

    @property
    def bad(self) -> bool:
        return self.ended == "crash" or self.seconds > MOST_SECONDS


def write_case(seed: int, folder: Path) -> None:
    """The files of a case."""
    draw = random.Random(seed)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    texts = {"objects.yaml": MANIFESTS, "fleet.yaml": FLEET, "settings.yaml": SETTINGS}
    hit = draw.choice(("objects.yaml", "objects.yaml", "objects.yaml", "fleet.yaml", "settings.yaml", "catalogue"))
    for name, text in texts.items():
        change = draw.choice((mutated_text, mutated_tree, mutated_tree))
        data = change(text, draw) if name == hit or draw.random() < 0.05 else text.encode()
        (folder / name).write_bytes(data)
    for name, text in (("instance_types.csv", TYPES), ("offerings.csv", OFFERINGS)):
        mutate = hit == "catalogue" and draw.random() < 0.7
        (folder / name).write_bytes(mutated_table(text, draw) if mutate else text.encode())


def run_case(seed: int, folder: Path) -> Outcome:
    """Read, plan and validate; every RaypipeError but an invalid plan is a clear error."""
    write_case(seed, folder)
    started = time.perf_counter()
    ended, text = "plan", ""
    try:
        settings = load_settings(folder / "settings.yaml")
        catalog = raypipe.load_catalog(folder)
        fleet = raypipe.read(folder / "fleet.yaml", settings=settings)
        raypipe.plan(fleet, catalog=catalog).to_json()
    except InvalidPlanError:
        ended, text = "crash", traceback.format_exc()
    except RaypipeError as error:
        ended, text = ("error", str(error)) if str(error).strip() else ("crash", "an error without words")
    except Exception:  # noqa: BLE001  (what the fuzzer looks for)
        ended, text = "crash", traceback.format_exc()
    return Outcome(seed, ended, time.perf_counter() - started, text)
