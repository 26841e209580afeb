"""Carry a cluster's plan out, action by action, each with what it relied on.

    results = carry_out(plan, writer, Karpenter(writer), pending_pods(objects, settings), settings)

Promises, on which whoever calls again and again may rely:

* It may end after any action, by a kill too, and be called again with the same plan: names follow from the decision, so
  what was bought is found by its name and not bought twice, and a patch that was written fails its tests.
* Actions go in the plan's order, nodes bought one after another several at a time: each is an object of its own. One
  that is refused does not keep the others from being tried.
* There is one `Result` an action, in order. ``done``: it is so, now or since an earlier call (its words then say so).
  ``skipped``: what it relied on no longer holds, and nothing was changed. ``failed``: refused, or nobody answered;
  where the answer got lost it may have been done, and the next call finds out.
* It waits for nothing but answers: nodes come up, pods are bound and nodes emptied by what is seen later (`binding`).

A node is bought with the uids of the pods that it is for, and closed to the scheduler until they are bound: both are
written here and not by the plan, because whoever buys must also open it. A plan that is stale or has an error asks for
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, groupby
from typing import Any

from raypipe.adapters.kubernetes.writing import AT_ONCE, ConflictError, Writer
from raypipe.adapters.nodes import NodeBackend
from raypipe.controller.dealing import dealt
from raypipe.controller.removing import mark
from raypipe.errors import ClusterError
from raypipe.manifests.live import LivePod
from raypipe.manifests.nodes import STARTING
from raypipe.model.actions import Action, ActionKind, ObjectRef, written
from raypipe.model.meant import MEANT_PODS, Meant, meant_text
from raypipe.model.nodes import PRINT
from raypipe.model.plan import ClusterPlan
from raypipe.model.results import Outcome, Result
from raypipe.settings import Settings

_TAINTS = {"NodeClaim": "startupTaints", "Node": "taints"}
"""Where each kind of object keeps the taints that its node starts with; a group's nodes have those of the group."""


def carry_out(
    plan: ClusterPlan,
    writer: Writer,
    backend: NodeBackend,
    pods: Sequence[LivePod] = (),
    settings: Settings | None = None,
    others: Sequence[str] = (),
) -> tuple[Result, ...]:
    """Do what the plan asks for; what became of each of its actions, in order.

    pods: those that want a place now, in order. settings: `bind` says whether nodes come up closed.
    others: who else buys for these pods (`one_buyer`), so that nothing is bought.
    """
    if plan.error is not None or plan.stale:
        return ()
    meant = dealt(plan, pods)
    closed = (settings or Settings()).bind == "raypipe" and backend.name != PRINT  # whose nodes nobody here opens

    def tried(action: Action) -> Result:
        return _tried(action, writer, backend, meant.get(action.object.name, {}), others, closed=closed)

    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="act") as threads:
        together = (
            threads.map(tried, actions) if is_apart else map(tried, actions)
            for is_apart, actions in groupby(plan.actions, _is_apart)
        )
        return tuple(chain.from_iterable(together))


def _is_apart(action: Action) -> bool:
    """Whether an action makes an object that no other action is about."""
    return action.kind is ActionKind.BUY_NODE and action.object.kind in _TAINTS


def _tried(
    action: Action,
    writer: Writer,
    backend: NodeBackend,
    meant: Mapping[str, Meant],
    others: Sequence[str],
    *,
    closed: bool,
) -> Result:
    try:
        if action.kind is ActionKind.BUY_NODE:
            if others:
                raise ClusterError("; ".join(others))
            words = backend.buy(action, _ordered(action, meant, closed=closed))
        elif action.kind is ActionKind.REMOVE_NODE:
            words = mark(action, writer)
        elif action.patch:
            if action.precondition.get("running") is False:
                _refuse_running(action.object, writer)
            writer.patch(action.object, action.patch)
            words = ""
        else:
            raise ClusterError(f"{action.kind} is not carried out by this version")
    except ConflictError as error:
        return Result(action=action, outcome=Outcome.SKIPPED, words=str(error))
    except ClusterError as error:
        return Result(action=action, outcome=Outcome.FAILED, words=str(error))
    return Result(action=action, outcome=Outcome.DONE, words=words)


def _ordered(action: Action, meant: Mapping[str, Meant], *, closed: bool) -> dict[str, Any]:
    """The object to make: the plan's, with its pods by uid, and closed to the scheduler until they are bound."""
    one = written(action)
    if meant:
        one["metadata"]["annotations"][MEANT_PODS] = meant_text(meant)
    if closed and one["kind"] in _TAINTS:
        taints = one["spec"].setdefault(_TAINTS[one["kind"]], [])
        taints.append({"key": STARTING, "effect": "NoSchedule"})
    return one


def _refuse_running(target: ObjectRef, writer: Writer) -> None:
    """Raise ConflictError where a pod of a Ray object has a node: what runs is never suspended."""
    name: str | None = target.name
    if target.kind == "RayJob":
        name = (writer.read(target) or {}).get("status", {}).get("rayClusterName")
    if not name:
        return
    path = f"/api/v1/namespaces/{target.namespace}/pods"
    pods = writer.server.get(path, {"labelSelector": f"ray.io/cluster={name}"}).get("items") or ()
    running = [pod["metadata"]["name"] for pod in pods if pod.get("spec", {}).get("nodeName")]
    if running:
        raise ConflictError(f"{target.key}: {len(running)} of its pods have a node by now, {running[0]} the first")
