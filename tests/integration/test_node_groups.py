"""Groups of like nodes at AWS, as moto plays it: found by their tag, grown once, shrunk by a given node."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from raypipe.adapters.kubernetes.writing import ConflictError
from raypipe.adapters.nodes.aws_groups import AUTOSCALER_TAG, OWNER_TAG, AwsGroups, Found, Group
from raypipe.adapters.nodes.node_groups import NodeGroups, buyable, look_at_groups, with_groups
from raypipe.catalog import load
from raypipe.errors import ClusterError
from raypipe.fleet import plan_fleet
from raypipe.manifests.origins import Observed
from raypipe.model.actions import Action, ActionKind, ObjectRef, written
from raypipe.model.nodes import Buyable, Node
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.validation import check_plan

REGION, ZONE = "us-east-1", "us-east-1a"
IMAGE = "ami-03cf127a"
"""One that moto has."""
OURS = {OWNER_TAG: "prod"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield Account()


class Account:
    """An AWS account of moto's, and raypipe's view of it."""

    def __init__(self) -> None:
        self.autoscaling = boto3.client("autoscaling", region_name=REGION)
        self.ec2 = boto3.client("ec2", region_name=REGION)
        self.eks = boto3.client("eks", region_name=REGION)
        self.groups = AwsGroups.of_region(REGION)

    def template(self, instance_type: str = "m5.large", spot: bool = False) -> dict[str, str]:
        data: dict[str, Any] = {"ImageId": IMAGE, "InstanceType": instance_type}
        if spot:
            data["InstanceMarketOptions"] = {"MarketType": "spot"}
        number = len(self.ec2.describe_launch_templates()["LaunchTemplates"])
        made = self.ec2.create_launch_template(LaunchTemplateName=f"t{number}", LaunchTemplateData=data)
        return {"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"], "Version": "$Latest"}

    def group(
        self,
        name: str,
        *,
        tags: dict[str, str] | None = None,
        size: int = 0,
        least: int = 0,
        most: int = 10,
        zones: tuple[str, ...] = (ZONE,),
        template: dict[str, str] | None = None,
        policy: dict[str, Any] | None = None,
    ) -> None:
        carried = [
            {"Key": key, "Value": value, "PropagateAtLaunch": False}
            for key, value in (OURS if tags is None else tags).items()
        ]
        how: dict[str, Any] = {"MixedInstancesPolicy": policy} if policy else {}
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=least,
            MaxSize=most,
            DesiredCapacity=size,
            AvailabilityZones=list(zones),
            Tags=carried,
            **(how or {"LaunchTemplate": template or self.template()}),
        )

    def size(self, name: str) -> int:
        (group,) = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        assert isinstance(group["DesiredCapacity"], int)
        return group["DesiredCapacity"]

    def backend(self, nodes: dict[str, str] | None = None) -> NodeGroups:
        """`nodes`: instance of each node that is up."""
        return NodeGroups("prod", self.groups, lambda name: f"aws:///{ZONE}/{(nodes or {})[name]}")


def policy(template: dict[str, str], *types: str, base: int = 0, above: int = 100) -> dict[str, Any]:
    return {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": template,
            "Overrides": [{"InstanceType": one} for one in types],
        },
        "InstancesDistribution": {"OnDemandBaseCapacity": base, "OnDemandPercentageAboveBaseCapacity": above},
    }


def grow(name: str, size: int) -> Action:
    spec = {"group": name, "size": size, "instanceType": "m5.large", "zone": ZONE, "capacityType": "on-demand"}
    target = ObjectRef(kind="NodeGroup", name="prod-3f9a1c0b77-0001")
    return Action(id="a", kind=ActionKind.BUY_NODE, object=target, set={"spec": spec}, precondition={"size": size - 1})


def buy(aws: Account, name: str, size: int) -> str:
    action = grow(name, size)
    return aws.backend().buy(action, written(action))


def test_groups_are_found_by_the_tag_of_their_cluster(aws: Account) -> None:
    aws.group("ours", size=2, least=1, most=5)
    aws.group("spot", template=aws.template("c5.xlarge", spot=True))
    aws.group("mixed-spot", policy=policy(aws.template(), "r5.large", above=0))
    aws.group("others", tags={OWNER_TAG: "staging"})
    aws.group("nobodys", tags={})

    found = aws.groups.found("prod")

    (ours,) = [one for one in found.groups if one.name == "ours"]
    assert len(ours.instances) == 2
    assert found == Found(
        groups=(
            Group(
                name="mixed-spot", instance_type="r5.large", zone=ZONE, capacity_type="spot", least=0, most=10, size=0
            ),
            Group(
                name="ours", instance_type="m5.large", zone=ZONE, capacity_type="on-demand", least=1, most=5, size=2,
                instances=ours.instances,
            ),
            Group(name="spot", instance_type="c5.xlarge", zone=ZONE, capacity_type="spot", least=0, most=10, size=0),
        )
    )  # fmt: skip
    assert buyable(found)[1] == Buyable(
        group="ours", instance_type="m5.large", zone=ZONE, capacity_type="on-demand", count=3, size=2
    )


def test_a_node_group_of_eks_is_found_by_its_own_tag_and_told_by_what_eks_says(aws: Account) -> None:
    aws.eks.create_cluster(name="eks-prod", roleArn="arn:aws:iam::123456789012:role/r", resourcesVpcConfig={})
    for name, taints in (("gpus", []), ("tainted", [{"key": "gpu", "value": "yes", "effect": "NO_SCHEDULE"}])):
        made = aws.eks.create_nodegroup(
            clusterName="eks-prod",
            nodegroupName=name,
            subnets=["subnet-1"],
            nodeRole="arn:aws:iam::123456789012:role/r",
            instanceTypes=["g5.xlarge"],
            capacityType="SPOT",
            tags=OURS,
            taints=taints,
        )["nodegroup"]
        below = made["resources"]["autoScalingGroups"][0]["name"]
        aws.group(f"{below}-{name}", tags={"eks:cluster-name": "eks-prod", "eks:nodegroup-name": name})

    found = aws.groups.found("prod")

    assert [(one.name.rpartition("-")[2], one.instance_type, one.capacity_type) for one in found.groups] == [
        ("gpus", "g5.xlarge", "spot")
    ]
    assert [note.message.partition(" is ")[2] for note in found.notes] == [
        "not grown: its nodes have taints, which no plan knows of"
    ]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        pytest.param(
            {"zones": ("us-east-1a", "us-east-1b")},
            "its zones are us-east-1a, us-east-1b, expected one",
            id="several zones",
        ),
        pytest.param(
            {"policy": ("m5.large", "m5a.large")},
            "its instance types are m5.large, m5a.large, expected one",
            id="several types",
        ),
        pytest.param(
            {"policy": ("m5.large",), "above": 50},
            "its capacity type is mixed, expected spot or on-demand alone",
            id="spot and on-demand",
        ),
        pytest.param(
            {"policy": ("m5.large",), "above": 0, "base": 1},
            "its capacity type is mixed, expected spot or on-demand alone",
            id="spot but for the first",
        ),
        pytest.param(
            {"tags": {**OURS, AUTOSCALER_TAG: "true"}},
            f"its tag {AUTOSCALER_TAG} lets Cluster Autoscaler grow it, too",
            id="another buyer",
        ),
    ],
)
def test_a_group_whose_nodes_a_plan_cannot_know_is_noted(aws: Account, made: dict[str, Any], why: str) -> None:
    if "policy" in made:
        shape = {key: made.pop(key) for key in ("base", "above") if key in made}
        made = made | {"policy": policy(aws.template(), *made["policy"], **shape)}
    aws.group("odd", **made)
    found = aws.groups.found("prod")

    assert [(note.kind, note.message) for note in found.notes] == [("group-not-usable", f"odd is not grown: {why}")]
    assert found.groups == ()


def test_the_same_purchase_made_twice_buys_once(aws: Account) -> None:
    aws.group("ours", size=1)

    assert [buy(aws, "ours", 2), buy(aws, "ours", 3), buy(aws, "ours", 2), buy(aws, "ours", 3)] == [
        "ours is to have 2 nodes",
        "ours is to have 3 nodes",
        "bought before",
        "bought before",
    ]
    assert aws.size("ours") == 3


def test_a_size_that_somebody_has_lowered_meanwhile_is_left_alone(aws: Account) -> None:
    aws.group("ours", size=1)

    with pytest.raises(ConflictError, match="ours is to have 1 nodes, expected 4: somebody else has changed it"):
        buy(aws, "ours", 5)

    assert aws.size("ours") == 1


@pytest.mark.parametrize(
    ("code", "is_temporary"),
    [
        pytest.param("ValidationError", False, id="a wrong wish"),
        pytest.param("AccessDenied", False, id="a missing right"),
        pytest.param("ScalingActivityInProgressFault", True, id="another activity"),
        pytest.param("Throttling", True, id="too many requests"),
    ],
)
def test_what_aws_refuses_is_told_in_its_words(aws: Account, code: str, is_temporary: bool) -> None:
    with Stubber(aws.autoscaling) as stub:
        for _ in range(5):
            stub.add_client_error("set_desired_capacity", code, "not\nso")
        with pytest.raises(ClusterError, match=f"ours: AWS refuses: {code} not so") as refused:
            AwsGroups(aws.autoscaling, aws.ec2, aws.eks).resize("ours", 2)

    assert refused.value.temporary is is_temporary


def test_a_group_that_is_gone_is_named(aws: Account) -> None:
    with pytest.raises(ClusterError, match="gone: no such Auto Scaling group"):
        buy(aws, "gone", 2)


def test_without_credentials_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(ClusterError, match="no answer from AWS: Unable to locate credentials") as refused:
        AwsGroups.of_region(REGION).found("prod")

    assert not refused.value.temporary


def test_exactly_the_given_node_ends_and_its_group_is_smaller(aws: Account) -> None:
    aws.group("ours", size=3)
    (group,) = aws.groups.found("prod").groups
    _, second, third = group.instances
    backend = aws.backend({"ip-10-0-0-2": second, "ip-10-0-0-9": "i-of-nobody"})

    assert backend.give_back("ip-10-0-0-2", None)
    assert not backend.give_back("ip-10-0-0-2", None)
    assert not backend.give_back("ip-10-0-0-9", None)
    assert backend.give_back(third, None)

    (group,) = aws.groups.found("prod").groups
    assert (group.size, group.instances) == (1, tuple(set(group.instances) - {second, third}))


def test_a_group_keeps_its_least_size(aws: Account) -> None:
    aws.group("ours", size=1, least=1)
    (group,) = aws.groups.found("prod").groups

    with pytest.raises(ClusterError, match="ours is at its least size, 1: no node of it can be given back"):
        aws.backend().give_back(group.instances[0], None)


def pods(count: int) -> PodGroup:
    spec = PodSpec(requests={"cpu": 1500, "memory": 2**30, "pods": 1})
    return PodGroup(key="Deployment/d/web", spec=spec, count=count)


def seen(*nodes: tuple[str, str]) -> Observed:
    """Nodes with their instances."""
    objects = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"providerID": f"aws:///{ZONE}/{one}"}}
        for name, one in nodes
    ]
    return Observed(context="prod", objects=objects)


def planned(cluster: ClusterSnapshot) -> ClusterPlan:
    fleet, catalog = FleetSnapshot(clusters=(cluster,)), load(None)
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    return plan.clusters[0]


def test_from_pending_pods_to_nodes_and_nothing_is_bought_twice_while_they_come(aws: Account) -> None:
    aws.group("ours", size=0, template=aws.template("m5.large"))
    bare = ClusterSnapshot(name="prod", context="prod", zones=(ZONE,), nodes_backend="node-groups", demand=(pods(3),))
    first = planned(with_groups(bare, seen(), aws.groups.found("prod")))
    results = [aws.backend().buy(action, written(action)) for action in first.actions]

    assert (len(results), aws.size("ours")) == (3, 3)

    # The instances start and are no nodes yet; then one of them has registered.
    found = aws.groups.found("prod")
    (group,) = found.groups
    up = Node(
        name="ip-1",
        labels={"node.kubernetes.io/instance-type": "m5.large", "topology.kubernetes.io/zone": ZONE},
        capacity={"cpu": 2000, "memory": 8 * 2**30, "pods": 29},
        allocatable={"cpu": 1930, "memory": 7 * 2**30, "pods": 29},
    )
    for nodes, registered in (((), ()), ((up,), (("ip-1", group.instances[0]),))):
        cluster = with_groups(
            ClusterSnapshot(
                name="prod", context="prod", zones=(ZONE,), nodes_backend="node-groups", demand=(pods(3),), nodes=nodes
            ),
            seen(*registered),
            found,
        )
        assert [one.own for one in cluster.nodes] == [True, True, True]
        assert [one.name for one in cluster.nodes if one.coming] == sorted(group.instances[len(nodes) :])
        again = planned(cluster)
        assert (again.actions, again.unplaced) == ((), ())


def test_a_node_without_an_instance_is_on_its_way_and_can_be_given_up(aws: Account) -> None:
    aws.group("ours", size=1)
    found = aws.groups.found("prod")
    (group,) = found.groups
    short = Found(groups=(dataclasses.replace(group, size=3),))
    cluster = with_groups(ClusterSnapshot(name="prod"), seen(("ip-1", group.instances[0])), short)

    assert [(one.name, one.coming) for one in cluster.nodes] == [("ours/coming-1", True), ("ours/coming-2", True)]
    assert not aws.backend().give_back("ours/coming-1", None)  # everything wanted has an instance: nothing to give up


def test_clusters_of_node_groups_are_seen_with_their_groups_and_others_as_they_are(aws: Account) -> None:
    aws.group("ours", size=0)
    one = ClusterSnapshot(name="prod", context="prod", region=REGION, zones=(ZONE,), nodes_backend="node-groups")
    others = (dataclasses.replace(one, nodes_backend="karpenter"), dataclasses.replace(one, context=None))

    assert look_at_groups(one, seen(), AwsGroups.of_region).buyable == buyable(aws.groups.found("prod"))
    assert [look_at_groups(other, seen(), AwsGroups.of_region) for other in others] == list(others)


def test_a_look_is_kept_for_a_while_and_a_change_of_our_own_ends_that(aws: Account) -> None:
    now = [0.0]
    groups = AwsGroups(aws.autoscaling, aws.ec2, aws.eks, keep_s=5.0, clock=lambda: now[0])
    aws.group("ours", size=1)

    def told() -> int:
        (group,) = groups.found("prod").groups
        return group.size

    sizes = [told()]
    aws.autoscaling.set_desired_capacity(AutoScalingGroupName="ours", DesiredCapacity=2)
    for second in (4.9, 5.0):
        now[0] = second
        sizes.append(told())
    groups.resize("ours", 3)
    sizes.append(told())

    assert sizes == [1, 1, 2, 3]


def test_a_cluster_whose_groups_cannot_be_seen_is_not_planned_as_if_it_had_none(aws: Account) -> None:
    del aws

    def refused(region: str) -> AwsGroups:
        raise ClusterError(f"AWS {region}: no answer")

    one = ClusterSnapshot(name="prod", context="p", region=REGION, zones=(ZONE,), nodes_backend="node-groups")
    elsewhere = dataclasses.replace(one, provider="gcp")

    assert look_at_groups(one, seen(), refused) == ClusterSnapshot(
        name="prod", context="p", error="prod: AWS us-east-1: no answer"
    )
    assert look_at_groups(elsewhere, seen()).error == (
        "prod: nodes: node-groups is for provider aws, and this one is gcp"
    )
