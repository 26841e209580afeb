"""Annotations by which a pod says what node it wants: Luna's words, and the same under ``raypipe.io/``.

``instance-gpu-skus``, ``-max-gpus``, ``-max-cost``, ``-offerings``, ``-family-inclusions``, ``-family-exclusions``,
``-type-regexp``. Where both prefixes are given, raypipe's own wins. A regular expression is Python's, searched in the
full type name (`regexps` says which are refused).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.errors import nearest
from raypipe.manifests.fields import Field, said
from raypipe.manifests.regexps import refusal
from raypipe.model.requirements import gpu_name

OWN_PREFIX = "raypipe.io/"
PREFIXES = ("node.elotl.co/", OWN_PREFIX)
GPU_SHARED_ANNOTATION = "raypipe.io/gpu-shared"
GPU_MEMORY = "raypipe.io/gpu-memory"
IGNORE = ("pod.elotl.co/ignore", "raypipe.io/ignore")
PROTECTED_WHEN_TRUE = ("pod.elotl.co/do-not-evict", "raypipe.io/do-not-evict", "karpenter.sh/do-not-disrupt")
KNOWN_PREFIXES = (
    "node.elotl.co/",
    "pod.elotl.co/",
    "raypipe.io/",
    "karpenter.sh/",
    "cluster-autoscaler.kubernetes.io/",
)
"""Annotations that a `PodSpec` may depend on begin so."""

SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
OFFERINGS = ("spot", "on-demand", "reserved", "fargate")
_NAMES = (
    "instance-gpu-skus",
    "instance-max-gpus",
    "instance-max-cost",
    "instance-offerings",
    "instance-family-inclusions",
    "instance-family-exclusions",
    "instance-type-regexp",
)
_OWN = (
    *("gpu-shared", "gpu-memory", "ignore", "do-not-evict"),
    *("admit", "suspended-by", "requested-replicas", "alternatives", "speed"),
    *("managed", "limits", "cluster", "decision", "pods", "cordoned", "removing", "starting"),
)
"""raypipe's own annotations (instance-… apart) on pods, on Ray objects and their groups, on NodePools and nodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the annotations say, in the fields of a PodSpec."""

    gpu_skus: tuple[str, ...] = ()
    max_gpus: int | None = None
    max_usd_nanos_per_hour: int | None = None
    capacity_types: tuple[str, ...] = ()
    family_inclusions: tuple[str, ...] = ()
    family_exclusions: tuple[str, ...] = ()
    type_regexp: str | None = None
    instance_annotation: bool = False


NOTHING = Placement()


def placement(annotations: Field) -> Placement:
    """Read a pod's annotations."""
    if not isinstance(annotations.value, dict):
        annotations.mapping()
        return NOTHING
    found = {name: one for name in _NAMES if (one := _stated(annotations, name)) is not None}
    _refuse_unknown(annotations)
    if not found:
        return NOTHING
    gpus = found.get("instance-max-gpus")
    cost = found.get("instance-max-cost")
    return Placement(
        gpu_skus=tuple(dict.fromkeys(gpu_name(word) for word in _words(found.get("instance-gpu-skus")))),
        max_gpus=_count(gpus) if gpus is not None else None,
        max_usd_nanos_per_hour=cost.usd_per_hour() if cost is not None else None,
        capacity_types=_offerings(found.get("instance-offerings")),
        family_inclusions=tuple(word.lower() for word in _words(found.get("instance-family-inclusions"))),
        family_exclusions=tuple(word.lower() for word in _words(found.get("instance-family-exclusions"))),
        type_regexp=_regexp(found.get("instance-type-regexp")),
        instance_annotation=True,
    )


def _refuse_unknown(annotations: Field) -> None:
    """A misspelt instance-… annotation would be silently ignored: it is an error instead."""
    refuse_misspelt(annotations)
    for key, one in annotations.fields():
        prefix = next((prefix for prefix in PREFIXES if key.startswith(f"{prefix}instance-")), None)
        if prefix is not None and key.removeprefix(prefix) not in _NAMES:
            near = nearest(key.removeprefix(prefix), _NAMES)
            one.problem(f"an unknown annotation {key[:80]!r}", "one that is known", prefix + near if near else None)


def refuse_misspelt(annotations: Field) -> None:
    """So would ``raypipe.io/limit`` on a NodePool, and nothing would bind: what is near to a word of ours is an error.

    Other words under our prefix may come from another version and are left alone.
    """
    for key, one in annotations.fields():
        name = key.removeprefix(OWN_PREFIX)
        if key.startswith(OWN_PREFIX) and name not in _OWN and not name.startswith("instance-"):
            near = nearest(name, _OWN)
            if near is not None:
                one.problem(f"an unknown annotation {key[:80]!r}", "one that is known", OWN_PREFIX + near)


def _stated(annotations: Field, name: str) -> Field | None:
    for prefix in reversed(PREFIXES):
        one = annotations.get(prefix + name)
        if one.value is not None:
            return one
    return None


def _words(one: Field | None) -> list[str]:
    if one is None:
        return []
    return [word.strip() for word in one.text().split(",") if word.strip()]


def _count(one: Field) -> int | None:
    text = one.word().strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    one.problem(said(one.value), "a whole number of GPUs")
    return None


def _offerings(one: Field | None) -> tuple[str, ...]:
    result = []
    for word in _words(one):
        if word.lower() in OFFERINGS:
            result.append(word.lower())
        elif one is not None:
            one.problem(repr(word)[:80], f"one of {', '.join(OFFERINGS)}", nearest(word, OFFERINGS))
    return tuple(sorted(set(result)))


def _regexp(one: Field | None) -> str | None:
    if one is None:
        return None
    text = one.text()
    wrong = refusal(text)
    if wrong is not None:
        expected = r"a regular expression that Python reads and that is quick, such as '^r6a\.xlarge$'"
        one.problem(f"{text[:60]!r} ({wrong})", expected)
        return None
    return text or None


def is_true(annotations: object, names: tuple[str, ...]) -> bool:
    """Whether one of these annotations says true."""
    return isinstance(annotations, dict) and any(annotations.get(name) in ("true", True) for name in names)


def protected(annotations: Field) -> bool:
    """Whether the pod may never be evicted."""
    return isinstance(annotations.value, dict) and protecting(annotations.value) is not None


def protecting(annotations: Mapping[str, Any]) -> str | None:
    """The annotation that says that the pod may never be evicted, or None.

    >>> protecting({"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"})
    'cluster-autoscaler.kubernetes.io/safe-to-evict: false'
    """
    for name in PROTECTED_WHEN_TRUE:
        if is_true(annotations, (name,)):
            return name
    return f"{SAFE_TO_EVICT}: false" if annotations.get(SAFE_TO_EVICT) in ("false", False) else None
