"""Plan again and again, on Ray. Run it with: python examples/planner_on_ray.py examples/fleet

The Planner starts Ray (or joins one: address="auto") and keeps it, and what it knows of clusters that do not change.
"""

import dataclasses
import sys

import raypipe
from raypipe.model.snapshot import FleetSnapshot


def main(paths: list[str]) -> None:
    """Plan a fleet, the same again, and once more after one cluster has grown."""
    fleet = raypipe.read(*paths)
    with raypipe.Planner(executor="ray") as planner:
        for told, snapshot in (("first", fleet), ("again", fleet), ("grown", grown(fleet))):
            plan = planner.plan(snapshot)
            print(f"{told}: ${plan.usd_per_hour.after:.2f}/h, at least ${plan.usd_per_hour.lower_bound:.2f}/h")


def grown(fleet: FleetSnapshot) -> FleetSnapshot:
    """The fleet with twice the pods in its first cluster."""
    first, *others = fleet.clusters
    demand = tuple(dataclasses.replace(group, count=2 * group.count) for group in first.demand)
    return dataclasses.replace(fleet, clusters=(dataclasses.replace(first, demand=demand), *others))


if __name__ == "__main__":
    main(sys.argv[1:] or ["examples/fleet"])
