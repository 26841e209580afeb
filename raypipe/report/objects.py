"""``-o yaml``: what a plan asks to be done, each action as the exact object or patch.

A node to buy is a whole NodeClaim (Karpenter ``karpenter.sh/v1``), or the size that a node group is to have. A change
of an object that others write to, too, is a JSON patch, which tests first what it relies on; any other is a merge
patch, complete with the names of its object. Above each document stand its reason and the command that carries it out,
once it is in a file of its own. A kustomization takes a JSON patch as it is, of an object that has annotations.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import msgspec
import yaml

from raypipe.model.actions import Action, ActionKind, written
from raypipe.model.plan import ClusterPlan, FleetPlan, Scope


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
        if action.object.kind == "NodeClaim" and "nodeClassRef" not in action.set.get("spec", {}):
            yield _comment("Karpenter wants a nodeClassRef: name one as `nodeClass` in the fleet file")
        yield _comment(_command(action, cluster.context))
        if action.patch:
            if _is_without_annotations(action):
                yield _comment(
                    "read without annotations: refused where it has some by now, as kubectl apply and kustomize give "
                    "it; plan again once it has one of its own"
                )
            yield dump(msgspec.to_builtins(action.patch))
        else:
            yield dump(written(action))


def _command(action: Action, context: str | None) -> str:
    """What carries an action out by hand."""
    target = action.object
    place = f" --context {shlex.quote(context)}" if context else ""
    if target.kind == "NodeGroup":
        spec = action.set["spec"]
        group = f"--auto-scaling-group-name {shlex.quote(spec['group'])}"
        return f"aws autoscaling set-desired-capacity {group} --desired-capacity {spec['size']}"
    if action.kind is ActionKind.BUY_NODE:
        return f"kubectl{place} create --filename FILE"
    place += f" --namespace {target.namespace}" if target.namespace else ""
    kind = "json" if action.patch else "merge"
    return f"kubectl{place} patch {target.kind.lower()} {target.name} --type {kind} --patch-file FILE"


def _is_without_annotations(action: Action) -> bool:
    """Whether the patch adds the first annotations of its object."""
    return any((one["op"], one["path"]) == ("test", "/metadata/annotations") for one in action.patch)


def dump(value: object) -> str:
    """Block-style YAML in the order given."""
    text: str = yaml.dump(
        value, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False, width=120, allow_unicode=True
    )
    return text


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())
