"""Nodes through Karpenter's NodeClaims: raypipe chooses type, zone and capacity type; Karpenter launches and drains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.adapters.kubernetes.writing import Writer
from raypipe.adapters.nodes.backend import create_once
from raypipe.model.actions import Action, ObjectRef
from raypipe.model.nodes import KARPENTER


class Karpenter:
    """Buys by making a NodeClaim, gives back by deleting it."""

    name = KARPENTER

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def buyable(self) -> None:
        """Every offering: what is sold out shows when it is bought."""

    def buy(self, action: Action, one: Mapping[str, Any]) -> str:
        """Make the claim."""
        del action
        return create_once(self._writer, one)

    def give_back(self, node: str, claim: str | None) -> bool:
        """Delete the claim, and Karpenter its node; a node without a claim is not Karpenter's to give back."""
        del node
        return claim is not None and self._writer.delete(ObjectRef(kind="NodeClaim", name=claim))
