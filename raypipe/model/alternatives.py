"""One demand that several worker groups can serve: work, divided anew among the groups.

Worker groups of one Ray object that share ``raypipe.io/alternatives: NAME`` are a *set*. Its demand is work, Σ wish ×
speed over its groups, and a *division* gives each group so many replicas n_a with ::

    Σ_a speed_a n_a >= work          least_a <= n_a <= most_a

Four GPUs as 2 x 2 or 4 x 1, an L4 or a T4 at half its speed, amd64 or arm64 at nine tenths: each is two groups. Pods
that stay (bound ones, and those of another shape than the template) are part of their group's replicas whatever is
decided; only what is still wanted is divided.

Speeds are integers (millionths of a unit of work a replica), because work is summed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.workloads import Gang

WORK_UNIT = 1_000_000
"""Millionths in a unit of work: what one replica of speed 1 does."""

NO_BOUND = 2**31 - 1
"""maxReplicas where none is stated."""
REQUESTED = "raypipe.io/requested-replicas"
"""The annotation that keeps what an owner had asked for where raypipe has written since."""
BOUNDS = ("maxReplicas", "idleTimeoutSeconds", "priority")
"""What is written to a group whose replicas Ray's own autoscaler owns."""
GROUP_FIELDS = ("replicas", "minReplicas", *BOUNDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RayTarget:
    """The object whose ``workerGroupSpecs`` are written, and what must be known of it to do so.

    A RayJob's or RayService's groups are written where they count: in its RayCluster once it has one.

    Attributes:
        path: JSON pointer to the object's RayCluster spec, such as ``/spec/rayClusterSpec``.
        annotated: it has annotations, so that one can be added beside them.
        requested: its annotation ``raypipe.io/requested-replicas`` as it stands, or None.
        hurries: a group's ``idleTimeoutSeconds`` counts here. prefers: its ``priority`` does.
        idle_timeout_s: after which Ray's autoscaler removes an idle worker of a group that states none.
    """

    kind: str
    namespace: str
    name: str
    uid: str | None = None
    path: str = "/spec"
    annotated: bool = False
    requested: str | None = None
    hurries: bool = False
    prefers: bool = False
    idle_timeout_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGroup:
    """One worker group of a set.

    Attributes:
        name: its groupName. index: its place in workerGroupSpecs. pods: the key of its pods in plans. spec: one pod.
        hosts: pods of one replica. speed_millionths: work that one replica does.
        low, high: the owner's bounds. wish: replicas that the owner asks for.
        replicas: as the object has them now, within its bounds.
        stated: its numbers as the object states them, by field; one that is not stated is not in it.
        owners: what the owner had stated where raypipe has written since (None: nothing), by field.
        strategic: it has a scaleStrategy. to_delete: the workers named in it, None where it has no such list.
        gone: those of them that are gone.
        live: its live pods. staying: pods that stay whatever is decided.
        started: replicas that have such a pod, as far as labels tell.
        waiting: live pods without a node that may go, by name, those of one replica together.
    """

    name: str
    index: int
    pods: str
    spec: PodSpec
    hosts: int = 1
    speed_millionths: int = WORK_UNIT
    low: int = 0
    high: int = NO_BOUND
    wish: int = 0
    replicas: int = 0
    stated: Mapping[str, int] = field(default_factory=dict)
    owners: Mapping[str, int | None] = field(default_factory=dict)
    strategic: bool = False
    to_delete: tuple[str, ...] | None = None
    gone: tuple[str, ...] = ()
    live: int = 0
    staying: int = 0
    started: int = 0
    waiting: tuple[str, ...] = ()

    @property
    def kept(self) -> int:
        """Replicas that have pods that stay."""
        return max(self.started, -(-self.staying // self.hosts))

    @property
    def least(self) -> int:
        """Fewest replicas that a division may give it."""
        return max(self.low, self.kept)

    @property
    def most(self) -> int:
        """Most replicas that a division may give it."""
        return max(self.high, self.least)

    def owned(self, name: str) -> int | None:
        """What the owner states in a field, whatever raypipe has written there since; None: nothing."""
        return self.owners[name] if name in self.owners else self.stated.get(name)

    def to_place(self, replicas: int) -> int:
        """Pods of the template's shape that want a place where the group has so many replicas."""
        return max(0, replicas * self.hosts - self.staying)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternatives:
    """A set of worker groups that are one demand.

    Attributes:
        name: what the annotation says. owner: ``Kind/namespace/name`` of the Ray object, which is its gang's name, too.
        target: what is written. groups: in the object's order.
        autoscaling: Ray's own autoscaler owns the replicas; only bounds are written.
        created: creationTimestamp of the owner.
    """

    name: str
    owner: str
    target: RayTarget
    groups: tuple[WorkerGroup, ...]
    autoscaling: bool = False
    created: str | None = None

    @property
    def key(self) -> str:
        """What plans call it."""
        return f"{self.owner}/{self.name}"

    @property
    def work_millionths(self) -> int:
        """The work that is wanted."""
        return sum(group.wish * group.speed_millionths for group in self.groups)

    def covers(self, replicas: Sequence[int]) -> bool:
        """Whether a division does the work within the bounds."""
        within = all(g.least <= n <= g.most for g, n in zip(self.groups, replicas, strict=True))
        return within and self.work_of(replicas) >= self.work_millionths

    def work_of(self, replicas: Sequence[int]) -> int:
        """The work that a division does."""
        return sum(n * group.speed_millionths for group, n in zip(self.groups, replicas, strict=True))

    @property
    def standing(self) -> tuple[int, ...]:
        """The division as the object has it now."""
        return tuple(group.replicas for group in self.groups)


type Division = Mapping[str, Sequence[int]]
"""Replicas of each group of each set that is divided anew, by the set's key."""


def divided_demand(
    demand: Sequence[PodGroup], sets: Sequence[Alternatives], division: Division
) -> tuple[PodGroup, ...]:
    """The demand with the pods of each set as divided; groups that get none are left in it with a count of 0."""
    counts = {
        group.pods: (one, group, group.to_place(n))
        for one in sets
        if one.key in division
        for group, n in zip(one.groups, division[one.key], strict=True)
        if n != group.replicas
    }
    known = {group.key for group in demand}
    changed = [replace(group, count=counts[group.key][2]) if group.key in counts else group for group in demand]
    added = [
        PodGroup(key=key, spec=group.spec, count=count, gang=one.owner, created=one.created, owner=one.owner)
        for key, (one, group, count) in counts.items()
        if key not in known
    ]
    return tuple(sorted((*changed, *added), key=lambda group: group.key))


def divided_gangs(gangs: Sequence[Gang], sets: Sequence[Alternatives], division: Division) -> tuple[Gang, ...]:
    """The gangs with the members of each set as divided; with in-tree autoscaling a gang has the least of each group.

    A gang that is not admitted yet has no pods that stay but those of another shape, which are members of their own.
    """
    result = []
    for gang in gangs:
        minimum = dict(gang.minimum)
        for one in sets:
            if one.owner != gang.name or one.key not in division or one.autoscaling or gang.copies <= 0:
                continue
            for group, n in zip(one.groups, division[one.key], strict=True):
                if n != group.replicas:
                    minimum[group.pods] = group.to_place(n)
        result.append(replace(gang, minimum={key: n for key, n in sorted(minimum.items()) if n > 0}))
    return tuple(result)
