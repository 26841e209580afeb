"""Deployments, StatefulSets, Jobs and the like: how many pods of which template each wants."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject
from raypipe.manifests.pods import PodReader
from raypipe.model.pods import PodSpec

MOST_REPLICAS = 10_000_000
MOST_GROUPS = 100_000
MOST_GROUP_SIZE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Pods of one key that an object wants.

    Attributes:
        wanted: how many in all, live ones included. held: why they are not wanted now though they would be (an
            `Excluded` reason), or None; `wanted` is then the count that would be wanted. raw: the template as written.
    """

    key: str
    spec: PodSpec
    raw: Field
    wanted: int
    held: str | None = None


def templates(one: KubeObject, reader: PodReader) -> list[Template]:
    """What an object of a plain kind wants; RayCluster and its like are `kuberay`'s."""
    match one.kind:
        case "Deployment" | "ReplicaSet":
            return [_single(one, _replicas(one), reader)]
        case "StatefulSet":
            claims = bool(one.spec.get("volumeClaimTemplates").items())
            return [_single(one, _replicas(one), reader, claims=claims)]
        case "Job":
            return [_job(one, reader)]
        case "LeaderWorkerSet":
            return _leader_workers(one, reader)
    return []


def _replicas(one: KubeObject) -> int:
    return one.spec.get("replicas").integer(1, high=MOST_REPLICAS)


def _single(
    one: KubeObject, wanted: int, reader: PodReader, *, held: str | None = None, claims: bool = False
) -> Template:
    raw = one.spec.get("template")
    spec = reader.spec(raw, one.namespace, claims=claims)
    return Template(key=one.key, spec=spec, raw=raw, wanted=wanted, held=held)


def is_finished_job(one: KubeObject) -> bool:
    """Whether a Job has ended."""
    return one.kind == "Job" and (one.condition("Complete") or one.condition("Failed"))


def _job(one: KubeObject, reader: PodReader) -> Template:
    if is_finished_job(one):
        return _single(one, 0, reader)
    held = "suspended" if one.spec.get("suspend").boolean() else None
    return _single(one, job_pods(one.spec, one.status.get("succeeded")), reader, held=held)


def job_pods(spec: Field, succeeded: Field | None = None) -> int:
    """min(parallelism, completions - succeeded); each 1 if unset, completions = parallelism where only that is set."""
    parallelism = spec.get("parallelism").integer(1, high=MOST_REPLICAS)
    completions = spec.get("completions").integer(parallelism, high=MOST_REPLICAS)
    done = succeeded.integer(0, high=MOST_REPLICAS) if succeeded is not None else 0
    return max(0, min(parallelism, completions - done))


def _leader_workers(one: KubeObject, reader: PodReader) -> list[Template]:
    replicas, size = leader_worker_size(one)
    both = one.spec.get("leaderWorkerTemplate")
    worker = both.get("workerTemplate")
    leader = both.get("leaderTemplate")
    leader = leader if leader.value is not None else worker
    spec = reader.spec(leader, one.namespace)
    result = [Template(key=f"{one.key}/leader", spec=spec, raw=leader, wanted=replicas)]
    if size > 1:
        spec = reader.spec(worker, one.namespace)
        result.append(Template(key=f"{one.key}/worker", spec=spec, raw=worker, wanted=replicas * (size - 1)))
    return result


def leader_worker_size(one: KubeObject) -> tuple[int, int]:
    """Groups of a LeaderWorkerSet, and pods in each."""
    replicas = one.spec.get("replicas").integer(1, high=MOST_GROUPS)
    return replicas, one.spec.get("leaderWorkerTemplate", "size").integer(1, low=1, high=MOST_GROUP_SIZE)
