"""What is on the market: pools that choose labels, types that are left out, and the notes that say so."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog, load
from raypipe.catalog.custom import MOST_SHAPES
from raypipe.errors import SettingsError
from raypipe.model.nodes import NodePool, Unavailable
from raypipe.model.pods import DaemonSet
from raypipe.model.requirements import Operator, Requirement
from raypipe.model.resources import CPU, GPU, MEMORY
from tests.unit.catalog.builders import OFFERINGS, TYPES, admitted, cluster, market, notes, pod, small

BIG = Path(__file__).parents[3] / ".." / "shared" / "data" / "catalog"


def need(key: str, operator: str, *values: str) -> Requirement:
    return Requirement(key=key, operator=Operator(operator), values=values)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return small(tmp_path)


# Requirements of a NodePool on labels of its own.

TEAMS: dict[str, tuple[tuple[Requirement, ...], list[str | None]]] = {
    "one value": ((need("team", "In", "red"),), ["red"]),
    "two values": ((need("team", "In", "red", "blue"),), ["blue", "red"]),
    "all but one": ((need("team", "In", "red", "blue"), need("team", "NotIn", "blue")), ["red"]),
    "what both have": ((need("team", "In", "red", "blue"), need("team", "In", "blue", "grey")), ["blue"]),
    "must be there, and is": ((need("team", "In", "red"), need("team", "Exists")), ["red"]),
    "numbers": ((need("team", "In", "1", "5", "9"), need("team", "Gt", "4")), ["5", "9"]),
    "no value left": ((need("team", "In", "red"), need("team", "NotIn", "red")), []),
    "contradiction": ((need("team", "In", "red"), need("team", "DoesNotExist")), []),
    "not that one": ((need("team", "NotIn", "red"),), [None]),
    "none at all": ((need("team", "DoesNotExist"),), [None]),
    "any": ((need("team", "Exists"),), [None]),
}


@pytest.mark.parametrize("case", TEAMS)
def test_a_pool_offers_the_values_that_all_its_requirements_admit(catalog: Catalog, case: str) -> None:
    requirements, values = TEAMS[case]
    only = need("node.kubernetes.io/instance-type", "In", "m5.large")
    pool = NodePool(name="p", requirements=(*requirements, only))
    found = market(catalog, node_pools=(pool,), capacity_types=("on-demand",))
    assert [one.labels.get("team") for one in found.offerings] == values
    noted = notes(found).get("nodepool-requirement", 0)
    assert noted == (1 if case in ("no value left", "contradiction", "any") else 0)


def test_a_requirement_on_a_label_of_the_catalogues_own_is_a_condition(tmp_path: Path) -> None:
    """It chooses among types; it does not make them what they are not."""
    head, *rest = TYPES.splitlines()
    tiers = ("gold", "silver", "", "")
    catalog = small(
        tmp_path, "\n".join([f"{head},example.com/tier", *map(",".join, zip(rest, tiers, strict=True))]) + "\n"
    )
    pool = NodePool(name="p", requirements=(need("example.com/tier", "In", "gold", "lead"),))
    found = market(catalog, node_pools=(pool,)).offerings
    assert {(one.instance_type, one.labels["example.com/tier"]) for one in found} == {("m5.large", "gold")}


def test_a_requirement_of_the_cluster_on_a_pools_label_holds(catalog: Catalog) -> None:
    pools = tuple(NodePool(name=name, labels={"team": name}) for name in ("red", "blue"))
    found = market(catalog, node_pools=pools, requirements=(need("team", "In", "red"),)).offerings
    assert {one.pool for one in found} == {"red"}


# Types and prices that are left out, and what is said.

OTHERS_TYPES = (
    "provider,instance_type,family,arch,vcpu,memory_mib\n"
    "gcp,e2-medium,e2,amd64,2,4096\ngcp,e2-standard-2,e2,amd64,2,8192\ngcp,g1-small,g1,amd64,1,1740\n"
    "azure,Standard_B2s,Bs,amd64,2,4096\nazure,Standard_D2s_v5,Ds_v5,amd64,2,8192\nazure,Standard_B1ls,Bls,amd64,1,0\n"
)
OTHERS = "provider,region,instance_type,capacity_type,usd_per_hour\n" + "".join(
    f"{provider},here,{name},on-demand,0.1\n"
    for provider, name in (line.split(",")[:2] for line in OTHERS_TYPES.splitlines()[1:])
)


@pytest.mark.parametrize(
    ("provider", "burstable", "left"),
    [
        ("gcp", "sustained", ["e2-standard-2"]),
        ("gcp", "exclude", ["e2-standard-2"]),
        ("gcp", "list", ["e2-medium", "e2-standard-2", "g1-small"]),
        ("azure", "sustained", ["Standard_D2s_v5"]),
        ("azure", "list", ["Standard_B2s", "Standard_D2s_v5"]),
    ],
)
def test_shared_cores_of_other_clouds_have_no_price_under_steady_load(
    tmp_path: Path, provider: str, burstable: str, left: list[str]
) -> None:
    """And a type whose memory is 0 in the table is no place for a pod."""
    catalog = small(tmp_path, OTHERS_TYPES, OTHERS)
    found = market(catalog, provider=provider, region="here", settings={"burstable": burstable})
    assert [one.instance_type for one in found.offerings] == left
    assert notes(found).get("burstable", 0) == (0 if burstable == "list" else 2 if provider == "gcp" else 1)
    assert notes(found).get("unknown-memory", 0) == (1 if provider == "azure" else 0)


def test_types_are_counted_once_however_often_they_are_offered(tmp_path: Path) -> None:
    types = TYPES + "aws,t1.micro,t1,amd64,1,627,,,,\naws,g6f.large,g6f,amd64,2,8192,nvidia,l4,0,3072\n"
    prices = "".join(
        f"aws,us-east-1,{name},{capacity},0.02,\n"
        for name in ("t1.micro", "g6f.large")
        for capacity in ("spot", "on-demand")
    )
    found = market(small(tmp_path, types, OFFERINGS + prices), zones=("a", "b", "c"))
    told = {note.kind: (note.count, note.message) for note in found.notes}
    assert told["burstable"] == (
        1,
        "burstable: types whose price under steady load is not known are left out unless burstable is list (t1.micro)",
    )
    assert told["fractional-gpu"] == (
        1,
        "fractional-gpu: types with a part of a GPU are used without it (g6f.large)",
    )
    assert told["excluded-category"] == (1, "inf: 1 types are left out unless a requirement or a pod names them")


def test_a_category_that_requirements_leave_out_anyway_is_not_noted(catalog: Catalog) -> None:
    arm = (need("kubernetes.io/arch", "In", "arm64"),)
    assert "excluded-category" not in notes(market(catalog, requirements=arm))


def test_a_region_without_spot_prices_says_so(tmp_path: Path) -> None:
    catalog = small(tmp_path, OTHERS_TYPES, OTHERS)
    place: dict[str, Any] = {"provider": "azure", "region": "here"}
    (note,) = [one for one in market(catalog, **place).notes if one.kind == "no-spot-prices"]
    assert note.message.startswith("azure here: the catalogue has no spot prices there")
    assert "no-spot-prices" not in notes(market(catalog, **place, capacity_types=("on-demand",)))
    assert "no-spot-prices" not in notes(market(catalog, **place, settings={"spot_price_ratio_estimate": 0.3}))


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        ("aws,us-east-1,m5.large,spot,0.09,1,a", {"max_spot_price_ratio": 0.5}),
        ("aws,us-east-1,m5.large,spot,0.04,4,a", {"max_spot_interrupt_bucket": 1}),
    ],
    ids=["too dear", "interrupted too often"],
)
def test_a_zone_whose_own_row_is_left_out_is_not_sold_at_the_price_of_the_others(
    row: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    head, *rest = OFFERINGS.splitlines()
    lines = [head + ",zone", *(line + "," for line in rest), row]
    offered = market(small(tmp_path, TYPES, "\n".join(lines) + "\n"), zones=("a", "b"), settings=settings).offerings
    assert [one.zone for one in offered if one.capacity_type == "spot"] == ["b"]


def test_an_unknown_interruption_bucket_passes_and_is_counted(tmp_path: Path) -> None:
    catalog = small(tmp_path, TYPES, OFFERINGS.replace("spot,0.04,1", "spot,0.04,"))
    found = market(catalog, settings={"max_spot_interrupt_bucket": 0})
    assert [one.instance_type for one in found.offerings if one.capacity_type == "spot"] == ["m5.large"]
    assert notes(found)["spot-interruption-unknown"] == 1
    assert "spot-interruption-unknown" not in notes(market(catalog))


# Settings: all that is wrong, at once.


def test_everything_wrong_with_reservations_is_told_together(catalog: Catalog) -> None:
    entries = (
        {"instanceType": "m5.large", "zone": "z", "count": -1, "usdPerHour": "free"},
        {"instanceTypes": "m5.large"},
        {"instanceType": "m5.large", "zone": "a", "count": 1, "usdPerHour": 1},
        {"instanceType": "m5.large", "zone": "a", "count": 2, "usdPerHour": 1},
    )
    with pytest.raises(SettingsError) as caught:
        market(catalog, settings={"reserved": entries})
    assert re.findall(r"reserved\[(\d)\](?:\.(\w+))?: ", str(caught.value)) == [
        ("0", "count"),
        ("0", "zone"),
        ("0", "usdPerHour"),
        ("1", "instanceTypes"),
        ("1", "instanceType"),
        ("1", "zone"),
        ("1", "count"),
        ("1", "usdPerHour"),
        ("3", ""),
    ]


def test_everything_wrong_with_custom_shapes_is_told_together(catalog: Catalog) -> None:
    entries = ({"family": "", "usdPerVcpuHour": "x", "usdPerGibHour": -1}, {"famly": "n2"})
    with pytest.raises(SettingsError) as caught:
        market(catalog, provider="gcp", settings={"custom_shapes": entries})
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    assert "did you mean 'family'" in lines[3]


# Custom shapes beside DaemonSets, GPU pods and many sizes.

CUSTOM: dict[str, Any] = {
    "provider": "gcp",
    "region": "us-central1",
    "settings": {"custom_shapes": ({"family": "n2", "usdPerVcpuHour": 0.03, "usdPerGibHour": 0.004},)},
}


def test_a_custom_shape_leaves_room_for_daemonsets(catalog: Catalog) -> None:
    daemonsets = (DaemonSet(key="DaemonSet/kube-system/ds", spec=pod(1, 1)),)
    spec = pod(1.5, 2)
    snapshot = cluster(pods=[spec], daemonsets=daemonsets, **CUSTOM)
    (one,) = admitted(market(catalog, pods=[spec], daemonsets=daemonsets, **CUSTOM).offerings, snapshot, spec)
    assert one.capacity[CPU] == 4000
    (alone,) = market(catalog, pods=[spec], **CUSTOM).offerings
    assert alone.capacity[CPU] == 2000


def test_a_pod_with_gpus_has_no_custom_shape(catalog: Catalog) -> None:
    assert market(catalog, pods=[pod(4, 8, 1)], **CUSTOM).offerings == ()


def test_so_many_custom_shapes_and_no_more(catalog: Catalog) -> None:
    pods = [pod(number + 1, 1) for number in range(20)] + [pod(1, (number + 1) / 4) for number in range(MOST_SHAPES)]
    found = market(catalog, pods=pods, **CUSTOM)
    assert (
        notes(found)["custom-shape-limit"]
        == len({(one.requests["cpu"], one.requests["memory"]) for one in pods}) - MOST_SHAPES
    )


@pytest.mark.skipif(not BIG.is_dir(), reason="the large catalogue is not beside this checkout (../shared/data/catalog)")
def test_the_market_of_a_large_region_is_made_quickly() -> None:
    """0.06 s here (2 cores, 2026-11, best of 3) for 6,570 offerings; CI may take five times 0.1."""
    catalog = load(BIG)
    zones = tuple(f"us-east-1{letter}" for letter in "abc")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        offerings = market(catalog, zones=zones).offerings
        seconds.append(time.perf_counter() - start)
    assert len(offerings) > 6_000
    assert min(seconds) < 0.5


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        pytest.param({"name": "other", "pods": [pod(1, 1)]}, True, id="other pods of another cluster"),
        pytest.param({"zones": ("a", "b")}, False, id="another zone"),
        pytest.param({"capacity_types": ("spot",)}, False, id="spot alone"),
        pytest.param({"settings": {"price_multiplier": 0.5}}, False, id="a discount"),
        pytest.param({"pods": [pod(1, 1, family_inclusions=("inf2",))]}, False, id="a pod that opens a category"),
    ],
)
def test_a_market_is_made_once_for_all_who_ask_for_the_same(tmp_path: Path, fields: dict[str, Any], same: bool) -> None:
    catalog = small(tmp_path)
    first, second = market(catalog), market(catalog, **fields)
    assert (second is first) is same
    assert market(small(tmp_path), **fields) == second


# What a live cluster has shown.


def test_what_could_not_be_had_stays_in_the_market_as_unavailable(catalog: Catalog) -> None:
    sold_out = Unavailable(instance_type="m5.large", zone="a", capacity_type="spot")
    found = market(catalog, zones=("a", "b"), unavailable=(sold_out,)).offerings
    gone = [(one.instance_type, one.zone, one.capacity_type) for one in found if one.unavailable]
    assert gone == [("m5.large", "a", "spot")]
    assert len(found) == len(market(catalog, zones=("a", "b")).offerings)


def test_a_type_is_of_the_size_that_its_nodes_had_and_its_gpus_are_the_catalogues(catalog: Catalog) -> None:
    learned = {"g4dn.xlarge": {CPU: 3_000, MEMORY: 15 * 2**30, GPU: 0}}
    before, after = market(catalog).offerings, market(catalog, learned=learned).offerings
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [(old.instance_type, new.allocatable) for old, new in changed] == [
        ("g4dn.xlarge", {**changed[0][0].allocatable, CPU: 3_000, MEMORY: 15 * 2**30})
    ]
    assert changed[0][1].allocatable[GPU] == 1
    assert changed[0][1].capacity == changed[0][0].capacity  # which limits count
