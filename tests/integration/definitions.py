"""CustomResourceDefinitions from their Go modules: what an API server that serves them keeps and takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

KUBERAY = "github.com/ray-project/kuberay/ray-operator@v1.6.2"
KARPENTER = "sigs.k8s.io/karpenter@v1.14.1"
FILES = {
    "RayCluster": (KUBERAY, "config/crd/bases/ray.io_rayclusters.yaml"),
    "RayJob": (KUBERAY, "config/crd/bases/ray.io_rayjobs.yaml"),
    "RayService": (KUBERAY, "config/crd/bases/ray.io_rayservices.yaml"),
    "NodeClaim": (KARPENTER, "pkg/apis/crds/karpenter.sh_nodeclaims.yaml"),
}

type Schema = dict[str, Any]


@cache
def definition_of(kind: str) -> Any:
    """The CustomResourceDefinition of a kind; the test is skipped where it cannot be had."""
    module, path = FILES[kind]
    return yaml.load((_folder(module) / path).read_text(encoding="utf-8"), yaml.CSafeLoader)


@cache
def _folder(module: str) -> Path:
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on this machine, which fetches the definition")
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GO111MODULE": "on"}
    done = subprocess.run(
        [go, "mod", "download", "-json", module], capture_output=True, text=True, timeout=120, env=environment
    )
    if done.returncode != 0:
        pytest.skip(f"{module} cannot be had: {done.stdout.strip()[-200:]}")
    return Path(json.loads(done.stdout)["Dir"])


def schema_of(definition: Any) -> Schema:
    """The schema of v1 objects; fields that it does not know are errors in it."""
    (served,) = (one for one in definition["spec"]["versions"] if one["name"] == "v1")
    return _closed(served["schema"]["openAPIV3Schema"])


def _closed(schema: Schema) -> Schema:
    """The schema without room for fields that it does not name, as the API server prunes them."""
    made = {key: _closed(value) if isinstance(value, dict) else value for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made["additionalProperties"] = False
    return made


def problems(schema: Schema, one: Any) -> list[str]:
    """What is wrong with the spec of an object."""
    spec = schema["properties"]["spec"]
    return [error.message for error in jsonschema.Draft7Validator(spec).iter_errors(one["spec"])]
