"""A port of the node that a DaemonSet takes is taken on every node that its pods come to, bought ones among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.model.constraints import HostPort
from raypipe.model.pods import BoundPods, DaemonSet, PodGroup, PodSpec
from raypipe.model.requirements import INSTANCE_TYPE
from raypipe.model.snapshot import FleetSnapshot
from raypipe.validation import check_plan
from tests.unit.planner.builders import GIB, catalog_in, cluster, node, planned, spec

PORT = HostPort(port=80)
WEB = PodGroup(key="Deployment/d/web", spec=spec(1000, host_ports=(PORT,)), count=2)


def ingress(**fields: Any) -> DaemonSet:
    """A DaemonSet that takes the port; `fields` are its pods' own."""
    own: dict[str, Any] = {"requests": {"cpu": 100, "memory": GIB, "pods": 1}, "host_ports": (PORT,)}
    return DaemonSet(key="DaemonSet/d/ingress", spec=PodSpec(**own | fields))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def test_a_port_that_a_daemonset_takes_everywhere_is_free_nowhere(catalog: Catalog) -> None:
    plan = planned(catalog, WEB, daemonsets=(ingress(),), nodes=(node("n"),))
    (entry,) = plan.unplaced
    assert (entry.count, entry.reason) == (2, "constraint")
    assert entry.message == "constraint: host port 80/TCP (which DaemonSet/d/ingress takes) is kept on no node"


@pytest.mark.parametrize(
    ("daemonset", "kinds"),
    [
        pytest.param(ingress(node_selector={INSTANCE_TYPE: "m5.xlarge"}), {"m5.2xlarge"}, id="on other nodes alone"),
        pytest.param(ingress(host_ports=(HostPort(port=81),)), {"m5.xlarge"}, id="another port"),
        pytest.param(ingress(host_ports=(HostPort(port=80, protocol="UDP"),)), {"m5.xlarge"}, id="another protocol"),
    ],
)
def test_pods_are_kept_where_the_port_is_free(daemonset: DaemonSet, kinds: set[str], catalog: Catalog) -> None:
    plan = planned(catalog, WEB, daemonsets=(daemonset,))
    assert plan.unplaced == ()
    assert {one.instance_type for one in plan.nodes} == kinds
    assert [sum(one.added.values()) for one in plan.nodes] == [1, 1]


def test_an_existing_node_that_the_daemonset_comes_to_has_no_free_port(catalog: Catalog) -> None:
    """Its pod is there on one node, and still to come on the other: a third node is bought where it does not come."""
    selective = ingress(node_selector={"ingress": "yes"})
    nodes = tuple(node(name, labels={"ingress": "yes"}) for name in ("here", "soon"))
    bound = BoundPods(node="here", key=selective.key, spec=selective.spec, counted=False, daemonset=selective.key)
    plan = planned(catalog, WEB, daemonsets=(selective,), nodes=nodes, bound=(bound,))
    assert {one.name: sum(one.added.values()) for one in plan.nodes if one.existing} == {"here": 0, "soon": 0}
    assert (plan.unplaced, sum(not one.existing for one in plan.nodes)) == ((), 2)


def test_a_plan_that_forgets_the_daemonset_is_refused(catalog: Catalog) -> None:
    knowing = cluster(WEB, daemonsets=(ingress(),))
    forgetful = cluster(WEB, daemonsets=(ingress(host_ports=()),))
    plan = plan_fleet(FleetSnapshot(clusters=(forgetful,)), catalog)
    with pytest.raises(InvalidPlanError, match=r"Deployment/d/web and DaemonSet/d/ingress on node .* take port 80/TCP"):
        check_plan(plan, FleetSnapshot(clusters=(knowing,)), catalog)
