"""Kubeconfig contexts: which there are, and how the API server of one is reached.

Files are those that kubectl would read: $KUBECONFIG (several, merged), else ``~/.kube/config``. The context
``in-cluster`` is the cluster that raypipe itself runs in, by its service account, unless a file has one so called.
Nothing is ever written to these files.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes.client import Configuration
from kubernetes.config import ConfigException, load_incluster_config
from kubernetes.config.kube_config import ConfigNode, KubeConfigLoader, KubeConfigMerger
from urllib3.exceptions import InsecureRequestWarning

from raypipe.errors import ClusterError, Problem, nearest

IN_CLUSTER = "in-cluster"
DEFAULT_FILE = "~/.kube/config"


def configuration_of(context: str) -> Configuration:
    """How to reach a context's API server, credentials included; ClusterError where it cannot be told."""
    files = os.environ.get("KUBECONFIG") or DEFAULT_FILE
    merged = _merged(files)
    known = _names(merged)
    made = Configuration()
    try:
        if context == IN_CLUSTER and context not in known:
            load_incluster_config(client_configuration=made)
        elif context in known:
            with Complaints() as told:
                KubeConfigLoader(merged, context, config_base_path=None).load_and_set(made)
            if told:
                raise ClusterError(f"{context}: no credentials from its plugin: {'; '.join(told)[:300]}")
        else:
            raise ClusterError(str(_unknown(context, files, known)))
    except (ConfigException, OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise ClusterError(f"{context}: {_shown(files)} does not say how to reach it: {words[:300]}") from None
    if not made.verify_ssl:  # as the kubeconfig has it: whoever wrote that need not be told at every request
        urllib3.disable_warnings(InsecureRequestWarning)
    made.retries = False  # the server's own module says when to ask again
    made.connection_pool_maxsize = MOST_CONNECTIONS
    return made


MOST_CONNECTIONS = 40
"""Connections kept to one server: a watch a kind, and a few lists beside them."""


def _merged(files: str) -> ConfigNode | None:
    """What the files say together, None where there are none; ClusterError for a file that is no kubeconfig."""
    paths = [Path(file).expanduser() for file in files.split(os.pathsep) if file]
    try:
        return _read(files, tuple(path.stat().st_mtime_ns if path.exists() else None for path in paths))
    except (ConfigException, OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ClusterError(f"{_shown(files)}: no kubeconfig: {' '.join(str(error).split())[:300]}") from None


@lru_cache(maxsize=1)
def _read(files: str, written: tuple[int | None, ...]) -> ConfigNode | None:
    """The files merged; read once as long as they are as they were `written`: for 100 contexts that is 0.2 s each."""
    del written
    merged: ConfigNode | None = KubeConfigMerger(files).config
    return merged


def _names(merged: ConfigNode | None) -> Sequence[str]:
    """The names of all contexts."""
    entries = merged.value.get("contexts") if merged is not None else None
    return [name for entry in entries or () if (name := _name(entry)) is not None]


def _name(entry: Any) -> str | None:
    value = getattr(entry, "value", entry)
    name = value.get("name") if isinstance(value, Mapping) else None
    return name if isinstance(name, str) else None


def _unknown(context: str, files: str, known: Sequence[str]) -> Problem:
    listed = ", ".join(sorted(known)[:10]) + (", …" if len(known) > 10 else "")
    there = any(Path(file).expanduser().exists() for file in files.split(os.pathsep) if file)
    expected = f"one of its contexts: {listed}" if known else "a kubeconfig with contexts"
    found = f"no context {context!r}" if there else "no such file"
    return Problem(file=_shown(files), found=found, expected=expected, suggestion=nearest(context, known))


def _shown(files: str) -> str:
    return files.replace(os.pathsep, ", ")


class Complaints(logging.Handler):
    """What the client logs in this thread while it asks a credential plugin: it goes on without credentials."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._thread = threading.get_ident()
        self._told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._told.append(" ".join(record.getMessage().split()))

    def __enter__(self) -> list[str]:
        logging.getLogger().addHandler(self)
        return self._told

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
