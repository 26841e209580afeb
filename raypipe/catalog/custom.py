"""Custom machine shapes (GCE): vCPUs and memory bought apart, in steps.

The rule (S6; cloud.google.com/compute/docs/instances/creating-instance-with-custom-machine-type): one vCPU or an even
number; memory in steps of 0.25 GiB, at least 0.5 GiB a vCPU. Price = vCPUs x $/vCPU-h + GiB x $/GiB-h. Each distinct
pod of the demand gives one candidate: the smallest shape that holds it beside what system and DaemonSets reserve.
Shapes sized for several pods together are left out; they would be as many as there are sets of pods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.catalog.left_out import LeftOut
from raypipe.catalog.rows import TypeRow
from raypipe.catalog.tables import Price
from raypipe.catalog.types import instance_type
from raypipe.errors import SettingsError, nearest
from raypipe.model.nodes import InstanceType, daemonset_reserve
from raypipe.model.requirements import CAPACITY_TYPE, REGION
from raypipe.model.resources import CPU, MEMORY, Resources
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.quantities import parse_usd_per_hour

STEP_MIB = 256
LEAST_MIB_A_VCPU = 512
MOST_MIB_A_VCPU = 8192
MOST_VCPUS = 96
MOST_SHAPES = 200
"""Most distinct sizes of pods that are given shapes of their own, those wanted most often first."""

KEYS = ("family", "usdPerVcpuHour", "usdPerGibHour")


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
    """Read the setting `custom_shapes`, or raise SettingsError with all that is wrong in it."""
    wrong: list[str] = []
    for number, entry in enumerate(settings):
        wrong += [f"settings.custom_shapes[{number}]{problem}" for problem in _problems(entry)]
    if wrong:
        raise SettingsError("\n".join(wrong))
    return tuple(
        CustomFamily(
            family=entry["family"],
            usd_nanos_per_vcpu=parse_usd_per_hour(entry["usdPerVcpuHour"]),
            usd_nanos_per_gib=parse_usd_per_hour(entry["usdPerGibHour"]),
        )
        for entry in settings
    )


def _problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one entry."""
    for key in entry:
        if key not in KEYS:
            near = nearest(str(key), KEYS)
            yield f".{key}: unknown key" + (f" (did you mean {near!r}?)" if near else "")
    for key in KEYS:
        if key not in entry:
            yield f".{key}: found nothing, expected a value"
        elif key == "family":
            if not isinstance(entry[key], str) or not entry[key]:
                yield f".{key}: found {entry[key]!r:.80}, expected the name of a machine family"
        else:
            try:
                parse_usd_per_hour(entry[key])
            except ValueError as error:
                yield f".{key}: found {error}"


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


def custom_types(cluster: ClusterSnapshot, left_out: LeftOut) -> Iterator[tuple[InstanceType, Price]]:
    """Custom shapes for the pods of the demand, with their list price; SettingsError where the setting is wrong."""
    families = custom_families(cluster.settings.custom_shapes)
    if not families or cluster.provider != "gcp" or "on-demand" not in cluster.capacity_types:
        return
    sizes = _sizes(cluster, left_out)
    for family in families:
        reserve = _daemonsets(cluster, family)
        kinds: dict[str, InstanceType] = {}
        for cpu, memory in sizes:
            request = {CPU: cpu + reserve.get(CPU, 0), MEMORY: memory + reserve.get(MEMORY, 0)}
            kind = smallest_holding(family, request, cluster.settings.reserve)
            if kind is not None:
                kinds[kind.name] = kind
        for name, kind in kinds.items():
            nanos = family.usd_nanos(kind.vcpu_millicores // 1000, kind.memory_bytes // 2**20)
            yield kind, Price(name, "on-demand", "", nanos, None)
        message = f"{family.family}: custom shapes sized for single pods are candidates"
        left_out.count("custom-shape", message, len(kinds))


def _sizes(cluster: ClusterSnapshot, left_out: LeftOut) -> list[tuple[int, int]]:
    """Distinct (millicores, bytes) of pods that need nothing a custom shape has not."""
    wanted: Counter[tuple[int, int]] = Counter()
    for group in cluster.demand:
        if not any("/" in name and amount > 0 for name, amount in group.spec.requests.items()):
            wanted[group.spec.requests.get(CPU, 0), group.spec.requests.get(MEMORY, 0)] += group.count
    ordered = sorted(wanted, key=lambda size: (-wanted[size], size))
    if len(ordered) > MOST_SHAPES:
        message = f"custom shapes: only the {MOST_SHAPES} sizes of pods wanted most are given shapes of their own"
        left_out.count("custom-shape-limit", message, len(ordered) - MOST_SHAPES)
    return ordered[:MOST_SHAPES]


def _daemonsets(cluster: ClusterSnapshot, family: CustomFamily) -> Resources:
    """What DaemonSets request on a node of the family, wherever it is; without taints, so that most of them run."""
    probe = _type(family, 2, 2 * LEAST_MIB_A_VCPU, cluster.settings.reserve)
    labels = {**probe.labels, REGION: cluster.region, CAPACITY_TYPE: "on-demand"}
    return daemonset_reserve(labels, (), cluster.daemonsets)


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
