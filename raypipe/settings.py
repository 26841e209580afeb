"""What an operator may choose: frozen values, a unit and a reason under each.

Settings come from ``--settings FILE`` (a YAML mapping), the fleet file's ``settings`` and a cluster's own ``settings``,
the later winning. Every budget counts work (iterations, columns, search nodes), never seconds, so that a plan can be
repeated; a time budget only stops between solver calls.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, get_args, get_origin, get_type_hints

from raypipe.errors import SettingsError, nearest
from raypipe.quantities import parse_quantity, parse_usd_per_hour

CERTIFY_SEARCH = 10_000_000
"""`Settings.certify_search` where a certificate is asked for and no other budget is set."""

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

    quotas: tuple[Mapping[str, Any], ...] = ()
    """Quotas of the cloud account: mappings with resource, amount and what counts against them (see `Quota`)."""

    relax: tuple[str, ...] = ()
    """What may be given up, in this order, for pods that fit nothing: instance-gpu-skus, instance-max-cost and the like
    (see `RELAXABLE`). Empty: nothing; such pods stay unplaced. A plan says what it gave up for whom."""

    manage: str = "all"
    """all: every pod is planned; labelled: only pods with the label elotl-luna=true (or one of managed_labels)."""

    managed_labels: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"elotl-luna": "true"})
    """With manage: labelled, a pod that has one of these labels is planned."""

    managed_annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """With manage: labelled, a pod that has one of these annotations is planned."""

    expendable_below_priority: int = -10
    """Pods of a lower priority are left out (`expendable`), as with Cluster Autoscaler."""

    consolidate: bool = False
    """Move pods where that saves: nodes are given back, or replaced by cheaper ones (--consolidate)."""

    remove_any: bool = False
    """Nodes that raypipe did not buy may be given back, too (--remove-any)."""

    consolidation_saving_fraction: float = 0.03
    """A node is given back for its cost only where that saves at least this fraction of its price, what replaces it
    taken off. Spot prices move by some percent a day: below that, what is moved today is moved back tomorrow. Of 1,000
    pods of which 70 % had left, 5 % came within 1 and 4 % of a plan from scratch (two seeds), 10 % within 3 and 7 %."""

    moved_pod_usd_per_hour: float = 0.001
    """$/h that moving one pod must save: a minute of a pod of 1 vCPU, spent once and earned back within the hour."""

    most_removed: int | None = None
    """Most nodes that a plan gives back for their cost, age or low use; unset: all that should go. The live loop sets
    it to what `max_removed_fraction` leaves, so that nothing is bought for nodes that do not go yet."""

    removal_checks: int = 12
    """Most times that a cluster is planned once more to see whether nodes may go and what that saves."""

    empty_after_s: int = 300
    """Own nodes without pods (DaemonSets apart) for so many seconds are given back. 300: a node is paid for by the
    second, and starting one takes a minute or two."""

    under_used_after_s: int = 300
    """With packing shared or dedicated, nodes under-used for so many seconds are emptied where others have room."""

    under_used_shared_fraction: float = 0.2
    """A node that pods share is under-used where they request less than this fraction of its cpu or of its memory."""

    under_used_dedicated_fraction: float = 0.75
    """The same of a node that one pod has to itself: it was chosen for that pod, and fits it more tightly."""

    expire_after_s: int | None = None
    """Own nodes older than so many seconds are replaced (kernel, image, certificates); unset: they do not expire."""

    interruption_taints: tuple[str, ...] = (
        "aws-node-termination-handler/spot-itn",
        "cloud.google.com/impending-node-termination",
    )
    """Keys of taints that say that a node will be gone within a minute or two."""

    move_local_storage: bool = False
    """Pods that keep data on their node (hostPath, emptyDir on disk) may be moved; else they hold it, as with Cluster
    Autoscaler."""

    bind: str = "raypipe"
    """Who binds pods to the nodes bought for them. raypipe: as planned, before a new node is opened to the scheduler,
    which does not know the plan; scheduler: kube-scheduler, and pods that it places otherwise may be left over."""

    bind_wait_s: int = 300
    """Seconds that a new node which is Ready is kept closed for what its pods need (GPUs show late) and for pods that
    are still to be created; then it is opened, and the scheduler goes on. 0: it is opened at once."""

    dear_worker_idle_s: int = 30
    """Idle seconds after which Ray's autoscaler lets a worker go whose work a cheaper group may do; Ray's own: 60."""

    preference_usd_per_hour: float = 0.0001
    """$/h for each point of weight of a preferred affinity that a pod misses: 0.01 for one of weight 100, which is half
    a spot vCPU. Apart from cost; 0: preferred affinities are not looked at."""

    skew_usd_per_hour: float = 0.01
    """$/h for each pod over the maxSkew of a ScheduleAnyway spread. Apart from cost; 0: they are not looked at."""

    node_overhead_usd_per_hour: float = 0.0
    """$/h for each node that is bought, beside its price: what one more node is to operate. Apart from cost."""

    lp_rounds: int = 160
    """Most rounds of column generation a cluster. More lower the cost; it levels off between 20 and 160."""

    warm_lp_rounds: int = 40
    """Most rounds of column generation from a pattern pool; where it has not settled by then, the pool fits too badly
    and the plan is made without it. With a pool of use 5 to 20 are enough. 0: pools are not used."""

    cut_rounds: int = 2
    """Most rounds of cuts that strengthen the bound; each costs as much as the bound before. 0: none."""

    bound_search: int = 10_000
    """Most work spent on a bound with whole numbers of nodes: about as many simplex iterations. Problems with more
    pairs of pods and node kinds that may go together have no such bound. 0: none has."""

    certify_search: int = 0
    """Most work spent on a better bound once the plan is made, in search nodes times pairs of pods and node kinds that
    may go together. 0: none; --certify takes 10,000,000, which is seconds for a hundred pods and minutes for
    thousands."""

    search_nodes: int = 2_000
    """Most branch-and-bound nodes of one MILP call."""

    neighbourhoods: int = 12
    """Most large-neighbourhood searches a cluster: two dives for half of the plan, then MILPs for a few nodes each,
    fewer where each is much work."""

    enumerate_patterns: int = 20_000
    """Small problems with at most this many node fillings are solved by listing them all, to proven optimality."""

    admission_checks: int = 400
    """Most feasibility checks while the order of admission is worked out under a limit."""

    fleet_rounds: int = 8
    """Most rounds in which clusters are packed again at the prices of what is scarce to the fleet. The bound is near
    its best after 4 to 6; where clusters differ in theirs, the largest counts."""

    max_alternatives: int = 3
    """How many kinds of node not bought are listed with the reason."""

    settle_s: float = 1.0
    """Seconds without a change after which the loop plans: pods of one Deployment come within one second."""

    settle_most_s: float = 10.0
    """Most seconds that the loop waits for changes to end; also how often it looks where none is seen."""

    launch_timeout_s: int = 300
    """Seconds in which a bought node has to register and be ready; then it is given up and bought elsewhere. Clouds
    take 30 to 120, large GPU machines up to 200."""

    capacity_failure_s: int = 180
    """Seconds for which an offering that could not be had is not bought again; most shortages outlast a minute."""

    max_nodes_bought: int = 100
    """Most nodes bought a cycle and cluster: a mistake in a manifest costs this many at a time, and can be seen."""

    max_usd_per_hour_added: float | None = None
    """Most $/h that a cycle may add to a cluster; unset: no such cap."""

    max_removed_fraction: float = 0.1
    """Most nodes that are given back at a time, as a fraction of the cluster's; one always may be."""

    lease_s: float = 15.0
    """Seconds after which a loop that no longer renews its Lease is taken for dead, as Kubernetes' own programs have
    it. Another loop acts after that, and a clock that is off does not matter."""


RELAXABLE = (
    "instance-gpu-skus",
    "instance-max-gpus",
    "instance-max-cost",
    "instance-offerings",
    "instance-family-inclusions",
    "instance-family-exclusions",
    "instance-type-regexp",
)
"""Annotations that `relax` may name: they bind what is bought for a pod, and not where kube-scheduler puts it."""

_CHOICES = {
    "burstable": ("sustained", "list", "exclude"),
    "reserve": ("published", "eks", "gke", "aks"),
    "manage": ("all", "labelled"),
    "bind": ("raypipe", "scheduler"),
}
_RANGES: dict[str, tuple[float, float]] = {
    "gap_target_fraction": (0.0, 10.0),
    "price_multiplier": (1e-6, 100.0),
    "spot_price_ratio_estimate": (1e-6, 1.0),
    "max_spot_price_ratio": (0.0, 10.0),
    "max_spot_interrupt_bucket": (0, 4),
    "preference_usd_per_hour": (0.0, 1_000.0),
    "skew_usd_per_hour": (0.0, 1_000.0),
    "node_overhead_usd_per_hour": (0.0, 1_000.0),
    "lp_rounds": (0, 10_000),
    "warm_lp_rounds": (0, 10_000),
    "cut_rounds": (0, 100),
    "bound_search": (0, 1_000_000_000),
    "certify_search": (0, 1_000_000_000),
    "search_nodes": (1, 1_000_000),
    "neighbourhoods": (0, 100_000),
    "enumerate_patterns": (0, 1_000_000),
    "admission_checks": (1, 1_000_000),
    "fleet_rounds": (1, 1_000),
    "max_alternatives": (0, 50),
    "settle_s": (0.0, 600.0),
    "settle_most_s": (0.1, 3_600.0),
    "launch_timeout_s": (1, 86_400),
    "capacity_failure_s": (0, 86_400),
    "max_nodes_bought": (0, 100_000),
    "max_usd_per_hour_added": (0.0, 1e9),
    "max_removed_fraction": (0.0, 1.0),
    "lease_s": (1.0, 3_600.0),
    "bind_wait_s": (0, 86_400),
    "dear_worker_idle_s": (0, 2**31 - 1),
    "consolidation_saving_fraction": (0.0, 1.0),
    "moved_pod_usd_per_hour": (0.0, 1_000.0),
    "most_removed": (0, 2**31 - 1),
    "removal_checks": (0, 10_000),
    "empty_after_s": (0, 2**31 - 1),
    "under_used_after_s": (0, 2**31 - 1),
    "under_used_shared_fraction": (0.0, 1.0),
    "under_used_dedicated_fraction": (0.0, 1.0),
    "expire_after_s": (1, 2**31 - 1),
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
            continue
        if key == "quotas":
            wrong += [f"{where}.{key}: {problem}" for problem in _quota_problems(good[key])]
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
        if key == "relax":
            _check_words(value)
        return tuple(value)
    if get_origin(hint) is not None and hint not in (float | None, int | None):
        if not isinstance(value, Mapping) or not all(
            isinstance(k, str) and isinstance(v, str) for k, v in value.items()
        ):
            raise ValueError(f"found {value!r:.80}, expected a mapping of text to text")
        return dict(value)
    if str in kinds:
        if value not in _CHOICES[key]:
            raise ValueError(f"found {value!r:.80}, expected one of {', '.join(_CHOICES[key])}")
        return value
    if bool in kinds:
        if not isinstance(value, bool):
            raise ValueError(f"found {value!r:.80}, expected true or false")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"found {value!r:.80}, expected a number")
    low, high = _RANGES[key]
    if not low <= value <= high:
        raise ValueError(f"found {value}, expected a number from {low:g} to {high:g}")
    if int in kinds and value != int(value):
        raise ValueError(f"found {value}, expected a whole number")
    return int(value) if int in kinds else float(value)


def _check_words(words: Sequence[str]) -> None:
    """Raise ValueError where one is no word of `relax`, or is there twice."""
    for number, word in enumerate(words):
        if word not in RELAXABLE:
            near = nearest(word, RELAXABLE)
            hint = f" (did you mean {near!r}?)" if near else ""
            raise ValueError(f"found {word!r:.80} at [{number}], expected one of {', '.join(RELAXABLE)}{hint}")
        if word in words[:number]:
            raise ValueError(f"found {word!r} again at [{number}], expected each word once")


QUOTA_RESOURCES = ("cpu", "nvidia.com/gpu", "nodes", "usdPerHour")
_QUOTA_LISTS = ("families", "categories", "gpuKinds")
_QUOTA_CHOICES = {
    "resource": QUOTA_RESOURCES,
    "capacityType": ("spot", "on-demand", "reserved"),
    "provider": ("aws", "gcp", "azure"),
}
QUOTA_KEYS = ("name", "resource", "amount", *_QUOTA_LISTS, "capacityType", "region", "provider", "used")
LONGEST_QUOTA_NAME = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much a cloud account may run at once of some kinds of node, whoever runs it; one entry of `quotas`.

    A node counts that is in every list given and of the capacity type, region and provider given; what is not given
    asks nothing. Capital letters do not matter. Clouds name their quotas by other words than nodes:

    * AWS, "Running On-Demand G and VT instances": ``{resource: cpu, amount: 96, categories: [g, vt], capacityType:
      on-demand, region: us-east-1}``. AWS counts letters; a category is all letters before the generation, so the
      standard quota is ``[a, c, d, h, i, im, is, m, r, t, z]``. Its on-demand quotas count reserved capacity as well:
      where some is used, ``capacityType: [on-demand, reserved]``.
    * Google Cloud, "NVIDIA T4 GPUs": ``{resource: nvidia.com/gpu, amount: 16, gpuKinds: [t4], region: us-central1}``.
    * Azure, "Standard DSv5 Family vCPUs": ``{resource: cpu, amount: 100, families: [Ds_v5], region: eastus}``.

    Clusters with the same entry share the quota. Two accounts with quotas of one name in one region need two names.

    Attributes:
        resource: cpu (vCPUs of the instance), ``nvidia.com/gpu`` (physical GPUs), nodes or usdPerHour.
        amount, used: in the smallest unit. used: what counts already outside of the clusters that share the quota.
        families, categories, gpu_kinds, capacity_types: in lower case, in order; empty: any.
    """

    name: str
    resource: str
    amount: int
    families: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    gpu_kinds: tuple[str, ...] = ()
    capacity_types: tuple[str, ...] = ()
    region: str | None = None
    provider: str | None = None
    used: int = 0

    @property
    def limit_name(self) -> str:
        """What plans call it."""
        return f"quota/{self.name}/{self.resource}"

    def is_for(self, provider: str, region: str) -> bool:
        """Whether clusters there are under it."""
        return self.provider in (None, provider) and self.region in (None, region)


def quotas_of(settings: Settings) -> tuple[Quota, ...]:
    """Read the setting `quotas`, or raise SettingsError with all that is wrong in it."""
    wrong = list(_quota_problems(settings.quotas))
    if wrong:
        raise SettingsError("\n".join(f"settings.quotas: {problem}" for problem in wrong))
    return tuple(_quota(entry) for entry in settings.quotas)


def quota_name(entry: Mapping[str, Any]) -> str:
    """The name of an entry, or one made from what it counts.

    >>> quota_name({"categories": ["G", "VT"], "capacityType": "spot", "region": "us-east-1"})
    'us-east-1 spot g,vt'
    """
    if entry.get("name") is not None:
        return str(entry["name"])
    parts = [str(entry[key]) for key in ("provider", "region") if entry.get(key) is not None]
    parts += [",".join(_names(entry, key)) for key in ("capacityType", *_QUOTA_LISTS) if entry.get(key)]
    return " ".join(parts) or "all"


def _quota(entry: Mapping[str, Any]) -> Quota:
    return Quota(
        name=quota_name(entry),
        resource=entry["resource"],
        amount=_quota_amount(entry["amount"], entry["resource"]),
        families=_names(entry, "families"),
        categories=_names(entry, "categories"),
        gpu_kinds=_names(entry, "gpuKinds"),
        capacity_types=_names(entry, "capacityType"),
        region=entry.get("region"),
        provider=entry.get("provider"),
        used=_quota_amount(entry["used"], entry["resource"]) if entry.get("used") is not None else 0,
    )


def _names(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """One name or a list of them, the same for the same names."""
    value = entry.get(key) or ()
    return tuple(sorted({name.lower() for name in ([value] if isinstance(value, str) else value)}))


def _quota_amount(value: object, resource: str) -> int:
    """An amount in the smallest unit; parts of things are refused, since rounding them up would exceed the quota."""
    if resource == "usdPerHour":
        return parse_usd_per_hour(value)
    amount = parse_quantity(value, resource)
    if resource != "cpu" and parse_quantity(value, "cpu") != 1000 * amount:
        raise ValueError(f"{value!r}, expected a whole number")
    return amount


def _quota_problems(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with entries, each by its place, what was found and what was expected."""
    good: list[tuple[int, Quota]] = []
    for number, entry in enumerate(entries):
        problems = list(_entry_problems(entry))
        yield from (f"found {found} at [{number}]{key}, expected {wanted}" for key, found, wanted in problems)
        if not problems:
            good.append((number, _quota(entry)))
    for (_, one), (number, other) in combinations(good, 2):
        if one.limit_name == other.limit_name and _meet(one, other):
            wanted = "each name once for a resource in a region"
            yield f"found {other.name!r:.80} again at [{number}].name, expected {wanted}"


def _meet(one: Quota, other: Quota) -> bool:
    """Whether some cluster may be under both."""
    places = ((one.provider, other.provider), (one.region, other.region))
    return all(None in pair or pair[0] == pair[1] for pair in places)


def _entry_problems(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Key, what was found and what was expected, for all that is wrong with one entry."""
    for key, value in entry.items():
        if key not in QUOTA_KEYS:
            yield "", f"an unknown key {key!r:.80}", _one_of(key, QUOTA_KEYS)
        elif key in _QUOTA_CHOICES:
            yield from ((f".{key}", *problem) for problem in _choice_problems(value, key))
        elif key in _QUOTA_LISTS and value is not None and not _is_names(value):
            yield f".{key}", f"{value!r:.80}", "a list of names"
        elif key in ("name", "region") and value is not None and not _is_name(value):
            yield f".{key}", f"{value!r:.80}", "a name"
    if entry.get("resource") is None:
        yield ".resource", "nothing", _one_of("", QUOTA_RESOURCES)
    if entry.get("amount") is None:
        yield ".amount", "nothing", "a quantity"
    for key in ("amount", "used"):
        if entry.get(key) is not None and entry.get("resource") in QUOTA_RESOURCES:
            try:
                _quota_amount(entry[key], entry["resource"])
            except ValueError as error:
                found, _, wanted = str(error).partition(", expected ")
                yield f".{key}", found, wanted


def _choice_problems(value: object, key: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a value of which there are few; only capacity types may be several."""
    for one in value if key == "capacityType" and isinstance(value, list | tuple) else (value,):
        if one not in _QUOTA_CHOICES[key] and not (one is None is value):
            yield f"{one!r:.80}", _one_of(one, _QUOTA_CHOICES[key])


def _one_of(word: object, choices: Iterable[str]) -> str:
    near = nearest(word, choices) if isinstance(word, str) else None
    return f"one of {', '.join(choices)}" + (f" (did you mean {near!r}?)" if near else "")


def _is_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(_is_name(one) for one in value)


def _is_name(value: object) -> bool:
    """Whether it is a name that may stand in a line of text."""
    if not isinstance(value, str):
        return False
    return 0 < len(value) <= LONGEST_QUOTA_NAME and value.strip() == value and value.isprintable()
