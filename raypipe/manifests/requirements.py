"""Selectors, affinity terms, taints and tolerations from raw fields."""

from __future__ import annotations

import re
from collections.abc import Sequence

from raypipe.manifests.fields import Field, said
from raypipe.model.requirements import Operator, Requirement, Taint, Term, Toleration

OPERATORS = tuple(operator.value for operator in Operator)
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
NODE_NAME = "field:metadata.name"
"""A label that `nodes` gives every Node, so that node affinity may name one; no real label can be called so."""

_REQUIREMENT_FIELDS = ("key", "operator", "values")
_LIFECYCLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def requirement(one: Field, operators: Sequence[str] = OPERATORS) -> Requirement | None:
    """A label requirement, or None with its problem noted."""
    key = one.get("key").text()
    operator = Operator(one.get("operator").choice(operators, "In"))
    if one.get("operator").value is None:
        one.get("operator").problem("nothing", f"one of {', '.join(operators)}")
    values = one.get("values").texts()
    if not key:
        one.get("key").problem("nothing", "the key of a label")
        return None
    if operator in (Operator.IN, Operator.NOT_IN) and not values:
        one.get("values").problem("nothing", f"values, as {operator} needs them")
    if operator in (Operator.GT, Operator.LT) and not (len(values) == 1 and _is_integer(values[0])):
        one.get("values").problem(said(list(values) and values[0]), f"one whole number, as {operator} needs it")
    return Requirement(key=key, operator=operator, values=values)


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,18}", text) is not None


def _value(one: Field) -> str:
    value = one.get("value")
    return "" if value.value is None else value.word()


def requirements(field: Field) -> tuple[Requirement, ...]:
    """A list of requirements, as on a NodePool."""
    return tuple(found for one in field.items() if (found := requirement(one)) is not None)


def node_affinity(affinity: Field) -> tuple[Term, ...]:
    """The terms of a required node affinity."""
    return selector_terms(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))


def selector_terms(required: Field) -> tuple[Term, ...]:
    """The terms of a node selector, one of which must hold; absent: none."""
    required.only(("nodeSelectorTerms",))
    terms = required.get("nodeSelectorTerms")
    if required.value is not None and not terms.items():
        terms.problem("no term", "at least one, as kube-scheduler wants it")
    return tuple(selector_term(term) for term in terms.items())


def selector_term(term: Field) -> Term:
    """One term on a node; a match of the field metadata.name is one of the label `NODE_NAME`."""
    term.only(("matchExpressions", "matchFields"))
    parts: list[Requirement] = []
    for one in term.get("matchExpressions").items():
        one.only(_REQUIREMENT_FIELDS)
        parts += [found for found in (requirement(one),) if found is not None]
    for one in term.get("matchFields").items():
        one.only(_REQUIREMENT_FIELDS)
        found = requirement(one)
        if found is not None:
            if found.key != "metadata.name":
                one.get("key").problem(repr(found.key)[:60], "metadata.name, the only field of a node")
            parts.append(Requirement(key=NODE_NAME, operator=found.operator, values=found.values))
    return tuple(parts)


def tolerations(field: Field) -> tuple[Toleration, ...]:
    """Tolerations, those left out that admission adds to every pod for a while."""
    result = []
    for one in field.items():
        key, operator = one.get("key").text(), one.get("operator").choice(("Exists", "Equal"), "Equal")
        effect = one.get("effect").choice((*EFFECTS, ""), "")
        if key in _LIFECYCLE and one.get("tolerationSeconds").value is not None:
            continue
        result.append(Toleration(key=key, operator=operator, value=_value(one), effect=effect))
    return tuple(result)


def taints(field: Field) -> tuple[Taint, ...]:
    """Taints of a node or a NodePool, in order."""
    result = []
    for one in field.items():
        key = one.get("key").text()
        if not key:
            one.get("key").problem("nothing", "the key of a taint")
            continue
        effect = one.get("effect").choice(EFFECTS, "NoSchedule")
        result.append(Taint(key=key, value=_value(one), effect=effect))
    return tuple(sorted(result, key=lambda taint: (taint.key, taint.value, taint.effect)))
