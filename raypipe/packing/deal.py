"""Which domain each node goes to, where pods would like something of the domain that they are in.

A packing made without wishes over domains is as good in one zone as in the other: what can be bought costs the same in
many of them. So each node that is bought is offered the cheapest kind that holds its pods in every other cell, and
takes it where that lowers the objective,

    c_j(a) + Σ over domain wishes of their price times the owners that miss them,

the others staying as they are; until nothing changes, a few times over all nodes at most. It is a descent and ends
where no single node gains: what is printed is recounted, and the bound does not depend on it.

Nodes with pods that a rule over domains speaks of stay where the rule has put them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected
from raypipe.packing.rounding import holding
from raypipe.packing.rules import Form
from raypipe.packing.wishes import DomainWish

ROUNDS = 4
"""Most times that all nodes are looked at."""


def dealt(problem: Problem, packing: Packing) -> Packing:
    """The packing with each bought node in the cell that suits its pods best."""
    choices = _choices(problem, packing)
    tallies = [_Tally(one, packing) for one in problem.domain_wishes]
    nodes = [
        _Node(p, int(kind)) for p, kind in enumerate(packing.kinds) for _ in range(int(packing.counts[p])) if choices[p]
    ]
    for _ in range(ROUNDS):
        if not sum(_moved(node, choices[node.row], tallies) for node in nodes):
            break
    moving = {node.row for node in nodes}
    rows = [(node.kind, packing.patterns[node.row], 1) for node in nodes]
    rows += [
        (int(packing.kinds[p]), packing.patterns[p], int(packing.counts[p]))
        for p in range(len(packing.kinds))
        if p not in moving
    ]
    return collected(problem, rows)


@dataclass(slots=True)
class _Node:
    """One node: its row in the packing, and its kind as it is now."""

    row: int
    kind: int


def _choices(problem: Problem, packing: Packing) -> list[dict[int, int]]:
    """For each row of the packing the kinds it may be, one a cell, with their cost; empty where it has to stay."""
    endless = np.flatnonzero(problem.most >= UNLIMITED)
    holds = holding(replace(problem, cell=problem.cell[:0]), packing, endless)
    stays = problem.most[packing.kinds] < UNLIMITED
    for rule in problem.domains:
        stays |= (packing.patterns[:, rule.owners | rule.members] > 0).any(axis=1)
    choices: list[dict[int, int]] = []
    for p, kind in enumerate(packing.kinds.tolist()):
        if stays[p]:
            choices.append({})
            continue
        within = (problem.weights[:, endless] <= problem.weights[:, kind, None]).all(axis=0)
        kinds = endless[holds[p] & within]
        costs = problem.cost(kinds, np.repeat(packing.patterns[p][None, :], len(kinds), axis=0))
        order = np.lexsort((problem.rank[kinds], costs))
        cells = problem.cell[kinds[order]]
        _, first = np.unique(cells, return_index=True)
        chosen = {int(kinds[order[i]]): int(costs[order[i]]) for i in np.sort(first)}
        own = problem.cost(np.array([kind]), packing.patterns[p][None, :])
        chosen.setdefault(kind, int(own[0]))
        fitting = {j: cost for j, cost in chosen.items() if problem.slices_fit(packing.patterns[p], j)}
        choices.append(fitting if len(fitting) > 1 else {})
    return choices


class _Tally:
    """How many owners and members of a wish are in each domain, and what each row of the packing brings."""

    def __init__(self, one: DomainWish, packing: Packing) -> None:
        owners, members = one.placed(packing.kinds, packing.patterns, packing.counts)
        self._one, self._usd_nanos = one, one.wish.usd_nanos
        self._owners: list[int] = owners.tolist()
        self._members: list[int] = (one.base + members).tolist()
        self._eligible: list[int] = np.flatnonzero(one.eligible).tolist()
        self._domain: list[int] = one.domain.tolist()
        self._brings = list(
            zip(
                packing.patterns[:, one.wish.owners].sum(axis=1).tolist(),
                packing.patterns[:, one.wish.members].sum(axis=1).tolist(),
                strict=True,
            )
        )

    def cares(self, row: int) -> bool:
        """Whether the wish is about any pod of a row."""
        return any(self._brings[row])

    def move(self, row: int, old: int, new: int) -> None:
        """Take a node of a row from its kind `old` to `new`."""
        owners, members = self._brings[row]
        for kind, sign in ((old, -1), (new, 1)):
            d = self._domain[kind]
            if d >= 0:
                self._owners[d] += sign * owners
                self._members[d] += sign * members

    def cost(self) -> int:
        """What the pods miss as they stand, in nano-dollars."""
        wish = self._one.wish
        if wish.form is Form.SPREAD:
            least = 0
            if not self._one.floor_zero and self._eligible:
                least = min(self._members[d] for d in self._eligible)
            over = least + wish.most
            missed = sum(min(o, max(0, t - over)) for o, t in zip(self._owners, self._members, strict=True))
        else:
            own, apart = int(wish.own), wish.form is Form.APART
            missed = sum(o for o, t in zip(self._owners, self._members, strict=True) if (t > own) is apart)
        return self._usd_nanos * missed


def _moved(node: _Node, choices: dict[int, int], tallies: Sequence[_Tally]) -> bool:
    """Give a node the kind that lowers the objective most; whether there is one."""
    caring = [tally for tally in tallies if tally.cares(node.row)]
    best, least = node.kind, choices[node.kind] + sum(tally.cost() for tally in caring)
    for kind, cost in choices.items():
        if kind == node.kind:
            continue
        _all_moved(caring, node.row, node.kind, kind)
        total = cost + sum(tally.cost() for tally in caring)
        _all_moved(caring, node.row, kind, node.kind)
        if total < least:
            best, least = kind, total
    if best == node.kind:
        return False
    _all_moved(caring, node.row, node.kind, best)
    node.kind = best
    return True


def _all_moved(tallies: Sequence[_Tally], row: int, old: int, new: int) -> None:
    for tally in tallies:
        tally.move(row, old, new)
