"""The flags by which each program serves one test cluster: on loopback, alone, without waiting to be elected.

Karpenter's metrics and health ports are the exception: they listen on every interface and have no flag for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.e2e.certificates import Certificates
from tests.e2e.processes import LOOPBACK

_FAST = ["--kube-api-qps=1000", "--kube-api-burst=2000"]
"""No client-side throttling: what a test measures should be the servers."""


@dataclass(frozen=True)
class Ports:
    """The ports of one cluster, all different."""

    etcd: int
    api_server: int
    kwok: int
    karpenter_metrics: int
    karpenter_health: int


def etcd(data: Path, ports: Ports) -> list[str]:
    """A store that forgets everything with the machine, which no test minds, and is quick for it."""
    url = f"http://{LOOPBACK}:{ports.etcd}"
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls=http://{LOOPBACK}:0",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(keys: Certificates, tokens: Path, ports: Ports, audit: tuple[Path, Path] | None) -> list[str]:
    """The API server; `audit`: files of the policy and of the log.

    Pods get no tokens of service accounts (nothing runs in them), and the endpoints of the service ``kubernetes`` are
    left alone: they refuse a loopback address, and nothing here asks that service.
    """
    flags = [
        f"--etcd-servers=http://{LOOPBACK}:{ports.etcd}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={ports.api_server}",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={keys.server}",
        f"--tls-private-key-file={keys.server_key}",
        f"--service-account-key-file={keys.service_account_key}",
        f"--service-account-signing-key-file={keys.service_account_key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--disable-admission-plugins=ServiceAccount",
    ]
    if audit is not None:
        flags += [f"--audit-policy-file={audit[0]}", f"--audit-log-path={audit[1]}"]
    return flags


def controller_manager(kubeconfig: Path) -> list[str]:
    """All controllers but the one that hands out address ranges, which needs a cloud."""
    return [
        f"--kubeconfig={kubeconfig}",
        "--controllers=*,-node-ipam-controller",
        "--leader-elect=false",
        "--secure-port=0",
        *_FAST,
    ]


def scheduler(kubeconfig: Path) -> list[str]:
    """The scheduler as it is, with its default plugins."""
    return [f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0", *_FAST]


def kwok(kubeconfig: Path, stages: Path, ports: Ports) -> list[str]:
    """KWOK as the kubelet of every node."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--config={stages}",
        f"--server-address={LOOPBACK}:{ports.kwok}",
        "--manage-all-nodes",
        "--node-lease-duration-seconds=40",
    ]


def kuberay() -> list[str]:
    """The KubeRay operator; its kubeconfig comes in the environment."""
    return ["--enable-leader-election=false", "--metrics-addr=0", "--health-probe-bind-address=0", "--qps=1000"]


def karpenter(instance_types: Path, ports: Ports) -> list[str]:
    """Karpenter with its simulated provider; its kubeconfig comes in the environment."""
    return [
        "-disable-leader-election",
        f"-metrics-port={ports.karpenter_metrics}",
        f"-health-probe-port={ports.karpenter_health}",
        f"-instance-types-file-path={instance_types}",
    ]
