"""Where a cluster is, as far as somebody or its own nodes say so: provider and region.

A node's region is a label. Its provider is the scheme of `spec.providerID`, which the cloud's own controller writes, or
a label that only one cloud's nodes carry. Nodes need not agree (a label may be anybody's): what most of them say holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raypipe.manifests.objects import KubeObject
from raypipe.model.requirements import DEPRECATED_LABELS, REGION

_SCHEMES: Mapping[str, str] = {"aws": "aws", "gce": "gcp", "azure": "azure"}
_LABELS: Mapping[str, str] = {
    "eks.amazonaws.com/": "aws",
    "karpenter.k8s.aws/": "aws",
    "cloud.google.com/gke-": "gcp",
    "kubernetes.azure.com/": "azure",
}
_REGIONS = (REGION, *(old for old, new in DEPRECATED_LABELS.items() if new == REGION))


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Provider and region, each None where nobody says it."""

    provider: str | None = None
    region: str | None = None


def place_of(nodes: Iterable[KubeObject]) -> Place:
    """Where most of the nodes are; of equally many the first by name."""
    places = [(_provider(one), _region(one)) for one in nodes]
    provider = _most(provider for provider, _ in places)
    return Place(provider=provider, region=_most(region for one, region in places if one == provider))


def _most(words: Iterable[str | None]) -> str | None:
    counts = Counter(word for word in words if word is not None)
    return min(counts, key=lambda word: (-counts[word], word), default=None)


def _provider(node: KubeObject) -> str | None:
    stated = node.root.plain("spec", "providerID")
    scheme = stated.partition("://")[0] if isinstance(stated, str) else ""
    if scheme in _SCHEMES:
        return _SCHEMES[scheme]
    labels = sorted(node.labels.mapping())
    return next((cloud for key in labels for prefix, cloud in _LABELS.items() if str(key).startswith(prefix)), None)


def _region(node: KubeObject) -> str | None:
    return next((region for key in _REGIONS if (region := node.label(key))), None)
