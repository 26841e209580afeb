"""Which limits bind over several clusters, and what is decided for the clusters that count against them.

Clusters are planned first as if all that is left were theirs. Where all that is shared holds, that is the answer, and
exactly so. Else the rows that do not hold are scarce, and the clusters that count against them are decided together:
who is admitted (`admission`), then at what cost (`prices`), and what that leaves is offered again. The plan of a
cluster that counts nothing against them cannot change. Should others then go beyond a row that held before, that row is
scarce, too, and all is decided again; there are no more turns than rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from raypipe.catalog import Catalog
from raypipe.fleet.admission import Admission
from raypipe.fleet.clusters import Order
from raypipe.fleet.executor import Executor
from raypipe.fleet.frames import Frame, Framing, framed
from raypipe.fleet.prices import Division
from raypipe.fleet.shared import Shared, bought_amounts
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.pool import Pool
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.solver import Effort
from raypipe.planner.decide import Verdict
from raypipe.planner.limits import Limit, left_name

OFFERS = 2
"""How often what less costly packings leave is offered to those left out."""

type Use = Mapping[Limit, int]
"""What the nodes that a cluster buys count against each row that it is under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scarcity:
    """What clusters share and what is `left` of it beside all that exists."""

    shared: Shared
    left: Mapping[Limit, int]
    catalog: Catalog

    def use(self, plan: ClusterPlan, cluster: ClusterSnapshot) -> Use:
        """What a plan's new nodes count."""
        return bought_amounts(plan, cluster, self.catalog, self.rows_of(cluster))

    def rows_of(self, cluster: ClusterSnapshot) -> list[Limit]:
        """The shared rows that a cluster is under."""
        return [row for row, clusters in self.shared.items() if any(one is cluster for one in clusters)]

    def left_to(self, cluster: ClusterSnapshot) -> dict[str, int]:
        """What is left of these rows, as `limits_of` calls them: all of it, as if no other cluster bought anything."""
        return {left_name(row): self.left[row] for row in self.rows_of(cluster)}

    def exceeded(self, uses: Sequence[Use]) -> list[Limit]:
        """The rows that do not hold over all clusters."""
        return [row for row, left in self.left.items() if sum(use.get(row, 0) for use in uses) > left]


def orders(
    clusters: Sequence[ClusterSnapshot],
    rows: Sequence[Limit],
    scarcity: Scarcity,
    pools: Mapping[str, Pool],
    scope: Scope,
    executor: Executor,
    stop: Callable[[], bool],
) -> list[Order]:
    """What is decided for `clusters`, which share the scarce `rows`, as orders to plan each.

    pools: what their plans, each for itself, hand on, by name.
    """
    left = {row: scarcity.left[row] for row in rows}
    under = {cluster.name: [row for row in rows if row in scarcity.rows_of(cluster)] for cluster in clusters}
    askings = [
        Framing(
            cluster=cluster,
            left=scarcity.left_to(cluster),
            rows=[row.name for row in under[cluster.name]],
            numbers=[rows.index(row) for row in under[cluster.name]],
            pool=pools.get(cluster.name),
        )
        for cluster in clusters
    ]
    answers = list(executor.map(partial(framed, catalog=scarcity.catalog, scope=scope), askings))
    given_up = {one.name: one.error for one in answers if isinstance(one, ClusterPlan)}
    if given_up:  # the others share what is left without them
        others = [cluster for cluster in clusters if cluster.name not in given_up]
        wrong = [Order(cluster=one, wrong=given_up[one.name]) for one in clusters if one.name in given_up]
        return [*wrong, *(orders(others, rows, scarcity, pools, scope, executor, stop) if others else ())]
    frames = [one for one in answers if isinstance(one, Frame)]
    efforts = [Effort() for _ in frames]
    amounts = np.array([left[row] for row in rows], dtype=np.int64)
    admission = Admission(frames, amounts, efforts, executor)
    admission.go()
    who = admission.outcome()
    division = Division(frames, who, amounts, efforts)
    division.go(executor, max(frame.settings.fleet_rounds for frame in frames), stop)
    divided = division.outcome()
    for _ in range(OFFERS):
        if stop() or not admission.offer(divided.packings):
            break
        who = admission.outcome()
        division.admit(who, executor)
        divided = division.outcome()
    price = dict(zip(rows, divided.prices.tolist(), strict=True))
    return [
        Order(
            cluster=cluster,
            fleet_left=scarcity.left_to(cluster),
            verdict=Verdict(
                prices={row.name: price[row] for row in under[cluster.name]},
                times=one.times,
                limits=one.limit,
                solved=dataclasses.replace(solved, stopped="time" if stop() else solved.stopped),
                exact=admission.exact,
                effort=effort,
            ),
        )
        for cluster, one, solved, effort in zip(clusters, who, divided.solved, efforts, strict=True)
    ]
