"""A `raypipe run` beside a test cluster: started, killed, started again, and asked what it has done."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

import raypipe
from tests.e2e import kubeconfig
from tests.e2e.api import Object
from tests.e2e.cluster import Cluster
from tests.e2e.processes import Guard, Program, until

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from raypipe.cli import main; sys.exit(main(sys.argv[1:]))"
USER = "loop"
"""The user that a loop is, in clusters that have one so called: the audit log then tells its writes from the tests'."""

TYPES = Path(raypipe.__file__).parent / "catalog" / "data" / "instance_types.csv"
ZONES = ("us-east-1a", "us-east-1b")


def fleet_file(
    path: Path,
    contexts: Sequence[str],
    capacity_types: Sequence[str] = ("spot", "on-demand"),
    *,
    nodes: str = "karpenter",
    types: Sequence[str] = (),
    limits: Mapping[str, str] | None = None,
    **settings: object,
) -> Path:
    """A fleet of live clusters that buy, as a rule, NodeClaims of Karpenter's simulated provider; types: only these.

    limits: of each cluster.
    """
    only = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": list(types)}
    clusters = [
        {
            "name": context,
            "context": context,
            "provider": "aws",
            "region": "us-east-1",
            "zones": list(ZONES),
            "capacityTypes": list(capacity_types),
            "requirements": [only] if types else [],
            "limits": dict(limits or {}),
            "nodes": nodes,
            "nodeClass": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
        }
        for context in contexts
    ]
    fleet = {"apiVersion": "raypipe.io/v1", "kind": "Fleet", "settings": settings, "clusters": clusters}
    path.write_text(yaml.safe_dump(fleet))
    return path


def kubeconfig_of(path: Path, clusters: Sequence[Cluster], user: str = USER) -> Path:
    """A kubeconfig with a context for each cluster, called as the cluster is, as this user."""
    contexts = [kubeconfig.Context(one.name, *_way_in(one, user)) for one in clusters]
    return kubeconfig.write(path, contexts)


def _way_in(cluster: Cluster, user: str) -> tuple[int, Path, str]:
    context = cluster.context(user)
    return context.port, context.authority, context.token


@dataclass
class RunningLoop:
    """A loop as a process of its own. `state`: its folder. guard: ends it with the tests."""

    folder: Path
    kubeconfig: Path
    fleet: Path
    guard: Guard = field(default_factory=Guard)
    program: Program | None = None

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "loop.log"

    def start(self, *options: str) -> None:
        """Start it, or another life of it."""
        arguments = ["run", str(self.fleet), "--state", str(self.state), *options]
        environment = {"KUBECONFIG": str(self.kubeconfig), "PYTHONPATH": str(ROOT), "RAYPIPE_DEBUG": "1"}
        self.program = Program("loop", [sys.executable, "-c", COMMAND, *arguments], self.log, environment)
        self.program.start(self.guard)

    def kill(self) -> None:
        """SIGKILL, whatever it is doing."""
        assert self.program is not None
        assert self.program.process is not None
        self.program.process.kill()
        self.program.process.wait()

    def end(self) -> int:
        """Ask it to end, and wait until it has; its exit code."""
        assert self.program is not None
        assert self.program.process is not None
        self.program.process.terminate()
        return self.program.process.wait(timeout=30)

    def ended(self, within_s: float = 60) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self.program is not None
        assert self.program.process is not None
        return self.program.process.wait(timeout=within_s)

    def says(self, words: str, within_s: float = 30) -> None:
        """Wait until a line of its log has these words."""
        try:
            until(lambda: words in self.told(), within_s, f"the loop says {words!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.told()[-3000:]}") from None

    def told(self) -> str:
        """Everything that it has said."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def close(self) -> None:
        """End it, and its guard."""
        if self.program is not None:
            self.program.end()
        self.guard.close()


def runs(cluster: Cluster, count: int, within_s: float = 60) -> None:
    """Wait until so many pods run, and no other is there."""

    def done() -> bool:
        phases = [pod["status"]["phase"] for pod in cluster.api.items("v1", "Pod")]
        return phases == ["Running"] * count

    try:
        until(done, within_s, f"{count} pods run")
    except AssertionError as error:
        pods = cluster.api.items("v1", "Pod")
        waiting = [pod for pod in pods if pod["status"]["phase"] != "Running"]
        states = [(pod["metadata"]["name"], pod["status"].get("conditions")) for pod in waiting[:3]]
        nodes = {one["metadata"]["name"]: one["status"].get("allocatable") for one in cluster.api.items("v1", "Node")}
        raise AssertionError(f"{error}: {len(pods)} pods, {len(waiting)} wait: {states}; nodes {nodes}") from None


def unhappy(cluster: Cluster) -> list[str]:
    """What is not as it should be once all pods run: pods that wait, nodes without pods, pods on no node of ours.

    A node that was bought twice shows as one that is empty.
    """
    pods = cluster.api.items("v1", "Pod")
    used = Counter(pod["spec"].get("nodeName") for pod in pods)
    waiting = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] != "Running"]
    empty = [one["metadata"]["name"] for one in cluster.api.items("v1", "Node") if not used[one["metadata"]["name"]]]
    homeless = [
        one["metadata"]["name"]
        for one in cluster.api.items("karpenter.sh/v1", "NodeClaim")
        if not one["status"].get("nodeName")
    ]
    return [f"waiting {waiting}"] * bool(waiting) + [f"{name} is empty" for name in empty] + homeless


def writes(cluster: Cluster, user: str = USER) -> Counter[tuple[str, str]]:
    """What a user has written, by verb and resource."""
    events = cluster.audited(user)
    return Counter((event["verb"], event["objectRef"]["resource"]) for event in events)


def bought(cluster: Cluster) -> list[str]:
    """Names of the claims that the loop has made, those that were refused left out."""
    return sorted(
        event["objectRef"]["name"]
        for event in cluster.audited(USER)
        if (event["verb"], event["objectRef"]["resource"]) == ("create", "nodeclaims")
        and event["responseStatus"]["code"] == 201
    )


def claims(cluster: Cluster) -> list[Object]:
    """All NodeClaims."""
    return cluster.api.items("karpenter.sh/v1", "NodeClaim")


def catalogue(folder: Path, usd_per_hour: Mapping[str, float]) -> None:
    """Write a catalogue of these types alone, on demand at these prices, as one that is fetched again is written."""
    folder.mkdir(exist_ok=True)
    header, *rows = TYPES.read_text(encoding="utf-8").splitlines()
    column = header.split(",").index("instance_type")
    kept = [row for row in rows if row.split(",")[column] in usd_per_hour]
    (folder / "instance_types.csv").write_text("\n".join([header, *kept, ""]))
    offered = [f"aws,us-east-1,{name},on-demand,{usd:g}" for name, usd in usd_per_hour.items()]
    columns = "provider,region,instance_type,capacity_type,usd_per_hour"
    (folder / "offerings.csv").write_text("\n".join([columns, *offered, ""]))


def workers(cluster: Cluster, group: str, *, running: bool) -> set[str]:
    """Names of a group's workers that run, or of those that wait."""
    pods = cluster.api.items("v1", "Pod", labelSelector=f"ray.io/group={group}")
    return {one["metadata"]["name"] for one in pods if (one["status"]["phase"] == "Running") is running}


def written(cluster: Cluster, resource: str) -> list[str]:
    """The objects of a resource that the loop has written to, refused or not, in order."""
    return [one["objectRef"]["name"] for one in cluster.audited(USER) if one["objectRef"]["resource"] == resource]
