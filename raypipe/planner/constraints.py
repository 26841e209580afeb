"""What pods ask of each other, worked out once for a cluster: who asks, who is meant, and where bound pods stand.

Every anti-affinity term, spread constraint, affinity and host port that anybody has is an *ask*. A pod's *role* is the
asks that are its own and those that mean it; pods of one role are alike here. From asks and places (offerings, then
existing nodes) follow

* the places that a role is forbidden by pods that stay where they are;
* the rules of the packing problem (`raypipe.packing.rules`): an ask over hostnames that means its own pods alone is a
  cap; other asks over hostnames are `Apart` and `Beside`; asks over any other label are `DomainRule`s.

Definitions (kube-scheduler's, for the pods as they stand in the end): over hostnames the emptiest node counts as empty,
since a new one always can be; the domains of a spread are the values of its key among existing nodes and offerings that
count for it by its policies (selector and node affinity of the pod, taints; neither its size nor its volumes), since a
node may be bought there for others; bound pods count, terminating ones for anti-affinity and ports only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raypipe.model.constraints import HostPort, PodSelector, Spread
from raypipe.model.nodes import Offering
from raypipe.model.pods import BoundPods, DaemonSet, PodSpec
from raypipe.model.requirements import HOSTNAME, ZONE, Operator, admitted, tolerated
from raypipe.packing.arrays import Bools, Ints
from raypipe.packing.rules import Apart, Beside, DomainRule, Form
from raypipe.planner.rooms import Room

ENDLESS = 2**31


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing that pods ask: `form` "apart", "together", "spread" or "port", within domains of `key`.

    selectors: pods that are meant match all of them (a port means pods with a port that conflicts).
    """

    form: str
    key: str
    selectors: tuple[PodSelector, ...] = ()
    spread: Spread | None = None
    port: HostPort | None = None

    def means(self, spec: PodSpec) -> bool:
        if self.port is not None:
            return any(self.port.conflicts_with(port) for port in spec.host_ports)
        return all(one.matches(spec.namespace, spec.labels) for one in self.selectors)

    @property
    def family(self) -> str:
        """What `Bound.left_out` calls it."""
        spread = "zone-spread" if self.key == ZONE else "topology-spread"
        words = {"spread": spread, "apart": "pod-anti-affinity", "together": "pod-affinity", "port": "host-ports"}
        return words[self.form]

    def __str__(self) -> str:
        if self.port is not None:
            return f"host port {self.port.port}/{self.port.protocol}"
        pods = " that are ".join(str(one) for one in self.selectors)
        name = {"apart": "pod anti-affinity to", "together": "pod affinity to", "spread": "topology spread over"}
        skew = f", maxSkew {self.spread.max_skew}" if self.spread is not None else ""
        skew += f", minDomains {self.spread.min_domains}" if self.spread and self.spread.min_domains else ""
        return f"{name[self.form]} {pods} ({self.key}{skew})"


def asks_of(spec: PodSpec) -> list[Ask]:
    asks = [Ask("apart", term.topology_key, (term.pods,)) for term in spec.pod_anti_affinity]
    asks += [Ask("spread", one.topology_key, (one.pods,), spread=one) for one in spec.spread if one.required]
    together = tuple(term.pods for term in spec.pod_affinity)
    asks += [Ask("together", key, together) for key in dict.fromkeys(term.topology_key for term in spec.pod_affinity)]
    asks += [Ask("port", HOSTNAME, port=port) for port in spec.host_ports]
    return list(dict.fromkeys(asks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Asks that are a pod's own, and those that mean it, by number."""

    own: tuple[int, ...] = ()
    meant: tuple[int, ...] = ()


NO_ROLE = Role()


class Roles:
    """The asks of a cluster's pods, over the places where pods can go."""

    def __init__(
        self,
        wanted: Iterable[PodSpec],
        fixed: Sequence[BoundPods],
        offerings: Sequence[Offering],
        nodes: Sequence[Room],
        *,
        nodes_exist: bool = True,
        daemonsets: Sequence[DaemonSet] = (),
        asked: Callable[[PodSpec], Sequence[Ask]] | None = None,
    ) -> None:
        """`fixed` are the bound pods that stay. nodes_exist: False where a plan is made as if there were no node.

        asked: the asks of a pod that are looked at; None: those that a plan has to keep.
        Of `daemonsets`, whose pods come to every node that they select and tolerate, ports alone are looked at.
        """
        specs = list({id(spec): spec for spec in wanted}.values())
        self._asked = asked or asks_of
        self._offerings, self._nodes, self._nodes_exist = offerings, nodes, nodes_exist
        self._number_of_node = {room.name: len(offerings) + n for n, room in enumerate(nodes)}
        self._fixed = [one for one in fixed if one.node in self._number_of_node]
        self._daemonsets = [one for one in daemonsets if one.spec.host_ports]
        everybody = [*specs, *(one.spec for one in self._fixed)]
        self._asks = list(dict.fromkeys(ask for spec in everybody for ask in self._asked(spec)))
        self._numbers = {ask: number for number, ask in enumerate(self._asks)}
        self._roles: dict[int, Role] = {}
        self._kept: list[PodSpec] = []
        self._by_label = self._indexed()
        self._fixed_roles = [self.of(one.spec) for one in self._fixed] if self._asks else []
        self._meant_by_new = {number for spec in specs for number in self.of(spec).meant} if self._asks else set()
        self._forbidden: dict[Role, Bools] = {}

    @property
    def any(self) -> bool:
        """Whether anybody asks anything."""
        return bool(self._asks)

    def _indexed(self) -> tuple[dict[tuple[str, str], list[int]], list[int]]:
        """Asks by a label that every pod they mean has; those without one."""
        by_label: dict[tuple[str, str], list[int]] = {}
        others: list[int] = []
        for number, ask in enumerate(self._asks):
            labels = [one for selector in ask.selectors for one in selector.labels or ()]
            plain = next((one for one in labels if one.operator is Operator.IN and len(one.values) == 1), None)
            if plain is None:
                others.append(number)
            else:
                by_label.setdefault((plain.key, plain.values[0]), []).append(number)
        return by_label, others

    def of(self, spec: PodSpec) -> Role:
        """The role of a pod."""
        if not self._asks:
            return NO_ROLE
        known = self._roles.get(id(spec))
        if known is None:
            by_label, others = self._by_label
            near = [*others, *(number for item in spec.labels.items() for number in by_label.get(item, ()))]
            own = tuple(sorted(self._numbers[ask] for ask in self._asked(spec)))
            meant = tuple(sorted(number for number in near if self._asks[number].means(spec)))
            known = self._roles[id(spec)] = Role(own=own, meant=meant)
            self._kept.append(spec)
        return known

    def told(self, spec: PodSpec) -> str:
        """What a pod asks, or is asked, in words."""
        role = self.of(spec)
        words = [self._said(self._asks[number]) for number in role.own]
        words += [f"{self._asks[number]} of another pod" for number in role.meant if number not in role.own]
        return " and ".join(dict.fromkeys(words))

    def _said(self, ask: Ask) -> str:
        takers = [one.key for one in self._daemonsets if ask.port is not None and ask.means(one.spec)]
        return f"{ask} (which {' and '.join(takers)} takes)" if takers else str(ask)

    def hopeless(self, spec: PodSpec) -> str:
        """What a pod asks that is kept nowhere, whoever else is placed, and why; "" where no single ask is to blame."""
        for number in self.of(spec).own:
            ask = self._asks[number]
            if ask.port is None and all(value is None for value in self._values(ask.key)) and ask.form != "apart":
                return f"{ask}: no node has the label {ask.key}"
            if ask.form == "together" and self._is_lonely(number, meant=number in self.of(spec).meant):
                return f"{ask}: no such pod is bound or planned"
        return ""

    def _is_lonely(self, number: int, *, meant: bool) -> bool:
        """Whether nobody there or planned is meant by an ask, the pod itself included."""
        return not meant and number not in self._meant_by_new and not self.standing(number, own=False).any()

    def ask(self, number: int) -> Ask:
        """The ask of a number."""
        return self._asks[number]

    def families(self, specs: Iterable[PodSpec]) -> list[str]:
        """The families of asks that a bound of the packing leaves out, by name; it knows caps on a node."""
        roles = {self.of(spec) for spec in specs}
        asked = {number for role in roles for number in role.own}
        return sorted({self._asks[number].family for number in asked if not self._is_cap(number, roles)})

    def _is_cap(self, number: int, roles: Iterable[Role]) -> bool:
        """Whether an ask is about nodes, and about the pods that ask it and no others."""
        ask = self._asks[number]
        if ask.key != HOSTNAME or ask.form == "together":
            return False
        return all((number in role.own) == (number in role.meant) for role in roles)

    # where bound pods stand

    @cached_property
    def labels(self) -> list[Mapping[str, str]]:
        """The labels of each place, (places,); of existing nodes none where none is taken to exist."""
        labels = [room.existing.node.labels if self._nodes_exist else {} for room in self._nodes]
        return [*(one.labels for one in self._offerings), *labels]

    def _values(self, key: str) -> np.ndarray:
        """The value of a label at each place, (places,) of text or None; at an offering a hostname is its own."""
        if key not in self._value_cache:
            values: list[object] = [labels.get(key) for labels in self.labels]
            if key == HOSTNAME:
                values = list(range(len(values)))
            self._value_cache[key] = np.array(values, dtype=object)
        return self._value_cache[key]

    @cached_property
    def _value_cache(self) -> dict[str, np.ndarray]:
        return {}

    def standing(self, number: int, *, own: bool) -> Ints:
        """Bound pods that an ask means (or whose own it is) at each place, (places,)."""
        ask = self._asks[number]
        counts = np.zeros(len(self.labels), dtype=np.int64)
        for one, role in zip(self._fixed, self._fixed_roles, strict=True):
            if number in (role.own if own else role.meant) and not (ask.form == "spread" and one.terminating):
                counts[self._number_of_node[one.node]] += one.count
        for daemonset in self._daemonsets if ask.port is not None else ():
            if ask.means(daemonset.spec):
                counts += self._comes_to(daemonset)
        return counts

    def _comes_to(self, daemonset: DaemonSet) -> Bools:
        """Places to which a pod of a DaemonSet comes that is not there yet, (places,)."""
        there = {one.node for one in self._fixed if one.daemonset == daemonset.key}
        for_sale = [daemonset.spec.may_run_on(one.labels, one.taints) for one in self._offerings]
        existing = [
            room.name not in there and daemonset.spec.may_run_on(room.existing.node.labels, room.existing.node.taints)
            for room in self._nodes
        ]
        return np.array(for_sale + existing, dtype=bool)

    def forbidden(self, spec: PodSpec) -> Bools | None:
        """Where pods that stay keep a pod away, (places,); None: nowhere."""
        role = self.of(spec)
        if role == NO_ROLE:
            return None
        if role not in self._forbidden:
            forbidden: Bools = np.zeros(len(self.labels), dtype=bool)
            for number in role.own:
                forbidden |= self._kept_away_by_own(number, meant=number in role.meant)
            for number in role.meant:
                if self._asks[number].form == "apart":
                    forbidden |= self._same_domain(number, self.standing(number, own=True) > 0)
            self._forbidden[role] = forbidden
        return self._forbidden[role]

    def _kept_away_by_own(self, number: int, *, meant: bool) -> Bools:
        ask = self._asks[number]
        standing = self.standing(number, own=False)
        homeless: Bools = np.array([value is None for value in self._values(ask.key)], dtype=bool)
        if ask.form in ("apart", "port"):
            return self._same_domain(number, standing > 0)
        if ask.form == "together":
            return np.ones_like(homeless) if self._is_lonely(number, meant=meant) else homeless
        assert ask.spread is not None
        if ask.key == HOSTNAME:
            return standing + int(meant) > ask.spread.max_skew
        return homeless

    def _same_domain(self, number: int, places: Bools) -> Bools:
        """Places in the domains of an ask's key that hold one of `places`."""
        if not places.any():
            return places
        values = self._values(self._asks[number].key)
        held = {value for value in values[places] if value is not None}
        return np.array([value in held for value in values], dtype=bool)

    # rules for packing

    def rules(self, specs: Sequence[PodSpec]) -> PlaceRules:
        """The rules that pods of these shapes ask."""
        roles = [self.of(spec) for spec in specs]
        rules = PlaceRules(len(self.labels))
        asked = sorted({number for role in roles for number in role.own})
        for number in asked:
            owners = np.array([number in role.own for role in roles], dtype=bool)
            members = np.array([number in role.meant for role in roles], dtype=bool)
            self._add(rules, number, owners, members, specs)
        return rules

    def _add(self, rules: PlaceRules, number: int, owners: Bools, members: Bools, specs: Sequence[PodSpec]) -> None:
        ask = self._asks[number]
        standing = self.standing(number, own=False)
        if ask.form == "spread" and ask.key != HOSTNAME:
            for same in alike(owners, specs):
                self._add_spread(rules, number, same, members, specs, standing)
        elif ask.form == "together":
            seed = not standing.any()
            if ask.key == HOSTNAME:
                rules.beside.append(Beside(owners=owners, members=members, held=standing > 0, seed=seed))
            else:
                domain, base, _ = self.domains(ask.key, standing)
                rules.domains.append(_rule(Form.TOGETHER, owners, members, domain, base, seed=seed))
        elif ask.key == HOSTNAME:
            most = 1 if ask.spread is None else ask.spread.max_skew
            for both in (True, False):
                some = owners & (members if both else ~members)
                if some.any():
                    rules.add_on_node(some, members, standing, most if both or ask.spread is not None else 0)
        else:
            domain, base, _ = self.domains(ask.key, standing)
            for both in (True, False):
                some = owners & (members if both else ~members)
                if some.any() and members.any():
                    rules.domains.append(_rule(Form.APART, some, members, domain, base, most=int(both)))

    def domains(self, key: str, standing: Ints) -> tuple[Ints, Ints, dict[object, int]]:
        """The number of each place's domain, (places,), bound pods by domain, and the numbers."""
        if key not in self._domain_cache:
            values = self._values(key)
            numbers = {value: n for n, value in enumerate(sorted({value for value in values if value is not None}))}
            domain = np.array([numbers.get(value, -1) for value in values], dtype=np.int64)
            self._domain_cache[key] = (domain, numbers)
        domain, numbers = self._domain_cache[key]
        base = np.zeros(len(numbers), dtype=np.int64)
        within = domain >= 0
        np.add.at(base, domain[within], standing[within])
        return domain, base, numbers

    @cached_property
    def _domain_cache(self) -> dict[str, tuple[Ints, dict[object, int]]]:
        return {}

    def _add_spread(
        self,
        rules: PlaceRules,
        number: int,
        owners: Bools,
        members: Bools,
        specs: Sequence[PodSpec],
        standing: Ints,
    ) -> None:
        spread = self._asks[number].spread
        assert spread is not None
        first = int(np.flatnonzero(owners)[0])
        counted = self.counted(spread, specs[first])
        domain, base, numbers = self.domains(spread.topology_key, np.where(counted, standing, 0))
        eligible = np.zeros(len(numbers), dtype=bool)
        eligible[domain[counted & self.may_exist & (domain >= 0)]] = True
        few = int(eligible.sum()) < (spread.min_domains or 1)
        rules.domains.append(
            _rule(
                Form.SPREAD,
                owners,
                members,
                np.where(counted, domain, -1),
                base,
                eligible=eligible,
                most=spread.max_skew,
                floor_zero=few,
            )
        )

    def counted(self, spread: Spread, spec: PodSpec) -> Bools:
        """Whether pods at each place count for a spread of this pod, (places,)."""
        counted: Bools = np.ones(len(self.labels), dtype=bool)
        if spread.honors_taints:
            taints = [*(one.taints for one in self._offerings), *(room.existing.node.taints for room in self._nodes)]
            counted &= np.array([tolerated(one, spec.tolerations) for one in taints], dtype=bool)
        if spread.honors_affinity:
            counted &= self._selected(spec)
        return counted

    @cached_property
    def may_exist(self) -> Bools:
        """Places where there is a node or can be one now, (places,)."""
        for_sale = [not one.unavailable for one in self._offerings]
        return np.array(for_sale + [self._nodes_exist] * len(self._nodes), dtype=bool)

    def _selected(self, spec: PodSpec) -> Bools:
        """Places whose labels a pod's selector and node affinity admit, each set of labels looked at once."""
        keys = sorted({*spec.node_selector, *(part.key for term in spec.node_affinity for part in term)})
        if not keys and not spec.node_affinity:
            return np.ones(len(self.labels), dtype=bool)
        choice = (tuple(sorted(spec.node_selector.items())), spec.node_affinity)
        if choice not in self._selected_cache:
            known: dict[tuple[str | None, ...], bool] = {}
            selected = []
            for labels in self.labels:
                mark = tuple(labels.get(key) for key in keys)
                if mark not in known:
                    known[mark] = admitted(labels, spec.node_selector, spec.node_affinity)
                selected.append(known[mark])
            self._selected_cache[choice] = np.array(selected, dtype=bool)
        return self._selected_cache[choice]

    @cached_property
    def _selected_cache(self) -> dict[object, Bools]:
        return {}


def alike(owners: Bools, specs: Sequence[PodSpec]) -> list[Bools]:
    """Owners by what they select and tolerate, since that makes the domains of their spread."""
    groups: dict[object, Bools] = {}
    for k in np.flatnonzero(owners).tolist():
        spec = specs[k]
        mark = (tuple(sorted(spec.node_selector.items())), spec.node_affinity, spec.tolerations)
        groups.setdefault(mark, np.zeros_like(owners))[k] = True
    return list(groups.values())


def _rule(
    form: Form,
    owners: Bools,
    members: Bools,
    domain: Ints,
    base: Ints,
    *,
    eligible: Bools | None = None,
    most: int = 0,
    floor_zero: bool = False,
    seed: bool = False,
) -> DomainRule:
    return DomainRule(
        form=form,
        owners=owners,
        members=members,
        domain=domain,
        base=base,
        eligible=np.ones(len(base), dtype=bool) if eligible is None else eligible,
        most=most,
        floor_zero=floor_zero,
        seed=seed,
    )


class PlaceRules:
    """Rules over places; `on` gives them for the kinds of a problem.

    caps: members (K,) and most a place; their own pods alone ask for it.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self.caps: list[tuple[Bools, Ints]] = []
        self.apart: list[Apart] = []
        self.beside: list[Beside] = []
        self.domains: list[DomainRule] = []

    def add_on_node(self, owners: Bools, members: Bools, standing: Ints, most: int) -> None:
        """At most `most` members on a node with an owner, bound ones included."""
        left = most - standing
        if not members.any():
            return
        if not (members & ~owners).any() and not (owners & ~members).any():
            self.caps.append((members, np.maximum(left, 0)))
        else:
            self.apart.append(Apart(owners=owners, members=members, most=left))

    def marks(self) -> list[bytes]:
        """What tells places apart under these rules, one a place."""
        asked = [most for _, most in self.caps] + [rule.most for rule in self.apart]
        asked += [rule.held.astype(np.int64) for rule in self.beside] + [rule.domain for rule in self.domains]
        columns = np.array(asked, dtype=np.int64).reshape(len(asked), self._places)
        return [row.tobytes() for row in np.ascontiguousarray(columns.T)]

    def cells(self, places: Ints) -> Ints:
        """Numbers that are equal where places lie in the same domain of every rule; empty without rules."""
        if not self.domains:
            return np.zeros(0, dtype=np.int64)
        domains = np.array([rule.domain[places] for rule in self.domains]).T
        cells: Ints = np.unique(domains, axis=0, return_inverse=True)[1].astype(np.int64).ravel()
        return cells
