"""Nothing is fought over: what people and owners change beside a loop that acts is theirs, at one write a change."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.cli import main
from tests.e2e.api import APPLY, JSON_PATCH, ApiError, Object, path_of
from tests.e2e.cluster import Cluster
from tests.e2e.kuberay import A, B, either, groups
from tests.e2e.objects import deployment
from tests.e2e.processes import until
from tests.e2e.running import (
    USER,
    RunningLoop,
    catalogue,
    claims,
    fleet_file,
    kubeconfig_of,
    runs,
    workers,
)

LEASE_S = 2.0
QUIET_S = 3
"""A loop that has something to do writes sooner."""
BOUGHT, PATCHED = ("create", "nodeclaims"), ("patch", "rayclusters")


@pytest.fixture
def loop(contested: Cluster, tmp_path: Path) -> Iterator[RunningLoop]:
    """A loop that knows two types, and is about to be started; afterwards the cluster is empty."""
    fleet = fleet_file(tmp_path / "fleet.yaml", [contested.name], lease_s=LEASE_S, settle_s=0.5, settle_most_s=2)
    running = RunningLoop(tmp_path, kubeconfig_of(tmp_path / "kubeconfig.yaml", [contested]), fleet)
    catalogue(tmp_path / "prices", {A: 0.10, B: 0.05})
    yield running
    running.close()
    contested.clear()


def applied(cluster: Cluster, one: Object, *, force: bool) -> Object:
    """Server-side apply, as the owner whose tools do so."""
    query = {"fieldManager": "owner", "force": str(force).lower()}
    found: Object = cluster.as_user("owner").request("PATCH", path_of(one), one, APPLY, query)
    return found


def scaled(cluster: Cluster, count: int) -> None:
    """Write the replicas of group a, as a person who does so by hand."""
    change = [{"op": "replace", "path": "/spec/workerGroupSpecs/0/replicas", "value": count}]
    query = {"fieldManager": "person"}
    cluster.as_user("person").request("PATCH", path_of(either(0)), change, JSON_PATCH, query)


def replicas(cluster: Cluster) -> dict[str, int]:
    return {name: group["replicas"] for name, group in groups(cluster.api.get(either(0))).items()}


def both_run(cluster: Cluster, a: int, b: int) -> None:
    """Wait until so many workers of both groups run and no other is there."""

    def found() -> dict[str, tuple[int, int]]:
        return {
            group: (len(workers(cluster, group, running=True)), len(workers(cluster, group, running=False)))
            for group in "ab"
        }

    until(lambda: found() == {"a": (a, 0), "b": (b, 0)}, 40, f"{a} workers of a and {b} of b run")


def changes(cluster: Cluster) -> Counter[tuple[str, str]]:
    """What the loop has changed beside its Lease and Events, by verb and resource; what was refused changes nothing."""
    return Counter(
        (event["verb"], event["objectRef"]["resource"])
        for event in cluster.audited(USER)
        if event["responseStatus"]["code"] < 300 and event["objectRef"]["resource"] not in ("leases", "events")
    )


def settled(cluster: Cluster) -> Counter[tuple[str, str]]:
    """What the loop has changed, once it changes nothing for a while."""
    seen = [changes(cluster)]

    def is_quiet() -> bool:
        time.sleep(QUIET_S)
        seen.append(changes(cluster))
        return seen[-1] == seen[-2]

    until(is_quiet, 30, "the loop changes nothing more")
    return seen[-1]


def test_an_owner_who_applies_his_object_again_is_told_of_raypipe_and_his_word_is_the_new_wish(
    contested: Cluster, loop: RunningLoop
) -> None:
    applied(contested, either(4), force=False)
    loop.start("--apply", "--catalog", str(loop.folder / "prices"))
    both_run(contested, 2, 2)
    before = settled(contested)
    with pytest.raises(ApiError, match=r'^409 .*conflict with "raypipe"'):
        applied(contested, either(4), force=False)
    assert settled(contested) == before
    applied(contested, either(3), force=True)  # KubeRay ends the workers of b at once, as he says
    both_run(contested, 2, 1)
    assert replicas(contested) == {"a": 2, "b": 1}
    assert settled(contested) - before == {PATCHED: 2}  # replicas with the name of who goes, and the name struck off


def test_a_person_who_scales_a_group_meanwhile_is_named_and_not_overruled(
    contested: Cluster,
    loop: RunningLoop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(loop.kubeconfig))
    prices, plan = ["--catalog", str(loop.folder / "prices")], loop.folder / "plan.json"
    contested.api.create(either(4))
    assert main(["plan", str(loop.fleet), *prices, "--out", str(plan)]) == 0
    scaled(contested, 5)
    before = changes(contested)
    assert main(["apply", str(plan), "--yes", "--no-wait"]) == 1
    assert "/spec/workerGroupSpecs/0/replicas is 5, not 4: person has written it" in capsys.readouterr().out
    assert replicas(contested) == {"a": 5, "b": 0}
    loop.start("--apply", *prices)
    both_run(contested, 3, 2)
    divided = settled(contested)
    assert (divided - before)[PATCHED] in (2, 3)  # replicas with the names of the two that go, then these struck off
    for count in (4, 6, 5):
        scaled(contested, count)
        time.sleep(0.7)
    both_run(contested, 5, 2)
    more = settled(contested) - divided
    assert PATCHED not in more  # b has all that it may: there is nothing to divide
    assert more[BOUGHT] in (2, 3)  # the third for the sixth, which he has taken back
    assert replicas(contested) == {"a": 5, "b": 2}


def test_a_person_who_deletes_a_claim_and_cordons_a_node_is_left_to_it(contested: Cluster, loop: RunningLoop) -> None:
    web, first = deployment("web", 2, cpu="3"), changes(contested)
    contested.api.create(web)
    loop.start("--apply", "--catalog", str(loop.folder / "prices"))
    (lost, *_) = until(lambda: claims(contested), 30, "a claim is made")
    person = contested.as_user("person")
    person.delete(lost)  # on its way, or a node already
    runs(contested, 2)
    before = settled(contested)
    assert (before - first)[BOUGHT] == 3

    gone, kept = claims(contested)
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": kept["status"]["nodeName"]}}
    person.patch(node, {"spec": {"unschedulable": True}})
    person.delete(gone)
    until(lambda: gone["metadata"]["name"] not in {one["metadata"]["name"] for one in claims(contested)}, 30, "gone")
    runs(contested, 2)
    more = settled(contested) - before
    assert more[BOUGHT] == 1
    assert contested.api.get(node)["spec"]["unschedulable"] is True
