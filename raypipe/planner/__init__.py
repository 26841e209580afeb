"""Plan one cluster: a pure function from snapshot, catalogue and settings to a plan."""

from raypipe.planner.cluster import plan_cluster

__all__ = ["plan_cluster"]
