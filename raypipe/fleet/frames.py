"""A cluster as the fleet sees it while what is scarce is divided: its packing problem and who wants to be admitted.

Nothing of Kubernetes is left here, so that the rounds that follow carry arrays about, and neither a snapshot nor the
catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raypipe.catalog import Catalog
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.pool import Pool
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.admission import Unit
from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.problem import Packing, Problem
from raypipe.packing.warm import Columns
from raypipe.planner.order import Place
from raypipe.planner.question import question_of
from raypipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One cluster.

    Attributes:
        problem: its limits are its own, and the scarce rows at what is left of them for all clusters.
        rows: numbers of the scarce rows in `problem`, (R,); of: their numbers among all that is scarce, (R,).
        units, places: who is to be admitted, in the cluster's order, and each one's place in it.
    """

    name: str
    problem: Problem
    rows: Ints
    of: Ints
    units: tuple[Unit, ...]
    places: tuple[Place, ...]
    settings: Settings
    warm: Columns | None

    def use(self, packing: Packing, scarce: int) -> Ints:
        """What a packing counts against all that is scarce, (Q,)."""
        use = np.zeros(scarce, dtype=np.int64)
        use[self.of] = packing.usage(self.problem)[self.rows]
        return use

    def largest(self, scarce: int) -> Ints:
        """The most that one node counts, (Q,)."""
        largest = np.zeros(scarce, dtype=np.int64)
        largest[self.of] = self.problem.weights[self.rows].max(axis=1, initial=0)
        return largest

    def step(self, scarce: int) -> Ints:
        """What all that its nodes count is a multiple of, (Q,); 0 where it counts nothing."""
        step = np.zeros(scarce, dtype=np.int64)
        step[self.of] = np.gcd.reduce(self.problem.weights[self.rows], axis=1) if self.problem.weights.size else 0
        return step

    def priced(self, prices: Floats) -> Floats:
        """The fleet's prices, (Q,), for the rows of this cluster, (R,)."""
        own: Floats = prices[..., self.of]
        return own


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """A cluster to be framed.

    Attributes:
        left: what is left of all that it shares. rows, numbers: the scarce rows among it with their numbers.
        pool: what the plan of the cluster for itself hands on.
    """

    cluster: ClusterSnapshot
    left: Mapping[str, int]
    rows: Sequence[str]
    numbers: Sequence[int]
    pool: Pool | None

    @property
    def name(self) -> str:
        return self.cluster.name


def framed(asked: Framing, *, catalog: Catalog, scope: Scope) -> Frame | ClusterPlan:
    """Bring a cluster down to its frame; an executor that must give a cluster up has a plan for it with its error."""
    cluster = asked.cluster if asked.pool is None else replace(asked.cluster, pool=asked.pool)
    question = question_of(cluster, catalog, scope=scope, fleet_left=asked.left, divisible=False)
    number = {row.name: q for q, row in enumerate(question.limits.rows)}
    units = question.units()
    return Frame(
        name=asked.cluster.name,
        problem=question.problem,
        rows=np.array([number[name] for name in asked.rows], dtype=np.int64),
        of=np.array(asked.numbers, dtype=np.int64),
        units=tuple(one.unit for one in units),
        places=tuple(one.place for one in units),
        settings=asked.cluster.settings,
        warm=question.warm,
    )
