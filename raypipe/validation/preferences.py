"""What the pods that a plan places miss of what they would like, in nano-dollars an hour, counted from where they are.

Three wishes, each of a pod that the plan adds: of its node's labels; to have others that it means in its domain, or to
have none there; and of a ScheduleAnyway constraint, not to be over. Over are as many of the pods that are under one
constraint in a domain as the pods there that it means exceed maxSkew and the emptiest eligible domain. A node without
the topology key is in no domain: nobody to keep away from is there and nobody to be with, and a pod to be spread is
over. Pods are under one constraint where it is the same and they select and tolerate the same nodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from raypipe.model.constraints import PodSelector, PodTerm, Spread
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import HOSTNAME
from raypipe.quantities import NANOS_PER_USD
from raypipe.validation.domains import Domains
from raypipe.validation.ground import Ground
from raypipe.validation.standing import NOBODY, Standing


def preference_violations(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Terms of the objective, and what is told of it pod by pod, that are not what the nodes say."""
    true = missed_usd_nanos(plan, ground)
    told = sum(round(one.usd_per_hour * NANOS_PER_USD) for one in plan.missed)
    stated = round(plan.objective.terms.get("preferences", 0.0) * NANOS_PER_USD)
    if not true == told == stated:
        yield f"objective.terms.preferences says {stated} nano-dollars, what is missed adds up to {told}, not to {true}"
    added: Counter[str] = Counter()
    for node in plan.nodes:
        added.update(node.added)
    for one in plan.missed:
        if not 0 < one.missed <= one.placed or one.placed != added[one.pods]:
            yield f"{one.pods}: {one.missed} of {one.placed} pods miss {one.preference}, {added[one.pods]} are placed"
    bought = sum(not node.existing for node in plan.nodes)
    overhead = round(ground.cluster.settings.node_overhead_usd_per_hour * NANOS_PER_USD) * bought
    stated = round(plan.objective.terms.get("node_overhead", 0.0) * NANOS_PER_USD)
    if stated != overhead:
        yield f"objective.terms.node_overhead says {stated} nano-dollars, {bought} nodes are bought"


def missed_usd_nanos(plan: ClusterPlan, ground: Ground) -> int:
    """The price of all wishes of new pods that are missed."""
    settings = ground.cluster.settings
    point = round(settings.preference_usd_per_hour * NANOS_PER_USD)
    skew = round(settings.skew_usd_per_hour * NANOS_PER_USD)
    wishing = {key: spec for key, spec in ground.specs.items() if spec.preferences or _soft(spec)}
    if not wishing:
        return 0
    standing = Standing(plan, ground, {one for spec in wishing.values() for one in _selectors(spec)})
    placed = {key: spec for key, spec in wishing.items() if key in standing.added}
    points = sum(_points(key, spec, standing) for key, spec in placed.items())
    return point * points + skew * _over(placed, standing, Domains(standing, ground))


def _soft(spec: PodSpec) -> list[Spread]:
    return [one for one in spec.spread if not one.required]


def _selectors(spec: PodSpec) -> Iterator[PodSelector]:
    yield from (one.pods.pods for one in spec.preferences if one.pods is not None)
    yield from (one.pods for one in _soft(spec))


def _points(key: str, spec: PodSpec, standing: Standing) -> int:
    """Weight of the preferred terms that pods of a key miss, all pods together."""
    points = 0
    for one in spec.preferences:
        for place, count in standing.added[key].items():
            if one.nodes is not None:
                misses = not all(part.admits(place.labels) for part in one.nodes)
            else:
                assert one.pods is not None
                domain = place.domain(one.pods.topology_key)
                misses = _is_with_others(spec, one.pods, domain, standing) is one.against
            points += one.weight * count * misses
    return points


def _is_with_others(spec: PodSpec, term: PodTerm, domain: str | None, standing: Standing) -> bool:
    """Whether a pod there has another beside it in its domain that the term means, bound ones included."""
    if domain is None:
        return False
    there = standing.within(term.pods, term.topology_key).get(domain, NOBODY).all
    return there > (1 if term.pods.matches(spec.namespace, spec.labels) else 0)


def _over(placed: dict[str, PodSpec], standing: Standing, domains: Domains) -> int:
    """How many pods are over the maxSkew of constraints that they are under."""
    under: dict[object, tuple[PodSpec, Spread, Counter[str | None]]] = {}
    for key, spec in placed.items():
        for spread in _soft(spec):
            selects = (tuple(sorted(spec.node_selector.items())), spec.node_affinity, spec.tolerations)
            _, _, there = under.setdefault((spread, selects), (spec, spread, Counter()))
            for place, count in standing.added[key].items():
                there[place.domain(spread.topology_key)] += count
    over = 0
    for spec, spread, there in under.values():
        counts = domains.counts(spec, spread)
        least = 0
        if spread.topology_key != HOSTNAME:
            eligible = domains.eligible(spec, spread)
            if len(eligible) >= (spread.min_domains or 1):
                least = min(counts.get(one, NOBODY).lasting for one in eligible)
        for domain, count in there.items():
            excess = count if domain is None else counts.get(domain, NOBODY).lasting - least - spread.max_skew
            over += min(count, max(0, excess))
    return over
