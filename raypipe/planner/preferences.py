"""What pods would like, worked out once for a cluster: who wishes what of whom, and at what price it is missed.

Three kinds of wish, each priced a pod that misses it, and only for pods that a plan places (bound pods are where they
are, and whether they would rather be elsewhere is not asked again):

* *preferred node affinity*: missed on a node whose labels do not meet the term;
* *preferred pod affinity*: missed where no other pod that the term means is in the pod's domain of its topology key;
  *anti-affinity*: missed where there is one. A pod on a node without the key is in no domain;
* *ScheduleAnyway*: over maxSkew in a domain are as many pods as the pods that the constraint means exceed maxSkew and
  the emptiest eligible domain there, at most those that a plan places there under the constraint; a pod on a node
  without the key is over. Pods are under one constraint where constraint, node selector, node affinity and tolerations
  are the same. Domains and what counts in them are those of a required spread; over hostnames the emptiest is empty.

Bound pods count for others: terminating ones for affinity and anti-affinity only. A preferred term costs its weight
times `preference_usd_per_hour`, what is said twice costs twice; a pod over maxSkew costs `skew_usd_per_hour`. How these
wishes are kept is `raypipe.packing.wishes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from raypipe.model.nodes import Offering
from raypipe.model.pods import BoundPods, PodSpec
from raypipe.model.requirements import HOSTNAME, Term
from raypipe.packing.arrays import Bools, Ints
from raypipe.packing.problem import Problem
from raypipe.packing.rules import Form
from raypipe.packing.wishes import DomainWish, NodeWish, Wish
from raypipe.planner.constraints import Ask, Roles, alike
from raypipe.planner.rooms import Room
from raypipe.quantities import NANOS_PER_USD
from raypipe.settings import Settings

_FORMS = {"apart": Form.APART, "together": Form.TOGETHER, "spread": Form.SPREAD}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What wishes cost where they are missed, in nano-dollars an hour: a weight point, and a pod over maxSkew."""

    point: int
    skew: int

    @classmethod
    def of(cls, settings: Settings) -> Prices:
        return cls(
            point=round(settings.preference_usd_per_hour * NANOS_PER_USD),
            skew=round(settings.skew_usd_per_hour * NANOS_PER_USD),
        )


def _wished_of_pods(spec: PodSpec) -> dict[Ask, int]:
    """What a pod wishes of other pods, and the weight of it; of spreads, how often."""
    asks: dict[Ask, int] = {}
    for one in spec.preferences:
        if one.pods is not None:
            ask = Ask("apart" if one.against else "together", one.pods.topology_key, (one.pods.pods,))
            asks[ask] = asks.get(ask, 0) + one.weight
    for spread in spec.spread:
        if not spread.required:
            asks[Ask("spread", spread.topology_key, (spread.pods,), spread=spread)] = 1
    return asks


def wishes_anything(spec: PodSpec, prices: Prices) -> bool:
    """Whether a pod wishes anything that has a price."""
    return bool(prices.point and spec.preferences) or bool(prices.skew and any(not one.required for one in spec.spread))


class Preferences:
    """The wishes of a cluster's pods, over the places where pods can go (offerings, then existing nodes)."""

    def __init__(
        self,
        wanted: Iterable[PodSpec],
        fixed: Sequence[BoundPods],
        offerings: Sequence[Offering],
        nodes: Sequence[Room],
        prices: Prices,
        *,
        nodes_exist: bool = True,
    ) -> None:
        """`fixed` are the bound pods that stay. nodes_exist: False where a plan is made as if there were no node."""
        self._prices = prices
        self._roles = Roles(wanted, fixed, offerings, nodes, nodes_exist=nodes_exist, asked=self._asked)
        self._nodes_met: dict[Term, Bools] = {}

    @property
    def point(self) -> int:
        """Nano-dollars an hour for a weight of 1."""
        return self._prices.point

    def _asked(self, spec: PodSpec) -> list[Ask]:
        return [ask for ask in _wished_of_pods(spec) if self._price(ask)]

    def _price(self, ask: Ask) -> int:
        """Nano-dollars an hour for a weight of 1, or for a pod over maxSkew."""
        return self._prices.skew if ask.form == "spread" else self._prices.point

    def mark(self, spec: PodSpec) -> tuple[object, ...]:
        """What tells pods apart by what they wish and who wishes what of them."""
        role, terms, wished = self._roles.of(spec), self.node_terms(spec), self._asked(spec)
        weights = [_wished_of_pods(spec)[ask] for ask in wished]
        under = (spec.node_selector, spec.node_affinity, spec.tolerations)
        spreads = any(ask.form == "spread" for ask in wished)
        return (list(terms.items()), role.own, role.meant, weights, under if spreads else ())

    def of(self, specs: Sequence[PodSpec], demand: Ints, admits: Bools) -> PlaceWishes:
        """The wishes of pods of these specs, (K,), of each of which `demand` are placed, some of `admits` (K, places).

        Those that cannot be missed are left out; those that are missed everywhere are a price of every place.
        """
        made = PlaceWishes(penalty=np.zeros(admits.shape, dtype=np.int64), node=[], domain=[])
        for k, spec in enumerate(specs):
            for term, weight in self.node_terms(spec).items():
                made.penalty[k] += np.where(self.meets(term), 0, weight * self._prices.point)
        for _, one in self.wishes(specs):
            wish = one.wish
            bound = one.standing.sum() if isinstance(one, NodeWish) else one.base.sum()
            others = int(demand[wish.members].sum() + bound) - int(wish.own)
            if others <= wish.most and wish.form is Form.TOGETHER:
                made.penalty[wish.owners] += wish.usd_nanos
                continue
            if isinstance(one, DomainWish) and wish.form is not Form.APART:
                made.penalty[np.ix_(wish.owners, one.domain < 0)] += wish.usd_nanos
            if others > wish.most:
                (made.node if isinstance(one, NodeWish) else made.domain).append(one)  # type: ignore[arg-type]
        return made

    def node_terms(self, spec: PodSpec) -> dict[Term, int]:
        """What a pod prefers of its node's labels, and the weight of it."""
        terms: dict[Term, int] = {}
        for one in spec.preferences if self._prices.point else ():
            if one.nodes is not None:
                terms[one.nodes] = terms.get(one.nodes, 0) + one.weight
        return terms

    def meets(self, term: Term) -> Bools:
        """Places whose labels meet a preferred term, (places,)."""
        if term not in self._nodes_met:
            labels = self._roles.labels
            self._nodes_met[term] = np.array([all(part.admits(one) for part in term) for one in labels], dtype=bool)
        return self._nodes_met[term]

    def wishes(self, specs: Sequence[PodSpec]) -> Iterator[tuple[str, NodeWish | DomainWish]]:
        """What pods of these specs, (K,), wish of each other, in words and over places."""
        roles = [self._roles.of(spec) for spec in specs]
        wished = [_wished_of_pods(spec) for spec in specs]
        for number in sorted({number for role in roles for number in role.own}):
            ask = self._roles.ask(number)
            members = np.array([number in role.meant for role in roles], dtype=bool)
            weights = np.array([one.get(ask, 0) for one in wished])
            for weight in np.unique(weights[weights > 0]).tolist():
                said = f"ScheduleAnyway {ask}" if ask.form == "spread" else f"{ask}, weight {weight}"
                for owners in _parts(ask, weights == weight, members, specs):
                    yield said, self._wish(number, weight * self._price(ask), owners, members, specs)

    def _wish(
        self, number: int, usd_nanos: int, owners: Bools, members: Bools, specs: Sequence[PodSpec]
    ) -> NodeWish | DomainWish:
        ask = self._roles.ask(number)
        standing, spread = self._roles.standing(number, own=False), ask.spread
        wish = Wish(
            form=_FORMS[ask.form],
            owners=owners,
            members=members,
            usd_nanos=usd_nanos,
            own=spread is None and bool((owners & members).any()),
            most=0 if spread is None else spread.max_skew,
        )
        if ask.key == HOSTNAME:
            return NodeWish(wish=wish, standing=standing)
        first = specs[int(np.flatnonzero(owners)[0])]
        counted = np.ones(len(standing), dtype=bool) if spread is None else self._roles.counted(spread, first)
        domain, base, _ = self._roles.domains(ask.key, np.where(counted, standing, 0))
        eligible = np.zeros(len(base), dtype=bool)
        eligible[domain[counted & self._roles.may_exist & (domain >= 0)]] = True
        return DomainWish(
            wish=wish,
            domain=np.where(counted, domain, -1),
            base=base,
            eligible=eligible,
            floor_zero=spread is None or int(eligible.sum()) < (spread.min_domains or 1),
        )


def _parts(ask: Ask, owners: Bools, members: Bools, specs: Sequence[PodSpec]) -> list[Bools]:
    """Owners that are alike to a wish: under one constraint, or all of them meant themselves or none."""
    if ask.form == "spread":
        return alike(owners, specs)
    return [part for part in (owners & members, owners & ~members) if part.any()]


@dataclass(frozen=True, kw_only=True)
class PlaceWishes:
    """Wishes over places; `on` puts them into a problem. penalty: (K, places)."""

    penalty: Ints
    node: list[NodeWish]
    domain: list[DomainWish]

    def matter(self, admits: Bools) -> bool:
        """Whether it makes a difference which of `admits` (K, places) the pods get."""
        dear = np.where(admits, self.penalty, -1).max(axis=1, initial=-1)
        cheap = np.where(admits, self.penalty, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
        return bool(self.node or self.domain or (dear > cheap).any())

    @cached_property
    def _marks(self) -> Ints:
        rows = [*self.penalty, *(one.standing for one in self.node), *(one.domain for one in self.domain)]
        return np.ascontiguousarray(np.array(rows, dtype=np.int64).reshape(len(rows), self.penalty.shape[1]).T)

    def mark(self, place: int) -> bytes:
        """What tells places apart for these wishes."""
        return bytes(self._marks[place].tobytes())

    def on(self, problem: Problem, places: Ints) -> Problem:
        """The problem, whose kinds are at `places` (J,), with the wishes in its objective."""
        domains = [*([problem.cell] if len(problem.cell) else []), *(one.domain[places] for one in self.domain)]
        cell = np.unique(np.array(domains).T, axis=0, return_inverse=True)[1].ravel() if domains else problem.cell
        penalty = self.penalty[:, places]
        return replace(
            problem,
            cell=cell.astype(np.int64),
            penalty=penalty if penalty.any() else problem.penalty,
            wishes=tuple(one.only_kinds(places) for one in self.node),
            domain_wishes=tuple(one.only_kinds(places) for one in self.domain),
        )
