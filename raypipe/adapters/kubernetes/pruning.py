"""What is dropped of an object as soon as it is read, because no plan needs it and nobody should find it anywhere.

Environment values, commands and arguments may be secrets; the annotation in which kubectl keeps the whole object as it
was applied repeats them; who owns which field is half of an object's bytes.
"""

from __future__ import annotations

from typing import Any

_METADATA = ("managedFields", "selfLink")
_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)
_CONTAINER = ("env", "envFrom", "command", "args", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")


def pruned(value: Any) -> Any:
    """An object without all that; its own mappings are changed.

    Templates lie at many depths of a spec (a RayCluster's worker groups, a RayService's cluster), so whatever is called
    like a list of containers or like metadata is one.
    """
    if type(value) is not dict:
        return value
    _prune_metadata(value.get("metadata"))
    stack = [value.get("spec")]
    while stack:
        here = stack.pop()
        if type(here) is list:
            stack += here
            continue
        if type(here) is not dict:
            continue
        for key, below in here.items():
            if key == "metadata":
                _prune_metadata(below)
            elif key in _CONTAINERS:
                _prune_containers(below)
            elif type(below) is dict or type(below) is list:
                stack.append(below)
    return value


def _prune_metadata(metadata: Any) -> None:
    if type(metadata) is not dict:
        return
    for key in _METADATA:
        metadata.pop(key, None)
    annotations = metadata.get("annotations")
    if type(annotations) is dict:
        for key in _ANNOTATIONS:
            annotations.pop(key, None)


def _prune_containers(containers: Any) -> None:
    for one in containers if type(containers) is list else ():
        if type(one) is dict:
            for key in _CONTAINER:
                one.pop(key, None)
