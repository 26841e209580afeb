"""Simulated nodes: a Node object that says what a machine would, kept Ready by KWOK. For tests and rehearsals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.adapters.kubernetes.writing import Writer
from raypipe.adapters.nodes.backend import create_once
from raypipe.model.actions import Action, ObjectRef
from raypipe.model.nodes import KWOK


class Kwok:
    """Buys by making a Node, gives back by deleting it."""

    name = KWOK

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def buyable(self) -> None:
        """Every offering."""

    def buy(self, action: Action, one: Mapping[str, Any]) -> str:
        """Make the Node."""
        del action
        return create_once(self._writer, one)

    def give_back(self, node: str, claim: str | None) -> bool:
        """Delete the Node."""
        del claim
        return self._writer.delete(ObjectRef(kind="Node", name=node))
