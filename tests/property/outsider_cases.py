"""Questions for the outsider: folders with a fleet file, manifests and a catalogue, drawn by number.

Six sorts by turns: services alone, with nodes that exist and hold pods, with a DaemonSet, under a quota of spot cores,
under a limit of the cluster, and with GPUs. 3 to 30 Deployments of 3 to 400 pods; a case with few pods in every second
round, since there whole numbers of nodes matter.
"""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

FAMILIES = {"c5": ("amd64", 2, ""), "m5": ("amd64", 4, ""), "r5": ("amd64", 8, ""), "m6g": ("arm64", 4, "")}
FAMILIES |= {"g4dn": ("amd64", 4, "T4"), "g6": ("amd64", 4, "L4")}
SIZES = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "16xlarge": 64}
GPUS = {8: 1, 16: 1, 32: 2, 64: 4}
PODS_A_NODE = {2: 29, 4: 58, 8: 58, 16: 110, 32: 110, 64: 250}
GPU_USD = {"": 0.0, "T4": 0.35, "L4": 0.55}
CPUS_M = (50, 100, 250, 500, 1000, 2000, 4000, 7000)
SORTS = ("services", "existing", "daemonset", "quota", "limit", "gpus")

type Object = dict[str, Any]


def write_case(number: int, folder: Path) -> tuple[Path, Path]:
    """Write the case of a number; return the folders of its catalogue and of its fleet."""
    draw, sort = random.Random(number), SORTS[number % len(SORTS)]
    catalogue, fleet = folder / "catalogue", folder / "fleet"
    for one in (catalogue, fleet):
        one.mkdir(parents=True)
    _write_catalogue(draw, catalogue)
    few = number // len(SORTS) % 2 == 1
    deployments = _services(draw, draw.randint(3, 8) if few else draw.randint(10, 30), 4 if few else 40)
    objects, cluster = list(deployments), _cluster()
    if sort == "existing":
        objects += [one for n in range(draw.randint(1, 4)) for one in _node(draw, n)]
    if sort == "daemonset":
        objects.append(_daemonset())
    if sort == "gpus":
        objects += [_gpu_service(draw, n) for n in range(draw.randint(1, 6))]
    cores = sum(one["spec"]["replicas"] * _cores(one) for one in deployments)
    if sort == "quota":
        spot = {"name": "spot", "resource": "cpu", "amount": max(4, round(cores * 0.4)), "capacityType": "spot"}
        cluster["settings"] = {"quotas": [spot]}
    if sort == "limit":
        cluster["limits"] = _limit(draw, cores)
    (fleet / "objects.json").write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    content = {"apiVersion": "raypipe.io/v1", "kind": "Fleet", "clusters": [cluster]}
    (fleet / "fleet.json").write_text(json.dumps(content))
    return catalogue, fleet


def _limit(draw: random.Random, cores: float) -> Object:
    """One limit that binds: too few cores for all, little memory, or few nodes."""
    few = {"cpu": str(max(8, round(cores * 0.7))), "memory": f"{max(16, round(cores * 4))}Gi"}
    few["nodes"] = str(max(2, round(cores / 50)))
    name = draw.choice(sorted(few))
    return {name: few[name]}


def _cluster() -> Object:
    return {
        "name": "asked",
        "provider": "aws",
        "region": "us-east-1",
        "zones": ["us-east-1a"],
        "capacityTypes": ["spot", "on-demand"],
        "arch": "amd64+arm64",
        "manifests": ["objects.json"],
    }


def _write_catalogue(draw: random.Random, folder: Path) -> None:
    types, offers = [], []
    for family, (arch, gib, gpu) in FAMILIES.items():
        for size, vcpu in SIZES.items():
            if gpu and vcpu not in GPUS:
                continue
            gpus = GPUS[vcpu] if gpu else 0
            types.append(
                {
                    "provider": "aws",
                    "instance_type": f"{family}.{size}",
                    "family": family,
                    "arch": arch,
                    "vcpu": vcpu,
                    "memory_mib": vcpu * gib * 1024,
                    "gpu_manufacturer": "NVIDIA" if gpu else "",
                    "gpu_name": gpu,
                    "gpu_count": gpus,
                    "gpu_memory_mib": 16384 if gpu else "",
                    "allocatable_cpu_m": vcpu * 1000 - 60 - 5 * vcpu,
                    "allocatable_memory_mib": round(vcpu * gib * 1024 * 0.93) - 500,
                    "allocatable_pods": PODS_A_NODE[vcpu],
                }
            )
            usd = vcpu * 0.03 + vcpu * gib * 0.004 + gpus * GPU_USD[gpu]
            usd *= draw.uniform(0.8, 0.9) if arch == "arm64" else draw.uniform(0.97, 1.03)
            for capacity_type, share in (("on-demand", 1.0), ("spot", draw.uniform(0.35, 0.6))):
                row = {"provider": "aws", "region": "us-east-1", "instance_type": f"{family}.{size}"}
                offers.append(row | {"capacity_type": capacity_type, "usd_per_hour": f"{usd * share:.4f}"})
    for name, rows in (("instance_types.csv", types), ("offerings.csv", offers)):
        with (folder / name).open("w", newline="") as opened:
            writer = csv.DictWriter(opened, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _services(draw: random.Random, count: int, most: int) -> list[Object]:
    made = []
    for n in range(count):
        cpu_m = draw.choice(CPUS_M)
        mib = min(48 * 1024, int(cpu_m * draw.lognormvariate(0.9, 0.6)) + 64)
        selector = {"kubernetes.io/arch": arch} if (arch := draw.choice(("amd64", "amd64", "arm64", ""))) else {}
        selector |= {"karpenter.sh/capacity-type": "on-demand"} if draw.random() < 0.4 else {}
        requests = {"cpu": f"{cpu_m}m", "memory": f"{mib}Mi"}
        made.append(_deployment(f"service-{n:02d}", draw.randint(1, most), requests, selector))
    return made


def _gpu_service(draw: random.Random, n: int) -> Object:
    requests = {"cpu": f"{draw.randint(1, 6)}", "memory": f"{draw.randint(4, 20)}Gi"}
    requests["nvidia.com/gpu"] = str(draw.choice((1, 1, 2)))
    kinds = draw.choice(("", "t4", "l4", "t4,l4"))
    return _deployment(f"gpu-{n:02d}", draw.randint(1, 12), requests, {"kubernetes.io/arch": "amd64"}, kinds)


def _deployment(name: str, replicas: int, requests: Object, selector: Object, kinds: str = "") -> Object:
    metadata: Object = {"labels": {"app": name}}
    metadata |= {"annotations": {"raypipe.io/instance-gpu-skus": kinds}} if kinds else {}
    template = {"metadata": metadata, "spec": _pod(requests) | {"nodeSelector": selector}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


def _pod(requests: Object) -> Object:
    return {"containers": [{"name": "main", "image": "example.com/main", "resources": {"requests": requests}}]}


def _cores(deployment: Object) -> float:
    text: str = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"]
    return float(text.removesuffix("m")) / 1000


def _daemonset() -> Object:
    labels = {"app": "agent"}
    template = {"metadata": {"labels": labels}, "spec": _pod({"cpu": "150m", "memory": "300Mi"})}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


def _node(draw: random.Random, n: int) -> list[Object]:
    """A node, and a pod on it that belongs to nobody."""
    vcpu, name = draw.choice((8, 16)), f"node-{n}"
    size = next(size for size, number in SIZES.items() if number == vcpu)
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": f"m5.{size}",
        "topology.kubernetes.io/region": "us-east-1",
        "topology.kubernetes.io/zone": "us-east-1a",
        "karpenter.sh/capacity-type": draw.choice(("spot", "on-demand")),
    }
    capacity = {"cpu": str(vcpu), "memory": f"{4 * vcpu}Gi", "pods": "58"}
    allocatable = {"cpu": f"{vcpu * 1000 - 100}m", "memory": f"{4 * vcpu - 2}Gi", "pods": "58"}
    ready = [{"type": "Ready", "status": "True"}]
    requests = {"cpu": f"{draw.randint(1, vcpu * 9) * 100}m", "memory": f"{draw.randint(1, 3 * vcpu)}Gi"}
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": capacity, "allocatable": allocatable, "conditions": ready},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"old-{n}", "namespace": "default"},
        "spec": _pod(requests) | {"nodeName": name},
        "status": {"phase": "Running"},
    }
    return [node, pod]
