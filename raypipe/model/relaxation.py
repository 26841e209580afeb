"""What may be given up for pods that fit nothing: wishes about the node that bind nobody but its buyer.

Only annotations are among it (Luna's words and raypipe's): kube-scheduler does not know them, so that a pod runs on a
node bought without them. What a pod's own specification asks (selectors, affinity, requests, tolerations) is never
given up: a plan without it would buy nodes on which the pod cannot run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from raypipe.model.pods import PodSpec
from raypipe.settings import RELAXABLE

_WITHOUT: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "instance-gpu-skus": {"gpu_skus": ()},
        "instance-max-gpus": {"max_gpus": None},
        "instance-max-cost": {"max_usd_nanos_per_hour": None},
        "instance-offerings": {"capacity_types": ()},
        "instance-family-inclusions": {"family_inclusions": ()},
        "instance-family-exclusions": {"family_exclusions": ()},
        "instance-type-regexp": {"type_regexp": None},
    }
)
if tuple(_WITHOUT) != RELAXABLE:
    raise ImportError("each word of the setting `relax` stands for fields of a PodSpec")


def asked(spec: PodSpec, word: str) -> bool:
    """Whether a pod asks for what a word of the setting `relax` may give up."""
    return any(getattr(spec, field) != nothing for field, nothing in _WITHOUT[word].items())


def without(spec: PodSpec, words: Collection[str]) -> PodSpec:
    """The pod as if it did not ask for these."""
    changes = {field: nothing for word in words for field, nothing in _WITHOUT[word].items()}
    return replace(spec, **changes) if changes else spec
