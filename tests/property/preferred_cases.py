"""Small random cases in which pods would like something: those of `constrained_cases`, with preferences and spreads.

Three of four ask for nothing that has to be kept, so that wishes have room. A point of weight is 0.05 cents here, and a
pod over maxSkew 2 cents: against nodes of 5 to 50 cents, wishes are worth it as often as not.
"""

from __future__ import annotations

import random
from dataclasses import replace

from raypipe.model.constraints import PodSelector, PodTerm, Preference, Spread
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.requirements import CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, ZONE, Operator, Requirement
from raypipe.settings import Settings
from tests.property.constrained_cases import RACK, Case, random_case

POINTS_A_CENT = 20
CENTS_A_POD_OVER = 2
PRICED = Settings(preference_usd_per_hour=0.01 / POINTS_A_CENT, skew_usd_per_hour=CENTS_A_POD_OVER / 100)

KEYS = (HOSTNAME, HOSTNAME, ZONE, ZONE, CAPACITY_TYPE, RACK)


def preferring_case(seed: int) -> Case:
    """The case of a seed."""
    draw, case = random.Random(f"preferring {seed}"), random_case(seed)
    return replace(case, groups=tuple(_preferring(draw, group, case, keeps=seed % 4 == 0) for group in case.groups))


def _preferring(draw: random.Random, group: PodGroup, case: Case, *, keeps: bool) -> PodGroup:
    spec = group.spec
    if not keeps:
        spec = replace(spec, pod_affinity=(), pod_anti_affinity=(), spread=(), host_ports=(), volume_affinity=())
    wishes = [_preference(draw, spec, case) for _ in range(draw.choice((0, 1, 1, 2)))]
    spreads = [_spread(draw, spec)] if draw.random() < 0.4 else []
    return replace(group, spec=replace(spec, preferences=tuple(wishes), spread=(*spec.spread, *spreads)))


def _preference(draw: random.Random, spec: PodSpec, case: Case) -> Preference:
    weight = draw.choice((1, 2, 3, 5)) * POINTS_A_CENT
    if draw.random() < 0.35:
        return Preference(weight=weight, nodes=(_of_nodes(draw, case),))
    term = PodTerm(topology_key=draw.choice(KEYS), pods=_pods(draw, spec))
    return Preference(weight=weight, pods=term, against=draw.random() < 0.5)


def _of_nodes(draw: random.Random, case: Case) -> Requirement:
    key, values = draw.choice(
        (
            (ZONE, (draw.choice(case.zones),)),
            (CAPACITY_TYPE, ("on-demand",)),
            (INSTANCE_TYPE, (draw.choice(case.kinds).name,)),
            (RACK, ("r1",)),
        )
    )
    return Requirement(key=key, operator=draw.choice((Operator.IN, Operator.IN, Operator.NOT_IN)), values=values)


def _pods(draw: random.Random, spec: PodSpec) -> PodSelector:
    """The pods of the group itself most often."""
    app = draw.choice((spec.labels["app"], spec.labels["app"], "a", "b"))
    namespaces = draw.choice(((spec.namespace,), (spec.namespace,), None))
    return PodSelector(namespaces=namespaces, labels=(Requirement(key="app", operator=Operator.IN, values=(app,)),))


def _spread(draw: random.Random, spec: PodSpec) -> Spread:
    return Spread(
        topology_key=draw.choice(KEYS),
        max_skew=draw.choice((1, 1, 2)),
        pods=_pods(draw, spec),
        required=False,
        honors_affinity=draw.random() < 0.7,
        honors_taints=draw.random() < 0.5,
    )
