"""The worst known requests as fast as possible: fifty viewers do not notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.attack import attackers, hello
from tests.support.cost import BOUND, UNIT
from tests.support.daemon import Daemon
from tests.support.processes import allow_many_files, cpu_seconds
from tests.support.secure import SecureDaemon, make_pair
from tests.support.viewer_group import ViewerGroup

VIEWERS, FPS, SECONDS = 50, 30, 5
ATTACKERS = 3
KEY = "watching"
SETTINGS = {"camera.resolution": "160x120", "camera.framerate": FPS, "server.max_viewers": VIEWERS}
pytestmark = pytest.mark.alone("three attackers take as much of the machine as they can get")

_BESIDES = 1.0
"""Seconds of processor time for the camera and all viewers, in a second of pictures."""


@pytest.fixture(autouse=True)
def _many_files() -> None:
    allow_many_files()


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[SecureDaemon]:
    """Return a daemon that speaks TLS."""
    found = SecureDaemon(tmp_path, make_pair(tmp_path))
    with found:
        yield found.start(SETTINGS)


def counts(daemon: Daemon) -> tuple[int, int]:
    """Return how many pictures there were, and the fewest that any of the viewers was sent."""
    status = daemon.status(f"?key={KEY}")
    assert len(status["viewers"]) == VIEWERS, "a viewer was cut off"
    return status["camera"]["frames"], min(row["sent"] for row in status["viewers"])


def watch_under_attack(daemon: Daemon, requests: Sequence[bytes]) -> None:
    """Check that all pictures arrive, that new clients are served, and what it costs."""
    daemon.wait_for_state("streaming")
    with ViewerGroup(daemon) as group:
        viewers = group.join(VIEWERS, f"/video_feed?key={KEY}", source="127.0.0.200")
        group.wait_for_parts(1)
        with attackers(daemon.port, requests, ATTACKERS) as dealt_with:
            group.wait(lambda: dealt_with() > len(requests), "an attack under way")
            frames, sent = counts(daemon)
            attacks, spent = dealt_with(), cpu_seconds(daemon.pid)
            most = max(len(viewer.parts) for viewer in viewers)
            for second in range(1, SECONDS + 1):
                group.wait_for_parts(most + second * FPS)
                # A new client, at an address of its own.
                assert daemon.request("/healthz")[1] == b"ok\n"
            shown, seen = (now - then for now, then in zip(counts(daemon), (frames, sent)))
            attacks, spent = dealt_with() - attacks, cpu_seconds(daemon.pid) - spent
    assert seen >= shown * 29 / 30 - 1, "a picture may be under way"
    assert attacks > 0
    assert spent <= attacks * BOUND + SECONDS * _BESIDES


def nasty(first: bytes) -> list[bytes]:
    """Return heads of the maximum length, each of which once took a tenth of a second."""
    lines = [
        b"a:" + b" " * (UNIT - 100) + b"\0",
        b"a:" + b"\t" * (UNIT - 100) + b"\x7f",
        b'Content-Type: multipart/x; a="' + b";" * (UNIT - 100),
    ]
    return [first + line + b"\r\n\r\n" for line in lines]


def test_heads_that_do_their_worst_are_not_noticed(daemon: Daemon) -> None:
    daemon.start(SETTINGS)
    requests = nasty(b"GET / HTTP/1.1\r\n") + nasty(b"POST /login HTTP/1.1\r\n")
    watch_under_attack(daemon, requests)


@pytest.mark.parametrize("groups", ["ffdhe8192", "ffdhe2048", "P-256"])
def test_hellos_that_do_their_worst_are_not_noticed(secure: SecureDaemon, groups: str) -> None:
    """Only one of them is usable; three processes send as many as they can."""
    watch_under_attack(secure, [hello(groups)])
