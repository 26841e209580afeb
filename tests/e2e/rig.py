"""The end-to-end test rig: real control planes, as many as a test wants, each in a fresh folder of its own.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real programs (programs.py), nodes and pods are
simulated by KWOK (stages.py), and nothing leaves the loopback interface. A cluster starts in seconds and ends with the
tests, also where they are interrupted or killed (guard.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e import kubeconfig, stores
from tests.e2e.cluster import Cluster, Wanted
from tests.e2e.processes import Guard
from tests.e2e.programs import ETCD, KARPENTER, KUBERAY, KUBERNETES, KWOK, Programs


class Rig:
    """Starts clusters and ends them all; `paths`: the programs that every cluster needs."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        """Build what every cluster needs, where the cache does not have it."""
        self._folder, self._programs = folder, programs
        self.paths = programs.paths(ETCD, KUBERNETES, KWOK)
        self._guard = Guard()
        self.clusters: list[Cluster] = []

    def start(self, name: str, wanted: Wanted | None = None) -> Cluster:
        """A new cluster of this name; operators that it wants are built where the cache does not have them."""
        wanted = wanted or Wanted()
        parts = [part for part, asked in ((KUBERAY, wanted.kuberay), (KARPENTER, wanted.karpenter)) if asked]
        paths = self.paths | self._programs.paths(*parts)
        crds = [path for part in parts for path in self._programs.crds(part)]
        cluster = self._cluster(name, wanted, paths, crds, self._store(paths, crds))
        cluster.start()
        return cluster

    def _store(self, paths: Mapping[str, Path], crds: Sequence[Path]) -> Path:
        """The filled store of these programs and definitions, filled now where the cache does not have it."""
        target = stores.place(self._programs.cache, paths, crds)
        if not target.exists():
            cluster = self._cluster("store", Wanted(), paths, crds, None)
            stores.keep(cluster.fill_store(), target)
            cluster.end()
        return target

    def _cluster(
        self, name: str, wanted: Wanted, paths: Mapping[str, Path], crds: Sequence[Path], store: Path | None
    ) -> Cluster:
        """A cluster that has not started, with a folder of its own."""
        folder = self._folder / f"{len(self.clusters)}-{name}"
        folder.mkdir()
        cluster = Cluster(name, folder, wanted, paths, crds, self._guard, store)
        self.clusters.append(cluster)
        return cluster

    def kubeconfig(self, clusters: Sequence[Cluster]) -> Path:
        """One kubeconfig with a context for each of these clusters, as their admin."""
        path = self._folder / ("-".join(cluster.name for cluster in clusters) + ".kubeconfig.yaml")
        return kubeconfig.write(path, [cluster.context() for cluster in clusters])

    def end(self) -> None:
        """End all clusters."""
        for cluster in self.clusters:
            cluster.end()
        self._guard.close()
