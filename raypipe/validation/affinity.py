"""Pod affinity: can the new pods be placed one after the other so that each finds those that it wants to be with?

kube-scheduler lets a pod onto a node that carries every topology key of its terms where, for each term, a pod that
matches *all* of its terms is in the node's domain. Where no pod of the cluster matches them, a pod that matches its own
terms may be the first. So a pod that is there keeps no other out, with one exception: of those that it matches, nobody
is the first any more. As the first pods need nobody, they may as well come before all others; what is left to find is
which they are, and their order. Pods that meet no wish of each other are looked at apart, so that there is seldom more
than one to choose.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raypipe.model.constraints import PodTerm
from raypipe.validation.standing import Place, Sort, Standing

MOST_TRIES = 1000
"""First pods that are tried in one set of wishes; beyond them a plan that some rare order might allow is refused."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wish:
    """All affinity terms of a pod, the sorts of pods that match every one of them, and the keys that have it."""

    terms: tuple[PodTerm, ...]
    met_by: frozenset[Sort]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cell:
    """Equal new pods on one node that wish for company; once one of them is there, all of them can be.

    domains: the node's, one a term. meets: the wishes that these pods meet, perhaps their own.
    """

    key: str
    place: Place
    count: int
    wish: Wish
    domains: tuple[str | None, ...]
    meets: tuple[Wish, ...]


@dataclass(slots=True)
class _Company:
    """Who is there for one wish: for each of its terms the domains, and whether a first pod is no longer possible."""

    domains: tuple[set[str], ...]
    begun: bool = False

    def welcome(self, wish: Wish, place: Place) -> None:
        for term, known in zip(wish.terms, self.domains, strict=True):
            domain = place.domain(term.topology_key)
            if domain is not None:
                known.add(domain)

    def awaits(self, cell: Cell) -> bool:
        return all(domain in known for domain, known in zip(cell.domains, self.domains, strict=True))

    def copy(self) -> _Company:
        return _Company(tuple(set(known) for known in self.domains), self.begun)


type _Found = dict[Wish, _Company]


def lonely(standing: Standing, terms: Mapping[str, tuple[PodTerm, ...]]) -> Iterator[Cell]:
    """New pods of the keys in `terms` that no order of placing brings to those they want."""
    for wishes in _connected(standing, _wishes(standing, terms)):
        cells = list(_cells(standing, wishes))
        yield from (cell for cell in cells if None in cell.domains)
        found = {wish: _company(standing, wish, terms) for wish in wishes}
        yield from _left([cell for cell in cells if None not in cell.domains], found, iter(range(MOST_TRIES)))


def _wishes(standing: Standing, terms: Mapping[str, tuple[PodTerm, ...]]) -> list[Wish]:
    keys: dict[tuple[PodTerm, ...], list[str]] = {}
    for key, own in terms.items():
        keys.setdefault(own, []).append(key)
    return [
        Wish(
            terms=own,
            met_by=frozenset.intersection(*(standing.matching(term.pods) for term in own)),
            keys=tuple(having),
        )
        for own, having in keys.items()
    ]


def _connected(standing: Standing, wishes: Sequence[Wish]) -> list[list[Wish]]:
    """Wishes in sets, such that pods with a wish of one set meet no wish of another."""
    sets: list[set[Wish]] = []
    for wish in wishes:
        sorts = {standing.sort_of[key] for key in wish.keys}
        linked = {wish, *(other for other in wishes if sorts & other.met_by)}
        apart = [one for one in sets if not one & linked]
        sets = [*apart, linked.union(*(one for one in sets if one & linked))]
    return [[wish for wish in wishes if wish in one] for one in sets]


def _cells(standing: Standing, wishes: Sequence[Wish]) -> Iterator[Cell]:
    for key, wish in ((key, having) for having in wishes for key in having.keys):
        meets = tuple(one for one in wishes if standing.sort_of[key] in one.met_by)
        for place, count in standing.added[key].items():
            domains = tuple(place.domain(term.topology_key) for term in wish.terms)
            yield Cell(key=key, place=place, count=count, wish=wish, domains=domains, meets=meets)


def _company(standing: Standing, wish: Wish, wishing: Mapping[str, object]) -> _Company:
    """Who is there whatever happens: bound pods, and new ones that wish for nobody."""
    company = _Company(tuple(set() for _ in wish.terms))
    for sort in wish.met_by:
        for place, tally in standing.places_of(sort).items():
            if tally.bound:
                company.welcome(wish, place)
                company.begun = True
    for key, places in standing.added.items():
        if key not in wishing and standing.sort_of[key] in wish.met_by:
            for place in places:
                company.welcome(wish, place)
    return company


def _left(cells: list[Cell], found: _Found, tries: Iterator[int]) -> list[Cell]:
    """The fewest cells that remain, whichever pods come first; `found` is added to."""
    left = _placed_in_turn(cells, found)
    best = left
    for first in _possible_firsts(left, found):
        if not best or next(tries, None) is None:
            break
        branch = {wish: company.copy() for wish, company in found.items()}
        for wish in first.meets:
            branch[wish].welcome(wish, first.place)
            branch[wish].begun = True
        best = min(best, _left(left, branch, tries), key=lambda some: sum(cell.count for cell in some))
    return best


def _placed_in_turn(cells: list[Cell], found: _Found) -> list[Cell]:
    """Place every cell that finds company, until nothing changes; what remains."""
    while True:
        left = []
        for cell in cells:
            if found[cell.wish].awaits(cell):
                for wish in cell.meets:
                    found[wish].welcome(wish, cell.place)
            else:
                left.append(cell)
        if len(left) == len(cells):
            return left
        cells = left


def _possible_firsts(left: list[Cell], found: _Found) -> Iterator[Cell]:
    """Cells that match themselves and that nobody precedes, one of all that make no difference to any wish."""
    seen: set[object] = set()
    for cell in left:
        if found[cell.wish].begun or cell.wish not in cell.meets:
            continue
        topology_keys = [term.topology_key for wish in cell.meets for term in wish.terms]
        mark = (cell.wish, cell.meets, tuple(cell.place.domain(key) for key in topology_keys))
        if mark not in seen:
            seen.add(mark)
            yield cell
