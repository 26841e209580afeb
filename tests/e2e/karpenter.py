"""Objects of Karpenter, with the class of its simulated provider."""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.api import Object

NODE_CLASS: Object = {
    "apiVersion": "karpenter.kwok.sh/v1alpha1",
    "kind": "KWOKNodeClass",
    "metadata": {"name": "default"},
}


def node_claim(
    name: str,
    instance_type: str,
    zone: str,
    capacity_type: str = "spot",
    *,
    requests: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    startup_taints: tuple[Mapping[str, str], ...] = (),
) -> Object:
    """A claim of exactly one offering, of no NodePool; its node's capacity is what `requests` says."""
    wanted = {
        "node.kubernetes.io/instance-type": instance_type,
        "topology.kubernetes.io/zone": zone,
        "karpenter.sh/capacity-type": capacity_type,
    }
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": name, "labels": dict(labels or {}), "annotations": dict(annotations or {})},
        "spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
            "requirements": [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()],
            "resources": {"requests": dict(requests)},
            "startupTaints": [dict(taint) for taint in startup_taints],
            "expireAfter": "Never",
        },
    }
