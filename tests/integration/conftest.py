"""One Ray for all tests that need one: it takes seconds to start."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest

import raypipe.actors  # noqa: F401 - it sets what of Ray is set by the environment, before a test imports Ray


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of two CPUs in this process, without a dashboard and open to this machine for as long as the tests run."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80_000_000,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    yield
    ray.shutdown()
    del os.environ["RAY_AUTH_MODE"]
