"""One control plane on the loopback interface: etcd, API server, controllers and scheduler, with KWOK's nodes.

Everything that a cluster has lies in one fresh folder: keys, tokens, logs, data. Ports are chosen at the start. Every
program is a user of its own, so that the audit log tells who wrote what; all of them may do everything, and everybody
else what RBAC lets him.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from raypipe.model.nodes import Offering
from tests.e2e import certificates, commands, instance_types, kubeconfig, stores
from tests.e2e.api import Api, ApiError, Object
from tests.e2e.certificates import Certificates
from tests.e2e.commands import Ports
from tests.e2e.kubeconfig import Context
from tests.e2e.processes import LOOPBACK, Guard, Program, free_ports, until
from tests.e2e.stages import Stages

ADMIN = "admin"
_MASTERS = "system:masters"
_PROGRAMS = ("kube-controller-manager", "kube-scheduler", "kwok", "kuberay-operator", "karpenter")
_WORKLOADS = (("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"), ("apps/v1", "StatefulSet"), ("batch/v1", "Job"))
_AUDIT_POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a test needs of a cluster.

    Attributes:
        kuberay: its operator and CRDs. karpenter: Karpenter and its CRDs, where it has anything to sell: these
            offerings. stages: how nodes and pods behave. audit: keep an audit log (`Cluster.audited`).
        users: more users than the admin, name → groups; without a RoleBinding they may do nothing.
    """

    kuberay: bool = False
    karpenter: Sequence[Offering] = ()
    stages: Stages = field(default_factory=Stages)
    audit: bool = False
    users: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass
class Cluster:
    """A running control plane. `api` is the admin's client of it.

    Attributes:
        name: also its context in `kubeconfig`. folder: all its files. crds: files of what it serves beyond Kubernetes.
        paths: where the programs that it needs are. store: what etcd starts from (stores.py), None for nothing.
        programs: those that run, in the order of their start.
    """

    name: str
    folder: Path
    wanted: Wanted
    paths: Mapping[str, Path]
    crds: Sequence[Path]
    guard: Guard
    store: Path | None = None
    programs: dict[str, Program] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)
    _clients: list[Api] = field(default_factory=list)

    def start(self) -> None:
        """Start everything and wait until it serves; what has been started is ended where something fails."""
        try:
            self._start_servers()
            self._start_controllers()
            self.check()
        except BaseException:
            self.end()
            raise

    def fill_store(self) -> Path:
        """Start the servers alone, define all objects and end: the folder of what etcd has then."""
        try:
            self._start_servers()
            self.stop("kube-apiserver")
            stores.forget_namespaces(f"http://{LOOPBACK}:{self._ports.etcd}")
        finally:
            self._end_programs()
        return self.folder / "etcd"

    def end(self) -> None:
        """End every program, the last started first; logs stay, data goes."""
        self._end_programs()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def clear(self) -> None:
        """Delete all workloads, then all nodes, and wait until they are gone."""
        kinds = [
            *([("ray.io/v1", "RayJob"), ("ray.io/v1", "RayCluster")] if self.wanted.kuberay else []),
            *_WORKLOADS,
            *([("karpenter.sh/v1", "NodeClaim")] if self.wanted.karpenter else []),
            *[("v1", "Pod"), ("v1", "Node")],
        ]
        for api_version, kind in kinds:
            self.api.delete(*self.api.items(api_version, kind), propagationPolicy="Background", gracePeriodSeconds=0)
        until(lambda: not any(self.api.items(*kind) for kind in kinds), 30, "nothing is left")

    def stop(self, name: str) -> None:
        """End one program, as a crash would."""
        self.programs[name].end()

    def restart(self, name: str) -> None:
        """Start a program that was ended, with the same command, and wait for the API server where it is that."""
        self.programs[name].start(self.guard)
        self._await_api()

    def context(self, user: str = ADMIN) -> Context:
        """The way in as one of the users."""
        name = self.name if user == ADMIN else f"{self.name}-{user}"
        return Context(name, self._ports.api_server, self._certificates.authority, self._tokens[user])

    def as_user(self, user: str) -> Api:
        """A client that is this user."""
        return self.client(self.context(user))

    def client(self, context: Context) -> Api:
        """A client that goes in this way."""
        client = Api(context.port, context.authority, context.token)
        self._clients.append(client)
        return client

    def service_account_context(self, namespace: str, name: str) -> Context:
        """The way in as a service account that exists, by a token that the API server signs for an hour."""
        target = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        token = self.api.request("POST", target, body)["status"]["token"]
        return Context(f"{self.name}-{name}", self._ports.api_server, self._certificates.authority, token)

    def audited(self, user: str | None = None, writes_only: bool = True) -> list[Object]:
        """Requests that the API server has answered so far, one user's or everybody's, from its audit log."""
        assert self.wanted.audit, "this cluster was started without audit=True"
        lines = self._audit_log.read_text().splitlines() if self._audit_log.exists() else []
        events: list[Object] = [json.loads(line) for line in lines]
        return [
            event
            for event in events
            if event["stage"] == "ResponseComplete"
            and (user is None or event["user"]["username"] == user)
            and (not writes_only or event["verb"] in _WRITES)
        ]

    def check(self) -> None:
        """Raise ProgramError where one of its programs runs no longer."""
        for program in self.programs.values():
            program.check()

    def tails(self, lines: int = 20) -> str:
        """The end of every log."""
        return "\n".join(f"--- {self.name} {name}\n{program.tail(lines)}" for name, program in self.programs.items())

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig with one context for the admin and one for each further user."""
        contexts = [self.context(user) for user in (ADMIN, *self.wanted.users)]
        return kubeconfig.write(self.folder / "kubeconfig.yaml", contexts)

    @property
    def rss_bytes(self) -> dict[str, int]:
        """Memory that its programs hold."""
        return {name: program.rss_bytes for name, program in self.programs.items()}

    def _end_programs(self) -> None:
        for program in reversed(self.programs.values()):
            program.end()
        for client in self._clients:
            client.close()

    def _start_servers(self) -> None:
        """etcd and the API server, until it serves everything that is defined."""
        self._certificates: Certificates = certificates.make(self.folder / "keys")
        self._audit_log = self.folder / "audit.log"
        self._ports = Ports(*free_ports(len(fields(Ports))))
        tokens = self._write_tokens()
        self.api = self.as_user(ADMIN)
        if self.store is not None:
            shutil.copytree(self.store, self.folder / "etcd")
        self._run("etcd", commands.etcd(self.folder / "etcd", self._ports))
        audit = (self._write_audit_policy(), self._audit_log) if self.wanted.audit else None
        self._run("kube-apiserver", commands.api_server(self._certificates, tokens, self._ports, audit))
        self._await_api()
        self._define([json.loads(path.read_bytes()) for path in self.crds])

    def _start_controllers(self) -> None:
        """Everything that acts on what the API server has."""
        self._run("kube-controller-manager", commands.controller_manager(self._own("kube-controller-manager")))
        self._run("kube-scheduler", commands.scheduler(self._own("kube-scheduler")))
        stages = self.wanted.stages.write(self.folder / "stages.yaml")
        self._run("kwok", commands.kwok(self._own("kwok"), stages, self._ports))
        if self.wanted.kuberay:
            kubeconfig_of = {"KUBECONFIG": str(self._own("kuberay-operator"))}
            self._run("kuberay-operator", commands.kuberay(), kubeconfig_of)
        if self.wanted.karpenter:
            types = instance_types.write(self.folder / "instance-types.json", self.wanted.karpenter)
            environment = {"KUBECONFIG": str(self._own("karpenter")), "SYSTEM_NAMESPACE": "kube-system"}
            self._run("karpenter", commands.karpenter(types, self._ports), environment)

    def _define(self, crds: Sequence[Object]) -> None:
        """Create these CRDs, where the store does not have them, and wait until the API server serves them."""
        if self.store is None:
            self.api.create(*crds)
        server = [self.programs["kube-apiserver"]]
        for crd in crds:
            until(lambda crd=crd: self._serves(crd), 60, f"{crd['metadata']['name']} is served", server)  # type: ignore[misc]

    def _serves(self, crd: Object) -> bool:
        """Whether objects of a CRD can be listed, and clients that look for its kind find it."""
        names = crd["spec"]["names"]
        path = f"/apis/{crd['spec']['group']}/{crd['spec']['versions'][0]['name']}"
        try:
            kinds = [resource["kind"] for resource in self.api.request("GET", path)["resources"]]
            return names["kind"] in kinds and "items" in self.api.request("GET", f"{path}/{names['plural']}")
        except ApiError:
            return False

    def _write_audit_policy(self) -> Path:
        path = self.folder / "audit-policy.yaml"
        path.write_text(yaml.safe_dump(_AUDIT_POLICY))
        return path

    def _write_tokens(self) -> Path:
        users: dict[str, Sequence[str]] = dict.fromkeys((ADMIN, *_PROGRAMS), (_MASTERS,))
        users |= self.wanted.users
        self._tokens = {name: secrets.token_hex(16) for name in users}
        rows = [f'{self._tokens[name]},{name},{name},"{",".join(groups)}"' for name, groups in users.items()]
        path = self.folder / "tokens.csv"
        path.write_text("\n".join(rows) + "\n")
        path.chmod(0o600)
        return path

    def _own(self, program: str) -> Path:
        """The kubeconfig of one of our programs."""
        return kubeconfig.write(self.folder / f"{program}.kubeconfig.yaml", [self.context(program)])

    def _run(self, name: str, flags: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        program = Program(name, [str(self.paths[name]), *flags], self.folder / f"{name}.log", environment or {})
        self.programs[name] = program
        program.start(self.guard)

    def _await_api(self) -> None:
        """Wait until the API server is ready, its first roles and namespaces included."""
        watched = [self.programs[name] for name in ("etcd", "kube-apiserver")]
        until(self._answers, 60, "the API server is ready", watched)

    def _answers(self) -> bool:
        default: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
        try:
            return self.api.request("GET", "/readyz") == "ok" and self.api.find(default) is not None
        except (ApiError, OSError):
            return False
