"""Deployments, StatefulSets, Jobs and the like: how many pods of which template each wants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject
from raypipe.manifests.pods import PodReader
from raypipe.manifests.selectors import JOB_NAME
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
        own: specifications of wanted pods whose volumes are there already, by name of the pod.
    """

    key: str
    spec: PodSpec
    raw: Field
    wanted: int
    held: str | None = None
    own: Mapping[str, PodSpec] = field(default_factory=dict)


def templates(one: KubeObject, reader: PodReader) -> list[Template]:
    """What an object of a plain kind wants; RayCluster and its like are `kuberay`'s."""
    match one.kind:
        case "Deployment" | "ReplicaSet":
            return [_single(one, _replicas(one), reader)]
        case "StatefulSet":
            return [_stateful(one, reader)]
        case "Job":
            return [_job(one, reader)]
        case "LeaderWorkerSet":
            return _leader_workers(one, reader)
    return []


def _replicas(one: KubeObject) -> int:
    return one.spec.get("replicas").integer(1, high=MOST_REPLICAS)


def _single(one: KubeObject, wanted: int, reader: PodReader) -> Template:
    raw = one.spec.get("template")
    return Template(key=one.key, spec=reader.spec(raw, one.namespace), raw=raw, wanted=wanted)


def claim_templates(one: KubeObject) -> Field | None:
    """The claims that a StatefulSet makes for each of its pods, or None where it makes none."""
    if one.kind != "StatefulSet" or not one.root.plain("spec", "volumeClaimTemplates"):
        return None
    found = one.spec.get("volumeClaimTemplates")
    return found if found.items() else None


def _stateful(one: KubeObject, reader: PodReader) -> Template:
    """A StatefulSet; a pod whose claims are there already, from a time before, goes to where their volumes are."""
    wanted, raw, claims = _replicas(one), one.spec.get("template"), claim_templates(one)
    first = one.spec.get("ordinals", "start").integer(0)
    numbers = reader.volumes.ordinals(one.namespace, one.name, claims) if claims is not None else []
    names = [f"{one.name}-{number}" for number in numbers if first <= number < first + wanted]
    own = {name: reader.spec(raw, one.namespace, claims=claims, pod=name) for name in names}
    spec = reader.spec(raw, one.namespace, claims=claims)
    return Template(key=one.key, spec=spec, raw=raw, wanted=wanted, own=own)


def is_finished_job(one: KubeObject) -> bool:
    """Whether a Job has ended."""
    return one.kind == "Job" and (one.condition("Complete") or one.condition("Failed"))


def _job(one: KubeObject, reader: PodReader) -> Template:
    raw = one.spec.get("template")
    spec = reader.spec(raw, one.namespace, labels=dict.fromkeys(JOB_NAME, one.name))
    if is_finished_job(one):
        return Template(key=one.key, spec=spec, raw=raw, wanted=0)
    held = "suspended" if one.spec.get("suspend").boolean() else None
    return Template(key=one.key, spec=spec, raw=raw, wanted=job_pods(one.spec, one.status.get("succeeded")), held=held)


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
    labels = {"leaderworkerset.sigs.k8s.io/name": one.name}
    spec = reader.spec(leader, one.namespace, labels={**labels, "leaderworkerset.sigs.k8s.io/worker-index": "0"})
    result = [Template(key=f"{one.key}/leader", spec=spec, raw=leader, wanted=replicas)]
    if size > 1:
        spec = reader.spec(worker, one.namespace, labels=labels)
        result.append(Template(key=f"{one.key}/worker", spec=spec, raw=worker, wanted=replicas * (size - 1)))
    return result


def leader_worker_size(one: KubeObject) -> tuple[int, int]:
    """Groups of a LeaderWorkerSet, and pods in each."""
    replicas = one.spec.get("replicas").integer(1, high=MOST_GROUPS)
    return replicas, one.spec.get("leaderWorkerTemplate", "size").integer(1, low=1, high=MOST_GROUP_SIZE)
