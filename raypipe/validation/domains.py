"""Over which domains a pod is to be spread, and how many pods count in each of them.

*Eligible* are the domains of existing nodes that the constraint's policies let count, with room or without, and those
of which a node that would count may be bought, for whomever: a zone without a node is as empty as one with an empty
node. Policies look at the pod's selector, node affinity and tolerations, and never at its size or its volumes.
"""

from __future__ import annotations

from collections.abc import Mapping

from raypipe.model.constraints import Spread
from raypipe.model.nodes import Offering
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import Taint, admitted, tolerated
from raypipe.validation.ground import Ground
from raypipe.validation.standing import Place, Standing, Tally, by_domain

type Reach = tuple[object, ...]
"""All that decides which nodes count for a pod, so that pods with the same are looked at once."""


class Domains:
    """Domains of spread, worked out once for each reach and topology key."""

    def __init__(self, standing: Standing, ground: Ground) -> None:
        self._standing = standing
        self._ground = ground
        self._counting: dict[Reach, frozenset[Place]] = {}
        self._for_sale: dict[str, dict[str, list[Offering]]] = {}

    def counts(self, spec: PodSpec, spread: Spread) -> Mapping[str, Tally]:
        """Matching pods by domain, on nodes that count for the pod."""
        if not any(_reach(spec, spread)):
            return self._standing.within(spread.pods, spread.topology_key)
        counting = self._nodes_that_count(spec, spread)
        there = {place: tally for place, tally in self._standing.at(spread.pods).items() if place in counting}
        return by_domain(there, spread.topology_key)

    def eligible(self, spec: PodSpec, spread: Spread) -> set[str]:
        """The domains among which the emptiest is looked for."""
        places = self._nodes_that_count(spec, spread)
        eligible = {domain for place in places if (domain := place.domain(spread.topology_key)) is not None}
        for domain, offerings in self._sold_in(spread.topology_key).items():
            if domain not in eligible and any(_counts(spec, spread, one.labels, one.taints) for one in offerings):
                eligible.add(domain)
        return eligible

    def _nodes_that_count(self, spec: PodSpec, spread: Spread) -> frozenset[Place]:
        reach = _reach(spec, spread)
        if reach not in self._counting:
            self._counting[reach] = frozenset(
                place for place in self._standing.places if _counts(spec, spread, place.labels, place.taints)
            )
        return self._counting[reach]

    def _sold_in(self, topology_key: str) -> Mapping[str, list[Offering]]:
        """What may be bought now, by domain."""
        if topology_key not in self._for_sale:
            sold = self._for_sale.setdefault(topology_key, {})
            for one in self._ground.offerings:
                if topology_key in one.labels and not one.unavailable:
                    sold.setdefault(one.labels[topology_key], []).append(one)
        return self._for_sale[topology_key]


def _counts(spec: PodSpec, spread: Spread, labels: Mapping[str, str], taints: tuple[Taint, ...]) -> bool:
    """Whether pods on a node count for the pod, by the two policies of its constraint."""
    if spread.honors_affinity and not admitted(labels, spec.node_selector, spec.node_affinity):
        return False
    return not spread.honors_taints or tolerated(taints, spec.tolerations)


def _reach(spec: PodSpec, spread: Spread) -> Reach:
    selects: Reach = (tuple(sorted(spec.node_selector.items())), spec.node_affinity)
    return (
        *(selects if spread.honors_affinity else ((), ())),
        (spec.tolerations, "taints") if spread.honors_taints else (),
    )
