"""Where pods may stand with regard to other pods: affinity, spread, host ports.

A *domain* is all nodes with one value of a label, the topology key: one node for ``kubernetes.io/hostname``, a zone for
``topology.kubernetes.io/zone``, and likewise for any other label. A node without the label is in no domain of that key.
What these values mean for a plan is kube-scheduler's rule (InterPodAffinity, PodTopologySpread, NodePorts), stated for
the pods as they stand in the end; `raypipe.packing` and `raypipe.validation` each keep it by code of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raypipe.model.requirements import Requirement, Term

ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSelector:
    """Which pods are meant: by namespace and labels.

    Attributes:
        namespaces: names of namespaces, or None for all.
        labels: conditions that must all hold (none: every pod of the namespaces); None selects no pod at all.
    """

    namespaces: tuple[str, ...] | None = None
    labels: tuple[Requirement, ...] | None = ()

    def matches(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether a pod of this namespace with these labels is meant."""
        if self.labels is None or (self.namespaces is not None and namespace not in self.namespaces):
            return False
        return all(one.admits(labels) for one in self.labels)

    def __str__(self) -> str:
        if self.labels is None:
            return "no pod"
        where = "" if self.namespaces is None else f" in {', '.join(self.namespaces) or 'no namespace'}"
        return f"pods with {' and '.join(map(str, self.labels)) or 'any labels'}{where}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTerm:
    """A term of pod affinity or anti-affinity: pods that are meant, in the same domain of `topology_key`."""

    topology_key: str
    pods: PodSelector


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A topologySpreadConstraint.

    Attributes:
        max_skew: most by which a domain may exceed the emptiest one.
        min_domains: with fewer domains than this the emptiest one counts as empty; None: 1.
        required: DoNotSchedule; False is ScheduleAnyway, a price and no constraint.
        honors_affinity: only nodes that the pod's selector and node affinity admit are counted (nodeAffinityPolicy).
        honors_taints: only nodes whose taints the pod tolerates are counted (nodeTaintsPolicy).
    """

    topology_key: str
    max_skew: int
    pods: PodSelector
    min_domains: int | None = None
    required: bool = True
    honors_affinity: bool = True
    honors_taints: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """A port of the node that a pod takes for itself."""

    port: int
    protocol: str = "TCP"
    address: str = ANY_ADDRESS

    def conflicts_with(self, other: HostPort) -> bool:
        """Whether two pods cannot have these ports on one node.

        >>> HostPort(port=80).conflicts_with(HostPort(port=80, address="10.0.0.1"))
        True
        """
        if (self.port, self.protocol) != (other.port, other.protocol):
            return False
        return self.address == other.address or ANY_ADDRESS in (self.address, other.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """A preferred term: `weight` (1 to 100) points where it holds, for nodes or for pods (`against`: anti-affinity)."""

    weight: int
    nodes: Term | None = None
    pods: PodTerm | None = None
    against: bool = False
