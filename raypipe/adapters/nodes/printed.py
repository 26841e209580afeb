"""Nodes that somebody else buys: each is shown as the object to make, for a repository that is applied elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import yaml

from raypipe.model.actions import Action
from raypipe.model.nodes import PRINT


class Printed:
    """Buys nothing: tells what to make, in YAML, and what to delete."""

    name = PRINT

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def buyable(self) -> None:
        """Every offering."""

    def buy(self, action: Action, one: Mapping[str, Any]) -> str:
        """Show the object, and why it is wanted."""
        self._tell(f"---\n# {action.reason}\n{yaml.safe_dump(dict(one), sort_keys=False, width=120)}")
        return "shown, not bought"

    def give_back(self, node: str, claim: str | None) -> bool:
        """Show what to delete; nothing is done here."""
        self._tell(f"# delete {f'NodeClaim {claim}' if claim is not None else f'Node {node}'}\n")
        return False
