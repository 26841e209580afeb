"""Which machine is the cheapest for one pod: what a published selection chose from the list prices of 2020."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Filters, load
from raypipe.catalog.allocatable import MIB, reserved_cpu, reserved_memory
from raypipe.catalog.custom import CustomFamily, custom_families, shape_for, smallest_holding
from raypipe.catalog.prices import surcharge_usd_nanos
from raypipe.catalog.tables import Catalog
from raypipe.errors import SettingsError
from raypipe.model.nodes import Offering
from raypipe.model.pods import PodSpec
from raypipe.model.resources import CPU, GPU, MEMORY, PODS
from tests.unit.catalog.builders import GIB, admitted, cluster, market, notes, pod

FACTS = Path(__file__).parents[2] / "data" / "aws-2020-us-west-2"
PLACE: dict[str, Any] = {"region": "us-west-2"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(FACTS)


def cheapest(catalog: Catalog, spec: PodSpec, **fields: Any) -> tuple[str, float] | None:
    """Type and $/h of the cheapest offering that one pod may use, or None."""
    snapshot = cluster(pods=[spec], **PLACE | fields)
    found = admitted(market(catalog, pods=[spec], **PLACE | fields).offerings, snapshot, spec)
    return (found[0].instance_type, found[0].usd_nanos_per_hour / 1e9) if found else None


def why_not(catalog: Catalog, spec: PodSpec, **fields: Any) -> tuple[str, str]:
    offerings = market(catalog, pods=[spec], **PLACE | fields).offerings
    return Filters(offerings, cluster(**PLACE | fields)).why_not(spec)


@pytest.mark.parametrize(
    ("arch", "cpu", "gib", "gpus", "expected"),
    [
        ("amd64+arm64", 2, 8, 0, ("m6g.large", 0.077)),
        ("amd64", 2, 8, 0, ("m5a.large", 0.086)),
        ("amd64|arm64", 2, 8, 0, ("m5a.large", 0.086)),
        ("arm64|amd64", 2, 8, 0, ("m6g.large", 0.077)),
        ("amd64+arm64", 4, 16, 0, ("m6g.xlarge", 0.154)),
        ("amd64", 4, 16, 0, ("m5a.xlarge", 0.172)),
        ("amd64+arm64", 2, 16, 0, ("r5.large", 0.126)),
        ("amd64+arm64", 1, 4, 1, ("g4dn.xlarge", 0.526)),
        ("amd64+arm64", 8, 20, 1, ("g4dn.2xlarge", 0.752)),
        ("amd64+arm64", 16, 16, 2, ("g3.8xlarge", 2.28)),
        ("amd64+arm64", 32, 32, 4, ("g4dn.12xlarge", 3.912)),
        ("amd64+arm64", 1, 4, 8, ("p2.8xlarge", 7.2)),
    ],
)
def test_the_cheapest_machine_of_the_published_selection(
    catalog: Catalog, arch: str, cpu: float, gib: float, gpus: int, expected: tuple[str, float]
) -> None:
    assert cheapest(catalog, pod(cpu, gib, gpus), arch=arch) == expected


def test_a_burstable_type_under_steady_load_costs_its_surcharge(catalog: Catalog) -> None:
    """2 vCPU x (1 - 30 %) above the baseline, at 0.04 $ (T4g) and 0.05 $ (T3) a vCPU-hour: no bargain."""
    steady = {one.instance_type: one.usd_nanos_per_hour / 1e9 for one in market(catalog, **PLACE).offerings}
    assert steady["t4g.large"] == pytest.approx(0.0672 + 1.4 * 0.04, abs=1e-9)
    assert steady["t3.large"] == pytest.approx(0.0832 + 1.4 * 0.05, abs=1e-9)
    assert cheapest(catalog, pod(2, 8)) == ("m6g.large", 0.077)
    assert cheapest(catalog, pod(2, 8), settings={"burstable": "list"}) == ("t4g.large", 0.0672)
    assert cheapest(catalog, pod(2, 8), settings={"burstable": "list"}, arch="amd64") == ("t3.large", 0.0832)


def test_burstable_types_can_be_excluded(catalog: Catalog) -> None:
    found = market(catalog, **PLACE, settings={"burstable": "exclude"})
    assert not [one for one in found.offerings if one.category == "t"]
    assert notes(found)["burstable"] == 2
    assert surcharge_usd_nanos(dataclasses.replace(_kind(catalog, "t3.large"), name="t3.huge")) is None


def _kind(catalog: Catalog, name: str) -> Any:
    return catalog.type_of("aws", name)


def test_a_custom_shape_costs_its_parts() -> None:
    """3 GB and 6 CPU at 0.2 $ a CPU and 0.1 $ a GB: 1.50 $ an hour."""
    family = CustomFamily(family="n2", usd_nanos_per_vcpu=200_000_000, usd_nanos_per_gib=100_000_000)
    assert shape_for(6000, 3 * 1024) == (6, 3072)
    assert family.usd_nanos(6, 3072) == 1_500_000_000


@pytest.mark.parametrize(
    ("millicores", "mib", "shape"),
    [
        (1, 1, (1, 512)),
        (1000, 513, (1, 768)),
        (1001, 1, (2, 1024)),
        (2001, 1, (4, 2048)),
        (1000, 8192, (1, 8192)),
        (1000, 8193, (2, 8448)),
        (96_000, 1, (96, 49_152)),
        (96_001, 1, None),
        (1000, 96 * 8192 + 1, None),
    ],
)
def test_custom_shapes_come_in_steps(millicores: int, mib: int, shape: tuple[int, int] | None) -> None:
    assert shape_for(millicores, mib) == shape


@pytest.mark.parametrize("seed", range(20))
def test_the_custom_shape_of_a_pod_is_the_smallest_that_holds_it(seed: int) -> None:
    """By trying every shape that is no larger."""
    draw = random.Random(seed)
    family = CustomFamily(family="n2", usd_nanos_per_vcpu=200_000_000, usd_nanos_per_gib=100_000_000)
    request = {CPU: draw.randrange(100, 20_000), MEMORY: draw.randrange(1, 40 * 4) * GIB // 4}
    kind = smallest_holding(family, request, "published")
    assert kind is not None
    assert kind.allocatable[CPU] >= request[CPU]
    assert kind.allocatable[MEMORY] >= request[MEMORY]
    most, mib = kind.vcpu_millicores // 1000, kind.memory_bytes // 2**20
    smaller = [
        (vcpus, size)
        for vcpus in (1, *range(2, most + 1, 2))
        if vcpus <= most
        for size in range(512 * vcpus, min(mib, 8192 * vcpus) + 1, 256)
        if 1000 * vcpus - reserved_cpu(1000 * vcpus, "gke") >= request[CPU]
        and size * MIB - reserved_memory(size * MIB, 110, "gke") >= request[MEMORY]
    ]
    assert smaller == [(most, mib)]


CUSTOM = {"custom_shapes": ({"family": "n2", "usdPerVcpuHour": 0.2, "usdPerGibHour": 0.1},)}


def test_custom_shapes_stand_in_the_market_of_their_cloud_only(catalog: Catalog) -> None:
    pods = [pod(5.5, 2), pod(5.5, 2), pod(0.5, 1)]
    there = market(catalog, provider="gcp", region="us-central1", settings=CUSTOM, pods=pods)
    assert [one.instance_type for one in there.offerings] == ["n2-custom-1-1536", "n2-custom-6-3072"]
    assert [one.usd_nanos_per_hour for one in there.offerings] == [350_000_000, 1_500_000_000]
    assert {one.capacity_type for one in there.offerings} == {"on-demand"}
    assert not market(catalog, provider="azure", region="eastus", settings=CUSTOM, pods=pods).offerings


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"family": "n2", "usdPerVcpuHours": 1, "usdPerGibHour": 1}, "did you mean 'usdPerVcpuHour'"),
        ({"family": "n2", "usdPerVcpuHour": 1}, "usdPerGibHour: found nothing"),
        ({"family": "n2", "usdPerVcpuHour": -1, "usdPerGibHour": 1}, "custom_shapes"),
    ],
)
def test_wrong_custom_shapes_are_refused(entry: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        custom_families((entry,))


# Luna's options (its documentation): families, regexp, GPU kinds and counts, cost, capacity types.


def test_family_exclusions_and_inclusions(catalog: Catalog) -> None:
    at_list = {"burstable": "list"}
    without = pod(2, 8, family_exclusions=("t3", "t4g"))
    assert cheapest(catalog, without, settings=at_list) == ("m6g.large", 0.077)
    within = pod(2, 8, family_inclusions=("r5", "m5"))
    assert cheapest(catalog, within) == ("m5.large", 0.096)
    both = pod(2, 8, family_inclusions=("t3", "m5", "r5"), family_exclusions=("t3", "m5"))
    assert cheapest(catalog, both, settings=at_list) == ("r5.large", 0.126)
    neither = pod(2, 8, family_inclusions=("m5",), family_exclusions=("m5",))
    name, message = why_not(catalog, neither)
    assert name == "selector"
    assert message == "no offering has a family of m5, a family other than m5"


def test_a_family_is_the_whole_word_before_the_dot(catalog: Catalog) -> None:
    assert cheapest(catalog, pod(2, 8, family_exclusions=("m5a",), family_inclusions=("m5", "m5a"))) == (
        "m5.large",
        0.096,
    )


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(r"^m5\.xlarge$", "m5.xlarge"), (r"^r5.large$", "r5.large"), (r"^.*\.xlarge$", "m6g.xlarge"), ("5a", "m5a.large")],
)
def test_a_type_regexp_is_searched_in_the_full_name(catalog: Catalog, pattern: str, expected: str) -> None:
    found = cheapest(catalog, pod(2, 8, type_regexp=pattern))
    assert found is not None
    assert found[0] == expected


def test_a_regexp_that_matches_nothing_is_told(catalog: Catalog) -> None:
    assert why_not(catalog, pod(1, 1, type_regexp="^z9")) == ("selector", "no offering has a type that matches ^z9")


@pytest.mark.parametrize(
    ("skus", "gpus", "expected"),
    [
        (("t4",), 1, ("g4dn.xlarge", 0.526)),
        (("m60",), 1, ("g3s.xlarge", 0.75)),
        (("k80",), 1, ("p2.xlarge", 0.9)),
        (("v100",), 1, ("p3.2xlarge", 3.06)),
        (("t4",), 2, ("g4dn.12xlarge", 3.912)),
        (("v100", "m60"), 1, ("g3s.xlarge", 0.75)),
        (("v100", "k80"), 4, ("p2.8xlarge", 7.2)),
        (("l4", "t4"), 1, ("g4dn.xlarge", 0.526)),
    ],
)
def test_gpu_kinds_alone_and_in_a_list(
    catalog: Catalog, skus: tuple[str, ...], gpus: int, expected: tuple[str, float]
) -> None:
    assert cheapest(catalog, pod(1, 4, gpus, gpu_skus=skus)) == expected


def test_an_unknown_gpu_kind_is_told(catalog: Catalog) -> None:
    name, message = why_not(catalog, pod(1, 4, 1, gpu_skus=("b9000",)))
    assert name == "gpu"
    assert "no node type found with b9000" in message


def test_most_gpus_of_a_node(catalog: Catalog) -> None:
    """A node of four cheaper GPUs is not taken where two are the most."""
    assert cheapest(catalog, pod(1, 4, 2, max_gpus=2)) == ("g3.8xlarge", 2.28)
    assert cheapest(catalog, pod(1, 4, 2, gpu_skus=("t4",))) == ("g4dn.12xlarge", 3.912)
    few = pod(1, 4, 2, gpu_skus=("t4",), max_gpus=2)
    assert cheapest(catalog, few) is None
    name, message = why_not(catalog, few)
    assert name == "gpu"
    assert message == "no offering has 2 t4 GPUs on a node of at most 2 GPUs (largest: g4dn.2xlarge, 1)"


def test_most_dollars_of_a_node(catalog: Catalog) -> None:
    most = {"max_usd_nanos_per_hour": 4_750_000_000}
    assert cheapest(catalog, pod(32, 32, 4, **most)) == ("g4dn.12xlarge", 3.912)
    assert cheapest(catalog, pod(32, 32, 8, **most)) is None
    name, message = why_not(catalog, pod(32, 32, 8, **most))
    assert (name, "costs 7.2 $/h, more than the maximum 4.75" in message) == ("price", True)
    exactly = {"max_usd_nanos_per_hour": 3_912_000_000}
    assert cheapest(catalog, pod(32, 32, 4, **exactly)) == ("g4dn.12xlarge", 3.912)


@pytest.mark.parametrize("ratio", [0.3, 0.333, 0.1, 1.0])
def test_an_estimated_spot_price_is_on_demand_times_the_ratio(catalog: Catalog, ratio: float) -> None:
    found = market(catalog, **PLACE, settings={"spot_price_ratio_estimate": ratio, "burstable": "list"})
    by_kind = {(one.instance_type, one.capacity_type): one.usd_nanos_per_hour / 1e9 for one in found.offerings}
    assert len(by_kind) == 44
    for (name, capacity), price in by_kind.items():
        if capacity == "spot":
            assert price == pytest.approx(by_kind[name, "on-demand"] * ratio, abs=1e-9)
    assert notes(found)["spot-price-estimated"] == 22


def test_an_estimate_is_not_above_the_greatest_ratio(catalog: Catalog) -> None:
    for estimate, count in ((0.3, 22), (0.31, 0)):
        settings = {"spot_price_ratio_estimate": estimate, "max_spot_price_ratio": 0.3}
        found = market(catalog, **PLACE, settings=settings)
        assert sum(one.capacity_type == "spot" for one in found.offerings) == count


def test_no_spot_is_invented_without_an_estimate(catalog: Catalog) -> None:
    assert {one.capacity_type for one in market(catalog, **PLACE).offerings} == {"on-demand"}


@pytest.mark.parametrize(
    ("wanted", "sold_out", "expected"),
    [
        ((), (), "spot"),
        ((), ("spot",), "on-demand"),
        (("spot", "on-demand"), (), "spot"),
        (("on-demand", "spot"), (), "spot"),
        (("spot", "on-demand"), ("spot",), "on-demand"),
        (("spot",), (), "spot"),
        (("spot",), ("spot",), None),
        (("on-demand",), (), "on-demand"),
        (("on-demand",), ("spot",), "on-demand"),
        (("on-demand",), ("on-demand",), None),
    ],
)
def test_capacity_types_with_and_without_capacity(
    catalog: Catalog, wanted: tuple[str, ...], sold_out: tuple[str, ...], expected: str | None
) -> None:
    """The order of the list is no preference: the cheaper that is to be had is taken; spot alone waits for spot."""
    listed = market(catalog, **PLACE, settings={"spot_price_ratio_estimate": 0.4}).offerings
    listed = tuple(dataclasses.replace(one, unavailable=one.capacity_type in sold_out) for one in listed)
    spec = pod(2, 8, capacity_types=wanted)
    found = admitted(listed, cluster(**PLACE), spec)
    assert (found[0].capacity_type if found else None) == expected
    if expected is None:
        assert Filters(listed, cluster(**PLACE)).why_not(spec)[0] == "availability"


def test_the_cluster_may_allow_one_capacity_type_only(catalog: Catalog) -> None:
    estimate = {"spot_price_ratio_estimate": 0.4}
    for one in ("spot", "on-demand"):
        found = market(catalog, **PLACE, settings=estimate, capacity_types=(one,))
        assert {offering.capacity_type for offering in found.offerings} == {one}


def _by_trying(offerings: Iterable[Offering], spec: PodSpec) -> int | None:
    """The least price of an offering that has all the pod asks for, written out plainly."""
    best: int | None = None
    for one in offerings:
        enough = all(one.allocatable.get(name, 0) >= amount for name, amount in spec.requests.items())
        in_family = (not spec.family_inclusions or one.family in spec.family_inclusions) and (
            one.family not in spec.family_exclusions
        )
        named = spec.type_regexp is None or bool(re.search(spec.type_regexp, one.instance_type))
        gpu = (not spec.gpu_skus or one.gpu_name in spec.gpu_skus) and (
            spec.max_gpus is None or one.gpu_count <= spec.max_gpus
        )
        price = one.usd_nanos_per_hour
        cheap = spec.max_usd_nanos_per_hour is None or price <= spec.max_usd_nanos_per_hour
        bought = not spec.capacity_types or one.capacity_type in spec.capacity_types
        labels = all(one.labels.get(key) == value for key, value in spec.node_selector.items())
        if enough and in_family and named and gpu and cheap and bought and labels and one.opened:
            best = price if best is None else min(best, price)
    return best


def _drawn(draw: random.Random) -> PodSpec:
    """A request as a user might write it: a size, perhaps GPUs, and a few of the options."""
    fields: dict[str, Any] = {}
    gpus = draw.choice((0, 0, 0, 1, 1, 2, 4, 8))
    if gpus and draw.random() < 0.4:
        fields["gpu_skus"] = tuple(draw.sample(("t4", "l4", "a10g", "v100", "a100", "h100", "m60", "none-such"), 2))
    if draw.random() < 0.2:
        fields["max_gpus"] = draw.choice((0, 1, 2, 4))
    if draw.random() < 0.2:
        fields["max_usd_nanos_per_hour"] = draw.randrange(10**7, 10**10)
    if draw.random() < 0.2:
        fields["family_inclusions"] = tuple(draw.sample(("m5", "m6g", "c7i", "r5", "t3", "g4dn", "g3", "p2", "g6"), 4))
    if draw.random() < 0.3:
        fields["family_exclusions"] = tuple(draw.sample(("m5", "m6g", "c7i", "r5", "t3", "g4dn", "g3", "p2", "g6"), 3))
    if draw.random() < 0.15:
        fields["type_regexp"] = draw.choice((r"^m", r"\.xlarge$", r"^g[0-9]", r"large"))
    if draw.random() < 0.3:
        fields["capacity_types"] = draw.choice((("spot",), ("on-demand",), ("on-demand", "spot")))
    if draw.random() < 0.3:
        fields["node_selector"] = {"kubernetes.io/arch": draw.choice(("amd64", "arm64"))}
    return pod(round(draw.uniform(0.1, 40), 1), round(draw.uniform(0.1, 200), 1), gpus, **fields)


@pytest.mark.parametrize("facts", [FACTS, None], ids=["2020", "shipped"])
def test_the_cheapest_agrees_with_trying_all(facts: Path | None) -> None:
    """300 random requests; a fair part of them has an answer and a fair part has none."""
    region = "us-west-2" if facts else "us-east-1"
    offerings = market(load(facts), region=region, settings={"spot_price_ratio_estimate": 0.4}).offerings
    filters = Filters(offerings, cluster(region=region))
    draw, answered = random.Random(20), 0
    for _ in range(300):
        spec = _drawn(draw)
        mask = filters.mask(spec)
        prices = [one.usd_nanos_per_hour for one, passed in zip(offerings, mask, strict=True) if passed]
        expected = _by_trying(offerings, spec)
        assert (min(prices) if prices else None) == expected, spec
        assert (filters.why_not(spec)[0] == "") == (expected is not None)
        answered += expected is not None
    assert 60 < answered < 280


def test_the_pods_slot_counts(catalog: Catalog) -> None:
    full = PodSpec(requests={CPU: 100, PODS: 1_000})
    name, message = why_not(catalog, full)
    assert name == "size"
    assert message == "needs 1000 pods; the largest of 22 offerings has 250 (g3.16xlarge)"


def test_gpus_of_the_2020_table(catalog: Catalog) -> None:
    assert {name: _kind(catalog, name).allocatable.get(GPU, 0) for name in ("g3.16xlarge", "p2.8xlarge")} == {
        "g3.16xlarge": 4,
        "p2.8xlarge": 8,
    }
