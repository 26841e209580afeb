"""Which pods a constraint means: label selectors, namespaces, and the labels that any of them looks at.

A null label selector selects no pod, ``{}`` every one (k8s.io/apimachinery, LabelSelectorAsSelector). Without names of
namespaces and without a selector of them the pod's own is meant; where both are given, all that either names.

Controllers put labels on pods that tell one from the next. Where nothing selects by them they are left out, so that
like pods stay alike; where something does (`selected_labels`), they stay, and pods that differ there are not alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from raypipe.manifests.fields import Field, said
from raypipe.manifests.objects import WORKLOADS, Objects
from raypipe.manifests.requirements import requirement
from raypipe.model.constraints import PodSelector
from raypipe.model.requirements import Operator, Requirement

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that the API server puts on every Namespace: its name."""

JOB_NAME = ("job-name", "batch.kubernetes.io/job-name")
_LATE = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "controller-uid",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-completion-index",
    }
)
"""Labels of which nobody knows the value before the pod exists."""

CONTROLLERS_LABELS = _LATE | set(JOB_NAME)
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_OWN_KEYS = (("matchLabelKeys", Operator.IN), ("mismatchLabelKeys", Operator.NOT_IN))
_WITHOUT_SELECTORS = frozenset({"containers", "initContainers", "ephemeralContainers", "volumes", "metadata", "status"})

type Conditions = tuple[Requirement, ...]


class Namespaces:
    """The namespaces of a cluster; one that no object describes has its name for its only label."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def selected(self, conditions: Conditions) -> tuple[str, ...]:
        """Names of the namespaces of the input whose labels meet all conditions, in order."""
        return tuple(name for name, labels in self._labels.items() if all(one.admits(labels) for one in conditions))

    @cached_property
    def _labels(self) -> dict[str, dict[str, str]]:
        known = {one.name: one.labels.labels() for one in self._objects.of("Namespace")}
        names = known.keys() | {one.namespace for one in self._objects.of(*WORKLOADS)}
        return {name: {**known.get(name, {}), NAMESPACE_NAME: name} for name in sorted(names)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The pod that states a constraint, as far as the constraint looks at it.

    late: where keys of matchLabelKeys are noted of which nobody knows the value before the pod exists.
    """

    namespace: str
    labels: Mapping[str, str]
    namespaces: Namespaces
    late: set[str]


def pods_meant(term: Field, owner: Owner) -> PodSelector:
    """The pods that a term of affinity or a spread constraint means; only the former has fields on namespaces."""
    return PodSelector(namespaces=_namespaces(term, owner), labels=_with_own_labels(term, owner))


def _namespaces(term: Field, owner: Owner) -> tuple[str, ...] | None:
    listed, conditions = term.get("namespaces").texts(), label_selector(term.get("namespaceSelector"))
    if conditions is None:
        return tuple(sorted(set(listed))) or (owner.namespace,)
    if not conditions:
        return None
    return tuple(sorted({*listed, *owner.namespaces.selected(conditions)}))


def label_selector(one: Field) -> Conditions | None:
    """The conditions of a label selector, in order; None where there is no selector, which selects nothing."""
    if one.value is None:
        return None
    one.only(("matchLabels", "matchExpressions"))
    equal = [_equal(key, value) for key, value in one.get("matchLabels").labels().items()]
    return conjunction([*equal, *map(_expression, one.get("matchExpressions").items())])


def _equal(key: str, value: str, operator: Operator = Operator.IN) -> Requirement:
    return Requirement(key=key, operator=operator, values=(value,))


def _expression(one: Field) -> Requirement | None:
    one.only(("key", "operator", "values"))
    found = requirement(one, _OPERATORS)
    if found is not None and found.values and found.operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
        one.get("values").problem(said(found.values[0]), f"no values, as {found.operator} takes none")
    return found


def conjunction(conditions: Iterable[Requirement | None]) -> Conditions:
    """Conditions that all must hold, each once, in an order and spelling that depend on their meaning alone."""
    return in_order(
        {
            Requirement(key=one.key, operator=one.operator, values=tuple(sorted(set(one.values))))
            for one in conditions
            if one is not None
        }
    )


def in_order[T](values: Iterable[T]) -> tuple[T, ...]:
    """Model values in the order of their fields."""
    return tuple(sorted(values, key=_encoded))


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


def _with_own_labels(term: Field, owner: Owner) -> Conditions | None:
    """The selector with what matchLabelKeys and mismatchLabelKeys add: the owner's own values.

    The API server merges them into the selector of a pod that it creates. For a label that a controller adds later this
    is undone: a pod still to be created does not have it, and its selector and that of live ones are to be the same.
    It then means more pods, which is stricter.
    """
    stated = label_selector(term.get("labelSelector"))
    conditions, late = list(stated or ()), set()
    for name, operator in _OWN_KEYS:
        keys = term.get(name)
        if keys.value and stated is None:
            keys.problem("keys to add to no labelSelector", "a labelSelector beside them")
        for key in keys.texts():
            if key in _LATE:
                late.add(key)
            elif key in owner.labels:
                conditions.append(_equal(key, owner.labels[key], operator))
    owner.late.update(late)
    return None if stated is None else conjunction(one for one in conditions if one.key not in late)


def selected_labels(objects: Objects) -> frozenset[str]:
    """Keys of the labels by which some pod of the input selects others."""
    found: set[str] = set()
    seen: set[bytes] = set()
    for one in objects.of("Pod"):
        spec = one.root.value.get("spec")
        if type(spec) is dict and (spec.get("affinity") or spec.get("topologySpreadConstraints")):
            parts = [spec.get("affinity"), spec.get("topologySpreadConstraints")]
            mark = _mark(parts)
            if mark not in seen:
                seen.add(mark)
                found.update(_keys_within(parts))
    for one in objects.of(*sorted(WORKLOADS - {"Pod"}), "CronJob"):
        found.update(_keys_within(one.root.value.get("spec")))
    return frozenset(found)


def _mark(content: Any) -> bytes:
    try:
        return msgspec.json.encode(content)
    except RecursionError:  # `pods` says what is wrong with it
        return b""


def _keys_within(content: Any) -> Iterator[str]:
    """Keys that the terms within raw content look at; what is no term or is misshapen has none."""
    waiting = [content]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            if isinstance(one.get("labelSelector"), dict):
                yield from _keys_of(one)
            waiting += [part for key, part in one.items() if key not in _WITHOUT_SELECTORS]


def _keys_of(term: Mapping[str, Any]) -> set[str]:
    selector = term["labelSelector"]
    added = _texts(key for name, _ in _OWN_KEYS for key in _list(term.get(name)))
    labels, expressions = selector.get("matchLabels"), _list(selector.get("matchExpressions"))
    stated = _texts(one.get("key") for one in expressions if isinstance(one, dict))
    stated |= _texts(labels if isinstance(labels, dict) else ())
    return (stated | added) - (added & _LATE)


def _texts(values: Iterable[Any]) -> set[str]:
    return {one for one in values if isinstance(one, str)}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
