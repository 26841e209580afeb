"""A row of ``instance_types.csv``, its numbers parsed."""

from __future__ import annotations

from typing import NamedTuple


class TypeRow(NamedTuple):
    """The columns of one type, numbers parsed; `extra` are unknown columns with their text."""

    provider: str
    name: str
    family: str
    arch: str
    vcpu_millicores: int
    memory_mib: int
    gpu_manufacturer: str
    gpu_name: str
    gpu_count: int
    gpu_memory_mib: int
    local_nvme_gb: str
    network_mbps: str
    hypervisor: str
    allocatable_cpu_m: int | None
    allocatable_memory_mib: int | None
    allocatable_pods: int | None
    allocatable_ephemeral_gib: int | None
    extra: tuple[tuple[str, str], ...]
