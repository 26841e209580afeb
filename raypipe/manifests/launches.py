"""Nodes of raypipe's own that are on their way: what each is to be, and whether its launch has failed.

A launch is over once the machine has registered as a node and been ready; what happens to it afterwards is told by the
node. A machine that is being deleted or emptied is no launch any longer. Objects are those of one live cluster, as they
came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.manifests.nodes import CORDONED, STARTING
from raypipe.model.actions import REMOVING
from raypipe.model.nodes import Unavailable
from raypipe.model.requirements import CAPACITY_TYPE, INSTANCE_TYPE, OWN_CLUSTER, ZONE

LAUNCH_FAILED = "LaunchFailed"
"""The reason that Karpenter gives on a claim whose machine the provider refused; it goes on trying."""

type Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A machine that has not registered yet: a NodeClaim, or a Node that was made and never became ready.

    offering: what was bought, as far as the object says. failed: why it cannot be had, in the provider's words, or "".
    """

    kind: str
    name: str
    uid: str
    offering: Unavailable
    failed: str = ""


def launches(objects: Iterable[Raw]) -> tuple[Launch, ...]:
    """The launches under way, in order of name.

    >>> claim = {"kind": "NodeClaim", "metadata": {"name": "n", "uid": "u", "labels": {"raypipe.io/cluster": "c"}}}
    >>> [(one.name, one.failed) for one in launches([claim])]
    [('n', '')]
    """
    own = [one for one in objects if one.get("kind") in ("NodeClaim", "Node") and _is_own(one)]
    nodes = {_part(one, "metadata")["name"]: one for one in own if one["kind"] == "Node"}
    claims = [one for one in own if one["kind"] == "NodeClaim"]
    claimed = {_part(one, "status").get("nodeName") for one in claims}
    found = [_launch(one) for one in claims if not _is_deleted(one) and _is_coming(one, nodes)]
    found += [
        _launch(one) for name, one in nodes.items() if name not in claimed and not _is_deleted(one) and _is_unready(one)
    ]
    return tuple(sorted(found, key=lambda one: (one.name, one.kind)))


def arrived(objects: Iterable[Raw]) -> frozenset[str]:
    """Names of raypipe's own claims whose machine has registered, and of all nodes: what is no launch, and no failure.

    A claim and its node are called differently.
    """
    return frozenset(
        _part(one, "metadata")["name"]
        for one in objects
        if one.get("kind") == "Node" or (one.get("kind") == "NodeClaim" and _is_own(one) and _is_registered(one))
    )


def held_nodes(objects: Iterable[Raw]) -> frozenset[str]:
    """Nodes that raypipe holds closed: being filled, or being emptied. Each has a next step that somebody must take."""
    return frozenset(_part(one, "metadata")["name"] for one in objects if one.get("kind") == "Node" and _is_held(one))


def _is_held(node: Raw) -> bool:
    return _is_awaited(node) or REMOVING in _annotations(node)


def _is_awaited(node: Raw) -> bool:
    """Whether a node is kept closed until its pods are bound."""
    is_starting = any(taint.get("key") == STARTING for taint in _part(node, "spec").get("taints") or ())
    return (is_starting or CORDONED in _annotations(node)) and REMOVING not in _annotations(node)


def _annotations(one: Raw) -> Raw:
    return _part(one, "metadata").get("annotations") or {}


def _launch(one: Raw) -> Launch:
    labels = _labels(one)
    for requirement in _part(one, "spec").get("requirements") or ():
        if requirement.get("operator") == "In" and len(requirement.get("values") or ()) == 1:
            labels = {requirement["key"]: requirement["values"][0], **labels}
    condition = _conditions(one).get("Launched", {})
    refused = condition.get("status") != "True" and condition.get("reason") == LAUNCH_FAILED
    metadata = _part(one, "metadata")
    return Launch(
        kind=one["kind"],
        name=metadata["name"],
        uid=str(metadata.get("uid")),
        offering=Unavailable(
            instance_type=labels.get(INSTANCE_TYPE, ""),
            zone=labels.get(ZONE, ""),
            capacity_type=labels.get(CAPACITY_TYPE, "on-demand"),
        ),
        failed=" ".join(f"{LAUNCH_FAILED}: {condition.get('message') or ''}".split())[:300] if refused else "",
    )


def _is_coming(claim: Raw, nodes: Mapping[str, Raw]) -> bool:
    """Whether a claim has no node yet, or one that has never come up."""
    if not _is_registered(claim):
        return True
    node = nodes.get(_part(claim, "status").get("nodeName") or "")
    return node is not None and _is_unready(node)


def _is_registered(claim: Raw) -> bool:
    return _conditions(claim).get("Registered", {}).get("status") == "True"


def _is_unready(node: Raw) -> bool:
    """Whether a node has not come up: raypipe still holds it closed for its pods, and it is not ready."""
    return _is_awaited(node) and _conditions(node).get("Ready", {}).get("status") != "True"


def _is_deleted(one: Raw) -> bool:
    return bool(_part(one, "metadata").get("deletionTimestamp"))


def _is_own(one: Raw) -> bool:
    return OWN_CLUSTER in _labels(one)


def _labels(one: Raw) -> dict[str, str]:
    return dict(_part(one, "metadata").get("labels") or {})


def _conditions(one: Raw) -> dict[str, Raw]:
    return {state.get("type", ""): state for state in _part(one, "status").get("conditions") or ()}


def _part(one: Raw, name: str) -> Raw:
    part = one.get(name)
    return part if isinstance(part, Mapping) else {}
