"""RayCluster, RayJob and RayService: pods, gangs and whether they may be suspended (KubeRay v1 API).

A RayJob is its cluster and a submitter pod; a RayService its cluster. With in-tree autoscaling the head has a side-car,
and the gang is the head with `minReplicas` of each group; without it, with all wanted workers: KubeRay's own rule for
gang schedulers. Every worker gets an init container from the operator.
"""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.manifests.controllers import Template
from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject
from raypipe.manifests.pods import RAY_WORKER_INIT, PodReader, container_request, effective_request
from raypipe.model.resources import CPU, MEMORY, PODS
from raypipe.model.workloads import RayObject

AUTOSCALER = {CPU: 500, MEMORY: 512 * 2**20}
SUBMITTER = {CPU: 500, MEMORY: 200 * 2**20}
ADMIT = "raypipe.io/admit"
SUSPENDED_BY = "raypipe.io/suspended-by"
KINDS = ("RayCluster", "RayJob", "RayService")
SUBMISSION_MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
_FINISHED = ("Complete", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayWorkload:
    """What one Ray object wants: `templates`, the `gang` (pods of each key that start together), notes on oddities."""

    templates: tuple[Template, ...]
    gang: dict[str, int]
    oddities: tuple[str, ...] = ()


def finished(one: KubeObject) -> bool:
    """Whether a RayJob has ended."""
    return one.kind == "RayJob" and one.status.get("jobDeploymentStatus").value in _FINISHED


def ray_workload(one: KubeObject, reader: PodReader, held: str | None) -> RayWorkload:
    """Read a Ray object; `held` marks its pods as not wanted now (suspended)."""
    spec = _cluster_spec(one)
    mode = one.spec.get("submissionMode").choice(SUBMISSION_MODES, "K8sJobMode") if one.kind == "RayJob" else ""
    selected = one.kind == "RayJob" and bool(one.spec.get("clusterSelector").mapping())
    templates: list[Template] = []
    gang: dict[str, int] = {}
    oddities: list[str] = []
    if not selected:
        _cluster(one, spec, mode, reader, held, templates, gang, oddities)
    if one.kind == "RayJob" and mode == "K8sJobMode":
        submitter = one.spec.get("submitterPodTemplate")
        key = f"{one.key}/submitter"
        pod = reader.spec(submitter, one.namespace, default=SUBMITTER)
        templates.append(Template(key=key, spec=pod, wanted=1, held=held))
        gang[key] = 1
    return RayWorkload(templates=tuple(templates), gang=gang, oddities=tuple(oddities))


def _cluster_spec(one: KubeObject) -> Field:
    return {"RayJob": one.spec.get("rayClusterSpec"), "RayService": one.spec.get("rayClusterConfig")}.get(
        one.kind, one.spec
    )


def _cluster(
    one: KubeObject,
    spec: Field,
    mode: str,
    reader: PodReader,
    held: str | None,
    templates: list[Template],
    gang: dict[str, int],
    oddities: list[str],
) -> None:
    autoscaling = spec.get("enableInTreeAutoscaling").boolean()
    head = f"{one.key}/head"
    extra = _beside_head(one, spec, mode, autoscaling)
    pod = reader.spec(spec.get("headGroupSpec", "template"), one.namespace, extra=extra)
    templates.append(Template(key=head, spec=pod, wanted=1, held=held))
    gang[head] = 1
    for group in spec.get("workerGroupSpecs").items():
        name = group.get("groupName").text()
        if not name:
            group.get("groupName").problem("nothing", "the name of a worker group")
            continue
        key = f"{one.key}/worker/{name}"
        hosts = group.get("numOfHosts").integer(1, low=1, high=100_000)
        least, wanted = _replicas(group)
        suspended = group.get("suspend").boolean()
        if suspended and autoscaling:
            oddities.append(f"{key}: a suspended group together with in-tree autoscaling, which KubeRay refuses")
        pod = reader.spec(group.get("template"), one.namespace, init=RAY_WORKER_INIT)
        reason = held or ("suspended" if suspended else None)
        templates.append(Template(key=key, spec=pod, wanted=wanted * hosts, held=reason))
        members = (least if autoscaling else wanted) * hosts
        if not suspended and members:
            gang[key] = members


def _replicas(group: Field) -> tuple[int, int]:
    """minReplicas, and replicas (or minReplicas) between the bounds."""
    low = group.get("minReplicas").integer(0, high=1_000_000)
    high = group.get("maxReplicas").integer(2**31 - 1)
    wanted = group.get("replicas").integer(low, high=1_000_000)
    if high < low:
        group.get("maxReplicas").problem(str(high), f"at least minReplicas, {low}")
        high = low
    return low, max(low, min(high, wanted))


def _beside_head(one: KubeObject, spec: Field, mode: str, autoscaling: bool) -> dict[str, int] | None:
    """Requests of what runs beside the head: the autoscaler, and a RayJob's submitter in SidecarMode."""
    parts: list[dict[str, int]] = []
    if autoscaling:
        stated = container_request(spec.get("autoscalerOptions"))
        parts.append({**AUTOSCALER, **stated})
    if mode == "SidecarMode":
        stated = effective_request(one.spec.get("submitterPodTemplate", "spec"), {}, {}, SUBMITTER)
        parts.append({name: amount for name, amount in stated.items() if name != PODS})
    if not parts:
        return None
    return {name: sum(part.get(name, 0) for part in parts) for name in {key for part in parts for key in part}}


def ray_object(one: KubeObject, *, running: bool) -> RayObject:
    """What raypipe may do with the object itself."""
    why_not = ""
    if one.kind == "RayService":
        why_not = "a RayService has no suspend"
    elif one.kind == "RayJob":
        if not one.spec.get("shutdownAfterJobFinishes").boolean():
            why_not = "a RayJob can be suspended only with shutdownAfterJobFinishes"
        if one.spec.get("clusterSelector").mapping():
            why_not = "a RayJob with a clusterSelector cannot be suspended"
    if running and not why_not:
        why_not = "some of its pods run"
    return RayObject(
        kind=one.kind,
        namespace=one.namespace,
        name=one.name,
        uid=one.uid,
        suspended=one.kind != "RayService" and one.spec.get("suspend").boolean(),
        suspended_by=one.annotation(SUSPENDED_BY),
        admit=one.annotation(ADMIT) == "true",
        suspendable=not why_not,
        why_not=why_not,
        running=running,
    )
