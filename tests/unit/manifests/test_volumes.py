"""Where a pod's volumes let it run: claims, the volumes they are bound to, storage classes."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.model.pods import PodSpec
from raypipe.model.requirements import Operator, Requirement, Term
from tests.unit.manifests.builders import (
    Object,
    deployment,
    node,
    pod,
    problems,
    read,
    template,
    thing,
    wanted,
)

HOSTNAME = "kubernetes.io/hostname"
REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
EBS = "topology.ebs.csi.aws.com/zone"
AZURE = "topology.disk.csi.azure.com/zone"
WEB = "Deployment/default/web"


def among(key: str, *values: str) -> Requirement:
    return Requirement(key=key, operator=Operator.IN, values=values)


def one_of(*terms: Term) -> tuple[Term, ...]:
    return terms


def claim(name: str = "c", volume: Any = None, **spec: Any) -> Object:
    return thing("PersistentVolumeClaim", name, spec | ({"volumeName": volume} if volume else {}))


def terms_of(*terms: dict[str, list[str]]) -> Object:
    """A volume's nodeAffinity: the values of each key, a term each."""
    made = [
        {"matchExpressions": [{"key": key, "operator": "In", "values": values} for key, values in term.items()]}
        for term in terms
    ]
    return {"nodeAffinity": {"required": {"nodeSelectorTerms": made}}}


def volume(name: str = "v", spec: Object | None = None, **more: Any) -> Object:
    return thing("PersistentVolume", name, spec or {}, **more)


def storage_class(name: str, *allowed: dict[str, list[str]], default: bool = False, **more: Any) -> Object:
    topologies = [
        {"matchLabelExpressions": [{"key": key, "values": values} for key, values in term.items()]} for term in allowed
    ]
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    made = thing("StorageClass", name, annotations=annotations, **more)
    return made | {"provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer", "allowedTopologies": topologies}


def using(*names: str, **spec: Any) -> Object:
    """A template whose pods use claims."""
    volumes = [{"name": f"v{n}", "persistentVolumeClaim": {"claimName": name}} for n, name in enumerate(names)]
    return template(volumes=volumes, **spec)


def spec_of(of: Object, *beside: Object) -> PodSpec:
    (group,) = read(deployment(of=of), *beside).demand
    return group.spec


def places(*beside: Object) -> tuple[tuple[Term, ...], ...]:
    """Where the claim `c` lets a pod run."""
    return spec_of(using("c"), *beside).volume_affinity


ZONAL = terms_of({ZONE: ["a"]})


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        pytest.param([], (), id="a claim that the input does not have"),
        pytest.param([claim(volume="v"), volume(spec=ZONAL)], (one_of((among(ZONE, "a"),)),), id="a volume in a zone"),
        pytest.param([claim(volume="v"), volume()], (), id="a volume that is anywhere"),
        pytest.param([claim(volume="gone")], (), id="a volume that the input does not have"),
        pytest.param(
            [claim(volume="v"), volume(spec=terms_of({ZONE: ["b", "a"], "rack": ["1"]}, {ZONE: ["c"]}))],
            (one_of((among("rack", "1"), among(ZONE, "a", "b")), (among(ZONE, "c"),)),),
            id="one of several terms",
        ),
        pytest.param(
            [claim(volume="v"), volume(spec=terms_of({HOSTNAME: ["node-1"]}))],
            (one_of((among(HOSTNAME, "node-1"),)),),
            id="a local disk",
        ),
        pytest.param(
            [claim(volume="v"), volume(spec=terms_of({EBS: ["a"]}))],
            (one_of((among(ZONE, "a"),)),),
            id="a driver's own key is the zone",
        ),
        pytest.param(
            [claim(volume="v"), volume(spec=terms_of({AZURE: ["", "eastus-1"]}))],
            (one_of((among(ZONE, "eastus-1"),)),),
            id="no zone beside zones",
        ),
        pytest.param(
            [claim(volume="v"), volume(spec=terms_of({AZURE: [""]}))],
            (one_of((among(AZURE, ""),)),),
            id="no zone at all keeps its key",
        ),
        pytest.param(
            [claim(volume="v"), volume(labels={ZONE: "b__a", REGION: "r"})],
            (one_of((among(REGION, "r"),)), one_of((among(ZONE, "a", "b"),))),
            id="labels of an old volume",
        ),
        pytest.param(
            [claim(volume="v"), volume(labels={"failure-domain.beta.kubernetes.io/zone": "a"})],
            (one_of((among(ZONE, "a"),)),),
            id="labels of a very old volume",
        ),
        pytest.param(
            [claim(volume="v"), volume(spec=ZONAL, labels={ZONE: "a", "failure-domain.beta.kubernetes.io/zone": "a"})],
            (one_of((among(ZONE, "a"),)),),
            id="what is said twice is kept once",
        ),
        pytest.param(
            [claim(), volume(spec=ZONAL | {"claimRef": {"namespace": "default", "name": "c"}})],
            (one_of((among(ZONE, "a"),)),),
            id="a volume that is for the claim",
        ),
        pytest.param(
            [volume(spec=ZONAL | {"claimRef": {"namespace": "default", "name": "c"}})],
            (one_of((among(ZONE, "a"),)),),
            id="a volume alone tells where its claim is",
        ),
        pytest.param(
            [claim(), volume(spec=ZONAL | {"claimRef": {"namespace": "other", "name": "c"}})],
            (),
            id="a claim of another namespace",
        ),
        pytest.param(
            [
                claim(),
                volume(spec=ZONAL | {"claimRef": {"namespace": "default", "name": "c"}}, status={"phase": "Released"}),
            ],
            (),
            id="a volume whose claim is no more",
        ),
    ],
)
def test_a_claim_is_where_its_volume_is(beside: list[Object], expected: tuple[tuple[Term, ...], ...]) -> None:
    assert places(*beside) == expected


SOMEWHERE = storage_class("zonal", {EBS: ["b", "a"]}, {ZONE: ["c"]})
ALLOWED = (one_of((among(ZONE, "a", "b"),), (among(ZONE, "c"),)),)


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        pytest.param([claim(storageClassName="zonal"), SOMEWHERE], ALLOWED, id="the class that it names"),
        pytest.param([claim(storageClassName="free"), storage_class("free"), SOMEWHERE], (), id="a class for anywhere"),
        pytest.param([claim(storageClassName="gone"), SOMEWHERE], (), id="a class that the input does not have"),
        pytest.param([claim(), SOMEWHERE], (), id="no class and no default"),
        pytest.param(
            [claim(), SOMEWHERE | {"metadata": storage_class("zonal", default=True)["metadata"]}],
            ALLOWED,
            id="the default",
        ),
        pytest.param(
            [claim(storageClassName=""), storage_class("z", {ZONE: ["a"]}, default=True)],
            (),
            id="an empty class is none",
        ),
        pytest.param(
            [
                claim(),
                storage_class("old", {ZONE: ["a"]}, default=True, creationTimestamp="2025-01-01T00:00:00Z"),
                storage_class("new", {ZONE: ["b"]}, default=True, creationTimestamp="2026-01-01T00:00:00Z"),
                storage_class("z", {ZONE: ["c"]}, default=True, creationTimestamp="2024-01-01T00:00:00Z"),
            ],
            (one_of((among(ZONE, "b"),)),),
            id="of several defaults the youngest",
        ),
        pytest.param(
            [claim(volume="v", storageClassName="zonal"), SOMEWHERE, volume()], (), id="a class says nothing once bound"
        ),
    ],
)
def test_a_claim_without_a_volume_is_where_its_class_allows(
    beside: list[Object], expected: tuple[tuple[Term, ...], ...]
) -> None:
    assert places(*beside) == expected


def test_a_class_named_by_annotation() -> None:
    old = claim()
    old["metadata"]["annotations"] = {"volume.beta.kubernetes.io/storage-class": "zonal"}
    assert places(old, SOMEWHERE) == ALLOWED


def test_every_volume_must_be_reached() -> None:
    beside = [claim("c", "v"), volume(spec=ZONAL), claim("d", "w"), volume("w", terms_of({REGION: ["r"]}))]
    spec = spec_of(using("d", "c", "c", "unknown"), *beside)
    assert spec.volume_affinity == (one_of((among(REGION, "r"),)), one_of((among(ZONE, "a"),)))
    assert spec.selects({ZONE: "a", REGION: "r"})
    assert not spec.selects({ZONE: "a"})
    assert not spec.selects({ZONE: "b", REGION: "r"})


def test_pods_are_alike_where_their_volumes_are_in_one_place() -> None:
    beside = [
        *(claim(name, f"v-{name}") for name in "abc"),
        *(volume(f"v-{name}", terms_of({ZONE: [zone]})) for name, zone in (("a", "x"), ("b", "x"), ("c", "y"))),
    ]
    first, second, third = read(*(pod(name, using(name)) for name in "abc"), *beside).demand
    assert first.spec is second.spec
    assert first.spec != third.spec


def test_an_ephemeral_claim_is_the_pods_own() -> None:
    made = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {"storageClassName": "zonal"}}}}
    of = template(volumes=[made])
    assert spec_of(of, SOMEWHERE).volume_affinity == ALLOWED
    beside = [SOMEWHERE, claim("p-scratch", "v"), volume(spec=ZONAL)]
    bound, waiting = read(pod("p", of), pod("q", of), *beside).demand
    assert bound.spec.volume_affinity == (one_of((among(ZONE, "a"),)),)
    assert waiting.spec.volume_affinity == ALLOWED


# StatefulSets


def stateful(replicas: int, **spec: Any) -> Object:
    templates = [{"metadata": {"name": "data"}, "spec": {"storageClassName": "zonal"}}]
    made = {"replicas": replicas, "template": template(), "volumeClaimTemplates": templates}
    return thing("StatefulSet", "db", made | spec, uid="u-db")


def disks(**zones: str) -> list[Object]:
    """Claims data-db-N and their volumes, by number (``n0="a"``)."""
    made = []
    for name, zone in zones.items():
        number = name.removeprefix("n")
        made += [claim(f"data-db-{number}", f"v{number}"), volume(f"v{number}", terms_of({ZONE: [zone]}))]
    return made


def zones_wanted(*objects: Object) -> dict[str, int]:
    """Pods to be placed by the zones that their volumes allow."""
    return {
        ",".join(value for tie in group.spec.volume_affinity for term in tie for one in term for value in one.values)
        or "anywhere": group.count
        for group in read(*objects).demand
    }


@pytest.mark.parametrize(
    ("objects", "zones"),
    [
        pytest.param([stateful(3)], {"anywhere": 3}, id="new claims of an unknown class"),
        pytest.param([stateful(3), SOMEWHERE], {"a,b,c": 3}, id="new claims of a class"),
        pytest.param(
            [stateful(4), *disks(n0="x", n1="y", n3="x")],
            {"x": 2, "y": 1, "anywhere": 1},
            id="pods that come back to their volumes",
        ),
        pytest.param([stateful(2), *disks(n1="y", n2="x", n7="x")], {"y": 1, "anywhere": 1}, id="numbers not wanted"),
        pytest.param(
            [stateful(2, ordinals={"start": 7}), *disks(n1="y", n7="x")], {"x": 1, "anywhere": 1}, id="numbers from 7"
        ),
        pytest.param(
            [stateful(3), *disks(n0="x", n1="y", n2="y"), pod("db-1", owner=stateful(3))],
            {"x": 1, "y": 2},
            id="a live pod has the place of its own number",
        ),
        pytest.param(
            [stateful(3), *disks(n0="x", n1="y", n2="y"), node(), pod("db-1", owner=stateful(3), node="node-1")],
            {"x": 1, "y": 1},
            id="a bound pod is wanted no more",
        ),
        pytest.param(
            [stateful(1), *disks(n0="x"), pod("db-0", owner=stateful(1), deletionTimestamp="2026-01-05T09:00:00Z")],
            {"x": 1},
            id="a pod that goes comes back to its volume",
        ),
    ],
)
def test_pods_of_a_stateful_set(objects: list[Object], zones: dict[str, int]) -> None:
    assert zones_wanted(*objects) == zones


def test_a_stateful_set_that_is_left_out_is_left_out_whole() -> None:
    gated = template(schedulingGates=[{"name": "wait"}])
    cluster = read(stateful(3, template=gated), *disks(n0="x", n1="y"))
    assert wanted(cluster) == {}
    assert [(one.pods, one.count) for one in cluster.excluded] == [("StatefulSet/default/db", 3)]


def test_pods_on_their_way_are_found_by_the_shape_of_their_volumes() -> None:
    objects = [stateful(2), *disks(n0="x", n1="y")]
    (first, second) = read(*objects).demand
    marked = node(annotations={"raypipe.io/pods": f'{{"{first.key}": 1}}'})
    cluster = read(*objects, marked)
    assert [(one.key, one.count) for one in cluster.bound] == [(first.key, 1)]
    assert wanted(cluster) == {second.key: 1}


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        pytest.param(
            [deployment(of=template(volumes=[{"name": "v", "persistentVolumeClaim": {}}]))],
            "volumes[0].persistentVolumeClaim.claimName: found nothing, expected the name of a PersistentVolumeClaim",
            id="no claim",
        ),
        pytest.param(
            [deployment(of=using("c")), claim(volume="v"), volume(spec={"nodeAffinity": {"require": {}}})],
            "spec.nodeAffinity.require: found an unknown field 'require', expected one of required (did you mean",
            id="require",
        ),
        pytest.param(
            [deployment(of=using("c")), claim(volume="v"), volume(spec={"nodeAffinity": {"required": {}}})],
            "nodeSelectorTerms: found no term, expected at least one",
            id="no term",
        ),
        pytest.param(
            [deployment(of=using("c")), claim(storageClassName="s"), storage_class("s", {ZONE: []})],
            "allowedTopologies[0].matchLabelExpressions[0].values: found nothing, expected the key of a label, and",
            id="no zone allowed",
        ),
        pytest.param(
            [deployment(of=using("c")), claim(volume=["v"])],
            "spec.volumeName: found a list, expected text",
            id="a volume without a name",
        ),
        pytest.param(
            [stateful(1, volumeClaimTemplates={"a": "b"})],
            "volumeClaimTemplates: found a mapping, expected a list",
            id="claims are a mapping",
        ),
        pytest.param([deployment(of=template(volumes="x"))], "volumes: found 'x', expected a list", id="text"),
    ],
)
def test_volumes_that_are_refused(objects: list[Object], told: str) -> None:
    assert told in "\n".join(problems(*objects))


def test_a_volume_that_is_wrong_is_told_once_however_many_use_it() -> None:
    wrong = volume(spec={"nodeAffinity": {"require": {}}})
    assert len(problems(*(pod(name, using("c")) for name in "abc"), claim(volume="v"), wrong)) == 1


@pytest.mark.parametrize(
    ("objects", "unchecked"),
    [
        pytest.param([deployment(of=using("c")), claim(), volume()], (), id="a claim of the input"),
        pytest.param([deployment(of=using("c"))], ("volumes",), id="a claim that the input lacks"),
        pytest.param([deployment(of=using("c")), claim(volume="gone")], ("volumes",), id="a volume that it lacks"),
        pytest.param([stateful(1, volumeClaimTemplates=[{"metadata": {"name": "d"}}])], (), id="claims to be made"),
        pytest.param(
            [stateful(1, volumeClaimTemplates=[{"metadata": {"name": "d"}}]), pod("other", template())],
            ("volumes",),
            id="live pods without any claim: the input was taken without them",
        ),
    ],
)
def test_volumes_that_the_input_does_not_tell_are_named(objects: list[Object], unchecked: tuple[str, ...]) -> None:
    specs = {group.key: group.spec for group in read(*objects).demand}
    owner = next(spec for key, spec in specs.items() if not key.startswith("Pod/"))
    assert owner.unchecked == unchecked
