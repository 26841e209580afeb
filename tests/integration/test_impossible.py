"""What pods ask and nobody can give: an error where it is wrong, else left out with what is to blame, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.model.plan import ClusterPlan, FilterCount
from tests.unit.manifests.builders import deployment, problems, ray_spec, read, template, thing
from tests.unit.planner.builders import catalog_in, planned_fleet

HOSTNAME, ZONE, RACK = "kubernetes.io/hostname", "topology.kubernetes.io/zone", "example.com/rack"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WEB = {"matchLabels": {"app": "web"}}
OF_WEB = "pods with app In [web] in default"


def near(key: str, app: str = "web", *, kind: str = "podAffinity", **term: Any) -> dict[str, Any]:
    stated = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}, **term}
    return {"affinity": {kind: {REQUIRED: [stated]}}}


def spread(**constraint: Any) -> dict[str, Any]:
    stated = {"topologyKey": ZONE, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB}
    return {"topologySpreadConstraints": [stated | constraint]}


def on_nodes(*terms: Any) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}}}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a skew of 0": (spread(maxSkew=0), "maxSkew: found 0, expected a whole number from 1"),
    "no skew": (spread(maxSkew=None), "maxSkew: found nothing, expected a whole number from 1"),
    "no topology key": (spread(topologyKey=""), "topologyKey: found nothing, expected the key of a label of nodes"),
    "minDomains beside ScheduleAnyway": (
        spread(minDomains=2, whenUnsatisfiable="ScheduleAnyway"),
        "minDomains: found 2 beside ScheduleAnyway, expected minDomains with DoNotSchedule alone",
    ),
    "minDomains of 0": (spread(minDomains=0), "minDomains: found 0, expected a whole number from 1"),
    "what is to be done if not, misspelt": (
        spread(whenUnsatisfiable="Never"),
        "whenUnsatisfiable: found 'Never', expected one of DoNotSchedule, ScheduleAnyway",
    ),
    "a policy misspelt": (spread(nodeTaintsPolicy="honour"), "nodeTaintsPolicy: found 'honour', expected one of Honor"),
    "matchLabelKeys that nothing is added to": (
        spread(matchLabelKeys=["app"], labelSelector=None),
        "matchLabelKeys: found keys to add to no labelSelector, expected a labelSelector beside them",
    ),
    "a kind of affinity misspelt": (
        {"affinity": {"podAfinity": {}}},
        "podAfinity: found an unknown field 'podAfinity', expected one of nodeAffinity",
    ),
    "a node affinity without a term": (on_nodes(), "nodeSelectorTerms: found no term, expected at least one"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_an_error_where_it_stands(name: str) -> None:
    spec, said = WRONG[name]
    (told,) = problems(deployment(of=template(labels={"app": "web"}, **spec)))
    assert said in told


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


LEFT_OUT: dict[str, tuple[dict[str, Any], int, str]] = {
    "affinity to nobody": (
        near(HOSTNAME, "nobody"),
        4,
        "constraint: pod affinity to pods with app In [nobody] in default (kubernetes.io/hostname): no such pod is "
        "bound or planned",
    ),
    "affinity without a selector, which means nobody": (
        near(ZONE, labelSelector=None),
        4,
        f"constraint: pod affinity to no pod ({ZONE}): no such pod is bound or planned",
    ),
    "affinity to pods of a namespace that there is not": (
        near(HOSTNAME, namespaceSelector={"matchLabels": {"team": "none"}}),
        4,
        "constraint: pod affinity to pods with app In [web] in no namespace (kubernetes.io/hostname): no such pod is "
        "bound or planned",
    ),
    "affinity within what no node is in": (
        near(RACK), 4, f"constraint: pod affinity to {OF_WEB} ({RACK}): no node has the label {RACK}"
    ),
    "spread over what no node is in": (
        spread(topologyKey=RACK),
        4,
        f"constraint: topology spread over {OF_WEB} ({RACK}, maxSkew 1): no node has the label {RACK}",
    ),
    "more domains than there are": (
        spread(minDomains=9),
        1,
        f"constraint: topology spread over {OF_WEB} ({ZONE}, maxSkew 1, minDomains 9) cannot be kept beside the pods "
        "that come before it",
    ),
    "more pods apart than there are zones": (
        near(ZONE, kind="podAntiAffinity"),
        1,
        f"constraint: pod anti-affinity to {OF_WEB} ({ZONE}) cannot be kept beside the pods that come before it",
    ),
    "a node affinity of an empty term": (
        on_nodes({}), 4, "selector: no offering has a label for an empty term, which admits no node"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_nobody_can_give_is_named(name: str, catalog: Catalog) -> None:
    spec, count, message = LEFT_OUT[name]
    (entry,) = planned(catalog, deployment(replicas=4, of=template(labels={"app": "web"}, **spec))).unplaced
    assert (entry.count, entry.message) == (count, message)
    reason = "constraint" if message.startswith("constraint") else "no-offering-fits"
    assert (entry.reason, entry.filters[-1]) == (reason, FilterCount(filter=message.partition(":")[0], left=0))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(near(RACK, kind="podAntiAffinity"), id="apart within what no node is in: never together"),
        pytest.param(near(ZONE, namespaceSelector={}), id="pods of all namespaces"),
        pytest.param(spread(matchLabelKeys=["pod-template-hash", "app"]), id="matchLabelKeys"),
    ],
)
def test_what_only_looks_impossible_is_planned(spec: dict[str, Any], catalog: Catalog) -> None:
    assert planned(catalog, deployment(replicas=3, of=template(labels={"app": "web"}, **spec))).unplaced == ()


def test_what_is_known_only_once_a_pod_exists_is_a_note(catalog: Catalog) -> None:
    spec = spread(matchLabelKeys=["pod-template-hash", "app"])
    plan = planned(catalog, deployment(replicas=3, of=template(labels={"app": "web"}, **spec)))
    assert [(note.subject, note.message) for note in plan.notes if note.kind == "late-label-key"] == [
        (
            "pod-template-hash",
            "matchLabelKeys: pod-template-hash is known once a pod exists: pods of all its values are meant, which is "
            "stricter",
        )
    ]


def test_a_gang_is_told_what_its_member_asks_in_vain(catalog: Catalog) -> None:
    lonely = template(labels={"app": "web"}, **near(HOSTNAME, "nobody"))
    plan = planned(catalog, thing("RayCluster", "demo", ray_spec({"replicas": 1, "template": lonely})))
    assert {entry.reason for entry in plan.unplaced} == {"gang"}
    assert {entry.message.partition(" fits nowhere: ")[2] for entry in plan.unplaced} == {
        "constraint: pod affinity to pods with app In [nobody] in default (kubernetes.io/hostname): no such pod is "
        "bound or planned"
    }


def planned(catalog: Catalog, *objects: Any) -> ClusterPlan:
    return planned_fleet(catalog, read(*objects)).clusters[0]
