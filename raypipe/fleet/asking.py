"""One cluster's packing problem asked of an executor, and the answer: arrays travel, neither snapshot nor catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.fleet.executor import Executor
from raypipe.packing import warm
from raypipe.packing.problem import Packing, Problem
from raypipe.packing.solve import Solved, solve
from raypipe.packing.solver import Effort
from raypipe.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """One cluster's problem; `known` is a packing of it, `warm` what an earlier packing of one like it knew."""

    name: str
    problem: Problem
    settings: Settings
    known: Packing | None = None
    warm: warm.Columns | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it came to, and the work that it took."""

    solved: Solved
    effort: Effort


def answered(asked: Asked) -> Answer:
    """Pack one cluster at the prices that its problem has."""
    effort = Effort()
    solved = solve(asked.problem, asked.settings, effort, known=asked.known, warm=asked.warm)
    return Answer(solved=solved, effort=effort)


def all_answered(executor: Executor, asked: Sequence[Asked]) -> list[Answer]:
    """The answers in the order of what was asked; whoever carries it out, they are the same."""
    return list(executor.map(answered, asked))
