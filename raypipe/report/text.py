"""The plan as a table: what to buy, what it costs, how sure that is, what is left out, what to do next.

The order is that of a reader's questions. Kinds of node that are bought stand above the best that are not, with the
reason; then the total, the proven bound, and everything that is not as asked for. Nothing is told by colour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raypipe.model.actions import ActionKind
from raypipe.model.plan import (
    ClusterPlan,
    FleetPlan,
    Note,
    PlannedNode,
    Scope,
    Status,
    Unplaced,
)
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY
from raypipe.model.snapshot import FleetSnapshot
from raypipe.quantities import parse_quantity
from raypipe.report.alternatives import divided
from raypipe.report.amounts import ABSENT, counted, hourly, monthly, percent, share
from raypipe.report.anew import anew
from raypipe.report.layout import Column, Row, entries, labelled, table
from raypipe.report.preferences import objective

MOST_UNPLACED = 10
MOST_NAMED = 5
MOST_NOTES = 8

_COLUMNS = (
    Column(title="nodes", right=True),
    Column(title="instance type"),
    Column(title="capacity"),
    Column(title="zones", expendable=True),
    Column(title="$/h each", right=True),
    Column(title="$/h", right=True),
    Column(title="cpu", right=True),
    Column(title="mem", right=True),
    Column(title="gpu", right=True),
    Column(title="pods", right=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What a report knows beside the plan.

    Attributes:
        fleet: the snapshot that was planned, for provider and region; None: only the plan is at hand.
        seconds: how long planning took, or None.
        width: columns of the terminal, or None for a pipe.
        saved_as: the file that holds the plan as JSON, or None.
        whole: the plan of scope whole for the same clusters, which the report begins with (`anew`); None: not made.
    """

    fleet: FleetSnapshot | None = None
    seconds: float | None = None
    width: int | None = None
    saved_as: str | None = None
    whole: FleetPlan | None = None


def render(plan: FleetPlan, telling: Telling | None = None) -> str:
    """The whole plan as lines of text, without a trailing newline."""
    known = telling or Telling()
    lines: list[str] = []
    if known.whole is not None:
        lines += [*anew(plan, known.whole, known.width), ""]
    for cluster in plan.clusters:
        lines += [*_cluster(plan, cluster, known), ""]
    if len(plan.clusters) > 1:
        lines += [*_fleet(plan, known), ""]
    lines += _notes(plan.notes, known.width)
    lines += _next(plan, known)
    return "\n".join(lines).rstrip()


def _cluster(plan: FleetPlan, cluster: ClusterPlan, known: Telling) -> list[str]:
    lines = [_header(plan, cluster, known), ""]
    if cluster.error is not None:
        return [*lines, *entries("error", cluster.error.splitlines(), 20, known.width)]
    if cluster.stale:
        lines += labelled("stale", "the last good plan, shown and not acted on", known.width)
    if rows := _rows(cluster):
        columns, cells = _without_empty(rows)
        lines += [*table(columns, cells, known.width), ""]
    lines += _cost(plan.scope, cluster, known.width)
    lines += _left_out(cluster, known.width)
    lines += _notes(cluster.notes, known.width)
    return lines


def _header(plan: FleetPlan, cluster: ClusterPlan, known: Telling) -> str:
    groups: Counter[str] = Counter()
    for node in cluster.nodes:
        groups.update(node.pods)
    for entry in cluster.unplaced:
        groups[entry.pods] += entry.count
    parts = [_place(cluster, known.fleet)]
    if cluster.error is None:
        parts.append(f"{counted(groups.total(), 'pod')} of {counted(len(groups), 'group')}")
    if known.seconds is not None and len(plan.clusters) == 1:
        parts.append(f"planned in {known.seconds:.1f} s")
    return f"{cluster.name}   " + " · ".join(part for part in parts if part)


def _place(cluster: ClusterPlan, fleet: FleetSnapshot | None) -> str:
    """Provider and region, from the snapshot; the region alone, from the nodes."""
    for seen in fleet.clusters if fleet is not None else ():
        if seen.name == cluster.name:
            return f"{seen.provider} {seen.region}"
    return " ".join(sorted({node.region for node in cluster.nodes}))


def _rows(cluster: ClusterPlan) -> list[Row]:
    """Kinds bought, the dearest first; the nodes kept; the best kinds not bought."""
    kinds: dict[tuple[str, str, str, float], list[PlannedNode]] = {}
    for node in cluster.nodes:
        if not node.existing:
            kind = (node.instance_type, node.capacity_type, node.pool or "", node.usd_per_hour or 0.0)
            kinds.setdefault(kind, []).append(node)
    ordered = sorted(kinds.items(), key=lambda entry: (-entry[0][3] * len(entry[1]), entry[0]))
    rows = [_bought(nodes, f"CHOSEN from NodePool {pool}" if pool else "CHOSEN") for (_, _, pool, _), nodes in ordered]
    if kept := [node for node in cluster.nodes if node.existing]:
        rows.append(_kept(kept))
    return [*rows, *_alternatives(cluster)]


def _bought(nodes: Sequence[PlannedNode], remark: str) -> Row:
    first = nodes[0]
    price = first.usd_per_hour or 0.0
    head = (f"{len(nodes):,}", first.instance_type, first.capacity_type, _zones(nodes))
    return Row(cells=(*head, f"{price:.4f}", f"{price * len(nodes):,.3f}", *_fill(nodes)), remark=remark)


def _kept(nodes: Sequence[PlannedNode]) -> Row:
    added = sum(sum(node.added.values()) for node in nodes)
    cost = sum(node.usd_per_hour or 0.0 for node in nodes)
    kinds = {node.instance_type for node in nodes}
    kind = kinds.pop() if len(kinds) == 1 else f"{len(kinds)} types"
    capacity = {node.capacity_type for node in nodes}
    head = (f"{len(nodes):,}", kind or "existing", capacity.pop() if len(capacity) == 1 else "mixed", _zones(nodes))
    remark = f"KEPT, +{counted(added, 'pod')}" if added else "KEPT"
    return Row(cells=(*head, "", f"{cost:,.3f}", *_fill(nodes)), remark=remark)


def _alternatives(cluster: ClusterPlan) -> list[Row]:
    return [
        Row(
            cells=(ABSENT, other.instance_type, other.capacity_type, "", f"{other.usd_per_hour:.4f}"),
            remark=other.why_not or "",
        )
        for other in cluster.considered
        if not other.chosen
    ]


def _zones(nodes: Iterable[PlannedNode]) -> str:
    """Zones without the region that they repeat: ``a,b``."""
    names = {node.zone.removeprefix(node.region).lstrip("-") or node.zone for node in nodes}
    return ",".join(sorted(names))


def _fill(nodes: Sequence[PlannedNode]) -> tuple[str, str, str, str]:
    """How full nodes are with requests and reserve, in cpu, memory and GPUs (or their slices), and their pods."""
    gpus = share(*_amounts(nodes, (GPU, GPU_SHARED)))
    pods = sum(sum(node.pods.values()) for node in nodes)
    return share(*_amounts(nodes, (CPU,))), share(*_amounts(nodes, (MEMORY,))), gpus, f"{pods:,}"


def _amounts(nodes: Iterable[PlannedNode], names: Sequence[str]) -> tuple[int, int]:
    """What is taken and what there is of the resources `names`."""
    taken = room = 0
    for node in nodes:
        for name in names:
            taken += _amount(node.requested, name) + _amount(node.reserved, name)
            room += _amount(node.allocatable, name)
    return taken, room


def _amount(quantities: Mapping[str, str], name: str) -> int:
    return parse_quantity(quantities.get(name, "0"), name)


def _without_empty(rows: Sequence[Row]) -> tuple[tuple[Column, ...], list[Row]]:
    """Columns and rows without the GPU column where no node has GPUs."""
    number = next(n for n, column in enumerate(_COLUMNS) if column.title == "gpu")
    if any(row.cells[number : number + 1] not in ((), (ABSENT,)) for row in rows):
        return _COLUMNS, list(rows)
    columns = tuple(column for n, column in enumerate(_COLUMNS) if n != number)
    return columns, [Row(cells=row.cells[:number] + row.cells[number + 1 :], remark=row.remark) for row in rows]


def _cost(scope: Scope, plan: ClusterPlan | FleetPlan, width: int | None) -> list[str]:
    """Total, bound, comparison: the same lines for a cluster and for the fleet."""
    cost = plan.usd_per_hour
    lines = labelled("total", f"{hourly(cost.after)}  ({monthly(cost.after)}){_against(scope, plan)}", width)
    lines += labelled("proven bound", f"{hourly(cost.lower_bound)}  {_bound(plan)}", width)
    lines += objective(plan, width)
    if cost.on_demand_only is not None:
        lines += labelled("on-demand only", _on_demand(cost.after, cost.on_demand_only), width)
    if plan.unpriced_nodes:
        lines += labelled("unpriced", f"{counted(plan.unpriced_nodes, 'existing node')} without a known price", width)
    return lines


def _against(scope: Scope, plan: ClusterPlan | FleetPlan) -> str:
    """What the plan costs beside what is there now; nothing where nothing is."""
    before, after = plan.usd_per_hour.before, plan.usd_per_hour.after
    if before == 0:
        return ""
    now = f"     now {hourly(before)}: "
    if after < before:
        return now + (f"saves {hourly(before - after)}" if scope is Scope.PENDING else f"{hourly(before - after)} less")
    return now + (f"adds {hourly(after - before)}" if after > before else "nothing to add")


def _bound(plan: ClusterPlan | FleetPlan) -> str:
    if plan.usd_per_hour.after == 0:
        return "nothing is bought"
    if plan.gap_fraction is None:
        return "nothing is proven of the cost"
    if plan.status is Status.OPTIMAL:
        return "no plan can be cheaper: this one is optimal"
    text = f"no plan can be cheaper: this one is within {percent(plan.gap_fraction)}"
    if "preferences" in plan.objective.terms:
        text += ", weighed against what pods prefer"
    if isinstance(plan, ClusterPlan) and plan.bought.gap_fraction and plan.usd_per_hour.before:
        text += f" (what it buys: within {percent(plan.bought.gap_fraction)})"
    return text


def _on_demand(after: float, only: float) -> str:
    saved = f": spot saves {hourly(only - after)} ({percent((only - after) / only)})" if only > after else ""
    return hourly(only) + saved


def _left_out(cluster: ClusterPlan, width: int | None) -> list[str]:
    """What moving would save, binding limits, unplaced and excluded pods."""
    lines: list[str] = []
    moving = cluster.consolidation
    if moving.usd_per_hour_saved > 0:
        text = f"moving pods would save {hourly(moving.usd_per_hour_saved)} in {counted(moving.actions, 'action')}"
        lines += labelled("consolidation", text, width)
    lines += entries("gives back", _given_back(cluster), MOST_NOTES, width)
    lines += entries("alternatives", divided(cluster.alternatives), MOST_NOTES, width)
    lines += entries("limits", [_limit(*item) for item in cluster.bound.prices.items()], MOST_NOTES, width)
    if cluster.unplaced and cluster.admission != "exact":
        lines += labelled("admission", "heuristic: the order of admission is approximated, not proven", width)
    lines += entries("unplaced", unplaced(cluster.unplaced), MOST_UNPLACED, width)
    if cluster.excluded:
        reasons: Counter[str] = Counter()
        for entry in cluster.excluded:
            reasons[entry.reason] += entry.count
        text = ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))
        lines += labelled("excluded", f"{counted(reasons.total(), 'pod')}: {text}", width)
    return lines


def _given_back(cluster: ClusterPlan) -> list[str]:
    """Nodes that go, those of one reason together, with how many pods move."""
    names: dict[str, list[str]] = {}
    moving: Counter[str] = Counter()
    for action in cluster.actions:
        if action.kind is ActionKind.REMOVE_NODE:
            reason = action.reason.partition(" (")[0]
            names.setdefault(reason, []).append(action.object.name)
            moving[reason] += sum(action.precondition.get("pods", {}).values())
    return [
        f"{counted(len(nodes), 'node')}, {counted(moving[reason], 'pod')} to move: {_some(nodes)}: {reason}"
        for reason, nodes in names.items()
    ]


def _limit(name: str, usd: float) -> str:
    resource = name.rpartition("/")[2] if not name.endswith("nvidia.com/gpu") else GPU
    unit, scale = {CPU: ("core", 1), MEMORY: ("GiB", 2**30), GPU: ("GPU", 1), "nodes": ("node", 1)}.get(
        resource, ("$/h" if resource == "usdPerHour" else "unit", 1)
    )
    return f"{name} binds: one more {unit} would save {hourly(usd * scale)}"


def unplaced(listed: Iterable[Unplaced]) -> list[str]:
    """Unplaced entries as sentences: how many of which pods, and what kept them out; those with one reason together.

    >>> head, worker = (Unplaced(pods=f"RayJob/ml/c/{part}", count=1, reason="gang") for part in ("head", "worker/a"))
    >>> unplaced([head, worker, Unplaced(pods="Pod/ml/huge", count=2, reason="no-offering-fits", message="size: 400")])
    ['1 × RayJob/ml/c/head, 1 × RayJob/ml/c/worker/a: gang', '2 × Pod/ml/huge: size: 400']
    """
    by_reason: dict[str, list[str]] = {}
    for entry in listed:
        reason = entry.message or entry.limit or entry.reason
        by_reason.setdefault(reason, []).append(f"{entry.count:,} × {entry.pods}")
    return [f"{_some(pods)}: {reason}" for reason, pods in by_reason.items()]


def _some(texts: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = len(texts) - MOST_NAMED
    return ", ".join(texts[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _notes(notes: Sequence[Note], width: int | None) -> list[str]:
    """One line a kind of note: the first message, and what else it is said of."""
    kinds: dict[str, list[Note]] = {}
    for note in notes:
        kinds.setdefault(note.kind, []).append(note)
    return entries("notes", [_note(kind, *same) for kind, same in sorted(kinds.items())], MOST_NOTES, width)


def _note(kind: str, first: Note, *others: Note) -> str:
    """The messages about the first subject, and the other subjects."""
    same = [other.message.removeprefix(f"{first.subject}: ") for other in others if other.subject == first.subject]
    message = "; ".join([(first.message or first.subject).removeprefix(f"{kind}: "), *same])
    rest = list(dict.fromkeys(other.subject for other in others if other.subject != first.subject))
    return f"{kind}: {message}" + (f"; likewise {_some(rest)}" if rest else "")


def _fleet(plan: FleetPlan, known: Telling) -> list[str]:
    parts = [counted(len(plan.clusters), "cluster")]
    if failed := sum(cluster.error is not None for cluster in plan.clusters):
        parts.append(f"{failed} without a plan")
    if left := sum(entry.count for entry in plan.unplaced):
        parts.append(f"{counted(left, 'pod')} unplaced")
    if known.seconds is not None:
        parts.append(f"planned in {known.seconds:.1f} s")
    return ["fleet   " + " · ".join(parts), "", *_cost(plan.scope, plan, known.width)]


def _next(plan: FleetPlan, known: Telling) -> list[str]:
    """The command that answers the next question."""
    about = next((entry.pods for entry in plan.unplaced), None)
    about = about or next((key for cluster in plan.clusters for node in cluster.nodes for key in node.pods), None)
    if about is None:
        return []
    if known.saved_as is None:
        return labelled("next", f"--out plan.json saves the plan; then: raypipe explain plan.json {about}", known.width)
    return labelled("next", f"raypipe explain {known.saved_as} {about}", known.width)
