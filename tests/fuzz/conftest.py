"""A daemon for everything that strangers may say to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from doorbelld.access import password
from tests.fuzz.answers import ask
from tests.support.condition import Condition
from tests.support.daemon import Daemon, eventually

HASTE = 0.3
"""Seconds that a hasty one waits for a request."""

_SETTINGS = {"camera.resolution": "160x120", "camera.framerate": 10, "server.max_requests": 1}
"""One thread answers all, so that it is always the same number of them."""


@pytest.fixture(scope="module")
def doorbell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon that has a picture."""
    yield from _doorbell(tmp_path_factory.mktemp("doorbell"), {})


@pytest.fixture(scope="module")
def hasty_doorbell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return one that waits for no request for long."""
    yield from _doorbell(tmp_path_factory.mktemp("hasty"), {"server.header_timeout": HASTE})


@pytest.fixture(scope="module")
def locked_doorbell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return one that wants a password, which nobody knows."""
    folder = tmp_path_factory.mktemp("locked")
    file = folder / "password"
    file.write_text(password.hashed("correct horse battery staple"), encoding="ascii")
    yield from _doorbell(folder, {"server.header_timeout": HASTE, "access.password_file": file})


def _doorbell(folder: Path, settings: Mapping[str, object]) -> Iterator[Daemon]:
    """Yield a daemon that logs every request, and must hold no more in the end than before."""
    with Daemon(folder) as found:
        found.start({**_SETTINGS, **settings}, arguments=["-v"])
        eventually(lambda: found.request("/healthz")[0].status == 200, "a picture")
        # What a viewer or a guess takes for the first time, it keeps.
        for path in ("/video_feed", "/status"):
            ask(found, [f"GET {path} HTTP/1.1\r\nAuthorization: Basic OngK\r\n\r\n".encode()])
        before = Condition.of(found.pid)
        yield found
        before.wait_until_back()
