"""What changes in a running cluster: nodes that are empty, under-used, expired, interrupted, or too dear."""

from raypipe.disruption.blockers import blockers, is_empty
from raypipe.disruption.leaving import announced, as_left

__all__ = ["announced", "as_left", "blockers", "is_empty"]
