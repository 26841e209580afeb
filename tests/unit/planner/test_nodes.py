"""Nodes of a plan: what is told of those that exist."""

from __future__ import annotations

from pathlib import Path

from tests.unit.planner.builders import ZONE, catalog_in, node, planned


def test_a_node_with_labels_of_old_is_told_like_any_other(tmp_path: Path) -> None:
    labels = {
        "beta.kubernetes.io/instance-type": "m5.xlarge",
        "failure-domain.beta.kubernetes.io/region": "us-east-1",
        "failure-domain.beta.kubernetes.io/zone": ZONE,
        "eks.amazonaws.com/capacityType": "ON_DEMAND",
    }
    (one,) = planned(catalog_in(tmp_path), nodes=(node("n", labels=labels),)).nodes
    told = (one.instance_type, one.region, one.zone, one.capacity_type, one.usd_per_hour)
    assert told == ("m5.xlarge", "us-east-1", ZONE, "on-demand", 0.2)
