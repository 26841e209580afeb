"""Nodes that exist or are on their way: what they hold, and whether they take demand.

A NodeClaim is a node on its way until it is up: it has a price and room, and pods that it was bought for. Claims that
raypipe made count as room, so that nothing is bought twice; claims of others keep their price and take no demand,
because others have bought them for pods that they know. A claim that is being deleted brings no node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.manifests.requirements import NODE_NAME, requirements, taints
from raypipe.model.actions import REMOVING
from raypipe.model.meant import MEANT_PODS
from raypipe.model.nodes import BEING_DELETED, Node
from raypipe.model.requirements import HOSTNAME, OWN_CLUSTER, Operator, Taint
from raypipe.model.resources import Resources

STARTING = "raypipe.io/starting"
CORDONED = "raypipe.io/cordoned"

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_UP = "Initialized"
"""The condition of a claim whose node is ready and shows all that it was bought for."""

UNREGISTERED = "karpenter.sh/unregistered"
"""Taint under which a node of Karpenter's starts, until that takes it over."""

_PASSING = ("node.kubernetes.io/not-ready", "node.kubernetes.io/uninitialized", UNREGISTERED)
"""Taints that a node loses once it is up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A Node, the NodeClaim that it was bought by, or both; called as the Node is where there is one."""

    node: KubeObject | None = None
    claim: KubeObject | None = None

    @property
    def name(self) -> str:
        return self._first.name

    @property
    def own(self) -> bool:
        """Whether raypipe bought it; a Node gets its claim's labels when it registers, and not before."""
        return any(one.label(OWN_CLUSTER) is not None for one in self._both)

    @property
    def coming(self) -> bool:
        """Whether it is still on its way."""
        return self.claim is not None and not self.claim.condition(_UP)

    @property
    def deleting(self) -> bool:
        return any(one.deleting for one in self._both)

    @property
    def is_filling(self) -> bool:
        """Whether raypipe keeps others off its node until the pods that it was bought for are bound."""
        if self.node is None or not self.own:
            return False
        keys = (one.get("key").value for one in self.node.spec.get("taints").items())
        return self.node.annotation(CORDONED) is not None or STARTING in keys

    @property
    def is_orphaned(self) -> bool:
        """Whether its node started for a claim that is gone: nobody will take it over, and Karpenter will end it."""
        if self.node is None or self.claim is not None:
            return False
        return any(one.get("key").value == UNREGISTERED for one in self.node.spec.get("taints").items())

    @property
    def is_open(self) -> bool:
        """Whether its node says that it is up, and the scheduler may put there what it likes."""
        node = self.node
        if node is None or self.coming or self.is_filling or node.spec.get("unschedulable").boolean():
            return False
        states = [one.get("status").value for one in node.status.get("conditions").items() if _is_ready(one.value)]
        return states == ["True"]

    @property
    def is_being_removed(self) -> bool:
        """Whether raypipe is emptying it in order to give it back."""
        return self.node is not None and self.node.annotation(REMOVING) is not None

    @property
    def meant(self) -> Field | None:
        """The annotation that names the pods it was bought for, or None."""
        stated = (one for one in self._both if one.annotation(MEANT_PODS) is not None)
        return next((one.annotations.get(MEANT_PODS) for one in stated), None)

    @property
    def _both(self) -> tuple[KubeObject, ...]:
        return tuple(one for one in (self.node, self.claim) if one is not None)

    @property
    def _first(self) -> KubeObject:
        return self._both[0]


def machines_of(objects: Objects) -> list[Machine]:
    """Every Node with its claim, and every claim that will have one, in order of name."""
    nodes = {one.name: one for one in objects.of("Node")}
    by_machine = {text: one for one in nodes.values() if (text := _provider_id(one.spec))}
    claims: dict[str, KubeObject] = {}
    made: list[Machine] = []
    for claim in objects.of("NodeClaim"):
        node = nodes.get(claim.status.get("nodeName").text()) or by_machine.get(_provider_id(claim.status))
        if node is not None:
            claims[node.name] = claim
        elif not claim.deleting:
            made.append(Machine(claim=claim))
    made += [Machine(node=node, claim=claims.get(name)) for name, node in nodes.items()]
    return sorted(made, key=lambda one: one.name)


def _provider_id(field: Field) -> str:
    return field.get("providerID").text()


def read_node(machine: Machine) -> Node:
    """A node; it takes no demand where it is cordoned by others, not ready, being deleted or another's to come.

    The taints under which raypipe itself brings a node up are there to keep others off until its pods are bound, and a
    node on its way loses others once it is up: they are no taints to a plan.
    """
    node, claim = machine.node, machine.claim
    both = tuple(one for one in (claim, node) if one is not None)
    labels = {HOSTNAME: machine.name}
    for one in both:
        labels |= _claimed(one) if one is claim else {}
        labels |= one.labels.labels()
    labels[NODE_NAME] = machine.name
    amounts = {name: _together(machine, name) for name in ("capacity", "allocatable")}
    why_closed = _why_closed(machine)
    return Node(
        name=machine.name,
        uid=node.uid if node is not None else None,
        labels=labels,
        capacity=amounts["capacity"] or amounts["allocatable"],
        allocatable=amounts["allocatable"] or amounts["capacity"],
        taints=tuple(taint for taint in _taints(machine) if not _passes(taint, machine)),
        open=not why_closed,
        why_closed=why_closed,
        own=machine.own,
        created=both[-1].created,
        coming=machine.coming or (machine.is_filling and not _is_up(machine)),
        filling=machine.is_filling,
        leaving=machine.is_being_removed,
    )


def _claimed(claim: KubeObject) -> dict[str, str]:
    """What a claim's requirements say of its labels: those that leave one value."""
    single = (one for one in requirements(claim.spec.get("requirements")) if one.operator is Operator.IN)
    return {one.key: one.values[0] for one in single if len(one.values) == 1}


def _together(machine: Machine, name: str) -> Resources:
    """Amounts of the Node; while it comes up, what it does not show yet (GPUs, above all) as its claim has it."""
    shown = _amounts(machine.node, name) if machine.node is not None else {}
    if machine.claim is None or not machine.coming:
        return shown
    promised = _amounts(machine.claim, name)
    return dict(sorted({**promised, **{key: amount for key, amount in shown.items() if amount}}.items()))


def _amounts(one: KubeObject, name: str) -> Resources:
    return {resource: amount.quantity(resource) for resource, amount in sorted(one.status.get(name).fields())}


def _taints(machine: Machine) -> Iterator[Taint]:
    one = machine.node or machine.claim
    return iter(taints(one.spec.get("taints")) if one is not None else ())


def _passes(taint: Taint, machine: Machine) -> bool:
    if (machine.coming or machine.is_filling) and taint.key in _PASSING:
        return True
    if taint.key == UNSCHEDULABLE and machine.node is not None and not machine.node.spec.get("unschedulable").boolean():
        return True  # it mirrors the field, and stays for a moment after a node was opened
    return machine.own and (taint.key == STARTING or (taint.key == UNSCHEDULABLE and _is_cordoned_by_us(machine)))


def _is_cordoned_by_us(machine: Machine) -> bool:
    return machine.own and machine.node is not None and machine.node.annotation(CORDONED) is not None


def _why_closed(machine: Machine) -> str:
    if machine.deleting:
        return BEING_DELETED
    if machine.is_being_removed:
        return "being removed"
    if machine.is_orphaned:
        return "its claim is gone"
    node = machine.node
    if node is not None and node.spec.get("unschedulable").boolean() and not _is_cordoned_by_us(machine):
        return "cordoned"
    if machine.coming:
        return "" if machine.own else "on its way, bought by another"
    if machine.is_filling or _is_up(machine):
        return ""
    return "not ready"


def _is_up(machine: Machine) -> bool:
    """Whether its node says Ready, or nothing of it (in a file, most likely)."""
    node = machine.node
    states = node.status.get("conditions").items() if node is not None else []
    ready = [state.get("status").value for state in states if _is_ready(state.value)]
    return all(status == "True" for status in ready)


def _is_ready(condition: object) -> bool:
    return isinstance(condition, dict) and condition.get("type") == "Ready"
