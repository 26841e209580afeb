"""What live clusters cost, what the same pods would cost if everything were planned anew, and the first steps there.

Two plans say it: the one that keeps what exists (`pending`), whose actions are the steps, and the one that keeps
nothing (`whole`), a floor that nobody carries out. Clusters that could not be seen are in neither.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence

from raypipe.model.actions import ActionKind
from raypipe.model.plan import ClusterPlan, FleetPlan, PlannedNode
from raypipe.report.amounts import counted, hourly, monthly, percent
from raypipe.report.layout import entries

MOST_STEPS = 5
MOST_NAMED = 3
_WORDS = {
    ActionKind.SUSPEND_RAY_JOB: "suspend {} that {} kept out by a limit",
    ActionKind.SUSPEND_RAY_CLUSTER: "suspend {} that {} kept out by a limit",
    ActionKind.RESUME_RAY_JOB: "resume {} that {} suspended and would fit",
    ActionKind.RESUME_RAY_CLUSTER: "resume {} that {} suspended and would fit",
    ActionKind.SCALE_WORKER_GROUP: "divide the work of {} anew among alternatives that {} dearer",
    ActionKind.BOUND_WORKER_GROUP: "bound the worker groups of {} that {} dearer",
}


def anew(kept: FleetPlan, whole: FleetPlan, width: int | None = None) -> list[str]:
    """The sentence, and the steps; `kept`: the plan of scope pending, `whole`: of scope whole, of the same clusters."""
    planned = [one for one in kept.clusters if one.error is None]
    if not planned:
        return []
    text = f"{_now(kept, planned)} {_would(kept, whole, planned)}"
    lines = [text] if width is None else textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    if missing := [one.name for one in kept.clusters if one.error is not None]:
        lines += entries("not counted", [f"{', '.join(missing)}: could not be read"], 1, width)
    if kept.unpriced_nodes:
        lines += entries("not counted", [f"{counted(kept.unpriced_nodes, 'node')} without a known price"], 1, width)
    steps = [step for one in planned for step in _steps(one, named=len(planned) > 1)]
    steps = steps or ["none: nothing waits, and moving pods would save nothing"]
    return [*lines, *entries("first steps", steps, MOST_STEPS, width)]


def _now(kept: FleetPlan, planned: Sequence[ClusterPlan]) -> str:
    names = _some([one.name for one in planned])
    cost = kept.usd_per_hour.before
    nodes = sum(node.existing for one in planned for node in one.nodes)
    verb = "costs" if len(planned) == 1 else "cost"
    return f"{names} {verb} {hourly(cost)} ({monthly(cost)}) now, on {counted(nodes, 'node')}."


def _would(kept: FleetPlan, whole: FleetPlan, planned: Sequence[ClusterPlan]) -> str:
    """What the same pods would cost, and how much less no plan can."""
    now, then, bound = kept.usd_per_hour.before, whole.usd_per_hour.after, whole.usd_per_hour.lower_bound
    waiting = sum(_added(node) for one in planned for node in one.nodes) + sum(one.count for one in kept.unplaced)
    waiting += sum(_left_to_karpenter(one) for one in planned)
    who = "The same pods" + (f" and {waiting:,} that {'waits' if waiting == 1 else 'wait'}" if waiting else "")
    less = f", {percent((now - then) / now)} less" if 0 < then < now else ""
    text = f"{who}, planned anew, would cost {hourly(then)}{less}; no plan for them costs less than {hourly(bound)}."
    left = sum(one.count for one in whole.unplaced)
    return text + (f" {counted(left, 'pod')} {'has' if left == 1 else 'have'} no place in that plan." if left else "")


def _steps(plan: ClusterPlan, *, named: bool) -> list[str]:
    """What the plan would do first in one cluster."""
    within = f"{plan.name}: " if named else ""
    return [within + step for step in (*_changes(plan), *_purchases(plan), *_others(plan), *_moves(plan))]


def _changes(plan: ClusterPlan) -> Iterable[str]:
    """Changes of Ray objects, a line a kind."""
    by_kind: dict[ActionKind, list[str]] = {}
    for action in plan.actions:
        one = action.object
        if action.kind in _WORDS:
            by_kind.setdefault(action.kind, []).append(f"{one.kind}/{one.namespace}/{one.name}")
    for kind, objects in by_kind.items():
        yield _WORDS[kind].format(_some(objects), "is" if len(objects) == 1 else "are")


def _purchases(plan: ClusterPlan) -> Iterable[str]:
    """What is bought for pods that wait, a line in all."""
    bought = [node for node in plan.nodes if not node.existing]
    if bought:
        kinds = Counter(f"{node.instance_type} {node.capacity_type}" for node in bought)
        shown = _some([f"{count:,} × {kind}" for kind, count in kinds.most_common()])
        pods = sum(_added(node) for node in bought)
        who = f"{counted(pods, 'pod')} that {'waits' if pods == 1 else 'wait'}"
        yield f"buy {shown} for {who}: {hourly(plan.bought.usd_per_hour)} more"


def _others(plan: ClusterPlan) -> Iterable[str]:
    """What somebody else does."""
    if pods := _left_to_karpenter(plan):
        yield f"wait for Karpenter, which buys for {counted(pods, 'pod')} that {'waits' if pods == 1 else 'wait'}"


def _left_to_karpenter(plan: ClusterPlan) -> int:
    return sum(one.count for one in plan.excluded if one.reason == "karpenter")


def _moves(plan: ClusterPlan) -> Iterable[str]:
    """What giving nodes back would save, those that are empty first."""
    moving = plan.consolidation
    if not moving.usd_per_hour_saved:
        return
    empty = [node for node in plan.nodes if node.existing and not node.pods and node.usd_per_hour]
    saved = f"{hourly(moving.usd_per_hour_saved)} less in {counted(moving.actions, 'action')}"
    if not empty:
        yield f"move pods to fewer or cheaper nodes: {saved}"
        return
    cost = hourly(sum(node.usd_per_hour or 0.0 for node in empty))
    nodes = f"{counted(len(empty), 'node')} that {'holds' if len(empty) == 1 else 'hold'} no pods"
    names = _some([node.name for node in empty])
    yield f"give back {nodes} ({names}: {cost}), then move pods to fewer or cheaper ones: {saved}"


def _added(node: PlannedNode) -> int:
    return sum(node.added.values())


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
