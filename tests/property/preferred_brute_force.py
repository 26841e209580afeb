"""The least objective of a small case with preferences, by trying everything: cents of nodes, and of wishes missed.

Pods are looked at one by one. A pod misses a preferred term of nodes where its node's labels do not meet it; a wish to
be with others where none other that is meant is in its domain, one to be without where there is one; terminating pods
are others, too. Under a ScheduleAnyway constraint so many pods are over in a domain as matching pods there exceed the
emptiest eligible domain and maxSkew, at most the pods placed there under it; a pod in no domain is over.
"""

from __future__ import annotations

from functools import cached_property

from raypipe.model.constraints import Preference, Spread
from raypipe.model.plan import ClusterPlan
from raypipe.model.requirements import HOSTNAME
from tests.property.constrained_brute_force import (
    Collection,
    Machine,
    Pod,
    World,
    are_together,
    counts_for,
    means,
)
from tests.property.preferred_cases import CENTS_A_POD_OVER, POINTS_A_CENT


class PreferringWorld(World):
    """A world whose pods have wishes."""

    def beside(self, nodes: Collection) -> int:
        pods = self.pods(nodes)
        points = sum(
            one.weight
            for p in pods
            if p.group is not None
            for one in p.spec.preferences
            if _misses(p, one, [q for q in pods if q is not p])
        )
        assert points % POINTS_A_CENT == 0
        return points // POINTS_A_CENT + CENTS_A_POD_OVER * self._over(pods)

    def objective(self, plan: ClusterPlan) -> int:
        """Cents of a plan's bought nodes and of what its pods miss."""
        nodes = self.nodes_of(plan)
        assert nodes is not None
        return sum(machine.cents for machine, _ in nodes if machine.name is None) + self.beside(nodes)

    def _over(self, pods: list[Pod]) -> int:
        under: dict[object, list[tuple[Pod, Spread]]] = {}
        for p in pods:
            for one in p.spec.spread if p.group is not None else ():
                if not one.required:
                    selects = (tuple(p.spec.node_selector.items()), p.spec.node_affinity, p.spec.tolerations)
                    under.setdefault((one, selects), []).append((p, one))
        over = 0
        for owners in under.values():
            spec, one = owners[0][0].spec, owners[0][1]
            counted = [
                domain
                for q in pods
                if not q.terminating and means(one.pods, q) and counts_for(spec, one, q.labels, q.taints)
                if (domain := _domain(q, one.topology_key)) is not None
            ]
            least = 0
            if one.topology_key != HOSTNAME:
                least = min((counted.count(domain) for domain in self.domains(spec, one)), default=0)
            homes = [_domain(p, one.topology_key) for p, _ in owners]
            for domain in set(homes):
                excess = counted.count(domain) - least - one.max_skew
                over += homes.count(domain) if domain is None else min(homes.count(domain), max(0, excess))
        return over

    def _mark(self, machine: Machine) -> tuple[object, ...]:
        terms = [one.nodes for spec in self.specs for one in spec.preferences if one.nodes is not None]
        return (*super()._mark(machine), *(all(part.admits(machine.labels) for part in term) for term in terms))

    @cached_property
    def _topology_keys(self) -> list[str]:
        wished = {one.pods.topology_key for spec in self.specs for one in spec.preferences if one.pods is not None}
        return sorted({*super()._topology_keys, *wished})


def _misses(p: Pod, one: Preference, others: list[Pod]) -> bool:
    if one.nodes is not None:
        return not all(part.admits(p.labels) for part in one.nodes)
    assert one.pods is not None
    term = one.pods
    return any(are_together(p, q, term.topology_key) and means(term.pods, q) for q in others) is one.against


def _domain(p: Pod, key: str) -> object:
    return p.node if key == HOSTNAME else p.labels.get(key)
