"""RayCluster, RayJob and RayService: pods, gangs and whether they may be suspended (KubeRay v1 API).

A RayJob is its cluster and a submitter pod; a RayService its cluster. With in-tree autoscaling the head has a side-car,
and the gang is the head with `minReplicas` of each group; without it, with all wanted workers: KubeRay's own rule for
gang schedulers. Every worker gets an init container from the operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from raypipe.manifests.alternatives import Mark, mark_of
from raypipe.manifests.annotations import refuse_misspelt
from raypipe.manifests.controllers import Template
from raypipe.manifests.fields import Field
from raypipe.manifests.objects import KubeObject, Objects
from raypipe.manifests.pods import RAY_WORKER_INIT, PodReader, container_request, effective_request
from raypipe.manifests.ray_autoscaling import idle_timeout_s, is_second_version, knows_priorities, serves
from raypipe.manifests.wishes import wishes_of
from raypipe.model.alternatives import REQUESTED, RayTarget
from raypipe.model.resources import CPU, MEMORY, PODS, total
from raypipe.model.workloads import RayObject

AUTOSCALER = {CPU: 500, MEMORY: 512 * 2**20}
SUBMITTER = {CPU: 500, MEMORY: 200 * 2**20}
ADMIT = "raypipe.io/admit"
SUSPENDED_BY = "raypipe.io/suspended-by"
REPLICA = "ray.io/worker-group-replica-name"
"""The label that tells which replica a pod of a group with several hosts is of."""
KINDS = ("RayCluster", "RayJob", "RayService")
SUBMISSION_MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
MOST_WORKERS = 1_000_000
MOST_HOSTS = 100_000
_FINISHED = ("Complete", "Failed")
_CLUSTER_SPEC = {"RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}


@dataclass(slots=True, kw_only=True)
class RayWorkload:
    """What one Ray object wants: `templates`, the `gang` (pods of each key that start together), notes on oddities.

    marks: groups that are alternatives to others, by the key of their pods.
    """

    templates: list[Template] = field(default_factory=list)
    gang: dict[str, int] = field(default_factory=dict)
    oddities: list[str] = field(default_factory=list)
    marks: dict[str, Mark] = field(default_factory=dict)

    def add(self, template: Template, together: int) -> None:
        """Add pods of a key, so many of which start together with the others'."""
        self.templates.append(template)
        if together:
            self.gang[template.key] = together


def finished(one: KubeObject) -> bool:
    """Whether a RayJob has ended."""
    return one.kind == "RayJob" and one.status.get("jobDeploymentStatus").value in _FINISHED


def is_held(one: KubeObject) -> bool:
    """Suspended by a person or a queue, and not to be admitted: not wanted now."""
    ray = ray_object(one, running=False)
    return ray.suspended and ray.suspended_by is None and not ray.admit


def ray_workload(one: KubeObject, reader: PodReader, made_cluster: KubeObject | None = None) -> RayWorkload:
    """What a Ray object wants; where it is suspended by a person or a queue, all of it is held.

    made_cluster: the RayCluster that a RayJob or RayService has made. Replicas of alternatives are written there and
    nowhere else, so they are read there; all other replicas are as the object itself states them.
    """
    refuse_misspelt(one.annotations)
    held = "suspended" if is_held(one) else None
    mode = one.spec.get("submissionMode").choice(SUBMISSION_MODES, "K8sJobMode") if one.kind == "RayJob" else ""
    made = RayWorkload()
    if not _selects_a_cluster(one):
        _head(one, mode, reader, held, made)
        _workers(one, reader, held, made, made_cluster)
    if mode == "K8sJobMode":
        raw = one.spec.get("submitterPodTemplate")
        spec = reader.spec(raw, one.namespace, default=SUBMITTER)
        made.add(Template(key=f"{one.key}/submitter", spec=spec, raw=raw, wanted=1, held=held), 1)
    return made


def _selects_a_cluster(one: KubeObject) -> bool:
    return one.kind == "RayJob" and bool(one.spec.get("clusterSelector").mapping())


def _cluster_spec(one: KubeObject) -> Field:
    return one.spec.get(_CLUSTER_SPEC[one.kind]) if one.kind in _CLUSTER_SPEC else one.spec


def ray_target(one: KubeObject, objects: Objects) -> RayTarget:
    """What must be known of a Ray object to write to its worker groups."""
    spec = _cluster_spec(one)
    second = spec.get("enableInTreeAutoscaling").boolean() and is_second_version(spec)
    way = [str(step) for step in spec.steps[len(one.root.steps) :]]
    return RayTarget(
        kind=one.kind,
        namespace=one.namespace,
        name=one.name,
        uid=one.uid,
        path="/" + "/".join(way),
        annotated=one.annotated,
        requested=one.annotation(REQUESTED),
        hurries=second,
        prefers=second and knows_priorities(spec) and serves(objects, one, *way, "workerGroupSpecs", "[]", "priority"),
        idle_timeout_s=idle_timeout_s(spec),
    )


def _head(one: KubeObject, mode: str, reader: PodReader, held: str | None, made: RayWorkload) -> None:
    spec = _cluster_spec(one)
    raw = spec.get("headGroupSpec", "template")
    labels = _labels(one, "head", "headgroup")
    pod = reader.spec(raw, one.namespace, extra=_beside_head(one, spec, mode), labels=labels)
    made.add(Template(key=f"{one.key}/head", spec=pod, raw=raw, wanted=1, held=held), 1)


def _labels(one: KubeObject, node_type: str, group: str) -> dict[str, str]:
    """What the operator puts on a pod; the name of the cluster of a RayJob or RayService is not known before it is."""
    labels = {
        "ray.io/is-ray-node": "yes",
        "ray.io/node-type": node_type,
        "ray.io/group": group,
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    if one.kind == "RayCluster":
        labels |= {"ray.io/cluster": one.name, "ray.io/identifier": f"{one.name}-{node_type}"}
    return labels


def _beside_head(one: KubeObject, spec: Field, mode: str) -> dict[str, int]:
    """Requests of what runs beside the head: the autoscaler, and a RayJob's submitter in SidecarMode."""
    parts: list[dict[str, int]] = []
    if spec.get("enableInTreeAutoscaling").boolean():
        options = spec.get("autoscalerOptions")
        # KubeRay takes `resources` as a whole: one that states cpu alone has no memory
        parts.append(AUTOSCALER if options.plain("resources") is None else container_request(options))
    if mode == "SidecarMode":
        stated = effective_request(one.spec.get("submitterPodTemplate", "spec"), {}, {}, SUBMITTER)
        parts.append({name: amount for name, amount in stated.items() if name != PODS})
    return total(parts)


def is_autoscaled(one: KubeObject) -> bool:
    """Whether Ray's own autoscaler owns the replicas."""
    return _cluster_spec(one).get("enableInTreeAutoscaling").boolean()


def _workers(
    one: KubeObject, reader: PodReader, held: str | None, made: RayWorkload, made_cluster: KubeObject | None
) -> None:
    spec, autoscaling = _cluster_spec(one), is_autoscaled(one)
    there, written = _groups_by_name(made_cluster), wishes_of(made_cluster or one, one).groups
    seen: set[str] = set()
    for group in spec.get("workerGroupSpecs").items():
        name = group.get("groupName").text()
        if not name or name in seen or "/" in name or "@" in name:
            group.get("groupName").problem(f"{name[:60]!r}{' twice' if name in seen else ''}", "a name of its own")
            continue
        seen.add(name)
        key = f"{one.key}/worker/{name}"
        mark = mark_of(group, there.get(name), written)
        if mark is not None and made_cluster is not None and name not in there:
            made.oddities.append(f"{key}: {made_cluster.key} does not have this group, so nothing is divided with it")
            mark = None
        _worker_group(key, one, group, mark, autoscaling, reader, held, made)


def _groups_by_name(made_cluster: KubeObject | None) -> dict[str, Field]:
    """The worker groups of a RayCluster; the first of a name."""
    found: dict[str, Field] = {}
    if made_cluster is not None:
        for group in made_cluster.spec.get("workerGroupSpecs").items():
            found.setdefault(group.get("groupName").text(), group)
    return found


def _worker_group(
    key: str,
    one: KubeObject,
    group: Field,
    mark: Mark | None,
    autoscaling: bool,
    reader: PodReader,
    held: str | None,
    made: RayWorkload,
) -> None:
    hosts = group.get("numOfHosts").integer(1, low=1, high=MOST_HOSTS)
    least, most, wanted = _replicas(group if mark is None else mark.group)
    suspended = group.get("suspend").boolean()
    if suspended and autoscaling:
        made.oddities.append(f"{key}: a suspended group together with in-tree autoscaling, which KubeRay refuses")
    raw = group.get("template")
    labels = _labels(one, "worker", group.get("groupName").text())
    pod = reader.spec(raw, one.namespace, init=RAY_WORKER_INIT, labels=labels)
    reason = held or ("suspended" if suspended else None)
    together = 0 if suspended else (least if autoscaling else wanted) * hosts
    made.add(Template(key=key, spec=pod, raw=raw, wanted=wanted * hosts, held=reason), together)
    if mark is not None and reason is None:
        made.marks[key] = replace(mark, hosts=hosts, low=least, high=most, replicas=wanted)


def _replicas(group: Field) -> tuple[int, int, int]:
    """minReplicas, maxReplicas, and replicas (or minReplicas) between them."""
    low = group.get("minReplicas").integer(0, high=MOST_WORKERS)
    high = group.get("maxReplicas").integer(2**31 - 1)
    wanted = group.get("replicas").integer(low, high=MOST_WORKERS)
    if high < low:
        group.get("maxReplicas").problem(str(high), f"at least minReplicas, {low}")
        high = low
    return low, high, max(low, min(high, wanted))


def ray_object(one: KubeObject, *, running: bool) -> RayObject:
    """What raypipe may do with the object itself."""
    why_not = _why_not_suspendable(one) or ("some of its pods run" if running else "")
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
        suspend_stated=one.kind != "RayService" and one.spec.plain("suspend") is not None,
        annotated=one.annotated,
    )


def _why_not_suspendable(one: KubeObject) -> str:
    if one.kind == "RayService":
        return "a RayService has no suspend"
    if one.owner is not None and one.owner.kind in ("RayJob", "RayService"):
        return f"a {one.kind} of a {one.owner.kind} is never suspended itself"
    if _selects_a_cluster(one):
        return "a RayJob with a clusterSelector cannot be suspended"
    if one.kind == "RayJob" and not one.spec.get("shutdownAfterJobFinishes").boolean():
        return "a RayJob can be suspended only with shutdownAfterJobFinishes"
    return ""


def part_of(kind: str, node_type: str | None, group: str | None) -> str:
    """The end of the key of a pod of a Ray object, by its labels ray.io/node-type and ray.io/group."""
    if node_type == "head":
        return "/head"
    if node_type == "worker":
        return f"/worker/{group or ''}"
    return "/submitter" if kind == "RayJob" else f"/{node_type or 'other'}"
