"""How clusters stand, as a loop says and a person reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.controller.status import MOST_DONE, StatusBoard, looked_at
from raypipe.controller.status_sources import status_of
from raypipe.controller.telling import Mode, Wait
from raypipe.model.nodes import Node, Unavailable
from raypipe.model.plan import Unplaced
from raypipe.model.results import Outcome
from raypipe.model.status import ClusterStatus, Done, LeftOut, Status, Waited
from raypipe.report.status import render
from tests.unit.controller.tellings import NOON, buy, cluster, cluster_plan, fleet, fleet_plan, later, result, suspend

CLAIM = "NodeClaim//research-3f9a1c0b77-0001"
SOLD_OUT = Unavailable(instance_type="g6.xlarge", zone="us-east-1a", capacity_type="spot")


def machine(name: str, coming: bool = False) -> Node:
    return Node(name=name, labels={}, capacity={}, allocatable={}, coming=coming)


def cycle(board: StatusBoard) -> None:
    """One cycle in which two nodes exist, one comes, a purchase goes well and a suspension does not."""
    nodes = (machine("a"), machine("b"), machine("c", coming=True))
    board.observed(NOON, fleet(cluster(nodes=nodes, unavailable=(SOLD_OUT,))), {})
    plan = cluster_plan([suspend(), buy()], [Unplaced(pods="Pod/ml/huge", count=2, reason="gang", message="no GPU")])
    board.decided(later(1), fleet_plan(plan), 0.4)
    board.acted(later(2), plan, Mode.ACTING, [result(suspend(), Outcome.SKIPPED, "it runs"), result(buy())])
    board.waiting(later(3), "research", [Wait(object=CLAIM, words="it is launched", since=later(2))])


CYCLE = Status(
    at="2026-11-25T12:00:03Z",
    clusters=(
        ClusterStatus(
            name="research",
            context="prod",
            seen_at="2026-11-25T12:00:00Z",
            mode="acting",
            nodes=2,
            coming=1,
            pending=3,
            decision_id="3f9a1c0b77de",
            decided_at="2026-11-25T12:00:01Z",
            usd_per_hour_now=10.0,
            usd_per_hour_after=12.34,
            usd_per_hour_bound=12.2,
            unplaced=(LeftOut(pods="Pod/ml/huge", count=2, why="no GPU"),),
            unavailable=("g6.xlarge us-east-1a spot",),
            waits=(Waited(object=CLAIM, words="it is launched", since="2026-11-25T12:00:02Z"),),
            done=(
                Done(
                    at="2026-11-25T12:00:02Z", kind="BuyNode", object=CLAIM, outcome="done",
                    words="2 pods have no place",
                ),
                Done(
                    at="2026-11-25T12:00:02Z", kind="SuspendRayJob", object="RayJob/ml/train", outcome="skipped",
                    words="it runs",
                ),
            ),
        ),
    ),
)  # fmt: skip


def test_a_board_says_how_each_cluster_stands() -> None:
    board = StatusBoard()
    cycle(board)
    assert board.status() == CYCLE
    assert Status.from_json(board.status().to_json()) == CYCLE


def test_a_cluster_that_cannot_be_seen_keeps_what_was_known_of_it_and_says_why() -> None:
    board = StatusBoard()
    cycle(board)
    board.observed(later(60), fleet(cluster(error="no answer")), {})

    expected = replace(CYCLE.clusters[0], error="no answer")
    assert board.status() == Status(at="2026-11-25T12:01:00Z", clusters=(expected,))


def test_a_cluster_that_is_no_longer_asked_for_is_gone() -> None:
    board = StatusBoard()
    cycle(board)
    board.observed(later(60), fleet(), {})
    board.decided(later(61), fleet_plan(cluster_plan()), 0.1)
    board.acted(later(62), cluster_plan(), Mode.ACTING, [])
    board.waiting(later(63), "research", [])

    assert board.status().clusters == ()


def test_only_the_last_actions_are_remembered() -> None:
    board = StatusBoard()
    cycle(board)
    for number in range(MOST_DONE + 5):
        board.acted(later(number), cluster_plan(), Mode.ACTING, [result(buy(), words=str(number))])

    words = [one.words for one in board.status().clusters[0].done]
    assert words == [str(number) for number in range(MOST_DONE + 4, 4, -1)]


def test_a_look_at_the_clusters_lies_over_what_the_loop_has_said() -> None:
    now = fleet(cluster(nodes=(machine("a"),), demand=()))
    status = looked_at(CYCLE, now, later(300))

    (one,) = status.clusters
    assert (status.at, one.seen_at, one.nodes, one.coming, one.pending) == (CYCLE.at, "2026-11-25T12:05:00Z", 1, 0, 0)
    assert (one.decision_id, one.waits) == (CYCLE.clusters[0].decision_id, CYCLE.clusters[0].waits)


def test_without_a_loop_a_look_shows_what_is_on_its_way() -> None:
    now = fleet(cluster(nodes=(machine("a"), machine("b", coming=True))))
    (one,) = looked_at(Status(), now, NOON).clusters
    assert (one.mode, one.nodes, one.coming, one.waits) == (
        "", 1, 1, (Waited(object="Node//b", words="on its way"),)
    )  # fmt: skip


def test_the_table_shows_all_of_it() -> None:
    lost = ClusterStatus(name="lost", error="no answer")
    status = replace(CYCLE, clusters=(*CYCLE.clusters, lost))

    assert render(status, later(10)).splitlines() == [
        "as of 7 s ago",
        "",
        "  cluster   mode    nodes  coming  pending  unplaced  $/h now  $/h planned   bound      seen  decision",
        "  research  acting      2       1        3         2   $10.00       $12.34  $12.20  10 s ago  3f9a1c0b77de",
        "  lost      –           0       0        0         –        –            –       –         –  –",
        "",
        "research",
        f"  waits for      {CLAIM}: it is launched (since 8 s)",
        "  sold out       g6.xlarge us-east-1a spot",
        "  unplaced       2 × Pod/ml/huge: no GPU",
        f"  did            8 s ago: BuyNode {CLAIM} done: 2 pods have no place",
        "                 8 s ago: SuspendRayJob RayJob/ml/train skipped: it runs",
        "",
        "lost",
        "  error          no answer",
    ]


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    lines = render(CYCLE, later(10), width=80).splitlines()
    assert lines[2] == "  cluster  mode   nodes coming pending unplaced $/h now $/h planned     seen"
    assert max(map(len, lines[:4])) <= 80


@pytest.mark.parametrize(
    ("status", "first"),
    [
        pytest.param(Status(), "no cycle has ended yet", id="nothing was written"),
        pytest.param(CYCLE, "as of 10 min ago   OLD: no loop writes it now, or it hangs", id="the loop is gone"),
    ],
)
def test_the_first_line_says_whether_anybody_is_there(status: Status, first: str) -> None:
    assert render(status, later(603)).splitlines()[0] == first


def test_a_cluster_is_called_as_the_loop_calls_it_by_its_context(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "status.json").write_text(CYCLE.to_json())
    seen = fleet(cluster(name="prod", context="prod", demand=()), cluster(name="new", context="new"))
    monkeypatch.setattr("raypipe.api.read", lambda **_: seen)

    found = status_of(str(tmp_path), ("prod", "new"))

    assert [(one.name, one.context, one.pending) for one in found.clusters] == [
        ("research", "prod", 0),
        ("new", "new", 3),
    ]
