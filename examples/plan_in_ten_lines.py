"""Plan a folder of manifests from Python. Run it with: python examples/plan_in_ten_lines.py examples/fleet"""

import sys

import raypipe

fleet = raypipe.read(*sys.argv[1:] or ["examples/fleet"])
plan = raypipe.plan(fleet)
print(f"${plan.usd_per_hour.after:.2f}/h, proven to be at least ${plan.usd_per_hour.lower_bound:.2f}/h")
print(plan.to_frame().groupby(["cluster", "instance_type", "capacity_type"])["usd_per_hour"].agg(["count", "sum"]))
for entry in plan.unplaced:
    print(f"not placed: {entry.count} x {entry.pods}: {entry.message}")
