"""The objective beside cost: of the plans for the pods that are admitted, the one that is worth most to them.

The decision has the cheapest packing with its bound; that bound is stated for the cost and stands whatever is chosen
here. Where pods have wishes, or nodes a price of their own, the same question is asked once more with these in the
objective::

    min  cost of what is bought + node overhead + Σ wishes missed x their price

over shapes and kinds of node that the wishes tell apart. The cheapest packing takes part, so that the answer is never
worse by the objective; where nothing is wished it is the answer, and nothing is asked again. What is missed is counted
pod by pod in the end.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from raypipe.model.plan import Missed, Scope
from raypipe.packing.arrays import Ints
from raypipe.packing.problem import Packing, collected
from raypipe.packing.solve import solve
from raypipe.planner.decide import Decision
from raypipe.planner.demand import Masks, Wanted, resource_names, shapes_of
from raypipe.planner.missed import missed_by
from raypipe.planner.nodes import Placement, place
from raypipe.planner.preferences import Preferences, Prices, wishes_anything
from raypipe.planner.question import Sharing, usable_places
from raypipe.planner.supply import kinds_of
from raypipe.quantities import NANOS_PER_USD, usd


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferred:
    """Where pods go in the end.

    Attributes:
        bought_usd_nanos: cost of what is bought. terms: what else the objective counts, in nano-dollars an hour.
        bound_usd_nanos: no placement of these pods has a lower objective, kept nodes apart.
    """

    placement: Placement
    bought_usd_nanos: int
    terms: Mapping[str, int]
    bound_usd_nanos: int
    missed: tuple[Missed, ...] = ()


def preferred(decision: Decision, stop: Callable[[], bool]) -> Preferred:
    """Choose the placement by the objective, and count what it comes to."""
    prices, overhead = Prices.of(decision.cluster.settings), _overhead(decision)
    placement, bound = place(decision), decision.solved.bound_usd_nanos
    is_wished = any(wishes_anything(one.spec, prices) for one in _placed(decision))
    terms: dict[str, int] = {}
    missed: tuple[Missed, ...] = ()
    if (is_wished or overhead) and decision.solved.packing is not None:
        objective = _Objective(decision, prices, overhead)
        placement, least = objective.best(placement, stop)
        if is_wished:
            missed = tuple(objective.missed(placement))
            terms["preferences"] = sum(round(one.usd_per_hour * NANOS_PER_USD) for one in missed)
        if overhead:
            terms["node_overhead"] = overhead * len(placement.bought)
        bound = max(bound, least)
    bought = sum(decision.supply.offerings[node.offering].usd_nanos_per_hour for node in placement.bought)
    return Preferred(
        placement=placement,
        bought_usd_nanos=bought,
        terms=terms,
        bound_usd_nanos=min(bound, bought + sum(terms.values())),
        missed=missed,
    )


def _overhead(decision: Decision) -> int:
    return round(decision.cluster.settings.node_overhead_usd_per_hour * NANOS_PER_USD)


def _placed(decision: Decision) -> list[Wanted]:
    """Everybody who wanted a place, as many of each as have one."""
    pairs = zip(decision.wanted, decision.admitted, strict=True)
    return [dataclasses.replace(one, count=count) for one, count in pairs]


class _Objective:
    """The question of a decision once more, with what pods wish and what a node is to operate in its objective."""

    def __init__(self, decision: Decision, prices: Prices, overhead: int) -> None:
        supply, pending = decision.supply, decision.scope is Scope.PENDING
        self._decision, self._overhead = decision, overhead
        self._wanted = [w for w, count in enumerate(decision.admitted) if count]
        placed = _placed(decision)
        placeable = [placed[w] for w in self._wanted]
        specs = [one.spec for one in placeable]
        fixed = decision.cluster.bound if pending else ()
        self._preferences = Preferences(specs, fixed, supply.offerings, supply.nodes, prices, nodes_exist=pending)
        filters, open_places = (supply.filters, supply.node_filters), usable_places(supply, pending)
        masks = Masks(filters, open_places, decision.roles, self._preferences.mark)
        resources = resource_names(placeable)
        self._shapes = shapes = shapes_of(placeable, masks, resources)
        self._wishes = self._preferences.of(shapes.specs, shapes.demand, shapes.admits)
        sharing = Sharing(decision.cluster)
        self._kinds = kinds = kinds_of(
            supply,
            shapes,
            decision.limits,
            resources,
            decision.roles.rules(shapes.specs),
            use_nodes=pending,
            told_apart=sharing.occupancy,
            wished=self._wishes.mark,
        )
        first = len(supply.offerings)
        self._places = np.array(
            [j if j >= 0 else first + kinds.members[i][0] for i, j in enumerate(kinds.offering.tolist())],
            dtype=np.int64,
        )
        priced = sharing.problem(kinds, shapes, supply)
        priced = dataclasses.replace(priced, price=priced.price + np.where(kinds.offering >= 0, overhead, 0))
        self.problem = self._wishes.on(priced, self._places)

    def best(self, known: Placement, stop: Callable[[], bool]) -> tuple[Placement, int]:
        """The placement of least objective, and a bound of it; `known` where nothing makes a difference.

        What clusters share was dealt out by cost: no more of it is used for the sake of wishes.
        """
        decision = self._decision
        packing = self._packed(known)
        shared = np.array([row.of_fleet for row in decision.limits.rows], dtype=bool)
        used = packing.usage(self.problem)
        problem = self.problem.under(np.where(shared, used, self.problem.limits))
        if not self._wishes.matter(self._shapes.admits) and not self._overhead:
            return known, decision.solved.bound_usd_nanos + self._constant()
        solved = solve(problem, decision.cluster.settings, decision.effort, stop, packing)
        assert solved.packing is not None  # `packing` is one
        numbers = {w: i for i, w in enumerate(self._wanted)}
        finer = dataclasses.replace(
            decision,
            shapes=self._shapes,
            kinds=dataclasses.replace(self._kinds, problem=self.problem),
            number=tuple(numbers.get(w, -1) for w in range(len(decision.wanted))),
            solved=dataclasses.replace(decision.solved, packing=solved.packing),
        )
        return place(finer), solved.bound_usd_nanos

    def _constant(self) -> int:
        """What is missed wherever the pods go."""
        everywhere = np.where(self._shapes.admits, self._wishes.penalty, 0).max(axis=1, initial=0)
        return int(everywhere @ self._shapes.demand)

    def _packed(self, placement: Placement) -> Packing:
        """A placement in the numbers of this problem."""
        kinds = self._kinds
        number = {int(offering): j for j, offering in enumerate(kinds.offering) if offering >= 0}
        number_of_node = {node: j for j, members in enumerate(kinds.members) for node in members}
        rows = [(number[node.offering], self._pattern(node.pods), 1) for node in placement.bought]
        rows += [(number_of_node[node], self._pattern(pods), 1) for node, pods in placement.added.items() if pods]
        return collected(self.problem, rows)

    def _pattern(self, pods: Mapping[int, int]) -> Ints:
        pattern = np.zeros(len(self._shapes.specs), dtype=np.int64)
        numbers = {w: i for i, w in enumerate(self._wanted)}
        for w, count in pods.items():
            pattern[self._shapes.of[numbers[w]]] += count
        return pattern

    def missed(self, placement: Placement) -> Iterator[Missed]:
        """Every wish that pods of a key miss, with how many of them."""
        nodes: Counter[tuple[int, tuple[tuple[int, int], ...]]] = Counter()
        nodes.update((node.offering, tuple(sorted(node.pods.items()))) for node in placement.bought)
        first = len(self._decision.supply.offerings)
        nodes.update((first + node, tuple(sorted(pods.items()))) for node, pods in placement.added.items())
        numbers = {w: i for i, w in enumerate(self._wanted)}
        pods = np.zeros((len(nodes), len(self._wanted)), dtype=np.int64)
        for p, (_, content) in enumerate(nodes):
            for w, count in content:
                pods[p, numbers[w]] = count
        places = np.array([place for place, _ in nodes], dtype=np.int64)
        counts = np.array(list(nodes.values()), dtype=np.int64)
        wanted = [self._decision.wanted[w] for w in self._wanted]
        placed: Counter[str] = Counter()
        for one, count in zip(wanted, (counts @ pods).tolist(), strict=True):
            placed[one.key] += count
        misses: Counter[tuple[str, str, int]] = Counter()
        specs = [one.spec for one in wanted]
        for said, usd_nanos, number, count in missed_by(self._preferences, specs, places, pods, counts):
            misses[wanted[number].key, said, usd_nanos] += count
        for (key, said, usd_nanos), count in sorted(misses.items()):
            yield Missed(
                pods=key, preference=said, missed=count, placed=placed[key], usd_per_hour=usd(usd_nanos * count)
            )
