"""Daemons for everything that strangers may send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from doorbelld.access import password
from tests.fuzz.answers import HASTE, ask
from tests.support.condition import Condition
from tests.support.daemon import Daemon, eventually
from tests.support.kept_visits import KeptVisits, film

_SETTINGS = {"camera.resolution": "160x120", "camera.framerate": 10, "server.max_requests": 1}
"""One thread answers everything, so that the number of threads is always the same."""


@pytest.fixture(scope="module")
def doorbell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return a daemon that has a picture."""
    yield from _doorbell(tmp_path_factory.mktemp("doorbell"), {})


@pytest.fixture(scope="module")
def hasty_doorbell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return one with a short timeout for requests."""
    yield from _doorbell(tmp_path_factory.mktemp("hasty"), {"server.header_timeout": HASTE})


@pytest.fixture(scope="module")
def locked_doorbell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """Return one with a password that no client knows."""
    folder = tmp_path_factory.mktemp("locked")
    file = folder / "password"
    file.write_text(password.hashed("correct horse battery staple"), encoding="ascii")
    yield from _doorbell(folder, {"server.header_timeout": HASTE, "access.password_file": file})


def _doorbell(folder: Path, settings: Mapping[str, object]) -> Iterator[Daemon]:
    """Yield a daemon that logs every request, and must hold no more at the end than before."""
    kept = KeptVisits(folder / "state")
    kept.add(film(3), still=film(1)[0])
    with Daemon(folder) as found:
        settings = {**_SETTINGS, **kept.settings(), **settings}
        found.start(settings, arguments=["-v"], environ=kept.environ)
        eventually(lambda: found.request("/healthz")[0].status == 200, "a picture")
        # Memory for the first viewer, the first guess and the first film is kept.
        for path in ("/video_feed", "/status", "/visits/1.json", "/visits/1/video"):
            ask(found, [f"GET {path} HTTP/1.1\r\nAuthorization: Basic OngK\r\n\r\n".encode()])
        before = Condition.of(found.pid)
        yield found
        before.wait_until_back()
