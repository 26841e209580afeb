"""The table of facts that the package ships: whole, sane, with a source under every price."""

from __future__ import annotations

import csv
import datetime

import pytest

from raypipe.catalog.allocatable import MIB
from raypipe.catalog.tables import OFFERING_COLUMNS, SHIPPED, TYPE_COLUMNS, Catalog, load
from raypipe.model.resources import CPU, GPU, MEMORY, PODS

DIGEST = "sha256:0b5256cb09128f9fdd72967e9f609355ba8085d995d83c1eafd5d46b4315bb75"
"""Checksum of the facts: a change of the table changes plans, so it is made on purpose and here too."""

REGIONS = {
    ("aws", "us-east-1"),
    ("gcp", "us-central1"),
    ("gcp", "europe-west4"),
    ("azure", "eastus"),
    ("azure", "westeurope"),
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(None)


def rows(name: str) -> list[dict[str, str]]:
    with (SHIPPED / name).open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_the_facts_are_those_that_were_checked(catalog: Catalog) -> None:
    assert catalog.digest == DIGEST


def test_nothing_is_left_out_on_reading(catalog: Catalog) -> None:
    assert catalog.notes == ()


def test_regions_of_three_clouds_are_offered(catalog: Catalog) -> None:
    assert set(catalog.prices) == REGIONS
    assert sum(map(len, catalog.prices.values())) == len(rows("offerings.csv"))


def test_every_type_has_cpu_memory_and_room(catalog: Catalog) -> None:
    for provider, name in catalog.type_names:
        kind = catalog.type_of(provider, name)
        assert kind is not None
        assert kind.vcpu_millicores > 0, name
        assert kind.memory_bytes > 0, name
        assert 0 < kind.allocatable[CPU] <= kind.vcpu_millicores, name
        assert 0 < kind.allocatable[MEMORY] <= kind.memory_bytes, name
        assert kind.allocatable[PODS] > 0, name
        assert kind.allocatable.get(GPU, 0) == kind.gpu_count, name
        assert (kind.gpu_count > 0) == bool(kind.gpu_name) == (kind.gpu_memory_bytes >= 8192 * MIB), name


def test_aws_types_have_what_karpenter_publishes() -> None:
    for row in rows("instance_types.csv"):
        published = [row[f"allocatable_{name}"] for name in ("cpu_m", "memory_mib", "pods")]
        assert all(published) if row["provider"] == "aws" else not any(published), row["instance_type"]


def test_every_type_is_offered_somewhere(catalog: Catalog) -> None:
    offered = {(key[0], price.instance_type) for key, prices in catalog.prices.items() for price in prices}
    assert offered == set(catalog.type_names)


def test_spot_is_not_dearer_than_on_demand(catalog: Catalog) -> None:
    for key, prices in catalog.prices.items():
        listed = {one.instance_type: one.usd_nanos_per_hour for one in prices if one.capacity_type == "on-demand"}
        for one in prices:
            assert 0 < one.usd_nanos_per_hour <= listed[one.instance_type], (key, one)


def test_azure_has_no_spot_prices_rather_than_invented_ones(catalog: Catalog) -> None:
    spot = {key[0] for key, prices in catalog.prices.items() for one in prices if one.capacity_type == "spot"}
    assert spot == {"aws", "gcp"}


def test_no_row_stands_twice() -> None:
    types = [(row["provider"], row["instance_type"]) for row in rows("instance_types.csv")]
    offerings = [
        (row["provider"], row["region"], row["instance_type"], row["capacity_type"]) for row in rows("offerings.csv")
    ]
    assert len(set(types)) == len(types)
    assert len(set(offerings)) == len(offerings)


@pytest.mark.parametrize("gpu", ["t4", "l4", "a10g", "l40s", "a10", "v100", "a100", "a100-80gb", "h100"])
def test_every_common_gpu_is_offered(catalog: Catalog, gpu: str) -> None:
    kinds = [kind for name in catalog.type_names if (kind := catalog.type_of(*name)) and kind.gpu_name == gpu]
    assert kinds


@pytest.mark.parametrize("provider", ["aws", "gcp", "azure"])
def test_both_architectures_are_offered_by_each_cloud(catalog: Catalog, provider: str) -> None:
    kinds = [catalog.type_of(*name) for name in catalog.type_names if name[0] == provider]
    assert {kind.arch for kind in kinds if kind} == {"amd64", "arm64"}


def test_every_price_has_a_source_and_a_date() -> None:
    for number, row in enumerate(rows("offerings.csv"), start=2):
        assert row["source"].strip(), f"line {number}"
        assert datetime.date(2020, 1, 1) <= datetime.date.fromisoformat(row["date"]), f"line {number}"


def test_no_column_of_types_becomes_a_label_by_accident() -> None:
    assert set(rows("instance_types.csv")[0]) <= set(TYPE_COLUMNS)
    assert set(rows("offerings.csv")[0]) == {*OFFERING_COLUMNS, "source", "date"} - {"zone"}


def test_facts_known_by_heart(catalog: Catalog) -> None:
    """A column swapped or shifted would show here."""
    listed = {
        (*key, one.instance_type): one.usd_nanos_per_hour / 1e9
        for key, prices in catalog.prices.items()
        for one in prices
        if one.capacity_type == "on-demand"
    }
    assert listed["aws", "us-east-1", "m5.large"] == 0.096
    assert listed["aws", "us-east-1", "c5.xlarge"] == 0.17
    assert listed["aws", "us-east-1", "g4dn.xlarge"] == 0.526
    kind = catalog.type_of("aws", "g5.12xlarge")
    assert kind is not None
    assert (kind.vcpu_millicores, kind.memory_bytes, kind.gpu_count, kind.gpu_name) == (48_000, 192 * 2**30, 4, "a10g")
