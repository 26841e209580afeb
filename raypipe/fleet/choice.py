"""One packing of each cluster, of those that are known, within what is left of all that is scarce.

λ_cp is 1 where cluster c gets its packing p, which costs c_cp and counts u_cpq::

    min Σ c_cp λ_cp    s.t.  Σ_p λ_cp >= 1  ∀ c,    Σ u_cpq λ_cp <= L_q  ∀ q                      dual σ_q >= 0

The MILP is the repair to primal feasibility; its relaxation is the master of Dantzig and Wolfe (1960), whose σ are the
next prices to ask the clusters at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.solver import Effort, Model
from raypipe.quantities import NANOS_PER_USD


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """The packings known of each cluster: `cost_usd_nanos` (P,) and `use` (P, Q) of one cluster each."""

    cost_usd_nanos: Ints
    use: Ints

    @property
    def rest(self) -> Columns:
        """All but the first."""
        return Columns(cost_usd_nanos=self.cost_usd_nanos[1:], use=self.use[1:])


def prices(columns: Sequence[Columns], left: Ints, effort: Effort) -> Floats | None:
    """σ of the relaxation, (Q,), nano-dollars a unit; None where these packings cannot be within what is left."""
    model, size = _model(columns, left, effort, integer=False)
    solution = model.solve()
    if solution is None:
        return None
    sigma: Floats = np.maximum(0.0, -solution.duals[len(columns) :]) * NANOS_PER_USD / size
    return sigma


def chosen(columns: Sequence[Columns], left: Ints, effort: Effort, search_nodes: int) -> tuple[int, ...] | None:
    """The number of the packing that each cluster gets, or None where none was found within what is left."""
    model, _ = _model(columns, left, effort, integer=True)
    solution = model.solve(search_nodes)
    if solution is None:
        return None
    numbers: list[int] = []
    first = 0
    for one in columns:
        numbers.append(int(np.argmax(solution.values[first : first + len(one.use)])))
        first += len(one.use)
    use = sum((one.use[p] for one, p in zip(columns, numbers, strict=True)), np.zeros_like(left))
    return tuple(numbers) if (use <= left).all() else None


def _model(columns: Sequence[Columns], left: Ints, effort: Effort, *, integer: bool) -> tuple[Model, Floats]:
    """The model, with amounts as shares of the largest in each row."""
    size = np.maximum(np.max([one.use.max(axis=0) for one in columns], axis=0), 1).astype(np.float64)
    model = Model(effort, integer=integer)
    model.cover([1.0] * len(columns), "cluster")
    model.keep_under((left / size).tolist(), "scarce")
    for c, one in enumerate(columns):
        for cost, use in zip(one.cost_usd_nanos.tolist(), one.use / size, strict=True):
            entries = {c: 1.0} | {len(columns) + int(q): float(use[q]) for q in np.flatnonzero(use)}
            model.column(cost / NANOS_PER_USD, entries)
    return model, size
