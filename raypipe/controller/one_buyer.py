"""One buyer: where raypipe buys through a NodePool, Karpenter must not, or both buy for the same pods.

Karpenter is silent on a pool that may neither grow (a limit of 0) nor be disrupted (a budget of no nodes, or no
consolidation at all). Both are looked at before the first write. Claims that raypipe makes without a pool are left
alone by Karpenter anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

from raypipe.manifests.fields import Field
from raypipe.manifests.limits import read_limits
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.model.actions import ActionKind
from raypipe.model.plan import ClusterPlan
from raypipe.model.requirements import NODEPOOL


def other_buyers(plan: ClusterPlan, objects: Objects) -> tuple[str, ...]:
    """What to mend of the pools that a plan buys through, in words; none where raypipe is the only buyer."""
    named = {
        action.set.get("metadata", {}).get("labels", {}).get(NODEPOOL)
        for action in plan.actions
        if action.kind is ActionKind.BUY_NODE
    }
    pools = [one for one in objects.of("NodePool") if one.name in named]
    return tuple(text for pool in pools for text in _unsilenced(pool))


def _unsilenced(pool: KubeObject) -> Iterator[str]:
    if pool.spec.get("replicas").value is not None:
        return  # a static pool buys for nobody
    if 0 not in read_limits(pool.spec.get("limits"), money=False).values():
        yield f"NodePool {pool.name}: Karpenter buys through it, too: set spec.limits to {{cpu: 0}}"
    disruption = pool.spec.get("disruption")
    never = disruption.get("consolidateAfter").value == "Never"
    if not never and not any(_is_closed(one) for one in disruption.get("budgets").items()):
        yield f'NodePool {pool.name}: Karpenter disrupts its nodes: set spec.disruption.budgets to [{{nodes: "0"}}]'


def _is_closed(budget: Field) -> bool:
    """Whether a budget lets nothing be disrupted, whatever the reason and the hour."""
    always = budget.get("schedule").value is None and budget.get("reasons").value is None
    return always and budget.get("nodes").value in ("0", "0%", 0)
