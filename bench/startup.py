"""How long the daemon takes from its start until it listens, and until it serves a frame."""

from __future__ import annotations

import http.client
import time
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import servers

if TYPE_CHECKING:
    from bench.servers import Running

_RUNS = 5
_FRAME_TIMEOUT = 10.0


class Startup(NamedTuple):
    """Seconds since the start of the process."""

    listening: float
    first_frame: float


def measure() -> Startup:
    """Start the daemon with the test card a few times; return the medians."""
    found = [_once() for _ in range(_RUNS)]
    return Startup(
        median(startup.listening for startup in found),
        median(startup.first_frame for startup in found),
    )


def _once() -> Startup:
    begin = time.monotonic()
    with servers.doorbelld("pattern").run() as running:
        running.wait_listening()
        listening = time.monotonic() - begin
        wait_frame(running)
        return Startup(listening, time.monotonic() - begin)


def wait_frame(running: Running) -> None:
    """Request snapshots until one succeeds: without a live picture the answer is 503."""
    deadline = time.monotonic() + _FRAME_TIMEOUT
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(running.host, running.port, timeout=1)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/snapshot.jpg")
            response = connection.getresponse()
            response.read()
            if response.status == http.client.OK:
                connection.close()
                return
        connection.close()
        time.sleep(0.005)
    raise RuntimeError("the daemon served no frame")
