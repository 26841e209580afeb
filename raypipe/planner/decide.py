"""Decide for one cluster who goes where: the question put to the packing, and what it came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from raypipe.catalog import Catalog
from raypipe.model.alternatives import Division
from raypipe.model.nodes import Node
from raypipe.model.plan import Note, Relaxed, Scope
from raypipe.model.pool import Pool
from raypipe.model.snapshot import ClusterSnapshot, cluster_digest, digest, pool_digest
from raypipe.packing.admission import admit
from raypipe.packing.alternatives import choose
from raypipe.packing.certify import certified
from raypipe.packing.solve import Found, Solved, nobody, solve
from raypipe.packing.solver import Effort
from raypipe.planner.alternatives import FreeDivision, most_admitting
from raypipe.planner.constraints import Roles
from raypipe.planner.demand import Shapes, Wanted
from raypipe.planner.limits import Limits
from raypipe.planner.order import Candidate
from raypipe.planner.pool import pool_of
from raypipe.planner.question import Question, question_of
from raypipe.planner.supply import Kinds, Supply


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A node that is given back: its price, pods that have to move by key, and why, as half a sentence."""

    node: Node
    usd_nanos: int | None
    pods: Mapping[str, int]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """All that was decided for one cluster, before it is put into words.

    Attributes:
        wanted: who wanted a place. placeable: (W,) whether anything could hold such a pod. shapes: of the placeable.
        number: (W,) number in `shapes.of`, -1 where not placeable.
        admitted: (W,) pods of each that are placed.
        kept_out: for those not admitted, the limit (by number, None: room itself), by number in `wanted`.
        broken: gangs that cannot be placed because of one of their members, with that member's number.
        cluster: as its free sets of worker groups are divided. division: replicas of their groups, by key of the set.
        relaxed: what was given up for pods that fit nothing; `wanted` has them without it.
        given_back: nodes that go, of which `cluster` and `supply` know nothing. floor_usd_nanos: no choice of such
            nodes has a cheaper plan, None where nobody looked. notes: on nodes that might go and stay.
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
    division: Division = field(default_factory=dict)
    relaxed: tuple[Relaxed, ...] = ()
    given_back: tuple[Removed, ...] = ()
    floor_usd_nanos: int | None = None
    notes: tuple[Note, ...] = ()

    @property
    def pool(self) -> Pool:
        """What the next decision about the cluster may start from."""
        return pool_of(self.solved, self.kinds, self.shapes, self.roles, self.supply.offerings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Who was admitted (pods of each placeable), what kept the others out, and the packing.

    times: how often each unit of the order was admitted; empty where all were.
    """

    solved: Solved
    admitted: Sequence[int]
    kept_out: Mapping[int, int | None]
    exact: bool
    times: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What a fleet has decided for one cluster, where clusters share what is scarce.

    Attributes:
        prices: σ of each scarce row, nano-dollars a unit.
        times: how often each unit of the order of admission is placed. limits: number of what keeps the rest out.
        solved: the packing, with the cluster's part of the bound. exact: whether the order is proven.
    """

    prices: Mapping[str, float]
    times: tuple[int, ...]
    limits: tuple[int | None, ...]
    solved: Solved
    exact: bool
    effort: Effort


def decision_id(snapshot: ClusterSnapshot, catalog: Catalog, scope: Scope, shared: tuple[object, ...] = ()) -> str:
    """12 hex digits over the digests of what the plan depends on; `shared`: more, where others share its limits."""
    parts: tuple[object, ...] = (
        cluster_digest(snapshot),
        pool_digest(snapshot),
        catalog.digest,
        digest(snapshot.settings),
        scope,
        *shared,
    )
    return digest(parts).removeprefix("sha256:")[:12]


def _shared(outcome: Outcome, division: Division, verdict: Verdict | None) -> tuple[object, ...]:
    """What a decision is named by where clusters share limits: what is scarce to the fleet, and all that was decided.

    A decision may depend on what others leave, which the cluster's digests do not have. But that is no part of its name
    either: it changes whenever somebody else buys, and mostly changes nothing here. Two decisions that buy otherwise
    have two names, because what they buy is in them.
    """
    packing = outcome.solved.packing
    nodes = [] if packing is None else [packing.kinds.tolist(), packing.patterns.tolist(), packing.counts.tolist()]
    prices = {} if verdict is None else verdict.prices
    return (prices, list(outcome.admitted), sorted(outcome.kept_out.items()), division, nodes)


def decide(
    snapshot: ClusterSnapshot,
    catalog: Catalog,
    *,
    scope: Scope,
    fleet_left: Mapping[str, int] | None = None,
    verdict: Verdict | None = None,
    removed: Collection[str] | None = None,
    stop: Callable[[], bool] = lambda: False,
    found: Found = nobody,
) -> Decision:
    """Work out who goes where, or take it from the fleet's `verdict`; `found` is told of each better packing.

    removed: as `question_of` takes it. The decision is named by what was observed, whatever is removed.
    """

    def name(outcome: Outcome, division: Division) -> str:
        shared = () if fleet_left is None else _shared(outcome, division, verdict)
        return decision_id(snapshot, catalog, scope, shared)

    question = question_of(
        snapshot, catalog, scope=scope, fleet_left=fleet_left, divisible=verdict is None, removed=removed
    )
    if verdict is not None:
        units, exact = question.units(), verdict.exact
        outcome = outcome_of(question, units, verdict.times, verdict.limits, verdict.solved, exact=exact)
        return _decision(question, outcome, name(outcome, {}), verdict.effort)
    effort = Effort()
    if question.free:
        question, outcome, division = _divided(question, effort, stop, found)
        decision = _decision(question, outcome, name(outcome, division), effort)
        return dataclasses.replace(decision, division=division)
    settings = snapshot.settings
    solved = solve(question.problem, settings, effort, stop, found=found, warm=question.warm)
    outcome = _whole(question, solved) if solved.packing is not None else _admitted(question, effort, stop)
    proven = certified(question.problem, outcome.solved, settings.certify_search, effort, stop, found)
    outcome = dataclasses.replace(outcome, solved=proven)
    return _decision(question, outcome, name(outcome, {}), effort)


def _whole(question: Question, solved: Solved) -> Outcome:
    """Everybody is admitted."""
    return Outcome(solved=solved, admitted=[one.count for one in question.placeable], kept_out={}, exact=True)


def _divided(
    question: Question, effort: Effort, stop: Callable[[], bool], found: Found
) -> tuple[Question, Outcome, dict[str, tuple[int, ...]]]:
    """The best division of the free sets, the question with it, and its outcome."""
    free, settings = FreeDivision(question.free, question.placeable, question.shapes), question.cluster.settings
    best = choose(question.problem, free.choices, free.standing, settings, effort, stop, found, question.warm)
    if best is not None:
        division = free.division(best.replicas)
        question = question.divided(division)
        return question, _whole(question, best.solved), division
    tried: list[tuple[Question, Outcome, dict[str, tuple[int, ...]]]] = []
    for chosen in free.to_admit():
        if tried and stop():
            break
        division = free.division(chosen)
        one = question.divided(division)
        tried.append((one, _admitted(one, effort, stop), division))
    admissions = [free.admission(one.units(), outcome.times, one.placeable) for one, outcome, _ in tried]
    number = most_admitting(admissions, [_cost(one, outcome) for one, outcome, _ in tried])
    question, outcome, division = tried[number]
    exact = free.is_listed and all(outcome.exact for _, outcome, _ in tried)
    return question, dataclasses.replace(outcome, exact=exact), division


def _cost(question: Question, outcome: Outcome) -> int:
    """What an outcome costs; more than any other where it has no packing."""
    packing = outcome.solved.packing
    return 2**62 if packing is None else packing.usd_nanos(question.problem)


def _decision(question: Question, outcome: Outcome, name: str, effort: Effort) -> Decision:
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
        relaxed=question.relaxed,
        exact=outcome.exact,
        effort=effort,
    )


def _admitted(question: Question, effort: Effort, stop: Callable[[], bool]) -> Outcome:
    """Go through the order of admission, then pack those admitted at least cost."""
    problem, settings, units = question.problem, question.cluster.settings, question.units()
    outcome = admit(problem, [one.unit for one in units], settings, effort)
    pods = [one.unit.pods * times for one, times in zip(units, outcome.times, strict=True)]
    demand = sum(pods, np.zeros_like(problem.demand))
    known = outcome.packing
    if known is not None and (known.counts @ known.patterns != demand).any():
        known = None
    solved = solve(problem.with_demand(demand), settings, effort, stop, known, warm=question.warm)
    return outcome_of(question, units, outcome.times, outcome.limit, solved, exact=outcome.exact)


def outcome_of(
    question: Question,
    units: Sequence[Candidate],
    times: Sequence[int],
    limits: Sequence[int | None],
    solved: Solved,
    *,
    exact: bool,
) -> Outcome:
    """Who is placed where each of `units` is admitted so many times, and what keeps the rest of it out."""
    admitted, kept_out = [0] * len(question.chosen), dict[int, int | None]()
    for one, count, limit in zip(units, times, limits, strict=True):
        for number, pods in one.pods.items():
            admitted[number] += pods * count
            if count < one.unit.times:
                kept_out.setdefault(number, limit)
    return Outcome(solved=solved, admitted=admitted, kept_out=kept_out, exact=exact, times=times)
