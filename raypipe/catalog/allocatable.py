"""What pods may request of a node: as published, else by the provider's documented formula.

Formulas, with the pages they come from (read 2026-11):

* EKS (awslabs/amazon-eks-ami, nodeadm; Karpenter's types provider): kube-reserved cpu 6 % of the first core, 1 % of the
  second, 0.5 % of the next two, 0.25 % of the rest; kube-reserved memory 255 MiB + 11 MiB a pod; eviction 100 MiB;
  7.5 % of memory is not seen by the guest. Pods: 110 up to 30 vCPU, 250 above (as recommended), where the
  table does not say.
* GKE (cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes): the same cpu steps; memory 25 % of the first
  4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of the next 112, 2 % of the rest, + 100 MiB eviction; 110 pods.
* AKS (learn.microsoft.com/azure/aks/node-resource-reservations, from 1.29): cpu 60 m at 1 core, 100 at 2, 140 at 4, 180
  at 8, 260 at 16, 420 at 32, 740 at 64; memory min(20 MiB a pod + 50 MiB, 25 %) + 100 MiB eviction; 110 pods here.
"""

from __future__ import annotations

from raypipe.catalog.rows import TypeRow
from raypipe.model.resources import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, Resources

MIB, GIB = 2**20, 2**30
PODS_A_NODE = 110
FORMULA_OF = {"aws": "eks", "gcp": "gke", "azure": "aks"}
DEFAULT_EPHEMERAL_GIB = {"aws": 17, "gcp": 47, "azure": 86}
"""Allocatable of the provider's default boot disk (20, 100 and 128 GB), GiB."""

_CPU_STEPS = ((1000, 0.06), (1000, 0.01), (2000, 0.005))
_GKE_MEMORY_STEPS = ((4 * GIB, 0.25), (4 * GIB, 0.20), (8 * GIB, 0.10), (112 * GIB, 0.06))
_AKS_CPU = ((64_000, 740), (32_000, 420), (16_000, 260), (8_000, 180), (4_000, 140), (2_000, 100), (0, 60))


def allocatable_of(row: TypeRow, reserve: str) -> Resources:
    """Allocatable cpu, memory, pods and ephemeral-storage of a type; GPUs apart."""
    formula = FORMULA_OF.get(row.provider, "gke") if reserve == "published" else reserve
    pods = row.allocatable_pods if row.allocatable_pods is not None else _pods(row.vcpu_millicores, formula)
    memory = row.memory_mib * MIB
    cpu = row.vcpu_millicores - reserved_cpu(row.vcpu_millicores, formula)
    left = memory - reserved_memory(memory, pods, formula)
    if reserve == "published":
        cpu = row.allocatable_cpu_m if row.allocatable_cpu_m is not None else cpu
        left = row.allocatable_memory_mib * MIB if row.allocatable_memory_mib is not None else left
    ephemeral = row.allocatable_ephemeral_gib
    if ephemeral is None:
        ephemeral = DEFAULT_EPHEMERAL_GIB.get(row.provider, 17)
    return {CPU: max(0, cpu), MEMORY: max(0, left), PODS: pods, EPHEMERAL_STORAGE: ephemeral * GIB}


def _pods(vcpu_millicores: int, formula: str) -> int:
    return 250 if formula == "eks" and vcpu_millicores > 30_000 else PODS_A_NODE


def reserved_cpu(vcpu_millicores: int, formula: str) -> int:
    """Millicores that the formula keeps back.

    >>> reserved_cpu(4000, "eks"), reserved_cpu(4000, "gke"), reserved_cpu(4000, "aks")
    (80, 80, 140)
    """
    if formula == "aks":
        return next(kept for cores, kept in _AKS_CPU if vcpu_millicores >= cores)
    kept, left = 0.0, vcpu_millicores
    for size, share in _CPU_STEPS:
        kept += min(left, size) * share
        left = max(0, left - size)
    return round(kept + left * 0.0025)


def reserved_memory(memory_bytes: int, pods: int, formula: str) -> int:
    """Bytes that the formula keeps back, eviction threshold included.

    >>> reserved_memory(16 * 2**30, 110, "gke") // 2**20, reserved_memory(16 * 2**30, 58, "eks") // 2**20
    (2762, 2221)
    """
    if formula == "aks":
        return min((20 * pods + 50) * MIB, memory_bytes // 4) + 100 * MIB
    if formula == "eks":
        return int(memory_bytes * 0.075) + (255 + 11 * pods) * MIB + 100 * MIB
    kept, left = 0.0, memory_bytes
    for size, share in _GKE_MEMORY_STEPS:
        kept += min(left, size) * share
        left = max(0, left - size)
    return int(kept + left * 0.02) + 100 * MIB
