"""A pod template (or a pod) as a `PodSpec`: what one such pod requests and where it may run.

Effective request (kubernetes.io/docs/concepts/workloads/pods/init-containers, sidecar-containers, pod-overhead)::

    max( Σ containers + Σ restartable init containers,
         each init container + the restartable ones before it )  + overhead

A resource with only a limit requests the limit; requests of the pod itself (`spec.resources`) stand for the sum. Equal
templates give the same object, so that 100,000 like pods cost one; labels by which controllers tell such pods apart
are left out, but for those that some constraint selects by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import NoneType, UnionType
from typing import Any

import msgspec

from raypipe.errors import nearest
from raypipe.manifests.annotations import (
    GPU_MEMORY,
    GPU_SHARED_ANNOTATION,
    KNOWN_PREFIXES,
    Placement,
    placement,
    protected,
)
from raypipe.manifests.constraints import host_ports, preferences, refuse_unknown, required_terms, spreads
from raypipe.manifests.fields import Field, said
from raypipe.manifests.objects import Objects
from raypipe.manifests.requirements import node_affinity, tolerations
from raypipe.manifests.selectors import CONTROLLERS_LABELS, Namespaces, Owner, selected_labels
from raypipe.manifests.sources import MOST_PROBLEMS
from raypipe.manifests.volumes import CLAIM_KINDS, NOWHERE, Volumes
from raypipe.model.pods import PodSpec
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY, PODS, greatest, total
from raypipe.quantities import LARGEST_AMOUNT

SYSTEM_PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
MOST_CONTAINERS = 1_000
RAY_WORKER_INIT = {CPU: 200, MEMORY: 256 * 2**20}
"""The init container that the KubeRay operator gives every worker."""

_RESOURCE_FIELDS = ("requests", "limits", "claims")
_NATIVE_RESOURCES = ("cpu", "memory", "ephemeral-storage", GPU)
_RESOURCE = re.compile(
    r"cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+|[A-Za-z0-9][-A-Za-z0-9_.]*/[-A-Za-z0-9_.]+"
)
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_SPEC_FIELDS = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "priority",
    "priorityClassName",
    "overhead",
    "resources",
    "resourceClaims",
    "topologySpreadConstraints",
    "hostNetwork",
)
_CONTAINER_FIELDS = ("resources", "ports", "restartPolicy")
"""What of a pod a `PodSpec` depends on: pods that differ elsewhere (names of volumes, say) are read once."""


@dataclass(slots=True, kw_only=True)
class PodReader:
    """Reads templates with what the cluster has beside them; equal templates give the same `PodSpec`.

    Attributes:
        namespaces, volumes: what constraints refer to. selected: keys of labels that some constraint selects by.
        priorities: value by name of PriorityClass. default_priority: of the class marked globalDefault.
        unknown_classes, late_label_keys: noted on the way: PriorityClasses that the input does not have, and keys of
            matchLabelKeys of which nobody knows the value before the pod exists.
    """

    namespaces: Namespaces
    volumes: Volumes
    selected: frozenset[str] = frozenset()
    priorities: Mapping[str, int] = field(default_factory=dict)
    default_priority: int = 0
    unknown_classes: set[str] = field(default_factory=set)
    late_label_keys: set[str] = field(default_factory=set)
    _by_content: dict[bytes, PodSpec] = field(default_factory=dict)
    _by_value: dict[bytes, PodSpec] = field(default_factory=dict)
    _without: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._without = CONTROLLERS_LABELS - self.selected

    def spec(
        self,
        template: Field,
        namespace: str,
        *,
        extra: Mapping[str, int] | None = None,
        init: Mapping[str, int] | None = None,
        default: Mapping[str, int] | None = None,
        labels: Mapping[str, str] | None = None,
        claims: Field | None = None,
        pod: str | None = None,
    ) -> PodSpec:
        """Read a template (a mapping with metadata and spec).

        extra: requests of a container that is added to it (a side-car). init: of an init container that is added.
        default: requests of its containers together where they state none; without it a template must have one.
        labels: what its controller adds where it has no such label. claims: the volumeClaimTemplates of a StatefulSet.
        pod: the name of a pod, after which its own claims are called.
        """
        added = {key: text for key, text in labels.items() if key in self.selected} if labels else {}
        has_claims = claims is not None or _has_claims(template)
        volumes = template.get("spec", "volumes")
        place, told = self.volumes.place(volumes, namespace, pod, claims) if has_claims else (NOWHERE, True)
        content = _content(template, (namespace, extra, init, default, added, place, told), self._without)
        known = self._by_content.get(content)
        if known is not None:
            return known
        before = template.source.count
        spec = self._read(template, namespace, extra or {}, init or {}, default, added)
        families = spec.unchecked if told else tuple(sorted({*spec.unchecked, "volumes"}))
        spec = replace(spec, volume_affinity=place, unchecked=families)
        spec = self._by_value.setdefault(msgspec.json.encode(spec, order="sorted"), spec)
        if content and not before < template.source.count < MOST_PROBLEMS:  # what is wrong twice is told twice
            self._by_content[content] = spec
        return spec

    def _read(
        self,
        template: Field,
        namespace: str,
        extra: Mapping[str, int],
        init: Mapping[str, int],
        default: Mapping[str, int] | None,
        added: Mapping[str, str],
    ) -> PodSpec:
        spec, annotations = template.get("spec"), template.get("metadata", "annotations")
        if default is None and not spec.get("containers").items():
            spec.get("containers").problem("no container", "at least one")
        requests = _sliced(effective_request(spec, extra, init, default or {}), annotations)
        for name in sorted(name for name, amount in requests.items() if amount > LARGEST_AMOUNT):
            spec.problem(f"{requests[name]} of {name} in all", f"at most {LARGEST_AMOUNT} in the smallest unit")
        memory = annotations.get(GPU_MEMORY)
        stated = {**added, **template.get("metadata", "labels").labels()}
        labels = {key: text for key, text in sorted(stated.items()) if key not in self._without}
        return PodSpec(
            namespace=namespace,
            labels=labels,
            requests=dict(sorted(requests.items())),
            node_selector=spec.get("nodeSelector").labels(),
            node_affinity=node_affinity(spec.get("affinity", "nodeAffinity")),
            tolerations=tolerations(spec.get("tolerations")),
            priority=self._priority(spec),
            gpu_memory_bytes=memory.quantity(MEMORY) if memory.value is not None else None,
            unchecked=unchecked(spec),
            protected=protected(annotations),
            **_fields(placement(annotations)),
            **_constraints(spec, self._owner(namespace, labels)),
        )

    def _owner(self, namespace: str, labels: Mapping[str, str]) -> Owner:
        return Owner(namespace=namespace, labels=labels, namespaces=self.namespaces, late=self.late_label_keys)

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


def pod_reader(objects: Objects) -> PodReader:
    """A reader with the PriorityClasses of the input, and those that its pods show the value of."""
    priorities: dict[str, int] = {}
    for one in objects.of("Pod"):
        name = one.root.plain("spec", "priorityClassName")
        if isinstance(name, str) and type(value := one.root.plain("spec", "priority")) is int:
            priorities.setdefault(name, value)
    defaults: list[int] = []
    for one in objects.of("PriorityClass"):
        value = priorities[one.name] = one.root.get("value").integer(0, low=-(2**31))
        if one.root.get("globalDefault").boolean():
            defaults.append(value)
    # of several defaults the API server takes the lowest
    return PodReader(
        namespaces=Namespaces(objects),
        volumes=Volumes(objects),
        selected=selected_labels(objects),
        priorities=priorities,
        default_priority=min(defaults, default=0),
    )


def _has_claims(template: Field) -> bool:
    """Whether a volume is a claim; what is no list of volumes is told elsewhere."""
    volumes = template.plain("spec", "volumes")
    if type(volumes) is list:
        for one in volumes:
            if type(one) is dict and (one.get(CLAIM_KINDS[0]) is not None or one.get(CLAIM_KINDS[1]) is not None):
                return True
    return False


def _content(template: Field, more: tuple[object, ...], without: frozenset[str]) -> bytes:
    """What the spec is read from, as bytes; empty where the template is odd enough to be read for its problems."""
    metadata, spec = template.plain("metadata"), template.plain("spec")
    if type(spec) is not dict or type(metadata) not in (dict, NoneType):
        return b""
    labels, annotations = (metadata or {}).get("labels") or {}, (metadata or {}).get("annotations") or {}
    volumes = spec.get("volumes") or ()
    containers = [spec.get(name) or () for name in ("containers", "initContainers")]
    if not _all_of(dict, (labels, annotations)) or not _all_of(list | tuple, (volumes, *containers)):
        return b""
    if not all(_all_of(dict, part) for part in (volumes, *containers)):
        return b""
    parts = (
        more,
        [spec.get(name) for name in _SPEC_FIELDS],
        [[[one.get(name) for name in _CONTAINER_FIELDS] for one in part] for part in containers],
        {key: text for key, text in labels.items() if key not in without},
        {key: text for key, text in annotations.items() if key.startswith(KNOWN_PREFIXES)},
    )
    try:
        return msgspec.json.encode(parts)
    except RecursionError:
        template.problem("too deep a nesting", "a flatter template")
        return b""


def _all_of(kind: type | UnionType, values: Iterable[object]) -> bool:
    return all(isinstance(one, kind) for one in values)


def _fields(where: Placement) -> dict[str, Any]:
    return {name: getattr(where, name) for name in Placement.__slots__}


def _constraints(spec: Field, owner: Owner) -> dict[str, Any]:
    """What the pod says of other pods and of ports, in the fields of a PodSpec."""
    affinity = spec.get("affinity")
    refuse_unknown(affinity)
    restarting = (one for one in _containers(spec, "initContainers") if one.get("restartPolicy").value == "Always")
    return {
        "pod_affinity": required_terms(affinity.get("podAffinity"), owner),
        "pod_anti_affinity": required_terms(affinity.get("podAntiAffinity"), owner),
        "spread": spreads(spec.get("topologySpreadConstraints"), owner),
        "preferences": preferences(affinity, owner),
        "host_ports": host_ports(
            _containers(spec, "containers"), restarting, on_host=spec.get("hostNetwork").boolean()
        ),
    }


def effective_request(
    spec: Field, extra: Mapping[str, int], init: Mapping[str, int], default: Mapping[str, int]
) -> dict[str, int]:
    """What one pod requests, ``pods: 1`` included; see the module's docstring."""
    main = total([*(container_request(one) for one in _containers(spec, "containers")), extra])
    if default and not any(main.get(name) for name in (CPU, MEMORY)):
        main = {**default, **{name: amount for name, amount in main.items() if amount}}
    restartable: dict[str, int] = {}
    peaks: list[dict[str, int]] = []
    for one in _containers(spec, "initContainers"):
        request = total([restartable, container_request(one)])
        if one.get("restartPolicy").choice(_RESTART_POLICIES, "") == "Always":
            restartable = request
        peaks.append(request)
    peaks.append(total([restartable, init]))
    request = _with_pod_level(greatest([total([main, restartable]), *peaks]), spec.get("resources"))
    return total([request, _named_amounts(spec.get("overhead")), {PODS: 1}])


def _containers(spec: Field, name: str) -> list[Field]:
    found = spec.get(name).items()
    if len(found) > MOST_CONTAINERS:
        spec.get(name).problem(f"{len(found)} containers", f"at most {MOST_CONTAINERS}")
        return []
    return found


def _with_pod_level(request: dict[str, int], resources: Field) -> dict[str, int]:
    """Requests of the pod itself stand for the containers' sum; limits of the pod only where these state nothing."""
    limits, requests = _amounts(resources)
    return {**limits, **{name: amount for name, amount in request.items() if amount}, **requests}


def container_request(container: Field) -> dict[str, int]:
    """Requests of one container; a resource with only a limit requests the limit."""
    if not isinstance(container.value, dict):
        container.problem(said(container.value), "a container")
        return {}
    limits, requests = _amounts(container.get("resources"))
    return {**limits, **requests}


def _amounts(resources: Field) -> tuple[dict[str, int], dict[str, int]]:
    """Limits and requests."""
    if resources.value is None:
        return {}, {}
    resources.only(_RESOURCE_FIELDS)
    return _named_amounts(resources.get("limits")), _named_amounts(resources.get("requests"))


def _named_amounts(amounts: Field) -> dict[str, int]:
    result = {}
    for name, one in amounts.fields():
        if _RESOURCE.fullmatch(name) is None:
            near = GPU if "gpu" in name.lower() else nearest(name, _NATIVE_RESOURCES)
            one.problem(f"an unknown resource {name[:60]!r}", "cpu, memory, or a name such as example.com/device", near)
            continue
        result[name] = one.quantity(name)
    return result


def _sliced(requests: dict[str, int], annotations: Field) -> dict[str, int]:
    """GPUs that a pod shares are slices."""
    if GPU in requests and annotations.get(GPU_SHARED_ANNOTATION).value in ("true", True):
        slices = requests.pop(GPU)
        return {**requests, GPU_SHARED: requests.get(GPU_SHARED, 0) + slices}
    return requests


def unchecked(spec: Field) -> tuple[str, ...]:
    """Constraint families that the plan does not keep yet."""
    families = set()
    if spec.get("resourceClaims").items():
        families.add("resource-claims")
    spec.get("volumes").items()  # what is no list is told, whether or not it is looked at
    return tuple(sorted(families))
