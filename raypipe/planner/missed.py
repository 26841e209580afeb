"""Who misses what: the wishes of placed pods, counted where the pods stand in the end.

What a wish is, and when it is missed, is defined in `raypipe.planner.preferences`. Where fewer pods miss a spread than
are under it in a domain, they are told of the first keys there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from raypipe.model.pods import PodSpec
from raypipe.packing.arrays import Ints
from raypipe.packing.rules import Form
from raypipe.packing.wishes import DomainWish, NodeWish
from raypipe.planner.preferences import Preferences

type Miss = tuple[str, int, int, int]
"""A wish in words, its price in nano-dollars an hour, the number of a spec, and how many of its pods miss it."""


def missed_by(
    preferences: Preferences, specs: Sequence[PodSpec], places: Ints, pods: Ints, counts: Ints
) -> Iterator[Miss]:
    """Every miss on `counts` (P,) nodes each at `places` (P,), with `pods` (P, K) of `specs` on each of them."""
    for k, spec in enumerate(specs):
        for term, weight in preferences.node_terms(spec).items():
            there = counts @ np.where(preferences.meets(term)[places], 0, pods[:, k])
            if there:
                said = f"node affinity to {' and '.join(map(str, term))}, weight {weight}"
                yield said, preferences.point * weight, k, int(there)
    for said, one in preferences.wishes(specs):
        if isinstance(one, NodeWish):
            found = _on_nodes(one, places, pods, counts)
        else:
            found = _in_domains(one, places, pods, counts)
        for k, count in found:
            yield said, one.wish.usd_nanos, k, count


def _on_nodes(one: NodeWish, places: Ints, pods: Ints, counts: Ints) -> Iterator[tuple[int, int]]:
    owners = np.flatnonzero(one.wish.owners)
    missed = one.missed(pods, one.standing[places])
    for p in np.flatnonzero(missed):
        yield from _first(owners, pods[p, owners], int(missed[p]), int(counts[p]))


def _in_domains(one: DomainWish, places: Ints, pods: Ints, counts: Ints) -> Iterator[tuple[int, int]]:
    owners = np.flatnonzero(one.wish.owners)
    domain = one.domain[places]
    owned, members = one.placed(places, pods, counts)
    total = one.base + members
    missed = one.wish.missed(owned, total, one.least(total))
    for d in np.flatnonzero(missed).tolist():
        yield from _first(owners, counts[domain == d] @ pods[np.ix_(domain == d, one.wish.owners)], int(missed[d]), 1)
    if one.wish.form is not Form.APART:
        homeless = counts[domain < 0] @ pods[np.ix_(domain < 0, one.wish.owners)]
        yield from _first(owners, homeless, int(homeless.sum()), 1)


def _first(owners: Ints, there: Ints, missed: int, times: int) -> Iterator[tuple[int, int]]:
    """The first `missed` of the pods of each owner that are `there`, so many times."""
    for k, count in zip(owners.tolist(), there.tolist(), strict=True):
        taken = min(count, missed)
        missed -= taken
        if taken:
            yield k, taken * times
