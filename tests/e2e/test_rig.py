"""The rig itself: several clusters at once, each with its own users, and nothing of them left afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e import guard
from tests.e2e.api import Api, ApiError
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.objects import deployment, namespace, node, pod
from tests.e2e.processes import Guard, Program, ProgramError, until
from tests.e2e.rig import Rig


@pytest.fixture(scope="module")
def other(rig: Rig) -> Iterator[Cluster]:
    """A second cluster, which keeps an audit log and knows somebody without rights."""
    cluster = rig.start("other", Wanted(audit=True, users={"nobody": ()}))
    yield cluster
    cluster.end()


def may_list_pods(api: Api) -> bool:
    try:
        return api.items("v1", "Pod", "default") == []
    except ApiError:
        return False


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if any(str(folder) in word for word in guard.command_of(pid))]


@pytest.mark.usefixtures("clean")
def test_two_clusters_run_side_by_side_and_know_nothing_of_each_other(
    rig: Rig, cluster: Cluster, other: Cluster
) -> None:
    both = [cluster, other]
    for each in both:
        each.api.create(node(each.name), deployment(f"on-{each.name}", 2))
    for each in both:
        each.api.wait(deployment(f"on-{each.name}", 2), lambda found: found["status"].get("readyReplicas") == 2)
        assert [found["metadata"]["name"] for found in each.api.items("v1", "Node")] == [each.name]
    systems = [each.api.get(namespace("kube-system"))["metadata"]["uid"] for each in both]
    assert systems[0] != systems[1]
    config = yaml.safe_load(rig.kubeconfig(both).read_text())
    assert [context["name"] for context in config["contexts"]] == ["shared", "other"]
    assert len({entry["cluster"]["server"] for entry in config["clusters"]}) == 2
    other.clear()


def test_what_a_user_does_is_bound_by_rbac_and_told_by_the_audit_log(other: Cluster) -> None:
    with pytest.raises(ApiError, match="403 Forbidden"):
        other.as_user("nobody").create(pod("forbidden"))
    other.api.create(namespace("allowed"))
    assert [(event["verb"], event["responseStatus"]["code"]) for event in other.audited("nobody")] == [("create", 403)]
    assert namespace("allowed")["metadata"]["name"] in [
        event["objectRef"].get("name") for event in other.audited("admin") if event["verb"] == "create"
    ]


def test_a_service_account_has_the_rights_that_are_bound_to_it_and_no_more(other: Cluster) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "subjects": [subject],
        "roleRef": role,
    }
    other.api.create(account, binding)
    reader = other.client(other.service_account_context("default", "reader"))
    until(lambda: may_list_pods(reader), 10, "the binding is known")
    with pytest.raises(ApiError, match="system:serviceaccount:default:reader"):
        reader.create(pod("forbidden"))


def test_an_api_server_that_was_stopped_comes_back_with_all_it_had(other: Cluster) -> None:
    other.api.create(namespace("kept"))
    other.stop("kube-apiserver")
    with pytest.raises(OSError, match="refused"):
        other.api.get(namespace("kept"))
    other.restart("kube-apiserver")
    assert other.api.get(namespace("kept"))["status"]["phase"] == "Active"


def test_nothing_is_left_of_a_cluster_that_has_ended(other: Cluster) -> None:
    """The last test of this cluster."""
    started = {program.pid for program in other.programs.values()}
    assert set(processes_of(other.folder)) == started
    other.end()
    assert processes_of(other.folder) == []
    assert not (other.folder / "etcd").exists()
    assert (other.folder / "kube-apiserver.log").stat().st_size > 0


def test_nothing_is_left_of_a_cluster_that_does_not_start(tmp_path: Path, rig: Rig) -> None:
    paths = {**rig.paths, "kube-apiserver": Path("/bin/false")}
    guard_process = Guard()
    cluster = Cluster("broken", tmp_path, Wanted(), paths, [], guard_process)
    with pytest.raises(ProgramError, match="kube-apiserver ended with status 1"):
        cluster.start()
    guard_process.close()
    assert processes_of(tmp_path) == []


KILLED = """
import sys
from pathlib import Path
from tests.e2e.processes import Guard, Program
guard = Guard()
command = [sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]]
program = Program("sleep", command, Path(sys.argv[1]) / "log", {})
program.start(guard)
print(program.pid, flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_when_the_tests_are_killed(tmp_path: Path) -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with tests:
        assert tests.stdout is not None
        program = int(tests.stdout.readline())
        assert program in processes_of(tmp_path)
        os.kill(tests.pid, signal.SIGKILL)
    until(lambda: not processes_of(tmp_path), 10, "the program has ended, too")


def test_a_pid_that_belongs_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    guard_process = Guard()
    sleeper = Program("sleep", ["sleep", "600"], tmp_path / "log", {})
    sleeper.start(guard_process)
    assert guard.end(sleeper.pid, ["sleep", "601"]) is False
    assert sleeper.process is not None
    assert sleeper.process.poll() is None
    sleeper.end()
    guard_process.close()
    assert guard.command_of(sleeper.pid) == []
