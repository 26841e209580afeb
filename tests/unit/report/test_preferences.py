"""What the table and explanations say of preferences."""

from __future__ import annotations

import dataclasses

import pytest

from raypipe.model.plan import Missed, Objective
from raypipe.report.explain import answers
from raypipe.report.explain import render as explained
from raypipe.report.text import render
from tests.unit.report.plans import WEB, cluster, fleet_plan

MISSED = Missed(
    pods=WEB, preference="node affinity to disk In [ssd], weight 50", missed=3, placed=17, usd_per_hour=0.015
)


def preferring(terms: dict[str, float], lower_bound: float, *missed: Missed) -> str:
    """The table of a plan with that objective."""
    objective = Objective(value=sum(terms.values()), lower_bound=lower_bound, terms=terms)
    return render(fleet_plan(dataclasses.replace(cluster(), objective=objective, missed=missed)))


@pytest.mark.parametrize(
    ("terms", "lower_bound", "missed", "said"),
    [
        pytest.param(
            {"price": 1.0, "preferences": 0.015},
            1.015,
            (MISSED,),
            [
                "objective      $1.0150/h with $0.0150/h for preferences missed: no plan is lower",
                f"missed         3 of 17 × {WEB}: node affinity to disk In [ssd], weight 50 ($0.0150/h)",
            ],
            id="missed",
        ),
        pytest.param(
            {"price": 1.0, "preferences": 0.0, "node_overhead": 1.0},
            1.5,
            (),
            ["objective      $2.00/h with $1.00/h for nodes to operate: no plan is lower by more than 25 %"],
            id="overhead",
        ),
        pytest.param({"price": 1.0, "preferences": 0.0}, 1.0, (), ["preferences    all are met"], id="met"),
    ],
)
def test_the_table_tells_the_objective(
    terms: dict[str, float], lower_bound: float, missed: tuple[Missed, ...], said: list[str]
) -> None:
    lines = preferring(terms, lower_bound, *missed).splitlines()
    assert [line for line in said if f"  {line}" not in lines] == []


def test_the_table_is_silent_where_only_price_counts() -> None:
    assert not any(word in preferring({"price": 1.0}, 1.0) for word in ("objective", "preferences", "prefer"))


@pytest.mark.parametrize(
    ("lower_bound", "why"),
    [(1.015, "meeting it would raise the objective"), (1.0, "no plan was found that meets it and is worth more")],
)
def test_an_explanation_says_what_is_missed_and_why(lower_bound: float, why: str) -> None:
    objective = Objective(value=1.015, lower_bound=lower_bound, terms={"price": 1.0, "preferences": 0.015})
    plan = fleet_plan(dataclasses.replace(cluster(), objective=objective, missed=(MISSED,)))
    said = f"{MISSED.preference}: 3 of 17 miss it, which counts $0.0150/h; {why}"
    assert said in explained(answers(plan, "web"))
