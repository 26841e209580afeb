"""Instances of the benchmark, as manifests: seeded, so that any two commits can be compared on the same input.

* services N of K: counts by Zipf with exponent 1.1 over K Deployments; cpu one of 50 .. 8000 m; memory [Mi] = cpu [m] x
  lognormal(0.9, 0.6) + 64; 70 % amd64, 6 % arm64, the rest either; 40 % on-demand only; three zones.
* GPU N: Deployments of 1 .. N/20 pods with 0, 1 (three times as likely), 2, 4 or 8 GPUs of one of six lists of kinds;
  cpu 1-11 and memory 4-30 Gi a GPU, at most 90 cpu and 600 GB; amd64; 40 % on-demand only.
* mixed N: half services (of 40), half GPU.

``python -m tests.benchmark.instances services --pods 1000 --groups 100 --seed 1 --out DIR`` writes a fleet folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

CPUS = (50, 100, 250, 500, 1000, 2000, 4000, 8000)
GPU_KINDS = (("t4",), ("t4", "l4"), ("a10g", "l4"), ("v100",), ("a100", "h100"), ("l40s",))
GPU_COUNTS = (0, 1, 1, 1, 2, 4, 8)
MOST_CPU, MOST_MEMORY_MIB = 90_000, 600 * 10**9 // 2**20

type Rng = np.random.Generator


def services(pods: int, groups: int, rng: Rng) -> list[dict[str, Any]]:
    """Deployments with `pods` pods in all, at least one each."""
    shares = 1.0 / np.arange(1, groups + 1) ** 1.1
    counts = np.maximum(1, np.floor(pods * shares / shares.sum())).astype(int)
    counts[0] += pods - int(counts.sum())
    cpus = rng.choice(CPUS, size=groups)
    memories = (cpus * rng.lognormal(0.9, 0.6, size=groups) + 64).astype(int)
    archs = np.select([(draws := rng.random(groups)) < 0.70, draws < 0.76], ["amd64", "arm64"], default="")
    on_demand = rng.random(groups) < 0.4
    return [
        deployment(
            f"service-{k:03d}",
            int(counts[k]),
            {"cpu": f"{cpus[k]}m", "memory": f"{memories[k]}Mi"},
            str(archs[k]) or None,
            bool(on_demand[k]),
        )
        for k in range(groups)
    ]


def gpus(pods: int, rng: Rng) -> list[dict[str, Any]]:
    """GPU Deployments with `pods` pods in all."""
    result, left = [], pods
    while left:
        count = min(left, int(rng.integers(1, max(1, pods // 20) + 1)))
        left -= count
        gpu = int(rng.choice(GPU_COUNTS))
        kinds = GPU_KINDS[int(rng.integers(len(GPU_KINDS)))] if gpu else ()
        cpu = min(MOST_CPU, int(rng.integers(1, 12)) * 1000 * max(1, gpu))
        memory = min(MOST_MEMORY_MIB, int(rng.integers(4, 31)) * 1024 * max(1, gpu))
        requests = {"cpu": f"{cpu}m", "memory": f"{memory}Mi"} | ({"nvidia.com/gpu": str(gpu)} if gpu else {})
        result.append(deployment(f"gpu-{len(result):03d}", count, requests, "amd64", rng.random() < 0.4, kinds))
    return result


def mixed(pods: int, rng: Rng) -> list[dict[str, Any]]:
    """Half services of 40 Deployments, half GPU."""
    return services(pods // 2, 40, rng) + gpus(pods - pods // 2, rng)


def deployment(
    name: str,
    replicas: int,
    requests: dict[str, str],
    arch: str | None,
    on_demand: bool,
    kinds: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A Deployment of one container."""
    selector = {"kubernetes.io/arch": arch} if arch else {}
    selector |= {"karpenter.sh/capacity-type": "on-demand"} if on_demand else {}
    metadata: dict[str, Any] = {"labels": {"app": name}}
    if kinds:
        metadata["annotations"] = {"raypipe.io/instance-gpu-skus": ",".join(kinds)}
    container = {"name": "main", "image": "example.com/main", "resources": {"requests": requests}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": metadata, "spec": {"nodeSelector": selector, "containers": [container]}},
        },
    }


def fleet(manifests: str, arch: str = "amd64+arm64") -> dict[str, Any]:
    """The fleet file: aws us-east-1, three zones, both capacity types, category t left out."""
    without_t = {"key": "karpenter.k8s.aws/instance-category", "operator": "NotIn", "values": ["t"]}
    cluster = {
        "name": "benchmark",
        "provider": "aws",
        "region": "us-east-1",
        "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
        "capacityTypes": ["spot", "on-demand"],
        "arch": arch,
        "requirements": [without_t],
        "manifests": [manifests],
    }
    return {"apiVersion": "raypipe.io/v1", "kind": "Fleet", "clusters": [cluster]}


def write(folder: Path, objects: list[dict[str, Any]]) -> Path:
    """Write a fleet folder; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    (folder / "fleet.json").write_text(json.dumps(fleet("objects.json")))
    return folder


def instance(kind: str, pods: int, groups: int, seed: int) -> list[dict[str, Any]]:
    """The objects of one instance; ValueError for an unknown kind."""
    rng = np.random.default_rng(seed)
    match kind:
        case "services":
            return services(pods, groups, rng)
        case "gpu":
            return gpus(pods, rng)
        case "mixed":
            return mixed(pods, rng)
    raise ValueError(f"{kind!r}: expected services, gpu or mixed")


def main() -> None:
    """Write one instance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("services", "gpu", "mixed"))
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--groups", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    write(arguments.out, instance(arguments.kind, arguments.pods, arguments.groups, arguments.seed))


if __name__ == "__main__":
    main()
