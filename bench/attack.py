"""What fifty viewers get during an attack: frame rates, and the longest gap between two pictures.

The viewers run in a separate process (``python -m bench.attack HOST PORT SECONDS TLS``), and so
does each attacker.
"""

from __future__ import annotations

import json
import selectors
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bench import servers
from tests.support.attack import attackers, hello
from tests.support.secure import make_pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.servers import Server

VIEWERS = 50
_ATTACKERS = 3
_WARMUP, _SECONDS = 2.0, 8.0
_HEAD = 16 * 1024 - 100
_REQUEST = b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n"
_BOUNDARY = b"--frame\r\n"


@dataclass(frozen=True)
class Effect:
    """Pictures per second, and the longest gap between two pictures, in milliseconds."""

    mean_fps: float
    min_fps: float
    gap_ms: float


@dataclass(frozen=True)
class Attack:
    """Requests that are sent over and over; none for the comparison without an attack."""

    name: str
    requests: Sequence[bytes]
    tls: bool = False


def attacks() -> list[Attack]:
    """Return all attacks."""
    spaces = b"a:" + b" " * _HEAD + b"\0"
    semicolons = b'Content-Type: multipart/x; a="' + b";" * _HEAD
    lines = [line + b"\r\n\r\n" for line in (spaces, semicolons)]
    return [
        Attack("none", []),
        Attack("GET, 16 KiB", [b"GET / HTTP/1.1\r\n" + line for line in lines]),
        Attack("POST, 16 KiB", [b"POST / HTTP/1.1\r\n" + line for line in lines]),
        Attack("none, TLS", [], tls=True),
        Attack("hello with ffdhe8192", [hello("ffdhe8192")], tls=True),
        Attack("hello with P-256", [hello("P-256")], tls=True),
    ]


def measure(server: Server, attack: Attack) -> Effect:
    """Measure fifty viewers during an attack."""
    with TemporaryDirectory() as folder:
        if attack.tls:
            pair = make_pair(Path(folder))
            settings = (f"--set={key}={value}" for key, value in pair.settings().items())
            server = replace(server, command=[*server.command, *settings])
        with server.run() as running:
            running.wait_listening()
            arguments = [running.host, str(running.port), str(_SECONDS), str(int(attack.tls))]
            count = _ATTACKERS if attack.requests else 0
            with (
                subprocess.Popen(
                    [sys.executable, "-m", "bench.attack", *arguments],
                    cwd=servers.ROOT,
                    stdout=subprocess.PIPE,
                ) as viewers,
                attackers(running.port, attack.requests, count),
            ):
                output, _ = viewers.communicate()
    return Effect(**json.loads(output))


class _Viewer:
    """Counts pictures; ``gap`` is the longest time between two, in seconds."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self.socket = socket.create_connection((host, port))
        if context:
            self.socket = context.wrap_socket(self.socket)
        self.socket.sendall(_REQUEST)
        self.socket.setblocking(False)
        self._tail = b""
        self.reset(time.monotonic())

    def reset(self, now: float) -> None:
        self.count, self.gap, self.last = 0, 0.0, now

    def receive(self) -> None:
        for data in self._chunks():
            count = (self._tail + data).count(_BOUNDARY)
            self._tail = (self._tail + data)[1 - len(_BOUNDARY) :]
            if count:
                now = time.monotonic()
                self.gap, self.last = max(self.gap, now - self.last), now
                self.count += count

    def _chunks(self) -> Iterator[bytes]:
        try:
            while data := self.socket.recv(1 << 18):
                yield data
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        raise ConnectionError("the server closed the stream")


def _watch(host: str, port: int, seconds: float, *, tls: bool) -> Effect:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if tls else None
    if context:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    selector = selectors.DefaultSelector()
    viewers = [_Viewer(host, port, context) for _ in range(VIEWERS)]
    for viewer in viewers:
        selector.register(viewer.socket, selectors.EVENT_READ, viewer)
    for span in (_WARMUP, seconds):
        begin = time.monotonic()
        for viewer in viewers:
            viewer.reset(begin)
        while time.monotonic() < begin + span:
            for key, _ in selector.select(0.05):
                key.data.receive()
    end = time.monotonic()
    rates = [viewer.count / (end - begin) for viewer in viewers]
    gap = max(max(viewer.gap, end - viewer.last) for viewer in viewers)
    return Effect(sum(rates) / len(rates), min(rates), gap * 1000)


def _main() -> None:
    host, port, seconds, tls = sys.argv[1:]
    json.dump(vars(_watch(host, int(port), float(seconds), tls=tls == "1")), sys.stdout)


if __name__ == "__main__":
    _main()
