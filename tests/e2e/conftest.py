"""One rig for the tests of this package; skipped where its programs cannot be had, and logs shown where a test fails.

It ends with them: what comes after measures times.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator

import pytest

from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.instance_types import sold_on_aws
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.programs import Programs, UnavailableError
from tests.e2e.rig import Rig
from tests.e2e.running import USER, ZONES

_RIG = pytest.StashKey[Rig]()


@pytest.fixture(scope="package")
def rig(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The rig; its programs are built first where the cache does not have them, which is said on the terminal."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n[rig] {line}", file=sys.stderr, flush=True)

    rig = Rig(tmp_path_factory.mktemp("rig"), Programs(say))
    pytestconfig.stash[_RIG] = rig
    yield rig
    rig.end()


@pytest.fixture(scope="package")
def cluster(rig: Rig) -> Cluster:
    """A cluster with all parts that tests share; `clean` keeps them apart."""
    return rig.start("shared", Wanted(kuberay=True, karpenter=sold_on_aws("us-east-1a", "us-east-1b")))


@pytest.fixture(scope="package")
def contested(rig: Rig) -> Cluster:
    """A cluster in which a loop acts beside KubeRay and people; its audit log tells whose a write was."""
    users = dict.fromkeys((USER, "owner", "person"), ("system:masters",))
    sold = sold_on_aws(*ZONES)
    cluster = rig.start("contested", Wanted(kuberay=True, karpenter=sold, audit=True, users=users))
    cluster.api.apply(NODE_CLASS)
    return cluster


@pytest.fixture
def clean(cluster: Cluster) -> Iterator[None]:
    """The shared cluster without nodes and workloads, before and after."""
    assert cluster.api.items("v1", "Node") == []
    yield
    cluster.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skip a test whose programs cannot be had; add the ends of all logs to the report of one that failed."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, UnavailableError):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, f"Skipped: {call.excinfo.value}")
    rig = item.config.stash.get(_RIG, None)
    if report.failed and rig is not None:
        report.sections += [(f"cluster {cluster.name}", cluster.tails()) for cluster in rig.clusters]
    return report
