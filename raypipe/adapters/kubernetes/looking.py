"""Live clusters as they stand: each kind listed once, the kinds of a cluster in a few threads, clusters side by side.

Lists of different kinds are not of one moment. Nodes and claims come last: a pod may then want a place that it has got
meanwhile, which costs a node's worth of caution, but no pod stands on a node that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from raypipe.adapters.kubernetes.kinds import Kind, Resource, absent, not_seen, resources_of
from raypipe.adapters.kubernetes.listing import list_all
from raypipe.adapters.kubernetes.server import FORBIDDEN, NOT_FOUND, RefusedError, Server
from raypipe.errors import ClusterError
from raypipe.manifests.origins import Observed
from raypipe.model.plan import Note

READERS = 4
"""Lists of one cluster at a time: what is heavy for an API server is many at once."""

CLUSTERS = 8
"""Clusters that are looked at side by side."""


def look(contexts: Sequence[str], connect: Callable[[str], Server] = Server) -> Mapping[str, Observed]:
    """Look at clusters; one that cannot be seen has its `error`, and the others are seen."""
    servers: list[Server] = []
    with ThreadPoolExecutor(max_workers=min(CLUSTERS, max(1, len(contexts))), thread_name_prefix="look") as threads:
        try:
            return dict(zip(contexts, threads.map(partial(_seen, connect, servers), contexts), strict=True))
        except KeyboardInterrupt:
            threads.shutdown(wait=False, cancel_futures=True)
            for server in servers:
                server.close()
            raise


def _seen(connect: Callable[[str], Server], servers: list[Server], context: str) -> Observed:
    try:
        server = connect(context)
        servers.append(server)
    except ClusterError as error:
        return Observed(context=context, error=str(error))
    try:
        return _look(server)
    except ClusterError as error:
        return Observed(context=context, error=str(error))
    finally:
        server.close()


def _look(server: Server) -> Observed:
    """All that one server tells; ClusterError, with every kind that could not be listed, where that is not all."""
    resources, missing, notes = resources_of(server)
    answers: list[tuple[Resource, Answer]] = []
    with ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="list") as threads:
        for turn in (False, True):
            now = [one for one in resources if one.kind.last is turn]
            answers += zip(now, threads.map(partial(_listed, server), now), strict=True)
            if errors := [str(answer) for _, answer in answers if isinstance(answer, ClusterError)]:
                raise ClusterError("\n".join(dict.fromkeys(errors)))
    return Observed(
        context=server.context,
        objects=tuple(one for _, answer in answers if isinstance(answer, list) for one in answer),
        served=frozenset(resource.kind.name for resource, answer in answers if isinstance(answer, list)),
        notes=(
            *notes,
            *(answer for _, answer in answers if isinstance(answer, Note)),
            *absent(server.context, [*missing, *(answer for _, answer in answers if isinstance(answer, Kind))]),
        ),
    )


type Answer = list[dict[str, Any]] | Kind | Note | ClusterError
"""Objects; the kind, where there is no such kind; a note, where it may not be seen and need not be."""


def _listed(server: Server, resource: Resource) -> Answer:
    """The objects of a kind, or what stands in their place."""
    try:
        return list_all(server, resource).objects
    except RefusedError as error:
        kind = resource.kind
        if error.status == NOT_FOUND:
            return kind
        if error.status == FORBIDDEN and kind.counted:
            return not_seen(kind, error)
        return error
    except ClusterError as error:
        return error
