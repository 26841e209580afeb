"""The backend that a cluster's nodes come from, by its name or by what a plan asks to be made."""

from __future__ import annotations

from collections.abc import Callable

from raypipe.adapters.kubernetes.writing import Writer
from raypipe.adapters.nodes.backend import NodeBackend
from raypipe.adapters.nodes.karpenter import Karpenter
from raypipe.adapters.nodes.kwok import Kwok
from raypipe.adapters.nodes.printed import Printed
from raypipe.model.actions import ObjectRef
from raypipe.model.nodes import KARPENTER, KWOK, NODE_GROUPS


def backend_called(name: str, writer: Writer, tell: Callable[[str], None], cluster: str, region: str) -> NodeBackend:
    """The backend of this name; `tell`: where nothing is bought, what to buy. cluster, region: of node groups."""
    if name == KARPENTER:
        return Karpenter(writer)
    if name == KWOK:
        return Kwok(writer)
    if name == NODE_GROUPS:
        from raypipe.adapters.nodes.aws_groups import AwsGroups
        from raypipe.adapters.nodes.node_groups import NodeGroups

        return NodeGroups(cluster, AwsGroups.of_region(region), lambda node: _provider_id(writer, node))
    return Printed(tell)


def _provider_id(writer: Writer, node: str) -> str:
    found = writer.read(ObjectRef(kind="Node", name=node)) or {}
    return str(found.get("spec", {}).get("providerID") or "")
