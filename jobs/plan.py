"""The entrypoint of a Ray job that plans: what `raypipe plan` takes, on the cluster that the job runs on.

    ray job submit --working-dir . -- python jobs/plan.py examples/fleet -o json

The result is printed, because what a job writes below its working folder is lost with it: --out wants an absolute path
on storage that outlives the job. The job fails where the command would: a plan that leaves pods unplaced (3), too.
"""

from __future__ import annotations

import sys

from raypipe.cli import main

if __name__ == "__main__":
    sys.exit(main(["plan", *sys.argv[1:], "--executor", "ray", "--address", "auto"]))
