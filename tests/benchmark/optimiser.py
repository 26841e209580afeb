"""The optimiser's own tables: gaps and times row by row, emulated peers beside it, and what existing nodes save.

A gap is measured against the certificate of the instance where there is one, else against the plan's own bound, which
is said: the column `own` counts such seeds. Each row is planned in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from raypipe.catalog import Catalog
from raypipe.manifests import read_paths
from raypipe.model.snapshot import ClusterSnapshot
from tests.benchmark.aggregated import aggregated
from tests.benchmark.certify import Certificate
from tests.benchmark.measure import Figures
from tests.benchmark.peers import Bought, first_fit, price_expander
from tests.benchmark.suite import ROOT, Row, folder_of
from tests.benchmark.world import World, undominated, world_of

PEERS_FROM_PODS = 1_000
PEERS: Mapping[str, Callable[[World], Bought]] = {
    "Karpenter-like, tuned": first_fit,
    "Karpenter-like, plain": lambda world: first_fit(world, tuned=False),
    "Cluster Autoscaler-like": price_expander,
}
HEADER = (
    f"{'row':20}  n own  gap: mean, worst  own gap: mean, worst  first s  final s: mean, worst  pods/s    MiB  "
    "$/h mean  thresholds"
)
PEERS_HEADER = f"{'emulated / planned':20}  n  " + "  ".join(f"{name}: mean, least" for name in PEERS)

type Limits = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instance:
    """One instance on disk and as arrays.

    Attributes:
        digest: what its certificate is found by. beside_nodes: there are nodes already, of which `world` knows nothing.
    """

    name: str
    folder: Path
    world: World
    digest: str
    beside_nodes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One row of the table: the figures of each seed and what its gap is measured against."""

    row: Row
    figures: tuple[Figures, ...]
    bounds: tuple[float, ...]
    uncertified: int

    @property
    def costs(self) -> list[float]:
        return [one.bought_usd_per_hour for one in self.figures]

    @property
    def gaps(self) -> list[float]:
        return [cost / bound - 1 if bound else 0.0 for cost, bound in zip(self.costs, self.bounds, strict=True)]

    @property
    def first_s(self) -> float | None:
        """The slowest first packing; None where one is not told."""
        told = [one.first_s for one in self.figures if one.first_s is not None]
        return max(told) if len(told) == len(self.figures) else None

    @property
    def pods_per_s(self) -> float:
        """Pods planned a second, of the slowest seed."""
        return self.row.pods / max(one.final_s for one in self.figures)

    def missed(self, limits: Limits) -> list[str]:
        """What is wrong with the plans, then which thresholds are missed."""
        wrong = [f"INVALID ({one.wrong})" for one in self.figures if one.wrong]
        wrong += [f"{one.unplaced} unplaced" for one in self.figures if one.unplaced != limits.get("unplaced", 0)]
        if min(self.gaps) < -1e-6:
            wrong.append("cost below the bound")
        found = {
            "gap_mean": fmean(self.gaps),
            "gap_worst": max(self.gaps),
            "own_above_gap": fmean(one.own_gap for one in self.figures) - fmean(self.gaps),
            "first_s": self.first_s or 0.0,
            "final_s": max(one.final_s for one in self.figures),
            "mib": max(one.mib for one in self.figures),
        }
        wrong += [f"{name} above {limits[name]:g}" for name in found if found[name] > limits.get(name, found[name])]
        if self.pods_per_s < limits.get("pods_per_s", 0):
            wrong.append(f"pods_per_s below {limits['pods_per_s']:g}")
        return wrong

    def line(self, limits: Limits) -> str:
        """The row as text."""
        own, final = [one.own_gap for one in self.figures], [one.final_s for one in self.figures]
        first = "–" if self.first_s is None else f"{self.first_s:.2f}"
        missed = self.missed(limits)
        has_goal = "gap_mean" in limits or "pods_per_s" in limits
        verdict = "MISSED: " + ", ".join(missed) if missed else "ok" if has_goal else "no goal"
        return (
            f"{self.row.name:20} {len(self.figures):2} {self.uncertified or '–':>3}  {fmean(self.gaps):8.2%} "
            f"{max(self.gaps):7.2%}  {fmean(own):12.2%} {max(own):7.2%}  {first:>7}  {fmean(final):13.2f} "
            f"{max(final):7.2f}  {self.pods_per_s:6.0f}  {max(one.mib for one in self.figures):5.0f}  "
            f"{fmean(self.costs):8.2f}  {verdict}"
        )


def instances(row: Row, seeds: Iterable[int], catalog: Catalog, scratch: Path) -> list[Instance]:
    """Write the instances of a row."""
    made = []
    for seed in seeds:
        folder = folder_of(row, seed, catalog, scratch)
        cluster = read_paths([folder]).clusters[0]
        world = world_of(cluster, catalog)
        digest, nodes = question_digest(cluster, world), bool(cluster.nodes)
        made.append(Instance(name=folder.name, folder=folder, world=world, digest=digest, beside_nodes=nodes))
    return made


def question_digest(cluster: ClusterSnapshot, world: World) -> str:
    """16 hex digits of all that a bound depends on: the world's, and of nodes that there are what room they leave."""
    if not cluster.nodes:
        return world.digest()
    nodes = [(one.name, sorted(one.labels.items()), sorted(one.allocatable.items())) for one in cluster.nodes]
    bound = [(one.node, one.count, sorted(one.spec.requests.items())) for one in cluster.bound]
    return hashlib.sha256(repr((world.digest(), sorted(nodes), sorted(bound))).encode()).hexdigest()[:16]


def measure(row: Row, made: Sequence[Instance], certificates: Mapping[str, Certificate], catalog: Path) -> Measured:
    """Plan the instances of a row in one process of their own."""
    command = [sys.executable, "-m", "tests.benchmark.measure", str(catalog), *(str(one.folder) for one in made)]
    text = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    figures = tuple(Figures(**json.loads(line)) for line in text.splitlines() if line.startswith("{"))
    proven = [certificates.get(one.digest) for one in made]
    return Measured(
        row=row,
        figures=figures,
        bounds=tuple(
            certificate.usd_per_hour if certificate is not None else one.bought_lower_bound
            for certificate, one in zip(proven, figures, strict=True)
        ),
        uncertified=proven.count(None),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Costs of each emulation over those planned, of the seeds that both place alike."""

    row: Row
    ratios: Mapping[str, tuple[float, ...]]

    def missed(self, goals: Mapping[str, Limits]) -> list[str]:
        """Emulations that paid less than the plan; on services, also goals (`mean`, `least`) that are missed."""
        wrong = [f"{name} pays less" for name, ratios in self.ratios.items() if min(ratios, default=1.0) < 1.0]
        for name, ratios in self.ratios.items() if self.row.kind == "services" else ():
            goal = goals.get(name, {})
            for title, found in (("mean", fmean(ratios)), ("least", min(ratios))) if ratios else ():
                if found < goal.get(title, 0):
                    wrong.append(f"{name}: {title} below {goal[title]:g}")
        return wrong

    def line(self, goals: Mapping[str, Limits]) -> str:
        """The row as text."""
        columns = [
            f"{fmean(ratios):{len(name) + 7}.3f} {min(ratios):6.3f}" if ratios else f"{'–':>{len(name) + 14}}"
            for name, ratios in self.ratios.items()
        ]
        missed = self.missed(goals)
        verdict = "MISSED: " + "; ".join(missed) if missed else "ok"
        return f"{self.row.name:20} {len(next(iter(self.ratios.values()))):2}  " + "  ".join(columns) + f"  {verdict}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulated:
    """How far above (A) the tuned first fit pays, seed by seed, and how far the real program was seen to pay.

    The real run's pods are not to be had, so what both pay is compared as a multiple of the bound of each.
    """

    row: Row
    above: tuple[float, ...]

    def line(self, real: Limits, near: float) -> tuple[str, bool]:
        """The row as text, and whether the emulation comes near; kinder than the program is the side to err on."""
        seen = real["usd_per_hour"] / real["bound"]
        off = fmean(self.above) / seen - 1
        verdict = "ok" if abs(off) <= near else f"MISSED: more than {near:.0%} apart"
        return (
            f"{self.row.name:20} {len(self.above):2}  emulated {fmean(self.above):.3f} of (A)  real {seen:.3f} "
            f"({real['usd_per_hour']:g} / {real['bound']:g} $/h)  {off:+.1%}  {verdict}"
        ), abs(off) <= near


def emulate(row: Row, made: Sequence[Instance]) -> Emulated:
    """What the tuned first fit pays on the instances of a row, over (A)."""
    ratios = []
    for one in made:
        bound = aggregated(one.world.only_kinds(undominated(one.world))).usd_per_hour
        ratios.append(first_fit(one.world).usd_per_hour / bound)
    return Emulated(row=row, above=tuple(ratios))


def compare(measured: Measured, made: Sequence[Instance]) -> Compared:
    """Emulate every peer on the instances of a row; a plan that leaves out pods that fit compares with nothing."""
    ratios: dict[str, list[float]] = {name: [] for name in PEERS}
    for one, figures in zip(made, measured.figures, strict=True):
        if figures.unplaced != one.world.unplaceable or figures.wrong:
            continue
        for name, peer in PEERS.items():
            bought = peer(one.world)
            if wrong := bought.wrong():
                raise ValueError(f"{name} on {one.name}: {'; '.join(wrong)}")
            ratios[name].append(bought.usd_per_hour / figures.bought_usd_per_hour)
    return Compared(row=measured.row, ratios={name: tuple(found) for name, found in ratios.items()})


def nodes_saved(beside: Measured, alone: Measured, most_added: float) -> tuple[str, bool]:
    """What 100 existing nodes save of what is bought and add to the gap, as text, and whether both are as they should.

    They must never cost, and may add `most_added` to the mean gap, both to the best bound known.
    """
    pairs = list(zip(beside.costs, alone.costs, strict=True))
    worst = max(with_nodes / without for with_nodes, without in pairs)
    added = fmean(beside.gaps) - fmean(alone.gaps)
    missed = ["free room makes the plan dearer"] if worst > 1 else []
    missed += [f"adds above {most_added:.1%}"] if added > most_added else []
    text = (
        f"beside existing nodes {fmean(a / b for a, b in pairs):.1%} of the cost without them, at most {worst:.1%}; "
        f"gap {fmean(beside.gaps):.2%} beside, {fmean(alone.gaps):.2%} without: adds {added:.2%}"
    )
    return text + (": MISSED: " + ", ".join(missed) if missed else ": ok"), not missed
