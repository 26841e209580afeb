"""What every way of buying nodes offers, and the one way to make an object by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from raypipe.adapters.kubernetes.server import RefusedError
from raypipe.adapters.kubernetes.writing import ALREADY_EXISTS, Writer
from raypipe.errors import ClusterError
from raypipe.model.actions import DECISION, Action, ObjectRef
from raypipe.model.nodes import Buyable


class NodeBackend(Protocol):
    """One way to buy nodes for one cluster, and to give them back.

    Attributes:
        name: as `nodes` of the fleet file has it.
    """

    @property
    def name(self) -> str: ...

    def buyable(self) -> tuple[Buyable, ...] | None:
        """What can be bought now; None: every offering of the catalogue."""

    def buy(self, action: Action, one: Mapping[str, Any]) -> str:
        """Buy the node of a BuyNode, whose object is `one`; words for a person, "" where there is nothing to add.

        The same decision's node is bought once, however often this is called. ClusterError where it cannot be had.
        """

    def give_back(self, node: str, claim: str | None) -> bool:
        """Let a node go that holds no pods to wait for; `claim`: its NodeClaim. Whether there was anything to do."""


class ObjectMaker:
    """What the ways have in common for which a node is bought by making an object of its name."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def buyable(self) -> None:
        """Every offering: what is sold out shows when it is bought."""

    def buy(self, action: Action, one: Mapping[str, Any]) -> str:
        """Make the object."""
        del action
        return create_once(self.writer, one)


class TakenNameError(ClusterError):
    """An object of this name is there, and this decision has not made it."""


def create_once(writer: Writer, one: Mapping[str, Any]) -> str:
    """Make an object, unless the same decision has made it before; TakenNameError where it is another's."""
    try:
        writer.create(one)
    except RefusedError as error:
        if error.reason != ALREADY_EXISTS:
            raise
        return _made_before(writer, one)
    return ""


def _made_before(writer: Writer, one: Mapping[str, Any]) -> str:
    kind, name, decision = one["kind"], one["metadata"]["name"], one["metadata"]["annotations"][DECISION]
    there = writer.read(ObjectRef(kind=kind, name=name)) or {}
    metadata = there.get("metadata", {})
    other = (metadata.get("annotations") or {}).get(DECISION)
    if other != decision:
        raise TakenNameError(f"{kind} {name} exists, of {f'decision {other}' if other else 'nobody that is known'}")
    if metadata.get("deletionTimestamp"):
        raise TakenNameError(f"{kind} {name} was bought before and is being deleted")
    return "bought before"
