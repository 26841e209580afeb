"""The keys that pods count under: one a pod, that of its topmost owner, and what is known of each while counting.

Demand of a key = its live unbound pods + max(0, wanted - live pods). Pods of one key but another shape than its
template (a rollout) count beside the others, under the key with ``@`` and 8 hex digits of the shape's digest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec

from raypipe.manifests.kuberay import KINDS as RAY_KINDS
from raypipe.manifests.kuberay import part_of
from raypipe.manifests.objects import WORKLOADS, KubeObject, Objects
from raypipe.model.pods import PodSpec


@dataclass(slots=True)
class Member:
    """A live pod of a worker group.

    Attributes:
        replica: the replica of several hosts that it is of, as its label says, or "".
        waits: it is of the template's shape, and no node has it or is on its way for it.
    """

    replica: str
    waits: bool


@dataclass(slots=True)
class Key:
    """One key.

    Attributes:
        owner: ``Kind/namespace/name`` of the topmost owner. created: its creationTimestamp; of an owner that the input
            lacks, the earliest of its pods'.
        template: as its owner has it; without one, the first pod's. wanted: how many in all.
        closed: an `Excluded` reason why pods that are still to be created are not planned, or None.
        gang: the gang that its first pods belong to.
        own: of wanted pods, those whose specification is their own and not the template's, by name of the pod.
        live: live pods. bound: of them, those bound to a node. unbound: those to be placed, by id of specification;
            wanted pods with a specification of their own are live once all pods are counted.
        members: its live pods by name; None: nobody asks for them.
        surplus: live pods that are not counted any more, since more wait than are wanted (`drop_surplus`).
    """

    key: str
    owner: str
    template: PodSpec | None = None
    wanted: int = 0
    closed: str | None = None
    created: str | None = None
    gang: str | None = None
    own: dict[str, PodSpec] = field(default_factory=dict)
    live: int = 0
    bound: int = 0
    unbound: Counter[int] = field(default_factory=Counter)
    members: dict[str, Member] | None = None
    surplus: int = 0

    @property
    def missing(self) -> int:
        """Pods still to be created."""
        return max(0, self.wanted - self.live)

    def drop_surplus(self) -> None:
        """Count no pods of the template's shape that wait beyond what is wanted: they are about to be deleted."""
        mark = id(self.template)
        self.surplus = max(0, min(self.unbound[mark], self.live - self.wanted))
        if self.surplus:
            self.unbound[mark] -= self.surplus
            self.live -= self.surplus


class Keys:
    """All keys of a cluster, and the specifications that occur, by id.

    selected: labels that constraints select by; pods that differ in others are alike.
    """

    def __init__(self, objects: Objects, selected: frozenset[str]) -> None:
        self._objects = objects
        self._selected = selected
        self._keys: dict[str, Key] = {}
        self._specs: dict[int, PodSpec] = {}
        self._alike: dict[tuple[int, int], PodSpec] = {}
        self._spelt: dict[tuple[str, int], str] = {}

    def __iter__(self) -> Iterator[Key]:
        """The keys in order."""
        return (self._keys[name] for name in sorted(self._keys))

    def get(self, name: str) -> Key | None:
        """A key that is known."""
        return self._keys.get(name)

    def of_owner(self, name: str, owner: KubeObject) -> Key:
        """The key `name` of an object of the input."""
        known = self._keys.get(name)
        if known is None:
            known = self._keys[name] = Key(key=name, owner=owner.key, created=owner.created)
        return known

    def of_pod(self, pod: KubeObject, top: KubeObject) -> Key:
        """The key that a pod with the topmost object `top` counts under."""
        base, kind = top.key, top.kind
        absent = top.owner if kind == "Pod" else None
        if absent is not None and absent.kind in WORKLOADS:
            base, kind = f"{absent.kind}/{pod.namespace}/{absent.name}", absent.kind
        name = base + _part(kind, pod)
        known = self._keys.get(name)
        if known is None:
            known = self._keys[name] = Key(key=name, owner=base, created=top.created)
        elif absent is not None:
            known.created = min(filter(None, (known.created, top.created)), default=None)
        return known

    def kept(self, spec: PodSpec) -> int:
        """The id of a specification, which is kept."""
        self._specs[id(spec)] = spec
        return id(spec)

    def spec(self, mark: int) -> PodSpec:
        """The specification with this id."""
        return self._specs[mark]

    def settled(self, key: Key, spec: PodSpec) -> PodSpec:
        """The template, where a pod is like it but for labels that nothing selects by; else its own specification."""
        if key.template is None:
            key.template = spec
        template = key.template
        if template is spec:
            return spec
        pair = (self.kept(template), self.kept(spec))
        if pair not in self._alike:
            self._alike[pair] = template if self._are_alike(template, spec) else spec
        return self._alike[pair]

    def spelt(self, key: Key, spec: PodSpec) -> str:
        """The key, with the digest of the shape where it is another than the template's."""
        if key.template is None or self.settled(key, spec) is key.template:
            return key.key
        mark = (key.key, self.kept(spec))
        if mark not in self._spelt:
            self._spelt[mark] = f"{key.key}@{self._digest(spec, key.template)}"
        return self._spelt[mark]

    def _are_alike(self, template: PodSpec, spec: PodSpec) -> bool:
        return replace(template, labels={}) == replace(spec, labels={}) and not self._other_labels(template, spec)

    def _other_labels(self, template: PodSpec, spec: PodSpec) -> dict[str, str | None]:
        """The selected labels in which a specification differs from its template, None where it lacks one."""
        differing = (key for key in sorted(self._selected) if spec.labels.get(key) != template.labels.get(key))
        return {key: spec.labels.get(key) for key in differing}

    def _digest(self, spec: PodSpec, template: PodSpec) -> str:
        """8 hex digits of what a plan sees of a specification; labels that are the template's are no part of it."""
        bare, others = replace(spec, labels={}), self._other_labels(template, spec)
        shape = (bare, others) if others else bare
        return hashlib.sha256(msgspec.json.encode(shape, order="sorted")).hexdigest()[:8]


def _part(kind: str, pod: KubeObject) -> str:
    """The part of its owner's pods that a pod is of."""
    if kind in RAY_KINDS:
        return part_of(kind, pod.label("ray.io/node-type"), pod.label("ray.io/group"))
    if kind == "LeaderWorkerSet":
        return "/leader" if pod.label("leaderworkerset.sigs.k8s.io/worker-index") == "0" else "/worker"
    return ""
