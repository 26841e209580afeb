"""Worlds small enough to follow by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raypipe.model.nodes import Offering
from tests.benchmark.world import ANY_NUMBER, World, Zones

GIB = 2**30


def kind(name: str, vcpus: int, gib: int, usd: float, capacity_type: str = "on-demand") -> Offering:
    return Offering(
        provider="aws",
        region="us-east-1",
        zone="us-east-1a",
        instance_type=name,
        family=name,
        category=name[0],
        arch="amd64",
        capacity_type=capacity_type,
        labels={"karpenter.k8s.aws/instance-generation": "7"},
        capacity={"cpu": vcpus * 1000, "memory": gib * GIB},
        allocatable={"cpu": vcpus * 1000, "memory": gib * GIB},
        list_usd_nanos_per_hour=round(usd * 1e9),
        usd_nanos_per_hour=round(usd * 1e9),
    )


def world(kinds: list[Offering], pods: list[tuple[int, int, int]]) -> World:
    """Shapes of (count, vCPUs, GiB), each admitted everywhere."""
    return World(
        demand=np.array([count for count, _, _ in pods]),
        requests=np.array([[cpu * 1000, gib * GIB] for _, cpu, gib in pods]),
        admits=np.ones((len(pods), len(kinds)), dtype=bool),
        most=np.full(len(pods), ANY_NUMBER),
        zones=(Zones.FREE,) * len(pods),
        keys=tuple(f"Deployment/default/{k}" for k in range(len(pods))),
        capacity=np.array([[one.allocatable["cpu"], one.allocatable["memory"]] for one in kinds]),
        price=np.array([one.usd_nanos_per_hour / 1e9 for one in kinds]),
        spot=np.array([one.capacity_type == "spot" for one in kinds]),
        zone=np.zeros(len(kinds), dtype=np.int64),
        offerings=tuple(kinds),
        resources=("cpu", "memory"),
    )


def without_spot(one: World, shape: int) -> World:
    admits = one.admits.copy()
    admits[shape] &= ~one.spot
    return replace(one, admits=admits)


SMALL, BIG, HUGE = kind("m.small", 4, 16, 0.2), kind("m.big", 16, 64, 0.75), kind("m.huge", 64, 256, 2.9)
SPOT = kind("m.small", 4, 16, 0.08, "spot")
