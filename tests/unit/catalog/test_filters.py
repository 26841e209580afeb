"""The filters: masks over all offerings, each held against what it means for one, and what a refusal says."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.catalog import Catalog, Filters, load, offerings_for
from raypipe.errors import SettingsError
from raypipe.model.nodes import NodePool, Offering, daemonset_reserve
from raypipe.model.pods import DaemonSet, PodSpec
from raypipe.model.requirements import Operator, Requirement, Taint, Term, Toleration
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY, PODS
from raypipe.model.snapshot import ClusterSnapshot
from tests.unit.catalog.builders import GIB, admitted, cluster, market, notes, pod, small

ARCH = "kubernetes.io/arch"
FAMILY = "karpenter.k8s.aws/instance-family"
CATEGORY = "karpenter.k8s.aws/instance-category"
NAME = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"


def need(key: str, operator: str, *values: str) -> Requirement:
    return Requirement(key=key, operator=Operator(operator), values=values)


def affinity(*terms: Term) -> dict[str, Any]:
    return {"node_affinity": terms}


def types_of(offerings: Iterable[Offering]) -> set[str]:
    return {one.instance_type for one in offerings}


def chosen(catalog: Catalog, spec: PodSpec, **fields: Any) -> set[str]:
    """Types that a pod may use in a cluster where it is the demand."""
    snapshot = cluster(pods=[spec], **fields)
    return types_of(admitted(offerings_for(snapshot, catalog).offerings, snapshot, spec))


def refusal(catalog: Catalog, spec: PodSpec, **fields: Any) -> tuple[str, str]:
    snapshot = cluster(pods=[spec], **fields)
    return Filters(offerings_for(snapshot, catalog).offerings, snapshot).why_not(spec)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return small(tmp_path)


# Masks and their meaning for one offering.


def plainly(one: Offering, snapshot: ClusterSnapshot, spec: PodSpec) -> bool:
    """Whether a pod may use an offering, a condition at a time."""
    if not spec.may_run_on(one.labels, one.taints):
        return False
    if not one.opened:
        named = {spec.node_selector.get(key) for key in (CATEGORY, FAMILY, NAME)} | set(spec.family_inclusions)
        for term in spec.node_affinity:
            for part in term:
                if part.operator is Operator.IN and part.key in (CATEGORY, FAMILY, NAME):
                    named |= set(part.values)
        if not named & {one.category, one.family, one.instance_type}:
            return False
    says = ARCH in spec.node_selector or any(part.key == ARCH for term in spec.node_affinity for part in term)
    allowed = {"amd64": ["amd64"], "arm64": ["arm64"]}.get(snapshot.arch, ["amd64", "arm64"])
    if "|" in snapshot.arch and not says:
        allowed = [snapshot.arch.split("|")[0]]
    if one.arch not in allowed and not one.arch_replaced:
        return False
    if spec.capacity_types and one.capacity_type not in spec.capacity_types:
        return False
    if spec.family_inclusions and one.family not in spec.family_inclusions:
        return False
    if one.family in spec.family_exclusions:
        return False
    if spec.type_regexp is not None and not re.search(spec.type_regexp, one.instance_type):
        return False
    if spec.gpu_skus and one.gpu_name not in spec.gpu_skus:
        return False
    if spec.max_gpus is not None and one.gpu_count > spec.max_gpus:
        return False
    if spec.requests.get(GPU_SHARED) and one.gpu_memory_bytes < (spec.gpu_memory_bytes or 0):
        return False
    if spec.max_usd_nanos_per_hour is not None and one.usd_nanos_per_hour > spec.max_usd_nanos_per_hour:
        return False
    reserve = daemonset_reserve(one.labels, one.taints, snapshot.daemonsets)
    for name, amount in spec.requests.items():
        if amount > one.allocatable.get(name, 0) - (0 if "gpu" in name else reserve.get(name, 0)):
            return False
    return not one.unavailable


class Draw:
    """Random clusters and pods over a few words, so that conditions meet."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def one(self, *values: Any) -> Any:
        return self.random.choice(values)

    def some(self, values: tuple[str, ...], most: int) -> tuple[str, ...]:
        return tuple(self.random.sample(values, self.random.randint(1, most)))

    def requirement(self) -> Requirement:
        key = self.one(ARCH, FAMILY, CATEGORY, NAME, ZONE, "team", "karpenter.sh/capacity-type", "cpus")
        if self.maybe(0.2):
            return need("karpenter.k8s.aws/instance-cpu", self.one("Gt", "Lt"), self.one("2", "8", "16", "x"))
        if self.maybe(0.2):
            return need(key, self.one("Exists", "DoesNotExist"))
        values = {
            ARCH: ("amd64", "arm64"),
            FAMILY: ("m5", "m6g", "g4dn", "c7i", "t3"),
            CATEGORY: ("m", "g", "c", "t"),
            NAME: ("m5.large", "g4dn.xlarge", "c7i.4xlarge"),
            ZONE: ("a", "b"),
            "karpenter.sh/capacity-type": ("spot", "on-demand"),
        }.get(key, ("red", "blue"))
        return need(key, self.one("In", "NotIn"), *self.some(values, 2))

    def spec(self) -> PodSpec:
        fields: dict[str, Any] = {}
        if self.maybe(0.25):
            key, value = self.one((ARCH, "amd64"), (ARCH, "arm64"), (ZONE, "a"), ("team", "red"), (FAMILY, "c7i"))
            fields["node_selector"] = {key: value}
        if self.maybe(0.35):
            fields["node_affinity"] = tuple(
                tuple(self.requirement() for _ in range(self.random.randint(0, 2)))
                for _ in range(self.random.randint(1, 2))
            )
        if self.maybe(0.2):
            places = [((need(ZONE, "In", self.one("a", "b", "z")),),), ((self.requirement(),), ()), ((),)]
            fields["volume_affinity"] = tuple(self.random.sample(places, self.random.randint(1, 2)))
        if self.maybe(0.7):
            whole = Toleration(operator="Exists")
            one = Toleration(key="gpu", operator=self.one("Exists", "Equal"), value=self.one("", "yes"))
            fields["tolerations"] = (self.one(whole, one, Toleration(key="gpu", value="yes", effect="NoExecute")),)
        for chance, name, value in (
            (0.1, "gpu_skus", self.some(("t4", "l4", "a10g", "v100"), 2)),
            (0.1, "max_gpus", self.one(0, 1, 4)),
            (0.15, "max_usd_nanos_per_hour", self.random.randrange(10**8, 5 * 10**9)),
            (0.2, "capacity_types", self.some(("spot", "on-demand", "reserved"), 2)),
            (0.1, "family_inclusions", self.some(("m5", "c7i", "m6g", "g4dn", "t3"), 3)),
            (0.1, "family_exclusions", self.some(("m5", "c7i", "m6g", "g4dn"), 2)),
            (0.1, "type_regexp", self.one("large$", "^c", r"\.4x")),
        ):
            if self.maybe(chance):
                fields[name] = value
        gpus = self.one({}, {}, {}, {GPU: 1}, {GPU: 4}, {GPU_SHARED: 2})
        if GPU_SHARED in gpus and self.maybe(0.5):
            fields["gpu_memory_bytes"] = self.one(8, 20, 40) * GIB
        size = {CPU: self.random.randrange(100, 20_000), MEMORY: self.random.randrange(1, 40) * GIB, PODS: 1}
        return PodSpec(requests={**size, **gpus}, **fields)

    def cluster(self) -> ClusterSnapshot:
        pools = (
            NodePool(name="red", labels={"team": "red"}, requirements=(self.requirement(),)),
            NodePool(
                name="gpu",
                taints=(Taint(key="gpu", value="yes", effect=self.one("NoSchedule", "NoExecute", "PreferNoSchedule")),),
                requirements=(need(CATEGORY, "In", "g", "m"), need("team", "In", "red", "blue")),
            ),
        )
        daemonset = DaemonSet(key="DaemonSet/kube-system/ds", spec=pod(0.2, 0.5, node_selector={ZONE: "a"}))
        return cluster(
            zones=("a", "b"),
            arch=self.one("amd64", "arm64", "amd64+arm64", "amd64|arm64", "arm64|amd64"),
            node_pools=pools if self.maybe(0.5) else (),
            daemonsets=(daemonset,) if self.maybe(0.5) else (),
            gpu_slices={"t4": 4} if self.maybe(0.5) else {},
            settings={"exclude_instance_categories": self.one(("inf",), ("c", "t"))},
        )


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    return load(None)


@pytest.mark.parametrize("seed", range(200))
def test_a_mask_is_the_condition_for_each_offering(seed: int, shipped: Catalog) -> None:
    draw = Draw(seed)
    spec, snapshot = draw.spec(), draw.cluster()
    named = dataclasses.replace(snapshot, demand=cluster(pods=[spec]).demand)
    offerings = [
        dataclasses.replace(one, unavailable=draw.maybe(0.1)) for one in offerings_for(named, shipped).offerings
    ]
    filters = Filters(offerings, snapshot)
    expected = [plainly(one, snapshot, spec) for one in offerings]
    assert filters.mask(spec).tolist() == expected
    again = Filters(offerings, snapshot)
    again.mask(draw.spec())
    assert again.mask(spec).tolist() == expected, "what was asked before makes no difference"
    counts = filters.counts(spec)
    assert [one.left for one in counts] == sorted((one.left for one in counts), reverse=True)
    assert counts[-1].left == sum(expected)
    name, message = filters.why_not(spec)
    if any(expected):
        assert (name, message) == ("", "")
    else:
        assert name == counts[-1].filter
        assert message


def test_the_property_meets_both_answers(shipped: Catalog) -> None:
    answers = []
    for draw in map(Draw, range(60)):
        spec, snapshot = draw.spec(), draw.cluster()
        answers.append(Filters(offerings_for(snapshot, shipped).offerings, snapshot).mask(spec).any())
    assert 10 < sum(answers) < 50


def test_no_offerings_give_an_empty_mask() -> None:
    filters = Filters((), cluster())
    assert filters.mask(pod(1, 1)).shape == (0,)
    assert filters.mask(pod(1, 1, node_selector={"a": "b"}, **affinity((need("a", "Exists"),)))).dtype == np.bool_
    assert filters.why_not(pod(1, 1)) == ("pool", "nothing can be bought for this cluster")


# Each filter's own sentence.


def test_pool_says_that_taints_are_not_tolerated(catalog: Catalog) -> None:
    pool = NodePool(name="p", taints=(Taint(key="gpu"),))
    expected = ("pool", "none of 4 offerings has only taints that it tolerates")
    assert refusal(catalog, pod(1, 1), node_pools=(pool,)) == expected
    assert chosen(catalog, pod(1, 1, tolerations=(Toleration(key="gpu", operator="Exists"),)), node_pools=(pool,))


def test_pool_says_that_a_category_is_left_out(catalog: Catalog) -> None:
    """Where some other pod names an excluded category, nothing else may use what is offered for it."""
    only = need(ARCH, "In", "amd64")
    asking = pod(1, 1, node_selector={CATEGORY: "inf"})
    snapshot = cluster(pods=[asking], requirements=(only, need("karpenter.k8s.aws/instance-cpu", "Gt", "3")))
    offerings = [one for one in offerings_for(snapshot, catalog).offerings if one.category == "inf"]
    assert Filters(offerings, snapshot).why_not(pod(1, 1)) == (
        "pool",
        "only types of excluded categories (inf) are left, and it names none of them",
    )


def test_arch_names_the_setting(catalog: Catalog) -> None:
    spec = pod(1, 1, node_selector={ARCH: "amd64"})
    assert refusal(catalog, spec, arch="arm64", requirements=(need(FAMILY, "In", "m5"),)) == (
        "arch",
        "none of 2 offerings is of the architecture that `arch: arm64` buys",
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"node_selector": {"b": "2", "a": "1"}}, "a=1, b=2"),
        (affinity((need("a", "In", "1", "2"), need("b", "Exists")), (need("c", "Gt", "5"),)), None),
        (
            {"volume_affinity": (((need(ZONE, "In", "a"),),), ((need(ZONE, "In", "y"),), (need("rack", "Exists"),)))},
            f"{ZONE} In [y] or rack Exists (where its volume is)",
        ),
        ({"capacity_types": ("reserved",)}, "capacity type reserved"),
        ({"family_inclusions": ("z1", "z2")}, "a family of z1, z2"),
        ({"family_exclusions": ("m5", "m6g", "g4dn", "inf2")}, "a family other than m5, m6g, g4dn, inf2"),
        ({"type_regexp": "^z"}, "a type that matches ^z"),
    ],
)
def test_selector_repeats_what_was_asked(catalog: Catalog, fields: dict[str, Any], words: str | None) -> None:
    expected = words or "a In [1, 2] and b Exists or c Gt [5]"
    assert refusal(catalog, pod(1, 1, **fields)) == ("selector", f"no offering has {expected}")


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ({"kubernetes.io/os": "linux", "team": "red"}, "team=red"),
        ({ZONE: "a", ARCH: "riscv64"}, f"{ARCH}=riscv64 (they have amd64, arm64)"),
        ({NAME: "m5.larger"}, f"{NAME}=m5.larger (nearest: m5.large)"),
        ({CATEGORY: "g", ARCH: "arm64"}, f"{CATEGORY}=g, {ARCH}=arm64"),
        ({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}, "cloud.google.com/gke-accelerator=nvidia-tesla-t4"),
    ],
    ids=["of two the one", "values there", "a typing error", "only together", "a label of another cloud"],
)
def test_selector_names_what_no_offering_has_even_alone(
    catalog: Catalog, selector: dict[str, str], message: str
) -> None:
    assert refusal(catalog, pod(1, 1, node_selector=selector)) == ("selector", f"no offering has {message}")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (pod(1, 1, 3), "no offering has 3 GPUs on a node (largest: g4dn.xlarge, 1)"),
        (
            pod(1, 1, 3, gpu_skus=("t4",), max_gpus=2),
            "no offering has 3 t4 GPUs on a node of at most 2 GPUs (largest: g4dn.xlarge, 1)",
        ),
        (pod(1, 1, 1, max_gpus=0), "no offering has 1 GPU on a node of at most 0 GPUs (largest: m5.large, 0)"),
        (pod(1, 1, 1, gpu_skus=("q9",)), "no offering has 1 q9 GPU on a node (no node type found with q9)"),
        (
            pod(1, 1, 1, gpu_skus=("q9", "q8")),
            "no offering has 1 q9 or q8 GPU on a node (no node type found with q9 or q8)",
        ),
    ],
)
def test_gpu_names_the_nearest(catalog: Catalog, spec: PodSpec, message: str) -> None:
    assert refusal(catalog, spec) == ("gpu", message)


def test_gpu_names_slices_and_their_memory(catalog: Catalog) -> None:
    sliced = {"gpu_slices": {"t4": 4}}
    many = PodSpec(requests={GPU_SHARED: 5})
    assert refusal(catalog, many, **sliced) == (
        "gpu",
        "no offering has 5 GPU slices on a node (largest: g4dn.xlarge, 4)",
    )
    large = PodSpec(requests={GPU_SHARED: 1}, gpu_memory_bytes=24 * GIB)
    assert refusal(catalog, large, **sliced) == (
        "gpu",
        "no offering has 1 GPU slice on a node with 24Gi a GPU (largest: g4dn.xlarge, 4)",
    )
    assert chosen(catalog, dataclasses.replace(large, gpu_memory_bytes=16 * GIB), **sliced) == {"g4dn.xlarge"}


def test_price_names_the_cheapest(catalog: Catalog) -> None:
    spec = pod(1, 1, 1, max_usd_nanos_per_hour=500_000_000)
    assert refusal(catalog, spec) == (
        "price",
        "the cheapest of 1 offerings costs 0.526 $/h, more than the maximum 0.5",
    )


def test_size_names_the_largest(catalog: Catalog) -> None:
    name, message = refusal(catalog, pod(64, 1))
    assert name == "size"
    assert re.fullmatch(r"needs 64 cpu; the largest of 4 offerings has 3920m \(g4dn\.xlarge\)", message)
    name, message = refusal(catalog, pod(1, 100))
    assert message.startswith("needs 100Gi memory; the largest of 4 offerings has ")
    huge = PodSpec(requests={CPU: 1, "example.com/fpga": 1})
    assert refusal(catalog, huge)[1].startswith("needs 1 example.com/fpga; the largest of 4 offerings has 0 ")


def test_size_tells_where_no_offering_has_enough_of_all_together(tmp_path: Path) -> None:
    types = (
        "provider,instance_type,family,arch,vcpu,memory_mib\naws,c.big,c,amd64,64,4096\naws,r.big,r,amd64,2,262144\n"
    )
    prices = "provider,region,instance_type,capacity_type,usd_per_hour\n" + "".join(
        f"aws,us-east-1,{name}.big,on-demand,1\n" for name in "cr"
    )
    expected = ("size", "none of 2 offerings has enough of all it needs together")
    assert refusal(small(tmp_path, types, prices), pod(8, 64)) == expected


def test_daemonsets_are_taken_off_first(catalog: Catalog) -> None:
    """A node full of DaemonSets is never picked."""
    daemonset = DaemonSet(key="DaemonSet/kube-system/ds", spec=pod(1.5, 1, node_selector={ARCH: "amd64"}))
    assert chosen(catalog, pod(1, 1), daemonsets=(daemonset,)) == {"m6g.large", "g4dn.xlarge"}
    assert chosen(catalog, pod(1, 1)) == {"m5.large", "m6g.large", "g4dn.xlarge"}


def test_availability_says_that_all_are_sold_out(catalog: Catalog) -> None:
    offerings = [dataclasses.replace(one, unavailable=True) for one in market(catalog).offerings]
    assert Filters(offerings, cluster()).why_not(pod(1, 1)) == (
        "availability",
        "all 4 offerings that would do are sold out for now",
    )


def test_counts_end_at_the_first_zero(catalog: Catalog) -> None:
    filters = Filters(market(catalog).offerings, cluster())
    assert [(one.filter, one.left) for one in filters.counts(pod(1, 1, 2))] == [
        ("pool", 4),
        ("arch", 4),
        ("selector", 4),
        ("gpu", 0),
    ]
    assert [one.filter for one in filters.counts(pod(1, 1))][-1] == "constraint"


def test_an_unknown_price_of_an_existing_node_fails_a_maximum(catalog: Catalog) -> None:
    offerings = market(catalog).offerings
    filters = Filters(offerings, cluster(), existing=True, priced=[one.family != "m5" for one in offerings])
    spec = pod(1, 1, max_usd_nanos_per_hour=10**12)
    assert types_of(one for one, passed in zip(offerings, filters.mask(spec), strict=True) if passed) == {
        "m6g.large",
        "g4dn.xlarge",
    }


# S10: which architecture is bought.

TRUTH = {
    "amd64": ("amd64", "amd64", ""),
    "arm64": ("arm64", "", "arm64"),
    "amd64+arm64": ("amd64 arm64", "amd64", "arm64"),
    "amd64|arm64": ("amd64", "amd64", "arm64"),
    "arm64|amd64": ("arm64", "amd64", "arm64"),
}
"""By mode: what a pod may use that names no architecture, amd64, arm64."""


@pytest.mark.parametrize("mode", TRUTH)
@pytest.mark.parametrize("by", ["selector", "affinity", "deprecated"])
def test_which_architecture_a_pod_gets(catalog: Catalog, mode: str, by: str) -> None:
    for named, expected in zip(("", "amd64", "arm64"), TRUTH[mode], strict=True):
        fields: dict[str, Any] = {}
        if named and by == "affinity":
            fields = affinity((need(ARCH, "In", named),))
        elif named:
            fields = {"node_selector": {ARCH if by == "selector" else "beta.kubernetes.io/arch": named}}
        spec = pod(1, 1, **fields)
        snapshot = cluster(arch=mode)
        offerings = offerings_for(snapshot, catalog).offerings
        assert {one.arch for one in admitted(offerings, snapshot, spec)} == set(expected.split())
        if not expected:
            assert Filters(offerings, snapshot).why_not(spec)[0] in ("arch", "selector")


def test_an_arch_requirement_replaces_the_mode(catalog: Catalog) -> None:
    only = (need(ARCH, "In", "arm64"),)
    assert chosen(catalog, pod(1, 1), arch="amd64", requirements=only) == {"m6g.large"}
    pool = NodePool(name="p", requirements=(need(ARCH, "In", "amd64", "arm64"),))
    assert "m6g.large" in chosen(catalog, pod(1, 1), arch="amd64", node_pools=(pool,))


# What is on the market at all.


def test_excluded_categories_are_for_pods_that_name_them(catalog: Catalog) -> None:
    plain = market(catalog)
    assert "inf2.xlarge" not in types_of(plain.offerings)
    assert notes(plain)["excluded-category"] == 1
    for fields in (
        {"node_selector": {CATEGORY: "inf"}},
        {"node_selector": {NAME: "inf2.xlarge"}},
        affinity((need(FAMILY, "In", "inf2", "trn1"),)),
        {"family_inclusions": ("inf2",)},
    ):
        spec = pod(1, 1, **fields)
        assert chosen(catalog, spec) == {"inf2.xlarge"}
        snapshot = cluster(pods=[spec])
        others = admitted(offerings_for(snapshot, catalog).offerings, snapshot, pod(1, 1))
        assert "inf2.xlarge" not in types_of(others), "another pod may not"
    assert chosen(catalog, pod(1, 1, **affinity((need(FAMILY, "NotIn", "m5"),)))) == {"m6g.large", "g4dn.xlarge"}


def test_a_requirement_opens_an_excluded_category(catalog: Catalog) -> None:
    opened = market(catalog, requirements=(need(CATEGORY, "In", "inf", "m"),))
    assert types_of(opened.offerings) == {"inf2.xlarge", "m5.large", "m6g.large"}
    pool = NodePool(name="p", requirements=(need(FAMILY, "In", "inf2"),))
    assert chosen(catalog, pod(1, 1), node_pools=(pool,)) == {"inf2.xlarge"}
    assert "inf2.xlarge" in types_of(market(catalog, settings={"exclude_instance_categories": ()}).offerings)


def test_nodepools_give_their_labels_and_taints(catalog: Catalog) -> None:
    pools = (
        NodePool(name="plain", weight=5),
        NodePool(
            name="gpu", labels={"team": "ml"}, taints=(Taint(key="gpu"),), requirements=(need(CATEGORY, "In", "g"),)
        ),
    )
    offerings = market(catalog, node_pools=pools).offerings
    assert {(one.instance_type, one.pool) for one in offerings if one.category == "g"} == {
        ("g4dn.xlarge", "plain"),
        ("g4dn.xlarge", "gpu"),
    }
    for one in offerings:
        assert one.labels["karpenter.sh/nodepool"] == one.pool
        assert (one.labels.get("team"), bool(one.taints)) == (("ml", True) if one.pool == "gpu" else (None, False))
        assert one.pool_weight == (5 if one.pool == "plain" else 0)
    assert types_of(one for one in offerings if one.pool == "gpu") == {"g4dn.xlarge"}


def test_a_nodepool_with_several_values_offers_one_each(catalog: Catalog) -> None:
    pool = NodePool(name="p", requirements=(need("team", "In", "red", "blue"), need(FAMILY, "In", "m5")))
    offerings = market(catalog, node_pools=(pool,), capacity_types=("on-demand",)).offerings
    assert sorted(one.labels["team"] for one in offerings) == ["blue", "red"]
    snapshot = cluster(node_pools=(pool,))
    assert [one.labels["team"] for one in admitted(offerings, snapshot, pod(1, 1, node_selector={"team": "blue"}))] == [
        "blue"
    ]
    name, message = Filters(offerings, snapshot).why_not(pod(1, 1, node_selector={"team": "green"}))
    assert (name, message) == ("selector", "no offering has team=green (they have blue, red)")


def test_a_nodepool_that_sets_no_value_or_too_many_is_noted(catalog: Catalog) -> None:
    many = need("shard", "In", *map(str, range(20)))
    pool = NodePool(name="p", requirements=(need("team", "Exists"), many, need(FAMILY, "In", "m5")))
    found = market(catalog, node_pools=(pool,), capacity_types=("on-demand",))
    assert len(found.offerings) == 16
    assert notes(found)["nodepool-requirement"] == 2


def test_pool_and_cluster_requirements_hold_together(catalog: Catalog) -> None:
    pool = NodePool(name="p", requirements=(need("karpenter.sh/capacity-type", "In", "spot"), need(ZONE, "In", "b")))
    offerings = market(
        catalog, zones=("a", "b"), node_pools=(pool,), requirements=(need(ARCH, "In", "amd64"),)
    ).offerings
    assert {(one.instance_type, one.zone, one.capacity_type) for one in offerings} == {("m5.large", "b", "spot")}


RESERVED = {"instanceType": "m5.large", "zone": "a", "count": 3, "usdPerHour": 0.01}


def test_reserved_nodes_are_offered_at_their_own_price(catalog: Catalog) -> None:
    settings = {"reserved": (RESERVED,), "price_multiplier": 2.0}
    (one,) = [
        one
        for one in market(catalog, settings=settings).offerings
        if one.labels["karpenter.sh/capacity-type"] == "reserved"
    ]
    assert (one.instance_type, one.zone, one.usd_nanos_per_hour, one.max_count) == ("m5.large", "a", 10_000_000, 3)
    spec = pod(1, 1, capacity_types=("reserved",))
    assert chosen(catalog, spec, settings=settings) == {"m5.large"}


def test_reserved_nodes_of_an_unknown_type_are_noted(catalog: Catalog) -> None:
    settings = {"reserved": (RESERVED | {"instanceType": "m99.large"},)}
    assert notes(market(catalog, settings=settings))["unknown-instance-type"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"zone": "z"}, "settings.reserved[0].zone: found 'z', expected one of a"),
        ({"count": -1}, "settings.reserved[0].count: found -1"),
        ({"count": True}, "settings.reserved[0].count: found True"),
        ({"count": 1.5}, "settings.reserved[0].count: found 1.5"),
        ({"usdPerHour": -1}, "settings.reserved[0].usdPerHour"),
        ({"usdPerHour": float("nan")}, "settings.reserved[0].usdPerHour"),
        ({"counts": 1}, "did you mean 'count'"),
    ],
)
def test_wrong_reserved_nodes_are_refused(catalog: Catalog, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        market(catalog, settings={"reserved": (RESERVED | change,)})


def test_a_missing_key_of_reserved_is_refused(catalog: Catalog) -> None:
    entry = {key: value for key, value in RESERVED.items() if key != "count"}
    with pytest.raises(SettingsError, match=r"reserved\[0\]\.count: found nothing"):
        market(catalog, settings={"reserved": (entry,)})


def test_the_multiplier_changes_prices_and_keeps_the_list(catalog: Catalog) -> None:
    plain = {(one.order): one for one in market(catalog).offerings}
    for one in market(catalog, settings={"price_multiplier": 0.85}).offerings:
        assert one.list_usd_nanos_per_hour == plain[one.order].list_usd_nanos_per_hour
        assert one.usd_nanos_per_hour == round(one.list_usd_nanos_per_hour * 0.85)


def test_spot_is_left_out_by_ratio_and_by_interruption(catalog: Catalog) -> None:
    """m5.large: spot 0.040 of 0.096, bucket 1."""
    for settings, left, note in (
        ({"max_spot_price_ratio": 0.42}, 1, None),
        ({"max_spot_price_ratio": 0.41}, 0, "spot-price-ratio"),
        ({"max_spot_interrupt_bucket": 1}, 1, None),
        ({"max_spot_interrupt_bucket": 0}, 0, "spot-interruption"),
    ):
        found = market(catalog, settings=settings)
        assert sum(one.capacity_type == "spot" for one in found.offerings) == left
        assert notes(found).get(note or "", 0) == (1 - left)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"region": "mars-1"}, "aws mars-1: the catalogue has no prices there (it has us-east-1)"),
        (
            {"provider": "azure", "region": "us-east-1"},
            "azure us-east-1: the catalogue has no prices there (it has aws)",
        ),
    ],
)
def test_a_region_without_prices_is_noted(catalog: Catalog, place: dict[str, str], message: str) -> None:
    found = market(catalog, **place)
    assert found.offerings == ()
    assert [(one.kind, one.message) for one in found.notes] == [
        ("no-offerings", f"{message}; nothing can be bought"),
    ]


def test_a_sliced_gpu_is_offered_beside_the_whole(catalog: Catalog) -> None:
    offerings = [one for one in market(catalog, gpu_slices={"t4": 4}).offerings if one.gpu_name == "t4"]
    assert [(one.gpu_slices, one.allocatable.get(GPU, 0), one.allocatable.get(GPU_SHARED, 0)) for one in offerings] == [
        (0, 1, 0),
        (4, 0, 4),
    ]
    assert {one.capacity[GPU] for one in offerings} == {1}


def test_offerings_are_in_order_whatever_the_order_of_pools(catalog: Catalog) -> None:
    pools = tuple(NodePool(name=name) for name in "cab")
    found = market(catalog, zones=("b", "a"), node_pools=pools).offerings
    assert found == market(catalog, zones=("a", "b"), node_pools=pools[::-1]).offerings
    assert list(found) == sorted(found, key=lambda one: one.order)
