"""The door to the solver hands back what the model means, whatever it is given to start from."""

from __future__ import annotations

import pytest

from raypipe.packing.solver import Effort, Model


@pytest.mark.parametrize(
    ("start", "why"),
    [
        (None, "without a start"),
        ([1.0, 1.0, 2.0], "from a start that uses a column which others beat"),
        ([1.0, 1.0, 0.0], "from an optimal start"),
        ([0.0, 0.0, 0.0], "from a start that covers nothing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_milp_is_solved_to_its_optimum(start: list[float] | None, why: str) -> None:
    model = Model(Effort(), integer=True)
    model.cover([4.0], "pods")
    for cost, pods in ((1.0, 1.0), (2.0, 3.0), (5.0, 1.0)):
        model.column(cost, {0: pods})
    solution = model.solve(search_nodes=100, start=start)
    assert solution is not None
    assert (solution.objective, solution.bound, solution.optimal) == (3.0, 3.0, True), why
    assert solution.values.tolist() == [1.0, 1.0, 0.0]
