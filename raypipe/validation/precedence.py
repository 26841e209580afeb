"""Whether the order of admission was kept: nobody who comes later has a place that one left out could take.

Where the order is called exact, a pod is left out because no plan holds it beside all that come before it. If it fits
in the place of one pod that comes after it, on the same nodes, there is such a plan: the one at hand with the two
exchanged. Gangs are apart, since a member's place is worth nothing without the others'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from raypipe.model.plan import PlannedNode, Unplaced
from raypipe.model.pods import PodSpec
from raypipe.model.resources import GPU_SHARED, Resources, fits, total
from raypipe.validation.ground import Ground

type Place = tuple[int, bool, str, str]
"""Higher priority, older (age not known last), key."""


def overtaken(
    left_out: Sequence[Unplaced],
    rooms: Sequence[tuple[PlannedNode, Resources]],
    ground: Ground,
    may_be_on: Callable[[PodSpec, PlannedNode], bool],
) -> Iterator[str]:
    """Pods left out (none of a gang) that fit in the place of one that comes after them; `rooms`: free on each node."""
    created = {group.key: group.created for group in ground.cluster.demand}
    places = {
        key: (-spec.priority, created.get(key) is None, created.get(key) or "", key)
        for key, spec in ground.specs.items()
        if not ground.is_in_gang(key) and not spec.requests.get(GPU_SHARED)
    }
    for entry in left_out:
        place = places.get(entry.pods)
        found = _taken(entry, place, places, rooms, ground, may_be_on) if place is not None else None
        if found is not None:
            yield f"unplaced {entry.pods}: {found[1]}, which comes after it, has a place on {found[0]} that would do"


def _taken(
    entry: Unplaced,
    place: Place,
    places: dict[str, Place],
    rooms: Sequence[tuple[PlannedNode, Resources]],
    ground: Ground,
    may_be_on: Callable[[PodSpec, PlannedNode], bool],
) -> tuple[str, str] | None:
    """The node and the key that has the place, or None."""
    spec, later = ground.specs[entry.pods], {key for key, other in places.items() if other > place}
    for node, room in rooms:
        for key in node.added:
            if (
                key in later
                and fits(spec.requests, total([room, ground.specs[key].requests]))
                and may_be_on(spec, node)
            ):
                return node.name, key
    return None
