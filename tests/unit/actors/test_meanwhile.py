"""What is planned here while Ray starts is what the Coordinator would have had planned, under the same digests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from threading import Event

import pytest

from raypipe import api
from raypipe.actors.meanwhile import Meanwhile
from raypipe.actors.parcels import Shelf, Stop, pack, pack_whole, unpack_whole
from raypipe.errors import ClusterError
from raypipe.fleet import plan as fleet_plan
from raypipe.fleet import plan_fleet
from raypipe.model.plan import Scope
from raypipe.model.snapshot import FleetSnapshot

CATALOG = api.load_catalog()
OPTIONS = {"scope": Scope.PENDING, "compare_on_demand": True}
SETTINGS = {"lp_rounds": 2, "search_nodes": 1}


def fleet(**limits: int) -> FleetSnapshot:
    read = api.read("examples/fleet", settings=SETTINGS)
    return FleetSnapshot(clusters=read.clusters, limits=limits)


class Elsewhere:
    """The Coordinator's executor, as far as it asks for answers by the digest of a call."""

    def __init__(self) -> None:
        self.answers: dict[str, bytes] = {}

    def map[T, R](self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        for item in items:
            result = function(item)
            self.answers[pack((function, item)).parcel.digest] = pack_whole(result)
            yield result


@pytest.mark.parametrize("limits", [{}, {"usdPerHour": 5_000_000_000}], ids=["no limits", "a scarce limit"])
def test_answers_have_the_digests_of_the_coordinators_calls(limits: dict[str, int]) -> None:
    here = Meanwhile(fleet(**limits), CATALOG, None, lambda: False, OPTIONS)
    here._planning.result()
    answers = here.enough()

    packed, shelf, there = pack((fleet(**limits), CATALOG, OPTIONS)), Shelf(), Elsewhere()
    shelf.keep(dict(packed.sent(packed.clusters)), packed.catalogs)
    travelled, catalog, options = shelf.unpack(packed.parcel, Stop("another"))
    plan_fleet(travelled, catalog, executor=there, stop=Stop("another"), **options)
    assert len(answers) >= 4
    assert list(answers) == list(there.answers)
    clusters = [key for key, one in answers.items() if hasattr(unpack_whole(one), "nodes")]
    assert [unpack_whole(answers[key]) for key in clusters] == [unpack_whole(there.answers[key]) for key in clusters]


def test_it_ends_after_the_call_that_is_being_made() -> None:
    begun, go_on = Event(), Event()

    def progress(_: str) -> None:
        begun.set()
        assert go_on.wait(30)

    here = Meanwhile(fleet(), CATALOG, progress, lambda: False, {})
    assert begun.wait(30)
    here._ended.set()
    go_on.set()
    assert len(here.enough()) == 1


def test_what_was_cut_short_is_no_answer() -> None:
    here = Meanwhile(fleet(), CATALOG, None, lambda: True, {})
    here._planning.result()
    assert here.enough() == {}


def test_what_goes_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ClusterError("no prices")

    monkeypatch.setattr(fleet_plan, "merged", refused)
    here = Meanwhile(fleet(), CATALOG, None, lambda: False, {})
    with pytest.raises(ClusterError, match="no prices"):
        here._planning.result()
    with pytest.raises(ClusterError, match="no prices"):
        here.enough()
