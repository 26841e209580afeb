"""(A) of the optimiser, once more and by itself: the bound that the benchmark's gaps are measured against.

One LP over all shapes and all offerings that matter, given to HiGHS at once: nothing of `raypipe.packing` is used, so a
mistake there cannot cancel out here. Offerings that can do no more than another for no less are left out first.
"""

from __future__ import annotations

import highspy
import numpy as np

from raypipe.catalog import Catalog, Filters, offerings_for
from raypipe.model.resources import Resources
from raypipe.model.snapshot import ClusterSnapshot


def aggregated_bound(cluster: ClusterSnapshot, catalog: Catalog) -> float:
    """The value of the LP in $/h, over the pods that some offering can hold."""
    offerings = offerings_for(cluster, catalog).offerings
    filters = Filters(offerings, cluster)
    shapes: dict[tuple[bytes, bytes], tuple[Resources, np.ndarray, int]] = {}
    for group in cluster.demand:
        mask = filters.mask(group.spec)
        if mask.any():
            mark = (repr(sorted(group.spec.requests.items())).encode(), mask.tobytes())
            requests, _, count = shapes.get(mark, (group.spec.requests, mask, 0))
            shapes[mark] = (requests, mask, count + group.count)
    names = sorted({name for requests, _, _ in shapes.values() for name in requests})
    demand = np.array([count for _, _, count in shapes.values()], dtype=float)
    requests = np.array([[one.get(name, 0) for name in names] for one, _, _ in shapes.values()], dtype=float)
    admits = np.array([mask for _, mask, _ in shapes.values()])
    capacity = np.array([[one.allocatable.get(name, 0) for name in names] for one in offerings], dtype=float)
    price = np.array([one.usd_nanos_per_hour for one in offerings]) / 1e9
    kept = _useful(admits, capacity, price)
    return _solve(demand, requests, admits[:, kept], capacity[kept], price[kept])


def _useful(admits: np.ndarray, capacity: np.ndarray, price: np.ndarray) -> list[int]:
    """Offerings that no cheaper one beats in everything."""
    kept: list[int] = []
    for j in np.argsort(price, kind="stable").tolist():
        if not admits[:, j].any():
            continue
        beaten = any((capacity[i] >= capacity[j]).all() and (admits[:, i] >= admits[:, j]).all() for i in kept)
        if not beaten:
            kept.append(j)
    return kept


def _solve(
    demand: np.ndarray, requests: np.ndarray, admits: np.ndarray, capacity: np.ndarray, price: np.ndarray
) -> float:
    shapes, kinds = admits.shape
    resources = requests.shape[1]
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    fits = admits & (requests[:, None, :] <= capacity[None, :, :]).all(axis=2)
    pairs = np.argwhere(fits)
    columns = kinds + len(pairs)
    starts, index, value = [], [], []
    for j in range(kinds):
        starts.append(len(index))
        index += [shapes + j * resources + r for r in range(resources)]
        value += [-1.0] * resources
    for k, j in pairs.tolist():
        starts.append(len(index))
        index.append(k)
        value.append(1.0)
        for r in np.flatnonzero(requests[k]).tolist():
            index.append(shapes + j * resources + r)
            value.append(requests[k, r] / capacity[j, r])
    rows = shapes + kinds * resources
    infinity = highspy.kHighsInf
    lower = np.concatenate((demand, np.full(rows - shapes, -infinity)))
    upper = np.concatenate((np.full(shapes, infinity), np.zeros(rows - shapes)))
    none = np.zeros(0, dtype=np.int32)
    solver.addRows(rows, lower, upper, 0, none, none, np.zeros(0))
    cost = np.concatenate((price, np.zeros(len(pairs))))
    solver.addCols(
        columns,
        cost,
        np.zeros(columns),
        np.full(columns, infinity),
        len(index),
        np.array(starts, dtype=np.int32),
        np.array(index, dtype=np.int32),
        np.array(value),
    )
    solver.run()
    return float(solver.getObjectiveValue())
