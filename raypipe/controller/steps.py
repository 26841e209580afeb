"""What is done between decisions, told as results: pods bound to the nodes bought for them, and pods evicted.

These steps follow from what is seen and not from an action of the plan that stands, so nobody would hear of them. A
writer that counts them is the one place through which all of them go. Pods bound are told a node; pods evicted one by
one, since each may be somebody's worry. One that a disruption budget holds is waited for and no result.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

from raypipe.adapters.kubernetes.server import TOO_MANY, RefusedError, Server
from raypipe.adapters.kubernetes.writing import Writer
from raypipe.errors import ClusterError
from raypipe.model.actions import Action, ActionKind, ObjectRef, action_id
from raypipe.model.results import Outcome, Result


class StepWriter(Writer):
    """A writer that remembers what it has bound and evicted until somebody asks."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._lock = Lock()
        self._bound: Counter[str] = Counter()
        self._evicted: list[Result] = []

    def bind(self, pod: ObjectRef, uid: str, node: str) -> None:
        """As a writer does, and count it."""
        super().bind(pod, uid, node)
        with self._lock:
            self._bound[node] += 1

    def evict(self, pod: ObjectRef, uid: str) -> bool:
        """As a writer does, and keep what became of it."""
        try:
            was_there = super().evict(pod, uid)
        except ClusterError as error:
            if not (isinstance(error, RefusedError) and error.status == TOO_MANY):
                self._keep(pod, Outcome.FAILED, str(error))
            raise
        if was_there:
            self._keep(pod, Outcome.DONE, "")
        return was_there

    def taken(self) -> list[Result]:
        """What was done since this was asked last, nodes in order of name."""
        with self._lock:
            bound, self._bound = self._bound, Counter()
            evicted, self._evicted = self._evicted, []
        return [*(_binding(node, count) for node, count in sorted(bound.items())), *evicted]

    def _keep(self, pod: ObjectRef, outcome: Outcome, words: str) -> None:
        action = _action(ActionKind.EVICT_POD, pod, "its node is given back")
        with self._lock:
            self._evicted.append(Result(action=action, outcome=outcome, words=words))


def _binding(node: str, count: int) -> Result:
    words = f"{count} pod{'' if count == 1 else 's'} that it was bought for"
    action = _action(ActionKind.BIND_PODS, ObjectRef(kind="Node", name=node), words)
    return Result(action=action, outcome=Outcome.DONE)


def _action(kind: ActionKind, target: ObjectRef, reason: str) -> Action:
    return Action(id=action_id("", kind, target), kind=kind, object=target, reason=reason)
