"""Why a patch does not hold, and who wrote the field."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.adapters.kubernetes.conflicts import failed_test


def entry(manager: str, hour: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {"manager": manager, "time": f"2026-11-25T{hour:02d}:00:00Z", "fieldsV1": fields}


JOB: dict[str, Any] = {
    "metadata": {
        "uid": "u",
        "resourceVersion": "8",
        "managedFields": [
            entry("kubectl-edit", 9, {"f:spec": {"f:suspend": {}, "f:groups": {}}}),
            entry("helm", 8, {"f:spec": {"f:suspend": {}}}),
            entry("operator", 11, {"f:status": {"f:phase": {}}}),
            entry("raypipe", 12, {"f:spec": {"f:suspend": {}}}),
        ],
    },
    "spec": {"suspend": True, "groups": [{"replicas": 2}]},
}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        pytest.param("/spec/suspend", True, "", id="it holds"),
        pytest.param("/spec/absent", None, "", id="nothing, where nothing is"),
        pytest.param(
            "/spec/suspend",
            False,
            "/spec/suspend is True, not False: kubectl-edit has written it",
            id="the last of two",
        ),
        pytest.param(
            "/spec/groups/0/replicas",
            1,
            "/spec/groups/0/replicas is 2, not 1: kubectl-edit has written it",
            id="in a list that is owned whole",
        ),
        pytest.param("/spec/other", 1, "/spec/other is unset, not 1", id="nobody's"),
        pytest.param(
            "/metadata/resourceVersion", "7", "it has changed since: operator has written it", id="another version"
        ),
    ],
)
def test_the_test_that_fails_is_told_with_the_one_who_wrote_the_field(path: str, value: object, words: str) -> None:
    operations = [{"op": "test", "path": "/metadata/uid", "value": "u"}, {"op": "test", "path": path, "value": value}]
    assert failed_test(JOB, operations, "raypipe") == words


def test_who_changed_a_value_is_told_before_who_wrote_last() -> None:
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    replicas = {"op": "test", "path": "/spec/groups/0/replicas", "value": 1}
    words = "/spec/groups/0/replicas is 2, not 1: kubectl-edit has written it"
    assert failed_test(JOB, [version, replicas], "raypipe") == words
    assert failed_test(JOB, [version, {**replicas, "value": 2}], "raypipe").startswith("it has changed since: operator")
