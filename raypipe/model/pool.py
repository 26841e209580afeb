"""The pattern pool: what one plan of a cluster hands on to the next, so that the next need not start from nothing.

After a few pods have come and gone, most of the nodes worth buying are filled as they were before. The pool names those
fillings in words that outlast a plan: a node by what is bought, not by its number in a list; a pod by its *shape*, a
digest of its request, of where its own words let it go and of what it asks of other pods and they of it. So keys,
counts and the order of the input may all change, and what is still known is still of use.

A pool is advice and no promise. Whoever uses it drops the names that mean nothing now, cuts each filling down to what
is wanted, counts anew whether it fits, and verifies the packing as ever: a wrong pool costs time. It is an input of the
plan all the same, because another pool may lead to another plan of the same quality: it is saved in the snapshot, has
a digest of its own (`inputs.pool`), and enters the decision id.

Refused: handing on solver state (a basis means nothing once a row is gone), and whole plans (most of a plan is names).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

POOL_SCHEMA = "raypipe.pool/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKind:
    """What a node is to a pool.

    Attributes:
        zone: None where the plan did not tell zones apart. pool: the NodePool it is bought through, or None.
        gpu_slices: slices a GPU, 0 where GPUs are whole.
    """

    instance_type: str
    capacity_type: str
    zone: str | None = None
    pool: str | None = None
    gpu_slices: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One filling of a node: pods of each shape; `nodes` of the plan are filled so (0: it was nearly worth it)."""

    node: NodeKind
    pods: Mapping[str, int]
    nodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Fillings worth trying first, in a fixed order, and what a pod of each shape cost ($ nanos an hour)."""

    patterns: tuple[Pattern, ...] = ()
    usd_nanos_per_hour: Mapping[str, int] = field(default_factory=dict)
    schema: str = POOL_SCHEMA

    def to_json(self) -> str:
        """The pool as text that `from_json` reads back to an equal value."""
        return msgspec.json.encode(self, order="sorted").decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Pool:
        """Read what `to_json` wrote; raise ValueError saying what is wrong."""
        pool = msgspec.json.decode(text, type=cls)
        if pool.schema != POOL_SCHEMA:
            raise ValueError(f"schema: found {pool.schema!r:.60}, expected {POOL_SCHEMA!r}")
        return pool
