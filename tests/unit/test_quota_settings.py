"""The setting `quotas`: what an entry means, and what is wrong with one, by place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.api import load_settings
from raypipe.errors import SettingsError
from raypipe.manifests import read_paths
from raypipe.settings import Quota, Settings, quotas_of, with_overrides

GPUS = {"resource": "nvidia.com/gpu", "amount": 4}


def test_an_entry_is_read_in_smallest_units_and_lower_case() -> None:
    entry = {
        "resource": "cpu",
        "amount": "1.5",
        "families": ["Ds_v5"],
        "categories": ["VT", "G", "g"],
        "gpuKinds": ["T4"],
        "capacityType": ["spot", "reserved"],
        "region": "us-east-1",
        "provider": "aws",
        "used": "500m",
    }
    assert quotas_of(Settings(quotas=(entry,))) == (
        Quota(
            name="aws us-east-1 reserved,spot ds_v5 g,vt t4",
            resource="cpu",
            amount=1500,
            families=("ds_v5",),
            categories=("g", "vt"),
            gpu_kinds=("t4",),
            capacity_types=("reserved", "spot"),
            region="us-east-1",
            provider="aws",
            used=500,
        ),
    )


NAMES: dict[str, tuple[dict[str, Any], str]] = {
    "its own": ({**GPUS, "name": "G and VT"}, "quota/G and VT/nvidia.com/gpu"),
    "nothing to make one from": (GPUS, "quota/all/nvidia.com/gpu"),
    "what it counts": ({**GPUS, "capacityType": "spot", "gpuKinds": ["t4"]}, "quota/spot t4/nvidia.com/gpu"),
    "keys without a value": ({**GPUS, "name": None, "families": None, "used": None}, "quota/all/nvidia.com/gpu"),
    "an empty list, which is any": ({**GPUS, "families": []}, "quota/all/nvidia.com/gpu"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_quota_has_a_name(name: str) -> None:
    entry, expected = NAMES[name]
    (quota,) = quotas_of(with_overrides(Settings(), {"quotas": [entry]}))
    assert quota.limit_name == expected


WRONG: dict[str, tuple[object, list[str]]] = {
    "no list": ({"resource": "cpu"}, ["settings.quotas: found {'resource': 'cpu'}, expected a list"]),
    "no mapping": (["cpu"], ["settings.quotas: found ['cpu'], expected a list of mappings"]),
    "an empty entry": (
        [{}],
        ["settings.quotas: found nothing at [0].resource, expected one of cpu, nvidia.com/gpu, nodes, usdPerHour",
         "settings.quotas: found nothing at [0].amount, expected a quantity"],
    ),
    "a resource misspelt in the second": (
        [GPUS, {"resource": "node", "amount": 1}],
        ["settings.quotas: found 'node' at [1].resource, expected one of cpu, nvidia.com/gpu, nodes, usdPerHour "
         "(did you mean 'nodes'?)"],
    ),
    "a key misspelt": (
        [{**GPUS, "famlies": ["g5"]}],
        ["settings.quotas: found an unknown key 'famlies' at [0], expected one of name, resource, amount, families, "
         "categories, gpuKinds, capacityType, region, provider, used (did you mean 'families'?)"],
    ),
    "a key that is no text": (
        [{**GPUS, 1: 2}],
        ["settings.quotas: found an unknown key 1 at [0], expected one of name, resource, amount, families, "
         "categories, gpuKinds, capacityType, region, provider, used"],
    ),
    "an amount below zero": (
        [{**GPUS, "amount": -1}],
        ["settings.quotas: found -1 at [0].amount, expected a quantity that is not negative"],
    ),
    "a part of a GPU": (
        [{**GPUS, "amount": 1.5}], ["settings.quotas: found 1.5 at [0].amount, expected a whole number"],
    ),
    "a part of a node in use": (
        [{"resource": "nodes", "amount": 1, "used": "100m"}],
        ["settings.quotas: found '100m' at [0].used, expected a whole number"],
    ),
    "an amount that is no number": (
        [{"resource": "usdPerHour", "amount": "much"}],
        ["settings.quotas: found 'much' at [0].amount, expected dollars an hour such as '1.62'"],
    ),
    "a list that is none": (
        [{**GPUS, "gpuKinds": "t4"}], ["settings.quotas: found 't4' at [0].gpuKinds, expected a list of names"],
    ),
    "a list of numbers": (
        [{**GPUS, "families": [5]}], ["settings.quotas: found [5] at [0].families, expected a list of names"],
    ),
    "a capacity type misspelt": (
        [{**GPUS, "capacityType": ["spot", "ondemand"]}],
        ["settings.quotas: found 'ondemand' at [0].capacityType, expected one of spot, on-demand, reserved "
         "(did you mean 'on-demand'?)"],
    ),
    "two providers": (
        [{**GPUS, "provider": ["aws", "gcp"]}],
        ["settings.quotas: found ['aws', 'gcp'] at [0].provider, expected one of aws, gcp, azure"],
    ),
    "a name of two lines": (
        [{**GPUS, "name": "a\nb"}], ["settings.quotas: found 'a\\nb' at [0].name, expected a name"],
    ),
    "a region without letters": (
        [{**GPUS, "region": ""}], ["settings.quotas: found '' at [0].region, expected a name"],
    ),
    "one name twice": (
        [{**GPUS, "name": "G"}, {**GPUS, "name": "G", "region": "us-east-1"}],
        ["settings.quotas: found 'G' again at [1].name, expected each name once for a resource in a region"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_entry_is_named_by_its_place(name: str) -> None:
    value, lines = WRONG[name]
    with pytest.raises(SettingsError) as error:
        with_overrides(Settings(), {"quotas": value})
    assert str(error.value).splitlines() == lines


def test_one_name_may_stand_for_two_places_or_two_resources() -> None:
    entries = [
        {**GPUS, "region": "us-east-1"},
        {**GPUS, "region": "eu-west-1"},
        {"resource": "cpu", "amount": 8, "region": "us-east-1"},
    ]
    named = [{"name": "G", **entry} for entry in entries]
    assert len(quotas_of(with_overrides(Settings(), {"quotas": named}))) == 3


def test_settings_made_in_python_are_read_as_strictly() -> None:
    with pytest.raises(SettingsError, match=r"^settings\.quotas: found nothing at \[0\]\.amount, expected a quantity$"):
        quotas_of(Settings(quotas=({"resource": "cpu"},)))


def test_a_file_tells_the_line_of_a_wrong_entry(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("lp_rounds: 3\nquotas:\n- {resource: cpu, amount: x}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=rf"^{path}:2: settings\.quotas: found 'x' at \[0\]\.amount, expected"):
        load_settings(path)


def test_a_fleet_file_tells_it_too_and_a_cluster_may_have_quotas_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    (tmp_path / "m").mkdir()
    text = """apiVersion: raypipe.io/v1
kind: Fleet
settings:
  quotas: [{resource: cpu, amount: 8}]
clusters:
- {name: a, manifests: [m]}
- {name: b, manifests: [m], settings: {quotas: [{resource: cpu, amount: 4}]}}
- {name: c, manifests: [m], settings: {quotas: [{resource: gpus, amount: 4}]}}
"""
    path.write_text(text, encoding="utf-8")
    a, b, c = read_paths([path]).clusters
    assert [one["amount"] for cluster in (a, b) for one in cluster.settings.quotas] == [8, 4]
    assert c.error is not None
    assert "fleet.yaml:8: clusters[2].settings.quotas: found 'gpus' at [0].resource, expected one of cpu," in c.error
