"""A pod template (or a pod) as a `PodSpec`: what one such pod requests and where it may run.

Effective request (kubernetes.io/docs/concepts/workloads/pods/init-containers, sidecar-containers, pod-overhead)::

    max( Σ containers + Σ restartable init containers,
         each init container + the restartable ones before it )  + overhead

A resource with only a limit requests the limit; requests of the pod itself (`spec.resources`) stand for the sum. Equal
templates give the same object, so that 100,000 like pods cost one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from raypipe.manifests.annotations import (
    GPU_MEMORY,
    GPU_SHARED_ANNOTATION,
    Placement,
    placement,
    protected,
)
from raypipe.manifests.fields import Field
from raypipe.manifests.requirements import node_affinity, tolerations
from raypipe.model.pods import PodSpec
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY, PODS, greatest, total

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
MOST_CONTAINERS = 1_000
RAY_WORKER_INIT = {CPU: 200, MEMORY: 256 * 2**20}
"""The init container that the KubeRay operator gives every worker."""

_HASH_LABELS = (
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "controller-uid",
    "job-name",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "batch.kubernetes.io/job-completion-index",
)
_RESOURCE_FIELDS = ("requests", "limits", "claims")


@dataclass(slots=True)
class PodReader:
    """Reads templates with the cluster's priority classes; equal templates give the same `PodSpec`.

    Attributes:
        priorities: value by name of PriorityClass. default_priority: of the class marked globalDefault.
    """

    priorities: Mapping[str, int] = field(default_factory=dict)
    default_priority: int = 0
    unknown_classes: set[str] = field(default_factory=set)
    _by_content: dict[bytes, PodSpec] = field(default_factory=dict)
    _by_value: dict[bytes, PodSpec] = field(default_factory=dict)

    def spec(
        self,
        template: Field,
        namespace: str,
        *,
        extra: Mapping[str, int] | None = None,
        init: Mapping[str, int] | None = None,
        default: Mapping[str, int] | None = None,
    ) -> PodSpec:
        """Read a template (a mapping with metadata and spec).

        extra: requests of a container that is added to it (a side-car). init: of an init container that is added.
        default: requests of its containers together where they state none.
        """
        raw = template.mapping()
        metadata = raw.get("metadata") if isinstance(raw.get("metadata"), dict) else {}
        content = msgspec.json.encode(
            (
                namespace,
                raw.get("spec"),
                (metadata or {}).get("labels"),
                (metadata or {}).get("annotations"),
                extra,
                init,
                default,
            )
        )
        known = self._by_content.get(content)
        if known is None:
            known = self._interned(self._read(template, namespace, extra or {}, init or {}, default or {}))
            self._by_content[content] = known
        return known

    def _interned(self, spec: PodSpec) -> PodSpec:
        return self._by_value.setdefault(msgspec.json.encode(spec, order="sorted"), spec)

    def _read(
        self,
        template: Field,
        namespace: str,
        extra: Mapping[str, int],
        init: Mapping[str, int],
        default: Mapping[str, int],
    ) -> PodSpec:
        spec, annotations = template.get("spec"), template.get("metadata", "annotations")
        where = placement(annotations)
        requests = effective_request(spec, extra, init, default)
        requests = _sliced(requests, annotations)
        memory = annotations.get(GPU_MEMORY)
        return PodSpec(
            namespace=namespace,
            labels={
                key: text
                for key, text in template.get("metadata", "labels").labels().items()
                if key not in _HASH_LABELS
            },
            requests=dict(sorted(requests.items())),
            node_selector=spec.get("nodeSelector").labels(),
            node_affinity=node_affinity(spec.get("affinity", "nodeAffinity")),
            tolerations=tolerations(spec.get("tolerations")),
            priority=self._priority(spec),
            gpu_memory_bytes=memory.quantity(MEMORY) if memory.value is not None else None,
            unchecked=unchecked(spec),
            protected=protected(annotations),
            **_fields(where),
        )

    def _priority(self, spec: Field) -> int:
        stated = spec.get("priority")
        if stated.value is not None:
            return stated.integer(0, low=-(2**31))
        name = spec.get("priorityClassName").text()
        if not name:
            return self.default_priority
        if name in self.priorities:
            return self.priorities[name]
        if name not in SYSTEM_PRIORITIES:
            self.unknown_classes.add(name)
        return SYSTEM_PRIORITIES.get(name, 0)


def _fields(where: Placement) -> dict[str, Any]:
    return {name: getattr(where, name) for name in Placement.__slots__}


def effective_request(
    spec: Field, extra: Mapping[str, int], init: Mapping[str, int], default: Mapping[str, int]
) -> dict[str, int]:
    """What one pod requests, ``pods: 1`` included; see the module's docstring."""
    containers = spec.get("containers").items()
    if len(containers) > MOST_CONTAINERS:
        spec.get("containers").problem(f"{len(containers)} containers", f"at most {MOST_CONTAINERS}")
        containers = []
    main = total([*(container_request(one) for one in containers), extra])
    if default and not any(main.get(name) for name in (CPU, MEMORY)):
        main = {**default, **{name: amount for name, amount in main.items() if amount}}
    restartable: dict[str, int] = {}
    peaks: list[dict[str, int]] = [dict(init)]
    for one in spec.get("initContainers").items()[:MOST_CONTAINERS]:
        request = container_request(one)
        if one.get("restartPolicy").value == "Always":
            restartable = total([restartable, request])
            peaks.append(restartable)
        else:
            peaks.append(total([restartable, request]))
    request = greatest([total([main, restartable]), *peaks])
    request |= _amounts(spec.get("resources"))
    overhead = {name: one.quantity(name) for name, one in spec.get("overhead").fields()}
    return total([request, overhead, {PODS: 1}])


def container_request(container: Field) -> dict[str, int]:
    """Requests of one container; a resource with only a limit requests the limit."""
    if container.value is None or not isinstance(container.value, dict):
        container.mapping()
        return {}
    return _amounts(container.get("resources"))


def _amounts(resources: Field) -> dict[str, int]:
    if resources.value is None:
        return {}
    resources.only(_RESOURCE_FIELDS)
    limits = {name: one.quantity(name) for name, one in resources.get("limits").fields() if one.value is not None}
    requests = {name: one.quantity(name) for name, one in resources.get("requests").fields() if one.value is not None}
    return {**limits, **requests}


def _sliced(requests: dict[str, int], annotations: Field) -> dict[str, int]:
    """GPUs that a pod shares are slices."""
    if GPU in requests and annotations.get(GPU_SHARED_ANNOTATION).value in ("true", True):
        slices = requests.pop(GPU)
        return {**requests, GPU_SHARED: requests.get(GPU_SHARED, 0) + slices}
    return requests


def unchecked(spec: Field) -> tuple[str, ...]:
    """Constraint families that the plan does not keep yet."""
    families = set()
    affinity = spec.get("affinity")
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    for kind, family in (("podAffinity", "pod-affinity"), ("podAntiAffinity", "pod-anti-affinity")):
        if affinity.get(kind, required).items():
            families.add(family)
    if any(affinity.get(kind, preferred).items() for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity")):
        families.add("preferred-affinity")
    if spec.get("topologySpreadConstraints").items():
        families.add("topology-spread")
    containers = spec.get("containers").items()[:MOST_CONTAINERS]
    if any(port.get("hostPort").value for one in containers for port in one.get("ports").items()):
        families.add("host-ports")
    if any(one.get("persistentVolumeClaim").value is not None for one in spec.get("volumes").items()):
        families.add("volumes")
    if spec.get("resourceClaims").items():
        families.add("resource-claims")
    return tuple(sorted(families))


def alike(one: PodSpec, other: PodSpec) -> bool:
    """Whether two specs are the same to a plan, labels apart."""
    return one is other or replace(one, labels={}) == replace(other, labels={})
