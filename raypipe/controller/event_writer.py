"""Kubernetes Events as the API server keeps them (``events.k8s.io/v1``): one for what is new, a series for repeats.

An Event cannot be changed but for its series, so the same words about the same object are one Event, whose name is made
from them: a loop that starts anew goes on with the series of the one before. Two rules keep a busy cluster quiet. A
series is written at most every `SERIES_S`, however often the same is said; and of one object and one reason there is at
most one new Event every `SPACING_S`, whatever its words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from raypipe.adapters.kubernetes.server import CONFLICT, NOT_FOUND, RefusedError, Sender
from raypipe.adapters.kubernetes.writing import MERGE
from raypipe.controller.telling import micro_time
from raypipe.errors import ClusterError

REPORTER = "raypipe"
SERIES_S = 60
SPACING_S = 10
KEPT_S = 3_600
"""How long the API server keeps an Event unless it is told otherwise, and so how long one is worth remembering."""
LONGEST_NOTE = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The object that an Event is about, as the API server knows it."""

    api_version: str
    kind: str
    name: str
    namespace: str | None
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of an object. `reason`: one word; `action`: what raypipe was about; `note`: for people."""

    subject: Subject
    reason: str
    action: str
    note: str
    type: Literal["Normal", "Warning"] = "Normal"

    @property
    def name(self) -> str:
        """The Event's name: that of the object, and 16 digits of what is said of it."""
        words = "\n".join((self.subject.uid, self.reason, self.action, self.type, self.note))
        return f"{self.subject.name[:230]}.{hashlib.sha256(words.encode()).hexdigest()[:16]}"

    @property
    def path(self) -> str:
        """Where Events like it are kept; those about objects without a namespace are in `default`."""
        return f"/apis/events.k8s.io/v1/namespaces/{self.subject.namespace or 'default'}/events"


@dataclass(slots=True)
class _Series:
    """An Event that exists: how often that was said, and when that was written last."""

    count: int
    written: datetime


class EventWriter:
    """Writes Events of one cluster; whatever goes wrong is complained of, once for each way in which it does.

    instance: which of several loops it is, in words that differ between them.
    """

    def __init__(self, sender: Sender, instance: str, complain: Callable[[str], None]) -> None:
        self._sender = sender
        self._instance = instance[:128]
        self._complain = complain
        self._series: dict[str, _Series] = {}
        self._spoken: dict[tuple[str, str], datetime] = {}
        self._complaints: set[str] = set()

    def say(self, said: Said, at: datetime) -> None:
        """Write it, or count it into its series."""
        self._forget_old(at)
        try:
            known = self._series.get(said.name)
            if known is None:
                self._say_anew(said, at)
                return
            known.count += 1
            if at - known.written >= timedelta(seconds=SERIES_S):
                self._write_series(said, known, at)
        except ClusterError as error:
            self._complain_once(error)

    def _say_anew(self, said: Said, at: datetime) -> None:
        topic = (said.subject.uid, said.reason)
        last = self._spoken.get(topic)
        if last is not None and at - last < timedelta(seconds=SPACING_S):
            return
        self._spoken[topic] = at
        try:
            self._sender.send("POST", said.path, self._event(said, at))
        except RefusedError as error:
            if error.status != CONFLICT:
                raise
            event = self._sender.get(f"{said.path}/{said.name}")
            known = _Series(int((event.get("series") or {}).get("count") or 1) + 1, at)
            self._write_series(said, known, at)
        else:
            known = _Series(1, at)
        self._series[said.name] = known

    def _write_series(self, said: Said, known: _Series, at: datetime) -> None:
        """Say how often it was said; an Event that has expired meanwhile is made anew."""
        known.written = at
        series = {"series": {"count": known.count, "lastObservedTime": micro_time(at)}}
        try:
            self._sender.send("PATCH", f"{said.path}/{said.name}", series, content_type=MERGE)
        except RefusedError as error:
            if error.status != NOT_FOUND:
                raise
            self._sender.send("POST", said.path, self._event(said, at))
            known.count = 1

    def _event(self, said: Said, at: datetime) -> dict[str, Any]:
        subject = said.subject
        regarding = {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "name": subject.name,
            "uid": subject.uid,
        } | ({"namespace": subject.namespace} if subject.namespace else {})
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": said.name, "namespace": subject.namespace or "default"},
            "eventTime": micro_time(at),
            "reportingController": REPORTER,
            "reportingInstance": self._instance,
            "action": said.action,
            "reason": said.reason,
            "regarding": regarding,
            "note": said.note.encode()[:LONGEST_NOTE].decode(errors="ignore"),
            "type": said.type,
        }

    def _complain_once(self, error: ClusterError) -> None:
        words = f"an Event was not written: {error}"
        if words not in self._complaints:
            self._complaints.add(words)
            self._complain(words)

    def _forget_old(self, at: datetime) -> None:
        """Forget Events that have expired, when there are many."""
        if len(self._series) + len(self._spoken) < 10_000:
            return
        old = at - timedelta(seconds=KEPT_S)
        self._series = {name: one for name, one in self._series.items() if one.written > old}
        self._spoken = {topic: last for topic, last in self._spoken.items() if last > old}
        self._complaints.clear()
