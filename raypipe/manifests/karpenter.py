"""Karpenter's NodePools: what may be bought through each, by whom, and what its nodes carry."""

from __future__ import annotations

import msgspec

from raypipe.manifests.annotations import refuse_misspelt
from raypipe.manifests.fields import Field
from raypipe.manifests.limits import read_limits
from raypipe.manifests.objects import KubeObject
from raypipe.manifests.requirements import requirements, taints
from raypipe.model.nodes import NodePool
from raypipe.model.plan import Note

MANAGED = "raypipe.io/managed"
LIMITS = "raypipe.io/limits"


def read_node_pool(one: KubeObject, notes: list[Note]) -> NodePool:
    """A NodePool with the limits that bind raypipe: on a managed pool those of its annotation, else `spec.limits`.

    `startupTaints` are gone by the time pods are placed, so they are no taints of the pool's nodes.
    """
    refuse_misspelt(one.annotations)
    template = one.spec.get("template")
    spec = template.get("spec")
    managed = one.annotation(MANAGED) == "true"
    limits = one.spec.get("limits")
    dynamic = not one.deleting and one.spec.get("replicas").value is None
    silenced = managed or 0 in read_limits(limits, money=False).values()
    note_min_values(spec.get("requirements"), one.key, notes)
    return NodePool(
        name=one.name,
        requirements=requirements(spec.get("requirements")),
        labels=template.get("metadata", "labels").labels(),
        taints=taints(spec.get("taints")),
        weight=one.spec.get("weight").integer(0),
        limits=_annotated_limits(one) if managed else read_limits(limits, money=False),
        managed=managed,
        node_class=spec.get("nodeClassRef").labels(),
        dynamic=dynamic,
        open=dynamic and not silenced,
    )


def note_min_values(requirements: Field, subject: str, notes: list[Note]) -> None:
    """Say that `minValues` are not kept."""
    if any(one.get("minValues").value is not None for one in requirements.items()):
        message = f"{subject}: minValues is not kept; each node bought names one value"
        notes.append(Note(kind="unchecked-constraint", subject=subject, message=message))


def _annotated_limits(one: KubeObject) -> dict[str, int]:
    text = one.annotation(LIMITS)
    if text is None:
        return {}
    field = one.annotations.get(LIMITS)
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        field.problem(f"{text[:60]!r} ({error})", 'a JSON mapping such as {"cpu": "1000"}')
        return {}
    return read_limits(Field(content, field.source, field.document, field.steps))
