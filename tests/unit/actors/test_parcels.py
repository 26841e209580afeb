"""What travels between processes: calls by reference, answers whole, equal questions by equal digests."""

from __future__ import annotations

import dataclasses
from functools import partial

import pytest

from raypipe import api
from raypipe.actors.parcels import Missing, Shelf, Stop, pack, pack_whole, unpack_whole
from raypipe.catalog import load
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.pool import Pool
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings

CATALOG = load()
FLEET = api.read("examples/fleet")
SHOP, RESEARCH = FLEET.clusters


def function(cluster: ClusterSnapshot, **_: object) -> ClusterSnapshot:
    """What a test sends elsewhere."""
    return cluster


def call(cluster: ClusterSnapshot = SHOP, scope: Scope = Scope.PENDING, stop: Stop | None = None) -> object:
    return partial(function, catalog=CATALOG, scope=scope, stop=stop or Stop()), cluster


def test_a_call_names_what_is_large_and_is_small_itself() -> None:
    packed = pack(call())
    assert len(packed.parcel.payload) < 1_000
    assert packed.parcel.clusters == tuple(packed.clusters)
    assert packed.parcel.catalogs == (CATALOG.digest,)
    assert packed.subject is SHOP


def test_a_receiver_says_what_it_lacks_and_no_more() -> None:
    packed, shelf = pack(call()), Shelf()
    assert shelf.missing(packed.parcel) == Missing(clusters=packed.parcel.clusters, catalogs=(CATALOG.digest,))
    shelf.keep(dict(packed.sent(packed.clusters)), {})
    assert shelf.missing(packed.parcel) == Missing(clusters=(), catalogs=(CATALOG.digest,))
    shelf.keep({}, packed.catalogs)
    assert shelf.missing(packed.parcel) is None


def test_a_call_arrives_as_it_was_with_the_receivers_own_stop() -> None:
    packed, shelf, asked = pack(call()), Shelf(), Stop("this one", lambda request: request == "this one")
    shelf.keep(dict(packed.sent(packed.clusters)), packed.catalogs)
    arrived, cluster = shelf.unpack(packed.parcel, asked)
    assert cluster == SHOP
    assert arrived.func is function
    assert arrived.keywords == {"catalog": CATALOG, "scope": Scope.PENDING, "stop": asked}
    assert asked() is True


def test_one_snapshot_is_one_object_on_the_other_side() -> None:
    packed, shelf = pack([SHOP, RESEARCH, SHOP]), Shelf()
    shelf.keep(dict(packed.sent(packed.clusters)), {})
    first, second, third = shelf.unpack(packed.parcel, Stop())
    assert (first, second) == (SHOP, RESEARCH)
    assert third is first


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(call(ClusterSnapshot(**{f.name: getattr(SHOP, f.name) for f in dataclasses.fields(SHOP)})), True,
                     id="an equal snapshot"),
        pytest.param(call(stop=Stop("another request")), True, id="another request"),
        pytest.param(call(RESEARCH), False, id="another cluster"),
        pytest.param(call(scope=Scope.WHOLE), False, id="another scope"),
        pytest.param(call(dataclasses.replace(SHOP, settings=Settings(lp_rounds=3))), False, id="other settings"),
        pytest.param(call(dataclasses.replace(SHOP, pool=Pool())), False, id="another pattern pool"),
    ],
)  # fmt: skip
def test_a_digest_tells_questions_apart_and_nothing_else(other: object, same: bool) -> None:
    assert (pack(call()).parcel.digest == pack(other).parcel.digest) is same


def test_an_answer_comes_back_whole_with_what_it_hands_on() -> None:
    plan = ClusterPlan(name="shop", pool=Pool(usd_nanos_per_hour={"a": 1}))
    arrived, cluster = unpack_whole(pack_whole((plan, SHOP)))
    assert (arrived, arrived.pool, cluster) == (plan, plan.pool, SHOP)
