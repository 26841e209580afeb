"""Pods of a plan get names: those that exist first, and what is left stays a count."""

from __future__ import annotations

from raypipe.controller.dealing import dealt
from raypipe.manifests.live import LivePod
from raypipe.model.meant import Meant
from raypipe.model.plan import ClusterPlan
from tests.unit.controller.tellings import node


def pod(key: str, uid: str) -> LivePod:
    return LivePod(key=key, uid=uid, namespace="d", name=uid, node=None, awaited=False)


def test_pods_are_dealt_in_plan_order_existing_nodes_first() -> None:
    nodes = (
        node("a-bought", added={"web": 2}),
        node("b-bought", added={"db": 1, "web": 2}),
        node("c-kept", existing=True, added={"web": 1}),
        node("d-kept", existing=True, added={}),
    )
    pods = [pod("db", "d1"), *(pod("web", f"w{number}") for number in range(1, 5))]
    assert dealt(ClusterPlan(name="c", nodes=nodes), pods) == {
        "c-kept": {"web": Meant(uids=("w1",))},
        "a-bought": {"web": Meant(uids=("w2", "w3"))},
        "b-bought": {"db": Meant(uids=("d1",)), "web": Meant(uids=("w4",), count=1)},
    }
