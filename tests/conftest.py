"""What all tests share: properties that repeat themselves, and no network outside integration and end-to-end tests."""

from __future__ import annotations

import socket
from typing import Never

import pytest
from hypothesis import settings

settings.register_profile("raypipe", deadline=None, derandomize=True, database=None, print_blob=False)
settings.load_profile("raypipe")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection: a unit test that needs the network tests the wrong thing."""
    if not {"integration", "e2e"}.isdisjoint(request.path.parts):
        return

    def refused(*_: object) -> Never:
        raise AssertionError("a unit test tried to open a network connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
