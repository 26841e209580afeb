"""Nodes through Karpenter's NodeClaims: raypipe chooses type, zone and capacity type; Karpenter launches and drains."""

from __future__ import annotations

from raypipe.adapters.nodes.backend import ObjectMaker
from raypipe.model.actions import ObjectRef
from raypipe.model.nodes import KARPENTER


class Karpenter(ObjectMaker):
    """Buys by making a NodeClaim, gives back by deleting it."""

    name = KARPENTER

    def give_back(self, node: str, claim: str | None) -> bool:
        """Delete the claim, and Karpenter its node; a node without a claim is not Karpenter's to give back."""
        del node
        return claim is not None and self.writer.delete(ObjectRef(kind="NodeClaim", name=claim))
