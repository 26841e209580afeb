"""The live loop on a real control plane: nothing is bought twice whatever happens, and a dry run writes nothing."""

from __future__ import annotations

import dataclasses
import random
import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from raypipe.cli import main
from raypipe.controller.durable import memory_name
from raypipe.cycle import Memory
from tests.e2e import kubeconfig
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.instance_types import sold_on_aws
from tests.e2e.karpenter import NODE_CLASS
from tests.e2e.objects import deployment
from tests.e2e.processes import free_ports, until
from tests.e2e.rig import Rig
from tests.e2e.running import USER, ZONES, RunningLoop, bought, claims, fleet_file, kubeconfig_of, runs, unhappy, writes

README = Path(__file__).parents[2] / "README.md"
LEASE_S = 2.0
SOLD_OUT = "m7i.xlarge"
"""What the provider of this cluster does not have, though the catalogue does: launches of it fail."""


@pytest.fixture(scope="module")
def looped(rig: Rig) -> Cluster:
    """A cluster whose audit log tells what the loop writes."""
    sold = [one for one in sold_on_aws(*ZONES) if one.instance_type != SOLD_OUT]
    cluster = rig.start("loop", Wanted(karpenter=sold, audit=True, users={USER: ("system:masters",)}))
    cluster.api.apply(NODE_CLASS)
    return cluster


@pytest.fixture
def loop(looped: Cluster, tmp_path: Path) -> Iterator[RunningLoop]:
    """A loop that is about to be started; afterwards the cluster is empty."""
    fleet = fleet_file(tmp_path / "fleet.yaml", [looped.name], lease_s=LEASE_S, settle_s=0.5)
    running = RunningLoop(tmp_path, kubeconfig_of(tmp_path / "kubeconfig.yaml", [looped]), fleet)
    yield running
    print(running.told()[-6000:])  # shown where a test fails
    running.close()
    looped.clear()


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(looped: Cluster, loop: RunningLoop) -> None:
    before = writes(looped)
    looped.api.create(deployment("web", 3, cpu="700m"))
    loop.start()
    loop.says("dry run, decision")
    loop.says("would BuyNode NodeClaim//")
    assert loop.end() == 0
    assert writes(looped) == before
    assert claims(looped) == []


def test_pods_that_come_in_waves_get_nodes_and_nothing_is_bought_twice(looped: Cluster, loop: RunningLoop) -> None:
    loop.start("--apply")
    for number in range(4):
        looped.api.create(deployment(f"wave{number}", 5, cpu="900m", memory="1Gi"))
        time.sleep(1.5)
    runs(looped, 20)
    assert unhappy(looped) == []
    assert loop.end() == 0


def test_a_loop_that_is_killed_at_any_moment_goes_on_where_it_was(looped: Cluster, loop: RunningLoop) -> None:
    chance = random.Random(7)
    for number in range(3):
        loop.start("--apply")
        looped.api.create(deployment(f"wave{number}", 6, cpu="900m", memory="1Gi"))
        loop.says(f"{looped.name}: decision" if number == 0 else "decision", within_s=30)
        time.sleep(chance.uniform(0.0, 0.4))
        loop.kill()
    loop.start("--apply")
    runs(looped, 18)
    assert unhappy(looped) == []
    names = bought(looped)
    assert len(names) == len(set(names))


def test_when_paused_it_writes_its_lease_alone(
    looped: Cluster, loop: RunningLoop, capsys: pytest.CaptureFixture[str]
) -> None:
    loop.state.mkdir()
    assert main(["pause", "--state", str(loop.state)]) == 0
    before = writes(looped)
    looped.api.create(deployment("web", 3, cpu="700m"))
    loop.start("--apply")
    loop.says("paused, decision")
    time.sleep(2)
    assert {resource for _, resource in writes(looped) - before} == {"leases"}
    assert main(["resume", "--state", str(loop.state)]) == 0
    runs(looped, 3)
    assert "paused: loops" in capsys.readouterr().err


def test_two_loops_never_act_together_and_the_second_follows_the_first(
    looped: Cluster, loop: RunningLoop, tmp_path: Path
) -> None:
    loop.start("--apply")
    loop.says("decision")
    (tmp_path / "second").mkdir()
    second = RunningLoop(tmp_path / "second", loop.kubeconfig, loop.fleet)
    try:
        second.start("--apply")
        second.says("is held by")
        loop.kill()
        looped.api.create(deployment("web", 3, cpu="700m"))
        runs(looped, 3)
        assert unhappy(looped) == []
        assert "done" in second.told()
    finally:
        second.close()


def test_an_api_server_that_is_away_is_waited_for(looped: Cluster, loop: RunningLoop) -> None:
    looped.api.create(deployment("web", 3, cpu="700m"))
    loop.start("--apply")
    runs(looped, 3)
    looped.stop("kube-apiserver")
    time.sleep(6)
    looped.restart("kube-apiserver")
    looped.api.create(deployment("more", 5, cpu="900m", memory="1Gi"))
    runs(looped, 8)
    assert unhappy(looped) == []


def test_a_launch_that_fails_is_given_up_and_bought_elsewhere(looped: Cluster, loop: RunningLoop) -> None:
    fleet = yaml.safe_load(loop.fleet.read_text())
    kinds = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [SOLD_OUT, "m7i.4xlarge"]}
    fleet["clusters"][0]["requirements"] = [kinds]
    loop.fleet.write_text(yaml.safe_dump(fleet))
    looped.api.create(deployment("web", 1, cpu="2", memory="4Gi"))
    loop.start("--apply")
    runs(looped, 1)
    assert "given up: LaunchFailed" in loop.told()
    until(lambda: len(claims(looped)) == 1, 20, "what failed is gone")
    assert unhappy(looped) == []
    remembered = Memory.from_json((loop.state / memory_name(looped.name)).read_bytes())
    assert {one.offering.instance_type for one in remembered.failures} == {SOLD_OUT}


def test_a_cluster_that_does_not_answer_leaves_the_others_served(looped: Cluster, loop: RunningLoop) -> None:
    (dead,) = free_ports(1)
    nobody = dataclasses.replace(looped.context(USER), name="dead", port=dead)
    kubeconfig.write(loop.kubeconfig, [dataclasses.replace(looped.context(USER), name=looped.name), nobody])
    fleet_file(loop.fleet, ["dead", looped.name], lease_s=LEASE_S, settle_s=0.5)
    loop.start("--apply")
    looped.api.create(deployment("web", 3, cpu="700m"))
    runs(looped, 3)
    loop.says("dead: no answer from")
    assert unhappy(looped) == []


def test_the_commands_of_the_readme_are_real(
    looped: Cluster, loop: RunningLoop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = re.search(r"^```sh\n(raypipe run .*?)^```$", README.read_text(), re.M | re.S)
    assert block is not None
    once, endless, pause, resume = (shlex.split(line, comments=True)[1:] for line in block[1].splitlines())
    way_in = dataclasses.replace(looped.context(USER), name="prod")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig.write(loop.kubeconfig, [way_in])))
    monkeypatch.chdir(loop.folder)
    assert main(once) == 0
    assert "dry run, decision" in capsys.readouterr().out
    assert main([*endless, "--once"]) == 0
    assert (main(pause), main(resume)) == (0, 0)
