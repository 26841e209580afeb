"""What one run of raypipe hands on to the next, in a folder: a file a cluster with the pattern pool of its last plan.

Lost state costs time and never a plan: a file that is missing or cannot be read is a note and a cold start, and all of
it may be deleted at any time. A file is replaced whole, so that an interrupted run leaves the old one. Its name is the
cluster's, with what no file name may hold written as in a URL.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from raypipe.errors import OutputError
from raypipe.model.plan import Note
from raypipe.model.pool import Pool
from raypipe.model.snapshot import FleetSnapshot


def pool_path(folder: Path, cluster: str) -> Path:
    """The file with the pool of a cluster.

    >>> pool_path(Path("state"), "arn:aws:eks:x/y").as_posix()
    'state/arn%3Aaws%3Aeks%3Ax%2Fy.pool.json'
    """
    return folder / f"{quote(cluster, safe='')}.pool.json"


def warmed(fleet: FleetSnapshot, pools: Mapping[str, Pool]) -> FleetSnapshot:
    """The fleet with these pools, by the cluster's name; a cluster that brings a pool of its own keeps that."""
    clusters = tuple(
        cluster if cluster.pool is not None else dataclasses.replace(cluster, pool=pools.get(cluster.name))
        for cluster in fleet.clusters
    )
    return dataclasses.replace(fleet, clusters=clusters)


def read_state(folder: Path, fleet: FleetSnapshot) -> FleetSnapshot:
    """The fleet with the pools that the folder holds, and a note for each cluster without one."""
    pools: dict[str, Pool] = {}
    notes: list[Note] = []
    for cluster in fleet.clusters:
        if cluster.pool is not None or cluster.error is not None:
            continue
        path = pool_path(folder, cluster.name)
        try:
            pools[cluster.name] = Pool.from_json(path.read_bytes())
        except FileNotFoundError:
            notes.append(_note(cluster.name, f"{path}: nothing handed on yet"))
        except OSError as error:
            notes.append(_note(cluster.name, f"{path}: {error.strerror or 'cannot be read'}"))
        except (ValueError, RecursionError) as error:
            notes.append(_note(cluster.name, f"{path}: no pattern pool ({error!s:.100})"))
    return dataclasses.replace(warmed(fleet, pools), notes=(*fleet.notes, *notes))


def _note(cluster: str, why: str) -> Note:
    return Note(kind="cold-start", subject=cluster, message=f"{why}: planned from nothing, which takes longer")


def write_state(folder: Path, pools: Mapping[str, Pool]) -> None:
    """Save the pools of a plan for the next run; OutputError where that cannot be done."""
    for cluster, pool in pools.items():
        replace_file(pool_path(folder, cluster), pool.to_json().encode())


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file whole, so that whoever is interrupted leaves the old one; OutputError where that is impossible."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or 'cannot be written'}") from None
