"""The second opinion: is a plan legal for the snapshot that it was made from?

Everything is worked out again from first principles, pod by kind of pod and node by node: who may be where, what fits,
whether each pod is somewhere once, what things cost, what limits count. It shares the model and the catalogue's prices
with the planner and no line of its arithmetic: `raypipe.packing` and `raypipe.planner` are never imported here, and the
filters are written a second time, as scalar rules.
"""

from raypipe.validation.check import check_plan

__all__ = ["check_plan"]
