"""The second opinion refuses every kind of wrong plan, and says which promise was broken."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from raypipe.catalog import Catalog, load
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.model.constraints import PodSelector, PodTerm
from raypipe.model.nodes import Node
from raypipe.model.plan import FleetPlan
from raypipe.model.pods import BoundPods, DaemonSet, PodGroup, PodSpec
from raypipe.model.requirements import HOSTNAME
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.model.workloads import Gang, RayObject
from raypipe.settings import Settings
from raypipe.validation import check_plan
from raypipe.validation.eligibility import slices_fit

GIB = 2**30
JOB = "RayJob/ml/big"


def spec(cpu: int, gib: int, **fields: Any) -> PodSpec:
    return PodSpec(requests={"cpu": cpu, "memory": gib * GIB, "pods": 1} | fields.pop("more", {}), **fields)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(None)


@pytest.fixture(scope="module")
def fleet() -> FleetSnapshot:
    """A web Deployment, a pod bound to an existing node, a gang that a limit keeps out, and a DaemonSet."""
    node = Node(
        name="node-1",
        labels={
            "node.kubernetes.io/instance-type": "m5.xlarge",
            "topology.kubernetes.io/zone": "us-east-1a",
            "karpenter.sh/capacity-type": "on-demand",
        },
        capacity={"cpu": 4000, "memory": 16 * GIB, "pods": 58},
        allocatable={"cpu": 3920, "memory": 14 * GIB, "pods": 58},
    )
    gang = Gang(
        name=JOB,
        minimum={f"{JOB}/head": 1, f"{JOB}/worker/gpu": 1},
        ray=RayObject(kind="RayJob", namespace="ml", name="big", suspendable=True),
    )
    cluster = ClusterSnapshot(
        name="web",
        zones=("us-east-1a",),
        limits={"nvidia.com/gpu": 0},
        nodes=(node,),
        bound=(BoundPods(node="node-1", key="Pod/default/old", spec=spec(3500, 4)),),
        daemonsets=(DaemonSet(key="DaemonSet/kube-system/agent", spec=spec(100, 1)),),
        demand=(
            PodGroup(key="Deployment/default/web", spec=spec(1500, 4), count=5),
            PodGroup(key=f"{JOB}/head", spec=spec(1000, 2), count=1, gang=JOB),
            PodGroup(key=f"{JOB}/worker/gpu", spec=spec(1000, 2, more={"nvidia.com/gpu": 1}), count=1, gang=JOB),
        ),
        gangs=(gang,),
    )
    return FleetSnapshot(clusters=(cluster,))


@pytest.fixture(scope="module")
def plan(fleet: FleetSnapshot, catalog: Catalog) -> FleetPlan:
    return plan_fleet(fleet, catalog)


def bought(cluster: dict[str, Any]) -> dict[str, Any]:
    return next(node for node in cluster["nodes"] if not node["existing"])


def kept(cluster: dict[str, Any]) -> dict[str, Any]:
    return next(node for node in cluster["nodes"] if node["existing"])


def put(node: dict[str, Any], key: str, count: int) -> None:
    node["pods"][key] = node["added"][key] = count


def asked(cluster: dict[str, Any]) -> list[Any]:
    """The requirements of the last purchase."""
    found: list[Any] = cluster["actions"][-1]["set"]["spec"]["requirements"]
    return found


def carried(cluster: dict[str, Any]) -> dict[str, Any]:
    """The metadata of the last purchase."""
    found: dict[str, Any] = cluster["actions"][-1]["set"]["metadata"]
    return found


def rename(cluster: dict[str, Any], name: str) -> None:
    bought(cluster).update(name=name)
    cluster["nodes"].sort(key=lambda node: node["name"])


MUTATIONS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a pod too few": (lambda c: put(bought(c), "Deployment/default/web", 1), "placed and"),
    "a pod that nobody asked for": (lambda c: put(bought(c), "Pod/default/ghost", 1), "nobody asked for"),
    "more than fits": (lambda c: put(bought(c), "Deployment/default/web", 500), "allocatable"),
    "a bound pod lost": (lambda c: kept(c)["pods"].clear(), "bound there"),
    "another price": (lambda c: bought(c).update(usd_per_hour=0.001), "price"),
    "another list price": (lambda c: bought(c).update(list_usd_per_hour=9.0), "list price"),
    "a type that is not sold": (lambda c: bought(c).update(instance_type="m5.gigantic"), "cannot be bought"),
    "a zone that is not declared": (lambda c: bought(c).update(zone="us-east-1f"), "cannot be bought"),
    "a node that does not exist": (lambda c: kept(c).update(name="node-2"), "does not exist"),
    "a name of another cluster": (lambda c: bought(c).update(name="zzz-0123456789-0001"), "name does not begin"),
    "nodes out of order": (lambda c: c["nodes"].reverse(), "order of name"),
    "a sum too low": (lambda c: c["usd_per_hour"].update(after=0.1), "usd_per_hour.after"),
    "another cost before": (lambda c: c["usd_per_hour"].update(before=0.0), "usd_per_hour.before"),
    "a bound above the cost": (lambda c: c["usd_per_hour"].update(lower_bound=99.0), "lower bound"),
    "a gap too small": (lambda c: c.update(gap_fraction=-0.5), "gap_fraction"),
    "a status too good": (lambda c: c.update(status="within-gap"), "status"),
    "quantities that lie": (lambda c: bought(c)["requested"].update(cpu="1m"), "requested says"),
    "a reserve that lies": (lambda c: bought(c)["reserved"].update(cpu="0"), "reserved says"),
    "room that lies": (lambda c: bought(c)["allocatable"].update(cpu="99"), "allocatable says"),
    "an unplaced pod forgotten": (lambda c: c["unplaced"].pop(), "unplaced of"),
    "a reason that does not exist": (lambda c: c["unplaced"][0].update(reason="mood"), "reason"),
    "a limit without its name": (lambda c: c["unplaced"][0].update(limit=None), "with limit None"),
    "filters out of order": (lambda c: c["unplaced"][0]["filters"].reverse(), "filters"),
    "filters that the market does not know": (
        lambda c: [one.update(left=1) for one in c["unplaced"][0]["filters"][:-1]], "filters say"),
    "filters forgotten": (lambda c: c["unplaced"][0].update(filters=[]), "filters say"),
    "a limit that does not exist": (lambda c: c["unplaced"][0].update(limit="cluster/web/mood"), "is no limit"),
    "a price of a limit that does not exist": (lambda c: c["bound"].update(prices={"x": 1.0}), "which is no limit"),
    "filters that add": (lambda c: c["unplaced"][0]["filters"][1].update(left=99_999), "filters leave more"),
    "another decision in a name": (lambda c: rename(c, "web-0123456789-0001"), "does not carry the decision"),
    "another zone of a node that exists": (lambda c: kept(c).update(zone="us-east-1b"), "its labels"),
    "a pool that a node is not of": (lambda c: kept(c).update(pool="p"), "its labels"),
    "another context": (lambda c: c.update(context="prod"), "context says"),
    "a decision made from something else": (lambda c: c.update(decision_id="0123456789ab"), "decision_id says"),
    "a decision id that is none": (lambda c: c.update(decision_id="mood"), "12 hex digits"),
    "a purchase of another type": (lambda c: asked(c)[0].update(values=["m5.8xlarge"]), "requirements say"),
    "a purchase of one type or another": (lambda c: asked(c)[0]["values"].append("m5.8xlarge"), "requirements say"),
    "a purchase in no zone": (lambda c: asked(c).pop(1), "requirements say"),
    "a purchase for nobody": (lambda c: carried(c)["annotations"].update({"raypipe.io/pods": "{}"}), "pods say"),
    "a purchase of another decision": (lambda c: carried(c)["annotations"].clear(), "decision say"),
    "a purchase of another class": (
        lambda c: c["actions"][-1]["set"]["spec"].update(nodeClassRef={"name": "x"}), "nodeClassRef say"),
    "an existing node forgotten": (
        lambda c: c["nodes"].remove(kept(c)), "existing nodes are not in it: node-1"),
    "a bound of no kind that there is": (lambda c: c["bound"].update(kind="guess"), r"bound\.kind says guess"),
    "sold out, and it is not": (lambda c: c["unplaced"][0].update(reason="unavailable", limit=None), "sold out"),
    "a rule that nobody asks for": (
        lambda c: c["unplaced"][0].update(reason="constraint", limit=None), "nobody asks anything of others"),
    "a suspension for another limit": (
        lambda c: c["actions"][0]["set"]["metadata"]["annotations"].update({"raypipe.io/suspended-by": "mood"}),
        "SuspendRayJob of big: sets"),
    "a suspension of what runs by now": (lambda c: c["actions"][0]["precondition"].pop("running"), "relies on"),
    "a suspension forgotten": (lambda c: c["actions"].pop(0), "kept out by a limit: no SuspendRayJob"),
    "a purchase of another's": (lambda c: carried(c)["labels"].update({"raypipe.io/cluster": "b"}), "labels say"),
    "a purchase whatever is there": (lambda c: c["actions"][-1].update(precondition={}), "relies on"),
    "an action of another decision": (lambda c: c["actions"][-1].update(id="0123456789ab"), "its id"),
    "a kind chosen that is not bought": (lambda c: c["considered"][-1].update(chosen=True, why_not=None), "as chosen"),
    "an alternative at another price": (lambda c: c["considered"][-1].update(usd_per_hour=0.01), "considered"),
    "an objective below its terms": (lambda c: c["objective"].update(value=0.01), "objective"),
    "prices that prove more than the bound": (lambda c: c["bound"].update(by_prices_usd_per_hour=99.0), "by_prices"),
    "a price of nobody": (lambda c: c["marginal_usd_per_hour"].update(x=1.0), "marginal price of x"),
    "savings above the cost": (lambda c: c["consolidation"].update(usd_per_hour_saved=99.0, actions=1), "saves 99"),
    "a purchase forgotten": (lambda c: c["actions"].pop(), "BuyNode"),
    "an action twice": (lambda c: c["actions"].append(c["actions"][-1]), "one id"),
    "a resume of what is not suspended": (lambda c: c["actions"][0].update(kind="ResumeRayJob"), "ResumeRayJob"),
    "a bound of fewer pods": (lambda c: c["bound"].update(pods=1), "bound covers"),
    "unpriced nodes": (lambda c: c.update(unpriced_nodes=7), "unpriced_nodes"),
    "somebody excluded": (lambda c: c["excluded"].append({"pods": "x", "count": 1, "reason": "gated"}), "excluded"),
}  # fmt: skip


def test_a_valid_plan_passes(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    check_plan(plan, fleet, catalog)
    assert {action.kind for action in plan.actions} == {"SuspendRayJob", "BuyNode"}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_promise_is_named(name: str, plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    change, word = MUTATIONS[name]
    content = json.loads(plan.to_json())
    change(content["clusters"][0])
    with pytest.raises(InvalidPlanError, match=word):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


FLEET_MUTATIONS: dict[str, tuple[str, object]] = {
    "a status too good": ("status", "within-gap"),
    "admission said to be approximated": ("admission", "heuristic"),
    "another count of unpriced nodes": ("unpriced_nodes", 7),
    "another decision": ("decision_id", "0123456789ab"),
    "another snapshot": ("inputs.snapshot", "sha256:0"),
    "another catalogue": ("inputs.catalog", "sha256:0"),
    "other settings": ("inputs.settings", "sha256:0"),
    "a pool that it did not start from": ("inputs.pool", "sha256:0"),
    "a comparison that nobody made": ("usd_per_hour.on_demand_only", 1.0),
    "an objective below its terms": ("objective.value", 0.01),
}


@pytest.mark.parametrize("name", FLEET_MUTATIONS)
def test_a_broken_promise_of_the_fleet_is_named(
    name: str, plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog
) -> None:
    field, value = FLEET_MUTATIONS[name]
    content = json.loads(plan.to_json())
    *path, last = field.split(".")
    place = content
    for part in path:
        place = place[part]
    place[last] = value
    with pytest.raises(InvalidPlanError, match=f"{re.escape(field)} says"):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


@pytest.mark.parametrize(
    ("mode", "word"),
    [("dedicated", "packing is dedicated"), ("shared", "is to have a node of its own")],
)
def test_pods_that_share_a_node_against_the_packing_mode_are_found(
    mode: str, word: str, fleet: FleetSnapshot, catalog: Catalog
) -> None:
    """A joint plan under another mode: the pods of 1500m are large where 1 core is the threshold."""
    joint = dataclasses.replace(fleet.clusters[0], nodes=(), bound=(), gangs=(), demand=fleet.clusters[0].demand[:1])
    plan = plan_fleet(FleetSnapshot(clusters=(joint,)), catalog)
    assert any(sum(node.pods.values()) > 1 for node in plan.clusters[0].nodes)
    other = dataclasses.replace(joint, packing=mode, dedicated_from={"cpu": 1000})
    with pytest.raises(InvalidPlanError, match=word):
        check_plan(plan, FleetSnapshot(clusters=(other,)), catalog)


def test_a_cluster_that_cannot_be_read_is_not_planned(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    broken = dataclasses.replace(fleet, clusters=(dataclasses.replace(fleet.clusters[0], error="x.yaml:1: no"),))
    with pytest.raises(InvalidPlanError, match=r"web: cannot be read \(x\.yaml:1: no\), and the plan says None"):
        check_plan(plan, broken, catalog)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"error": "no"}, "has an error and a plan of", id="an error beside a plan"),
        pytest.param({"stale": True}, "is stale for no error", id="stale without an error"),
    ],
)
def test_a_failure_is_one_and_nothing_else(
    changes: dict[str, Any], said: str, plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog
) -> None:
    content = json.loads(plan.to_json())
    content["clusters"][0] |= changes
    with pytest.raises(InvalidPlanError, match=said):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


def test_who_comes_first_is_not_overtaken(catalog: Catalog) -> None:
    """There may be one node, and it holds two of the pods: those of lower priority must wait."""
    high = PodGroup(key="Deployment/default/a", spec=spec(1900, 4, priority=100), count=2)
    low = PodGroup(key="Deployment/default/b", spec=spec(1900, 4), count=2)
    cluster = ClusterSnapshot(
        name="order",
        zones=("us-east-1a",),
        capacity_types=("on-demand",),
        limits={"nodes": 1, "cpu": 4000},
        demand=(high, low),
    )
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    assert [one.pods for one in plan.unplaced] == [low.key]
    turned = dataclasses.replace(
        cluster,
        demand=tuple(
            dataclasses.replace(one, spec=dataclasses.replace(one.spec, priority=100 - one.spec.priority))
            for one in cluster.demand
        ),
    )
    with pytest.raises(
        InvalidPlanError, match="unplaced Deployment/default/b: Deployment/default/a, which comes after"
    ):
        check_plan(plan, FleetSnapshot(clusters=(turned,)), catalog)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda actions: actions.pop(), "suspended and placed: no ResumeRayJob", id="not resumed"),
        pytest.param(lambda actions: actions[-1]["set"].pop("metadata"), "ResumeRayJob of big: sets", id="mark kept"),
        pytest.param(lambda actions: actions[-1]["precondition"].update(uid="x"), "relies on", id="another's uid"),
        pytest.param(lambda actions: actions[-1]["patch"].pop(0), "without a test of the uid", id="any uid"),
        pytest.param(lambda actions: actions[-1]["patch"].pop(), "its patch makes", id="mark kept by the patch"),
        pytest.param(lambda actions: actions[-1]["patch"].pop(1), "without a test of its old", id="whatever it was"),
    ],
)
def test_a_gang_that_is_placed_is_resumed(
    change: Callable[[list[dict[str, Any]]], object], said: str, catalog: Catalog
) -> None:
    ray = RayObject(kind="RayJob", namespace="ml", name="big", uid="u", suspended=True, suspended_by="x", admit=True)
    cluster = ClusterSnapshot(
        name="ray",
        zones=("us-east-1a",),
        demand=(PodGroup(key=f"{JOB}/head", spec=spec(1000, 2), count=1, gang=JOB),),
        gangs=(Gang(name=JOB, minimum={f"{JOB}/head": 1}, ray=ray),),
    )
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    content = json.loads(plan.to_json())
    change(content["clusters"][0]["actions"])
    with pytest.raises(InvalidPlanError, match=said):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


def test_on_demand_alone_never_costs_less_than_the_bound(catalog: Catalog) -> None:
    cluster = ClusterSnapshot(
        name="od",
        zones=("us-east-1a",),
        demand=(PodGroup(key="Deployment/default/web", spec=spec(1500, 4), count=5),),
    )
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_fleet(fleet, catalog, compare_on_demand=True)
    check_plan(plan, fleet, catalog)
    content = json.loads(plan.to_json())
    for part in (content, content["clusters"][0]):
        part["usd_per_hour"]["on_demand_only"] = 0.01
    with pytest.raises(InvalidPlanError, match=r"on_demand_only 0\.01 is below the lower bound"):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


def test_a_node_below_the_shared_size_is_refused(catalog: Catalog) -> None:
    """A joint plan for one small pod, under the rule that small pods share nodes of 32 vCPUs."""
    demand = (PodGroup(key="Deployment/default/web", spec=spec(500, 1), count=1),)
    cluster = ClusterSnapshot(name="s", zones=("us-east-1a",), demand=demand)
    plan = plan_fleet(FleetSnapshot(clusters=(cluster,)), catalog)
    rule: dict[str, Any] = {"packing": "shared", "shared_node": {"cpu": 32_000}, "dedicated_from": {"cpu": 64_000}}
    with pytest.raises(InvalidPlanError, match="is smaller than the node that small pods share"):
        check_plan(plan, FleetSnapshot(clusters=(dataclasses.replace(cluster, **rule),)), catalog)


def test_half_a_gang_is_refused(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    content = json.loads(plan.to_json())
    cluster = content["clusters"][0]
    put(bought(cluster), f"{JOB}/head", 1)
    cluster["unplaced"] = [entry for entry in cluster["unplaced"] if entry["pods"] != f"{JOB}/head"]
    with pytest.raises(InvalidPlanError, match="gang"):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


def test_the_message_begins_with_the_filter_that_left_nothing(catalog: Catalog) -> None:
    huge = PodGroup(key="Deployment/default/huge", spec=spec(10_000_000, 1), count=1)
    fleet = FleetSnapshot(clusters=(ClusterSnapshot(name="h", zones=("us-east-1a",), demand=(huge,)),))
    content = json.loads(plan_fleet(fleet, catalog).to_json())
    check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)
    content["clusters"][0]["unplaced"][0]["message"] = "arch: none is of it"
    with pytest.raises(InvalidPlanError, match="the last filter is size, the message 'arch: none is of it'"):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


def test_further_pods_of_a_gang_do_not_come_before_it(fleet: FleetSnapshot, catalog: Catalog) -> None:
    key = f"{JOB}/worker/more"
    cluster = fleet.clusters[0]
    more = PodGroup(key=key, spec=spec(100, 1), count=1, gang=JOB)
    larger = FleetSnapshot(clusters=(dataclasses.replace(cluster, demand=(*cluster.demand, more)),))
    plan = plan_fleet(larger, catalog)
    check_plan(plan, larger, catalog)
    content = json.loads(plan.to_json())
    put(bought(content["clusters"][0]), key, 1)
    with pytest.raises(InvalidPlanError, match="it is left out, and 1 of its further pods are placed"):
        check_plan(FleetPlan.from_json(json.dumps(content)), larger, catalog)


@pytest.mark.parametrize("word", ["has room for it", "one more .* holds it within the limits"])
def test_a_pod_left_out_for_nothing_is_found(
    word: str, plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog
) -> None:
    """The limit is on GPUs, of which the pod asks none; its place on the node is free now."""
    content = json.loads(plan.to_json())
    cluster, key = content["clusters"][0], "Deployment/default/web"
    put(bought(cluster), key, bought(cluster)["pods"][key] - 1)
    entry = {"pods": key, "count": 1, "reason": "limit", "limit": "cluster/web/nvidia.com/gpu"}
    cluster["unplaced"].insert(0, entry)
    with pytest.raises(InvalidPlanError, match=word):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


def test_a_pod_that_one_more_reserved_node_would_hold_is_found(catalog: Catalog) -> None:
    """Two nodes are reserved and nothing else is sold; a plan that uses one of them leaves a pod out."""
    entry = {"instanceType": "m5.xlarge", "zone": "us-east-1a", "count": 2, "usdPerHour": "0.1"}
    cluster = ClusterSnapshot(
        name="r",
        zones=("us-east-1a",),
        capacity_types=(),
        settings=Settings(reserved=(entry,)),
        demand=(PodGroup(key="Deployment/default/web", spec=spec(3000, 1), count=3),),
    )
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    assert [(one.count, one.limit) for one in plan.unplaced] == [(1, "reserved/m5.xlarge/us-east-1a")]
    content = json.loads(plan.to_json())
    content["clusters"][0]["nodes"].pop()
    content["clusters"][0]["unplaced"][0]["count"] = 2
    with pytest.raises(InvalidPlanError, match=r"one more m5\.xlarge holds it"):
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)


def test_what_a_pod_may_not_use_is_refused(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    cluster = fleet.clusters[0]
    reserved = dataclasses.replace(cluster.demand[0].spec, capacity_types=("reserved",))
    picky = dataclasses.replace(cluster.demand[0], spec=reserved)
    changed = dataclasses.replace(cluster, demand=(picky, *cluster.demand[1:]))
    with pytest.raises(InvalidPlanError, match="capacity type"):
        check_plan(plan, dataclasses.replace(fleet, clusters=(changed,)), catalog)


def test_what_pods_ask_of_each_other_is_held_against_a_plan(
    plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog
) -> None:
    cluster = fleet.clusters[0]
    alone = PodTerm(topology_key=HOSTNAME, pods=PodSelector(labels=()))
    lonely = dataclasses.replace(cluster.demand[0].spec, pod_anti_affinity=(alone,))
    changed = dataclasses.replace(
        cluster, demand=(dataclasses.replace(cluster.demand[0], spec=lonely), *cluster.demand[1:])
    )
    with pytest.raises(InvalidPlanError, match="web: anti-affinity: Deployment/default/web has"):
        check_plan(plan, dataclasses.replace(fleet, clusters=(changed,)), catalog)


def test_a_limit_of_the_fleet_binds_too(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    with pytest.raises(InvalidPlanError, match="limit fleet/nodes is 1"):
        check_plan(plan, dataclasses.replace(fleet, limits={"nodes": 1}), catalog)


@pytest.mark.parametrize(
    ("sizes", "gpus", "fit"),
    [([4, 4, 4, 4], 1, True), ([5, 5, 5, 5], 1, False), ([9, 9], 1, False), ([9, 9], 2, True), ([9, 9, 7, 7], 2, True),
     ([9, 9, 8], 2, False), ([0] * 8, 2, True), ([0] * 9, 2, False)],
)  # fmt: skip
def test_slices_on_one_gpu_never_exceed_its_memory(sizes: list[int], gpus: int, fit: bool) -> None:
    assert slices_fit(sizes, gpus, 4, 16) is fit
