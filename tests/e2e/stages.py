"""How simulated nodes and pods behave: KWOK's stages (`stages/*.yaml`) with the delays that a cluster asks for.

A delay can always be set on one object by an annotation; these are the values for all others:

======================== ====== ===============================================================
annotation               of     from … to
======================== ====== ===============================================================
e2e.raypipe.io/boot      node   its creation to Ready
e2e.raypipe.io/gpu-after node   its device plugin's start to its GPUs (with `late_gpu_s`)
e2e.raypipe.io/reclaim   node   the annotation to the notice of reclaim (never without)
e2e.raypipe.io/notice    node   the notice of reclaim to its death
e2e.raypipe.io/pull      pod    bound to Running
e2e.raypipe.io/runs-for  pod    Running to Succeeded (never without)
======================== ====== ===============================================================

Annotations of a NodeClaim are copied to its node by Karpenter. A pod is a device plugin by the label
``e2e.raypipe.io/device-plugin: nvidia``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "stages"


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Delays in seconds where no annotation says otherwise; `late_gpu_s` None: GPU nodes come up with their GPUs."""

    boot_s: float = 0.0
    pull_s: float = 0.0
    late_gpu_s: float | None = None
    notice_s: float = 120.0

    def write(self, path: Path) -> Path:
        """Write the configuration that KWOK reads."""
        delays_s = {
            "node-ready": self.boot_s,
            "node-gpu-shown": self.late_gpu_s or 0.0,
            "spot-dead": self.notice_s,
            "pod-ready": self.pull_s,
        }
        files = ["node", "pod", "spot"] + (["late-gpu"] if self.late_gpu_s is not None else [])
        documents = [stage for name in files for stage in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())]
        path.write_text(yaml.safe_dump_all([_delayed(stage, delays_s) for stage in documents]))
        return path


def _delayed(stage: dict[str, Any], delays_s: Mapping[str, float]) -> dict[str, Any]:
    if (delay_s := delays_s.get(stage["metadata"]["name"])) is not None:
        stage["spec"]["delay"]["durationMilliseconds"] = round(delay_s * 1000)
    return stage
