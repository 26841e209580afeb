"""One cluster of a fleet planned: what an executor carries out. All here can travel: functions of a module, values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from raypipe.catalog import Catalog
from raypipe.errors import SettingsError
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.planner import plan_cluster
from raypipe.planner.decide import Verdict
from raypipe.quantities import usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A cluster to be planned.

    Attributes:
        wrong: why it cannot be, or None. fleet_left: what existing nodes leave of scarce rows, None: none binds it.
        verdict: what the fleet has decided for it, or None.
    """

    cluster: ClusterSnapshot
    wrong: str | None = None
    fleet_left: Mapping[str, int] | None = None
    verdict: Verdict | None = field(default=None)

    @property
    def name(self) -> str:
        return self.cluster.name


def planned(
    order: Order,
    *,
    catalog: Catalog,
    scope: Scope,
    stop: Callable[[], bool],
    progress: Callable[[str], None] | None = None,
) -> ClusterPlan:
    """Plan one cluster, or say why it cannot be planned: the others go on."""
    cluster = order.cluster
    if order.wrong is not None:
        return ClusterPlan(name=cluster.name, context=cluster.context, error=order.wrong)

    def found(cost: int, bound: int) -> None:
        if progress is not None:
            progress(f"{cluster.name}: ${usd(cost):.4g}/h to buy so far, bound ${usd(bound):.4g}/h")

    left, verdict = order.fleet_left, order.verdict
    try:
        return plan_cluster(cluster, catalog, scope=scope, fleet_left=left, verdict=verdict, stop=stop, found=found)
    except SettingsError as error:  # found only beside the catalogue
        return ClusterPlan(name=cluster.name, context=cluster.context, error=str(error))
