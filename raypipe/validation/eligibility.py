"""Whether one pod may be on one node: the filters as scalar rules."""

from __future__ import annotations

import re

from raypipe.model.nodes import Offering
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import Operator
from raypipe.model.resources import GPU, GPU_SHARED
from raypipe.model.snapshot import ClusterSnapshot

_ARCH = ("kubernetes.io/arch", "beta.kubernetes.io/arch")
_NAMING = (
    "karpenter.k8s.aws/instance-category",
    "karpenter.k8s.aws/instance-family",
    "cloud.google.com/machine-family",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
)


def refused_by(
    spec: PodSpec, offering: Offering, cluster: ClusterSnapshot, *, existing: bool, price: int | None
) -> str | None:
    """The name of a filter that keeps the pod off the node, size apart, or None where it may be there."""
    if not spec.may_run_on(offering.labels, offering.taints):
        return "selector, affinity or taints"
    if not existing:
        if not offering.opened and not is_named(spec, offering):
            return "excluded category"
        if not offering.arch_replaced and not is_arch_bought(spec, offering.arch, cluster.arch):
            return "arch"
    if (annotation := selector_refused_by(spec, offering)) is not None:
        return annotation
    if spec.gpu_skus and offering.gpu_name not in spec.gpu_skus:
        return "GPU kind"
    if spec.max_gpus is not None and offering.gpu_count > spec.max_gpus:
        return "max GPUs"
    if any(spec.requests.get(name, 0) > offering.allocatable.get(name, 0) for name in (GPU, GPU_SHARED)):
        return "GPU count"
    if spec.max_usd_nanos_per_hour is not None and (price is None or price > spec.max_usd_nanos_per_hour):
        return "maximum price"
    return None


def selector_refused_by(spec: PodSpec, offering: Offering) -> str | None:
    """What annotations select beside labels, by name, where the offering is not of it."""
    if spec.capacity_types and offering.capacity_type not in spec.capacity_types:
        return "capacity type"
    if spec.family_inclusions and offering.family not in spec.family_inclusions:
        return "family inclusions"
    if offering.family in spec.family_exclusions:
        return "family exclusions"
    if spec.type_regexp is not None and not re.search(spec.type_regexp, offering.instance_type):
        return "type regexp"
    return None


def is_named(spec: PodSpec, offering: Offering) -> bool:
    """Whether the pod names the offering's category, family or type."""
    own = (offering.category, offering.family, offering.instance_type)
    if offering.family in spec.family_inclusions:
        return True
    if any(spec.node_selector.get(key) in own for key in _NAMING):
        return True
    return any(
        part.key in _NAMING and part.operator == Operator.IN and any(value in own for value in part.values)
        for term in spec.node_affinity
        for part in term
    )


def is_arch_bought(spec: PodSpec, arch: str, mode: str) -> bool:
    """Whether nodes of this architecture are bought for the pod."""
    if mode == "amd64+arm64":
        return True
    if "|" not in mode:
        return arch == mode
    says = any(key in spec.node_selector for key in _ARCH)
    says = says or any(part.key in _ARCH for term in spec.node_affinity for part in term)
    return says or arch == mode.split("|")[0]


def slices_fit(sizes: list[int], gpus: int, slices: int, memory: int) -> bool:
    """Whether slices of these memory sizes can be dealt to GPUs of so many slices and so much memory each."""
    sizes = sorted(sizes, reverse=True)
    if len(sizes) > gpus * slices:
        return False

    def deal(index: int, free: list[tuple[int, int]]) -> bool:
        if index == len(sizes):
            return True
        tried: set[tuple[int, int]] = set()
        for gpu, state in enumerate(free):
            left, room = state
            if state in tried or left == 0 or room < sizes[index]:
                continue
            tried.add(state)
            free[gpu] = (left - 1, room - sizes[index])
            if deal(index + 1, free):
                return True
            free[gpu] = state
        return False

    positive = [size for size in sizes if size > 0]
    if not positive:
        return True
    if slices * positive[0] <= memory:
        return True
    return deal(0, [(slices, memory)] * gpus)
