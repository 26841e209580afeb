"""``python -m tests.fuzz --cases 10000``: fuzzed manifests, fleets, settings and catalogues; exit 1 on any crash."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.case import run_case


def main() -> int:
    """Run the cases and print counts, the slowest, and every crash."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first case")
    arguments = parser.parse_args()
    ended: Counter[str] = Counter()
    slowest, bad = (0.0, -1), 0
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(arguments.first, arguments.first + arguments.cases):
            outcome = run_case(seed, Path(scratch) / "case")
            ended[outcome.ended] += 1
            slowest = max(slowest, (outcome.seconds, seed))
            if outcome.bad:
                bad += 1
                print(f"seed {seed}: {outcome.ended} after {outcome.seconds:.2f} s\n{outcome.text[-1500:]}")
    print(f"{arguments.cases} cases: {dict(ended)}; slowest {slowest[0]:.2f} s (seed {slowest[1]}); {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
