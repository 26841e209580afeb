"""``python -m tests.benchmark``: the figures of this tree, on this machine, now. Exit 1 where a threshold is missed.

Groups of rows: `main` (the default) plans by the whole command, as a user types it; `optimiser` measures the planning
function in a warm process, against certified bounds, `on-demand` the same without spot; `peers` emulates two
autoscalers on the instances of both; `real` holds the emulation to what the real Karpenter was seen to pay; `existing`
plans beside nodes that are there already. `--rows` takes groups and rows: ``--rows services-1000,peers``
compares peers on that row alone. `--certify` first proves the bounds that are missing (minutes an instance), and asks
`raypipe plan --certify` for better ones than are known.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import raypipe
from raypipe.catalog import Catalog, load
from tests.benchmark import certify, command, optimiser
from tests.benchmark.optimiser import Instance, Measured
from tests.benchmark.suite import ROWS, SHARED, Row

GROUPS = ("main", "optimiser", "on-demand", "peers", "real", "existing")
COMPARED = tuple(
    row for row in ROWS if row.group in ("optimiser", "on-demand") and row.pods >= optimiser.PEERS_FROM_PODS
)
"""Rows that peers are emulated on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks for. `seeds`: None for as many as each row has by itself."""

    main: frozenset[str]
    rows: tuple[Row, ...]
    peers: frozenset[str]
    seeds: int | None
    first_seed: int
    certify: bool
    certify_seconds: float
    catalog: Path

    def seeds_from(self, usual: int) -> range:
        """The seeds of a row that has so many by itself; a trace has one."""
        return range(self.first_seed, self.first_seed + (1 if usual == 1 else self.seeds or usual))


def asked(words: list[str]) -> Asked:
    """Read the command line; exit 2 with the names there are where one is unknown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", type=Path, default=SHARED / "catalog", help="the big catalogue")
    parser.add_argument("--rows", default="main", help="comma list of groups and rows (default: main)")
    parser.add_argument("--seeds", type=int, help="so many seeds a row")
    parser.add_argument("--first-seed", type=int, default=1, help="the seeds are this one and the next (default: 1)")
    parser.add_argument("--quick", action="store_true", help="one seed a row")
    parser.add_argument("--certify", action="store_true", help="prove bounds that are missing or better, and keep them")
    parser.add_argument("--certify-seconds", type=float, default=300.0, help="of (B), an instance (default: 300)")
    parser.add_argument("--list", action="store_true", help="list groups and rows")
    arguments = parser.parse_args(words)
    if arguments.list:
        print(listing())
        parser.exit(0)
    chosen = arguments.rows.split(",")
    names = {*GROUPS, *command.NAMES, *(row.name for row in ROWS)}
    if unknown := [name for name in chosen if name not in names]:
        parser.error(f"--rows: {', '.join(unknown)}: expected any of {', '.join(sorted(names))}")
    rows = tuple(row for row in ROWS if row.name in chosen or row.group in chosen)
    named = any(row in COMPARED for row in rows)
    return Asked(
        main=frozenset(command.NAMES if "main" in chosen else set(chosen) & set(command.NAMES)),
        rows=rows,
        peers=frozenset(row.name for row in COMPARED if "peers" in chosen and (row in rows or not named)),
        seeds=1 if arguments.quick else arguments.seeds,
        first_seed=arguments.first_seed,
        certify=arguments.certify,
        certify_seconds=arguments.certify_seconds,
        catalog=arguments.catalog,
    )


def listing() -> str:
    """The groups and their rows."""
    groups = ("optimiser", "on-demand", "real", "existing")
    of_group = {group: [row.name for row in ROWS if row.group == group] for group in groups}
    lines = {"main": [*command.NAMES], **of_group, "peers": [row.name for row in COMPARED]}
    return "\n".join(f"{group:10} {' '.join(names)}" for group, names in lines.items())


def main_table(question: Asked, scratch: Path) -> bool:
    """Print the main job's table; return whether it is within its thresholds."""
    command.run(["--help"])  # compiles what is not compiled yet
    command.run(["plan", "--help"])
    print("row         n  gap to (A): mean, worst   own gap: mean, worst   s mean, worst     MiB  thresholds")
    good = True
    for row in command.rows(question.main, question.seeds_from, question.catalog, certify.known(), scratch):
        print(row.line(), flush=True)
        good &= not row.missed()
    if "catalogue" in question.main:
        good &= command.timed("catalogue", command.load_times(question.catalog))
    if "help" in question.main:
        good &= command.timed("help", [command.run(["--help"]).seconds for _ in range(7)])
    return good


def measured_rows(question: Asked, scratch: Path) -> Iterator[tuple[Measured, list[Instance]]]:
    """Measure each row that a table needs, certificates first where they are asked for."""
    catalog, certificates = load(question.catalog), certify.known()
    for row in ROWS:
        if row.group == "real" or (row not in question.rows and row.name not in question.peers):
            continue
        made = optimiser.instances(row, question.seeds_from(row.seeds), catalog, scratch)
        for one in made if question.certify else ():
            before = certificates.get(one.digest)
            certificates[one.digest] = proven(one, before, question.certify_seconds, catalog)
        yield optimiser.measure(row, made, certificates, question.catalog), made


def proven(
    one: Instance, certificate: certify.Certificate | None, seconds: float, catalog: Catalog
) -> certify.Certificate:
    """Certify an instance, by `raypipe plan --certify` too, and keep what was proven.

    Beside existing nodes, of which `certify` knows nothing, by that alone.
    """

    def tell(text: str) -> None:
        print(f"{one.name}: {text}", file=sys.stderr)

    if certificate is None and one.beside_nodes:
        certificate = certify.nothing(one.name)
    elif certificate is None:
        certificate = certify.certify(one.name, one.world, seconds, tell)
    plan = raypipe.plan(raypipe.read(one.folder), catalog, certify=True)
    certificate = certificate.or_better(plan.clusters[0])
    tell(f"{certificate.usd_per_hour:.4f} by {certificate.prover}; the plan costs {plan.usd_per_hour.after:.4f}")
    certify.keep(one.digest, certificate)
    return certificate


def optimiser_tables(question: Asked, limits: Mapping[str, optimiser.Limits], scratch: Path) -> bool:
    """Print the tables of optimiser, existing nodes and peers; return whether they are within their thresholds."""
    good, peers, done = True, list[str](), dict[str, Measured]()
    if any(row.group != "real" for row in question.rows):
        print(optimiser.HEADER)
    for measured, made in measured_rows(question, scratch):
        row, done[measured.row.name] = measured.row, measured
        if row in question.rows:
            print(measured.line(limits.get(row.name, {})), flush=True)
            good &= not measured.missed(limits.get(row.name, {}))
        if row.name in question.peers:
            compared = optimiser.compare(measured, made)
            peers.append(compared.line(command.PEERS["ratios"]))
            good &= not compared.missed(command.PEERS["ratios"])
    if {"existing-1000", "existing-none"} <= done.keys():
        most = limits["existing-1000"]["gap_added"]
        text, saved = optimiser.nodes_saved(done["existing-1000"], done["existing-none"], most)
        print(text)
        good &= saved
    if peers:
        print("\n".join((optimiser.PEERS_HEADER, *peers)))
    return good


def real_table(question: Asked, scratch: Path) -> bool:
    """Print how the emulation of Karpenter stands to the real one; return whether it comes near."""
    catalog, good = load(question.catalog), True
    for row in (row for row in question.rows if row.group == "real"):
        made = optimiser.instances(row, question.seeds_from(row.seeds), catalog, scratch)
        text, near = optimiser.emulate(row, made).line(command.PEERS["real"][row.name], command.PEERS["near"])
        print(text, flush=True)
        good &= near
    return good


def main() -> int:
    """Print the tables asked for; 1 where a threshold is missed."""
    question = asked(sys.argv[1:])
    if not question.catalog.is_dir():
        print(f"skipped: no catalogue at {question.catalog}", file=sys.stderr)
        return 0
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        if question.main:
            good &= main_table(question, Path(scratch))
        if question.rows or question.peers:
            good &= optimiser_tables(question, command.OPTIMISER_THRESHOLDS, Path(scratch))
            good &= real_table(question, Path(scratch))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
