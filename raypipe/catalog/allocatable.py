"""What pods may request of a node: as published, else by the provider's documented formula.

Formulas, with the pages they come from (read 2026-11):

* EKS (awslabs/amazon-eks-ami, nodeadm; Karpenter's types provider): kube-reserved cpu 6 % of the first core, 1 % of the
  second, 0.5 % of the next two, 0.25 % of the rest; kube-reserved memory 255 MiB + 11 MiB a pod; eviction 100 MiB;
  7.5 % of memory is not seen by the guest. Pods: 110 up to 30 vCPU, 250 above (as recommended), where the
  table does not say.
* GKE (cloud.google.com/kubernetes-engine/docs/concepts/plan-node-sizes): the same cpu steps, 1060 m on shared-core E2;
  memory 25 % of the first 4 GiB, 20 % of the next 4, 10 % of the next 8, 6 % of the next 112, 2 % of the rest (255 MiB
  of a machine of less than 1 GiB), + 100 MiB eviction; 110 pods.
* AKS (learn.microsoft.com/azure/aks/node-resource-reservations, from 1.29): cpu 60 m at 1 core, 100 at 2, 140 at 4, 180
  at 8, 260 at 16, 420 at 32, 740 at 64, which is 6 % of the first core, 4 % of the second, 2 % of the next two and 1 %
  of the rest (so also karpenter-provider-azure); memory min(20 MiB a pod + 50 MiB, 25 %) + 100 MiB eviction; 110 pods
  here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from raypipe.catalog.rows import TypeRow
from raypipe.model.resources import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, Resources

MIB, GIB = 2**20, 2**30
PODS_A_NODE = 110
FORMULA_OF = {"aws": "eks", "gcp": "gke", "azure": "aks"}
DEFAULT_EPHEMERAL_GIB = {"aws": 17, "gcp": 47, "azure": 111}
"""Allocatable of the provider's default boot disk (20 GB, 100 GB and 128 GiB), GiB."""

_STEPS = ((1000, 0.06), (1000, 0.01), (2000, 0.005), (math.inf, 0.0025))
_CPU_STEPS = {"eks": _STEPS, "gke": _STEPS, "aks": ((1000, 0.06), (1000, 0.04), (2000, 0.02), (math.inf, 0.01))}
_GKE_MEMORY_STEPS = ((4 * GIB, 0.25), (4 * GIB, 0.20), (8 * GIB, 0.10), (112 * GIB, 0.06), (math.inf, 0.02))
_GKE_SHARED_CORE = frozenset({"e2-micro", "e2-small", "e2-medium"})
_GKE_SHARED_CORE_MILLICORES = 1060


def allocatable_of(row: TypeRow, reserve: str) -> Resources:
    """Allocatable cpu, memory, pods and ephemeral-storage of a type; GPUs apart."""
    formula = FORMULA_OF.get(row.provider, "gke") if reserve == "published" else reserve
    pods = row.allocatable_pods if row.allocatable_pods is not None else _pods(row.vcpu_millicores, formula)
    memory = row.memory_mib * MIB
    cpu = row.vcpu_millicores - reserved_cpu(row.vcpu_millicores, formula, row.name)
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


def reserved_cpu(vcpu_millicores: int, formula: str, name: str = "") -> int:
    """Millicores that the formula keeps back.

    >>> reserved_cpu(4000, "eks"), reserved_cpu(4000, "gke"), reserved_cpu(4000, "aks")
    (80, 80, 140)
    """
    if formula == "gke" and name in _GKE_SHARED_CORE:
        return _GKE_SHARED_CORE_MILLICORES
    return round(_by_steps(vcpu_millicores, _CPU_STEPS[formula]))


def reserved_memory(memory_bytes: int, pods: int, formula: str) -> int:
    """Bytes that the formula keeps back, eviction threshold included.

    >>> reserved_memory(16 * 2**30, 110, "gke") // 2**20, reserved_memory(16 * 2**30, 58, "eks") // 2**20
    (2762, 2221)
    """
    if formula == "aks":
        return min((20 * pods + 50) * MIB, memory_bytes // 4) + 100 * MIB
    if formula == "eks":
        return int(memory_bytes * 0.075) + (255 + 11 * pods) * MIB + 100 * MIB
    if memory_bytes < GIB:
        return 255 * MIB + 100 * MIB
    return int(_by_steps(memory_bytes, _GKE_MEMORY_STEPS)) + 100 * MIB


def _by_steps(amount: int, steps: Sequence[tuple[float, float]]) -> float:
    """The sum of a share of each slice of the amount, as an income tax is reckoned."""
    kept, left = 0.0, float(amount)
    for size, share in steps:
        kept += min(left, size) * share
        left = max(0.0, left - size)
    return kept
