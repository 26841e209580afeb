"""Label algebra: which nodes a selector, an affinity, a NodePool or a toleration admits.

An offering or a node carries concrete labels, so a requirement is simply true or false of it, as in kube-scheduler
(`k8s.io/component-helpers/scheduling/corev1/nodeaffinity`): an absent label fails In, Exists, Gt and Lt and passes
NotIn and DoesNotExist. Selectors are kept to the letter; aliases of GPU names apply only to raypipe's and Luna's own
words (`gpu_name`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

ARCH = "kubernetes.io/arch"
OS = "kubernetes.io/os"
HOSTNAME = "kubernetes.io/hostname"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
NODEPOOL = "karpenter.sh/nodepool"
OWN_CLUSTER = "raypipe.io/cluster"
GKE_ACCELERATOR = "cloud.google.com/gke-accelerator"

DEPRECATED_LABELS: Mapping[str, str] = {
    "beta.kubernetes.io/arch": ARCH,
    "beta.kubernetes.io/os": OS,
    "beta.kubernetes.io/instance-type": INSTANCE_TYPE,
    "failure-domain.beta.kubernetes.io/region": REGION,
    "failure-domain.beta.kubernetes.io/zone": ZONE,
}
"""Deprecated spellings that Kubernetes and Karpenter still put on every node, and the label each repeats."""


class Operator(StrEnum):
    """The operators of node affinity and NodePool requirements, spelt as Kubernetes spells them."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def admits(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels meets the condition.

        >>> Requirement(key="cpu", operator=Operator.GT, values=("4",)).admits({"cpu": "8"})
        True
        """
        return self.admits_value(labels.get(self.key))

    def admits_value(self, value: str | None) -> bool:
        """Whether a label of this value (None: absent) meets the condition."""
        match self.operator:
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None
            case Operator.GT | Operator.LT:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        try:
            left, right = int(value or ""), int(self.values[0])
        except (ValueError, IndexError):
            return False
        return left > right if self.operator is Operator.GT else left < right

    def __str__(self) -> str:
        listed = f" [{', '.join(self.values)}]" if self.values else ""
        return f"{self.key} {self.operator}{listed}"


type Term = tuple[Requirement, ...]
"""All of these must hold. A node affinity is a tuple of terms, one of which must hold; an empty term admits nothing."""


def admitted(labels: Mapping[str, str], selector: Mapping[str, str], affinity: tuple[Term, ...]) -> bool:
    """Whether a node with `labels` meets a nodeSelector and one term of a required node affinity (no terms: any)."""
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    return not affinity or any(term and all(part.admits(labels) for part in term) for term in affinity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """What keeps pods without a toleration off a node. PreferNoSchedule keeps nobody off."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    @property
    def repels(self) -> bool:
        return self.effect in ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """A pod's leave to ignore taints; empty key with Exists tolerates everything, empty effect every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and self.value == taint.value


def tolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration]) -> bool:
    """Whether a pod with `tolerations` may be put on a node with `taints`."""
    allowed = tuple(tolerations)
    return all(any(toleration.tolerates(taint) for toleration in allowed) for taint in taints if taint.repels)


_GPU_ALIASES = {
    "a100-40gb": "a100",
    "a100-sxm4-40gb": "a100",
    "a100-sxm4-80gb": "a100-80gb",
    "h100-80gb": "h100",
    "h100-mega-80gb": "h100",
    "h100-80gb-hbm3": "h100",
    "h200-141gb": "h200",
    "v100-sxm2-16gb": "v100",
}
_GPU_PREFIXES = ("nvidia-tesla-", "nvidia-", "tesla-", "amd-")


def gpu_name(text: str) -> str:
    """The one short name of a GPU kind, whatever cloud or tool spelt it.

    >>> gpu_name("nvidia-tesla-t4"), gpu_name("Tesla-T4"), gpu_name("A10G"), gpu_name("NVIDIA-H100-80GB-HBM3")
    ('t4', 't4', 'a10g', 'h100')
    """
    name = text.strip().lower().replace(" ", "-").replace("_", "-")
    for prefix in _GPU_PREFIXES:
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            break
    return _GPU_ALIASES.get(name, name)
