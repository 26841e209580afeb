"""One packing from problem to verified nodes: the pipeline, in the order in which it pays.

1. leave out dominated kinds (`dominance`);
2. small problems are listed whole and solved to proven optimality (`exact`); in others, pods that ask something of
   pods on other nodes are dealt to cells first (`domains`, `bundles`), and the rest of this list never sees such rules;
   what pods would like of their domains waits for the end, when each node is given the domain that suits it (`deal`);
3. else (A) gives bound, prices and mix (`bound`); where columns of an earlier packing are given and of use, they are
   the short way to this one (`warm`), and 4 and 5 are left out;
4. filled nodes give a first packing (`rounding.cover`), cuts a better bound (`bound.strengthened`), the pattern LP
   better prices (`patterns`), a dive better nodes (`rounding.dive`);
5. neighbourhoods are packed anew (`improve`, `neighbourhood`);
6. what comes out is recounted in integers and never dearer than anything seen before; where whole numbers of nodes
   promise more, they bound it (`whole`).

A time budget is asked for only between steps (`stop`); the first packing is always made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from raypipe.errors import InvalidPlanError
from raypipe.packing.alike import alike
from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.bound import Duals, aggregated_lp, strengthened, unit_cost
from raypipe.packing.deal import dealt
from raypipe.packing.domains import Unruled, without_rules
from raypipe.packing.dominance import undominated
from raypipe.packing.exact import Enumeration, enumerate_fillings
from raypipe.packing.fill import Measure
from raypipe.packing.improve import improve
from raypipe.packing.patterns import MEASURES, PatternPool, Pricing, generate
from raypipe.packing.problem import Packing, Problem, collected, empty_packing, verify
from raypipe.packing.rounding import SURE, SURE_OF_MANY, Ledger, cover, dive, settle, trim
from raypipe.packing.solver import Effort
from raypipe.packing.warm import Columns, best_columns, packed_again
from raypipe.packing.whole import whole_nodes_bound
from raypipe.settings import Settings

FEW_SHAPES = 40

type Found = Callable[[int, int], None]


def nobody(cost: int, bound: int) -> None:
    """Listens to no news of packings found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """What a problem came to.

    Attributes:
        packing: verified, or None where none was found. proven: it is proven optimal, or proven that there is none.
        bound_usd_nanos, bound_kind: no packing costs less. by_prices_usd_nanos: that much follows from `pods` and
            `limits` alone; None where others share the limits.
        pods: (K,) $/h, what one more pod costs. limits: (Q,) $/h, the price of a unit of each limit.
        worth: (J,) $/h, most that a node of each kind is worth at these prices; nan where another kind dominates it.
        stopped: done, budget or time.
        columns: what the next packing may start from, or None where column generation has not run.
    """

    packing: Packing | None
    proven: bool
    bound_usd_nanos: int
    bound_kind: str
    pods: Floats
    limits: Floats
    worth: Floats
    by_prices_usd_nanos: int | None = None
    stopped: str = "done"
    columns: Columns | None = None


def solve(
    problem: Problem,
    settings: Settings,
    effort: Effort,
    stop: Callable[[], bool] = lambda: False,
    known: Packing | None = None,
    found: Found = nobody,
    warm: Columns | None = None,
) -> Solved:
    """Pack the whole demand at least cost within the limits; `known` is a packing of it that is there already.

    `found` is told the cost and the bound, in nano-dollars, of each verified packing that is cheaper than the last.
    warm: what an earlier packing of a problem much like it has handed on.
    """
    shapes = np.flatnonzero(problem.demand)
    if not len(shapes):
        return _certain(problem, empty_packing(len(problem.demand)), "aggregated-lp")
    part = problem.only_shapes(shapes)
    kinds = undominated(part)
    small = part.only_kinds(kinds)
    columns = warm.narrowed(problem, shapes, kinds) if warm is not None and settings.warm_lp_rounds else None
    solved = _solve(small, settings, effort, stop, narrowed(known, shapes, kinds), found, columns)
    pods, worth = np.zeros(len(problem.demand)), np.full(len(problem.price), np.nan)
    pods[shapes], worth[kinds] = solved.pods, solved.worth
    packing = None
    if solved.packing is not None:
        rows = zip(kinds[solved.packing.kinds], solved.packing.patterns, solved.packing.counts, strict=True)
        packing = settle(part, collected(part, [(int(j), a, int(c)) for j, a, c in rows]))
        wrong = verify(part, packing)
        if wrong:  # a solver's answer that does not survive counting is no answer
            raise InvalidPlanError(wrong)
        patterns = np.zeros((len(packing.kinds), len(problem.demand)), dtype=np.int64)
        patterns[:, shapes] = packing.patterns
        packing = Packing(kinds=packing.kinds, patterns=patterns, counts=packing.counts)
    handed_on = None if solved.columns is None else solved.columns.widened(shapes, kinds, len(problem.demand))
    solved = replace(solved, packing=packing, pods=pods, worth=worth, columns=handed_on)
    return solved if known is None else cheaper(problem, solved, known)


def narrowed(known: Packing | None, shapes: Ints, kinds: Ints) -> Packing | None:
    """A known packing over `shapes` and `kinds`; None where it has a node of another kind."""
    number = {int(j): i for i, j in enumerate(kinds)}
    if known is None or not number.keys() >= set(known.kinds.tolist()):
        return None
    narrowed = np.array([number[int(j)] for j in known.kinds], dtype=np.int64)
    return Packing(kinds=narrowed, patterns=known.patterns[:, shapes], counts=known.counts)


def cheaper(problem: Problem, solved: Solved, other: Packing) -> Solved:
    """The result with the other packing of the same problem where that one is cheaper, or the only one."""
    if solved.packing is not None and solved.packing.worth(problem) <= other.worth(problem):
        return solved
    settled = settle(problem, other)
    wrong = verify(problem, settled)
    if wrong:
        raise InvalidPlanError(wrong)
    return replace(solved, packing=settled, bound_usd_nanos=min(solved.bound_usd_nanos, settled.usd_nanos(problem)))


def _certain(problem: Problem, packing: Packing | None, kind: str) -> Solved:
    """A proof that costs nothing: nothing to buy, or no way to place it all."""
    return Solved(
        packing=packing,
        proven=True,
        bound_usd_nanos=0,
        bound_kind=kind,
        pods=np.zeros(len(problem.demand)),
        limits=np.zeros(len(problem.limits)),
        worth=np.full(len(problem.price), np.nan),
        by_prices_usd_nanos=0,
    )


def _solve(
    problem: Problem,
    settings: Settings,
    effort: Effort,
    stop: Callable[[], bool],
    known: Packing | None,
    found: Found,
    warm: Columns | None,
) -> Solved:
    if problem.is_ruled or problem.domain_wishes:
        return _across(problem, settings, effort, stop, known, found)
    likely = None if warm is None else warm.pairs(problem)
    duals = aggregated_lp(problem, effort, likely)
    if duals is None:
        return _certain(problem, None, "aggregated-lp")
    if warm is not None and enumerate_fillings(problem, settings.enumerate_patterns) is None:
        duals = strengthened(problem, duals, effort, settings.cut_rounds, likely)
        again = _again(_pricing(problem, duals, effort), warm, settings, stop, found)
        if again is not None:
            return _bounded(problem, again, duals, settings, effort, stop)
    pricing = _pricing(problem, duals, effort)
    first = min(_packings(_first_packing(problem, pricing), known), key=lambda one: one.worth(problem), default=None)
    if first is not None and first.usd_nanos(problem) <= duals.usd_nanos + 1:
        return _result(problem, first, duals, first.usd_nanos(problem), duals.kind, proven=True)
    listed = enumerate_fillings(problem, settings.enumerate_patterns)
    if listed is not None:
        exact = _listed(listed, duals, first, settings, effort)
        if exact is not None:
            return exact
    _tell(found, problem, first, duals.usd_nanos)
    if known is not None:
        _pooled(pricing, known)
    duals = strengthened(problem, duals, effort, settings.cut_rounds)
    improved = _improved(replace(pricing, duals=duals), first, settings, stop, found)
    return _bounded(problem, improved, duals, settings, effort, stop)


def _bounded(
    problem: Problem,
    solved: Solved,
    duals: Duals,
    settings: Settings,
    effort: Effort,
    stop: Callable[[], bool],
    flat: Problem | None = None,
) -> Solved:
    """The result with the bound that whole numbers of nodes give, where that is better.

    flat: what `duals` bound where that is an easier problem, with other kinds. Then half of the work at most: the plan
    pays for rules, too, which whole nodes know as little of as fractions (1,000 constrained pods: 0.05 % in 1.4 s).
    """
    packing = solved.packing
    cost = packing.usd_nanos(problem) if packing is not None else 0
    if cost <= solved.bound_usd_nanos or stop():
        return solved
    work = settings.bound_search if flat is None else settings.bound_search // 2
    bound = whole_nodes_bound(flat or problem, duals, cost, effort, work)
    if bound <= solved.bound_usd_nanos:
        return solved
    return replace(solved, bound_usd_nanos=bound, bound_kind="aggregated-milp")


def _pricing(problem: Problem, duals: Duals, effort: Effort) -> Pricing:
    """Column generation at the start: no patterns yet."""
    pool, unit_costs = PatternPool(len(problem.demand)), unit_cost(problem).min(axis=1)
    return Pricing(problem=problem, duals=duals, unit_costs=unit_costs, pool=pool, effort=effort)


def _again(
    pricing: Pricing, warm: Columns, settings: Settings, stop: Callable[[], bool], found: Found
) -> Solved | None:
    """The short way, from the columns of an earlier packing; None where they are of no use."""
    problem, duals = pricing.problem, pricing.duals
    bound = duals.usd_nanos
    made = packed_again(
        pricing, warm, settings.warm_lp_rounds, stop, lambda packing: _tell(found, problem, packing, bound)
    )
    if made is None or verify(problem, made.packing):
        return None
    stopped = "time" if stop() else "budget"
    solved = _result(problem, made.packing, duals, bound, duals.kind, proven=False, stopped=stopped)
    return replace(solved, columns=made.columns)


def _across(
    problem: Problem,
    settings: Settings,
    effort: Effort,
    stop: Callable[[], bool],
    known: Packing | None,
    found: Found,
) -> Solved:
    """A problem with rules or wishes across nodes: whole where it is small, else packed without them."""
    flat = without_rules_across(problem)
    flat = flat.only_kinds(undominated(flat))
    flat_duals = aggregated_lp(flat, effort)
    if flat_duals is None:
        return _certain(problem, None, "aggregated-lp")
    duals = flat_duals.for_kinds_of(problem)
    listed = enumerate_fillings(problem, settings.enumerate_patterns)
    exact = _listed(listed, duals, None, settings, effort) if listed is not None else None
    if exact is not None:
        return exact
    if problem.domain_wishes:
        return _wished(problem, settings, effort, stop, known, found)
    unruled = without_rules(problem, effort)
    if unruled is None or not unruled.problem.fits.any(axis=1).all():
        flat_duals = strengthened(flat, flat_duals, effort, settings.cut_rounds)
        duals = flat_duals.for_kinds_of(problem)
        return _result(problem, None, duals, duals.usd_nanos, duals.kind, proven=False)
    inner, flat_duals = _without_rules(problem, flat, unruled, flat_duals, settings, effort, stop, found)
    packing = None if inner.packing is None else unruled.joined(inner.packing)
    packing = None if packing is None or verify(problem, packing) else packing
    duals = flat_duals.for_kinds_of(problem)
    solved = _result(problem, packing, duals, duals.usd_nanos, duals.kind, proven=False, stopped=inner.stopped)
    return _bounded(problem, solved, flat_duals, settings, effort, stop, flat)


def _without_rules(
    problem: Problem,
    flat: Problem,
    unruled: Unruled,
    flat_duals: Duals,
    settings: Settings,
    effort: Effort,
    stop: Callable[[], bool],
    found: Found,
    *,
    lossless: bool = False,
) -> tuple[Solved, Duals]:
    """Pack `unruled` in classes of its shapes, at the prices of `flat` that bound it; return the stronger ones, too.

    Where classes that lose packings lead to none, it is done again with classes that lose none.
    """
    classes = alike(unruled.problem, lossless=lossless)
    kinds = undominated(classes.problem)

    def seen(flat_duals: Duals) -> Duals:
        duals = flat_duals.for_kinds_of(problem)
        return replace(duals, pods=classes.averaged(unruled.holds @ duals.pods), worth=duals.worth[kinds])

    part = classes.problem.only_kinds(kinds)
    pricing = _pricing(part, seen(flat_duals), effort)
    first = _first_packing(part, pricing)
    _tell(found, part, first, flat_duals.usd_nanos)
    flat_duals = strengthened(flat, flat_duals, effort, settings.cut_rounds)
    solved = _improved(replace(pricing, duals=seen(flat_duals)), first, settings, stop, found)
    if solved.packing is None and not lossless and not stop():
        return _without_rules(problem, flat, unruled, flat_duals, settings, effort, stop, found, lossless=True)
    if solved.packing is None:
        return solved, flat_duals
    numbered = replace(solved.packing, kinds=kinds[solved.packing.kinds])
    return replace(solved, packing=classes.dealt(numbered)), flat_duals


def without_rules_across(problem: Problem) -> Problem:
    """The problem without what pods ask and wish of pods on other nodes: what bounds it."""
    return _one_domain(replace(problem, beside=(), domains=(), domain_wishes=()))


def _one_domain(problem: Problem) -> Problem:
    """The problem with its domains forgotten where nothing asks for them: then one zone is like the other."""
    return problem if problem.domains or problem.domain_wishes else replace(problem, cell=problem.cell[:0])


def _wished(
    problem: Problem,
    settings: Settings,
    effort: Effort,
    stop: Callable[[], bool],
    known: Packing | None,
    found: Found,
) -> Solved:
    """Pack as if nobody wished anything of domains, then give each node the domain that suits best."""
    inner = solve(_one_domain(replace(problem, domain_wishes=())), settings, effort, stop, known, found)
    packings = _packings(inner.packing, known)
    dealt_out = [one for one in (dealt(problem, packing) for packing in packings) if not verify(problem, one)]
    best = min((*dealt_out, *packings), key=lambda packing: packing.worth(problem), default=None)
    return replace(inner, packing=best, proven=False, columns=None)


def _first_packing(problem: Problem, pricing: Pricing) -> Packing | None:
    """The best of one cover a measure; where there are many shapes, of the one that does best on average."""
    found: list[Packing] = []
    for way, measure in product(pricing.ways, MEASURES if len(problem.demand) <= FEW_SHAPES else (Measure.MAX,)):
        ledger = Ledger.of(way)
        cover(ledger, pricing, measure)
        packing = ledger.packing()
        if packing is not None:
            found.append(_pooled(pricing, trim(problem, packing)))
    return min(found, key=lambda packing: packing.worth(problem), default=None)


def _packings(*some: Packing | None) -> list[Packing]:
    """Those that there are."""
    return [one for one in some if one is not None]


def _pooled(pricing: Pricing, packing: Packing) -> Packing:
    """Remember a packing's patterns as columns."""
    for kind, pattern in zip(packing.kinds, packing.patterns, strict=True):
        pricing.pool.add(int(kind), pattern)
    return packing


def _listed(
    listed: Enumeration, duals: Duals, first: Packing | None, settings: Settings, effort: Effort
) -> Solved | None:
    """Solve a listed problem; None where the search ended before it knew."""
    problem = listed.problem
    optimum = listed.solve(problem.demand, effort, settings.search_nodes)
    if not optimum.proven:
        return None
    if optimum.packing is None:
        return _certain(problem, None, "pattern-milp")
    best = min((packing for packing in (optimum.packing, first) if packing is not None), key=lambda p: p.worth(problem))
    cost = min(best.usd_nanos(problem), optimum.bound_usd_nanos)
    return _result(problem, best, duals, cost, "pattern-milp", proven=True)


def _improved(
    pricing: Pricing, first: Packing | None, settings: Settings, stop: Callable[[], bool], found: Found
) -> Solved:
    """Pattern LP, dive, neighbourhoods."""
    problem, best, stopped = pricing.problem, first, "budget"
    bound = pricing.duals.usd_nanos
    master = generate(pricing, settings.lp_rounds, stop) if not stop() else None
    if master is not None and not stop():
        dived = dive(pricing, SURE_OF_MANY if pricing.has_many_shapes else SURE)
        if dived is not None:
            best = min(_packings(best, trim(problem, dived)), key=lambda p: p.worth(problem))
            _tell(found, problem, best, bound)
    if best is not None and master is not None and not stop():
        better = improve(pricing, best, master, settings.neighbourhoods, stop)
        best = min(best, better, key=lambda p: p.worth(problem))
    if stop():
        stopped = "time"
    solved = _result(problem, best, pricing.duals, bound, pricing.duals.kind, proven=False, stopped=stopped)
    return solved if master is None else replace(solved, columns=best_columns(pricing, master))


def _tell(found: Found, problem: Problem, packing: Packing | None, bound: int) -> None:
    if packing is not None and found is not nobody and not verify(problem, packing):
        found(packing.usd_nanos(problem), bound)


def _result(
    problem: Problem,
    packing: Packing | None,
    duals: Duals,
    bound: int,
    kind: str,
    *,
    proven: bool,
    stopped: str = "done",
) -> Solved:
    cost = packing.usd_nanos(problem) if packing is not None else bound
    return Solved(
        packing=packing,
        proven=proven,
        bound_usd_nanos=min(bound, cost) if cost - bound > -1000 else bound,
        bound_kind=kind,
        pods=duals.pods,
        limits=duals.limits,
        worth=duals.worth,
        by_prices_usd_nanos=duals.usd_nanos,
        stopped=stopped,
    )
