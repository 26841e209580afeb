"""What a row of the table says about its nodes: family, category, GPUs, labels as each cloud puts them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from raypipe.catalog.rows import TypeRow
from raypipe.catalog.tables import load
from raypipe.catalog.types import category_of, family_of, instance_type
from raypipe.model.nodes import InstanceType
from raypipe.model.resources import GPU

BIG = Path(__file__).parents[3] / ".." / "shared" / "data" / "catalog"
AWS = "karpenter.k8s.aws/instance-"
AZURE = "karpenter.azure.com/sku-"


def kind(**fields: object) -> InstanceType:
    """A type by a few columns, everything else empty."""
    row: dict[str, object] = dict.fromkeys(TypeRow._fields, "")
    row |= {name: None for name in TypeRow._fields if name.startswith("allocatable_")}
    row |= {"provider": "aws", "name": "m5.large", "family": "m5", "arch": "amd64", "vcpu_millicores": 2000}
    row |= {"memory_mib": 8192, "gpu_count": 0, "gpu_memory_mib": 0, "extra": ()}
    return instance_type(TypeRow(**{**row, **fields}), "published")  # type: ignore[arg-type]


CATEGORIES = {
    "c7g": "c",
    "m5": "m",
    "t3a": "t",
    "r7iz": "r",
    "g4dn": "g",
    "p4d": "p",
    "i4i": "i",
    "im4gn": "im",
    "is4gen": "is",
    "x2iedn": "x",
    "d3en": "d",
    "h1": "h",
    "z1d": "z",
    "a1": "a",
    "f1": "f",
    "inf2": "inf",
    "trn1": "trn",
    "hpc7g": "hpc",
    "mac2": "mac",
    "vt1": "vt",
    "dl1": "dl",
    "u-6tb1": "u",
}


@pytest.mark.parametrize("family", CATEGORIES)
def test_the_category_is_the_letters_before_the_generation(family: str) -> None:
    assert category_of("aws", family) == CATEGORIES[family]


@pytest.mark.parametrize(("provider", "family"), [("gcp", "n2"), ("gcp", "f1"), ("azure", "Fs_v2"), ("azure", "ND_v2")])
def test_elsewhere_the_category_is_the_family(provider: str, family: str) -> None:
    """So that GCP's f1 and Azure's F series are no FPGA nodes."""
    assert category_of(provider, family) == family


@pytest.mark.parametrize(
    ("provider", "name", "family"),
    [
        ("aws", "m7g.2xlarge", "m7g"),
        ("aws", "u-6tb1.112xlarge", "u-6tb1"),
        ("gcp", "n2-standard-4", "n2"),
        ("gcp", "a2-highgpu-1g", "a2"),
        ("gcp", "n2-custom-6-3072", "n2"),
        ("azure", "Standard_D4s_v5", "Ds_v5"),
        ("azure", "Standard_NC24ads_A100_v4", "NCads_A100_v4"),
        ("azure", "Standard_E64-16s_v3", "Es_v3"),
        ("elsewhere", "box", ""),
    ],
)
def test_a_name_tells_its_family(provider: str, name: str, family: str) -> None:
    assert family_of(provider, name) == family


@pytest.mark.parametrize(
    ("family", "name", "generation", "size"),
    [
        ("m5", "m5.large", "5", "large"),
        ("c7gn", "c7gn.16xlarge", "7", "16xlarge"),
        ("u-6tb1", "u-6tb1.112xlarge", "1", "112xlarge"),
        ("u7i-12tb", "u7i-12tb.224xlarge", "7", "224xlarge"),
        ("a1", "a1.metal", "1", "metal"),
    ],
)
def test_generation_and_size(family: str, name: str, generation: str, size: str) -> None:
    labels = kind(family=family, name=name).labels
    assert (labels[AWS + "family"], labels[AWS + "generation"], labels[AWS + "size"]) == (family, generation, size)


def test_labels_of_an_aws_node_with_gpus() -> None:
    fields = {"gpu_manufacturer": "nvidia", "gpu_name": "t4", "gpu_count": 4, "gpu_memory_mib": 16384}
    more = {"hypervisor": "nitro", "local_nvme_gb": "900", "network_mbps": "50000"}
    labels = kind(
        name="g4dn.12xlarge", family="g4dn", vcpu_millicores=48_000, memory_mib=196_608, **fields, **more
    ).labels
    assert labels == {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "g4dn.12xlarge",
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/instance-type": "g4dn.12xlarge",
        AWS + "category": "g",
        AWS + "family": "g4dn",
        AWS + "generation": "4",
        AWS + "size": "12xlarge",
        AWS + "cpu": "48",
        AWS + "memory": "196608",
        AWS + "hypervisor": "nitro",
        AWS + "local-nvme": "900",
        AWS + "network-bandwidth": "50000",
        AWS + "gpu-name": "t4",
        AWS + "gpu-manufacturer": "nvidia",
        AWS + "gpu-count": "4",
        AWS + "gpu-memory": "16384",
    }


def test_an_accelerator_is_no_gpu() -> None:
    inf = kind(family="inf2", name="inf2.xlarge", gpu_manufacturer="aws", gpu_name="inferentia2", gpu_count=1)
    assert inf.labels[AWS + "accelerator-name"] == "inferentia2"
    assert inf.labels[AWS + "accelerator-count"] == "1"
    assert not [name for name in inf.labels if "-gpu-" in name]
    assert GPU not in inf.allocatable
    assert inf.allocatable["aws.amazon.com/neuron"] == 1


def test_gpus_of_another_maker_are_another_resource() -> None:
    amd = kind(family="g4ad", name="g4ad.xlarge", gpu_manufacturer="amd", gpu_name="radeon-pro-v520", gpu_count=1)
    assert (GPU in amd.allocatable, amd.allocatable["amd.com/gpu"]) == (False, 1)


def test_a_part_of_a_gpu_is_none() -> None:
    part = kind(family="g6f", name="g6f.large", gpu_manufacturer="nvidia", gpu_name="l4", gpu_memory_mib=3072)
    assert (part.gpu_name, part.gpu_count, GPU in part.allocatable) == ("l4", 0, False)
    assert AWS + "gpu-name" not in part.labels


@pytest.mark.parametrize(
    ("gpu", "accelerator"),
    [
        ("t4", "nvidia-tesla-t4"),
        ("l4", "nvidia-l4"),
        ("v100", "nvidia-tesla-v100"),
        ("a100", "nvidia-tesla-a100"),
        ("a100-80gb", "nvidia-a100-80gb"),
        ("h100", "nvidia-h100-80gb"),
    ],
)
def test_gke_has_names_of_its_own_for_gpus(gpu: str, accelerator: str) -> None:
    labels = kind(provider="gcp", name="x-1", family="x", gpu_manufacturer="nvidia", gpu_name=gpu, gpu_count=2).labels
    assert labels["cloud.google.com/gke-accelerator"] == accelerator
    assert labels["cloud.google.com/gke-accelerator-count"] == "2"
    assert labels["cloud.google.com/machine-family"] == "x"
    assert not [name for name in labels if name.startswith(("karpenter.k8s.aws", AZURE))]


def test_azure_tells_its_sizes_apart() -> None:
    """Family and version as Azure's naming has them: one letter, and 1 where no version is written."""
    fields = {"gpu_manufacturer": "nvidia", "gpu_name": "a100-80gb", "gpu_count": 1, "vcpu_millicores": 24_000}
    name = "Standard_NC24ads_A100_v4"
    labels = kind(provider="azure", name=name, family="NCads_A100_v4", memory_mib=225_280, **fields).labels
    assert {key.removeprefix(AZURE): text for key, text in labels.items() if key.startswith(AZURE)} == {
        "name": name,
        "family": "N",
        "version": "4",
        "cpu": "24",
        "memory": "225280",
        "gpu-count": "1",
        "gpu-name": "A100",
        "gpu-manufacturer": "nvidia",
    }
    plain = kind(provider="azure", name="Standard_B2ms", family="Bms").labels
    assert (plain[AZURE + "family"], plain[AZURE + "version"], plain[AZURE + "gpu-count"]) == ("B", "1", "0")
    assert AZURE + "gpu-name" not in plain


@pytest.mark.skipif(not BIG.is_dir(), reason="the large catalogue is not beside this checkout (../shared/data/catalog)")
def test_families_of_the_large_catalogue_follow_from_the_names() -> None:
    with (BIG / "instance_types.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["provider"] != "azure"]
    assert [row for row in rows if family_of(row["provider"], row["instance_type"]) != row["family"]] == []


@pytest.mark.skipif(not BIG.is_dir(), reason="the large catalogue is not beside this checkout (../shared/data/catalog)")
def test_every_type_of_the_large_catalogue_has_its_labels() -> None:
    catalog = load(BIG)
    for provider, name in catalog.type_names:
        one = catalog.type_of(provider, name)
        assert one is not None
        assert all(key and text for key, text in one.labels.items()), name
        assert provider != "aws" or one.labels[AWS + "generation"].isdigit(), name
