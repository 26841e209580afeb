"""What pods ask of each other, as arrays: on one node (`Apart`, `Beside`), and within domains of nodes (`DomainRule`).

Letters as in `raypipe.packing.problem`. A rule has *owners*, the pods that ask, and *members*, the pods that are asked
about; a pod may be both. Pods that stay where they are (bound ones) are in the rules' `most`, `held` and `base`, and in
`Problem.admits` where they forbid a place altogether.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from raypipe.packing.arrays import Bools, Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Apart:
    """On a node with a pod of `owners` (K,) there are at most `most` (J,) pods of `members` (K,), owners included."""

    owners: Bools
    members: Bools
    most: Ints

    def holds(self, patterns: Ints, most: Ints | np.int64) -> Bools:
        """Whether each of `patterns` (P, K) keeps it on kinds with these `most` ((P,) or one)."""
        asked = self.asked(patterns)
        kept: Bools = np.logical_or(~asked, patterns[:, self.members].sum(axis=1) <= most)
        return kept

    def asked(self, patterns: Ints) -> Bools:
        """Which patterns (P, K) hold an owner."""
        asked: Bools = np.any(patterns[:, self.owners] > 0, axis=1)
        return asked

    def only_kinds(self, kinds: Ints) -> Apart:
        return replace(self, most=self.most[kinds])

    def only_shapes(self, shapes: Ints) -> Apart:
        return replace(self, owners=self.owners[shapes], members=self.members[shapes])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beside:
    """A pod of `owners` (K,) stands on a node with a pod of `members` (K,), or on a kind that holds one already.

    held: (J,), kinds with a bound member. seed: one node may have members that are owners and no other: its first pod
    needed nobody.
    """

    owners: Bools
    members: Bools
    held: Bools
    seed: bool

    def lonely(self, patterns: Ints, kinds: Ints) -> Bools:
        """Which nodes, (P, K) patterns on (P,) kinds, hold an owner and no member that is not one itself."""
        asked = np.any(patterns[:, self.owners] > 0, axis=1)
        helped = np.any(patterns[:, self.members & ~self.owners] > 0, axis=1)
        lonely: Bools = asked & ~helped & ~self.held[kinds]
        return lonely

    def may_begin(self, patterns: Ints) -> Bools:
        """Which patterns (P, K) hold an owner that meets its own wish."""
        begins: Bools = np.any(patterns[:, self.owners & self.members] > 0, axis=1)
        return begins & self.seed

    def only_kinds(self, kinds: Ints) -> Beside:
        return replace(self, held=self.held[kinds])

    def only_shapes(self, shapes: Ints) -> Beside:
        return replace(self, owners=self.owners[shapes], members=self.members[shapes])


class Form(StrEnum):
    """What is asked of a domain."""

    SPREAD = "spread"
    APART = "apart"
    TOGETHER = "together"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DomainRule:
    """What `owners` (K,) ask of `members` (K,) within the domains of one topology key.

    With t_d members in domain d in the end, bound ones included, and only domains d with an owner placed by this plan:

    * spread: t_d − min_{e eligible} t_e <= most (the minimum is 0 where `floor_zero`);
    * apart: members placed by this plan in d are at most `most` (1: the owner itself; 0: it is no member);
    * together: d holds a bound member or a member that is no owner; one domain may do without (`seed`).

    Attributes:
        domain: (J,) number of a kind's domain, -1 where it has none or its pods do not count.
        base: (D,) bound members. eligible: (D,) domains that a spread looks at.
    """

    form: Form
    owners: Bools
    members: Bools
    domain: Ints
    base: Ints
    eligible: Bools
    most: int = 0
    floor_zero: bool = False
    seed: bool = False

    def only_kinds(self, kinds: Ints) -> DomainRule:
        return replace(self, domain=self.domain[kinds])

    def only_shapes(self, shapes: Ints) -> DomainRule:
        return replace(self, owners=self.owners[shapes], members=self.members[shapes])

    def broken(self, placed: Ints) -> bool:
        """Whether pods by shape and domain, (K, D), break it."""
        owners = placed[self.owners].sum(axis=0)
        members = self.base + placed[self.members].sum(axis=0)
        asked = owners > 0
        if self.form is Form.SPREAD:
            least = 0 if self.floor_zero else int(members[self.eligible].min(initial=np.iinfo(np.int64).max))
            return bool((members[asked] - least > self.most).any())
        if self.form is Form.APART:
            return bool((members[asked] - self.base[asked] > self.most).any())
        helped = self.base + placed[self.members & ~self.owners].sum(axis=0) > 0
        lonely = np.flatnonzero(asked & ~helped)
        begun = placed[self.owners & self.members].sum(axis=0)[lonely] > 0
        return len(lonely) > int(self.seed) or not begun.all()
