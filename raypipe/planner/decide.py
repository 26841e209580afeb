"""Decide for one cluster who goes where: the question put to the packing, and what it came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.catalog import Catalog
from raypipe.model.plan import Scope
from raypipe.model.pool import Pool
from raypipe.model.snapshot import ClusterSnapshot, cluster_digest, digest, pool_digest
from raypipe.packing.admission import admit
from raypipe.packing.solve import Found, Solved, nobody, solve
from raypipe.packing.solver import Effort
from raypipe.planner.constraints import Roles
from raypipe.planner.demand import Shapes, Wanted
from raypipe.planner.limits import Limits
from raypipe.planner.pool import pool_of
from raypipe.planner.question import Question, question_of
from raypipe.planner.supply import Kinds, Supply


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """All that was decided for one cluster, before it is put into words.

    Attributes:
        wanted: who wanted a place. placeable: (W,) whether anything could hold such a pod. shapes: of the placeable.
        number: (W,) number in `shapes.of`, -1 where not placeable.
        admitted: (W,) pods of each that are placed.
        kept_out: for those not admitted, the limit (by number, None: room itself), by number in `wanted`.
        broken: gangs that cannot be placed because of one of their members, with that member's number.
    """

    cluster: ClusterSnapshot
    scope: Scope
    decision_id: str
    supply: Supply
    limits: Limits
    roles: Roles
    wanted: tuple[Wanted, ...]
    shapes: Shapes
    number: tuple[int, ...]
    kinds: Kinds
    solved: Solved
    admitted: tuple[int, ...]
    kept_out: Mapping[int, int | None]
    broken: Mapping[str, int]
    exact: bool
    effort: Effort

    @property
    def pool(self) -> Pool:
        """What the next decision about the cluster may start from."""
        return pool_of(self.solved, self.kinds, self.shapes, self.roles, self.supply.offerings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Who was admitted (pods of each placeable), what kept the others out, and the packing."""

    solved: Solved
    admitted: Sequence[int]
    kept_out: Mapping[int, int | None]
    exact: bool


def decision_id(
    snapshot: ClusterSnapshot, catalog: Catalog, scope: Scope, fleet_left: Mapping[str, int] | None = None
) -> str:
    """12 hex digits over the digests of what the plan depends on, what is left of the fleet's limits among it."""
    parts: tuple[object, ...] = (
        cluster_digest(snapshot),
        pool_digest(snapshot),
        catalog.digest,
        digest(snapshot.settings),
        scope,
    )
    if fleet_left is not None:
        parts = (*parts, fleet_left)
    return digest(parts).removeprefix("sha256:")[:12]


def decide(
    snapshot: ClusterSnapshot,
    catalog: Catalog,
    *,
    scope: Scope,
    fleet_left: Mapping[str, int] | None = None,
    stop: Callable[[], bool] = lambda: False,
    found: Found = nobody,
) -> Decision:
    """Work out who goes where; `found` is told of each better packing on the way."""
    effort = Effort()
    question = question_of(snapshot, catalog, scope=scope, fleet_left=fleet_left)
    solved = solve(question.problem, snapshot.settings, effort, stop, found=found, warm=question.warm)
    outcome = Outcome(solved=solved, admitted=[one.count for one in question.placeable], kept_out={}, exact=True)
    if solved.packing is None:
        outcome = _admitted(question, effort, stop)
    return decision_of(question, outcome, decision_id(snapshot, catalog, scope, fleet_left), effort)


def decision_of(question: Question, outcome: Outcome, name: str, effort: Effort) -> Decision:
    """The outcome, told of everybody who wanted a place."""
    number = {w: i for i, w in enumerate(question.chosen)}
    return Decision(
        cluster=question.cluster,
        scope=question.scope,
        decision_id=name,
        supply=question.supply,
        limits=question.limits,
        roles=question.roles,
        wanted=question.wanted,
        shapes=question.shapes,
        number=tuple(number.get(w, -1) for w in range(len(question.wanted))),
        kinds=dataclasses.replace(question.kinds, problem=question.problem),
        solved=outcome.solved,
        admitted=tuple(outcome.admitted[number[w]] if w in number else 0 for w in range(len(question.wanted))),
        kept_out={question.chosen[i]: limit for i, limit in outcome.kept_out.items()},
        broken=question.broken,
        exact=outcome.exact,
        effort=effort,
    )


def _admitted(question: Question, effort: Effort, stop: Callable[[], bool]) -> Outcome:
    """Go through the order of admission, then pack those admitted at least cost."""
    problem, settings, units = question.problem, question.cluster.settings, question.units()
    outcome = admit(problem, [one.unit for one in units], settings, effort)
    admitted, kept_out = [0] * len(question.chosen), dict[int, int | None]()
    demand = np.zeros_like(problem.demand)
    for one, times, limit in zip(units, outcome.times, outcome.limit, strict=True):
        demand = demand + one.unit.pods * times
        for number, count in one.pods.items():
            admitted[number] += count * times
            if times < one.unit.times:
                kept_out.setdefault(number, limit)
    reduced = problem.with_demand(demand)
    known = outcome.packing
    if known is not None and (known.counts @ known.patterns != demand).any():
        known = None
    solved = solve(reduced, settings, effort, stop, known, warm=question.warm)
    return Outcome(solved=solved, admitted=admitted, kept_out=kept_out, exact=outcome.exact)
