"""What pods may request of a node by each provider's documented formula: the tables of their pages, by number."""

from __future__ import annotations

import pytest

from raypipe.catalog.allocatable import GIB, MIB, allocatable_of, reserved_cpu, reserved_memory
from raypipe.catalog.rows import TypeRow
from raypipe.model.resources import CPU, EPHEMERAL_STORAGE, MEMORY, PODS


def row(**fields: object) -> TypeRow:
    """A type of 4 vCPUs and 16 GiB that publishes nothing."""
    values: dict[str, object] = dict.fromkeys(TypeRow._fields, "")
    values |= {name: None for name in TypeRow._fields if name.startswith("allocatable_")}
    values |= {"provider": "aws", "name": "x.xlarge", "vcpu_millicores": 4000, "memory_mib": 16_384, "gpu_count": 0}
    return TypeRow(**{**values, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cores", "eks_and_gke", "aks"),
    [
        (1, 60, 60),
        (2, 70, 100),
        (4, 80, 140),
        (8, 90, 180),
        (16, 110, 260),
        (32, 150, 420),
        (64, 230, 740),
        (96, 310, 1060),
    ],
)
def test_cpu_kept_back(cores: int, eks_and_gke: int, aks: int) -> None:
    """AKS: the table of its page up to 64 cores, and the rule behind it (1 % of each further core) beyond."""
    found = [reserved_cpu(cores * 1000, formula) for formula in ("eks", "gke", "aks")]
    assert found == [eks_and_gke, eks_and_gke, aks]


@pytest.mark.parametrize("name", ["e2-micro", "e2-small", "e2-medium"])
def test_gke_keeps_more_of_a_shared_core(name: str) -> None:
    """An e2-medium has 2 vCPUs and lets pods request 940 m."""
    found = allocatable_of(row(provider="gcp", name=name, vcpu_millicores=2000, memory_mib=4096), "published")
    assert found[CPU] == 940
    assert reserved_cpu(2000, "eks", name) == 70


@pytest.mark.parametrize(
    ("gib", "kept_mib"),
    [
        (0.5, 255 + 100),
        (4, 1024 + 100),
        (8, 1024 + 819.2 + 100),
        (16, 1024 + 819.2 + 819.2 + 100),
        (128, 1024 + 819.2 + 819.2 + 0.06 * 112 * 1024 + 100),
        (256, 1024 + 819.2 + 819.2 + 0.06 * 112 * 1024 + 0.02 * 128 * 1024 + 100),
    ],
)
def test_memory_kept_back_by_gke(gib: float, kept_mib: float) -> None:
    assert reserved_memory(int(gib * GIB), 110, "gke") == pytest.approx(kept_mib * MIB, abs=1)


@pytest.mark.parametrize(
    ("gib", "pods", "kept_mib"), [(8, 30, 650 + 100), (4, 70, 1024 + 100), (64, 110, 2250 + 100), (64, 250, 5050 + 100)]
)
def test_memory_kept_back_by_aks(gib: int, pods: int, kept_mib: int) -> None:
    """The two examples of its page, and two nodes where 20 MiB a pod count."""
    assert reserved_memory(gib * GIB, pods, "aks") == kept_mib * MIB


def test_memory_kept_back_by_eks() -> None:
    assert reserved_memory(16 * GIB, 58, "eks") == int(16 * GIB * 0.075) + (255 + 11 * 58 + 100) * MIB


@pytest.mark.parametrize(("provider", "formula"), [("aws", "eks"), ("gcp", "gke"), ("azure", "aks")])
def test_what_is_not_published_follows_the_providers_own_formula(provider: str, formula: str) -> None:
    own = row(provider=provider)
    assert allocatable_of(own, "published") == allocatable_of(own, formula)


def test_what_is_published_is_taken_as_it_is() -> None:
    published = row(
        allocatable_cpu_m=3920, allocatable_memory_mib=14_162, allocatable_pods=58, allocatable_ephemeral_gib=9
    )
    assert allocatable_of(published, "published") == {
        CPU: 3920,
        MEMORY: 14_162 * MIB,
        PODS: 58,
        EPHEMERAL_STORAGE: 9 * GIB,
    }
    by_formula = allocatable_of(published, "gke")
    assert by_formula[CPU] == 3920
    assert by_formula[MEMORY] == 16 * GIB - reserved_memory(16 * GIB, 58, "gke")


def test_large_nodes_of_eks_take_more_pods() -> None:
    counts = [allocatable_of(row(vcpu_millicores=cores * 1000), "eks")[PODS] for cores in (4, 30, 32)]
    assert counts == [110, 110, 250]
    assert allocatable_of(row(vcpu_millicores=64_000), "aks")[PODS] == 110


@pytest.mark.parametrize("formula", ["eks", "gke", "aks"])
def test_nothing_is_below_zero(formula: str) -> None:
    tiny = allocatable_of(row(vcpu_millicores=10, memory_mib=1), formula)
    assert min(tiny.values()) >= 0
