"""One buyer in a live cluster: Karpenter is left what it buys for, and nothing is bought through pools of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from raypipe.catalog import Catalog, as_karpenter_reads, karpenters_view
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.validation.ground import Ground


def buyer_violations(plan: ClusterPlan, cluster: ClusterSnapshot, catalog: Catalog, scope: Scope) -> Iterator[str]:
    """Pods that two would buy for, and pods that nobody would."""
    left = Counter({one.pods: one.count for one in plan.excluded if one.reason == "karpenter"})
    pools = [pool for pool in cluster.node_pools if pool.dynamic]
    if scope is not Scope.PENDING or cluster.context is None:
        if left:
            yield f"{left.total()} pods are left to Karpenter, which buys nothing here"
        return
    view = Ground(karpenters_view(cluster), catalog, scope)
    is_open = any(pool.open for pool in pools)
    specs = [as_karpenter_reads(group.spec) for group in cluster.demand]  # all at once: `view` knows them by id
    for group, spec in zip(cluster.demand, specs, strict=True):
        theirs = is_open and any(view.would_hold(spec, offering) for offering in view.offerings)
        if theirs != (left.pop(group.key, 0) == group.count):
            told = "planned, and Karpenter buys for it" if theirs else "left to Karpenter, which buys nothing for it"
            yield f"{group.key} is {told}"
    if left:
        yield f"{', '.join(sorted(left))}: left to Karpenter and not wanted"
    managed = {pool.name for pool in pools if pool.managed} if pools else {"no pool"}
    if bought := sorted({node.pool or "no pool" for node in plan.nodes if not node.existing} - managed):
        yield f"nodes are bought through {', '.join(bought)}, which is not raypipe's"
