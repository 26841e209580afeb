"""The packing problem as arrays: shapes of pods, kinds of node, and the limits over all of them.

Letters, the same in every docstring of this package::

    k  shapes: pods with identical requests and identical compatibility     n_k   pods of shape k
    j  kinds of node: offerings that can be bought, classes of like         c_j   price of one node
       existing nodes, reserved capacity                                    u_j   most nodes of it (infinite: -1)
    r  resources, pods-per-node among them                                  d_kr  request, C_jr  capacity (net)
    q  limits                                                               w_qj  what a node counts, L_q  what is left

    min Σ_j c_j y_j   s.t. every pod is on one node, Σ_k d_kr a_k <= C_jr on every node of kind j with a_k pods of
    shape k, a_k > 0 only where K_kj, y_j <= u_j, Σ_j w_qj y_j <= L_q.

An existing node is a kind of price 0 with few nodes, so that nothing below needs to know the difference. Prices are
integer nano-dollars an hour, amounts integers in the smallest unit; a solver's floats are never believed, `verify`
recounts a packing in integers.

GPU slices (semantics.md) add one constraint that is not linear: the slices on one GPU may not exceed its memory.
`slices_fit` decides it exactly; models use the linear part (slices, and their memory in total).

What pods ask of each other comes in three forms. "At most c pods of a group on a node", where the group's own pods ask
it (anti-affinity and spread over hostnames, host ports), is a resource of which such a pod takes 1 and a node has c (a
*cap*), so that everything below keeps it, the bound included. The other forms are values of `raypipe.packing.rules`: on
one node (`Apart`, `Beside`) and within domains such as zones (`DomainRule`); `raypipe.packing.domains` brings the last
two down to the rest.

What pods would like and need not get is priced: W_kj for each pod of shape k on kind j (`penalty`), and what is wished
of other pods (`raypipe.packing.wishes`). Then a node of kind j with pattern a costs c_j + Σ_k a_k W_kj + what its pods
miss of each other, `Problem.cost`, and everything below compares by that. Where nothing is wished it is c_j.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np

from raypipe.packing.arrays import Bools, Floats, Ints
from raypipe.packing.rules import Apart, Beside, DomainRule
from raypipe.packing.wishes import DomainWish, NodeWish

UNLIMITED = np.int64(2**40)
"""u_j of what can be bought without end."""

ENDLESS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicing:
    """Time-sliced GPUs of one kind of node: so many of them, in so many slices, each with so much memory.

    `taken` are the memory sizes of slices that pods already there hold.
    """

    gpus: int
    slices: int
    memory_bytes: int
    taken: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One packing problem.

    Attributes:
        demand: n, shape (K,). requests: d, (K, R). capacity: C, (J, R). price: c, (J,) nano-dollars an hour.
        admits: K_kj without size, (K, J). most: u, (J,). weights: w, (Q, J). limits: L, (Q,).
        rank: (J,) order among equals, the smallest first; ties of price are broken by it.
        slicing: for kinds with sliced GPUs. slice_use: (K, 2) slices of a pod and memory a slice, in bytes.
        caps: (G,) columns of `requests` and `capacity` that count pods of a group; requests there are 0 or 1.
        apart, beside, domains: what pods ask of each other.
        cell: (J,) kinds in the same domain of every rule; others are never swapped for each other. Empty: no rule.
        penalty: W, (K, J) nano-dollars an hour; (0, 0) where no pod prefers a kind.
        wishes, domain_wishes: what pods would like of each other, on one node and within domains.
    """

    demand: Ints
    requests: Ints
    capacity: Ints
    price: Ints
    admits: Bools
    most: Ints
    weights: Ints
    limits: Ints
    rank: Ints
    slicing: tuple[Slicing | None, ...] = ()
    slice_use: Ints = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    caps: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    apart: tuple[Apart, ...] = ()
    beside: tuple[Beside, ...] = ()
    domains: tuple[DomainRule, ...] = ()
    cell: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    penalty: Ints = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    wishes: tuple[NodeWish, ...] = ()
    domain_wishes: tuple[DomainWish, ...] = ()

    def __getstate__(self) -> dict[str, object]:
        """What travels: its fields, and nothing that can be worked out again."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def limit_size(self) -> Floats:
        """The largest weight of each limit, (Q,): solvers see weights and limits as shares of it."""
        size: Floats = np.maximum(self.weights.max(axis=1, initial=1), 1).astype(np.float64)
        return size

    @cached_property
    def scaled_weights(self) -> Floats:
        """w as solvers see it, (Q, J), at most 1."""
        return self.weights / self.limit_size[:, None]

    @property
    def scaled_limits(self) -> Floats:
        """L as solvers see it, (Q,)."""
        return self.limits / self.limit_size

    @cached_property
    def fits(self) -> Bools:
        """K_kj with size: whether one pod of shape k goes on an empty node of kind j, (K, J)."""
        fits = self.admits.copy()
        scarce = self.requests.max(axis=0, initial=0) > self.capacity.min(axis=0, initial=ENDLESS)
        for resource in np.flatnonzero(scarce):  # most caps keep nobody out of an empty node
            fits &= self.requests[:, resource, None] <= self.capacity[None, :, resource]
        for j, sliced in enumerate(self.slicing):
            if sliced is not None:
                fits[:, j] &= self.slice_use[:, 1] <= sliced.memory_bytes
        for rule in self.apart:
            fits &= ~rule.owners[:, None] | (rule.most >= rule.members.astype(np.int64)[:, None])
        return fits

    @cached_property
    def fit_columns(self) -> tuple[Bools, Ints]:
        """The distinct columns of `fits`, (K, D), and which of them each kind has, (J,): many kinds hold the same."""
        packed = np.packbits(self.fits, axis=0).T
        _, first, of = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        return self.fits[:, first], of.reshape(-1)

    @property
    def is_ruled(self) -> bool:
        """Whether pods ask things of each other that a node alone cannot answer."""
        return bool(self.domains or self.beside)

    @property
    def is_wished(self) -> bool:
        """Whether pods would like something, so that what a node costs depends on what is on it."""
        return bool(self.penalty.size or self.wishes or self.domain_wishes)

    @cached_property
    def as_wished(self) -> Problem:
        """The problem where each wish about the pods on a node is a rule, as far as a node alone can keep it.

        Where owners are the members, as they are most often, the rule is a cap: there are many, and caps are quick.
        """
        rules = [rule for wish in self.wishes if (rule := wish.kept()) is not None]
        caps = [rule for rule in rules if (rule.owners == rule.members).all()]
        first = self.requests.shape[1]
        return replace(
            self,
            requests=np.column_stack((self.requests, *(rule.members.astype(np.int64) for rule in caps))),
            capacity=np.column_stack((self.capacity, *(np.maximum(rule.most, 0) for rule in caps))),
            caps=np.concatenate((self.caps, first + np.arange(len(caps)))).astype(np.int64),
            apart=(*self.apart, *(rule for rule in rules if not (rule.owners == rule.members).all())),
        )

    def penalties(self, kinds: Ints, patterns: Ints) -> Ints:
        """What pods miss on nodes of `kinds` (P,) with `patterns` (P, K), domains apart, (P,) nano-dollars an hour."""
        missed = np.zeros(len(kinds), dtype=np.int64)
        if self.penalty.size:
            missed += np.einsum("pk,kp->p", patterns, self.penalty[:, kinds])
        for one in self.wishes:
            missed += one.wish.usd_nanos * one.missed(patterns, one.standing[kinds])
        return missed

    def cost(self, kinds: Ints, patterns: Ints) -> Ints:
        """What nodes of `kinds` (P,) with `patterns` (P, K) cost, domains apart, (P,) nano-dollars an hour."""
        cost: Ints = self.price[kinds]
        return cost + self.penalties(kinds, patterns) if self.is_wished else cost

    def only_kinds(self, kinds: Ints) -> Problem:
        """The problem with these kinds alone, in this order."""
        return replace(
            self,
            capacity=self.capacity[kinds],
            price=self.price[kinds],
            admits=self.admits[:, kinds],
            most=self.most[kinds],
            weights=self.weights[:, kinds],
            rank=self.rank[kinds],
            slicing=tuple(self.slicing[j] for j in kinds) if self.slicing else (),
            apart=tuple(rule.only_kinds(kinds) for rule in self.apart),
            beside=tuple(rule.only_kinds(kinds) for rule in self.beside),
            domains=tuple(rule.only_kinds(kinds) for rule in self.domains),
            cell=self.cell[kinds] if len(self.cell) else self.cell,
            penalty=self.penalty[:, kinds] if self.penalty.size else self.penalty,
            wishes=tuple(wish.only_kinds(kinds) for wish in self.wishes),
            domain_wishes=tuple(wish.only_kinds(kinds) for wish in self.domain_wishes),
        )

    def only_shapes(self, shapes: Ints) -> Problem:
        """The problem with these shapes alone, in this order."""
        return replace(
            self,
            demand=self.demand[shapes],
            requests=self.requests[shapes],
            admits=self.admits[shapes],
            slice_use=self.slice_use[shapes] if len(self.slice_use) else self.slice_use,
            apart=tuple(rule.only_shapes(shapes) for rule in self.apart if rule.owners[shapes].any()),
            beside=tuple(rule.only_shapes(shapes) for rule in self.beside if rule.owners[shapes].any()),
            domains=tuple(rule.only_shapes(shapes) for rule in self.domains if rule.owners[shapes].any()),
            penalty=self.penalty[shapes] if self.penalty.size else self.penalty,
            wishes=tuple(one.only_shapes(shapes) for one in self.wishes if one.wish.owners[shapes].any()),
            domain_wishes=tuple(one.only_shapes(shapes) for one in self.domain_wishes if one.wish.owners[shapes].any()),
        )

    def with_demand(self, demand: Ints) -> Problem:
        """The same kinds for another demand; what does not depend on demand is kept."""
        other = replace(self, demand=demand)
        other.__dict__["fits"] = self.fits
        return other

    def under(self, limits: Ints) -> Problem:
        """The same problem under other limits."""
        other = replace(self, limits=limits)
        other.__dict__["fits"] = self.fits
        return other

    def at_prices(self, price: Ints) -> Problem:
        """The same problem at other prices of nodes, (J,)."""
        other = replace(self, price=price)
        other.__dict__["fits"] = self.fits
        return other

    def room_for(self, pattern: Ints, kind: int) -> bool:
        """Whether a node of `kind` holds `pattern` (pods of each shape, (K,))."""
        return bool(self.room_for_all(pattern[None, :], np.array([kind], dtype=np.int64))[0])

    def room_for_all(self, patterns: Ints, kinds: Ints) -> Bools:
        """Whether nodes of `kinds` (P,) hold `patterns` (P, K) each, (P,)."""
        holds: Bools = np.all(patterns @ self.requests <= self.capacity[kinds], axis=1)
        holds &= ~np.any((patterns > 0) & ~self.admits[:, kinds].T, axis=1)
        for rule in self.apart:
            holds = holds & rule.holds(patterns, rule.most[kinds])
        for p in np.flatnonzero(holds) if self.slicing else ():
            holds[p] = self.slices_fit(patterns[p], int(kinds[p]))
        return holds

    def slices_fit(self, pattern: Ints, kind: int) -> bool:
        """Whether the GPU slices of `pattern` can be dealt to the GPUs of `kind` without exceeding one's memory."""
        sliced = self.slicing[kind] if self.slicing else None
        if sliced is None:
            return True
        sizes = list(sliced.taken)
        for k in np.flatnonzero(pattern):
            sizes += [int(self.slice_use[k, 1])] * int(pattern[k] * self.slice_use[k, 0])
        return _dealt(sorted(sizes, reverse=True), sliced)

    @cached_property
    def slices_matter(self) -> Bools:
        """Kinds where the linear constraints do not already settle `slices_fit`, (J,)."""
        largest = int(self.slice_use[:, 1].max(initial=0))
        return np.array(
            [
                s is not None and s.slices * max(largest, *s.taken, 0) > s.memory_bytes
                for s in (self.slicing or (None,) * len(self.price))
            ],
            dtype=bool,
        )


def _dealt(sizes: list[int], sliced: Slicing) -> bool:
    """Whether slices of these sizes (largest first) fit on the GPUs; a search that never tries like GPUs twice."""
    if len(sizes) > sliced.gpus * sliced.slices or sum(sizes) > sliced.gpus * sliced.memory_bytes:
        return False
    seen: set[tuple[int, tuple[tuple[int, int], ...]]] = set()

    def place(index: int, free: tuple[tuple[int, int], ...]) -> bool:
        if index == len(sizes) or sizes[index] == 0:
            return True
        if (index, free) in seen:
            return False
        seen.add((index, free))
        for gpu, (slots, memory) in enumerate(free):
            if slots and memory >= sizes[index] and (gpu == 0 or free[gpu - 1] != free[gpu]):
                after = (*free[:gpu], (slots - 1, memory - sizes[index]), *free[gpu + 1 :])
                if place(index + 1, tuple(sorted(after))):
                    return True
        return False

    return place(0, ((sliced.slices, sliced.memory_bytes),) * sliced.gpus)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packing:
    """Nodes and what is on each: `kinds` (P,), `patterns` (P, K) pods a node of each shape, `counts` (P,) nodes."""

    kinds: Ints
    patterns: Ints
    counts: Ints

    def usd_nanos(self, problem: Problem) -> int:
        """What the nodes cost, and the pods miss, in nano-dollars an hour."""
        missed = 0
        for one in problem.domain_wishes:
            missed += one.wish.usd_nanos * one.missed(*one.placed(self.kinds, self.patterns, self.counts))
        return int((problem.cost(self.kinds, self.patterns) * self.counts).sum()) + missed

    def worth(self, problem: Problem) -> tuple[int, int]:
        """What packings of one demand are compared by: cost, then number of nodes."""
        return self.usd_nanos(problem), self.nodes

    def usage(self, problem: Problem) -> Ints:
        """What the nodes count against each limit, (Q,)."""
        used: Ints = problem.weights[:, self.kinds] @ self.counts
        return used

    def used(self, problem: Problem) -> Ints:
        """Nodes of each kind, (J,)."""
        used = np.zeros(len(problem.price), dtype=np.int64)
        np.add.at(used, self.kinds, self.counts)
        return used

    @property
    def nodes(self) -> int:
        return int(self.counts.sum())


def empty_packing(shapes: int) -> Packing:
    """No node at all."""
    none = np.zeros(0, dtype=np.int64)
    return Packing(kinds=none, patterns=np.zeros((0, shapes), dtype=np.int64), counts=none)


def collected(problem: Problem, nodes: list[tuple[int, Ints, int]]) -> Packing:
    """Nodes as a packing: equal ones merged, empty ones left out."""
    merged: dict[tuple[int, bytes], list[object]] = {}
    for kind, pattern, count in nodes:
        if count and pattern.any():
            entry = merged.setdefault((kind, pattern.tobytes()), [kind, pattern, 0])
            entry[2] = int(entry[2]) + count  # type: ignore[call-overload]
    rows = list(merged.values())
    return Packing(
        kinds=np.array([row[0] for row in rows], dtype=np.int64),
        patterns=np.array([row[1] for row in rows], dtype=np.int64).reshape(len(rows), len(problem.demand)),
        counts=np.array([row[2] for row in rows], dtype=np.int64),
    )


def verify(problem: Problem, packing: Packing) -> list[str]:
    """Recount a packing in integers; return what is wrong with it, an empty list if nothing is."""
    wrong: list[str] = []
    if ((placed := packing.counts @ packing.patterns) != problem.demand).any():
        wrong.append(f"{int(np.abs(placed - problem.demand).sum())} pods too many or too few")
    if (packing.used(problem) > problem.most).any():
        wrong.append("more nodes of a kind than there are")
    if (packing.usage(problem) > problem.limits).any():
        wrong.append("a limit is exceeded")
    bad = np.flatnonzero(~problem.room_for_all(packing.patterns, packing.kinds))
    if len(bad):
        wrong.append(f"{len(bad)} nodes hold more than they can")
    for rule in problem.beside:
        lonely = rule.lonely(packing.patterns, packing.kinds)
        if packing.counts[lonely].sum() > int(rule.seed) or not rule.may_begin(packing.patterns[lonely]).all():
            wrong.append("pods stand without those they must stand beside")
    for one in problem.domains:
        placed = np.zeros((len(problem.demand), len(one.base)), dtype=np.int64)
        shapes, there = np.flatnonzero(one.owners | one.members), one.domain[packing.kinds]
        for d in range(len(one.base)):
            nodes = np.flatnonzero(there == d)
            placed[shapes, d] = packing.counts[nodes] @ packing.patterns[np.ix_(nodes, shapes)]
        if one.broken(placed):
            wrong.append(f"a rule of domains is broken ({one.form})")
    return wrong
