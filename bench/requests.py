"""What one HTTP request costs: processor time of the daemon for each ``/status``.

``python -m bench.requests`` prints this alone, so that two checkouts can be compared.
"""

from __future__ import annotations

import socket
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench import material, procfs, servers

if TYPE_CHECKING:
    from bench.servers import Running, Server

_ROUNDS = 3
_KEPT = 5000
"""Requests over one connection."""

_FRESH = 2000
"""Requests over a connection each."""

_TIMEOUT = 10.0
_REQUEST = (
    "GET /status HTTP/1.1\r\n"
    "Host: {host}:{port}\r\n"
    "User-Agent: Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/128 Mobile\r\n"
    "Accept: */*\r\n"
    "Referer: http://{host}:{port}/\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "Accept-Language: en\r\n"
    "\r\n"
)
"""What the page sends in a browser."""


class Costs(NamedTuple):
    """Microseconds of the daemon's processor time for a request."""

    kept: float
    fresh: float


def measure(server: Server) -> Costs:
    """Return the medians of a few rounds, over one connection and over a connection each."""
    with server.run() as running:
        running.wait_listening()
        _ask(running, _FRESH // 10, fresh=True)  # caches, threads
        found = [
            Costs(_ask(running, _KEPT, fresh=False), _ask(running, _FRESH, fresh=True))
            for _ in range(_ROUNDS)
        ]
    return Costs(median(each.kept for each in found), median(each.fresh for each in found))


def _ask(running: Running, count: int, *, fresh: bool) -> float:
    request = _REQUEST.format(host=running.host, port=running.port).encode()
    before = procfs.cpu_seconds(running.pid)
    if fresh:
        for _ in range(count):
            _ask_over_one(running, request, 1)
    else:
        _ask_over_one(running, request, count)
    return (procfs.cpu_seconds(running.pid) - before) / count * 1e6


def _ask_over_one(running: Running, request: bytes, count: int) -> None:
    with socket.create_connection((running.host, running.port), _TIMEOUT) as sock:
        for _ in range(count):
            sock.sendall(request)
            _read_answer(sock)


def _read_answer(sock: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    left = int(head.partition(b"\r\nContent-Length: ")[2].partition(b"\r")[0]) - len(body)
    while left > 0:
        left -= len(_some(sock))


def _some(sock: socket.socket) -> bytes:
    some = sock.recv(1 << 16)
    if not some:
        raise RuntimeError("the daemon closed the connection")
    return some


def main() -> None:
    """Measure and print."""
    build = servers.ROOT / ".cache" / "bench"
    build.mkdir(parents=True, exist_ok=True)
    found = measure(servers.doorbelld(f"file:{material.make(build).mjpeg}"))
    print(f"/status, one connection: {found.kept:.0f} us; a new one each: {found.fresh:.0f} us")


if __name__ == "__main__":
    main()
