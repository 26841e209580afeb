"""A row of ``instance_types.csv`` as an instance type: what it can hold, and the labels its nodes carry.

Labels are those that Kubernetes, Karpenter's providers, GKE and AKS put on nodes of the type, as far as they follow
from the table. A selector is kept to the letter, so a label that a provider does not set is not invented.
"""

from __future__ import annotations

import re

from raypipe.catalog.allocatable import allocatable_of
from raypipe.catalog.rows import TypeRow
from raypipe.model.nodes import InstanceType
from raypipe.model.requirements import ARCH, DEPRECATED_LABELS, GKE_ACCELERATOR, INSTANCE_TYPE, OS, gpu_name
from raypipe.model.resources import GPU

MIB = 2**20


GPU_RESOURCES = {"nvidia": GPU, "amd": "amd.com/gpu", "aws": "aws.amazon.com/neuron", "habana": "habana.ai/gaudi"}
_GKE_ACCELERATORS = {
    "t4": "nvidia-tesla-t4",
    "l4": "nvidia-l4",
    "p4": "nvidia-tesla-p4",
    "p100": "nvidia-tesla-p100",
    "v100": "nvidia-tesla-v100",
    "a100": "nvidia-tesla-a100",
    "a100-80gb": "nvidia-a100-80gb",
    "h100": "nvidia-h100-80gb",
    "h200": "nvidia-h200-141gb",
}


def family_of(provider: str, name: str) -> str:
    """The family that a type's name tells, for types that the catalogue does not have.

    >>> family_of("aws", "m7g.2xlarge"), family_of("gcp", "n2-standard-4"), family_of("azure", "Standard_D4s_v5")
    ('m7g', 'n2', 'Ds_v5')
    """
    match provider:
        case "aws":
            return name.partition(".")[0]
        case "gcp":
            return name.partition("-")[0]
        case "azure":
            return re.sub(r"^([A-Z]+)\d+(?:-\d+)?", r"\1", name.removeprefix("Standard_"))
    return ""


def category_of(provider: str, family: str) -> str:
    """Letters before the generation on AWS (``c`` of ``c7g``, ``inf`` of ``inf2``), the family elsewhere.

    >>> category_of("aws", "c7g"), category_of("aws", "u-6tb1"), category_of("gcp", "n2")
    ('c', 'u', 'n2')
    """
    found = re.match(r"[a-z]+", family) if provider == "aws" else None
    return found.group() if found else family


def instance_type(row: TypeRow, reserve: str) -> InstanceType:
    """The type with its allocatable by `reserve` (``published``, or one provider's formula for all)."""
    gpu = gpu_name(row.gpu_name) if row.gpu_name else ""
    allocatable = dict(allocatable_of(row, reserve))
    resource = GPU_RESOURCES.get(row.gpu_manufacturer)
    if resource is not None and row.gpu_count:
        allocatable[resource] = row.gpu_count
    return InstanceType(
        provider=row.provider,
        name=row.name,
        family=row.family,
        category=category_of(row.provider, row.family),
        arch=row.arch,
        vcpu_millicores=row.vcpu_millicores,
        memory_bytes=row.memory_mib * MIB,
        allocatable=allocatable,
        labels=_labels(row, gpu),
        gpu_manufacturer=row.gpu_manufacturer,
        gpu_name=gpu,
        gpu_count=row.gpu_count,
        gpu_memory_bytes=row.gpu_memory_mib * MIB,
    )


def _labels(row: TypeRow, gpu: str) -> dict[str, str]:
    labels = {ARCH: row.arch, OS: "linux", INSTANCE_TYPE: row.name}
    match row.provider:
        case "aws":
            labels |= _aws(row)
        case "gcp":
            labels["cloud.google.com/machine-family"] = row.family
            if row.gpu_count and gpu in _GKE_ACCELERATORS:
                labels[GKE_ACCELERATOR] = _GKE_ACCELERATORS[gpu]
                labels["cloud.google.com/gke-accelerator-count"] = str(row.gpu_count)
        case "azure":
            labels |= _azure(row, gpu)
    labels |= {label_of(name): text for name, text in row.extra}
    return labels | {old: labels[new] for old, new in DEPRECATED_LABELS.items() if new in labels}


def label_of(column: str) -> str:
    """The label that a column of the catalogue's own becomes.

    >>> label_of("example.com/tier"), label_of("rack")
    ('example.com/tier', 'raypipe.io/rack')
    """
    return column if "/" in column else f"raypipe.io/{column}"


def _aws(row: TypeRow) -> dict[str, str]:
    """Labels of Karpenter's AWS provider (its scheduling page, 2026-08)."""
    prefix = "karpenter.k8s.aws/instance-"
    generation = re.match(r"[a-z]+(?:-\d+tb)?(\d+)", row.family)
    facts = {
        "category": category_of("aws", row.family),
        "family": row.family,
        "generation": generation.group(1) if generation else "",
        "size": row.name.partition(".")[2],
        "cpu": str(row.vcpu_millicores // 1000),
        "memory": str(row.memory_mib),
        "hypervisor": row.hypervisor,
        "local-nvme": row.local_nvme_gb,
        "network-bandwidth": row.network_mbps,
    }
    if row.gpu_count and row.gpu_manufacturer in ("nvidia", "amd"):
        facts |= {
            "gpu-name": row.gpu_name,
            "gpu-manufacturer": row.gpu_manufacturer,
            "gpu-count": str(row.gpu_count),
            "gpu-memory": str(row.gpu_memory_mib),
        }
    elif row.gpu_count:
        facts |= {
            "accelerator-name": row.gpu_name,
            "accelerator-manufacturer": row.gpu_manufacturer,
            "accelerator-count": str(row.gpu_count),
        }
    return {prefix + name: text for name, text in facts.items() if text}


def _azure(row: TypeRow, gpu: str) -> dict[str, str]:
    """Labels of Karpenter's Azure provider (its instancetype.go and Azure/skewer's reading of names, 2026-11).

    The family is the one letter that Azure's naming begins with (``N`` of ``Standard_NC24ads_A100_v4``).
    """
    parts = re.match(r"Standard_([A-Z]).*?(?:_[vV](\d+))?$", row.name)
    cpu, memory = str(row.vcpu_millicores // 1000), str(row.memory_mib)
    facts = {
        "karpenter.azure.com/sku-name": row.name,
        "karpenter.azure.com/sku-family": parts.group(1) if parts else "",
        "karpenter.azure.com/sku-version": (parts.group(2) or "1") if parts else "",
        "karpenter.azure.com/sku-cpu": cpu,
        "karpenter.azure.com/sku-memory": memory,
        "kubernetes.azure.com/sku-cpu": cpu,
        "kubernetes.azure.com/sku-memory": memory,
        "karpenter.azure.com/sku-gpu-count": str(row.gpu_count),
    }
    if row.gpu_count:
        facts["karpenter.azure.com/sku-gpu-name"] = gpu.partition("-")[0].upper()
        facts["karpenter.azure.com/sku-gpu-manufacturer"] = row.gpu_manufacturer
    return {name: text for name, text in facts.items() if text}
