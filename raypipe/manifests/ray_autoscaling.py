"""What Ray's own autoscaler takes from a worker group, beyond its least and most replicas.

Its second version alone looks at a group's ``idleTimeoutSeconds`` and ``priority``, and KubeRay refuses objects that
state them without it (``priority`` also below Ray 2.56). An API server drops a field that its CRD does not know:
``priority`` is one from KubeRay 1.7 on, so the CRD has to be in the input for it to be written.
"""

from __future__ import annotations

import re

from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject, Objects

IDLE_TIMEOUT_S = 60
"""Ray's own default: after so long it removes an idle worker."""
PREFERRING_RAY = (2, 56)
"""The first Ray whose autoscaler knows priorities of groups."""
ENABLE_V2 = "RAY_enable_autoscaler_v2"


def is_second_version(spec: Field) -> bool:
    """Whether the second version scales a cluster; `spec` is its RayCluster spec."""
    if spec.get("autoscalerOptions", "version").value == "v2":
        return True
    containers = spec.get("headGroupSpec", "template", "spec", "containers").items()
    variables = containers[0].get("env").items() if containers else []
    return any(one.plain("name") == ENABLE_V2 and one.plain("value") in ("1", "true") for one in variables)


def idle_timeout_s(spec: Field) -> int:
    """After how long an idle worker goes where its group says nothing."""
    return spec.get("autoscalerOptions", "idleTimeoutSeconds").integer(IDLE_TIMEOUT_S)


def knows_priorities(spec: Field) -> bool:
    """Whether the Ray of a cluster is said to be one that knows priorities of groups."""
    stated = spec.get("rayVersion").value
    version = re.match(r"(\d{1,9})\.(\d{1,9})", stated) if isinstance(stated, str) else None
    return version is not None and (int(version[1]), int(version[2])) >= PREFERRING_RAY


def serves(objects: Objects, one: KubeObject, *steps: str) -> bool:
    """Whether the CRD of an object is in the input, and knows a field: ``[]`` among the steps are items of a list."""
    group, _, version = str(one.root.plain("apiVersion")).rpartition("/")
    for definition in objects.of("CustomResourceDefinition"):
        spec = definition.spec
        if spec.get("group").value == group and spec.get("names", "kind").value == one.kind:
            return any(
                served.get("name").value == version
                and served.get("served").value is True
                and _has(served.get("schema", "openAPIV3Schema"), steps)
                for served in spec.get("versions").items()
            )
    return False


def _has(schema: Field, steps: tuple[str, ...]) -> bool:
    for step in steps:
        schema = schema.get("items") if step == "[]" else schema.get("properties", step)
    return schema.value is not None
