"""plan_cluster: what one cluster should buy, what goes where, what cannot be placed, how close to optimal that is.

The steps, each a module: who wants a place (`demand`), where there is some (`supply`), what limits leave (`limits`),
who comes first where not all can be had (`order`), the packing itself (`raypipe.packing`, called by `decide`), which
nodes go (`removals`, `standby`), then the same in the words of the plan: nodes (`nodes`), refusals (`refusals`),
actions (`actions`), what moving pods would save (`consolidation`), all put together in `words`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from raypipe.catalog import Catalog
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.packing.solve import nobody
from raypipe.planner.decide import Decision, Verdict, decide
from raypipe.planner.removals import quickly_asked, with_removals
from raypipe.planner.words import told


def plan_cluster(
    snapshot: ClusterSnapshot,
    catalog: Catalog,
    *,
    scope: Scope = Scope.PENDING,
    fleet_left: Mapping[str, int] | None = None,
    verdict: Verdict | None = None,
    stop: Callable[[], bool] = lambda: False,
    found: Callable[[int, int], None] = nobody,
) -> ClusterPlan:
    """Plan one cluster, from what `snapshot.pool` knows where there is one; `pool` of the plan is for the next.

    A snapshot that carries an error gives a plan that says so.

    fleet_left: what existing nodes of all clusters leave of limits that they share (`limits_of`); None: none binds.
    verdict: who is placed on which nodes, where a fleet has decided that for clusters that share what is scarce.

    `found` is told the cost of what is bought and its bound, in nano-dollars an hour, whenever a better packing is.
    """
    if snapshot.error is not None:
        return ClusterPlan(name=snapshot.name, context=snapshot.context, error=snapshot.error, excluded=(), notes=())
    decision = decide(snapshot, catalog, scope=scope, fleet_left=fleet_left, verdict=verdict, stop=stop, found=found)
    if scope is Scope.PENDING:

        def again(removed: frozenset[str], quick: bool) -> Decision:
            asked = quickly_asked(snapshot) if quick else snapshot
            return decide(asked, catalog, scope=scope, fleet_left=fleet_left, removed=removed, stop=stop)

        decision = with_removals(decision, snapshot, catalog, again if verdict is None else None, stop)
    return dataclasses.replace(told(decision, stop), pool=decision.pool)
