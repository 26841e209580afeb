"""Kubeconfig contexts: found by name in one file or several, and told with the nearest spelling where they are not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from raypipe.adapters.kubernetes.contexts import configuration_of
from raypipe.errors import ClusterError


def kubeconfig(path: Path, *names: str, user: dict[str, Any] | None = None, server: str = "http://127.0.0.1:1") -> Path:
    """A kubeconfig with a context, a cluster and a user of each name."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"{server}/{name}"}} for name in names],
        "users": [{"name": name, "user": user or {"token": f"token-of-{name}"}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
        "current-context": names[0],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_context_says_where_its_server_is_and_who_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kubeconfig(tmp_path / "config", "prod", "staging")
    monkeypatch.setenv("KUBECONFIG", str(path))
    before = path.read_bytes()
    found = configuration_of("staging")
    assert (found.host, found.api_key) == ("http://127.0.0.1:1/staging", {"BearerToken": "Bearer token-of-staging"})
    assert path.read_bytes() == before


def test_several_files_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [kubeconfig(tmp_path / "one", "prod"), tmp_path / "none", kubeconfig(tmp_path / "two", "staging")]
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, files)))
    assert [configuration_of(name).host for name in ("prod", "staging")] == [
        "http://127.0.0.1:1/prod",
        "http://127.0.0.1:1/staging",
    ]


def test_a_file_that_has_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kubeconfig(tmp_path / "config", "prod")
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert configuration_of("prod").host == "http://127.0.0.1:1/prod"
    kubeconfig(path, "prod", server="http://127.0.0.1:2")
    os.utime(path, ns=(0, 0))
    assert configuration_of("prod").host == "http://127.0.0.1:2/prod"


def test_without_kubeconfig_variable_the_home_folder_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube" / "config", "prod")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert configuration_of("prod").host == "http://127.0.0.1:1/prod"


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ("prd", "found no context 'prd', expected one of its contexts: prod, staging (did you mean 'prod'?)"),
        ("other", "found no context 'other', expected one of its contexts: prod, staging"),
        ("in-cluster", "in-cluster: {file} does not say how to reach it: Service host/port is not set."),
    ],
)
def test_a_context_that_is_not_there(context: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kubeconfig(tmp_path / "config", "staging", "prod")
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterError) as error:
        configuration_of(context)
    expected = told.format(file=path) if "{file}" in told else f"{path}: {told}"
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param("contexts: [", "no kubeconfig", id="no YAML"),
        pytest.param("", "no kubeconfig", id="an empty file"),
        pytest.param("- a\n- b\n", "no kubeconfig", id="a list"),
        pytest.param("contexts: []\nclusters: []\n", "expected a kubeconfig with contexts", id="without contexts"),
        pytest.param(
            "contexts: [{name: prod, context: {cluster: none}}]\nclusters: []\n",
            "does not say how to reach it: Invalid kube-config file. Expected object with name none",
            id="a context of a cluster that is not there",
        ),
    ],
)
def test_a_file_that_is_no_kubeconfig(content: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ClusterError) as error:
        configuration_of("prod")
    assert told in str(error.value)
    assert str(path) in str(error.value)


def test_a_file_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError, match="none: found no such file, expected a kubeconfig with contexts"):
        configuration_of("prod")


def test_a_credential_plugin_that_fails_is_an_error_and_not_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", "echo no >&2; exit 3"]}
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", "prod", user={"exec": plugin})))
    with pytest.raises(ClusterError, match=r"prod: no credentials from its plugin: exec: process returned 3\. no"):
        configuration_of("prod")
    assert capfd.readouterr() == ("", "")
