"""Pods alike but for caps of their own: packed as one shape, and dealt to the nodes in the end.

Many Deployments ask for the same, and each for a few of its own pods at most on a node. Of shapes i that differ in
nothing else, with n_i pods and at most c_i a node, one shape is made with n = Σ n_i pods, of which at most

    C = ⌊n / max_i ⌈n_i / c_i⌉⌋

go on a node. Any packing of it can be dealt. Let each shape be c_i strands of at most ⌈n_i / c_i⌉ pods, of which a node
takes one each. Nodes with a_p <= C pods, n in all, hold for every l <= C

    Σ_p min(a_p, l) >= (l / C) Σ_p a_p = l n / C >= l max_i ⌈n_i / c_i⌉ >= pods of the l longest strands,

which is all that Gale and Ryser (1957) ask for; and dealing node by node, from the strands of which most is left, does
it. C is less than Σ c_i where the n_i differ, and then packings are lost. So only shapes that lose none are classed, as
long as there are few in all; of many, all that are alike: half of the rows and prices are gone, and there are as many
other pods to fill a node with (the scheduling benchmark of Karpenter, 300 shapes: in half of the time, 0.6 % cheaper).

Shapes without such caps are the same pods. Caps that leave less on some nodes, where pods of theirs are bound, are no
caps of this kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.problem import UNLIMITED, Packing, Problem, collected

type Mark = tuple[object, ...]

MANY = 100
"""From so many shapes on, all that are alike are classed, though some packings are lost."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Alike:
    """A problem whose shapes are classes of another's.

    Attributes:
        problem: one shape a class. whole: the other problem.
        class_of: (K,) the class of each of its shapes. most: (K,) how many of its pods a node may hold.
    """

    problem: Problem
    whole: Problem
    class_of: Ints
    most: Ints

    def averaged(self, prices: Floats) -> Floats:
        """The price of a pod of each class, where its shapes have `prices` (K,): the mean over its pods."""
        paid = np.bincount(self.class_of, prices * self.whole.demand, len(self.problem.demand))
        mean: Floats = paid / np.maximum(self.problem.demand, 1)
        single = np.bincount(self.class_of)[self.class_of] == 1
        mean[self.class_of[single]] = prices[single]  # to the last bit
        return mean

    def dealt(self, packing: Packing) -> Packing:
        """A packing of the classes as one of the shapes."""
        rows = np.repeat(np.arange(len(packing.kinds)), packing.counts)
        amounts, kinds = packing.patterns[rows], packing.kinds[rows]
        patterns = np.zeros((len(rows), len(self.whole.demand)), dtype=np.int64)
        for number in range(len(self.problem.demand)):
            shapes = np.flatnonzero(self.class_of == number)
            if len(shapes) == 1:
                patterns[:, shapes[0]] = amounts[:, number]
            else:
                self._deal(patterns, amounts[:, number], shapes)
        return collected(self.whole, [(int(j), pattern, 1) for j, pattern in zip(kinds, patterns, strict=True)])

    def _deal(self, patterns: Ints, amounts: Ints, shapes: Ints) -> None:
        """Give each node (P,) its `amounts` of pods of these shapes, from the strands of which most is left."""
        left = [strand for k in shapes.tolist() for strand in _strands(int(k), self.whole.demand, self.most)]
        if len(left) == len(shapes) and (self.most[shapes] >= UNLIMITED).all():
            _deal_in_turn(patterns, amounts, left)
            return
        for node in np.flatnonzero(amounts).tolist():
            left.sort(key=lambda strand: -strand[1])
            for strand in left[: int(amounts[node])]:
                patterns[node, strand[0]] += 1
                strand[1] -= 1


def _strands(shape: int, demand: Ints, most: Ints) -> list[list[int]]:
    """A shape's pods in strands of which a node holds one pod each: [shape, pods]; in one where nothing caps them."""
    pods = int(demand[shape])
    count = 1 if most[shape] >= UNLIMITED else min(int(most[shape]), pods)
    return [[shape, pods // count + (number < pods % count)] for number in range(count)]


def _deal_in_turn(patterns: Ints, amounts: Ints, left: list[list[int]]) -> None:
    """Deal pods that nothing caps: one shape after the other."""
    for node in np.flatnonzero(amounts).tolist():
        wanted = int(amounts[node])
        for strand in left:
            taken = min(wanted, strand[1])
            patterns[node, strand[0]] += taken
            strand[1] -= taken
            wanted -= taken


def alike(problem: Problem, *, lossless: bool = False) -> Alike:
    """The problem with one shape for many that differ in caps of their own alone; it has no rules across nodes.

    lossless: lose no packing, however many shapes there are.
    """
    private, most = _private_caps(problem)
    marks = _marks(problem, private, most)
    loose: dict[Mark, list[int]] = {}
    for shape, mark in enumerate(marks):
        loose.setdefault(mark, []).append(shape)
    longest = -(-problem.demand // np.maximum(most, 1))
    classes = [part for shapes in loose.values() for part in _without_loss(shapes, problem.demand, most, longest)]
    if not lossless and len(classes) >= MANY:
        classes = list(loose.values())
    classes.sort(key=lambda shapes: shapes[0])
    return _classed(problem, classes, private, most, longest)


def _without_loss(shapes: list[int], demand: Ints, most: Ints, longest: Ints) -> Iterator[list[int]]:
    """Parts of a class for which C is Σ c_i; the whole of it where nothing caps its shapes."""
    part: list[int] = []
    for shape in sorted(shapes, key=lambda k: (-longest[k], k)):
        more = [*part, shape]
        if most[shape] < UNLIMITED and part and demand[more].sum() // longest[part[0]] < most[more].sum():
            yield sorted(part)
            more = [shape]
        part = more
    yield sorted(part)


def _classed(problem: Problem, classes: list[list[int]], private: Ints, most: Ints, longest: Ints) -> Alike:
    """The problem with one shape for each of `classes`, which are in order of their first shapes."""
    class_of = np.zeros(len(problem.demand), dtype=np.int64)
    for number, shapes in enumerate(classes):
        class_of[shapes] = number
    demand = np.bincount(class_of, problem.demand).astype(np.int64)
    firsts = np.array([shapes[0] for shapes in classes], dtype=np.int64)
    requests, capacity = problem.requests[firsts], problem.capacity.copy()
    kept = np.ones(requests.shape[1], dtype=bool)
    for number, shapes in enumerate(classes):
        own = private[problem.requests[shapes][:, private].any(axis=0)]
        if len(shapes) > 1 and len(own):
            kept[own[1:]], requests[number, own] = False, 0
            requests[number, own[0]], capacity[:, own[0]] = 1, demand[number] // longest[shapes].max()
    renumbered = np.cumsum(kept) - 1
    made = replace(
        problem.only_shapes(firsts),
        demand=demand,
        requests=requests[:, kept],
        capacity=capacity[:, kept],
        caps=renumbered[problem.caps[kept[problem.caps]]],
    )
    return Alike(problem=made, whole=problem, class_of=class_of, most=most)


def _private_caps(problem: Problem) -> tuple[Ints, Ints]:
    """Caps that one shape has for itself, the same on all nodes, and what they leave of each shape on a node, (K,)."""
    asked = problem.requests[:, problem.caps] > 0
    room = problem.capacity[:, problem.caps]
    private = problem.caps[(asked.sum(axis=0) == 1) & (room == room[:1]).all(axis=0) & (room > 0).all(axis=0)]
    need = problem.requests[:, private]
    leaves = np.where(need > 0, problem.capacity[0, private] // np.maximum(need, 1), UNLIMITED)
    return private, leaves.min(axis=1, initial=int(UNLIMITED))


def _marks(problem: Problem, private: Ints, most: Ints) -> list[Mark]:
    """What tells a shape from others, caps of its own apart; a shape that such a cap keeps out is like no other."""
    shared = np.delete(problem.requests, private, axis=1)
    across = [
        (rule.owners, rule.members) for rules in (problem.apart, problem.beside, problem.domains) for rule in rules
    ]
    across += [(one.wish.owners, one.wish.members) for one in problem.wishes]
    across += [(one.wish.owners, one.wish.members) for one in problem.domain_wishes]
    asking = [flags for pair in across for flags in pair]
    flags = np.array(asking, dtype=bool).reshape(len(asking), len(problem.demand))
    return [
        (
            shared[k].tobytes(),
            problem.admits[k].tobytes(),
            problem.slice_use[k].tobytes() if len(problem.slice_use) else b"",
            problem.penalty[k].tobytes() if problem.penalty.size else b"",
            flags[:, k].tobytes(),
            most[k] < UNLIMITED,
            -1 if most[k] > 0 else k,
        )
        for k in range(len(problem.demand))
    ]
