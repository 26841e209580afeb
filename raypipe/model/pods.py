"""Pods as a planner sees them: what they request, where they may run, and how many are alike.

Pods are never expanded when they are alike: a `PodGroup` is a specification plus a count, so that 100,000 pods are a
few hundred values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raypipe.model.constraints import HostPort, PodTerm, Preference, Spread
from raypipe.model.requirements import Taint, Term, Toleration, admitted, tolerated
from raypipe.model.resources import GPU, GPU_SHARED, Resources

PROTECTED = "may never be evicted"
NOT_MADE_AGAIN = "no controller makes it again"
"""Why a bare pod is not moved. Where its node is lost it is lost, too, and wants no place elsewhere."""

BUDGET = "PodDisruptionBudget"
"""A reason that begins so passes by itself: an eviction is refused until it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """One pod's demand and constraints, as far as a plan depends on them.

    Attributes:
        requests: effective request (semantics.md, Demand), including ``pods: 1``; GPU slices already as
            ``nvidia.com/gpu.shared``.
        node_affinity: required terms, one of which must hold; empty: no such constraint.
        gpu_skus: canonical GPU names (`requirements.gpu_name`), one of which the node must have; empty: any.
        max_gpus: most GPUs a node may have. max_usd_nanos_per_hour: most the node may cost.
        capacity_types: spot, on-demand, reserved that are admitted; empty: any.
        family_inclusions, family_exclusions, type_regexp: on the instance family and the full type name.
        gpu_memory_bytes: memory a slice declares, or None.
        instance_annotation: an instance-… annotation is present (`packing: shared` gives such a pod its own node).
        pod_affinity, pod_anti_affinity: required terms, all of which must hold. spread: topologySpreadConstraints.
        host_ports: ports of the node that the pod takes.
        volume_affinity: for each volume that is tied to a place, terms one of which must hold of the node.
        preferences: preferred affinities.
        protected: never evicted (do-not-evict, do-not-disrupt, safe-to-evict: "false").
        unchecked: constraint families seen on the pod that this planner does not keep yet, each named in a note.
    """

    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    requests: Resources = field(default_factory=dict)
    node_selector: Mapping[str, str] = field(default_factory=dict)
    node_affinity: tuple[Term, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    priority: int = 0
    gpu_skus: tuple[str, ...] = ()
    max_gpus: int | None = None
    max_usd_nanos_per_hour: int | None = None
    capacity_types: tuple[str, ...] = ()
    family_inclusions: tuple[str, ...] = ()
    family_exclusions: tuple[str, ...] = ()
    type_regexp: str | None = None
    gpu_memory_bytes: int | None = None
    instance_annotation: bool = False
    pod_affinity: tuple[PodTerm, ...] = ()
    pod_anti_affinity: tuple[PodTerm, ...] = ()
    spread: tuple[Spread, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    volume_affinity: tuple[tuple[Term, ...], ...] = ()
    preferences: tuple[Preference, ...] = ()
    protected: bool = False
    unchecked: tuple[str, ...] = ()

    @property
    def wants_gpu(self) -> bool:
        return any(self.requests.get(name, 0) > 0 for name in (GPU, GPU_SHARED))

    def may_run_on(self, labels: Mapping[str, str], taints: tuple[Taint, ...]) -> bool:
        """Whether selector, node affinity, volumes and tolerations admit a node with these labels and taints."""
        return self.selects(labels) and tolerated(taints, self.tolerations)

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether selector, node affinity and volumes admit a node with these labels."""
        if not admitted(labels, self.node_selector, self.node_affinity):
            return False
        return all(admitted(labels, {}, terms) for terms in self.volume_affinity)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroup:
    """Pods that are alike and still to be placed.

    Attributes:
        key: as in plans, ``Kind/namespace/name[/part]``.
        count: unbound live pods + those still to be created.
        gang: name of the gang that its first pods belong to, or None.
        created: creationTimestamp of the topmost owner (RFC 3339), or None; orders admission.
        owner: ``Kind/namespace/name`` of the topmost owner.
    """

    key: str
    spec: PodSpec
    count: int
    gang: str | None = None
    created: str | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundPods:
    """Pods that are alike and bound to one existing node.

    `counted` pods stand in the node's ``pods`` and may be moved in a what-if; others (terminating, static, DaemonSet,
    ignored, not managed) are reserve there. `daemonset` names their DaemonSet, so that it is reserved once.
    `terminating` pods hold anti-affinity and ports until they are gone, and count for no spread. `held`: why they may
    not be moved, in words; empty: they may.
    """

    node: str
    key: str
    spec: PodSpec
    count: int = 1
    counted: bool = True
    daemonset: str | None = None
    created: str | None = None
    terminating: bool = False
    held: str = ""

    @property
    def stays(self) -> str:
        """Why the pods may not be moved, or nothing; what is reserve of its node (DaemonSets, say) goes with it."""
        return self.held or (PROTECTED if self.counted and self.spec.protected else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSet:
    """One pod of `spec` on every node that it selects and tolerates: reserve, never demand."""

    key: str
    spec: PodSpec
