"""KubeRay's definitions of its kinds, from its Go module: what an API server that serves them keeps and takes."""

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

type Schema = dict[str, Any]


@cache
def definitions() -> dict[str, Any]:
    """The CustomResourceDefinitions by kind; the test is skipped where they cannot be had."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on this machine, which fetches KubeRay's schema")
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GO111MODULE": "on"}
    done = subprocess.run(
        [go, "mod", "download", "-json", KUBERAY], capture_output=True, text=True, timeout=120, env=environment
    )
    if done.returncode != 0:
        pytest.skip(f"{KUBERAY} cannot be had: {done.stdout.strip()[-200:]}")
    folder = Path(json.loads(done.stdout)["Dir"]) / "config/crd/bases"
    found = {}
    for kind in ("RayCluster", "RayJob", "RayService"):
        text = (folder / f"ray.io_{kind.lower()}s.yaml").read_text(encoding="utf-8")
        found[kind] = yaml.load(text, yaml.CSafeLoader)
    return found


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
