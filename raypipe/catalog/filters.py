"""Which offerings a pod may use, and, where there is none, which filter removed the last.

The filters, in their order: pool (taints, and categories that only pods naming them may use), arch, selector, gpu,
price, size, availability, constraint. They are masks over all offerings at once; what a mask means for one offering is
said by `PodSpec.may_run_on` and `Requirement.admits`, and a test holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import eq

import numpy as np
from numpy.typing import NDArray

from raypipe.catalog.pools import names_of
from raypipe.errors import nearest
from raypipe.model.nodes import Offering, daemonset_reserve
from raypipe.model.plan import FilterCount
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import ARCH, Requirement, Term, tolerated
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY, Resources, minus
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.quantities import format_quantity, usd

type Mask = NDArray[np.bool_]

_ARCH_KEYS = frozenset({ARCH, "beta.kubernetes.io/arch"})
_GPUS = (GPU, GPU_SHARED)
MOST_VALUES = 4
"""Most values of a label that a refusal lists."""


class Filters:
    """The filters of one cluster over a fixed list of offerings, or of existing nodes (`existing`).

    rooms: what is free on each for the filter `size` (default: allocatable less DaemonSets). priced: whether the price
    of an existing node is known; where it is not, a pod with a maximum price may not use it.
    """

    def __init__(
        self,
        offerings: Sequence[Offering],
        cluster: ClusterSnapshot,
        *,
        rooms: Sequence[Resources] | None = None,
        existing: bool = False,
        priced: Sequence[bool] | None = None,
    ) -> None:
        self._offerings = tuple(offerings)
        self._cluster = cluster
        self._existing = existing
        self._rooms = rooms if rooms is not None else [_room(one, cluster) for one in self._offerings]
        self._prices = np.array([one.usd_nanos_per_hour for one in self._offerings], dtype=np.int64)
        if priced is not None:
            self._prices[~np.array(priced, dtype=bool)] = np.iinfo(np.int64).max
        self._codes: dict[str, tuple[NDArray[np.int64], list[str | None]]] = {}
        self._masks: dict[object, Mask] = {}
        self._amounts: dict[tuple[str, bool], NDArray[np.int64]] = {}

    def mask(self, spec: PodSpec) -> Mask:
        """Where a pod may go: True where an offering passes every filter, shape (n_offerings,)."""
        mask = np.ones(len(self._offerings), dtype=bool)
        for _, passed in self._steps(spec):
            mask = mask & passed
            if not mask.any():
                break
        return mask

    def counts(self, spec: PodSpec) -> tuple[FilterCount, ...]:
        """Candidates left after each filter, ending at the first 0."""
        mask = np.ones(len(self._offerings), dtype=bool)
        counts: list[FilterCount] = []
        for name, passed in self._steps(spec):
            mask = mask & passed
            counts.append(FilterCount(filter=name, left=int(mask.sum())))
            if not mask.any():
                break
        return tuple(counts)

    def why_not(self, spec: PodSpec) -> tuple[str, str]:
        """The filter that removed the last candidate, and the nearest miss; ("", "") where one is left."""
        before = np.ones(len(self._offerings), dtype=bool)
        if not len(before):
            return "pool", "nothing can be bought for this cluster"
        for name, passed in self._steps(spec):
            if not (before & passed).any():
                return name, self._sentence(name, spec, np.flatnonzero(before))
            before = before & passed
        return "", ""

    def _steps(self, spec: PodSpec) -> Iterator[tuple[str, Mask]]:
        yield "pool", self._pool(spec)
        yield "arch", self._arch(spec)
        yield "selector", self._selector(spec)
        yield "gpu", self._gpu(spec)
        yield "price", self._price(spec)
        yield "size", self._size(spec)
        yield "availability", self._of(("available",), lambda one: not one.unavailable)
        yield "constraint", np.ones(len(self._offerings), dtype=bool)

    def _of(self, mark: object, holds: Callable[[Offering], bool]) -> Mask:
        """The mask of a predicate on offerings, worked out once for each `mark`."""
        known = self._masks.get(mark)
        if known is None:
            known = self._masks[mark] = np.fromiter(map(holds, self._offerings), dtype=bool, count=len(self._offerings))
        return known

    def _pool(self, spec: PodSpec) -> Mask:
        mark = ("taints", spec.tolerations)
        mask = self._masks.get(mark)
        if mask is None:
            answers = {
                taints: tolerated(taints, spec.tolerations) for taints in {one.taints for one in self._offerings}
            }
            mask = self._of(mark, lambda one: answers[one.taints])
        if self._existing:
            return mask
        names = frozenset(names_of(spec))
        return mask & self._of(
            ("opened", names), lambda one: one.opened or bool(names & {one.category, one.family, one.instance_type})
        )

    def _arch(self, spec: PodSpec) -> Mask:
        mode = self._cluster.arch
        if self._existing or mode == "amd64+arm64":
            return self._of("any arch", lambda _: True)
        first, _, second = mode.partition("|")
        if second and _mentions_arch(spec):
            return self._of("any arch", lambda _: True)
        return self._of(("arch", first), lambda one: one.arch_replaced or one.arch == first)

    def _selector(self, spec: PodSpec) -> Mask:
        mask = np.ones(len(self._offerings), dtype=bool)
        for _, passed in self._selections(spec):
            mask = mask & passed
        return mask

    def _selections(self, spec: PodSpec) -> Iterator[tuple[str, Mask]]:
        """Each thing that a pod selects by, in words, and where it holds."""
        for key, value in sorted(spec.node_selector.items()):
            yield f"{key}={value}", self._label(key, ("is", value), partial(eq, value))
        if spec.node_affinity:
            yield _said(spec.node_affinity), self._either(spec.node_affinity)
        for terms in spec.volume_affinity:
            yield f"{_said(terms)} (where its volume is)", self._either(terms)
        if kinds := spec.capacity_types:
            passed = self._of(("capacity", kinds), lambda one: one.capacity_type in kinds)
            yield f"capacity type {' or '.join(kinds)}", passed
        if inside := spec.family_inclusions:
            yield f"a family of {', '.join(inside)}", self._of(("in", inside), lambda one: one.family in inside)
        if outside := spec.family_exclusions:
            passed = self._of(("out", outside), lambda one: one.family not in outside)
            yield f"a family other than {', '.join(outside)}", passed
        if spec.type_regexp is not None:
            pattern = re.compile(spec.type_regexp)
            passed = self._of(("re", spec.type_regexp), lambda one: pattern.search(one.instance_type) is not None)
            yield f"a type that matches {spec.type_regexp}", passed

    def _either(self, terms: tuple[Term, ...]) -> Mask:
        """Where one of the terms holds."""
        either = np.zeros(len(self._offerings), dtype=bool)
        for term in terms:
            if term:
                either |= np.logical_and.reduce([self._requirement(part) for part in term])
        return either

    def _requirement(self, part: Requirement) -> Mask:
        return self._label(part.key, (part.operator, part.values), part.admits_value)

    def _label(self, key: str, mark: object, admits: Callable[[str | None], bool]) -> Mask:
        """Where the value of a label (None: absent) is admitted; asked once for each distinct value."""
        known = self._masks.get((key, mark))
        if known is None:
            codes, values = self._values(key)
            answers = np.array([admits(value) for value in values], dtype=bool)
            known = self._masks[key, mark] = answers[codes] if len(values) else np.zeros(0, dtype=bool)
        return known

    def _values(self, key: str) -> tuple[NDArray[np.int64], list[str | None]]:
        known = self._codes.get(key)
        if known is None:
            numbers: dict[str | None, int] = {}
            codes = [numbers.setdefault(one.labels.get(key), len(numbers)) for one in self._offerings]
            known = self._codes[key] = (np.array(codes, dtype=np.int64), list(numbers))
        return known

    def _gpu(self, spec: PodSpec) -> Mask:
        mask = np.ones(len(self._offerings), dtype=bool)
        for name in _GPUS:
            if spec.requests.get(name, 0) > 0:
                mask = mask & (self._amount(name, allocatable=True) >= spec.requests[name])
        if spec.gpu_skus:
            mask = mask & self._of(("skus", spec.gpu_skus), lambda one: one.gpu_name in spec.gpu_skus)
        if spec.max_gpus is not None:
            mask = mask & self._of(("gpus", spec.max_gpus), lambda one: one.gpu_count <= (spec.max_gpus or 0))
        if spec.gpu_memory_bytes and spec.requests.get(GPU_SHARED, 0):
            memory = spec.gpu_memory_bytes
            mask = mask & self._of(("gpu memory", memory), lambda one: one.gpu_memory_bytes >= memory)
        return mask

    def _price(self, spec: PodSpec) -> Mask:
        if spec.max_usd_nanos_per_hour is None:
            return np.ones(len(self._offerings), dtype=bool)
        return self._prices <= spec.max_usd_nanos_per_hour

    def _size(self, spec: PodSpec) -> Mask:
        mask = np.ones(len(self._offerings), dtype=bool)
        for name, amount in spec.requests.items():
            if amount > 0 and name not in _GPUS:
                mask = mask & (self._amount(name) >= amount)
        for name in _GPUS:  # beside those already in use on an existing node
            if self._existing and spec.requests.get(name, 0) > 0:
                mask = mask & (self._amount(name) >= spec.requests[name])
        return mask

    def _amount(self, name: str, *, allocatable: bool = False) -> NDArray[np.int64]:
        """How much of a resource each has: free room, or all that is allocatable."""
        known = self._amounts.get((name, allocatable))
        if known is None:
            amounts = [one.allocatable for one in self._offerings] if allocatable else self._rooms
            known = np.array([amount.get(name, 0) for amount in amounts], dtype=np.int64)
            self._amounts[name, allocatable] = known
        return known

    def _sentence(self, name: str, spec: PodSpec, left: NDArray[np.int64]) -> str:
        """What the filter wanted, and how near the candidates left before it came."""
        match name:
            case "pool":
                return self._pool_miss(spec, left)
            case "arch":
                return f"none of {len(left)} offerings is of the architecture that `arch: {self._cluster.arch}` buys"
            case "selector":
                return self._selector_miss(spec, left)
            case "gpu":
                return self._gpu_miss(spec, left)
            case "price":
                cheapest = usd(int(self._prices[left].min()))
                most = usd(spec.max_usd_nanos_per_hour or 0)
                return f"the cheapest of {len(left)} offerings costs {cheapest:g} $/h, more than the maximum {most:g}"
            case "size":
                return self._size_miss(spec, left)
            case "availability":
                return f"all {len(left)} offerings that would do are sold out for now"
        return f"none of {len(left)} offerings passes"

    def _pool_miss(self, spec: PodSpec, left: NDArray[np.int64]) -> str:
        offerings = [self._offerings[j] for j in left]
        closed = {one.category for one in offerings if tolerated(one.taints, spec.tolerations)}
        if closed:
            return (
                f"only types of excluded categories ({', '.join(sorted(closed))}) are left, and it names none of them"
            )
        return f"none of {len(left)} offerings has only taints that it tolerates"

    def _selector_miss(self, spec: PodSpec, left: NDArray[np.int64]) -> str:
        """The conditions that no candidate meets even alone; where each is met by some, all of them."""
        selections = list(self._selections(spec))
        alone = [words for words, passed in selections if not passed[left].any()]
        told = alone or [words for words, _ in selections]
        pairs = {f"{key}={value}": (key, value) for key, value in spec.node_selector.items()}
        near = self._nearest_value(*pairs[told[0]], left) if len(told) == 1 and told[0] in pairs else ""
        return f"no offering has {', '.join(told)}{near}"

    def _nearest_value(self, key: str, value: str, left: NDArray[np.int64]) -> str:
        """What candidates carry instead, where that is short to tell."""
        codes, values = self._values(key)
        there = sorted(text for code in set(codes[left].tolist()) if (text := values[code]) is not None)
        near = nearest(value, there)
        if near is not None:
            return f" (nearest: {near})"
        return f" (they have {', '.join(there)})" if 0 < len(there) <= MOST_VALUES else ""

    def _gpu_miss(self, spec: PodSpec, left: NDArray[np.int64]) -> str:
        wanted = next((name for name in _GPUS if spec.requests.get(name, 0) > 0), GPU)
        unit = "GPU slice" if wanted == GPU_SHARED else "GPU"
        kinds = f" {' or '.join(spec.gpu_skus)}" if spec.gpu_skus else ""
        count = spec.requests.get(wanted, 0)
        text = f"no offering has {count}{kinds} {unit}{'' if count == 1 else 's'} on a node"
        if spec.max_gpus is not None:
            text += f" of at most {spec.max_gpus} GPUs"
        if spec.gpu_memory_bytes and wanted == GPU_SHARED:
            text += f" with {format_quantity(spec.gpu_memory_bytes, MEMORY)} a GPU"
        alike = [j for j in left if not spec.gpu_skus or self._offerings[j].gpu_name in spec.gpu_skus]
        if not alike:
            return f"{text} (no node type found with {' or '.join(spec.gpu_skus)})"
        amounts = self._amount(wanted, allocatable=True)
        few = [j for j in alike if spec.max_gpus is None or self._offerings[j].gpu_count <= spec.max_gpus]
        best = max(few or alike, key=lambda j: int(amounts[j]))
        return f"{text} (largest: {self._offerings[best].instance_type}, {amounts[best]})"

    def _size_miss(self, spec: PodSpec, left: NDArray[np.int64]) -> str:
        for name in sorted(spec.requests, key=lambda one: (one not in (CPU, MEMORY), one)):
            amount, room = spec.requests[name], self._amount(name)[left]
            if amount > 0 and room.max() < amount:
                best = self._offerings[int(left[int(room.argmax())])].instance_type
                return (
                    f"needs {format_quantity(amount, name)} {name}; the largest of {len(left)} offerings has "
                    f"{format_quantity(int(room.max()), name)} ({best})"
                )
        return f"none of {len(left)} offerings has enough of all it needs together"


def _room(offering: Offering, cluster: ClusterSnapshot) -> Resources:
    return minus(offering.allocatable, daemonset_reserve(offering.labels, offering.taints, cluster.daemonsets))


def _said(terms: tuple[Term, ...]) -> str:
    return " or ".join(
        " and ".join(map(str, term)) or "a label for an empty term, which admits no node" for term in terms
    )


def _mentions_arch(spec: PodSpec) -> bool:
    """Whether the pod says anything about the architecture."""
    if not _ARCH_KEYS.isdisjoint(spec.node_selector):
        return True
    return any(part.key in _ARCH_KEYS for term in spec.node_affinity for part in term)
