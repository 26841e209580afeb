"""Audit lines: one a decision, with its inputs and results, and nothing that somebody keeps secret."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.controller.audit import Audit, audit_file
from raypipe.controller.telling import Mode
from raypipe.errors import InputError
from raypipe.model.actions import ActionKind, ObjectRef
from raypipe.model.plan import Unplaced
from raypipe.model.results import Outcome
from tests.unit.controller.tellings import NOON, buy, cluster_plan, fleet_plan, later, result, suspend

LEFT_OUT = Unplaced(pods="Pod/default/huge", count=2, reason="no-offering-fits", message="size: 400 cores")


def test_a_line_has_the_decision_its_inputs_its_actions_and_what_became_of_them() -> None:
    lines: list[str] = []
    audit = Audit(lines.append)
    plan = cluster_plan([suspend(), buy()], [LEFT_OUT])

    audit.decided(NOON, fleet_plan(plan), 0.4)
    audit.acted(later(1), plan, Mode.ACTING, [result(buy(), Outcome.FAILED, "403 may not create nodeclaims")])

    assert [json.loads(one) for one in lines] == [
        {
            "schema": "raypipe.audit/v1",
            "at": "2026-11-25T12:00:01.000000Z",
            "cluster": "research",
            "context": "prod",
            "decision_id": "3f9a1c0b77de",
            "mode": "acting",
            "inputs": {"snapshot": "sha256:aa", "catalog": "sha256:bb", "settings": "sha256:cc", "pool": None},
            "status": None,
            "usd_per_hour": {"before": 10.0, "after": 12.34, "lower_bound": 12.2},
            "gap_fraction": 0.011475,
            "unplaced_pods": 2,
            "stale": False,
            "error": None,
            "actions": [
                {
                    "id": "5f4e3d2c1b0a",
                    "kind": "SuspendRayJob",
                    "object": "RayJob/ml/train",
                    "reason": "a limit keeps it out",
                    "result": None,
                    "words": "",
                },
                {
                    "id": "0a1b2c3d4e5f",
                    "kind": "BuyNode",
                    "object": "NodeClaim//research-3f9a1c0b77-0001",
                    "reason": "2 pods have no place",
                    "result": "failed",
                    "words": "403 may not create nodeclaims",
                },
            ],
        }
    ]


def test_a_decision_that_repeats_is_told_once_and_later_results_alone() -> None:
    lines: list[str] = []
    audit = Audit(lines.append)
    plan = cluster_plan([buy()])
    evicted = replace(buy(), id="e", kind=ActionKind.EVICT_POD, object=ObjectRef(kind="Pod", name="a", namespace="b"))

    audit.acted(NOON, plan, Mode.ACTING, [result(buy())])
    audit.acted(later(1), plan, Mode.ACTING, [])
    audit.acted(later(2), plan, Mode.ACTING, [result(evicted)])
    audit.acted(later(3), plan, Mode.PAUSED, [])
    audit.acted(later(4), cluster_plan(decision_id="another"), Mode.PAUSED, [])

    told = [json.loads(one) for one in lines]
    assert [(one["at"][17:19], one["decision_id"], [a["kind"] for a in one["actions"]]) for one in told] == [
        ("00", "3f9a1c0b77de", ["BuyNode"]),
        ("02", "3f9a1c0b77de", ["EvictPod"]),
        ("03", "3f9a1c0b77de", ["BuyNode"]),
        ("04", "another", []),
    ]


def test_what_is_written_to_a_cluster_is_in_no_line() -> None:
    lines: list[str] = []
    secret = buy(
        set={"spec": {"env": [{"name": "TOKEN", "value": "hunter2"}]}},
        patch=({"op": "test", "path": "/spec", "value": "hunter2"},),
        precondition={"annotation": "hunter2"},
    )

    Audit(lines.append).acted(NOON, cluster_plan([secret]), Mode.ACTING, [result(secret)])

    assert len(lines) == 1
    assert "hunter2" not in lines[0]


def test_lines_are_appended_to_a_file_of_its_owner_that_may_be_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    write = audit_file(path, pytest.fail)
    write("one")
    write("two")
    path.rename(tmp_path / "audit.jsonl.1")
    write("three")

    assert (tmp_path / "audit.jsonl.1").read_text() == "one\ntwo\n"
    assert path.read_text() == "three\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_refused_before_the_work_and_complained_of_later(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--audit: found Is a directory, expected a file to append to"):
        audit_file(tmp_path, pytest.fail)

    complaints: list[str] = []
    path = tmp_path / "audit.jsonl"
    write = audit_file(path, complaints.append)
    path.unlink()
    path.mkdir()
    write("lost")

    assert complaints == [f"{path}: Is a directory: a line of the audit is lost"]
