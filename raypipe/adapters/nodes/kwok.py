"""Simulated nodes: a Node object that says what a machine would, kept Ready by KWOK. For tests and rehearsals."""

from __future__ import annotations

from raypipe.adapters.nodes.backend import ObjectMaker
from raypipe.model.actions import ObjectRef
from raypipe.model.nodes import KWOK


class Kwok(ObjectMaker):
    """Buys by making a Node, gives back by deleting it."""

    name = KWOK

    def give_back(self, node: str, claim: str | None) -> bool:
        """Delete the Node."""
        del claim
        return self.writer.delete(ObjectRef(kind="Node", name=node))
