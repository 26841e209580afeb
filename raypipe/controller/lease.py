"""One loop at a time acts on a cluster: who holds its Lease, as Kubernetes' own programs do it.

A holder renews; whoever finds the Lease unchanged for its whole duration, by a clock of his own, takes it. So clocks
that differ do not matter, and a loop that was killed is followed after `duration_s`. `held` turns false at two thirds
of that time after the last renewal was *begun*: the holder stops before another may start. `term` counts how often it
was got: what was seen before a term began may lack what the holder before did last.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from raypipe.adapters.kubernetes.server import CONFLICT, NOT_FOUND, RefusedError, Sender
from raypipe.controller.telling import micro_time
from raypipe.errors import ClusterError

NAME, NAMESPACE = "raypipe", "default"
PATH = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
HELD_FRACTION = 2 / 3
RENEWALS = 5
"""Renewals a duration."""


def identity() -> str:
    """Who this process is, in words that differ from every other's."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Lease:
    """The Lease of one cluster, from `start` to `stop`; `changed` is called when it is got or lost."""

    def __init__(
        self,
        server: Sender,
        holder: str,
        duration_s: float,
        changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._holder, self._duration_s = server, holder, duration_s
        self._changed, self._clock = changed, clock
        self._until = -1.0
        self._other: tuple[object, object] = (None, None)
        self._other_since = clock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.term = 0
        self.why_not = "not asked for yet"

    def held(self) -> bool:
        """Whether this loop may act now."""
        return self._clock() < self._until

    def start(self) -> None:
        """Ask for it, at once and then again and again."""
        self.ask()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give it back, so that another loop need not wait."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=self._duration_s)
        if self.held():
            self._until = -1.0
            try:
                found = self._server.get(f"{PATH}/{NAME}")
                if found["spec"].get("holderIdentity") == self._holder:
                    self._write(found, "")
            except ClusterError:
                return  # it runs out by itself

    def ask(self) -> None:
        """Get it, or renew it, where nobody else holds it."""
        was_held, begun = self.held(), self._clock()
        try:
            got = self._ask()
        except ClusterError as error:
            self.why_not = str(error)
            got = False
        if got:
            if not was_held:
                self.term += 1
            self._until = begun + HELD_FRACTION * self._duration_s
        if got is not was_held:
            self._changed()

    def _renew(self) -> None:
        while not self._stopping.wait(self._duration_s / RENEWALS):
            self.ask()

    def _ask(self) -> bool:
        try:
            found = self._server.get(f"{PATH}/{NAME}")
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
            return self._write(None, self._holder)
        spec = found.get("spec") or {}
        other = spec.get("holderIdentity")
        if other and other != self._holder:
            self._until = -1.0  # whoever has it, it is not this loop
            if not self._has_run_out(spec):
                self.why_not = f"the Lease {NAMESPACE}/{NAME} is held by {other}"
                return False
        return self._write(found, self._holder)

    def _has_run_out(self, spec: Mapping[str, Any]) -> bool:
        """Whether the other holder's Lease has been as it is for its whole duration."""
        seen = (spec.get("holderIdentity"), spec.get("renewTime"))
        if seen != self._other:
            self._other, self._other_since = seen, self._clock()
        lasts_s = max(float(spec.get("leaseDurationSeconds") or 0), self._duration_s)
        return self._clock() - self._other_since >= lasts_s

    def _write(self, found: Mapping[str, Any] | None, holder: str) -> bool:
        """Write the Lease as it was found, or make it; False where another was quicker."""
        now = micro_time(datetime.now(UTC))
        before: Mapping[str, Any] = (found or {}).get("spec") or {}
        is_new = before.get("holderIdentity") != holder
        spec = {
            **before,
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._duration_s)),
            "renewTime": now,
            "acquireTime": now if is_new else before.get("acquireTime", now),
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (1 if is_new and found else 0),
        }
        metadata = {"name": NAME, "namespace": NAMESPACE} if found is None else found["metadata"]
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            if found is None:
                self._server.send("POST", PATH, body, again=False)
            else:
                self._server.send("PUT", f"{PATH}/{NAME}", body, again=False)
        except RefusedError as error:
            if error.status == CONFLICT:
                self.why_not = "another loop was quicker"
                return False
            raise
        return True
