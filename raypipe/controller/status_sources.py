"""Where a status comes from: the state of a loop, and the clusters themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime

from raypipe import api
from raypipe.controller.durable import STATUS, Folder
from raypipe.controller.start import config_map, folder_of
from raypipe.controller.status import looked_at
from raypipe.errors import InputError, Problem
from raypipe.model.snapshot import FleetSnapshot
from raypipe.model.status import Status


def status_of(state: str | None, contexts: Sequence[str]) -> Status:
    """What the loop with this state has said last, and how the clusters of these contexts are now.

    Raises InputError where the state holds no status, or no cluster can be seen; ClusterError where its ConfigMap
    cannot be read.
    """
    said = Status() if state is None else _read(state, contexts)
    if not contexts:
        return said
    return looked_at(said, _as_called(api.read(context=contexts), said), datetime.now(UTC))


def _as_called(fleet: FleetSnapshot, said: Status) -> FleetSnapshot:
    """The clusters as the loop calls them: its fleet file may have names for contexts."""
    names = {one.context: one.name for one in said.clusters}
    clusters = tuple(dataclasses.replace(one, name=names.get(one.context, one.name)) for one in fleet.clusters)
    return dataclasses.replace(fleet, clusters=clusters)


def _read(state: str, contexts: Sequence[str]) -> Status:
    text = _text(state, contexts)
    try:
        if text is not None:
            return Status.from_json(text)
        found = "no such file"
    except (ValueError, RecursionError) as error:
        found = str(error)
    expected = "the status that a loop writes"
    raise InputError(Problem(file=f"{state}/{STATUS}", field="--state", found=found, expected=expected))


def _text(state: str, contexts: Sequence[str]) -> bytes | None:
    folder = folder_of(state)
    if folder is not None:
        return Folder(folder).read(STATUS)
    durable, server = config_map(state, contexts)
    try:
        return durable.read(STATUS)
    finally:
        server.close()
