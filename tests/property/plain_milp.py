"""The best plan of at most 15 pods as one plain MILP, pods on nodes, without patterns, columns or shapes.

Letters: g groups of like pods (n_g pods), s nodes, of which some exist and as many as there are pods may be bought, j
kinds of node (c_j cents, C_jr capacity), r resources (d_gr request)::

    min Σ_s Σ_j c_j y_js
    Σ_s x_gs = n_g                                         each pod is on one node
    Σ_g d_gr x_gs <= Σ_j C_jr y_js   (C_sr where s exists) and has room there
    Σ_j y_js <= 1                                          a node is of one kind, or is not bought
    x_gs <= n_g Σ_{j admits g} y_js  (x_gs = 0 where an existing s does not admit g)
    x_gs <= n_g z_gs                                       z: some pod of g is there
    z_gs + z_hs <= 1, x_gs <= 1                            where g keeps apart from h, from itself
    Σ_{h meant} x_hs <= m + N (1 - z_gs)                   at most m pods meant where g spreads over hostnames
    Σ_j c_j y_js >= Σ_j c_j y_j,s+1                        of like nodes the dearest first

x integer, y and z binary. Rules over other keys than the hostname, ports, limits and admission are left out: the cases
ask for none, and everything fits.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulp

from raypipe.model.constraints import PodSelector, PodTerm, Spread
from raypipe.model.nodes import Node
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.requirements import CAPACITY_TYPE, HOSTNAME, Operator, Requirement, tolerated
from tests.property.constrained_cases import MIB, ZONES, Case, Kind

MOST_SEARCH_NODES = 200_000


@dataclass(frozen=True)
class Room:
    """What a node offers: cpu in millicores, memory in MiB, slots for pods; `node` and `stays` where it exists."""

    labels: Mapping[str, str]
    cpu_m: int
    mib: int
    slots: int
    cents: int
    node: Node | None = None
    stays: tuple[PodSpec, ...] = ()

    def admits(self, spec: PodSpec) -> bool:
        """Whether it may hold one such pod and has room for it."""
        if self.node is not None and not (self.node.open and tolerated(self.node.taints, spec.tolerations)):
            return False
        cpu_m, mib, slots = request(spec)
        return spec.selects(self.labels) and cpu_m <= self.cpu_m and mib <= self.mib and slots <= self.slots


def request(spec: PodSpec) -> tuple[int, int, int]:
    """Millicores, MiB and pod slots."""
    return spec.requests["cpu"], spec.requests["memory"] // MIB, 1


def least_cents(case: Case) -> int | None:
    """The optimum of the MILP, None where there is none; RuntimeError where the search was too long."""
    kinds = [_kind_room(kind, zone) for kind in case.kinds for zone in _zones_of(kind, case)]
    pods = sum(group.count for group in case.groups)
    return _Model(case.groups, kinds, [_node_room(node, case) for node in case.nodes], pods).solve()


def _zones_of(kind: Kind, case: Case) -> Sequence[str]:
    """Where it is to be had; one zone stands for all where the price is the same, since no rule looks at zones."""
    return case.zones[:1] if not kind.zone else [zone for zone in case.zones if zone == kind.zone]


def _kind_room(kind: Kind, zone: str) -> Room:
    return Room(kind.labels(zone), kind.cpu_m, kind.allocatable_mib, kind.pods, kind.cents)


def _node_room(node: Node, case: Case) -> Room:
    stays = [lot.spec for lot in case.bound if lot.node == node.name for _ in range(lot.count)]
    used = [request(spec) for spec in stays]
    return Room(
        labels=node.labels,
        cpu_m=node.allocatable["cpu"] - sum(cpu_m for cpu_m, _, _ in used),
        mib=node.allocatable["memory"] // MIB - sum(mib for _, mib, _ in used),
        slots=node.allocatable["pods"] - len(stays),
        cents=0,
        node=node,
        stays=tuple(stays),
    )


class _Model:
    """The model of the module's docstring."""

    def __init__(self, groups: Sequence[PodGroup], kinds: Sequence[Room], nodes: Sequence[Room], to_buy: int) -> None:
        self._groups, self._kinds = groups, kinds
        self._problem = pulp.LpProblem("plain", pulp.LpMinimize)
        self._placed: list[list[pulp.LpAffineExpression]] = []
        costs = []
        for s, room in enumerate(nodes):
            self._hold(f"e{s}", [room], [1])
        for s in range(to_buy):
            chosen = [self._problem.add_variable(f"y{s}_{j}", 0, 1, "Integer") for j in range(len(kinds))]
            self._problem.addConstraint(pulp.lpSum(chosen) <= 1, f"one_kind{s}")
            self._hold(f"b{s}", kinds, chosen)
            costs.append(pulp.lpSum(kind.cents * y for kind, y in zip(kinds, chosen, strict=True)))
        for s in range(to_buy - 1):
            self._problem.addConstraint(costs[s] >= costs[s + 1], f"dearest_first{s}")
        for g, group in enumerate(groups):
            self._problem.addConstraint(pulp.lpSum(row[g] for row in self._placed) == group.count, f"pods{g}")
        self._problem.setObjective(pulp.lpSum(costs))

    def _hold(self, name: str, rooms: Sequence[Room], chosen: Sequence[pulp.LpVariable | int]) -> None:
        """One node that is the room that is chosen: who may be there, how many, and beside whom."""
        problem, groups = self._problem, self._groups
        pods = [problem.add_variable(f"x{name}_{g}", 0, one.count, "Integer") for g, one in enumerate(groups)]
        some = [problem.add_variable(f"z{name}_{g}", 0, 1, "Integer") for g in range(len(groups))]
        self._placed.append(pods)
        for r, resource in enumerate(("cpu", "memory", "slots")):
            used = pulp.lpSum(request(one.spec)[r] * x for one, x in zip(groups, pods, strict=True))
            offered = pulp.lpSum(
                (room.cpu_m, room.mib, room.slots)[r] * y for room, y in zip(rooms, chosen, strict=True)
            )
            problem.addConstraint(used - offered <= 0, f"{resource}{name}")
        for g, one in enumerate(groups):
            admit = pulp.lpSum(y for room, y in zip(rooms, chosen, strict=True) if room.admits(one.spec))
            problem.addConstraint(pods[g] - one.count * admit <= 0, f"admitted{name}_{g}")
            problem.addConstraint(pods[g] - one.count * some[g] <= 0, f"some{name}_{g}")
            self._beside(f"{name}_{g}", one.spec, rooms[0].stays, pods, some, g)

    def _beside(
        self,
        name: str,
        spec: PodSpec,
        stays: Sequence[PodSpec],
        pods: Sequence[pulp.LpVariable],
        some: Sequence[pulp.LpVariable],
        g: int,
    ) -> None:
        """What pods of group g ask of those on their node, and those that stay there of them."""
        problem, groups = self._problem, self._groups
        barred = any(_keeps_off(other, spec) or _keeps_off(spec, other) for other in stays)
        if barred:
            problem.addConstraint(some[g] + 0 <= 0, f"barred{name}")
        for h, other in enumerate(groups):
            if _keeps_off(spec, other.spec):
                together = pods[g] + 0 if h == g else some[g] + some[h]
                problem.addConstraint(together <= 1, f"apart{name}_{h}")
        for i, spread in enumerate(spec.spread):
            meant = pulp.lpSum(x for one, x in zip(groups, pods, strict=True) if _means(spread.pods, one.spec))
            there = sum(_means(spread.pods, other) for other in stays)
            most = sum(one.count for one in groups) + there
            problem.addConstraint(meant + most * some[g] <= spread.max_skew - there + most, f"spread{name}_{i}")

    def solve(self) -> int | None:
        """Cents, recounted from the integers of the solution."""
        options = {"mip_max_nodes": MOST_SEARCH_NODES, "mip_rel_gap": 0.0, "output_flag": False}
        stats = self._problem.solve(pulp.HiGHS(msg=False, threads=1, **options))
        if stats.status_str == "Infeasible":
            return None
        if stats.status_str != "Optimal":
            raise RuntimeError(f"the MILP ended as {stats.status_str}")
        return round(stats.objective)


def _keeps_off(owner: PodSpec, other: PodSpec) -> bool:
    return any(_means(term.pods, other) for term in owner.pod_anti_affinity)


def _means(selector: PodSelector, spec: PodSpec) -> bool:
    return selector.matches(spec.namespace, spec.labels)


def random_case(seed: int, most_pods: int = 15) -> Case:
    """Up to five Deployments, half of which ask something of those on their node; everything fits somewhere."""
    draw = random.Random(seed)
    kinds = tuple(_kind(draw, number) for number in range(draw.randint(2, 4)))
    pods, groups = draw.randint(min(5, most_pods), most_pods), list[PodGroup]()
    while pods and len(groups) < 5:
        count = pods if len(groups) == 4 else draw.randint(1, pods)
        groups.append(_group(draw, "abcde"[len(groups)], count))
        pods -= count
    nodes = tuple(_node(f"node-{number}", draw.choice(kinds)) for number in range(draw.choice((0, 0, 1, 2))))
    bound = tuple(_bound(draw, node) for node in nodes if draw.random() < 0.7)
    return Case(kinds, tuple(groups), ZONES[:1], nodes, bound)


def _kind(draw: random.Random, number: int) -> Kind:
    """A kind of node; the first holds every pod, so that nobody is left out."""
    vcpu = draw.choice((4, 8)) if number == 0 else draw.choice((2, 4, 8))
    gib = vcpu * draw.choice((2, 4))
    cents = vcpu * draw.randint(8, 12) + gib + draw.randint(0, 9)
    capacity_type = "on-demand" if number == 0 else draw.choice(("spot", "on-demand"))
    pods = draw.choice((4, 58))
    return Kind(
        f"t{number}.x", vcpu, gib * 1024, vcpu * 1000 - 100, gib * 1024 - 512, pods, cents, capacity_type=capacity_type
    )


def _group(draw: random.Random, app: str, count: int) -> PodGroup:
    asked = draw.choice(("nothing", "nothing", "nothing", "apart", "spread", "keep-off"))
    spread = Spread(topology_key=HOSTNAME, max_skew=draw.choice((1, 2, 3)), pods=_apps(app, draw.choice((app, "a"))))
    apart = {"apart": app, "keep-off": draw.choice("abc")}.get(asked)
    spec = PodSpec(
        labels={"app": app},
        requests={
            "cpu": draw.choice((100, 300, 700, 900, 1300, 1900, 2500, 3300)),
            "memory": draw.choice((128, 700, 1500, 3000, 5000)) * MIB,
            "pods": 1,
        },
        node_selector={CAPACITY_TYPE: "on-demand"} if draw.random() < 0.3 else {},
        pod_anti_affinity=(PodTerm(topology_key=HOSTNAME, pods=_apps(apart)),) if apart is not None else (),
        spread=(spread,) if asked == "spread" else (),
    )
    return PodGroup(key=f"Deployment/default/{app}", spec=spec, count=count)


def _apps(*names: str) -> PodSelector:
    meant = Requirement(key="app", operator=Operator.IN, values=names)
    return PodSelector(namespaces=("default",), labels=(meant,))


def _node(name: str, kind: Kind) -> Node:
    return Node(
        name=name,
        labels=kind.labels(ZONES[0]) | {HOSTNAME: name},
        capacity={"cpu": kind.vcpu * 1000, "memory": kind.memory_mib * MIB},
        allocatable={"cpu": kind.cpu_m, "memory": kind.allocatable_mib * MIB, "pods": kind.pods},
    )


def _bound(draw: random.Random, node: Node) -> BoundPods:
    """A pod that takes some of the node, of a Deployment of the case or another."""
    app = draw.choice("abx")
    spec = PodSpec(
        labels={"app": app},
        requests={"cpu": draw.choice((300, 900, 1500)), "memory": 700 * MIB, "pods": 1},
        pod_anti_affinity=(PodTerm(topology_key=HOSTNAME, pods=_apps("a")),) if draw.random() < 0.2 else (),
    )
    return BoundPods(node=node.name, key=f"Pod/default/on-{node.name}", spec=spec)
