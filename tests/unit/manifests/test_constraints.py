"""What a pod says of other pods and of ports: affinity, spread, preferences, host ports."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.model.constraints import HostPort, PodSelector, PodTerm, Preference, Spread
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import Operator, Requirement
from tests.unit.manifests.builders import Object, container, deployment, pod, problems, read, template, thing

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
SPEC = "objects.json:1: items[0].spec.template.spec"


def spec_of(of: Object) -> PodSpec:
    (group,) = read(deployment(of=of)).demand
    return group.spec


def app(name: str, *namespaces: str) -> PodSelector:
    condition = Requirement(key="app", operator=Operator.IN, values=(name,))
    return PodSelector(namespaces=namespaces or ("default",), labels=(condition,))


def selects(name: str, key: str = HOSTNAME, **more: Any) -> Object:
    return {"topologyKey": key, "labelSelector": {"matchLabels": {"app": name}}, **more}


def test_affinity_and_anti_affinity_are_read_each_from_its_own_terms() -> None:
    spec = spec_of(
        template(
            affinity={
                "podAffinity": {REQUIRED: [selects("a", ZONE, namespaces=["x"])]},
                "podAntiAffinity": {REQUIRED: [selects("b")]},
            }
        )
    )
    assert spec.pod_affinity == (PodTerm(topology_key=ZONE, pods=app("a", "x")),)
    assert spec.pod_anti_affinity == (PodTerm(topology_key=HOSTNAME, pods=app("b")),)


def test_a_spread_has_the_defaults_of_the_api() -> None:
    stated = {"maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule"}
    (spread,) = spec_of(template(topologySpreadConstraints=[selects("a", ZONE, **stated)])).spread
    assert spread == Spread(topology_key=ZONE, max_skew=2, pods=app("a"))
    assert (spread.min_domains, spread.required, spread.honors_affinity, spread.honors_taints) == (
        None,
        True,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"minDomains": 3}, {"min_domains": 3}),
        ({"whenUnsatisfiable": "ScheduleAnyway"}, {"required": False}),
        ({"nodeAffinityPolicy": "Ignore"}, {"honors_affinity": False}),
        ({"nodeTaintsPolicy": "Honor"}, {"honors_taints": True}),
        ({"labelSelector": None}, {"pods": PodSelector(namespaces=("default",), labels=None)}),
        ({"labelSelector": {}, "matchLabelKeys": ["app"]}, {"pods": app("web")}),
    ],
    ids=["minDomains", "ScheduleAnyway", "nodeAffinityPolicy", "nodeTaintsPolicy", "no selector", "matchLabelKeys"],
)
def test_fields_of_a_spread(stated: Object, expected: dict[str, Any]) -> None:
    usual = selects("a", ZONE, maxSkew=1, whenUnsatisfiable="DoNotSchedule")
    (spread,) = spec_of(template(labels={"app": "web"}, topologySpreadConstraints=[usual | stated])).spread
    assert spread == Spread(**{"topology_key": ZONE, "max_skew": 1, "pods": app("a"), **expected})


def test_a_spread_means_pods_of_its_own_namespace() -> None:
    usual = selects("a", ZONE, maxSkew=1, whenUnsatisfiable="DoNotSchedule")
    cluster = read(pod("p", template(topologySpreadConstraints=[usual]), namespace="x"))
    assert cluster.demand[0].spec.spread[0].pods == app("a", "x")


def ports(*ports: Object) -> Object:
    return container() | {"ports": list(ports)}


SIDECAR = {"restartPolicy": "Always"}


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(template(ports({"containerPort": 80})), (), id="a port of its own"),
        pytest.param(template(ports({"containerPort": 80, "hostPort": 0})), (), id="0 is none"),
        pytest.param(
            template(ports({"containerPort": 80, "hostPort": 8080})), (HostPort(port=8080),), id="of the node"
        ),
        pytest.param(
            template(ports({"hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"})),
            (HostPort(port=53, protocol="UDP", address="10.0.0.1"),),
            id="its protocol and address",
        ),
        pytest.param(
            template(ports({"hostPort": 2}, {"hostPort": 1, "hostIP": ""}), ports({"hostPort": 2})),
            (HostPort(port=1), HostPort(port=2)),
            id="in order, each once",
        ),
        pytest.param(
            template(initContainers=[ports({"hostPort": 1}), ports({"hostPort": 2}) | SIDECAR]),
            (HostPort(port=2),),
            id="init containers that keep running",
        ),
        pytest.param(
            template(ports({"containerPort": 80}, {"containerPort": 81, "protocol": "SCTP"}), hostNetwork=True),
            (HostPort(port=80), HostPort(port=81, protocol="SCTP")),
            id="on the host's network every port is the node's",
        ),
        pytest.param(
            template(ports({"containerPort": 80, "hostPort": 80}), hostNetwork=False),
            (HostPort(port=80),),
            id="not on the host's network",
        ),
    ],
)
def test_host_ports(of: Object, expected: tuple[HostPort, ...]) -> None:
    assert spec_of(of).host_ports == expected


def test_a_daemonset_on_the_hosts_network_takes_its_ports() -> None:
    of = template(ports({"containerPort": 9100}), hostNetwork=True)
    (daemonset,) = read(thing("DaemonSet", "exporter", {"template": of})).daemonsets
    assert daemonset.spec.host_ports == (HostPort(port=9100),)


def test_preferences_of_all_kinds() -> None:
    expressions = [{"key": "b", "operator": "Exists"}, {"key": "a", "operator": "In", "values": ["2", "1"]}]
    spec = spec_of(
        template(
            affinity={
                "nodeAffinity": {
                    PREFERRED: [
                        {"weight": 100, "preference": {"matchExpressions": expressions}},
                        {"weight": 7, "preference": {}},
                    ]
                },
                "podAffinity": {PREFERRED: [{"weight": 1, "podAffinityTerm": selects("a", ZONE)}]},
                "podAntiAffinity": {PREFERRED: [{"weight": 50, "podAffinityTerm": selects("b")}] * 2},
            }
        )
    )
    away = Preference(weight=50, pods=PodTerm(topology_key=HOSTNAME, pods=app("b")), against=True)
    nodes = (
        Requirement(key="a", operator=Operator.IN, values=("1", "2")),
        Requirement(key="b", operator=Operator.EXISTS),
    )
    assert spec.preferences == (
        Preference(weight=1, pods=PodTerm(topology_key=ZONE, pods=app("a"))),
        Preference(weight=100, nodes=nodes),
        away,
        away,
    )
    assert (spec.pod_affinity, spec.pod_anti_affinity, spec.node_affinity) == ((), (), ())


def test_the_order_of_what_has_no_order_makes_no_other_pod() -> None:
    first: Object = {
        "affinity": {
            "podAntiAffinity": {
                REQUIRED: [selects("a"), selects("b"), selects("a")],
                PREFERRED: [{"weight": n, "podAffinityTerm": selects("a")} for n in (1, 2)],
            }
        },
        "topologySpreadConstraints": [
            selects("a", key, maxSkew=1, whenUnsatisfiable="DoNotSchedule") for key in (HOSTNAME, ZONE)
        ],
    }
    second: Object = {
        "affinity": {
            "podAntiAffinity": {
                REQUIRED: [selects("b"), selects("a")],
                PREFERRED: first["affinity"]["podAntiAffinity"][PREFERRED][::-1],
            }
        },
        "topologySpreadConstraints": first["topologySpreadConstraints"][::-1],
    }
    cluster = read(pod("p", template(**first)), pod("q", template(**second)))
    assert cluster.demand[0].spec is cluster.demand[1].spec
    assert len(cluster.demand[0].spec.pod_anti_affinity) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"hostNetwork": True}, {}),
        ({"affinity": {"podAffinity": {REQUIRED: [selects("a")]}}}, {}),
        ({"affinity": {"podAffinity": {REQUIRED: [selects("a")]}}}, {"affinity": {"podAffinity": {REQUIRED: []}}}),
        (
            {"affinity": {"podAffinity": {REQUIRED: [selects("a")]}}},
            {"affinity": {"podAntiAffinity": {REQUIRED: [selects("a")]}}},
        ),
        ({"initContainers": [ports({"hostPort": 1}) | SIDECAR]}, {"initContainers": [container() | SIDECAR]}),
    ],
    ids=["hostNetwork", "a term", "one term more", "for and against", "a port of a side-car"],
)
def test_pods_that_differ_in_a_constraint_alone_are_not_alike(one: Object, other: Object) -> None:
    served = container() | {"ports": [{"containerPort": 80}]}
    cluster = read(pod("p", template(served, **one)), pod("q", template(served, **other)))
    assert cluster.demand[0].spec != cluster.demand[1].spec


def anti(term: Object) -> Object:
    return template(affinity={"podAntiAffinity": {REQUIRED: [term]}})


def spread(**stated: Any) -> Object:
    usual = selects("a", ZONE, maxSkew=1, whenUnsatisfiable="DoNotSchedule")
    return template(topologySpreadConstraints=[{k: v for k, v in (usual | stated).items() if v is not None}])


def prefer(kind: str, term: Object) -> Object:
    return template(affinity={kind: {PREFERRED: [term]}})


@pytest.mark.parametrize(
    ("of", "told"),
    [
        pytest.param(
            template(affinity={"podAntiAffinty": {}}),
            "affinity.podAntiAffinty: found an unknown field 'podAntiAffinty', expected one of nodeAffinity, "
            "podAffinity, podAntiAffinity (did you mean 'podAntiAffinity'?)",
            id="a kind of affinity misspelt",
        ),
        pytest.param(
            template(affinity={"podAffinity": {"requiredDuringScheduling": []}}),
            f"found an unknown field 'requiredDuringScheduling', expected one of {REQUIRED}, {PREFERRED}",
            id="requiredDuringScheduling",
        ),
        pytest.param(
            template(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerm": []}}}),
            "(did you mean 'nodeSelectorTerms'?)",
            id="nodeSelectorTerm",
        ),
        pytest.param(
            template(affinity={"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchLabels": {}}]}}}),
            "nodeSelectorTerms[0].matchLabels: found an unknown field 'matchLabels', expected one of matchExpressions",
            id="labels for expressions",
        ),
        pytest.param(
            anti({"labelSelector": {}}), "[0].topologyKey: found nothing, expected the key of a label", id="no key"
        ),
        pytest.param(anti({"topologyKey": ""}), "[0].topologyKey: found nothing", id="an empty key"),
        pytest.param(
            anti({"topologyKey": HOSTNAME, "labelSelectors": {}}),
            "(did you mean 'labelSelector'?)",
            id="labelSelectors",
        ),
        pytest.param(anti({"topologyKey": HOSTNAME, "weight": 1}), "an unknown field 'weight'", id="a required weight"),
        pytest.param(
            spread(maxSkew=0),
            "topologySpreadConstraints[0].maxSkew: found 0, expected a whole number from 1 to 2147483647",
            id="maxSkew of 0",
        ),
        pytest.param(spread(maxSkew=-1), "maxSkew: found -1, expected a whole number from 1", id="a negative maxSkew"),
        pytest.param(spread(maxSkew="1"), "maxSkew: found '1', expected a whole number from 1", id="maxSkew as text"),
        pytest.param(spread(maxSkew=None), "maxSkew: found nothing, expected a whole number from 1", id="no maxSkew"),
        pytest.param(spread(topologyKey=None), "topologyKey: found nothing", id="a spread over nothing"),
        pytest.param(
            spread(whenUnsatisfiable=None),
            "whenUnsatisfiable: found nothing, expected one of DoNotSchedule, ScheduleAnyway",
            id="no whenUnsatisfiable",
        ),
        pytest.param(spread(whenUnsatisfiable="DoNotSchedul"), "(did you mean 'DoNotSchedule'?)", id="DoNotSchedul"),
        pytest.param(spread(minDomains=0), "minDomains: found 0, expected a whole number from 1", id="no domains"),
        pytest.param(
            spread(minDomains=2, whenUnsatisfiable="ScheduleAnyway"),
            "minDomains: found 2 beside ScheduleAnyway, expected minDomains with DoNotSchedule alone",
            id="minDomains of a wish",
        ),
        pytest.param(spread(nodeTaintsPolicy="honor"), "(did you mean 'Honor'?)", id="honor"),
        pytest.param(spread(namespaces=["a"]), "an unknown field 'namespaces'", id="namespaces of a spread"),
        pytest.param(spread(maxskew=1), "(did you mean 'maxSkew'?)", id="maxskew"),
        pytest.param(
            prefer("podAffinity", {"podAffinityTerm": selects("a")}),
            "weight: found nothing, expected a whole number from 1 to 100",
            id="no weight",
        ),
        pytest.param(
            prefer("nodeAffinity", {"weight": 101, "preference": {}}),
            "weight: found 101, expected a whole number from 1 to 100",
            id="too heavy",
        ),
        pytest.param(
            prefer("podAntiAffinity", {"weight": 1, "podAffinityTerms": selects("a")}),
            "(did you mean 'podAffinityTerm'?)",
            id="podAffinityTerms",
        ),
        pytest.param(
            prefer("nodeAffinity", {"weight": 1, "preference": {"matchExpression": []}}),
            "(did you mean 'matchExpressions'?)",
            id="matchExpression",
        ),
        pytest.param(
            template(ports({"hostport": 80})), "containers[0].ports[0].hostport: found an unknown field", id="hostport"
        ),
        pytest.param(
            template(ports({"hostPort": 65536})),
            "hostPort: found 65536, expected a whole number from 0 to 65535",
            id="high",
        ),
        pytest.param(template(ports({"hostPort": 80, "protocol": "tcp"})), "(did you mean 'TCP'?)", id="tcp"),
        pytest.param(template(hostNetwork="yes"), "hostNetwork: found 'yes', expected true or false", id="yes"),
        pytest.param(template(topologySpreadConstraints={}), "found a mapping, expected a list", id="no list"),
    ],
)
def test_constraints_that_are_refused(of: Object, told: str) -> None:
    (problem,) = problems(deployment(of=of))[:1]
    assert problem.startswith(SPEC)
    assert told in problem
