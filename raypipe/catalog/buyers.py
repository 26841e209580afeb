"""One buyer: what is left to Karpenter in a live cluster, and through which NodePools raypipe buys there.

A pod that waits and that an open NodePool admits is Karpenter's: it buys a node for it at once, whatever a plan says,
so a plan that bought one, too, would buy twice. raypipe buys through NodePools annotated ``raypipe.io/managed``, which
are silenced for Karpenter, or, where there is no dynamic pool, without any. A cluster with open pools alone buys
nothing by raypipe. None of this holds for files, where nobody else buys, nor for the scope `whole`, which is a floor.

Whether a pool admits a pod is asked as Karpenter asks: by labels, taints and size alone. Requirements of a fleet file,
categories that raypipe leaves out and the annotations of raypipe and Luna mean nothing to it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from raypipe.catalog.filters import Filters
from raypipe.catalog.market import offerings_for
from raypipe.catalog.tables import Catalog
from raypipe.model.plan import Excluded, Note
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.model.workloads import Gang

KARPENTER = "karpenter"
"""The reason for which pods are left out that Karpenter buys for."""


def one_buyer(cluster: ClusterSnapshot, catalog: Catalog) -> ClusterSnapshot:
    """The cluster as raypipe may buy for it: pods and pools of Karpenter's own are left to it."""
    if cluster.context is None or not cluster.node_pools:
        return cluster
    theirs = _admitted(cluster, catalog)
    left = {group.key for group in cluster.demand if id(group.spec) in theirs}
    excluded = [_excluded(group, theirs[id(group.spec)]) for group in cluster.demand if group.key in left]
    bought = _through_own_pools(cluster)
    return replace(
        bought,
        demand=tuple(group for group in cluster.demand if group.key not in left),
        gangs=tuple(gang for one in cluster.gangs if (gang := _without(one, left)) is not None),
        alternatives=tuple(one for one in cluster.alternatives if not any(group.pods in left for group in one.groups)),
        excluded=tuple(sorted((*cluster.excluded, *excluded), key=lambda one: (one.pods, one.reason))),
    )


def karpenters_view(cluster: ClusterSnapshot) -> ClusterSnapshot:
    """The cluster as its open pools see it: what may be bought for it is what Karpenter may buy."""
    settings = replace(cluster.settings, exclude_instance_categories=(), custom_shapes=(), reserved=())
    return replace(
        cluster,
        requirements=(),
        capacity_types=("spot", "on-demand"),
        arch="amd64+arm64",
        gpu_slices={},
        settings=settings,
        node_pools=tuple(pool for pool in cluster.node_pools if pool.open),
    )


def as_karpenter_reads(spec: PodSpec) -> PodSpec:
    """A pod without the words that only raypipe and Luna know."""
    return replace(
        spec,
        gpu_skus=(),
        max_gpus=None,
        max_usd_nanos_per_hour=None,
        capacity_types=(),
        family_inclusions=(),
        family_exclusions=(),
        type_regexp=None,
    )


def _admitted(cluster: ClusterSnapshot, catalog: Catalog) -> Mapping[int, str]:
    """The open pools that admit a specification, in words, by its id; those that none admits are not in it."""
    view = karpenters_view(cluster)
    if not view.node_pools or not cluster.demand:
        return {}
    offerings = offerings_for(view, catalog).offerings
    filters = Filters(offerings, view)
    found: dict[int, str] = {}
    for spec in {id(group.spec): group.spec for group in cluster.demand}.values():
        admitting = {offerings[number].pool or "" for number in filters.mask(as_karpenter_reads(spec)).nonzero()[0]}
        if admitting:
            found[id(spec)] = ", ".join(sorted(admitting))
    return found


def _excluded(group: PodGroup, pools: str) -> Excluded:
    message = f"NodePool {pools} admits it and is open, so Karpenter buys for it"
    return Excluded(pods=group.key, count=group.count, reason=KARPENTER, message=message)


def _without(gang: Gang, left: Collection[str]) -> Gang | None:
    """A gang without the members that are left to Karpenter; None where that is all of it."""
    if not gang.minimum:
        return gang
    minimum = {key: count for key, count in gang.minimum.items() if key not in left}
    return replace(gang, minimum=minimum) if minimum else None


def _through_own_pools(cluster: ClusterSnapshot) -> ClusterSnapshot:
    """The cluster with the pools that raypipe buys through; where all are Karpenter's, a note says so."""
    managed = tuple(pool for pool in cluster.node_pools if pool.managed and pool.dynamic)
    pools = [pool.name for pool in cluster.node_pools if pool.dynamic]
    if managed or not pools:
        return replace(cluster, node_pools=managed)
    return replace(
        cluster,
        node_pools=(),
        capacity_types=(),
        settings=replace(cluster.settings, reserved=()),
        notes=(*cluster.notes, _nothing_to_buy(pools)),
    )


def _nothing_to_buy(pools: Sequence[str]) -> Note:
    names = ", ".join(pools[:5]) + (", …" if len(pools) > 5 else "")
    message = (
        f"NodePool {names}: Karpenter's own, so nothing is bought beside it; "
        'raypipe.io/managed: "true" on a pool that is silenced (limits of 0, budgets of 0) lets raypipe buy through it'
    )
    return Note(kind="one-buyer", subject=pools[0], count=len(pools), message=message)
