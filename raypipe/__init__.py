"""raypipe plans the cheapest Kubernetes capacity for Ray and vLLM workloads and proves how close to optimal it is.

The names below are loaded when first used, so that ``import raypipe`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raypipe.api import FleetPlan, Planner, load_catalog, plan, read, validate

__all__ = ["FleetPlan", "Planner", "__version__", "load_catalog", "plan", "read", "validate"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        from raypipe import api

        return getattr(api, name)
    raise AttributeError(f"module 'raypipe' has no attribute {name!r}")
