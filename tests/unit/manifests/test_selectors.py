"""Which pods a term means: label selectors, namespaces, own labels; and which labels of a pod stay with it."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.model.constraints import PodSelector
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import Operator, Requirement
from tests.unit.manifests.builders import (
    Object,
    container,
    deployment,
    node,
    notes,
    pod,
    problems,
    ray_spec,
    read,
    template,
    thing,
    wanted,
)

HOSTNAME = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def need(key: str, operator: str, *values: str) -> Requirement:
    return Requirement(key=key, operator=Operator(operator), values=values)


def apart(term: Object, **labels: str) -> Object:
    """A template whose pods keep away from those that a term means."""
    affinity = {"podAntiAffinity": {REQUIRED: [{"topologyKey": HOSTNAME, **term}]}}
    return template(labels=labels, affinity=affinity)


def spec_of(of: Object, *beside: Object) -> PodSpec:
    (group,) = (one for one in read(deployment(of=of), *beside).demand if one.key == "Deployment/default/web")
    return group.spec


def meant(term: Object, *beside: Object, **labels: str) -> PodSelector:
    (found,) = spec_of(apart(term, **labels), *beside).pod_anti_affinity
    return found.pods


@pytest.mark.parametrize(
    ("selector", "conditions"),
    [
        pytest.param(None, None, id="null selects nothing"),
        pytest.param({}, (), id="the empty one selects everything"),
        pytest.param({"matchLabels": {}, "matchExpressions": []}, (), id="and so does one with nothing in it"),
        pytest.param(
            {"matchLabels": {"b": "1", "a": True}},
            (need("a", "In", "true"), need("b", "In", "1")),
            id="labels are conditions in order of key",
        ),
        pytest.param(
            {
                "matchExpressions": [
                    {"key": "c", "operator": "Exists"},
                    {"key": "b", "operator": "NotIn", "values": ["y", "x", "y"]},
                    {"key": "a", "operator": "DoesNotExist", "values": []},
                ]
            },
            (need("a", "DoesNotExist"), need("b", "NotIn", "x", "y"), need("c", "Exists")),
            id="expressions in order, their values too",
        ),
        pytest.param(
            {"matchLabels": {"a": "x"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["x"]}]},
            (need("a", "In", "x"),),
            id="what is said twice is kept once",
        ),
    ],
)
def test_label_selectors(selector: Object | None, conditions: tuple[Requirement, ...] | None) -> None:
    assert meant({"labelSelector": selector}) == PodSelector(namespaces=("default",), labels=conditions)


NAMESPACES = [
    thing("Namespace", "red-1", labels={"team": "red"}),
    thing("Namespace", "red-2", labels={"team": "red", "kubernetes.io/metadata.name": "red-2"}),
    thing("Namespace", "blue", labels={"team": "blue"}),
    pod("p", namespace="bare"),
]


def by(key: str, operator: str, *values: str) -> Object:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("term", "namespaces"),
    [
        pytest.param({}, ("default",), id="neither: the pod's own"),
        pytest.param({"namespaces": []}, ("default",), id="an empty list: the pod's own"),
        pytest.param({"namespaces": ["b", "a", "b"]}, ("a", "b"), id="those that are named"),
        pytest.param({"namespaceSelector": {}}, None, id="the empty selector: all"),
        pytest.param({"namespaces": ["a"], "namespaceSelector": {}}, None, id="the empty selector beside names: all"),
        pytest.param({"namespaceSelector": {"matchLabels": {"team": "red"}}}, ("red-1", "red-2"), id="by label"),
        pytest.param(
            {"namespaces": ["a"], "namespaceSelector": {"matchLabels": {"team": "red"}}},
            ("a", "red-1", "red-2"),
            id="names and a selector: both",
        ),
        pytest.param({"namespaceSelector": {"matchLabels": {"team": "green"}}}, (), id="a selector that meets none"),
        pytest.param(
            {"namespaceSelector": by("team", "DoesNotExist")},
            ("bare", "default"),
            id="namespaces without an object have no such label",
        ),
        pytest.param(
            {"namespaceSelector": by("kubernetes.io/metadata.name", "In", "red-1", "bare")},
            ("bare", "red-1"),
            id="but each has its name for a label",
        ),
    ],
)
def test_namespaces(term: Object, namespaces: tuple[str, ...] | None) -> None:
    found = meant({"labelSelector": {}} | term, *NAMESPACES)
    assert found == PodSelector(namespaces=namespaces, labels=())


def test_a_namespace_is_a_kind_that_is_known() -> None:
    assert notes(read(*NAMESPACES)) == []


@pytest.mark.parametrize(
    ("term", "conditions"),
    [
        pytest.param({"matchLabelKeys": ["app"]}, (need("app", "In", "web"),), id="the pod's own value"),
        pytest.param({"mismatchLabelKeys": ["app"]}, (need("app", "NotIn", "web"),), id="any but its own value"),
        pytest.param({"matchLabelKeys": ["tier"]}, (), id="a label that it lacks says nothing"),
        pytest.param({"matchLabelKeys": ["pod-template-hash"]}, (), id="one that comes later is left out"),
        pytest.param(
            {
                "matchLabelKeys": ["app", "pod-template-hash"],
                "labelSelector": {"matchLabels": {"app": "web", "pod-template-hash": "5d9"}},
            },
            (need("app", "In", "web"),),
            id="also where the API server has merged it",
        ),
    ],
)
def test_own_labels_are_merged_into_the_selector(term: Object, conditions: tuple[Requirement, ...]) -> None:
    found = meant({"labelSelector": {}} | term, app="web", **{"pod-template-hash": "5d9"})
    assert found.labels == conditions


def test_a_template_and_its_live_pods_have_one_selector() -> None:
    """The API server writes the value of pod-template-hash into a live pod's selector; the template cannot."""
    keys = {"matchLabelKeys": ["pod-template-hash"]}
    owner = deployment("web", 3, apart({"labelSelector": {"matchLabels": {"app": "a"}}, **keys}, app="a"), uid="u")
    merged = {"labelSelector": {"matchLabels": {"app": "a", "pod-template-hash": "1"}}, **keys}
    live = apart(merged, app="a") | {"metadata": {"labels": {"app": "a", "pod-template-hash": "1"}}}
    cluster = read(owner, node(), pod("a", live, owner=owner), pod("b", live, owner=owner, node="node-1"))
    assert wanted(cluster) == {"Deployment/default/web": 2}
    assert [(one.key, one.count) for one in cluster.bound] == [("Deployment/default/web", 1)]


# which labels of a pod stay with it

JOB = thing("Job", "j", {"parallelism": 2, "template": template(labels={"app": "j"})}, uid="u-j")
RAY = thing("RayCluster", "r", ray_spec({"replicas": 1}, head=template(labels={"ray.io/group": "mine"})))


def labels_by_key(selector: Object, *objects: Object) -> dict[str, dict[str, str]]:
    """Labels of the pods of `objects` beside a pod that selects some."""
    cluster = read(pod("selecting", apart({"labelSelector": selector})), *objects)
    return {one.key: dict(one.spec.labels) for one in cluster.demand if one.key != "Pod/default/selecting"}


@pytest.mark.parametrize(
    ("key", "one", "expected"),
    [
        ("app", JOB, {"Job/default/j": {"app": "j"}}),
        ("job-name", JOB, {"Job/default/j": {"app": "j", "job-name": "j"}}),
        (
            "batch.kubernetes.io/job-name",
            JOB,
            {"Job/default/j": {"app": "j", "batch.kubernetes.io/job-name": "j"}},
        ),
        (
            "ray.io/node-type",
            RAY,
            {
                "RayCluster/default/r/head": {"ray.io/group": "mine", "ray.io/node-type": "head"},
                "RayCluster/default/r/worker/g0": {"ray.io/node-type": "worker"},
            },
        ),
        (
            "ray.io/group",
            RAY,
            {
                "RayCluster/default/r/head": {"ray.io/group": "mine"},
                "RayCluster/default/r/worker/g0": {"ray.io/group": "g0"},
            },
        ),
        (
            "ray.io/cluster",
            RAY,
            {
                "RayCluster/default/r/head": {"ray.io/cluster": "r", "ray.io/group": "mine"},
                "RayCluster/default/r/worker/g0": {"ray.io/cluster": "r"},
            },
        ),
        (
            "leaderworkerset.sigs.k8s.io/name",
            thing("LeaderWorkerSet", "l", {"leaderWorkerTemplate": {"workerTemplate": template(), "size": 2}}),
            {
                "LeaderWorkerSet/default/l/leader": {"leaderworkerset.sigs.k8s.io/name": "l"},
                "LeaderWorkerSet/default/l/worker": {"leaderworkerset.sigs.k8s.io/name": "l"},
            },
        ),
        (
            "leaderworkerset.sigs.k8s.io/worker-index",
            thing("LeaderWorkerSet", "l", {"leaderWorkerTemplate": {"workerTemplate": template(), "size": 2}}),
            {
                "LeaderWorkerSet/default/l/leader": {"leaderworkerset.sigs.k8s.io/worker-index": "0"},
                "LeaderWorkerSet/default/l/worker": {},
            },
        ),
    ],
)
def test_labels_that_a_controller_will_add_are_known_where_something_selects_by_them(
    key: str, one: Object, expected: dict[str, dict[str, str]]
) -> None:
    assert labels_by_key(by(key, "Exists"), one) == expected


def spread_over(selector: Object) -> Object:
    constraint = {"maxSkew": 1, "topologyKey": HOSTNAME, "whenUnsatisfiable": "DoNotSchedule"}
    return template(topologySpreadConstraints=[constraint | {"labelSelector": selector}])


def near(selector: Object) -> Object:
    term = {"weight": 1, "podAffinityTerm": {"topologyKey": HOSTNAME, "labelSelector": selector}}
    return template(affinity={"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}})


@pytest.mark.parametrize(
    "selecting",
    [
        pytest.param(pod("x", spread_over({"matchLabels": {"job-name": "j"}})), id="a pod's spread"),
        pytest.param(pod("x", near({"matchLabels": {"job-name": "j"}})), id="a pod's preference"),
        pytest.param(deployment("x", 0, spread_over({"matchLabels": {"job-name": "j"}})), id="a template"),
        pytest.param(
            thing("CronJob", "x", {"jobTemplate": {"spec": {"template": near(by("job-name", "Exists"))}}}),
            id="a template within a template",
        ),
        pytest.param(pod("x", apart({"labelSelector": {}, "matchLabelKeys": ["job-name"]})), id="own labels merged"),
    ],
)
def test_a_label_is_selected_by_whoever_names_it(selecting: Object) -> None:
    (group,) = (one for one in read(selecting, JOB).demand if one.owner == "Job/default/j")
    assert group.spec.labels["job-name"] == "j"


def test_pods_that_differ_in_a_selected_label_are_of_another_shape() -> None:
    """A rollout that changes only a label: old pods keep it, and constraints see that."""
    web = "Deployment/default/web"
    owner = deployment("web", 3, template(labels={"version": "2", "note": "x"}), uid="u")
    old = [pod(name, template(labels={"version": "1"}), owner=owner) for name in "ab"]
    new = pod("c", template(labels={"version": "2"}), owner=owner)
    assert wanted(read(owner, *old, new)) == {web: 3}
    cluster = read(owner, *old, new, pod("s", apart({"labelSelector": {"matchLabels": {"version": "1"}}})))
    assert [(one.key.partition("@")[0], dict(one.spec.labels), one.count) for one in cluster.demand] == [
        (web, {"note": "x", "version": "2"}, 1),
        (web, {"version": "1"}, 2),
        ("Pod/default/s", {}, 1),
    ]
    assert len({one.key for one in cluster.demand}) == 3


def test_the_name_of_a_shape_does_not_depend_on_labels_that_are_its_templates() -> None:
    """A node that is on its way names the shapes of its pods, and other pods come and go meanwhile."""
    owner = deployment("web", 1, template(labels={"app": "a"}), uid="u")
    old = pod("a", template(container("2"), labels={"app": "a"}), owner=owner)
    selecting = pod("s", apart({"labelSelector": {"matchLabels": {"app": "a"}}}))
    (alone,) = read(owner, old).demand
    assert alone.key.startswith("Deployment/default/web@")
    assert read(owner, old, selecting).demand[0].key == alone.key
    lacking = [pod(name, template(labels=labels), owner=owner) for name, labels in (("b", {}), ("c", {"app": ""}))]
    keys = {one.key for one in read(owner, old, selecting, *lacking).demand}
    assert len(keys) == 4, "a label that is missing, and one that is empty"


def test_labels_that_nothing_selects_by_tell_no_pods_apart() -> None:
    live = [pod(f"w-{n}", template(labels={"apps.kubernetes.io/pod-index": str(n)})) for n in range(2)]
    cluster = read(*live, pod("s", apart({"labelSelector": {"matchLabels": {"app": "a"}}})))
    assert cluster.demand[1].spec is cluster.demand[2].spec
    cluster = read(*live, pod("s", apart({"labelSelector": by("apps.kubernetes.io/pod-index", "In", "0")})))
    assert [dict(one.spec.labels) for one in cluster.demand[1:]] == [
        {"apps.kubernetes.io/pod-index": "0"},
        {"apps.kubernetes.io/pod-index": "1"},
    ]


@pytest.mark.parametrize(
    ("term", "told"),
    [
        pytest.param(
            {"labelSelector": {"matchLabel": {"a": "b"}}},
            "labelSelector.matchLabel: found an unknown field 'matchLabel', expected one of matchLabels, "
            "matchExpressions (did you mean 'matchLabels'?)",
            id="matchLabel",
        ),
        pytest.param({"labelSelector": "a=b"}, "labelSelector: found 'a=b', expected a mapping", id="text"),
        pytest.param(
            {"labelSelector": by("a", "Gt", "1")},
            "operator: found 'Gt', expected one of In, NotIn, Exists, DoesNotExist",
            id="an operator of nodes alone",
        ),
        pytest.param(
            {"labelSelector": by("a", "In")}, "values: found nothing, expected values, as In needs them", id="no values"
        ),
        pytest.param(
            {"labelSelector": by("a", "Exists", "b")},
            "values: found 'b', expected no values, as Exists takes none",
            id="values that mean nothing",
        ),
        pytest.param(
            {"labelSelector": {"matchExpressions": [{"key": "a", "operater": "Exists"}]}},
            "(did you mean 'operator'?)",
            id="operater",
        ),
        pytest.param({"labelSelector": {"matchLabels": {"a": ["b"]}}}, "matchLabels.a: found a list", id="a list"),
        pytest.param({"namespaces": "a"}, "namespaces: found 'a', expected a list", id="namespaces are text"),
        pytest.param(
            {"namespaceSelector": {"matchlabels": {}}}, "(did you mean 'matchLabels'?)", id="of namespaces misspelt"
        ),
        pytest.param(
            {"matchLabelKeys": ["a"]},
            "matchLabelKeys: found keys to add to no labelSelector, expected a labelSelector beside them",
            id="keys without a selector",
        ),
    ],
)
def test_selectors_that_are_refused(term: Object, told: str) -> None:
    (problem,) = problems(deployment(of=apart(term)))[:1]
    assert problem.startswith(f"objects.json:1: items[0].spec.template.spec.affinity.podAntiAffinity.{REQUIRED}[0]")
    assert told in problem


@pytest.mark.parametrize(
    "junk", [None, 5, "x", [1], {"labelSelector": 5}, {"labelSelector": {"matchExpressions": [3]}}]
)
def test_what_is_misshapen_is_told_and_breaks_nothing(junk: Any) -> None:
    affinity = {"podAntiAffinity": {REQUIRED: [junk]}}
    assert problems(deployment(of=template(affinity=affinity)), pod("p", template(affinity=affinity)))
