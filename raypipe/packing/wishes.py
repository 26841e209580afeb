"""What pods would like of each other: a pod that misses a wish costs so much an hour and is placed all the same.

Letters as in `raypipe.packing.problem`. A wish has *owners* and *members* as a rule has (`raypipe.packing.rules`), and
is looked at in one domain after the other. With o placed owners and t members there, bound ones included, so many of
the owners miss it::

    apart       o   where t − own > 0
    together    o   where t − own = 0
    spread      min(o, max(0, t − least − most))

own is 1 where owners are members themselves, so that nobody keeps from himself or finds himself. The domain is the
node (`NodeWish`, the emptiest node counts as empty) or all nodes with one value of a label (`DomainWish`, least is what
the emptiest eligible domain holds). What a pod would like of its node alone is a price for each pair,
`Problem.penalty`, and so is a wish that a node outside all domains cannot meet.

A wish on a node is part of what a node with a pattern costs. One over domains is not: small problems put its rows under
the MILP over all fillings, larger ones are packed without and then `deal` chooses among the domains of each node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.arrays import Bools, Ints
from raypipe.packing.rules import Apart, Form


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wish:
    """Who wishes what of whom, and what it costs.

    Attributes:
        usd_nanos: nano-dollars an hour for each owner that misses it. own: whether its owners are members.
        most: by how much members may exceed the emptiest domain (spread alone).
    """

    form: Form
    owners: Bools
    members: Bools
    usd_nanos: int
    own: bool = False
    most: int = 0

    def missed(self, owners: Ints, members: Ints, least: int = 0) -> Ints:
        """How many owners miss it, in domains with so many owners and members (bound ones included) each."""
        if self.form is Form.SPREAD:
            missed: Ints = np.minimum(owners, np.maximum(0, members - least - self.most))
        else:
            missed = np.where((members > int(self.own)) == (self.form is Form.APART), owners, 0)
        return missed

    def only_shapes(self, shapes: Ints) -> Wish:
        return replace(self, owners=self.owners[shapes], members=self.members[shapes])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeWish:
    """A wish about the pods on one node. standing: (J,) bound members on a node of each kind."""

    wish: Wish
    standing: Ints

    def missed(self, patterns: Ints, standing: Ints | np.int64) -> Ints:
        """How many pods miss it on nodes with these patterns (P, K), and so many bound members each."""
        owners = patterns[:, self.wish.owners].sum(axis=1)
        members = patterns[:, self.wish.members].sum(axis=1)
        return self.wish.missed(owners, members + standing)

    def kept(self) -> Apart | None:
        """The rule that no pod misses it on any node; None where no such rule stands for a node alone."""
        if self.wish.form is Form.TOGETHER:
            return None
        most = self.wish.most if self.wish.form is Form.SPREAD else int(self.wish.own)
        return Apart(owners=self.wish.owners, members=self.wish.members, most=most - self.standing)

    def only_kinds(self, kinds: Ints) -> NodeWish:
        return replace(self, standing=self.standing[kinds])

    def only_shapes(self, shapes: Ints) -> NodeWish:
        return replace(self, wish=self.wish.only_shapes(shapes))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DomainWish:
    """A wish about the pods in one domain of a topology key.

    Attributes:
        domain: (J,) number of a kind's domain, -1 where it has none or its pods do not count.
        base: (D,) bound members. eligible: (D,) domains among which a spread looks for the emptiest.
        floor_zero: the emptiest counts as empty.
    """

    wish: Wish
    domain: Ints
    base: Ints
    eligible: Bools
    floor_zero: bool = False

    def missed(self, owners: Ints, members: Ints) -> int:
        """How many pods miss it, with so many owners and members placed in each domain, (D,)."""
        total = self.base + members
        return int(self.wish.missed(owners, total, self.least(total)).sum())

    def least(self, total: Ints) -> int:
        """What the emptiest eligible domain holds."""
        if self.floor_zero or not self.eligible.any():
            return 0
        return int(total[self.eligible].min())

    def placed(self, kinds: Ints, patterns: Ints, counts: Ints) -> tuple[Ints, Ints]:
        """Owners and members that a packing puts into each domain, (D,) each."""
        within = self.domain[kinds] >= 0
        found = []
        for shapes in (self.wish.owners, self.wish.members):
            pods = np.zeros(len(self.base), dtype=np.int64)
            np.add.at(pods, self.domain[kinds[within]], (patterns[:, shapes].sum(axis=1) * counts)[within])
            found.append(pods)
        return found[0], found[1]

    def only_kinds(self, kinds: Ints) -> DomainWish:
        return replace(self, domain=self.domain[kinds])

    def only_shapes(self, shapes: Ints) -> DomainWish:
        return replace(self, wish=self.wish.only_shapes(shapes))
