"""Which nodes go with this plan, and which of those that might go stay, with the reason.

Given back are, in this order:

* nodes that will be interrupted (`raypipe.disruption.announced`): before anything is asked;
* expired nodes, where all their pods have a place elsewhere, bought or not;
* with `packing: shared` or `dedicated`, under-used nodes whose pods fit on other nodes: nothing is bought for them;
* with the setting `consolidate`, nodes R that minimise

      cost of the cluster without R  +  Σ over n in R of (σ x price of n  +  δ x pods on n)

  where σ is `consolidation_saving_fraction` and δ `moved_pod_usd_per_hour`. Candidates are the nodes that nobody needs
  any more where all pods are free to move at these prices (`consolidation`); pods of nodes that are kept stay there;
* nodes that are empty for long enough and still are after the plan (`standby`).

Admission comes before cost: a node goes only where every pod that would be placed without that is placed. So it is
always asked by planning the cluster without the node, and its pods are demand like others. Nodes are tried all at once,
then in halves, those with fewest pods first, as often as the setting `removal_checks` allows. These plans are made with
little search; the one for the nodes that go in the end, with all of it.

Cluster Autoscaler removes nodes below half their requests whose pods fit elsewhere, and replaces none; Karpenter tries
single nodes and prefixes of a list, and replaces where it is cheaper by however little. Neither prices a moved pod;
here that and the threshold are what keeps a cluster from being turned over for cents.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from raypipe.catalog import Catalog, existing_nodes
from raypipe.disruption import blockers
from raypipe.disruption.blockers import by_node, is_its_to_remove
from raypipe.disruption.leaving import announced
from raypipe.model.nodes import Fact, Node
from raypipe.model.plan import Note
from raypipe.model.pods import BoundPods
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.planner.consolidation import WORTH_MOVING_USD_NANOS, moved, pods_on, prices_of_movable
from raypipe.planner.decide import Decision, Removed
from raypipe.planner.nodes import place
from raypipe.planner.standby import spare
from raypipe.quantities import NANOS_PER_USD

STAYS = "node-stays"
"""Kind of the note on a node that might go and does not."""

DIES = "it will be interrupted"
CONSOLIDATED = "what it costs is saved: its pods have a place elsewhere"

type Again = Callable[[frozenset[str], bool], Decision]
"""Makes a decision without some nodes; True: with little search."""


MOST_SINGLE = 4
"""Most nodes that are tried alone where some saving is left. Which nodes nobody needs is known only where pods of all
nodes move, and then there is often more than one answer."""

MOST_SPARED = 4
"""Most nodes that are looked at once more when nodes are bought for the pods of those that go."""


def quickly_asked(snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """The snapshot with settings under which a decision takes little search: it costs a little more than it need."""
    settings = dataclasses.replace(snapshot.settings, neighbourhoods=0, cut_rounds=0, bound_search=0, certify_search=0)
    return dataclasses.replace(snapshot, settings=settings)


def with_removals(
    base: Decision,
    snapshot: ClusterSnapshot,
    catalog: Catalog,
    again: Again | None,
    stop: Callable[[], bool],
) -> Decision:
    """The decision with the nodes that go; `again` makes it without some nodes, None: that cannot be asked here."""
    search = _Search(base, snapshot, again, stop)
    if again is not None:
        search.go()
    elif snapshot.settings.consolidate or any(Fact.EXPIRED in facts for facts in snapshot.facts.values()):
        message = f"{snapshot.name}: it shares limits that bind, so no pods are moved for cost or age in this plan"
        search.notes.append(Note(kind=STAYS, subject=snapshot.name, message=message))
    return dataclasses.replace(
        search.decision,
        given_back=given_back(snapshot, catalog, search.reasons),
        floor_usd_nanos=search.floor,
        notes=(*search.notes, *_refused(snapshot)),
    )


def given_back(snapshot: ClusterSnapshot, catalog: Catalog, reasons: Mapping[str, str]) -> tuple[Removed, ...]:
    """Nodes of a snapshot that go, in the order in which they may: those first from which fewest pods have to move."""
    if not reasons:
        return ()
    pods = by_node(snapshot.bound)
    going = dataclasses.replace(snapshot, nodes=tuple(one for one in snapshot.nodes if one.name in reasons))
    removed = [
        Removed(
            node=one.node,
            usd_nanos=one.usd_nanos_per_hour,
            pods=_counts(pods.get(one.node.name, ())),
            reason=reasons[one.node.name],
        )
        for one in existing_nodes(going, catalog)
    ]
    return tuple(sorted(removed, key=lambda one: (sum(one.pods.values()), one.node.name)))


def _counts(pods: Collection[BoundPods]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for one in pods:
        if one.counted:
            counts[one.key] += one.count
    return dict(sorted(counts.items()))


class _Search:
    """Grows the set of nodes that go, planning anew for each question."""

    def __init__(
        self,
        base: Decision,
        snapshot: ClusterSnapshot,
        again: Again | None,
        stop: Callable[[], bool],
    ) -> None:
        self.decision, self._snapshot, self._again, self._stop = base, snapshot, again, stop
        self._settings = snapshot.settings
        self._rooms = {room.name: room for room in base.supply.nodes}
        self._checks = snapshot.settings.removal_checks
        self._left_out = _left_out(base)
        self.reasons: dict[str, str] = dict.fromkeys(sorted(announced(snapshot)), DIES)
        self.floor: int | None = None
        self.notes: list[Note] = []

    def go(self) -> None:
        """Everything that may go by its facts or by its cost."""
        base = self.decision
        self._take(self._with_fact(Fact.EXPIRED), "it has expired", lambda _, __: True)
        if self._snapshot.packing != "joint":
            self._take(
                self._with_fact(Fact.UNDER_USED),
                "it is under-used, and its pods fit on other nodes",
                lambda found, _: _bought_usd_nanos(found) <= _bought_usd_nanos(self.decision),
            )
        elif self._settings.consolidate:
            self._consolidate()
        self._settle(base)

    def _settle(self, base: Decision) -> None:
        """Make the plan for the nodes that go with all search; one that is no better by that is kept as it is."""
        if self.decision is base or self._again is None:
            return
        found = self._again(frozenset(self.reasons), False)
        if _is_worse(_left_out(found), self._left_out) or _usd_nanos(found) > _usd_nanos(self.decision):
            found = dataclasses.replace(self.decision, decision_id=found.decision_id)
        self.decision = found

    def _with_fact(self, fact: Fact) -> list[str]:
        """Nodes with a fact that nothing blocks, those first from which fewest pods have to move."""
        pods, facts = by_node(self._snapshot.bound), self._snapshot.facts
        names = [
            node.name
            for node in self._snapshot.nodes
            if fact in facts.get(node.name, ())
            and node.name not in self.reasons
            and not blockers(node, pods.get(node.name, ()), self._snapshot)
        ]
        return self._in_order(names)

    def _in_order(self, names: Collection[str]) -> list[str]:
        return sorted(names, key=lambda name: (pods_on(self._rooms[name]), name))

    def _consolidate(self) -> None:
        """Nodes that are not worth their price."""
        rooms = self.decision.supply.nodes
        prices = {
            number: price
            for number, price in prices_of_movable(self.decision).items()
            if is_its_to_remove(rooms[number].existing.node, self._snapshot)
        }
        best = moved(self.decision, prices, 0, self._stop)
        if best is None:
            return
        self.floor = best.floor_usd_nanos
        tolls = {number: self._toll(rooms[number].name) + WORTH_MOVING_USD_NANOS for number in prices}
        chosen = moved(self.decision, prices, tolls, self._stop)
        worthwhile = [rooms[n].name for n in (chosen.unused if chosen is not None else ()) if tolls[n] < prices[n]]
        self._take(self._in_order(worthwhile), CONSOLIDATED, self._saves)
        if best.usd_nanos < _usd_nanos(self.decision):
            others = {rooms[n].name for n in prices if tolls[n] < prices[n]} - self.reasons.keys() - set(worthwhile)
            for name in self._in_order(others)[:MOST_SINGLE]:
                self._take([name], CONSOLIDATED, self._saves, told=False)
        self._spare_the_least_useful()

    def _toll(self, name: str) -> int:
        """What giving a node back has to save, in nano-dollars an hour."""
        room = self._rooms[name]
        share = self._settings.consolidation_saving_fraction * (room.existing.usd_nanos_per_hour or 0)
        return round(share + self._settings.moved_pod_usd_per_hour * NANOS_PER_USD * pods_on(room))

    def _value(self, decision: Decision, names: Collection[str]) -> int:
        """The objective: what the cluster costs, and what moving these nodes' pods counts."""
        moving = (self._toll(name) for name in names if self.reasons.get(name, CONSOLIDATED) == CONSOLIDATED)
        return _usd_nanos(decision) + sum(moving)

    def _saves(self, found: Decision, names: Collection[str]) -> bool:
        return self._value(found, names) < self._value(self.decision, list(self.reasons))

    def _take(
        self,
        names: Sequence[str],
        reason: str,
        accepts: Callable[[Decision, Collection[str]], bool],
        *,
        told: bool = True,
    ) -> None:
        """Let these nodes go, all of them or as many as are accepted; of others it is told why not, where asked."""
        if self._settings.most_removed is not None:
            dying = sum(reason == DIES for reason in self.reasons.values())
            names = names[: max(0, self._settings.most_removed - (len(self.reasons) - dying))]
        waiting = [list(names)] if names else []
        while waiting:
            chunk = waiting.pop(0)
            found = self._without([*self.reasons, *chunk])
            if found is None:
                return
            if not _is_worse(_left_out(found), self._left_out) and accepts(found, [*self.reasons, *chunk]):
                self.decision = found
                self.reasons |= dict.fromkeys(chunk, reason)
            elif len(chunk) > 1:
                half = (len(chunk) + 1) // 2
                waiting = [chunk[:half], chunk[half:], *waiting]
            elif told:
                self._tell_refused(chunk[0], found)

    def _spare_the_least_useful(self) -> None:
        """Keep nodes after all whose going has others bought that save less than it takes to move their pods."""
        going = [name for name, reason in self.reasons.items() if reason == CONSOLIDATED]
        if len(going) < 2 or not place(self.decision).bought:
            return
        worth = self._worth(going)
        for name in sorted(going, key=lambda name: (worth[name], name))[:MOST_SPARED]:
            rest = [other for other in self.reasons if other != name]
            found = self._without(rest)
            if found is None:
                return
            if not _is_worse(_left_out(found), self._left_out) and self._value(found, rest) < self._value(
                self.decision, list(self.reasons)
            ):
                self.decision = found
                del self.reasons[name]

    def _worth(self, names: Collection[str]) -> dict[str, float]:
        """About what the going of each node is worth: its price, less what its pods cost elsewhere by their duals."""
        decision = self.decision
        duals = {
            one.key: float(decision.solved.pods[decision.shapes.of[number]])
            for one, number in zip(decision.wanted, decision.number, strict=True)
            if number >= 0
        }
        worth = {}
        for name in names:
            room = self._rooms[name]
            elsewhere = sum(duals.get(one.key, 0.0) * one.count for one in room.bound if one.counted)
            price = (room.existing.usd_nanos_per_hour or 0) - self._toll(name)
            worth[name] = price / NANOS_PER_USD - elsewhere
        return worth

    def _without(self, names: Collection[str]) -> Decision | None:
        """The decision without these nodes; None where the budget is spent."""
        if self._again is None or self._checks <= 0 or self._stop():
            return None
        self._checks -= 1
        return self._again(frozenset(names), True)

    def _tell_refused(self, name: str, found: Decision) -> None:
        left = _left_out(found)
        homeless = sorted(key for key, count in left.items() if count > self._left_out.get(key, 0))
        why = f"{', '.join(homeless)} would have nowhere to go" if homeless else "its going would not save enough"
        self.notes.append(Note(kind=STAYS, subject=name, message=f"{name} stays: {why}"))


def _usd_nanos(decision: Decision) -> int:
    """What all nodes cost after a decision."""
    kept = sum(room.existing.usd_nanos_per_hour or 0 for room in decision.supply.nodes)
    return kept + _bought_usd_nanos(decision) + spare(decision, place(decision)).usd_nanos(decision)


def _bought_usd_nanos(decision: Decision) -> int:
    return sum(decision.supply.offerings[node.offering].usd_nanos_per_hour for node in place(decision).bought)


def _left_out(decision: Decision) -> Counter[str]:
    """How many pods of each key have no place."""
    left: Counter[str] = Counter()
    for one, admitted in zip(decision.wanted, decision.admitted, strict=True):
        if one.count > admitted:
            left[one.key] += one.count - admitted
    return left


def _is_worse(left: Mapping[str, int], before: Mapping[str, int]) -> bool:
    return any(count > before.get(key, 0) for key, count in left.items())


def _refused(snapshot: ClusterSnapshot) -> list[Note]:
    """A note for each node that should go, or might with `consolidate`, and has something in the way."""
    pods, notes = by_node(snapshot.bound), []
    for node in snapshot.nodes:
        if not _is_asked_of(node, snapshot):
            continue
        found = blockers(node, pods.get(node.name, ()), snapshot)
        if found:
            notes.append(Note(kind=STAYS, subject=node.name, message=f"{node.name} stays: {'; '.join(found)}"))
    return notes


def _is_asked_of(node: Node, snapshot: ClusterSnapshot) -> bool:
    """Whether it is of interest why a node stays: it should go, or its pods alone are in the way."""
    facts = snapshot.facts.get(node.name, ())
    if Fact.EXPIRED in facts or Fact.EMPTY in facts or (Fact.UNDER_USED in facts and snapshot.packing != "joint"):
        return not node.leaving
    return snapshot.settings.consolidate and is_its_to_remove(node, snapshot)
