"""Stores that are filled already, from which clusters start in half the time.

A new API server writes its roles and settings, and it takes seconds of CPU until the large definitions of KubeRay's
objects are established. What etcd then holds is kept in the cache, a folder for every set of programs and definitions,
and a cluster starts from a copy. Namespaces are left out, so that each cluster makes its own: the uid of kube-system is
what tells clusters apart.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAMESPACES = ("/registry/namespaces/", "/registry/namespaces0")
"""The range of their keys in etcd: from the first to before the second."""


def place(cache: Path, paths: Mapping[str, Path], crds: Sequence[Path]) -> Path:
    """Where the store of exactly these servers and definitions lies, or is to lie."""
    digest = hashlib.sha256()
    for server in ("etcd", "kube-apiserver"):
        found = paths[server].stat()
        digest.update(repr((str(paths[server]), found.st_size, found.st_mtime_ns)).encode())
    for path in crds:
        digest.update(path.read_bytes())
    return cache / f"store-{digest.hexdigest()[:16]}"


def keep(store: Path, target: Path) -> None:
    """Keep a store, of which no etcd runs any more, for all clusters to come. Another run may do the same."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-unfinished-") as folder:
        copy = Path(folder) / "etcd"
        shutil.copytree(store, copy, ignore=shutil.ignore_patterns("*.tmp"))  # etcd's room for what comes next
        with contextlib.suppress(OSError):  # it is there already
            copy.rename(target)


def forget_namespaces(etcd_url: str) -> None:
    """Take the namespaces out of a store whose API server has ended."""
    first, after = (base64.b64encode(key.encode()).decode() for key in _NAMESPACES)
    body = json.dumps({"key": first, "range_end": after}).encode()
    request = urllib.request.Request(f"{etcd_url}/v3/kv/deleterange", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert int(json.load(answer)["deleted"]) > 0
