"""Worker groups that are alternatives to each other, as annotations on their templates say.

``raypipe.io/alternatives: NAME`` puts a group into the set NAME of its Ray object, ``raypipe.io/speed`` says what one
replica of it does beside one of speed 1. `raypipe.manifests.requested` makes the sets.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, DecimalException

from raypipe.manifests.fields import Field, said
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.model.alternatives import WORK_UNIT

ALTERNATIVES = "raypipe.io/alternatives"
SPEED = "raypipe.io/speed"
FASTEST = 100_000
"""The greatest speed: work, speeds times replicas, is added up in 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What makes a worker group an alternative to others.

    Attributes:
        name: of the set. speed_millionths: work of a replica. group: the group where its replicas are written.
        hosts, low, high, replicas: as read there; replicas within the bounds.
    """

    name: str
    speed_millionths: int
    group: Field
    hosts: int = 1
    low: int = 0
    high: int = 0
    replicas: int = 0

    @property
    def group_name(self) -> str:
        return str(self.group.plain("groupName"))

    @property
    def index(self) -> int:
        """Its place in workerGroupSpecs."""
        return int(self.group.steps[-1])


def mark_of(group: Field, there: Field | None, written: Collection[str] = ()) -> Mark | None:
    """The mark of a worker group, or None.

    there: the same group in the RayCluster that its object has made. written: groups that raypipe has written to; one
    that is no alternative any more is marked by itself.
    """
    annotations = group.get("template", "metadata", "annotations")
    speed = _speed(annotations.get(SPEED))
    name = annotations.get(ALTERNATIVES)
    if name.value is None:
        own = str(group.plain("groupName"))
        return Mark(name=f"worker/{own}", speed_millionths=WORK_UNIT, group=there or group) if own in written else None
    text = name.word().strip()
    if not text or "/" in text:
        name.problem(said(name.value), "a name, the same on each group that can stand for another")
        return None
    return Mark(name=text, speed_millionths=speed, group=there or group)


def _speed(one: Field) -> int:
    """Millionths of a unit of work; 1 where nothing is said."""
    if one.value is None:
        return WORK_UNIT
    text = str(one.value).strip() if isinstance(one.value, str | int | float) and one.value is not True else ""
    try:
        speed = Decimal(text) * WORK_UNIT
    except DecimalException:
        speed = Decimal(0)
    if not speed.is_finite() or not 1 <= speed <= FASTEST * WORK_UNIT or speed != speed.to_integral_value():
        one.problem(said(one.value), f"a number above 0 and up to {FASTEST}, such as '0.45', with at most 6 decimals")
        return WORK_UNIT
    return int(speed)


def made_cluster_of(one: KubeObject, objects: Objects) -> KubeObject | None:
    """The RayCluster that a RayJob or RayService has made: the one that its status names, else the first."""
    if one.kind == "RayCluster":
        return None
    made = [made for made in objects.of("RayCluster") if objects.owner_of(made) is one and not made.deleting]
    status = one.status.get("activeServiceStatus") if one.kind == "RayService" else one.status
    named = status.plain("rayClusterName")
    return next((cluster for cluster in made if cluster.name == named), made[0] if made else None)
