"""Live pods one by one, under the keys of plans: a plan counts them, who carries it out must know which they are.

Other than `waiting`, which tells people, this tells shapes of one key apart and knows what a plan leaves out. The order
is fixed, so that whoever deals pods to nodes twice deals them alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from raypipe.manifests.demand import Demand, why_left_out, workloads_of
from raypipe.manifests.eviction import Eviction
from raypipe.manifests.keys import Keys
from raypipe.manifests.live import LivePod, LivePods
from raypipe.manifests.objects import Objects, collect
from raypipe.manifests.origins import LiveSource, Observed
from raypipe.manifests.pods import pod_reader
from raypipe.settings import Settings


def objects_in(seen: Observed) -> Objects:
    """The objects of a live cluster as it was seen; what is wrong in them is told where they are planned."""
    return collect(LiveSource(seen.context, seen.objects).documents())


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Who is there and who is still to come.

    Attributes:
        pods: all live pods that plans place, bound ones too, in order of key, age, namespace and name.
        uncreated: how many pods of a key are wanted and do not exist yet.
    """

    pods: tuple[LivePod, ...]
    uncreated: Mapping[str, int]


def census(objects: Objects, settings: Settings) -> Census:
    """Count everybody by name."""
    reader, demand = pod_reader(objects), Demand()
    keys = Keys(objects, reader.selected)
    workloads_of(objects, reader, keys, settings, demand)
    eviction = Eviction(objects, move_local_storage=settings.move_local_storage)
    live = LivePods(objects, reader, keys, lambda pod, spec: why_left_out(pod, spec, settings), eviction, named=True)
    live.count_all(Counter())
    age = {one.uid: one.created or "" for one in objects.of("Pod")}
    pods = sorted(live.named, key=lambda pod: (pod.key, age[pod.uid], pod.namespace, pod.name))
    return Census(pods=tuple(pods), uncreated=live.uncreated)


def planned_pods(objects: Objects, settings: Settings) -> tuple[LivePod, ...]:
    """All live pods that plans place, as the census has them."""
    return census(objects, settings).pods


def pending_pods(objects: Objects, settings: Settings) -> tuple[LivePod, ...]:
    """Those of them that want a place, and that no node on its way has been bought for by name."""
    return tuple(pod for pod in planned_pods(objects, settings) if pod.node is None and not pod.awaited)
