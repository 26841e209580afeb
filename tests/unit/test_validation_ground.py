"""What checks ask of a snapshot again and again is gathered once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raypipe.catalog import Catalog
from raypipe.model.plan import Scope
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.model.workloads import Gang
from raypipe.validation.ground import Ground


class Counted(tuple[PodGroup, ...]):
    """Groups that count how often somebody goes through them."""

    reads = 0

    def __iter__(self) -> Iterator[PodGroup]:
        type(self).reads += 1
        return super().__iter__()


@pytest.mark.parametrize(
    ("key", "is_in_gang"),
    [("member", True), ("needed", True), ("grown", False), ("alone", False), ("unknown", False)],
    ids=lambda value: str(value),
)
def test_a_key_is_in_a_gang_that_its_pods_name_or_that_needs_it(key: str, is_in_gang: bool) -> None:
    assert _ground(Counted(_groups())).is_in_gang(key) is is_in_gang


def test_the_demand_is_gone_through_once_for_the_gangs_of_all_keys() -> None:
    Counted.reads = 0
    ground = _ground(Counted(_groups()))
    before = Counted.reads
    for key in 10 * ("member", "needed", "grown", "alone"):
        ground.is_in_gang(key)
    assert Counted.reads - before == 1


def _groups() -> tuple[PodGroup, ...]:
    spec = PodSpec()
    return (PodGroup(key="member", spec=spec, count=1, gang="g"), PodGroup(key="alone", spec=spec, count=1))


def _ground(demand: tuple[PodGroup, ...]) -> Ground:
    gangs = (Gang(name="g", minimum={"needed": 1}), Gang(name="running", minimum={"grown": 1}, copies=0))
    return Ground(ClusterSnapshot(name="one", demand=demand, gangs=gangs), _no_catalog(), Scope.PENDING)


def _no_catalog() -> Catalog:
    """Gangs are told without it."""
    return Catalog.__new__(Catalog)
