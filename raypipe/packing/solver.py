"""The one door to the solver: covering models in PuLP or kept in HiGHS, with every answer looked at.

::

    min Σ_p cost_p v_p   s.t.  Σ_p a_ip v_p >= b_i (rows to cover),  Σ_p a_ip v_p <= b_i (rows to keep under),
    v >= 0, and v integer where asked.

Rows first, columns as they are found: what column generation needs. `Model` is PuLP's and is built anew for each solve,
for what is solved once, MILPs above all. `GrowingLp` keeps HiGHS' own model and basis between solves: the LP of column
generation is solved a hundred times with a few columns more, and PuLP's copying took half of the whole plan's time.

HiGHS' thread pool is one a process: a second solve with another `threads` value fails in silence and hands back zeros.
So it is always one thread, a solution is used only where the solver says that it has one, and integer solutions are
recounted by those who asked (`problem.verify`). Presolve leaves out columns that others beat, and a start that uses one
counts as if it had not paid for it: the search ends at once with the start as its answer, called optimal. So a MILP
with a start is solved without presolve. No time limit: calls are bounded by simplex iterations, search nodes and the
size of the model, so that a run can be repeated.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import highspy
import numpy as np
import pulp

from raypipe.packing.arrays import Floats, Ints

SIMPLEX_ITERATIONS = 200_000
DUAL_TOLERANCE = 1e-10
"""The tightest that HiGHS knows: a pod may cost less than the usual 1e-7 $/h."""

CHOSEN_BY_STATE = 0
"""HiGHS' `simplex_strategy`: primal where the last basis is still feasible, as after new columns; else dual."""

WITH_A_START: Mapping[str, bool | float] = {
    "mip_pscost_minreliable": 0,
    "mip_heuristic_effort": 0.0,
    "mip_heuristic_run_rins": False,
    "mip_heuristic_run_rens": False,
    "mip_heuristic_run_root_reduced_cost": False,
}
"""For MILPs that have a good start: searches for a first solution would take half of the time, and trying out numbers
before branching a quarter, which three times the nodes make up for."""


def _interrupter(looks: int) -> Callable[[Any, str, Any, Any, Any], None]:
    """A callback that ends a MILP after so many calls; HiGHS makes them at the same places of the search every time."""
    left = looks

    def interrupt(_kind: Any, _message: str, _told: Any, answer: Any, _data: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            answer.user_interrupt = True

    return interrupt


BRANCHING: tuple[tuple[str, Any], ...] = (
    ("primal_feasibility_tolerance", 1e-9),  # a bound is worth what the LPs under it are worth
    ("dual_feasibility_tolerance", 1e-9),
    ("mip_feasibility_tolerance", 1e-9),
    ("mip_rel_gap", 0.0),
    ("mip_abs_gap", 1e-9),
    ("mip_allow_restart", False),  # each would do the work of the root again
    ("mip_heuristic_effort", 0.0),
    *(
        (f"mip_heuristic_run_{name}", False)
        for name in ("feasibility_jump", "rins", "rens", "root_reduced_cost", "zi_round", "shifting")
    ),
)
"""How a bound with whole numbers is searched for."""


@cache
def _without_banner() -> None:
    """Have HiGHS say its name once, to nowhere: the first model of a process prints it to stdout, whatever the options.

    Results go to stdout, so a banner there would make a plan's JSON unreadable.
    """
    libc = ctypes.CDLL(None)
    try:
        libc.fflush(None)
        kept = os.dup(1)
    except OSError:  # no stdout: nothing to keep clean
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        highspy.Highs()  # type: ignore[no-untyped-call]
        libc.fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


@dataclass(slots=True)
class Effort:
    """Work done so far; the plan shows it."""

    lp_iterations: int = 0
    columns: int = 0
    search_nodes: int = 0
    solver_calls: int = 0

    def add(self, more: Effort) -> None:
        """Count work that was done elsewhere."""
        self.lp_iterations += more.lp_iterations
        self.columns += more.columns
        self.search_nodes += more.search_nodes
        self.solver_calls += more.solver_calls


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a solve gave: `values` a column, `duals` a row (LPs only), objective, and the proven bound of a MILP."""

    optimal: bool
    objective: float
    bound: float
    values: Floats
    duals: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Branched:
    """What a search gave: a proven bound, and whether it came to its end."""

    bound: float
    done: bool


@dataclass(slots=True)
class Model:
    """A covering model that grows by columns."""

    effort: Effort
    integer: bool = False
    _problem: pulp.LpProblem = field(init=False)
    _rows: list[pulp.LpConstraint] = field(init=False, default_factory=list)
    _columns: list[pulp.LpVariable] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        _without_banner()
        self._problem = pulp.LpProblem("packing", pulp.LpMinimize)

    def cover(self, amounts: Iterable[float], name: str) -> None:
        """Add rows Σ >= amount."""
        for i, amount in enumerate(amounts):
            self._rows.append(self._problem.addConstraint(pulp.lpSum([]) >= float(amount), f"{name}{i}"))

    def keep_under(self, amounts: Iterable[float], name: str) -> None:
        """Add rows Σ <= amount."""
        for i, amount in enumerate(amounts):
            self._rows.append(self._problem.addConstraint(pulp.lpSum([]) <= float(amount), f"{name}{i}"))

    def column(self, cost: float, entries: Mapping[int, float], most: float | None = None) -> int:
        """Add a column with its coefficients by row number; return its number."""
        rows = self._rows
        number = len(self._columns)
        self._columns.append(
            self._problem.add_column(
                f"v{number}",
                0,
                most,
                "Integer" if self.integer else "Continuous",
                cost,
                {rows[i]: value for i, value in entries.items()},
            )
        )
        self.effort.columns += 1
        return number

    def solve(
        self, search_nodes: int = 1, start: Sequence[float] | None = None, looks: int | None = None
    ) -> Solution | None:
        """Solve it, or return None where there is no solution (infeasible, or none was found within the budget).

        search_nodes: most nodes of a MILP's tree. start: its first solution, which is taken to be a good one.
        looks: how often HiGHS may look at its limits, which it does in each round of cuts and at each node.
        """
        options: dict[str, Any] = {"simplex_iteration_limit": SIMPLEX_ITERATIONS, "output_flag": False}
        if not self.integer:
            options["dual_feasibility_tolerance"] = DUAL_TOLERANCE
        if self.integer:
            options |= {"mip_max_nodes": search_nodes, "mip_rel_gap": 0.0, "mip_abs_gap": 1e-9}
            options["mip_allow_restart"] = False  # each would do the work of the root again, which no node limit counts
        if start is not None:
            options |= {"presolve": "off", **WITH_A_START}  # presolve: see the module's docstring
            for variable, value in zip(self._columns, start, strict=True):
                variable.varValue = value
        if looks is not None:
            options["callbackTuple"] = (_interrupter(looks), None)
            options["callbacksToActivate"] = [highspy.cb.HighsCallbackType.kCallbackMipInterrupt]
        stats = self._problem.solve(pulp.HiGHS(msg=False, threads=1, warmStart=start is not None, **options))
        solver: Any = self._problem.solverModel
        info = solver.getInfo()
        self.effort.solver_calls += 1
        self.effort.lp_iterations += max(0, int(info.simplex_iteration_count))
        self.effort.search_nodes += max(0, int(info.mip_node_count)) if self.integer else 0
        self.infeasible = stats.status_str == "Infeasible"
        if not stats.has_solution or stats.objective is None or not math.isfinite(stats.objective):
            return None
        solved = solver.getSolution()
        optimal = stats.status_str == "Optimal"
        bound = stats.objective if not self.integer else (-math.inf if stats.best_bound is None else stats.best_bound)
        return Solution(
            optimal=optimal,
            objective=float(stats.objective),
            bound=float(bound),
            values=np.array(solved.col_value[: len(self._columns)], dtype=np.float64),  # PuLP may add a dummy
            duals=np.array(solved.row_dual, dtype=np.float64),
        )

    infeasible: bool = field(init=False, default=False)
    """Whether the last solve proved that there is no solution."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Where a solve of a `GrowingLp` ended, as HiGHS keeps it."""

    highs: Any


class GrowingLp:
    """A covering LP that HiGHS keeps between solves: the next one starts at the basis where the last one ended."""

    def __init__(self, effort: Effort, at_least: Floats, at_most: Floats) -> None:
        """Rows: first those to cover (Σ >= at_least), then those to keep under (Σ <= at_most)."""
        _without_banner()
        self._effort = effort
        self._highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        for option, value in (
            ("output_flag", False),
            ("threads", 1),
            ("simplex_iteration_limit", SIMPLEX_ITERATIONS),
            ("dual_feasibility_tolerance", DUAL_TOLERANCE),
            ("simplex_strategy", CHOSEN_BY_STATE),
        ):
            self._highs.setOptionValue(option, value)
        lower = np.concatenate((at_least, np.full(len(at_most), -highspy.kHighsInf)))
        upper = np.concatenate((np.full(len(at_least), highspy.kHighsInf), at_most))
        none = np.zeros(0, dtype=np.int32)
        self._highs.addRows(len(lower), lower, upper, 0, none, none, np.zeros(0))
        self._columns, self._rows, self._iterations = 0, len(lower), 0
        self.infeasible = False
        """Whether the last solve proved that there is no solution."""

    @property
    def columns(self) -> int:
        return self._columns

    @property
    def rows(self) -> int:
        return self._rows

    def add_rows(self, at_most: Floats, columns: Ints, values: Floats) -> None:
        """Add rows Σ <= at_most; each has one entry so far, `values` in `columns`."""
        count = len(at_most)
        index, starts = np.ascontiguousarray(columns, dtype=np.int32), np.arange(count, dtype=np.int32)
        self._highs.addRows(count, np.full(count, -highspy.kHighsInf), at_most, count, starts, index, values)
        self._rows += count

    def add(self, costs: Floats, starts: Ints, rows: Ints, values: Floats, most: Floats | None = None) -> None:
        """Add columns 0 <= v <= most; column p has `values` in `rows` from starts[p] up to the next one's start."""
        count = len(costs)
        index = np.ascontiguousarray(rows, dtype=np.int32)
        first = np.ascontiguousarray(starts, dtype=np.int32)
        upper = np.full(count, highspy.kHighsInf) if most is None else most
        self._highs.addCols(count, costs, np.zeros(count), upper, len(index), first, index, values)
        self._columns += count
        self._effort.columns += count

    def change_rows(self, rows: Ints, at_least: Floats, at_most: Floats) -> None:
        """Ask of `rows` that they lie between these amounts from now on; infinity asks nothing."""
        self._highs.changeRowsBounds(len(rows), rows.astype(np.int32), at_least, at_most)

    def change_entries(self, rows: Ints, columns: Ints, values: Floats) -> None:
        """Give each of `columns` another value in its row."""
        for row, column, value in zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True):
            self._highs.changeCoeff(row, column, value)

    def change_costs(self, columns: Ints, costs: Floats) -> None:
        """Give each of `columns` another cost."""
        self._highs.changeColsCost(len(columns), columns.astype(np.int32), costs)

    def close(self, columns: Ints) -> None:
        """Take nothing of `columns` from now on."""
        none = np.zeros(len(columns))
        self._highs.changeColsBounds(len(columns), columns.astype(np.int32), none, none)

    def keep_within(self, columns: Ints, least: Floats, most: Floats) -> None:
        """Keep columns within least <= v <= most."""
        index = np.ascontiguousarray(columns, dtype=np.int32)
        self._highs.changeColsBounds(len(index), index, least, most)

    @property
    def basis(self) -> Basis:
        """Where the last solve ended."""
        return Basis(self._highs.getBasis())

    def start_at(self, basis: Basis) -> None:
        """Begin the next solve there."""
        self._highs.setBasis(basis.highs)

    @property
    def iterations(self) -> int:
        """Simplex iterations so far."""
        return self._iterations

    def be_exact(self) -> None:
        """Have the next solves call a row broken that is broken by a billionth: for bounds, as `BRANCHING`."""
        self._highs.setOptionValue("primal_feasibility_tolerance", 1e-9)

    def count_search_node(self) -> None:
        """Count a node of a search that somebody else keeps."""
        self._effort.search_nodes += 1

    def solve(self, *, anew: bool = False, in_search: bool = False) -> Solution | None:
        """Solve it, or return None where there is no solution.

        anew: forget the basis; where most columns are new, presolve is worth more than an old vertex.
        in_search: one of the LPs of a search, which as a whole is one call.
        """
        if anew:
            self._highs.clearSolver()
        self._highs.run()
        info, status = self._highs.getInfo(), self._highs.getModelStatus()
        self._effort.solver_calls += 0 if in_search else 1
        self._effort.lp_iterations += max(0, int(info.simplex_iteration_count))
        self._iterations += max(0, int(info.simplex_iteration_count))
        self.infeasible = status == highspy.HighsModelStatus.kInfeasible
        if status != highspy.HighsModelStatus.kOptimal:
            return None
        solved, objective = self._highs.getSolution(), float(info.objective_function_value)
        return Solution(
            optimal=True,
            objective=objective,
            bound=objective,
            values=np.array(solved.col_value, dtype=np.float64),
            duals=np.array(solved.row_dual, dtype=np.float64),
        )

    def branch(self, whole: Ints, start: Floats | None, search_nodes: int) -> Branched | None:
        """Search with columns `whole` in whole numbers; None where that came to nothing. The model stays such a one.

        start: a solution that is known, by column. Heuristics are left out: the bound is what is asked for, and they
        do most of the work of the root.
        """
        kinds = np.full(len(whole), highspy.HighsVarType.kInteger)
        self._highs.changeColsIntegrality(len(whole), np.ascontiguousarray(whole, dtype=np.int32), kinds)
        for option, value in (*BRANCHING, ("mip_max_nodes", search_nodes)):
            self._highs.setOptionValue(option, value)
        if start is not None:
            known = highspy.HighsSolution()
            known.col_value = start.tolist()
            self._highs.setSolution(known)
        self._highs.run()
        info = self._highs.getInfo()
        self._effort.solver_calls += 1
        self._effort.lp_iterations += max(0, int(info.simplex_iteration_count))
        self._effort.search_nodes += max(0, int(info.mip_node_count))
        ended, bound = self._highs.getModelStatus(), float(info.mip_dual_bound)
        done = highspy.HighsModelStatus.kOptimal
        if ended not in (done, highspy.HighsModelStatus.kSolutionLimit) or not math.isfinite(bound):
            return None
        return Branched(bound=bound, done=ended == done)
