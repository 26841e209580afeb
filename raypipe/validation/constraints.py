"""What pods ask of each other and of their place: is every rule kept where the pods stand in the end?

One function a rule, as kube-scheduler means it: anti-affinity in both directions, affinity in some order of placing,
spread within each domain, ports of the node, places of volumes. Preferences and ScheduleAnyway are prices and no rules,
and what stands in a pod's `unchecked` is not held against a plan. Only nodes and pods that some rule speaks of are
looked at; where no pod asks for anything, nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from raypipe.model.constraints import HostPort, PodSelector, PodTerm, Spread
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import BoundPods, PodSpec
from raypipe.model.requirements import HOSTNAME, Term, admitted
from raypipe.validation.affinity import lonely
from raypipe.validation.domains import Domains
from raypipe.validation.ground import Ground
from raypipe.validation.standing import NOBODY, Place, Standing

type Asking = Mapping[str, PodSpec]
"""New pods that ask for anything, by key."""
type Repelling = Mapping[tuple[PodTerm, ...], list[BoundPods]]
"""Bound pods with anti-affinity, by their terms."""


def constraint_violations(plan: ClusterPlan, ground: Ground) -> Iterator[str]:
    """Each rule of affinity, anti-affinity, spread, host ports and volumes that the plan breaks."""
    wanting = {key: spec for key, spec in ground.specs.items() if _asks(spec)}
    repelling = _repelling(ground)
    if not wanting and not repelling:
        return
    selectors = {one for spec in wanting.values() for one in _selectors(spec)}
    selectors |= {term.pods for terms in repelling for term in terms}
    standing = Standing(plan, ground, selectors)
    asking = {key: spec for key, spec in wanting.items() if key in standing.added}
    yield from _anti_affinity_of_new_pods(standing, asking)
    yield from _anti_affinity_of_bound_pods(standing, repelling)
    yield from _affinity(standing, asking)
    yield from _spread_over_nodes(standing, asking)
    yield from _spread_over_domains(standing, asking, Domains(standing, ground))
    yield from _ports(standing, asking, ground)
    yield from _volumes(standing, asking)


def _affinity_of(spec: PodSpec) -> tuple[PodTerm, ...]:
    return () if "pod-affinity" in spec.unchecked else spec.pod_affinity


def _anti_affinity_of(spec: PodSpec) -> tuple[PodTerm, ...]:
    return () if "pod-anti-affinity" in spec.unchecked else spec.pod_anti_affinity


def _spread_of(spec: PodSpec) -> tuple[Spread, ...]:
    return () if "topology-spread" in spec.unchecked else tuple(one for one in spec.spread if one.required)


def _ports_of(spec: PodSpec) -> tuple[HostPort, ...]:
    return () if "host-ports" in spec.unchecked else spec.host_ports


def _volumes_of(spec: PodSpec) -> tuple[tuple[Term, ...], ...]:
    return () if "volumes" in spec.unchecked else spec.volume_affinity


def _asks(spec: PodSpec) -> bool:
    families = (_affinity_of, _anti_affinity_of, _spread_of, _ports_of, _volumes_of)
    return any(family(spec) for family in families)


def _selectors(spec: PodSpec) -> Iterator[PodSelector]:
    yield from (term.pods for term in (*_affinity_of(spec), *_anti_affinity_of(spec)))
    yield from (spread.pods for spread in _spread_of(spec))


def _repelling(ground: Ground) -> Repelling:
    repelling: dict[tuple[PodTerm, ...], list[BoundPods]] = {}
    for one in ground.cluster.bound if ground.pending else ():
        if one.spec.pod_anti_affinity and (terms := _anti_affinity_of(one.spec)):
            repelling.setdefault(terms, []).append(one)
    return repelling


def _anti_affinity_of_new_pods(standing: Standing, asking: Asking) -> Iterator[str]:
    """In the domain of a new pod there is no other pod that one of its terms means."""
    for key, spec in asking.items():
        for term in _anti_affinity_of(spec):
            there = standing.within(term.pods, term.topology_key)
            own = 1 if term.pods.matches(spec.namespace, spec.labels) else 0
            for domain, (count, place) in standing.homes(key, term.topology_key).items():
                others = there.get(domain, NOBODY).all - own
                if others > 0:
                    yield (
                        f"anti-affinity: {key} has {count} on {place.said(term.topology_key)}, where each is with "
                        f"{others} other pods that it keeps away from"
                    )


def _anti_affinity_of_bound_pods(standing: Standing, repelling: Repelling) -> Iterator[str]:
    """In the domain of a bound pod there is no new pod that one of its terms means."""
    for terms, bound in repelling.items():
        for term in terms:
            there = standing.within(term.pods, term.topology_key)
            keepers: dict[str, tuple[str, Place]] = {}
            for one in bound:
                place = standing.place_of(one.node)
                domain = place.domain(term.topology_key) if place is not None else None
                if place is not None and domain is not None:
                    keepers.setdefault(domain, (one.key, place))
            for domain, (key, place) in keepers.items():
                added = there.get(domain, NOBODY).added
                if added:
                    yield (
                        f"anti-affinity: {key}, bound on {place.said(term.topology_key)}, keeps away {added} pods that "
                        f"are added there"
                    )


def _affinity(standing: Standing, asking: Asking) -> Iterator[str]:
    """Some order of placing lets each new pod find those that its terms mean in its domains."""
    wishes = {key: terms for key, spec in asking.items() if (terms := _affinity_of(spec))}
    for cell in lonely(standing, wishes):
        lacking = [term.topology_key for term in cell.wish.terms if cell.place.domain(term.topology_key) is None]
        if lacking:
            yield f"affinity: {cell.count} of {cell.key} on node {cell.place.name}, which carries no {lacking[0]}"
            continue
        where = " and ".join(dict.fromkeys(cell.place.said(term.topology_key) for term in cell.wish.terms))
        yield (
            f"affinity: {cell.count} of {cell.key} on node {cell.place.name}: in no order of placing do they find all "
            f"{len(cell.wish.terms)} of their terms met on {where}"
        )


def _spread_over_nodes(standing: Standing, asking: Asking) -> Iterator[str]:
    """A node that gets a pod has at most maxSkew pods that the pod's spread over hostnames means."""
    for key, spec in asking.items():
        for spread in _spread_of(spec):
            if spread.topology_key != HOSTNAME:
                continue
            there = standing.at(spread.pods)
            for place in standing.added[key]:
                count = there.get(place, NOBODY).lasting
                if count > spread.max_skew:
                    yield f"spread: {key} on node {place.name} with {count} matching pods, at most {spread.max_skew}"


def _spread_over_domains(standing: Standing, asking: Asking, domains: Domains) -> Iterator[str]:
    """A domain that gets a pod has at most maxSkew matching pods more than the emptiest eligible one."""
    for key, spec in asking.items():
        for spread in _spread_of(spec):
            if spread.topology_key == HOSTNAME:
                continue
            for place, count in standing.added[key].items():
                if place.domain(spread.topology_key) is None:
                    yield f"spread: {count} of {key} on node {place.name}, which carries no {spread.topology_key}"
            counts = domains.counts(spec, spread)
            eligible = domains.eligible(spec, spread)
            least, emptiest = min(((counts.get(one, NOBODY).lasting, one) for one in eligible), default=(0, "none"))
            said = f"{least} in {emptiest}"
            if len(eligible) < (spread.min_domains or 1):
                least, said = 0, f"taken as 0 for {len(eligible)} of {spread.min_domains or 1} domains"
            for domain in standing.homes(key, spread.topology_key):
                count = counts.get(domain, NOBODY).lasting
                if count - least > spread.max_skew:
                    yield (
                        f"spread: {key} in {spread.topology_key} {domain} with {count} matching pods, the least is "
                        f"{said}, at most {spread.max_skew} apart"
                    )


def _ports(standing: Standing, asking: Asking, ground: Ground) -> Iterator[str]:
    """No two pods on a node, one of them new, take one port; a DaemonSet's pod that is still to come takes its own."""
    takers: dict[Place, list[tuple[str, HostPort]]] = {}
    for key, spec in asking.items():
        ports = _ports_of(spec)
        for place, count in standing.added[key].items() if ports else ():
            takers.setdefault(place, []).extend((key, port) for port in ports)
            if count > 1:
                yield f"host ports: {count} of {key} on node {place.name} take port {_said(ports[0])}, 1 can"
    if not takers:
        return
    taken: dict[Place, list[tuple[str, HostPort]]] = {}
    for pods, place in standing.bound:
        if pods.spec.host_ports and place in takers:
            taken.setdefault(place, []).extend((pods.key, port) for port in _ports_of(pods.spec))
    for place in takers:
        taken.setdefault(place, []).extend(_ports_to_come(place, ground))
    for place, new in takers.items():
        for number, (key, port) in enumerate(new):
            others = [*taken.get(place, ()), *((other, theirs) for other, theirs in new[:number] if other != key)]
            for other, theirs in others:
                if port.conflicts_with(theirs):
                    yield f"host ports: {key} and {other} on node {place.name} take port {_said(port)}, 1 can"


def _ports_to_come(place: Place, ground: Ground) -> Iterator[tuple[str, HostPort]]:
    """Ports of the DaemonSets whose pods will run on a node and do not yet."""
    there = {pods.daemonset for pods in ground.bound_on(place.name)} if place.existing else set()
    for daemonset in ground.cluster.daemonsets:
        if daemonset.key not in there and daemonset.spec.may_run_on(place.labels, place.taints):
            yield from ((daemonset.key, port) for port in daemonset.spec.host_ports)


def _said(port: HostPort) -> str:
    return f"{port.port}/{port.protocol}"


def _volumes(standing: Standing, asking: Asking) -> Iterator[str]:
    """A new pod's node is one that each of its volumes can be used on."""
    for key, spec in asking.items():
        volumes = _volumes_of(spec)
        for place, count in standing.added[key].items() if volumes else ():
            strange = sum(not admitted(place.labels, {}, terms) for terms in volumes)
            if strange:
                yield (
                    f"volumes: {count} of {key} on node {place.name}, where {strange} of {len(volumes)} volumes cannot "
                    f"be used"
                )
