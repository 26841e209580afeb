"""How far the best provable bound stands above (A) on one instance: (B) with exact pricing, minutes of work.

``python -m tests.benchmark.certify services 1000 100 4``. Farley's bound: with prices π of pods and UB_j the proven
upper bound of the knapsack over one node of kind j, no plan costs less than t·Σ π_k n_k for t = min_j c_j / UB_j. What
is found is kept in ``certificates.json``: where it stands more than 10 % above (A), no plan is within 10 % of (A).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import highspy
import numpy as np

from raypipe.catalog import load
from raypipe.manifests import read_paths
from raypipe.packing.arrays import Floats, Ints
from raypipe.packing.bound import aggregated_lp, unit_cost
from raypipe.packing.dominance import undominated
from raypipe.packing.fill import Measure
from raypipe.packing.patterns import PatternPool, Pricing, generate, solve_master
from raypipe.packing.problem import Problem
from raypipe.packing.rounding import Ledger, cover
from raypipe.packing.solver import Effort
from raypipe.planner.constraints import Roles
from raypipe.planner.demand import Masks, pending_demand, resource_names, shapes_of
from raypipe.planner.limits import limits_of
from raypipe.planner.supply import kinds_of, supply_of
from tests.benchmark.instances import instance, write

DEFAULT_CATALOG = Path(__file__).parents[2].parent / "shared" / "data" / "catalog"
SCALE = 1000.0


def problem_of(folder: Path, catalog: Path) -> Problem:
    """The packing problem of an instance, dominated kinds left out."""
    cluster = read_paths([folder]).clusters[0]
    supply = supply_of(cluster, load(catalog))
    wanted = pending_demand(cluster)
    roles = Roles((one.spec for one in wanted), (), supply.offerings, ())
    masks = Masks((supply.filters, supply.node_filters), np.ones(len(supply.offerings), dtype=bool), roles)
    resources = resource_names(wanted)
    shapes = shapes_of(wanted, masks, resources)
    problem = kinds_of(
        supply, shapes, limits_of(cluster, ()), resources, roles.rules(shapes.specs, shapes.admits)
    ).problem
    return problem.only_kinds(undominated(problem))


def knapsack(problem: Problem, kind: int, prices: Floats) -> tuple[Ints, float]:
    """The best filling of a node found, and a proven upper bound on what any is worth."""
    shapes = np.flatnonzero(problem.fits[:, kind] & (prices > 1e-12))
    solver, count = highspy.Highs(), len(shapes)
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("mip_rel_gap", 1e-4),
        ("time_limit", 2.0),
        ("presolve", "off"),
    ):
        solver.setOptionValue(option, value)
    numbers = np.arange(count, dtype=np.int32)
    solver.addVars(count, np.zeros(count), problem.demand[shapes].astype(float))
    solver.changeColsCost(count, numbers, -prices[shapes] * SCALE)
    solver.changeColsIntegrality(count, numbers, np.full(count, highspy.HighsVarType.kInteger))
    for r in range(problem.requests.shape[1]):
        share = problem.requests[shapes, r] / max(1, problem.capacity[kind, r])
        solver.addRow(-highspy.kHighsInf, 1.0, count, numbers, share)
    solver.run()
    pattern = np.zeros(len(prices), dtype=np.int64)
    pattern[shapes] = np.rint(np.array(solver.getSolution().col_value)).astype(np.int64)
    return pattern, -solver.getInfo().mip_dual_bound / SCALE


def certify(problem: Problem, rounds: int, seconds: float) -> tuple[float, float]:
    """(A) and the best bound proven, $/h."""
    effort = Effort()
    duals = aggregated_lp(problem, effort)
    if duals is None:
        raise ValueError("the instance cannot be placed")
    pool = PatternPool(len(problem.demand))
    pricing = Pricing(problem=problem, duals=duals, unit_costs=unit_cost(problem).min(axis=1), pool=pool, effort=effort)
    for measure in Measure:
        cover(Ledger.of(problem), pricing, measure)
    generate(pricing, 60)
    price, best, started = problem.price / 1e9, duals.usd_per_hour, time.monotonic()
    for number in range(rounds):
        master = solve_master(problem, pool.kinds, pool.patterns, problem.demand, effort)
        if master is None or time.monotonic() - started > seconds:
            break
        share = 0.4 if number < rounds // 3 else 0.0
        prices = (1 - share) * master.pods + share * duals.pods
        worth, new = np.zeros(len(price)), 0
        for kind in range(len(price)):
            pattern, worth[kind] = knapsack(problem, kind, prices)
            new += pattern @ master.pods > price[kind] + 1e-7 and pool.add(kind, pattern)
        scale = min(1.0, float((price[worth > 0] / worth[worth > 0]).min()))
        best = max(best, scale * float(prices @ problem.demand))
        above, bound = master.objective / duals.usd_per_hour - 1, best / duals.usd_per_hour - 1
        print(f"{number:3} LP {above:.2%}, bound {bound:.2%} above (A); {new} new columns", file=sys.stderr, flush=True)
    return duals.usd_per_hour, best


def main() -> None:
    """Certify one instance and print what to keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("services", "gpu", "mixed"))
    parser.add_argument("pods", type=int)
    parser.add_argument("groups", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--catalog", type=Path, default=DEFAULT_CATALOG)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        objects = instance(arguments.kind, arguments.pods, arguments.groups, arguments.seed)
        problem = problem_of(write(Path(scratch) / "fleet", objects), arguments.catalog)
    aggregated, best = certify(problem, arguments.rounds, arguments.seconds)
    print(f"(A) {aggregated:.6f} $/h, proven {best:.6f} $/h: {best / aggregated - 1:.4%} above")


if __name__ == "__main__":
    main()
