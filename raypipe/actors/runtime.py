"""Ray itself: started on this machine or joined, and left as it was found.

Without an address Ray starts here, for this process alone: no dashboard, no usage report, nothing of its own on stdout
or stderr, and all its processes end with it (the environment's RAY_ADDRESS is an address). With an address it is
joined, and goes on without us. Where this process uses Ray already, that is what is used.

Authentication is Ray's: a Ray that starts here asks for a token, which it makes (in ~/.ray) where there is none, so
that nobody else on the machine or its network can give it work; an existing cluster is joined with RAY_AUTH_MODE=token
and the token in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from typing import Any

from raypipe.errors import ClusterError

OBJECT_STORE_BYTES = 128 * 2**20
"""Of a Ray that starts here: catalogues and what travels just now are all that is in it."""

REACHED_WITHIN_S = 5.0
"""Ray itself tries for two minutes to join a cluster that is not there, and then ends the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A running Ray. started: by us, so it ends with us. shared: it was named, and others use it, too."""

    started: bool
    shared: bool

    def stop(self) -> None:
        """End or leave Ray where it was us who started or joined it."""
        import ray

        if self.started:
            ray.shutdown()


def connect(address: str | None, cpus: int | None) -> Runtime:
    """Join the Ray at `address`, or start one with so many CPUs (None: all). ClusterError where that cannot be."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # before Ray is imported, which reads it
    import ray

    if ray.is_initialized():
        return Runtime(started=False, shared=address is not None)
    where = _where(address)
    if where != "local":
        _reachable(where)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    own: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(address=where, **quiet, **(own if where == "local" else {}))
    except (SystemExit, Exception) as error:  # Ray raises what it likes, and even leaves
        ray.shutdown()
        raise ClusterError(f"Ray at {where}: {_words(error)}") from error
    return Runtime(started=True, shared=address is not None)


def starts_here(address: str | None) -> bool:
    """Whether `connect` would start a Ray, and not join one."""
    import ray

    return not ray.is_initialized() and _where(address) == "local"


def _where(address: str | None) -> str:
    return address or os.environ.get("RAY_ADDRESS") or "local"


def _reachable(where: str) -> None:
    """Refuse an address that nobody answers at."""
    host, colon, port = where.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto", or something that Ray refuses
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"Ray at {where}: nobody answers ({_words(error)})") from None


def _words(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "it was not to be joined"
    told = error.strerror if isinstance(error, OSError) and error.strerror else str(error).strip()
    return told.splitlines()[0][:300] if told else type(error).__name__
