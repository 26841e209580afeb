"""The fixed part of the fuzzing that every test run repeats."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.case import run_case


@pytest.mark.parametrize("first", range(0, 400, 50))
def test_fuzzed_input_ends_in_a_plan_or_a_clear_error(first: int, tmp_path: Path) -> None:
    outcomes = [run_case(seed, tmp_path / "case") for seed in range(first, first + 50)]
    assert [(one.seed, one.seconds, one.text[-2000:]) for one in outcomes if one.bad] == []
    assert {one.ended for one in outcomes} <= {"plan", "error"}
