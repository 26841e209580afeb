"""The entrypoint of a Ray job that runs the loop: what `raypipe run` takes, planned on the job's cluster.

    ray job submit --working-dir . -- python jobs/run.py --context in-cluster --apply --state configmap:default/raypipe

A job that is stopped or lost is followed by the next one: what is under way is seen in the clusters.
"""

from __future__ import annotations

import sys

from raypipe.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:], "--executor", "ray", "--address", "auto"]))
