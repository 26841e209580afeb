"""``-o yaml``: what a plan asks to be done, each action as the exact object or patch.

A node to buy is a whole NodeClaim (Karpenter ``karpenter.sh/v1``). A change of an object that exists is a merge patch
of it, complete with the names that say which one, so that each document stands alone; its reason is a comment above it.
Worker groups are one list, which a merge patch would replace: their change is a JSON patch, under the command that
carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import yaml

from raypipe.model.actions import Action, ActionKind
from raypipe.model.plan import ClusterPlan, FleetPlan, Scope

API_VERSIONS: Mapping[str, str] = {"NodeClaim": "karpenter.sh/v1", "RayJob": "ray.io/v1", "RayCluster": "ray.io/v1"}
"""The API each kind of object belongs to."""


def render(plan: FleetPlan) -> str:
    """All actions as one multi-document YAML text."""
    if plan.scope is Scope.WHOLE:
        return "# scope whole: a floor to measure against; there is nothing to carry out\n"
    parts = [part for cluster in plan.clusters for part in _cluster(cluster)]
    return "".join(parts) or "# nothing to do\n"


def _cluster(cluster: ClusterPlan) -> Iterator[str]:
    if cluster.error is not None:
        yield _comment(f"cluster {cluster.name} could not be planned: {cluster.error}")
    for action in cluster.actions:
        what = "object" if action.kind is ActionKind.BUY_NODE else "JSON patch" if action.patch else "merge patch"
        yield "---\n" + _comment(f"{action.kind} {action.id} in cluster {cluster.name}, {what}: {action.reason}")
        if action.kind is ActionKind.BUY_NODE and "nodeClassRef" not in action.set.get("spec", {}):
            yield _comment("Karpenter wants a nodeClassRef: name one as `nodeClass` in the fleet file")
        if action.patch:
            yield _comment(_command(action))
            yield dump(msgspec.to_builtins(action.patch))
        else:
            yield dump(document(action))


def _command(action: Action) -> str:
    """What carries a JSON patch out by hand."""
    target = action.object
    place = f" --namespace {target.namespace}" if target.namespace else ""
    return f"kubectl patch {target.kind.lower()} {target.name}{place} --type json --patch-file FILE"


def document(action: Action) -> dict[str, Any]:
    """The object, or the patch with the names of its object."""
    change = msgspec.to_builtins(action.set)
    target = action.object
    metadata = {"name": target.name} | ({"namespace": target.namespace} if target.namespace else {})
    metadata |= change.pop("metadata", {})
    return {"apiVersion": API_VERSIONS[target.kind], "kind": target.kind, "metadata": metadata, **change}


def dump(value: object) -> str:
    """Block-style YAML in the order given."""
    text: str = yaml.dump(
        value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, width=120, allow_unicode=True
    )
    return text


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())
