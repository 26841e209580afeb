"""The plan as users read it: the JSON of the interface, field by field, in its order.

Money here is plain dollars (rounded to the nano-dollar); inside the planner it is integer nano-dollars an hour.
Lists are ordered (nodes by name, entries by key), so two runs give the same bytes apart from `created_at`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from raypipe.model.actions import Action
from raypipe.model.pool import Pool

if TYPE_CHECKING:
    import pandas

PLAN_SCHEMA = "raypipe.plan/v1"


class Scope(StrEnum):
    """pending: existing nodes and bound pods stay. whole: every pod anew, as if no node existed; never applicable."""

    PENDING = "pending"
    WHOLE = "whole"


class Status(StrEnum):
    """How close to the bound a plan is, best first."""

    OPTIMAL = "optimal"
    WITHIN_GAP = "within-gap"
    BUDGET_SPENT = "budget-spent"


class Admission(StrEnum):
    """Whether the order of admission is proven or approximated."""

    EXACT = "exact"
    HEURISTIC = "heuristic"


FILTERS = ("pool", "arch", "selector", "gpu", "price", "size", "availability", "constraint", "limit")
"""The filters an offering passes for a pod, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something left out, assumed or set aside; nothing is skipped in silence."""

    kind: str
    subject: str
    count: int = 1
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Dollars an hour before and after the plan, and the proven bound of `after`."""

    before: float
    after: float
    lower_bound: float
    on_demand_only: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What was minimised: price, and beside it what wishes of pods are missed and nodes to operate, with its own bound.

    terms: price, and where they are asked for preferences and node_overhead; they add up to `value`. The bound of small
    problems knows every term; that of others leaves out what pods wish of each other, which lowers it.
    """

    value: float
    lower_bound: float
    terms: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A preference that some of the pods that a plan places do not get: how many of how many, and what that counts."""

    pods: str
    preference: str
    missed: int
    placed: int
    usd_per_hour: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """The bought part alone: the honest measure beside a large kept part."""

    usd_per_hour: float
    lower_bound: float
    gap_fraction: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consolidation:
    """What moving pods would save in full; said, not done."""

    usd_per_hour_saved: float = 0.0
    actions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How the bound was proven, what it leaves out, how many pods it covers, and the price of each binding limit.

    by_prices_usd_per_hour: what `marginal_usd_per_hour` and `prices` prove alone of what is bought, which anybody can
    recompute; another kind of bound than an LP's may prove more. None where clusters share limits: there the prices
    prove the sum of their bounds.
    """

    kind: str
    left_out: tuple[str, ...] = ()
    pods: int = 0
    prices: Mapping[str, float] = field(default_factory=dict)
    by_prices_usd_per_hour: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """One node after the plan, kept or bought. Quantities are in Kubernetes' canonical form."""

    name: str
    existing: bool
    pool: str | None
    instance_type: str
    region: str
    zone: str
    capacity_type: str
    usd_per_hour: float | None
    list_usd_per_hour: float | None
    pods: Mapping[str, int]
    added: Mapping[str, int]
    requested: Mapping[str, str]
    reserved: Mapping[str, str]
    allocatable: Mapping[str, str]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterCount:
    """Candidates left after one filter."""

    filter: str
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """Pods that the plan places nowhere, and the filter or limit that kept them out."""

    pods: str
    count: int
    reason: str
    limit: str | None = None
    filters: tuple[FilterCount, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """Pods that are seen and not planned."""

    pods: str
    count: int
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """A kind of node that was bought, or one of the best that was not, with the reason."""

    instance_type: str
    capacity_type: str
    usd_per_hour: float
    chosen: bool
    why_not: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """Pods that fit nothing as they ask, and the annotations that were given up for them (setting `relax`)."""

    pods: str
    count: int
    gave_up: tuple[str, ...]
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DividedGroup:
    """A worker group of a set of alternatives: what its owner asked for, what it gets, and why.

    `usd_per_hour_per_unit`: a unit of work done by its pods alone, on the kind of node where that is cheapest
    (`instance_type`, with its capacity type); None where they fit on none.
    """

    group: str
    pods: str
    speed: float
    requested: int
    replicas: int
    usd_per_hour_per_unit: float | None = None
    instance_type: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DividedSet:
    """Worker groups that share ``raypipe.io/alternatives``, ``Kind/namespace/name/NAME``, and the work they do."""

    set: str
    work: float
    groups: tuple[DividedGroup, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """How much work was done; budgets count these, so that a plan can be repeated."""

    lp_iterations: int = 0
    columns: int = 0
    search_nodes: int = 0
    solver_calls: int = 0
    stopped: str = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """One cluster's part of the plan. `nodes_backend`: where its nodes come from, None where that is not known.

    Beside it travels what the next plan may start from, `pool`: no part of what was decided, so neither in the JSON nor
    looked at when plans are compared.
    """

    name: str
    context: str | None = None
    nodes_backend: str | None = None
    decision_id: str = ""
    status: Status | None = None
    admission: Admission = Admission.EXACT
    error: str | None = None
    stale: bool = False
    unpriced_nodes: int = 0
    usd_per_hour: Cost = Cost(before=0.0, after=0.0, lower_bound=0.0)
    gap_fraction: float | None = 0.0
    objective: Objective = Objective(value=0.0, lower_bound=0.0, terms={"price": 0.0})
    missed: tuple[Missed, ...] = ()
    bought: Bought = Bought(usd_per_hour=0.0, lower_bound=0.0, gap_fraction=0.0)
    consolidation: Consolidation = Consolidation()
    bound: Bound = Bound(kind="aggregated-lp")
    marginal_usd_per_hour: Mapping[str, float] = field(default_factory=dict)
    nodes: tuple[PlannedNode, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    actions: tuple[Action, ...] = ()
    considered: tuple[Considered, ...] = ()
    alternatives: tuple[DividedSet, ...] = ()
    relaxed: tuple[Relaxed, ...] = ()
    work: Work = Work()
    notes: tuple[Note, ...] = ()
    pool: Pool | msgspec.UnsetType = field(default=msgspec.UNSET, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Digests of what the plan was computed from."""

    snapshot: str
    catalog: str
    settings: str
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """The whole plan; `to_json` and `from_json` are inverse."""

    schema: str = PLAN_SCHEMA
    decision_id: str = ""
    created_at: str | None = None
    scope: Scope = Scope.PENDING
    inputs: Inputs = Inputs(snapshot="", catalog="", settings="")
    status: Status | None = None
    admission: Admission = Admission.EXACT
    unpriced_nodes: int = 0
    usd_per_hour: Cost = Cost(before=0.0, after=0.0, lower_bound=0.0)
    gap_fraction: float | None = 0.0
    objective: Objective = Objective(value=0.0, lower_bound=0.0, terms={"price": 0.0})
    clusters: tuple[ClusterPlan, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def unplaced(self) -> tuple[Unplaced, ...]:
        """Everything unplaced, cluster by cluster."""
        return tuple(entry for cluster in self.clusters for entry in cluster.unplaced)

    @property
    def actions(self) -> tuple[Action, ...]:
        """All actions, cluster by cluster."""
        return tuple(action for cluster in self.clusters for action in cluster.actions)

    @property
    def pools(self) -> Mapping[str, Pool]:
        """What each cluster's plan hands on to the next, by the cluster's name; a plan read from JSON has none."""
        return {one.name: one.pool for one in self.clusters if isinstance(one.pool, Pool)}

    def without_pools(self) -> FleetPlan:
        """The plan alone."""
        clusters = tuple(dataclasses.replace(one, pool=msgspec.UNSET) for one in self.clusters)
        return dataclasses.replace(self, clusters=clusters)

    def to_json(self, indent: int = 1) -> str:
        """The plan as the JSON of the interface (schema raypipe.plan/v1)."""
        return msgspec.json.format(msgspec.json.encode(self.without_pools()), indent=indent).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> FleetPlan:
        """Read what `to_json` wrote; raise ValueError (msgspec.ValidationError) saying which field is wrong."""
        return msgspec.json.decode(text, type=cls)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain mappings and lists."""
        result: dict[str, Any] = msgspec.to_builtins(self.without_pools())
        return result

    def to_frame(self) -> pandas.DataFrame:
        """One row a node: cluster, and the scalar fields of `PlannedNode`, with the number of pods."""
        import pandas

        columns = ("name", "existing", "pool", "instance_type", "region", "zone", "capacity_type", "usd_per_hour")
        rows = [
            {"cluster": cluster.name}
            | {column: getattr(node, column) for column in columns}
            | {"pods": sum(node.pods.values())}
            for cluster in self.clusters
            for node in cluster.nodes
        ]
        return pandas.DataFrame(rows, columns=["cluster", *columns, "pods"])
