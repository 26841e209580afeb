"""What is not placed, and the filter or limit that kept it out."""

from __future__ import annotations

from collections.abc import Iterable

from raypipe.model.plan import FilterCount, Unplaced
from raypipe.model.pods import PodSpec
from raypipe.model.workloads import Gang
from raypipe.planner.constraints import NO_ROLE
from raypipe.planner.decide import Decision
from raypipe.planner.limits import shown


def refusals(decision: Decision) -> tuple[Unplaced, ...]:
    """One entry a key, in the order of keys."""
    entries = [
        entry
        for w, one in enumerate(decision.wanted)
        if one.count > decision.admitted[w]
        for entry in [_entry(decision, w)]
    ]
    return _merged(entries)


def _entry(decision: Decision, w: int) -> Unplaced:
    one = decision.wanted[w]
    if one.gang in decision.broken:
        return _with_broken_gang(decision, w)
    if w not in decision.kept_out:
        return _nowhere(decision, w)
    limit = decision.kept_out[w]
    counts = decision.supply.filters.counts(one.spec)
    count = one.count - decision.admitted[w]
    if limit is None and decision.roles.of(one.spec) != NO_ROLE:
        why = f"{decision.roles.told(one.spec)} cannot be kept beside the pods that come before it"
        return _constrained(decision, w, why)
    if limit is None:
        return Unplaced(
            pods=one.key,
            count=count,
            reason="gang" if _left_out_gang(decision, w) else "no-offering-fits",
            filters=counts,
            message="the room that could hold it is taken by pods that come before it in the order of admission, and "
            f"no offering adds to it{_whole(decision, w)}",
        )
    row = decision.limits.rows[limit]
    return Unplaced(
        pods=one.key,
        count=count,
        reason="limit",
        limit=row.name,
        filters=(*counts, FilterCount(filter="limit", left=0)) if counts and counts[-1].left else counts,
        message=f"limit: {_left(decision, limit)} there is no plan for it beside the pods that come before it"
        f"{_whole(decision, w)}",
    )


def _left(decision: Decision, limit: int) -> str:
    """What a limit leaves; of one that clusters share, to all of them."""
    row = decision.limits.rows[limit]
    left = shown(row, int(decision.limits.left[limit]))
    if row.of_fleet:
        return f"within the {left} that existing nodes leave of {row.name} to all clusters"
    return f"{row.name} is {shown(row, row.amount)}; within the {left} that existing nodes leave"


def _whole(decision: Decision, w: int) -> str:
    gang = _left_out_gang(decision, w)
    return f" ({gang} is placed whole or not at all)" if gang is not None else ""


def _left_out_gang(decision: Decision, w: int) -> str | None:
    """The gang that the pods wait with; None for members beyond a gang that is placed, which go one by one."""
    name = decision.wanted[w].gang
    out = any(one.name == name and one.copies > 0 and gang_is_out(decision, one) for one in decision.cluster.gangs)
    return name if out else None


def gang_is_out(decision: Decision, gang: Gang) -> bool:
    """Whether some copy of the gang was not admitted."""
    for w, one in enumerate(decision.wanted):
        if one.gang == gang.name and decision.admitted[w] < gang.minimum.get(one.key, 0) * gang.copies:
            return True
    return False


def _nowhere(decision: Decision, w: int) -> Unplaced:
    """A pod that nothing can hold."""
    one = decision.wanted[w]
    name, message, counts = _why(decision, one.spec)
    if name == "constraint":
        return _constrained(decision, w, message)
    return Unplaced(
        pods=one.key,
        count=one.count,
        reason="unavailable" if name == "availability" else "no-offering-fits",
        filters=counts,
        message=f"{name}: {message}",
    )


def _why(decision: Decision, spec: PodSpec) -> tuple[str, str, tuple[FilterCount, ...]]:
    """The filter for which nothing can hold such a pod, why, and what each filter leaves."""
    filters, roles = decision.supply.filters, decision.roles
    counts = filters.counts(spec)
    if roles.of(spec) == NO_ROLE or not counts[-1].left:
        return (*filters.why_not(spec), counts)
    return "constraint", roles.hopeless(spec) or f"{roles.told(spec)} is kept on no node", _refused(counts)


def _refused(counts: tuple[FilterCount, ...]) -> tuple[FilterCount, ...]:
    """The counts of a pod that no offering is left to for what is asked of its place."""
    passed = [entry for entry in counts if entry.filter != "constraint"]
    return (*passed, FilterCount(filter="constraint", left=0)) if passed[-1].left else tuple(passed)


def _constrained(decision: Decision, w: int, why: str) -> Unplaced:
    """A pod kept out by what it asks of other pods, or they of it."""
    one = decision.wanted[w]
    return Unplaced(
        pods=one.key,
        count=one.count - decision.admitted[w],
        reason="gang" if _left_out_gang(decision, w) else "constraint",
        filters=_refused(decision.supply.filters.counts(one.spec)),
        message=f"constraint: {why}{_whole(decision, w)}",
    )


def _with_broken_gang(decision: Decision, w: int) -> Unplaced:
    """A pod of a gang of which one member fits nowhere."""
    one = decision.wanted[w]
    member = decision.wanted[decision.broken[one.gang or ""]]
    name, message, counts = _why(decision, member.spec)
    return Unplaced(
        pods=one.key,
        count=one.count,
        reason="gang",
        filters=counts,
        message=f"{one.gang} is placed whole or not at all, and {member.key} fits nowhere: {name}: {message}",
    )


def _merged(entries: Iterable[Unplaced]) -> tuple[Unplaced, ...]:
    """Entries of one key with one reason added up."""
    merged: dict[tuple[str, str, str | None], Unplaced] = {}
    for entry in entries:
        mark = (entry.pods, entry.reason, entry.limit)
        known = merged.get(mark)
        count = entry.count + (known.count if known is not None else 0)
        merged[mark] = Unplaced(
            pods=entry.pods,
            count=count,
            reason=entry.reason,
            limit=entry.limit,
            filters=entry.filters,
            message=entry.message,
        )
    return tuple(merged[mark] for mark in sorted(merged, key=lambda mark: (mark[0], mark[1], mark[2] or "")))
