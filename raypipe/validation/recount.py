"""The filters of what a plan leaves out, counted again: how many offerings are left after each, one by one.

In the plan's order: pool (taints, excluded categories), arch, selector, gpu, price, size, availability; then what pods
ask of each other and limits, which take all that is left or nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from raypipe.model.nodes import Offering
from raypipe.model.plan import FILTERS, Unplaced
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import tolerated
from raypipe.model.resources import GPU, GPU_SHARED, fits
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.validation.eligibility import is_arch_bought, is_named, selector_refused_by
from raypipe.validation.ground import Ground

COUNTED = FILTERS[: FILTERS.index("constraint")]


def filter_violations(entry: Unplaced, spec: PodSpec, ground: Ground) -> Iterator[str]:
    """Whether the counts are those of the market, and the message begins with the filter that left nothing.

    Where there are nodes, it may say instead that their room is taken.
    """
    by_words = _refused_by_words(spec, ground)
    refused = Counter(
        by_words[number] or _refused_by_amounts(spec, one, ground) for number, one in enumerate(ground.offerings)
    )
    left, counts = sum(refused.values()), list[tuple[str, int]]()
    for name in COUNTED:
        if counts and not counts[-1][1]:
            break
        left -= refused[name]
        counts.append((name, left))
    told = [(one.filter, one.left) for one in entry.filters]
    if told[: len(counts)] != counts:
        yield f"filters say {told}, the market {counts}"
    elif any(left not in (0, counts[-1][1]) for _, left in told[len(counts) :]):
        yield f"filters say {told}, of which the last take all or nothing"
    if told and told[-1][1] == 0 and not ground.existing and not entry.message.startswith(f"{told[-1][0]}: "):
        yield f"the last filter is {told[-1][0]}, the message {entry.message[:40]!r}"


def _refused_by_words(spec: PodSpec, ground: Ground) -> list[str | None]:
    """For each offering the first of pool, arch and selector that it does not pass; once for pods of like words."""
    words = (
        spec.tolerations,
        tuple(sorted(spec.node_selector.items())),
        spec.node_affinity,
        spec.volume_affinity,
        spec.capacity_types,
        spec.family_inclusions,
        spec.family_exclusions,
        spec.type_regexp,
    )
    if words not in ground.refused_by_words:
        ground.refused_by_words[words] = [_refused_by_word(spec, one, ground.cluster) for one in ground.offerings]
    return ground.refused_by_words[words]


def _refused_by_word(spec: PodSpec, offering: Offering, cluster: ClusterSnapshot) -> str | None:
    if not _is_in_pool(spec, offering):
        return "pool"
    if not _is_of_arch(spec, offering, cluster):
        return "arch"
    selected = spec.selects(offering.labels) and selector_refused_by(spec, offering) is None
    return None if selected else "selector"


def _refused_by_amounts(spec: PodSpec, offering: Offering, ground: Ground) -> str | None:
    """The first of the other filters that an offering does not pass, or None."""
    if not _has_gpus(spec, offering):
        return "gpu"
    if spec.max_usd_nanos_per_hour is not None and offering.usd_nanos_per_hour > spec.max_usd_nanos_per_hour:
        return "price"
    if not _is_large_enough(spec, offering, ground):
        return "size"
    return "availability" if offering.unavailable else None


def _is_in_pool(spec: PodSpec, offering: Offering) -> bool:
    return tolerated(offering.taints, spec.tolerations) and (offering.opened or is_named(spec, offering))


def _is_of_arch(spec: PodSpec, offering: Offering, cluster: ClusterSnapshot) -> bool:
    return offering.arch_replaced or is_arch_bought(spec, offering.arch, cluster.arch)


def _has_gpus(spec: PodSpec, offering: Offering) -> bool:
    if any(spec.requests.get(name, 0) > offering.allocatable.get(name, 0) for name in (GPU, GPU_SHARED)):
        return False
    if spec.gpu_skus and offering.gpu_name not in spec.gpu_skus:
        return False
    if spec.max_gpus is not None and offering.gpu_count > spec.max_gpus:
        return False
    return not (spec.gpu_memory_bytes and spec.requests.get(GPU_SHARED)) or (
        offering.gpu_memory_bytes >= spec.gpu_memory_bytes
    )


def _is_large_enough(spec: PodSpec, offering: Offering, ground: Ground) -> bool:
    """GPUs apart, which are counted before."""
    asked = {name: amount for name, amount in spec.requests.items() if name not in (GPU, GPU_SHARED)}
    return fits(asked, ground.empty_room(offering))
