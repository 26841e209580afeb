"""A pod template as a PodSpec: requests, where it may run, what tells like pods apart and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.model.pods import PodSpec
from raypipe.model.requirements import Operator, Requirement, Toleration
from tests.unit.manifests.builders import (
    Object,
    container,
    deployment,
    notes,
    pod,
    problems,
    read,
    template,
    thing,
    wanted,
)

GIB = 2**30
TEMPLATE = "objects.json:1: items[0].spec"


def spec_of(of: Object, *beside: Object) -> PodSpec:
    (group,) = read(deployment(of=of), *beside).demand
    return group.spec


def requests_of(of: Object) -> dict[str, int]:
    return {name: amount for name, amount in spec_of(of).requests.items() if name != "pods"}


def limited(limits: Object, requests: Object | None = None, **more: Any) -> Object:
    return {"name": "c", "resources": {"limits": limits, **({"requests": requests} if requests else {})}, **more}


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("of", "requests"),
    [
        pytest.param(
            template(container("1"), container("500m", "0.5Gi")), {"cpu": 1500, "memory": 1536 << 20}, id="sum"
        ),
        pytest.param(template(container(0.5, 1024)), {"cpu": 500, "memory": 1024}, id="numbers"),
        pytest.param(template(limited({"cpu": 2})), {"cpu": 2000}, id="a limit alone is a request"),
        pytest.param(template(limited({"cpu": 2}, {"cpu": 1})), {"cpu": 1000}, id="a request beside its limit"),
        pytest.param(
            template(container("1"), initContainers=[container("4", "1Mi"), container("2", "2Gi")]),
            {"cpu": 4000, "memory": 2 * GIB},
            id="the greatest init container",
        ),
        pytest.param(
            template(container("1"), initContainers=[container("1") | SIDECAR, container("3", "1Mi")]),
            {"cpu": 4000, "memory": 2 * GIB},
            id="an init container beside the side-cars before it",
        ),
        pytest.param(
            template(container("1"), initContainers=[container("3", "1Mi"), container("1") | SIDECAR]),
            {"cpu": 3000, "memory": 2 * GIB},
            id="and not those after it",
        ),
        pytest.param(
            template(container("1"), overhead={"cpu": "250m", "memory": "1Gi"}),
            {"cpu": 1250, "memory": 2 * GIB},
            id="overhead",
        ),
        pytest.param(
            template(container("1"), resources={"requests": {"cpu": "3"}, "limits": {"memory": "9Gi"}}),
            {"cpu": 3000, "memory": GIB},
            id="requests of the pod itself stand for the sum, its limits do not",
        ),
        pytest.param(
            template(container(None, None), resources={"limits": {"memory": "9Gi"}}),
            {"memory": 9 * GIB},
            id="pod limits",
        ),
        pytest.param(
            template(container("1", None, **{"example.com/fpga": "2", "hugepages-2Mi": "4Mi"})),
            {"cpu": 1000, "example.com/fpga": 2, "hugepages-2Mi": 4 << 20},
            id="resources of any name",
        ),
        pytest.param(template(container(None, None)), {}, id="nothing requested"),
    ],
)
def test_effective_request(of: Object, requests: dict[str, int]) -> None:
    assert requests_of(of) == requests
    assert spec_of(of).requests["pods"] == 1


@pytest.mark.parametrize(
    ("count", "annotations", "requests", "memory"),
    [
        ({"nvidia.com/gpu": 2}, {}, {"nvidia.com/gpu": 2}, None),
        ({"nvidia.com/gpu": 2}, {"raypipe.io/gpu-shared": "true"}, {"nvidia.com/gpu.shared": 2}, None),
        ({"nvidia.com/gpu": 2}, {"raypipe.io/gpu-shared": "false"}, {"nvidia.com/gpu": 2}, None),
        ({"nvidia.com/gpu.shared": 1}, {"raypipe.io/gpu-memory": "4Gi"}, {"nvidia.com/gpu.shared": 1}, 4 * GIB),
    ],
)
def test_gpu_slices(count: Object, annotations: Object, requests: dict[str, int], memory: int | None) -> None:
    spec = spec_of(template(container(None, None, **count), annotations=annotations))
    assert {name: one for name, one in spec.requests.items() if name != "pods"} == requests
    assert spec.gpu_memory_bytes == memory


def test_where_a_pod_may_run() -> None:
    required = {
        "nodeSelectorTerms": [
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", 1, True]}]},
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]},
            {},
        ]
    }
    spec = spec_of(
        template(
            nodeSelector={"b": "y", "c": 5},
            affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
            tolerations=[{"key": "t", "value": "v", "effect": "NoSchedule"}, {"operator": "Exists"}],
        )
    )
    assert spec.node_selector == {"b": "y", "c": "5"}
    assert spec.node_affinity == (
        (Requirement(key="a", operator=Operator.IN, values=("x", "1", "true")),),
        (Requirement(key="field:metadata.name", operator=Operator.IN, values=("node-1",)),),
        (),
    )
    assert spec.tolerations == (Toleration(key="t", value="v", effect="NoSchedule"), Toleration(operator="Exists"))


@pytest.mark.parametrize(
    ("spec", "priority"),
    [
        ({}, 5),
        ({"priorityClassName": "high"}, 100),
        ({"priorityClassName": "system-node-critical"}, 2_000_001_000),
        ({"priority": -3}, -3),
        ({"priorityClassName": "gone"}, 0),
    ],
)
def test_priority(spec: Object, priority: int) -> None:
    high = thing("PriorityClass", "high") | {"value": 100}
    default = thing("PriorityClass", "usual") | {"value": 5, "globalDefault": True}
    assert spec_of(template(**spec), high, default).priority == priority


def test_of_several_default_priorities_the_lowest_is_taken() -> None:
    classes = [thing("PriorityClass", f"c{value}") | {"value": value, "globalDefault": True} for value in (3, 2, 9)]
    assert spec_of(template(), *classes).priority == 2


def test_an_unknown_priority_class_is_noted_and_learnt_from_pods_that_show_its_value() -> None:
    job = deployment(of=template(priorityClassName="gone"))
    assert notes(read(job)) == [("unknown-priority-class", "gone", 1)]
    cluster = read(job, pod("p", template(priorityClassName="gone", priority=7)))
    assert [group.spec.priority for group in cluster.demand] == [7, 7]
    assert notes(cluster) == []


FAMILIES: list[tuple[str, Object]] = [
    ("resource-claims", {"resourceClaims": [{"name": "gpu"}]}),
    ("volumes", {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
]


@pytest.mark.parametrize(("family", "spec"), FAMILIES, ids=[family for family, _ in FAMILIES])
def test_constraints_that_are_not_kept_are_told(family: str, spec: Object) -> None:
    assert spec_of(template(**spec)).unchecked == (family,)
    harmless = {"volumes": [{"name": "v", "emptyDir": {}}], "containers": [container() | {"ports": [{}]}]}
    assert spec_of(template(**harmless)).unchecked == ()


@pytest.mark.parametrize(
    ("annotation", "protected"),
    [
        ({"pod.elotl.co/do-not-evict": "true"}, True),
        ({"karpenter.sh/do-not-disrupt": "true"}, True),
        ({"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}, True),
        ({"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}, False),
        ({"karpenter.sh/do-not-disrupt": "false"}, False),
        ({}, False),
    ],
)
def test_protection_from_eviction(annotation: Object, protected: bool) -> None:
    assert spec_of(template(annotations=annotation)).protected is protected


def test_equal_templates_are_one_object_whatever_tells_their_pods_apart() -> None:
    first = template(labels={"app": "a", "pod-template-hash": "1"}, hostname="a", volumes=[{"name": "token-x"}])
    second = template(
        labels={"app": "a", "job-name": "b"}, terminationGracePeriodSeconds=1, annotations={"note": "other"}
    )
    cluster = read(pod("p", first), pod("q", second), pod("r", template(labels={"app": "b"})))
    specs = [group.spec for group in cluster.demand]
    assert specs[0] is specs[1]
    assert specs[0] != specs[2]
    assert dict(specs[0].labels) == {"app": "a"}


@pytest.mark.parametrize(
    ("of", "told"),
    [
        pytest.param(
            template(container("-1")),
            "template.spec.containers[0].resources.requests.cpu: found '-1', expected a quantity that is not negative",
            id="negative",
        ),
        pytest.param(template(container(True)), "cpu: found True, expected a quantity such as", id="boolean"),
        pytest.param(
            template({"resources": {"requests": {"cpu": None}}}), "cpu: found nothing, expected an amount", id="nothing"
        ),
        pytest.param(template(container([])), "cpu: found [], expected a quantity such as", id="a list"),
        pytest.param(template(container("9" * 50)), "expected a quantity such as", id="50 digits"),
        pytest.param(template(container("100E")), "expected a quantity of at most 9007199254740992", id="huge"),
        pytest.param(template(*[container("8T")] * 2), "16000000000000000 of cpu in all", id="huge together"),
        pytest.param(template(container("12Xi")), "found '12Xi', expected a quantity such as", id="a unit of no one"),
        pytest.param(
            template({"resources": {"request": {"cpu": 1}}}),
            "found an unknown field 'request', expected one of requests, limits, claims (did you mean 'requests'?)",
            id="request for requests",
        ),
        pytest.param(template(container(None, None, memroy="1Gi")), "(did you mean 'memory'?)", id="memroy"),
        pytest.param(template(container(None, None, gpu=1)), "(did you mean 'nvidia.com/gpu'?)", id="gpu"),
        pytest.param({"spec": {}}, "containers: found no container, expected at least one", id="no container"),
        pytest.param({"spec": {"containers": [None]}}, "containers[0]: found nothing, expected a container", id="null"),
        pytest.param(
            template(initContainers=[container() | {"restartPolicy": "always"}]),
            "initContainers[0].restartPolicy: found 'always', expected one of Always, OnFailure, Never "
            "(did you mean 'Always'?)",
            id="a side-car misspelt",
        ),
        pytest.param({"spec": {"containers": "x"}}, "containers: found 'x', expected a list", id="containers are text"),
        pytest.param({"spec": 5}, "template.spec: found 5, expected a mapping", id="spec is a number"),
        pytest.param(template(nodeSelector={"a": 1.5}), "nodeSelector.a: found 1.5, expected text", id="a fraction"),
        pytest.param(
            template(priority="7"), "priority: found '7', expected a whole number from", id="priority as text"
        ),
        pytest.param(
            template(tolerations=[{"key": "a", "operator": "Exist"}]),
            "found 'Exist', expected one of Exists, Equal (did you mean 'Exists'?)",
            id="an operator misspelt",
        ),
        pytest.param(
            template(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {}}}),
            "nodeSelectorTerms: found no term, expected at least one",
            id="no term",
        ),
        pytest.param(
            template(labels=["a"]), "metadata.labels: found a list, expected a mapping", id="labels are a list"
        ),
    ],
)
def test_templates_that_are_refused(of: Object, told: str) -> None:
    (problem,) = problems(deployment(of=of))[:1]
    assert problem.startswith(f"{TEMPLATE}.template")
    assert told in problem


@pytest.mark.parametrize(
    ("operator", "values", "told"),
    [
        ("In", [], "values: found nothing, expected values, as In needs them"),
        ("Gt", ["many"], "values: found 'many', expected one whole number, as Gt needs it"),
        ("Lt", ["²"], "values: found '²', expected one whole number, as Lt needs it"),
        ("Gt", ["1", "2"], "expected one whole number"),
        (None, ["a"], "operator: found nothing, expected one of In, NotIn"),
        ("in", ["a"], "found 'in', expected one of In, NotIn, Exists, DoesNotExist, Gt, Lt (did you mean 'In'?)"),
    ],
)
def test_requirements_that_are_refused(operator: str | None, values: list[str], told: str) -> None:
    terms = [{"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    assert told in problems(deployment(of=template(affinity={"nodeAffinity": required})))[0]


def test_what_is_wrong_in_two_places_is_told_twice() -> None:
    told = problems(deployment("a", of=template(container("-1"))), deployment("b", of=template(container("-1"))))
    assert [one.partition(".spec")[0] for one in told] == ["objects.json:1: items[0]", "objects.json:1: items[1]"]


def test_pods_by_themselves_are_wanted_once_each() -> None:
    assert wanted(read(pod("a"), pod("b"))) == {"Pod/default/a": 1, "Pod/default/b": 1}
