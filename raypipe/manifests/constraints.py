"""What a pod says of other pods and of ports: (anti-)affinity, spread, preferences, host ports (Kubernetes core/v1).

Lists whose order means nothing are put in order, and what is said twice is kept once, so that pods that say the same
are alike. Weights of preferences add up: those are kept as often as they are said.
"""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.manifests.fields import Field
from raypipe.manifests.requirements import selector_term
from raypipe.manifests.selectors import Owner, conjunction, in_order, pods_meant
from raypipe.model.constraints import ANY_ADDRESS, HostPort, PodTerm, Preference, Spread

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
GREATEST_WEIGHT = 100
GREATEST_PORT = 65_535
_MOST = 2**31 - 1
_POLICIES = ("Honor", "Ignore")
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_TERM_FIELDS = (
    "labelSelector",
    "topologyKey",
    "namespaces",
    "namespaceSelector",
    "matchLabelKeys",
    "mismatchLabelKeys",
)
_SPREAD_FIELDS = (
    "maxSkew",
    "topologyKey",
    "whenUnsatisfiable",
    "labelSelector",
    "minDomains",
    "nodeAffinityPolicy",
    "nodeTaintsPolicy",
    "matchLabelKeys",
)


def refuse_unknown(affinity: Field) -> None:
    """A misspelt kind of affinity would be silently ignored: it is an error instead."""
    affinity.only(("nodeAffinity", "podAffinity", "podAntiAffinity"))
    for _, one in affinity.fields():
        one.only((REQUIRED, PREFERRED))


def required_terms(affinity: Field, owner: Owner) -> tuple[PodTerm, ...]:
    """The required terms of a podAffinity or podAntiAffinity, all of which must hold."""
    return in_order({_pod_term(one, owner) for one in affinity.get(REQUIRED).items()})


def _pod_term(one: Field, owner: Owner) -> PodTerm:
    one.only(_TERM_FIELDS)
    return PodTerm(topology_key=_topology_key(one), pods=pods_meant(one, owner))


def _topology_key(one: Field) -> str:
    key = one.get("topologyKey").text()
    if not key:
        one.get("topologyKey").problem("nothing", "the key of a label of nodes")
    return key


def preferences(affinity: Field, owner: Owner) -> tuple[Preference, ...]:
    """The preferred terms of all three kinds of affinity; a node term that says nothing weighs nothing."""
    found: list[Preference] = []
    for one in affinity.get("nodeAffinity", PREFERRED).items():
        one.only(("weight", "preference"))
        weight, nodes = _weight(one), conjunction(selector_term(one.get("preference")))
        if nodes:
            found.append(Preference(weight=weight, nodes=nodes))
    for kind, against in (("podAffinity", False), ("podAntiAffinity", True)):
        for one in affinity.get(kind, PREFERRED).items():
            one.only(("weight", "podAffinityTerm"))
            pods = _pod_term(one.get("podAffinityTerm"), owner)
            found.append(Preference(weight=_weight(one), pods=pods, against=against))
    return in_order(found)


def _weight(one: Field) -> int:
    return _stated(one.get("weight"), GREATEST_WEIGHT)


def spreads(constraints: Field, owner: Owner) -> tuple[Spread, ...]:
    """The topologySpreadConstraints."""
    return in_order({_spread(one, owner) for one in constraints.items()})


def _spread(one: Field, owner: Owner) -> Spread:
    one.only(_SPREAD_FIELDS)
    return Spread(
        topology_key=_topology_key(one),
        max_skew=_stated(one.get("maxSkew"), _MOST),
        pods=pods_meant(one, owner),
        min_domains=_min_domains(one),
        required=_is_required(one.get("whenUnsatisfiable")),
        honors_affinity=one.get("nodeAffinityPolicy").choice(_POLICIES, "Honor") == "Honor",
        honors_taints=one.get("nodeTaintsPolicy").choice(_POLICIES, "Ignore") == "Honor",
    )


def _is_required(one: Field) -> bool:
    choices = ("DoNotSchedule", "ScheduleAnyway")
    if one.value is None:
        one.problem("nothing", f"one of {', '.join(choices)}")
    return one.choice(choices, "DoNotSchedule") == "DoNotSchedule"


def _min_domains(one: Field) -> int | None:
    stated = one.get("minDomains")
    if stated.value is None:
        return None
    if one.get("whenUnsatisfiable").value == "ScheduleAnyway":
        stated.problem(f"{stated.value!r} beside ScheduleAnyway"[:80], "minDomains with DoNotSchedule alone")
    return stated.integer(1, low=1)


def host_ports(containers: Iterable[Field], restarting: Iterable[Field], *, on_host: bool) -> tuple[HostPort, ...]:
    """The node's ports that containers, and init containers that keep running, take; `on_host`: each port they have."""
    ports = {
        found
        for container in (*containers, *restarting)
        for port in container.get("ports").items()
        for found in (_host_port(port, on_host),)
        if found is not None
    }
    return in_order(ports)


def _host_port(one: Field, on_host: bool) -> HostPort | None:
    one.only(("name", "containerPort", "hostPort", "hostIP", "protocol"))
    inside = one.get("containerPort").integer(0, high=GREATEST_PORT)
    port = one.get("hostPort").integer(0, high=GREATEST_PORT) or (inside if on_host else 0)
    protocol = one.get("protocol").choice(_PROTOCOLS, "TCP")
    address = one.get("hostIP").text() or ANY_ADDRESS
    return HostPort(port=port, protocol=protocol, address=address) if port else None


def _stated(one: Field, most: int) -> int:
    """A whole number from 1 that must be there."""
    if one.value is None:
        one.problem("nothing", f"a whole number from 1 to {most}")
    return one.integer(1, low=1, high=most)
