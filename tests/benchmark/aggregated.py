"""(A) and (A') of the optimiser, once more and by themselves: bounds that the benchmark's gaps are measured against.

One LP over all shapes and all offerings that matter, given to HiGHS at once; with whole numbers of nodes it is (A'),
whose dual bound counts. Nothing of `raypipe.packing` is used, so a mistake there cannot cancel out here. Offerings that
can do no more than another for no less are left out first.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import highspy
import numpy as np

from raypipe.catalog import Catalog
from raypipe.model.snapshot import ClusterSnapshot
from tests.benchmark.world import Floats, World, undominated, world_of

CUT_SCALE = 1e9
"""Cuts are kept in nano-dollars, pods' shares rounded down and nodes' up."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aggregated:
    """A proven bound in $/h, and the price of one more pod of each shape, (K,) $/h (zeros for (A'))."""

    usd_per_hour: float
    pods: Floats


def aggregated_bound(cluster: ClusterSnapshot, catalog: Catalog) -> float:
    """The value of (A) in $/h, over the pods that some offering can hold."""
    world = world_of(cluster, catalog)
    return aggregated(world.only_kinds(undominated(world))).usd_per_hour


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worth:
    """That no filling of a node of kind j is worth more than `most` (J,) at `prices` (K,) of pods, $/h."""

    prices: Floats
    most: Floats


def aggregated(world: World, *, seconds: float | None = None, cuts: Sequence[Worth] = ()) -> Aggregated:
    """Solve (A), or with `seconds` (A') for so long.

    min Σ c_j y_j; Σ_j x_kj >= n_k; Σ_k d_kr x_kj <= C_jr y_j; x_kj <= most_k y_j where a shape has such a cap; and of
    each cut Σ_k π_k x_kj <= W_j y_j, which is a resource more: it makes (A) at least the bound that (B) has at π.
    """
    world = _with_cuts(world, cuts)
    shapes, kinds = world.admits.shape
    resources = world.requests.shape[1]
    pairs = np.argwhere(world.fits)
    capped = {
        (int(k), int(j)): i for i, (k, j) in enumerate(pairs[world.most[pairs[:, 0]] < world.demand[pairs[:, 0]]])
    }
    first_cap = shapes + kinds * resources
    of_kind: list[list[int]] = [[] for _ in range(kinds)]
    for (_, j), i in capped.items():
        of_kind[j].append(i)
    starts, index, value = [], [], []
    for j in range(kinds):
        starts.append(len(index))
        index += [shapes + j * resources + r for r in range(resources)] + [first_cap + i for i in of_kind[j]]
        value += [-1.0] * (resources + len(of_kind[j]))
    for k, j in pairs.tolist():
        starts.append(len(index))
        index.append(k)
        value.append(1.0)
        for r in np.flatnonzero(world.requests[k]).tolist():
            index.append(shapes + j * resources + r)
            value.append(world.requests[k, r] / world.capacity[j, r])
        if (k, j) in capped:
            index.append(first_cap + capped[k, j])
            value.append(1.0 / world.most[k])
    columns, rows, infinity = kinds + len(pairs), first_cap + len(capped), highspy.kHighsInf
    solver = quiet_solver()
    lower = np.concatenate((world.demand.astype(float), np.full(rows - shapes, -infinity)))
    upper = np.concatenate((np.full(shapes, infinity), np.zeros(rows - shapes)))
    none = np.zeros(0, dtype=np.int32)
    solver.addRows(rows, lower, upper, 0, none, none, np.zeros(0))
    solver.addCols(
        columns,
        np.concatenate((world.price, np.zeros(len(pairs)))),
        np.zeros(columns),
        np.full(columns, infinity),
        len(index),
        np.array(starts, dtype=np.int32),
        np.array(index, dtype=np.int32),
        np.array(value),
    )
    if seconds is not None:
        solver.setOptionValue("time_limit", seconds)
        solver.setOptionValue("mip_rel_gap", 1e-6)
        numbers = np.arange(kinds, dtype=np.int32)
        solver.changeColsIntegrality(kinds, numbers, np.full(kinds, highspy.HighsVarType.kInteger))
    solver.run()
    if seconds is not None:
        return Aggregated(usd_per_hour=float(solver.getInfo().mip_dual_bound), pods=np.zeros(shapes))
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise ValueError(f"(A) was not solved: {solver.getModelStatus()}")
    prices = np.array(solver.getSolution().row_dual[:shapes])
    return Aggregated(usd_per_hour=float(solver.getObjectiveValue()), pods=prices)


def _with_cuts(world: World, cuts: Sequence[Worth]) -> World:
    """The world with each cut as a resource that a pod takes π_k of and a node has W_j of, W_j rounded up."""
    for cut in cuts:
        requests = np.floor(cut.prices * CUT_SCALE).astype(np.int64)
        capacity = np.ceil(cut.most * CUT_SCALE).astype(np.int64)
        world = replace(
            world,
            requests=np.concatenate((world.requests, requests[:, None]), axis=1),
            capacity=np.concatenate((world.capacity, capacity[:, None]), axis=1),
        )
    return world


def quiet_solver() -> highspy.Highs:
    """HiGHS without a word, on one thread."""
    _name_said()
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    return solver


@cache
def _name_said() -> None:
    """Have the first model of the process print its banner, which no option keeps from stdout, to nowhere."""
    library = ctypes.CDLL(None)
    library.fflush(None)
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        highspy.Highs()
        library.fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
