"""The .local name, with a busctl that answers what the test wants."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from doorbelld.net import mdns

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where to put a busctl; the host name is Doorbell.example.org."""
    monkeypatch.setattr(socket, "gethostname", lambda: "Doorbell.example.org")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "busctl"


def put(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.process
def test_avahi_knows_the_name_better_than_the_host_name(path: Path) -> None:
    put(path, """echo "$@" > "$0.asked"; echo 's "Doorbell-2.local"'""")
    assert mdns.local_name() == "doorbell-2.local"
    asked = path.with_name("busctl.asked").read_text()
    assert "--auto-start=no" in asked, "or asking would start it"
    assert asked.endswith("org.freedesktop.Avahi / org.freedesktop.Avahi.Server GetHostNameFqdn\n")


@pytest.mark.process
@pytest.mark.parametrize(
    "script",
    [
        "echo 'Call failed' >&2; exit 1",
        "",
        "echo nonsense",
        """echo 's ""'""",
        """echo 's "a b"'""",
        "exec sleep 60",
    ],
)
def test_without_avahi_it_is_the_host_name(
    path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mdns, "_LONGEST_QUESTION", 0.5)
    put(path, script)
    assert mdns.local_name() == "doorbell.local"


@pytest.mark.process
def test_without_busctl_it_is_the_host_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(path.parent))
    assert mdns.local_name() == "doorbell.local"
