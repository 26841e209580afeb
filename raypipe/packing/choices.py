"""Demand with a choice in it: sets of alternatives, each of which is so much work that several shapes can do.

Letters beside those of `raypipe.packing.problem`::

    s  sets           W_s   work that is wanted beyond what the least of every alternative does
    a  alternatives   k(a)  its shape     h_a  pods of one replica     v_a  work of one replica (its speed)
                      n_a   replicas beyond its least, a whole number      m_a  most of them

    n_k = base_k + Σ_{a: k(a)=k} h_a n_a     ∀ k        Σ_{a∈s} v_a n_a >= W_s     ∀ s        0 <= n_a <= m_a

A *choice* is (n_a), (A,). It is *lean* where no replica can be taken from any alternative of its set without work being
left: more pods never cost less, so an optimum is among the lean ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

import numpy as np

from raypipe.packing.arrays import Floats, Ints

VISITS = 20
"""Choices that are looked at for each lean one that may be listed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choices:
    """The sets of a problem.

    Attributes:
        base: (K,) pods that are wanted whatever is chosen.
        shape, hosts, speed, most, of: (A,) k(a), h_a, v_a, m_a and the set of each alternative. work: (S,) W_s.
    """

    base: Ints
    shape: Ints
    hosts: Ints
    speed: Ints
    most: Ints
    of: Ints
    work: Ints

    def demand(self, chosen: Ints) -> Ints:
        """Pods of each shape under a choice, (K,)."""
        demand = self.base.copy()
        np.add.at(demand, self.shape, self.hosts * chosen)
        return demand

    @property
    def useful(self) -> Ints:
        """Replicas of each alternative that would do all the work of its set alone, or as many as it may have, (A,)."""
        useful: Ints = np.minimum(self.most, -(-self.work[self.of] // self.speed))
        return useful

    @property
    def highest(self) -> Ints:
        """Most pods of each shape that a lean choice can ask for, (K,)."""
        return self.demand(self.useful)

    def only_shapes(self, shapes: Ints, width: int) -> Choices:
        """The same over these of `width` shapes; every shape that can be asked for is among them."""
        number = np.zeros(width, dtype=np.int64)
        number[shapes] = np.arange(len(shapes))
        return Choices(
            base=self.base[shapes],
            shape=number[self.shape],
            hosts=self.hosts,
            speed=self.speed,
            most=self.most,
            of=self.of,
            work=self.work,
        )

    @property
    def shares_of_work(self) -> Floats:
        """W_s as solvers see it, (S,): in what the fastest alternative does."""
        shares: Floats = self.work / self._fastest
        return shares

    @property
    def _fastest(self) -> Ints:
        """The greatest speed of each set, (S,)."""
        fastest = np.ones(len(self.work), dtype=np.int64)
        np.maximum.at(fastest, self.of, self.speed)
        return fastest

    def columns(self) -> tuple[Floats, Ints, Ints, Floats, Floats]:
        """n_a as columns of an LP whose rows are those of the pods, then those of the sets.

        Costs, starts, rows, values and upper bounds, as `raypipe.packing.solver.GrowingLp.add` takes them.
        """
        starts: Ints = 2 * np.arange(len(self.of), dtype=np.int64)
        rows: Ints = np.column_stack((self.shape, len(self.base) + self.of)).reshape(-1)
        shares: Floats = self.speed / self._fastest[self.of]
        values: Floats = np.column_stack((-self.hosts.astype(np.float64), shares)).reshape(-1)
        return np.zeros(len(self.of)), starts, rows, values, self.most.astype(np.float64)

    def least_worth(self, prices: Floats) -> float:
        """What the pods of the cheapest choice are worth at these prices, (K,): Σ π_k n_k, n_a taken as fractions."""
        worth = float(prices @ self.base)
        each = self.hosts * prices[self.shape]
        for s, work in enumerate(self.work.tolist()):
            own = np.flatnonzero(self.of == s)
            left = float(work)
            for a in own[np.argsort(each[own] / self.speed[own], kind="stable")].tolist():
                taken = min(left / self.speed[a], float(self.most[a]))
                worth, left = worth + taken * float(each[a]), left - taken * float(self.speed[a])
                if left <= 0:
                    break
        return worth

    def lean(self, most: int) -> list[Ints] | None:
        """Every lean choice, or None where there are more than `most`."""
        by_set: list[list[Ints]] = []
        for s in range(len(self.work)):
            tried = list(islice(self._covering(s), VISITS * most + 1))
            found = [chosen for chosen in tried if self.is_lean(chosen, s)]
            if len(tried) > VISITS * most or len(found) > most:
                return None
            by_set.append(found)
        if np.prod([float(len(found)) for found in by_set]) > most:
            return None
        return [sum(parts, np.zeros(len(self.of), dtype=np.int64)) for parts in product(*by_set)]

    def _covering(self, number: int) -> Iterator[Ints]:
        """Choices of one set that do its work, all lean ones among them; zero for the alternatives of others."""
        own = np.flatnonzero(self.of == number).tolist()
        chosen = np.zeros(len(self.of), dtype=np.int64)

        def choose(place: int, left: int) -> Iterator[Ints]:
            if left <= 0 or place == len(own):
                if left <= 0:
                    yield chosen.copy()
                return
            a = own[place]
            speed = int(self.speed[a])
            rest = int(self.speed[own[place + 1 :]] @ self.most[own[place + 1 :]])
            for n in range(max(0, -((rest - left) // speed)), min(-(-left // speed), int(self.most[a])) + 1):
                chosen[a] = n
                yield from choose(place + 1, left - n * speed)
            chosen[a] = 0

        yield from choose(0, int(self.work[number]))

    def is_lean(self, chosen: Ints, number: int) -> bool:
        """Whether no replica of set `number` can be taken away."""
        own = self.of == number
        spare = int(self.speed[own] @ chosen[own]) - int(self.work[number])
        return not bool((chosen[own] > 0)[self.speed[own] <= spare].any())

    def covered(self, chosen: Ints) -> bool:
        """Whether a choice does all the work within the bounds."""
        done = np.zeros(len(self.work), dtype=np.int64)
        np.add.at(done, self.of, self.speed * chosen)
        return bool((done >= self.work).all() and (chosen >= 0).all() and (chosen <= self.most).all())

    def rounded(self, fractions: Floats) -> list[Ints]:
        """Lean choices near fractional ones (A,): each set rounded down, and what is left given to one alternative.

        The first gives it to the alternative that has most already; the others differ from it in one set.
        """
        floor = np.minimum(np.floor(fractions + 1e-6).astype(np.int64), self.most)
        by_set = [self._completed(floor, number) for number in range(len(self.work))]
        if not all(by_set):
            return []
        first = sum((found[0] for found in by_set), np.zeros(len(self.of), dtype=np.int64))
        return [first] + [first - found[0] + other for found in by_set for other in found[1:]]

    def _completed(self, floor: Ints, number: int) -> list[Ints]:
        """Ways to do the work of one set from `floor` on, the alternative that has most first."""
        own = np.flatnonzero(self.of == number)
        found: list[Ints] = []
        order = own[np.argsort(-(self.speed * floor)[own], kind="stable")].tolist()
        for first in order:
            chosen = np.zeros(len(self.of), dtype=np.int64)
            chosen[own] = floor[own]
            for a in [first, *(a for a in order if a != first)]:
                left = int(self.work[number]) - int(self.speed[own] @ chosen[own])
                chosen[a] += min(max(0, -(-left // int(self.speed[a]))), int(self.most[a] - chosen[a]))
            left = int(self.work[number]) - int(self.speed[own] @ chosen[own])
            chosen = self._trimmed(chosen, number)
            if left <= 0 and not any((chosen == other).all() for other in found):
                found.append(chosen)
        return found

    def _trimmed(self, chosen: Ints, number: int) -> Ints:
        """Without the replicas of one set that its work does not need, the slowest first."""
        own = np.flatnonzero(self.of == number)
        chosen = chosen.copy()
        for a in own[np.argsort(self.speed[own], kind="stable")].tolist():
            spare = int(self.speed[own] @ chosen[own]) - int(self.work[number])
            chosen[a] -= min(int(chosen[a]), max(0, spare) // int(self.speed[a]))
        return chosen

    def neighbours(self, chosen: Ints) -> Iterator[Ints]:
        """Lean choices with one replica fewer of one alternative, what it did given to another of its set."""
        for a in np.flatnonzero(chosen > 0).tolist():
            number = int(self.of[a])
            for b in np.flatnonzero(self.of == number).tolist():
                if b == a:
                    continue
                other = chosen.copy()
                other[a] -= 1
                own = self.of == number
                left = int(self.work[number]) - int(self.speed[own] @ other[own])
                other[b] += max(0, -(-left // int(self.speed[b])))
                if other[b] <= self.most[b]:
                    yield self._trimmed(other, number)
