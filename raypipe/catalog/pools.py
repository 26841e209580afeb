"""What a NodePool lets through, and what its nodes carry.

What may be bought meets the cluster's requirements and one NodePool's. A requirement on a label that instance type,
zone or capacity type decide is a condition on them. A requirement on a label that the pool itself sets (``team In
[red, blue]``) chooses the label's value: one offering for each value that all requirements on that label admit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raypipe.catalog.left_out import LeftOut
from raypipe.model.nodes import InstanceType, NodePool
from raypipe.model.pods import PodSpec
from raypipe.model.requirements import ARCH, INSTANCE_TYPE, NODEPOOL, Operator, Requirement
from raypipe.model.resources import GPU
from raypipe.model.snapshot import ClusterSnapshot

MOST_VARIANTS = 16
"""Most combinations of values of a NodePool's own labels that are looked at."""

NAMING_KEYS = frozenset(
    {
        "karpenter.k8s.aws/instance-category",
        "karpenter.k8s.aws/instance-family",
        "cloud.google.com/machine-family",
        INSTANCE_TYPE,
        "beta.kubernetes.io/instance-type",
    }
)
"""Labels by which a requirement or a pod names a category, family or type."""

_ARCH_KEYS = frozenset({ARCH, "beta.kubernetes.io/arch"})
_PROVIDER_PREFIXES = (
    "kubernetes.io/",
    "beta.kubernetes.io/",
    "failure-domain.beta.kubernetes.io/",
    "node.kubernetes.io/",
    "topology.kubernetes.io/",
    "karpenter.",
    "cloud.google.com/",
    "kubernetes.azure.com/",
    "topology.k8s.aws/",
    "eks.amazonaws.com/",
    "raypipe.io/",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One NodePool (or none) of a cluster, its requirements together with the cluster's.

    Attributes:
        requirements: conditions on what is bought. variants: the labels that nodes of the pool may carry.
        opened: categories, families and types named with In, so that an excluded category is open to all.
    """

    cluster: ClusterSnapshot
    pool: NodePool | None
    requirements: tuple[Requirement, ...]
    variants: tuple[Mapping[str, str], ...]
    arch_replaced: bool
    opened: frozenset[str]

    @classmethod
    def of(
        cls, pool: NodePool | None, cluster: ClusterSnapshot, type_labels: frozenset[str], left_out: LeftOut
    ) -> Pool:
        """The pool of a cluster; `type_labels`: labels that types of the catalogue carry beside the well-known."""
        own = pool.requirements if pool is not None else ()
        labels = dict(pool.labels) if pool is not None else {}
        fixed = {*labels, *type_labels}
        chosen = [one for one in own if not one.key.startswith(_PROVIDER_PREFIXES) and one.key not in fixed]
        checked = (*cluster.requirements, *(one for one in own if one not in chosen))
        named = (one.values for one in checked if one.key in NAMING_KEYS and one.operator is Operator.IN)
        return cls(
            cluster=cluster,
            pool=pool,
            requirements=checked,
            variants=({},) if pool is None else _variants(chosen, {**labels, NODEPOOL: pool.name}, pool.name, left_out),
            arch_replaced=any(one.key in _ARCH_KEYS for one in checked),
            opened=frozenset(itertools.chain.from_iterable(named)),
        )

    def may_be_of(self, kind: InstanceType) -> bool:
        """Whether the type's own labels leave a chance; requirements on what zone or pool decides are kept open."""
        return all(one.admits(kind.labels) for one in self.requirements if one.key in kind.labels)

    def labels(self, common: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
        """The labels of each variant that the requirements admit, on top of what type and place decide."""
        for variant in self.variants:
            labels = {**common, **variant}
            if all(one.admits(labels) for one in self.requirements):
                yield labels

    def opens(self, kind: InstanceType) -> bool:
        """Whether everybody may use the type, not only pods that name it."""
        excluded = kind.category in self.cluster.settings.exclude_instance_categories
        return not excluded or bool(self.opened & {kind.category, kind.family, kind.name})

    def slicings(self, kind: InstanceType) -> tuple[int, ...]:
        """Slices a GPU, 0 for whole: both where the cluster divides GPUs of that kind."""
        slices = self.cluster.gpu_slices.get(kind.gpu_name, 0) if kind.allocatable.get(GPU) else 0
        return (0, slices) if slices else (0,)


def _variants(
    chosen: Sequence[Requirement], fixed: Mapping[str, str], name: str, left_out: LeftOut
) -> tuple[Mapping[str, str], ...]:
    """The pool's own labels with each combination of values that its requirements on further labels leave."""
    choices: list[list[tuple[str, str]]] = []
    for key in sorted({one.key for one in chosen}):
        on_key = [one for one in chosen if one.key == key]
        values = {value for one in on_key if one.operator is Operator.IN for value in one.values}
        if any(one.operator is Operator.IN for one in on_key):
            admitted = sorted(value for value in values if all(one.admits_value(value) for one in on_key))
            choices.append([(key, value) for value in admitted])
            if not admitted:
                left_out.count("nodepool-requirement", f"{name}: its requirements leave no value of {key}")
            continue
        for one in on_key:
            if not one.admits_value(None):
                message = f"{name}: {one} sets no value, so no pod is taken to select it"
                left_out.count("nodepool-requirement", message)
    combinations = list(itertools.islice(itertools.product(*choices), MOST_VARIANTS + 1))
    if len(combinations) > MOST_VARIANTS:
        message = f"{name}: only {MOST_VARIANTS} combinations of its own labels are looked at"
        left_out.count("nodepool-requirement", message)
    return tuple({**fixed, **dict(one)} for one in combinations[:MOST_VARIANTS])


def names_of(spec: PodSpec) -> set[str]:
    """Categories, families and types that a pod names: by selector, by In in its affinity, by its inclusions."""
    names = {value for key, value in spec.node_selector.items() if key in NAMING_KEYS}
    for term in spec.node_affinity:
        for part in term:
            if part.key in NAMING_KEYS and part.operator is Operator.IN:
                names.update(part.values)
    return names | set(spec.family_inclusions)


def named_by_pods(cluster: ClusterSnapshot) -> frozenset[str]:
    """Categories, families and types that some pod of the cluster names."""
    specs = {id(group.spec): group.spec for group in cluster.demand}
    specs |= {id(bound.spec): bound.spec for bound in cluster.bound}
    return frozenset(itertools.chain.from_iterable(map(names_of, specs.values())))
