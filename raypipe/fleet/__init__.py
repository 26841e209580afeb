"""Many clusters: dealt out, merged, and what they share divided."""

from raypipe.fleet.executor import Executor, Serial
from raypipe.fleet.merge import merged
from raypipe.fleet.plan import plan_fleet

__all__ = ["Executor", "Serial", "merged", "plan_fleet"]
