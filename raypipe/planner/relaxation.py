"""Ordered relaxation (setting `relax`): what is given up for pods that fit nothing as they are.

The words of the setting are given up one after another, in its order, until something fits; then those that need not
have been given up are taken back, the last first. A group of a set of alternatives is left as it asks where another
group of its set fits. What fits nothing even so keeps all it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from raypipe.model.alternatives import Alternatives
from raypipe.model.plan import Relaxed
from raypipe.model.pods import PodSpec
from raypipe.model.relaxation import asked, without
from raypipe.planner.demand import Wanted

type Fits = Callable[[PodSpec], bool]


def relaxed(
    wanted: Sequence[Wanted], sets: Sequence[Alternatives], order: Sequence[str], fits: Fits
) -> tuple[tuple[Wanted, ...], tuple[Relaxed, ...]]:
    """Who wants a place, with what was given up for some; `fits` says whether anything holds such a pod."""
    if not order:
        return tuple(wanted), ()
    covered = {group.pods for one in sets if any(fits(group.spec) for group in one.groups) for group in one.groups}
    known: dict[int, tuple[str, ...]] = {}
    result: list[Wanted] = []
    told: dict[str, Relaxed] = {}
    for one in wanted:
        if one.key in covered or not one.count:
            result.append(one)
            continue
        if id(one.spec) not in known:
            known[id(one.spec)] = () if fits(one.spec) else given_up(one.spec, order, fits)
        words = known[id(one.spec)]
        result.append(replace(one, spec=without(one.spec, words)) if words else one)
        if words:
            count = one.count + (told[one.key].count if one.key in told else 0)
            told[one.key] = Relaxed(pods=one.key, count=count, gave_up=words, message=_said(words))
    return tuple(result), tuple(told[key] for key in sorted(told))


def given_up(spec: PodSpec, order: Sequence[str], fits: Fits) -> tuple[str, ...]:
    """The words that are given up for a pod that fits nothing, in order; none where that is of no use."""
    words = [word for word in order if asked(spec, word)]
    for count in range(1, len(words) + 1):
        if not fits(without(spec, words[:count])):
            continue
        needed = words[:count]
        for word in reversed(words[: count - 1]):
            fewer = [other for other in needed if other != word]
            if fits(without(spec, fewer)):
                needed = fewer
        return tuple(needed)
    return ()


def _said(words: Sequence[str]) -> str:
    return f"nothing fits what it asks, so its {', '.join(words)} {'was' if len(words) == 1 else 'were'} given up"
