"""What an operator may choose: frozen values, a unit and a reason under each.

Settings come from ``--settings FILE`` (a YAML mapping), the fleet file's ``settings`` and a cluster's own ``settings``,
the later winning. Every budget counts work (iterations, columns, search nodes), never seconds, so that a plan can be
repeated; a time budget only stops between solver calls.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

from raypipe.errors import SettingsError, nearest

DEFAULT_EXCLUDED_CATEGORIES = ("inf", "trn", "hpc", "mac", "f", "vt", "dl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The choices of an operator. Field names are the keys of every settings file."""

    gap_target_fraction: float = 0.01
    """A plan within this of its bound is called `within-gap`. 1 % is below what a month's price noise costs."""

    exclude_instance_categories: tuple[str, ...] = DEFAULT_EXCLUDED_CATEGORIES
    """Instance categories never bought unless named: other accelerators, licences or placement rules."""

    burstable: str = "sustained"
    """How burstable types are priced: sustained (list + surcharge for steady load), list, or exclude."""

    price_multiplier: float = 1.0
    """Factor on list prices, for private discounts. In (0, 100]."""

    spot_price_ratio_estimate: float | None = None
    """Spot price as a fraction of on-demand where the catalogue has none for a type; unset: no such offering."""

    max_spot_price_ratio: float = 1.0
    """Spot offerings dearer than this fraction of on-demand are left out; 1.0 is off."""

    max_spot_interrupt_bucket: int = 4
    """Spot offerings of a higher interruption bucket (0..4: <5, 5-10, 10-15, 15-20, >20 %) are left out; 4 is off."""

    reserve: str = "published"
    """Allocatable: published, else by the provider's formula; or eks, gke, aks: that formula for all types."""

    reserved: tuple[Mapping[str, Any], ...] = ()
    """Reserved capacity: mappings with instanceType, zone, count, usdPerHour."""

    custom_shapes: tuple[Mapping[str, Any], ...] = ()
    """Custom machine families: mappings with family, usdPerVcpuHour, usdPerGibHour (see catalog/custom.py)."""

    manage: str = "all"
    """all: every pod is planned; labelled: only pods with the label elotl-luna=true (or one of managed_labels)."""

    managed_labels: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"elotl-luna": "true"})
    """With manage: labelled, a pod that has one of these labels is planned."""

    managed_annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """With manage: labelled, a pod that has one of these annotations is planned."""

    expendable_below_priority: int = -10
    """Pods of a lower priority are left out (`expendable`), as with Cluster Autoscaler."""

    lp_rounds: int = 160
    """Most rounds of column generation a cluster. More lower the cost; it levels off between 20 and 160."""

    search_nodes: int = 2_000
    """Most branch-and-bound nodes of one MILP call."""

    neighbourhoods: int = 6
    """Most large-neighbourhood searches a cluster."""

    enumerate_patterns: int = 20_000
    """Small problems with at most this many node fillings are solved by listing them all, to proven optimality."""

    admission_checks: int = 400
    """Most feasibility checks while the order of admission is worked out under a limit."""

    max_alternatives: int = 3
    """How many kinds of node not bought are listed with the reason."""


_CHOICES = {
    "burstable": ("sustained", "list", "exclude"),
    "reserve": ("published", "eks", "gke", "aks"),
    "manage": ("all", "labelled"),
}
_RANGES: dict[str, tuple[float, float]] = {
    "gap_target_fraction": (0.0, 10.0),
    "price_multiplier": (1e-6, 100.0),
    "spot_price_ratio_estimate": (1e-6, 1.0),
    "max_spot_price_ratio": (0.0, 10.0),
    "max_spot_interrupt_bucket": (0, 4),
    "lp_rounds": (0, 10_000),
    "search_nodes": (1, 1_000_000),
    "neighbourhoods": (0, 100_000),
    "enumerate_patterns": (0, 1_000_000),
    "admission_checks": (1, 1_000_000),
    "max_alternatives": (0, 50),
    "expendable_below_priority": (-(2**31), 2**31),
}


def with_overrides(base: Settings, values: Mapping[str, object], where: str = "settings") -> Settings:
    """Return `base` with `values` set, or raise SettingsError naming key, value, expectation and nearest spelling."""
    hints = get_type_hints(Settings)
    wrong: list[str] = []
    good: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            near = nearest(str(key), hints)
            wrong.append(f"{where}.{key}: unknown setting" + (f" (did you mean {near!r}?)" if near else ""))
            continue
        try:
            good[key] = _checked(key, value, hints[key])
        except ValueError as error:
            wrong.append(f"{where}.{key}: {error}")
    if wrong:
        raise SettingsError("\n".join(wrong))
    return dataclasses.replace(base, **good)


def _checked(key: str, value: object, hint: Any) -> object:
    """Return the value as its field wants it; raise ValueError saying what was found and expected."""
    kinds = get_args(hint) or (hint,)
    if value is None:
        if type(None) in kinds:
            return None
        raise ValueError("found nothing, expected a value")
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"found {value!r:.80}, expected a list")
        wanted: type = str if kinds[0] is str else Mapping
        if not all(isinstance(item, wanted) for item in value):
            raise ValueError(f"found {value!r:.80}, expected a list of {'names' if wanted is str else 'mappings'}")
        return tuple(value)
    if get_origin(hint) is not None and hint not in (float | None,):
        if not isinstance(value, Mapping) or not all(
            isinstance(k, str) and isinstance(v, str) for k, v in value.items()
        ):
            raise ValueError(f"found {value!r:.80}, expected a mapping of text to text")
        return dict(value)
    if str in kinds:
        if value not in _CHOICES[key]:
            raise ValueError(f"found {value!r:.80}, expected one of {', '.join(_CHOICES[key])}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"found {value!r:.80}, expected a number")
    low, high = _RANGES[key]
    if not low <= value <= high:
        raise ValueError(f"found {value}, expected a number from {low:g} to {high:g}")
    if int in kinds and value != int(value):
        raise ValueError(f"found {value}, expected a whole number")
    return int(value) if int in kinds else float(value)
