"""Turn the openb trace (Alibaba's GPU cluster of 2023) into Kubernetes manifests: one JSON `List` of pods.

    python examples/openb_to_manifests.py openb_pods_gpuspec33.csv > openb.json
    raypipe plan openb.json

The trace (hkust-adsl/kubernetes-scheduler-simulator, Apache-2.0) has a row a pod: cpu in millicores, memory in MiB,
GPUs, the share of one GPU in thousandths, and the GPU models allowed. Its model names are Alibaba's; `KINDS` says what
they mean on a cloud. A share of a GPU counts as a whole one.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

KINDS = {
    "T4": ("t4",),
    "P100": ("t4", "l4", "v100"),
    "V100M16": ("v100", "a10g", "l40s"),
    "V100M32": ("v100", "a10g", "l40s"),
    "A10": ("a10g", "l4"),
    "G2": ("a10g", "l4"),
    "G3": ("a100", "h100", "h200"),
}
COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec")


def pods(lines: TextIO) -> Iterator[dict[str, Any]]:
    """One Pod a row; ValueError names the row that cannot be read."""
    rows = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise ValueError(f"expected the columns {', '.join(COLUMNS)}; {', '.join(missing)} not found")
    for number, row in enumerate(rows, start=2):
        try:
            yield pod(row)
        except (KeyError, ValueError) as error:
            raise ValueError(f"line {number}: {error}") from None


def pod(row: dict[str, str]) -> dict[str, Any]:
    """The Pod of a row."""
    requests = {"cpu": f"{int(row['cpu_milli'])}m", "memory": f"{int(row['memory_mib'])}Mi"}
    gpus = int(row["num_gpu"])
    metadata: dict[str, Any] = {"name": row["name"], "namespace": "openb"}
    if gpus:
        requests["nvidia.com/gpu"] = str(gpus)
        kinds = sorted({kind for model in row["gpu_spec"].split("|") if model for kind in KINDS[model]})
        if kinds:
            metadata["annotations"] = {"raypipe.io/instance-gpu-skus": ",".join(kinds)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "containers": [{"name": "main", "image": "example.com/main", "resources": {"requests": requests}}],
        },
    }


def main() -> int:
    """Read the file named on the command line, write the list to stdout."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        with Path(sys.argv[1]).open(newline="", encoding="utf-8") as lines:
            items = list(pods(lines))
    except (OSError, ValueError) as error:
        print(f"openb_to_manifests: {sys.argv[1]}: {error}", file=sys.stderr)
        return 2
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout, indent=None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
