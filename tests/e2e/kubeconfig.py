"""Kubeconfig files: how programs, and raypipe itself, find test clusters and say who they are."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.e2e.processes import LOOPBACK


@dataclass(frozen=True)
class Context:
    """One way in: a cluster's API server as one user."""

    name: str
    port: int
    authority: Path
    token: str


def write(path: Path, contexts: Sequence[Context]) -> Path:
    """Write a kubeconfig of these contexts, the first of which is the current one."""
    entries = {
        "clusters": [
            {
                "name": context.name,
                "cluster": {
                    "server": f"https://{LOOPBACK}:{context.port}",
                    "certificate-authority-data": base64.b64encode(context.authority.read_bytes()).decode(),
                },
            }
            for context in contexts
        ],
        "users": [{"name": context.name, "user": {"token": context.token}} for context in contexts],
        "contexts": [
            {"name": context.name, "context": {"cluster": context.name, "user": context.name}} for context in contexts
        ],
    }
    config = {"apiVersion": "v1", "kind": "Config", "current-context": contexts[0].name, **entries}
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path
