"""Plans carried out: in their order, with nodes bought side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Barrier, Lock
from typing import Any

from raypipe.adapters.kubernetes import Writer
from raypipe.adapters.kubernetes.writing import ConflictError
from raypipe.controller.acting import carry_out
from raypipe.model.actions import Action, ActionKind, ObjectRef
from raypipe.model.nodes import Buyable
from raypipe.model.plan import ClusterPlan
from raypipe.model.results import Outcome


class Recorder(Writer):
    """A writer that writes down in which order patches come; a patch of `stale` finds that it no longer holds."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def patch(self, target: ObjectRef, operations: object) -> dict[str, Any]:
        del operations
        if target.name == "stale":
            raise ConflictError("it has changed")
        self.done.append(target.name)
        return {}


class Shop:
    """Sells nothing before two are bought at the same time."""

    name = "karpenter"

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._pair, self._lock = recorder, Barrier(2, timeout=10), Lock()

    def buyable(self) -> tuple[Buyable, ...] | None:
        return None

    def buy(self, action: Action, one: Mapping[str, Any]) -> str:
        del one
        self._pair.wait()
        with self._lock:
            self._recorder.done.append(action.object.name)
        return action.object.name

    def give_back(self, node: str, claim: str | None) -> bool:
        del node, claim
        return False


def buying(name: str) -> Action:
    target = ObjectRef(kind="NodeClaim", name=name)
    set_ = {"metadata": {"annotations": {}}, "spec": {}}
    return Action(id=name, kind=ActionKind.BUY_NODE, object=target, set=set_)


def resuming(name: str) -> Action:
    patch = ({"op": "replace", "path": "/spec/suspend", "value": False},)
    return Action(
        id=name, kind=ActionKind.RESUME_RAY_JOB, object=ObjectRef(kind="RayJob", name=name, namespace="ml"), patch=patch
    )


def carried_out(actions: Sequence[Action]) -> tuple[list[tuple[str, Outcome]], list[str]]:
    recorder = Recorder()
    results = carry_out(ClusterPlan(name="c", actions=tuple(actions)), recorder, Shop(recorder))
    return [(one.action.object.name, one.outcome) for one in results], recorder.done


def test_nodes_are_bought_side_by_side_after_what_comes_before_them_and_before_what_comes_after() -> None:
    actions = [resuming("first"), *(buying(f"n-{number}") for number in range(4)), resuming("stale"), resuming("last")]
    results, done = carried_out(actions)
    assert results == [
        (one.object.name, Outcome.SKIPPED if one.object.name == "stale" else Outcome.DONE) for one in actions
    ]
    assert (done[0], sorted(done[1:-1]), done[-1]) == ("first", ["n-0", "n-1", "n-2", "n-3"], "last")
