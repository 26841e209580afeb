"""Custom machine shapes (GCE): vCPUs and memory bought apart, in steps.

The rule (S6; cloud.google.com/compute/docs/instances/creating-instance-with-custom-machine-type): one vCPU or an even
number; memory in steps of 0.25 GiB, at least 0.5 GiB a vCPU. Price = vCPUs x $/vCPU-h + GiB x $/GiB-h. Each distinct
pod of the demand gives one candidate, the smallest shape that holds it beside what the system reserves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.catalog.rows import TypeRow
from raypipe.catalog.types import instance_type
from raypipe.errors import SettingsError, nearest
from raypipe.model.nodes import InstanceType
from raypipe.model.resources import CPU, MEMORY, Resources
from raypipe.quantities import parse_usd_per_hour

STEP_MIB = 256
LEAST_MIB_A_VCPU = 512
MOST_MIB_A_VCPU = 8192
MOST_VCPUS = 96
_KEYS = ("family", "usdPerVcpuHour", "usdPerGibHour")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomFamily:
    """A family that sells custom shapes; prices in nano-dollars an hour."""

    family: str
    usd_nanos_per_vcpu: int
    usd_nanos_per_gib: int

    def usd_nanos(self, vcpus: int, memory_mib: int) -> int:
        """Price of a shape.

        >>> CustomFamily(family="n2", usd_nanos_per_vcpu=200_000_000, usd_nanos_per_gib=100_000_000).usd_nanos(6, 3072)
        1500000000
        """
        return vcpus * self.usd_nanos_per_vcpu + memory_mib * self.usd_nanos_per_gib // 1024


def custom_families(settings: tuple[Mapping[str, Any], ...]) -> tuple[CustomFamily, ...]:
    """Read the setting `custom_shapes`, or raise SettingsError."""
    families = []
    for number, entry in enumerate(settings):
        where = f"settings.custom_shapes[{number}]"
        for key in entry:
            if key not in _KEYS:
                near = nearest(str(key), _KEYS)
                raise SettingsError(f"{where}.{key}: unknown key" + (f" (did you mean {near!r}?)" if near else ""))
        try:
            families.append(
                CustomFamily(
                    family=str(entry["family"]),
                    usd_nanos_per_vcpu=parse_usd_per_hour(entry["usdPerVcpuHour"]),
                    usd_nanos_per_gib=parse_usd_per_hour(entry["usdPerGibHour"]),
                )
            )
        except KeyError as error:
            raise SettingsError(f"{where}.{error.args[0]}: found nothing, expected a value") from None
        except ValueError as error:
            raise SettingsError(f"{where}: found {error}") from None
    return tuple(families)


def shape_for(vcpu_millicores: int, memory_mib: int) -> tuple[int, int] | None:
    """The smallest shape with so much: vCPUs and MiB, or None where none is large enough.

    >>> shape_for(5500, 2900), shape_for(900, 100)
    ((6, 3072), (1, 512))
    """
    vcpus = max(1, -(-vcpu_millicores // 1000), -(-memory_mib // MOST_MIB_A_VCPU))
    vcpus += vcpus % 2 if vcpus > 1 else 0
    if vcpus > MOST_VCPUS:
        return None
    memory = -(-max(memory_mib, vcpus * LEAST_MIB_A_VCPU) // STEP_MIB) * STEP_MIB
    return vcpus, memory


def smallest_holding(family: CustomFamily, request: Resources, reserve: str) -> InstanceType | None:
    """The smallest shape of the family whose allocatable holds the request, or None."""
    cpu, memory_mib = request.get(CPU, 0), -(-request.get(MEMORY, 0) // 2**20)
    for _ in range(200):
        shape = shape_for(cpu, memory_mib)
        if shape is None:
            return None
        kind = _type(family, *shape, reserve)
        short_cpu = request.get(CPU, 0) - kind.allocatable[CPU]
        short_mib = -(-(request.get(MEMORY, 0) - kind.allocatable[MEMORY]) // 2**20)
        if short_cpu <= 0 and short_mib <= 0:
            return kind
        cpu, memory_mib = cpu + max(0, short_cpu), memory_mib + max(0, short_mib)
    return None


def _type(family: CustomFamily, vcpus: int, memory_mib: int, reserve: str) -> InstanceType:
    row = TypeRow(
        provider="gcp",
        name=f"{family.family}-custom-{vcpus}-{memory_mib}",
        family=family.family,
        arch="amd64",
        vcpu_millicores=vcpus * 1000,
        memory_mib=memory_mib,
        gpu_manufacturer="",
        gpu_name="",
        gpu_count=0,
        gpu_memory_mib=0,
        local_nvme_gb="",
        network_mbps="",
        hypervisor="",
        allocatable_cpu_m=None,
        allocatable_memory_mib=None,
        allocatable_pods=None,
        allocatable_ephemeral_gib=None,
        extra=(),
    )
    return instance_type(row, reserve)
