"""Who stands where once a plan is carried out, counted by node and sort of pod and never pod by pod.

Pods are of one *sort* where the selectors in question cannot tell them apart: same namespace, same values of the labels
that some selector names. So a hundred thousand pods, each with a name of its own among its labels, are a few hundred
sorts, and a selector is asked once for each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from raypipe.model.constraints import PodSelector
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import BoundPods, PodSpec
from raypipe.model.requirements import HOSTNAME, Taint
from raypipe.validation.ground import Ground

type Sort = tuple[str, tuple[str | None, ...]]
"""Namespace, and values of the labels that selectors name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """A node as it is after the plan."""

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    existing: bool

    def domain(self, topology_key: str) -> str | None:
        """The node's domain of a topology key, or None; each node is a host of its own, whatever its label says."""
        return self.name if topology_key == HOSTNAME else self.labels.get(topology_key)

    def said(self, topology_key: str) -> str:
        """The domain in words."""
        if topology_key == HOSTNAME:
            return f"node {self.name}"
        return f"{topology_key} {self.domain(topology_key)}"


@dataclass(slots=True)
class Tally:
    """Pods of some sort in some place: added by the plan, bound, bound and being deleted."""

    added: int = 0
    staying: int = 0
    terminating: int = 0

    @property
    def lasting(self) -> int:
        return self.added + self.staying

    @property
    def bound(self) -> int:
        return self.staying + self.terminating

    @property
    def all(self) -> int:
        return self.added + self.staying + self.terminating

    def count(self, other: Tally) -> None:
        self.added += other.added
        self.staying += other.staying
        self.terminating += other.terminating


NOBODY = Tally()


class Standing:
    """A plan's pods and those bound to its nodes, ready to be counted by any of `selectors`.

    Attributes:
        added: places and counts of each key's new pods. bound: pods that stay, with their places.
    """

    def __init__(self, plan: ClusterPlan, ground: Ground, selectors: Collection[PodSelector]) -> None:
        self.places = _places(plan, ground)
        self._by_name = here = {place.name: place for place in self.places}
        self.added: dict[str, dict[Place, int]] = {}
        for node in plan.nodes:
            for key, count in node.added.items():
                if node.name in here and key in ground.specs:  # other nodes and keys are told already
                    self.added.setdefault(key, {})[here[node.name]] = count
        staying = ground.cluster.bound if ground.pending else ()
        self.bound: list[tuple[BoundPods, Place]] = [(one, here[one.node]) for one in staying if one.node in here]
        self._named = sorted({part.key for one in selectors for part in one.labels or ()})
        self._examples: dict[Sort, PodSpec] = {}
        self.sort_of = {key: self._sort(ground.specs[key]) for key in self.added}
        sorts_of_bound = [self._sort(pods.spec) for pods, _ in self.bound]
        self._matching = {one: self._matched_by(one) for one in selectors}
        self._tallies: dict[Sort, dict[Place, Tally]] = {sort: {} for some in self._matching.values() for sort in some}
        self._count(sorts_of_bound)
        self._at: dict[PodSelector, dict[Place, Tally]] = {}
        self._within: dict[tuple[PodSelector, str], dict[str, Tally]] = {}

    def place_of(self, node: str) -> Place | None:
        return self._by_name.get(node)

    def _sort(self, spec: PodSpec) -> Sort:
        sort = (spec.namespace, tuple(map(spec.labels.get, self._named)))
        self._examples.setdefault(sort, spec)
        return sort

    def _matched_by(self, selector: PodSelector) -> frozenset[Sort]:
        return frozenset(sort for sort, spec in self._examples.items() if selector.matches(spec.namespace, spec.labels))

    def _count(self, sorts_of_bound: Iterable[Sort]) -> None:
        """Fill the tallies of the sorts that some selector means; nobody asks about others."""
        for key, counts in self.added.items():
            places = self._tallies.get(self.sort_of[key])
            if places is None:
                continue
            for place, count in counts.items():
                places.setdefault(place, Tally()).added += count
        for sort, (pods, place) in zip(sorts_of_bound, self.bound, strict=True):
            places = self._tallies.get(sort)
            if places is None:
                continue
            tally = places.setdefault(place, Tally())
            if pods.terminating:
                tally.terminating += pods.count
            else:
                tally.staying += pods.count

    def matching(self, selector: PodSelector) -> frozenset[Sort]:
        """The sorts that one of the selectors means."""
        return self._matching[selector]

    def places_of(self, sort: Sort) -> Mapping[Place, Tally]:
        return self._tallies.get(sort, {})

    def at(self, selector: PodSelector) -> Mapping[Place, Tally]:
        """Pods that a selector means, by place."""
        if selector not in self._at:
            there: dict[Place, Tally] = {}
            for sort in self.matching(selector):
                for place, tally in self.places_of(sort).items():
                    there.setdefault(place, Tally()).count(tally)
            self._at[selector] = there
        return self._at[selector]

    def within(self, selector: PodSelector, topology_key: str) -> Mapping[str, Tally]:
        """Pods that a selector means, by domain."""
        mark = (selector, topology_key)
        if mark not in self._within:
            self._within[mark] = by_domain(self.at(selector), topology_key)
        return self._within[mark]

    def homes(self, key: str, topology_key: str) -> Mapping[str, tuple[int, Place]]:
        """Domains with new pods of a key: how many, and one of the nodes."""
        homes: dict[str, tuple[int, Place]] = {}
        for place, count in self.added[key].items():
            domain = place.domain(topology_key)
            if domain is not None:
                homes[domain] = (homes.get(domain, (0, place))[0] + count, place)
        return homes


def by_domain(tallies: Mapping[Place, Tally], topology_key: str) -> dict[str, Tally]:
    """Tallies of places, added up; places in no domain are left out."""
    domains: dict[str, Tally] = {}
    for place, tally in tallies.items():
        domain = place.domain(topology_key)
        if domain is not None:
            domains.setdefault(domain, Tally()).count(tally)
    return domains


def _places(plan: ClusterPlan, ground: Ground) -> tuple[Place, ...]:
    existing = [one.node for one in ground.existing.values()] if ground.pending else []
    places = [Place(name=one.name, labels=one.labels, taints=one.taints, existing=True) for one in existing]
    for node in plan.nodes:
        offering = None if node.existing else ground.offering(ground.mark_of(node))
        if offering is not None:
            places.append(Place(name=node.name, labels=offering.labels, taints=offering.taints, existing=False))
    return tuple(places)
