"""Ray itself: started on this machine or joined, and left as it was found.

Without an address Ray starts here, for this process alone: no dashboard, no usage report, nothing of its own on stdout
or stderr, and all its processes end with it (the environment's RAY_ADDRESS is an address). With an address it is
joined, and goes on without us. Where this process uses Ray already, that is what is used.

Authentication is Ray's: a Ray that starts here asks for a token, which it makes (in ~/.ray) where there is none, so
that nobody else on the machine or its network can give it work; an existing cluster is joined with RAY_AUTH_MODE=token
and the token in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raypipe.errors import ClusterError

OBJECT_STORE_BYTES = 128 * 2**20
"""Of a Ray that starts here: catalogues and what travels just now are all that is in it."""

REACHED_WITHIN_S = 5.0
"""Ray itself tries for two minutes to join a cluster that is not there, and then ends the process."""

PATIENCE_S = {
    "RAY_gcs_server_port_wait_time_s": 4,
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": 2,
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": 4,
}
"""What Ray reads how long to try from to be let in; by itself 20 s and 30 s, with the same token each time."""

CLIENT_REFUSED = "ray client connection timeout"
"""What Ray's client says where it was refused: somebody answers at that address, or we would not have come so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A running Ray.

    Attributes:
        started: by us, so it ends with us. shared: it was named, and others use it, too.
        near: this machine is one of its own, so that what it reads here its actors can.
    """

    started: bool
    shared: bool
    near: bool = True

    def stop(self) -> None:
        """End or leave Ray where it was us who started or joined it."""
        import ray

        if self.started:
            ray.shutdown()


def connect(address: str | None, cpus: int | None) -> Runtime:
    """Join the Ray at `address`, or start one with so many CPUs (None: all). ClusterError where that cannot be."""
    import ray

    if ray.is_initialized():
        return Runtime(started=False, shared=address is not None)
    where = _where(address)
    if where != "local":
        _reachable(where)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    own: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        with _impatient() if where != "local" else contextlib.nullcontext():
            ray.init(address=where, **quiet, **(own if where == "local" else {}))
    except (SystemExit, Exception) as error:  # Ray raises what it likes, and even leaves
        ray.shutdown()
        raise ClusterError(f"Ray at {where}: {_words(error)}") from error
    return Runtime(started=True, shared=address is not None, near=not where.startswith("ray://"))


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


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """Let Ray give up joining sooner, unless the operator says how long it shall try; and in fewer words."""
    ours = {name: f"{seconds}" for name, seconds in PATIENCE_S.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for name in ours:
            del os.environ[name]


def _refuses_us(error: BaseException) -> bool:
    """Whether it is for our token that Ray could not be joined, which it says nowhere but in its log."""
    from ray import _raylet
    from ray.exceptions import AuthenticationError

    if isinstance(error, AuthenticationError) or CLIENT_REFUSED in str(error):
        return True
    tried = re.search(r"Failed to connect to Ray cluster at (\S+:\d+)", str(error))
    if tried is None:
        return False
    try:
        _raylet.GcsClient(address=tried[1])  # type: ignore[attr-defined] # compiled: it has no stubs
    except AuthenticationError:
        return True
    except Exception:  # noqa: BLE001 - whatever it is, it is no answer to the question
        return False
    return False


def _words(error: BaseException) -> str:
    """What Ray says, on one line."""
    if isinstance(error, SystemExit):
        return "it was not to be joined"
    if _refuses_us(error):
        mode = os.environ.get("RAY_AUTH_MODE")
        found = f"RAY_AUTH_MODE={mode}" if mode else "no RAY_AUTH_MODE"
        expected = "RAY_AUTH_MODE=token and its token in RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"
        return f"it asks for a token and got none or another: found {found}, expected {expected}"
    told = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    return told[:300] if told else type(error).__name__
