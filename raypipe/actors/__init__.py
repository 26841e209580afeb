"""Planning on many processes: Ray actors that carry and never decide.

Who is who: a driver (`connection`) asks the one `coordinator` of the cluster for a plan; it runs `plan_fleet`, as any
process would, with an executor (`pool`) that deals the clusters out to `planner_shard`s. A `price_scout` keeps the
catalogue of the day. `runtime` starts Ray or joins it, and leaves nothing behind. What travels between them, and how,
is `parcels`; what the driver plans while Ray starts, `meanwhile`.

Nothing here is needed for a plan: take all of it away and the same plan comes out, later. So any of these processes may
die at any time, and its work is simply done again.

Only `runtime`, `connection` and the actors import Ray, and `raypipe` imports those when Ray is first used.

What of Ray is set by the environment is set here, before Ray is imported, unless the operator has set it: no report of
usage, and no copy of the working folder for every worker where `uv run` is among our parents (Ray would pack the
folder, send it to its nodes and install it there anew: seconds for each start, and more than anybody asked for).
"""

import os

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
