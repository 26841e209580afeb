"""Nodes that exist, and Karpenter NodePools."""

from __future__ import annotations

import re

import msgspec

from raypipe.errors import nearest
from raypipe.manifests.fields import Field, said
from raypipe.manifests.objects import KubeObject
from raypipe.manifests.requirements import requirements, taints
from raypipe.model.nodes import Node, NodePool
from raypipe.model.plan import Note
from raypipe.model.requirements import HOSTNAME, OWN_CLUSTER
from raypipe.model.resources import NODES, USD_PER_HOUR
from raypipe.quantities import parse_quantity, parse_usd_per_hour

STARTING = "raypipe.io/starting"
MANAGED = "raypipe.io/managed"
LIMITS = "raypipe.io/limits"
RESOURCE_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?")
KNOWN_LIMITS = ("cpu", "memory", "ephemeral-storage", "pods", "nvidia.com/gpu", NODES, USD_PER_HOUR)


def read_node(one: KubeObject) -> Node:
    """A Node; it takes no demand where it is cordoned, not ready or being deleted."""
    labels = one.labels.labels()
    labels.setdefault(HOSTNAME, one.name)
    capacity = {name: amount.quantity(name) for name, amount in one.status.get("capacity").fields()}
    allocatable = {name: amount.quantity(name) for name, amount in one.status.get("allocatable").fields()}
    why_closed = _why_closed(one)
    return Node(
        name=one.name,
        labels=labels,
        capacity=capacity or allocatable,
        allocatable=allocatable or capacity,
        taints=tuple(taint for taint in taints(one.spec.get("taints")) if taint.key != STARTING),
        open=not why_closed,
        why_closed=why_closed,
        own=OWN_CLUSTER in labels,
        created=one.created,
    )


def _why_closed(one: KubeObject) -> str:
    if one.deleting:
        return "being deleted"
    if one.spec.get("unschedulable").boolean():
        return "cordoned"
    for condition in one.status.get("conditions").items():
        if condition.get("type").value == "Ready" and condition.get("status").value != "True":
            return "not ready"
    return ""


def read_node_pool(one: KubeObject, notes: list[Note]) -> NodePool:
    """A NodePool with the limits that bind raypipe: on a managed pool those of its annotation, else `spec.limits`."""
    template = one.spec.get("template")
    spec = template.get("spec")
    managed = one.annotation(MANAGED) == "true"
    for requirement in spec.get("requirements").items():
        if requirement.get("minValues").value is not None:
            message = f"{one.name}: minValues is not kept; each node bought names one value"
            notes.append(Note(kind="unchecked-constraint", subject=f"NodePool/{one.name}", message=message))
            break
    return NodePool(
        name=one.name,
        requirements=requirements(spec.get("requirements")),
        labels=template.get("metadata", "labels").labels(),
        taints=taints(spec.get("taints")),
        weight=one.spec.get("weight").integer(0),
        limits=_annotated_limits(one) if managed else read_limits(one.spec.get("limits"), money=False),
        managed=managed,
        node_class=spec.get("nodeClassRef").labels(),
    )


def _annotated_limits(one: KubeObject) -> dict[str, int]:
    text = one.annotation(LIMITS)
    if text is None:
        return {}
    field = one.annotations.get(LIMITS)
    try:
        content = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        field.problem(f"{text[:60]!r} ({error})", 'a JSON mapping such as {"cpu": "1000"}')
        return {}
    return read_limits(Field(content, field.source, field.document, field.steps))


def read_limits(field: Field, *, money: bool = True) -> dict[str, int]:
    """Limits by resource, in smallest units; `usdPerHour` in nano-dollars."""
    limits: dict[str, int] = {}
    for name, amount in field.fields():
        if not RESOURCE_NAME.fullmatch(name) or ("/" not in name and name not in KNOWN_LIMITS):
            amount.problem(f"an unknown resource {name[:60]!r}", "a resource", nearest(name, KNOWN_LIMITS))
            continue
        if amount.value is None:
            amount.problem("nothing", "an amount")
            continue
        try:
            is_money = name == USD_PER_HOUR and money
            limits[name] = parse_usd_per_hour(amount.value) if is_money else parse_quantity(amount.value, name)
        except ValueError as error:
            found, _, expected = str(error).partition(", expected ")
            amount.problem(found or said(amount.value), expected)
    return dict(sorted(limits.items()))
