"""Auto Scaling groups of AWS, and EKS managed node groups, which are Auto Scaling groups underneath: read and resized.

A group is raypipe's where it, or its EKS node group, carries the tag ``raypipe.io/cluster`` with the cluster's name
(EKS does not hand tags of node groups on). It can be grown by a plan where every node of it is alike: one instance
type, one zone, one capacity type, no taints, whole nodes (no weights), and nobody else who grows it. Others are told in
notes.

Everything goes through the Auto Scaling API, for EKS too, as Cluster Autoscaler does. This is the one place that
translates boto3's exceptions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

from raypipe.errors import ClusterError
from raypipe.model.plan import Note

OWNER_TAG = "raypipe.io/cluster"
AUTOSCALER_TAG = "k8s.io/cluster-autoscaler/enabled"
_TAINT_TAG = "k8s.io/cluster-autoscaler/node-template/taint/"
_EKS_CLUSTER, _EKS_GROUP = "eks:cluster-name", "eks:nodegroup-name"
_THERE = ("Pending", "InService")
"""Lifecycle states, or their beginnings, of instances that count to the size of a group."""
_FOR_NOW = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "RequestLimitExceeded",
        "ResourceContention",
        "ScalingActivityInProgress",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
    }
)

type Api = Any
"""A client of boto3; it has no types of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group whose nodes are alike. instances: ids of those that are there or start; leaving ones are not."""

    name: str
    instance_type: str
    zone: str
    capacity_type: str
    least: int
    most: int
    size: int
    instances: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The groups of a cluster in order of name, and notes on those that a plan cannot grow, or that do not grow."""

    groups: tuple[Group, ...] = ()
    notes: tuple[Note, ...] = ()


class AwsGroups:
    """The groups of one region, by three clients of boto3.

    keep_s: seconds for which what was found is told again without asking. A loop looks many times a second while nodes
    come up, and AWS allows a few questions; a size that is old is no danger to a purchase, which compares.
    """

    def __init__(
        self,
        autoscaling: Api,
        ec2: Api,
        eks: Api,
        keep_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._autoscaling, self._ec2, self._eks = autoscaling, ec2, eks
        self._keep_s, self._clock = keep_s, clock
        self._kept: dict[str, tuple[float, Found]] = {}

    @classmethod
    def of_region(cls, region: str, keep_s: float = 0.0) -> AwsGroups:
        """With the credentials that AWS's own tools would use; ClusterError without boto3."""
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ClusterError("node groups of AWS need boto3: pip install 'raypipe[aws]'") from None
        patience = Config(connect_timeout=4, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 4})
        with _answers(f"AWS {region}"):
            autoscaling, ec2, eks = (
                boto3.client(name, region_name=region, config=patience) for name in ("autoscaling", "ec2", "eks")
            )
        return cls(autoscaling, ec2, eks, keep_s)

    def found(self, cluster: str) -> Found:
        """The groups that carry the cluster's tag, as they are now, or were a moment ago."""
        now = self._clock()
        at, known = self._kept.get(cluster, (-inf, Found()))
        if now - at < self._keep_s:
            return known
        found = self._found(cluster)
        self._kept[cluster] = (now, found)
        return found

    def _found(self, cluster: str) -> Found:
        groups: list[Group] = []
        notes: list[Note] = []
        for group, managed in self._owned(cluster):
            alike = self._read(group, managed)
            if alike.why_not:
                message = f"{group['AutoScalingGroupName']} is not grown: {alike.why_not}"
                notes.append(Note(kind="group-not-usable", subject=group["AutoScalingGroupName"], message=message))
                continue
            groups.append(alike.group(group))
            notes += self._refusals(groups[-1])
        return Found(groups=tuple(sorted(groups, key=lambda one: one.name)), notes=tuple(notes))

    def size(self, name: str) -> int:
        """The size that a group is to have; ClusterError where there is none of the name."""
        return int(self._group(name)["DesiredCapacity"])

    def resize(self, name: str, size: int) -> None:
        """Tell a group its size."""
        self._kept.clear()
        with _answers(name):
            self._autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=size, HonorCooldown=False)

    def terminate(self, instance: str) -> None:
        """End this instance, and let its group be smaller by one."""
        self._kept.clear()
        with _answers(instance):
            self._autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=instance, ShouldDecrementDesiredCapacity=True
            )

    def _owned(self, cluster: str) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
        """Groups with the tag, and those of EKS whose node group has it, each with that."""
        seen: set[str] = set()
        for group in self._listed({"Name": f"tag:{OWNER_TAG}", "Values": [cluster]}):
            seen.add(group["AutoScalingGroupName"])
            yield group, self._managed(group)
        for group in self._listed({"Name": "tag-key", "Values": [_EKS_GROUP]}):
            if group["AutoScalingGroupName"] not in seen:
                managed = self._managed(group)
                if managed is not None and (managed.get("tags") or {}).get(OWNER_TAG) == cluster:
                    yield group, managed

    def _listed(self, wanted: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        with _answers("Auto Scaling groups"):
            pages = self._autoscaling.get_paginator("describe_auto_scaling_groups").paginate(Filters=[wanted])
            return [one for page in pages for one in page["AutoScalingGroups"] if not one.get("Status")]

    def _group(self, name: str) -> Mapping[str, Any]:
        with _answers(name):
            found = self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not found:
            raise ClusterError(f"{name}: no such Auto Scaling group")
        first: Mapping[str, Any] = found[0]
        return first

    def _managed(self, group: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The EKS node group that a group belongs to, or None."""
        tags = _tags(group)
        if _EKS_CLUSTER not in tags or _EKS_GROUP not in tags:
            return None
        with _answers(f"EKS node group {tags[_EKS_GROUP]}"):
            found: Mapping[str, Any] = self._eks.describe_nodegroup(
                clusterName=tags[_EKS_CLUSTER], nodegroupName=tags[_EKS_GROUP]
            )["nodegroup"]
        return found

    def _read(self, group: Mapping[str, Any], managed: Mapping[str, Any] | None) -> _Alike:
        """What the nodes of a group are, or why they are not alike."""
        tags = _tags(group)
        alike = _Alike(zones=tuple(group["AvailabilityZones"]))
        alike.autoscaled = AUTOSCALER_TAG in tags
        alike.tainted = bool((managed or {}).get("taints")) or any(key.startswith(_TAINT_TAG) for key in tags)
        policy = group.get("MixedInstancesPolicy")
        template = policy["LaunchTemplate"]["LaunchTemplateSpecification"] if policy else group.get("LaunchTemplate")
        launched = self._launched(template) if template else {}
        if policy:
            overrides = policy["LaunchTemplate"].get("Overrides") or ()
            alike.types = tuple(one.get("InstanceType") or "any that fits" for one in overrides)
            alike.weighted = any(one.get("WeightedCapacity") not in (None, "1") for one in overrides)
            alike.capacity_type = _capacity_type(policy.get("InstancesDistribution") or {})
        else:
            market = (launched.get("InstanceMarketOptions") or {}).get("MarketType")
            alike.capacity_type = "spot" if market == "spot" else "on-demand"
        alike.types = alike.types or ((launched["InstanceType"],) if launched.get("InstanceType") else ())
        if managed is not None:
            alike.types = tuple(managed.get("instanceTypes") or alike.types)
            if managed.get("capacityType"):
                alike.capacity_type = managed["capacityType"].lower().replace("_", "-")
        return alike

    def _launched(self, template: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a launch template says of instances."""
        version = template.get("Version") or "$Default"
        with _answers(f"launch template {template['LaunchTemplateId']}"):
            found = self._ec2.describe_launch_template_versions(
                LaunchTemplateId=template["LaunchTemplateId"], Versions=[version]
            )["LaunchTemplateVersions"]
        data: Mapping[str, Any] = found[0]["LaunchTemplateData"] if found else {}
        return data

    def _refusals(self, group: Group) -> Iterator[Note]:
        """A note where the last instance that a group wanted could not be had."""
        if group.size <= len(group.instances):
            return
        with _answers(group.name):
            last = self._autoscaling.describe_scaling_activities(AutoScalingGroupName=group.name, MaxRecords=1)
        for activity in last["Activities"][:1]:
            if activity["StatusCode"] == "Failed":
                words = " ".join(str(activity.get("StatusMessage") or "no reason given").split())[:300]
                message = f"{group.name} does not get the nodes that it wants: {words}"
                yield Note(kind="group-not-growing", subject=group.name, message=message)


@dataclass(slots=True, kw_only=True)
class _Alike:
    """What is known of a group's nodes."""

    types: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    capacity_type: str = "on-demand"
    weighted: bool = False
    tainted: bool = False
    autoscaled: bool = False

    @property
    def why_not(self) -> str:
        """Why no plan can grow the group; "" where one can."""
        if self.autoscaled:
            return f"its tag {AUTOSCALER_TAG} lets Cluster Autoscaler grow it, too"
        for what, several in (("zones", self.zones), ("instance types", self.types)):
            if len(several) != 1:
                return f"its {what} are {', '.join(several) or 'not known'}, expected one"
        if self.capacity_type not in ("spot", "on-demand"):
            return f"its capacity type is {self.capacity_type}, expected spot or on-demand alone"
        if self.weighted:
            return "its instances have weights, expected nodes that count one each"
        return "its nodes have taints, which no plan knows of" if self.tainted else ""

    def group(self, group: Mapping[str, Any]) -> Group:
        """The group, whose nodes are alike."""
        there = [one for one in group.get("Instances") or () if _is_there(one)]
        return Group(
            name=group["AutoScalingGroupName"],
            instance_type=self.types[0],
            zone=self.zones[0],
            capacity_type=self.capacity_type,
            least=int(group["MinSize"]),
            most=int(group["MaxSize"]),
            size=int(group["DesiredCapacity"]),
            instances=tuple(sorted(one["InstanceId"] for one in there)),
        )


def _is_there(instance: Mapping[str, Any]) -> bool:
    return str(instance["LifecycleState"]).partition(":")[0] in _THERE


def _tags(group: Mapping[str, Any]) -> dict[str, str]:
    return {one["Key"]: one.get("Value") or "" for one in group.get("Tags") or ()}


def _capacity_type(distribution: Mapping[str, Any]) -> str:
    """spot or on-demand where all are that, else mixed; AWS takes on-demand instances unless told otherwise."""
    base = distribution.get("OnDemandBaseCapacity") or 0
    above = distribution.get("OnDemandPercentageAboveBaseCapacity")
    above = 100 if above is None else above
    if above == 100:
        return "on-demand"
    return "spot" if above == 0 and base == 0 else "mixed"


@contextmanager
def _answers(what: str) -> Iterator[None]:
    """Whatever boto3 raises becomes a ClusterError that says what it was about."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    try:
        yield
    except ClientError as error:
        told: Mapping[str, Any] = error.response.get("Error") or {}
        code = str(told.get("Code") or "")
        refused = ClusterError(f"{what}: AWS refuses: {code} {' '.join(str(told.get('Message') or '').split())[:300]}")
        refused.temporary = code.removesuffix("Fault") in _FOR_NOW
        raise refused from None
    except BotoCoreError as error:
        failed = ClusterError(f"{what}: no answer from AWS: {' '.join(str(error).split())[:300]}")
        failed.temporary = isinstance(error, ConnectionError | HTTPClientError)
        raise failed from None
