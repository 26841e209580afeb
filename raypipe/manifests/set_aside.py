"""Objects of a live cluster that cannot be read are set aside, so that one person's slip does not stop a whole cluster.

Of a file, whoever plans it can mend what is wrong, so it is an error. Of a live cluster he mostly cannot: API servers
take any annotation, and KubeRay takes negative replicas. Decision: a workload that is wrong is left out, with what it
owns; a pod that is wrong is ignored (bound, it keeps its room; waiting, it is `excluded`); a DaemonSet goes without the
annotations of its template, a node without the pods that it was bought for. Each is a note that says what to mend.
Whatever else is wrong (a NodePool whose limits nobody can read) stays an error: it says what may be bought.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from raypipe.manifests.annotations import IGNORE, KNOWN_PREFIXES
from raypipe.manifests.objects import WORKLOADS
from raypipe.manifests.origins import Observed
from raypipe.model.meant import MEANT_PODS
from raypipe.model.plan import Note

LEFT_OUT = (WORKLOADS - {"Pod", "DaemonSet"}) | {"CronJob", "PodGroup"}
"""Kinds that only say what is wanted."""

MOST_ROUNDS = 8
"""What is wrong of an owner may be seen of what it owns only once the owner is gone, and so on."""

type Object = Mapping[str, Any]


def without(observed: Observed, wrong: Mapping[int, str]) -> Observed | None:
    """The cluster without objects that cannot be read, by number with what is wrong; None where that cannot be."""
    objects: list[Object | None] = list(observed.objects)
    for number in wrong:
        one = observed.objects[number]
        kind = one.get("kind")
        if kind == "Pod":
            if not _ignore_alike(objects, one):
                return None
        elif kind in LEFT_OUT:
            objects[number] = None
        elif (bare := _bare(one)) is not None:
            objects[number] = bare
        else:
            return None
    lost = {_uid(one) for one, kept in zip(observed.objects, objects, strict=True) if kept is None}
    return replace(observed, objects=_without_owned(objects, lost), notes=(*observed.notes, *_notes(wrong.values())))


def _notes(wrong: Iterable[str]) -> list[Note]:
    """A note for each thing that is wrong, with the first object that has it."""
    alike: dict[str, list[str]] = {}
    for text in wrong:
        name, _, what = text.partition(": ")
        alike.setdefault(what, []).append(name)
    return [
        Note(
            kind="set-aside",
            subject=names[0],
            count=len(names),
            message=f"{names[0]}: {what}; left out until that is mended",
        )
        for what, names in alike.items()
    ]


def _ignore_alike(objects: list[Object | None], wrong: Object) -> bool:
    """Ignore a pod, and those whose annotations say the same; False where it is ignored already."""
    asked = _annotations(wrong)
    if asked == {IGNORE[0]: "true"}:
        return False
    for number, one in enumerate(objects):
        if one is not None and one.get("kind") == "Pod" and (one is wrong or _annotations(one) == asked):
            metadata = {**one["metadata"], "annotations": {IGNORE[0]: "true"}}
            objects[number] = {**one, "metadata": metadata}
    return True


def _annotations(one: Object) -> dict[str, Any]:
    """What an object's annotations say to a planner."""
    found = one["metadata"].get("annotations") if isinstance(one.get("metadata"), dict) else None
    return {key: text for key, text in (found or {}).items() if key.startswith(KNOWN_PREFIXES)}


def _bare(one: Object) -> Object | None:
    """A DaemonSet without its pods' annotations, a node or claim without its pods to come; None: nothing comes off."""
    if one.get("kind") == "DaemonSet":
        template = one["spec"]["template"]
        if not template.get("metadata", {}).get("annotations"):
            return None
        bare = {**template, "metadata": {**template["metadata"], "annotations": {}}}
        return {**one, "spec": {**one["spec"], "template": bare}}
    if one.get("kind") in ("Node", "NodeClaim") and MEANT_PODS in _annotations(one):
        kept = {key: text for key, text in one["metadata"]["annotations"].items() if key != MEANT_PODS}
        return {**one, "metadata": {**one["metadata"], "annotations": kept}}
    return None


def _without_owned(objects: Iterable[Object | None], lost: set[str]) -> tuple[Object, ...]:
    """The objects that are left, without workloads that those lost own (their pods exist and stay)."""
    left = [one for one in objects if one is not None]
    while True:
        owned = {_uid(one) for one in left if one.get("kind") in LEFT_OUT and _owners(one) & lost}
        if not owned:
            return tuple(left)
        left = [one for one in left if _uid(one) not in owned]
        lost = owned


def _uid(one: Object) -> str:
    return str(one["metadata"].get("uid")) if isinstance(one.get("metadata"), dict) else ""


def _owners(one: Object) -> set[str]:
    return {str(owner.get("uid")) for owner in one["metadata"].get("ownerReferences") or ()}
