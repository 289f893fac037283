"""Managed: a daemon under a ServiceManager, restarted and killed, and what its viewers read."""

from __future__ import annotations

import socket

from tests.support.coded import coded
from tests.support.crowd import Crowd
from tests.support.daemon import Daemon
from tests.support.pipe_camera import PipeCamera
from tests.support.service_manager import ServiceManager

SMALL = 4096
"""A receive buffer that no picture of BIG kilobytes goes into."""
BIG = 3000


def settings(camera: PipeCamera, **more: object) -> dict[str, object]:
    """Return what makes a daemon show what the camera is given, and be patient with all."""
    found = {"camera.source": camera.source, "camera.stall_timeout": 3600}
    server = {"stall_timeout": 3600, **more}
    return {**found, **{f"server.{key}": value for key, value in server.items()}}


def restart(manager: ServiceManager, door: Daemon, camera: PipeCamera, **more: object) -> None:
    """Stop it and start it again."""
    assert door.stop() == 0, door.log()
    go_on(manager, door, camera, **more)


def kill(manager: ServiceManager, door: Daemon, camera: PipeCamera, **more: object) -> None:
    """Kill it and start it again."""
    door.process.kill()
    door.wait()
    go_on(manager, door, camera, **more)


def go_on(manager: ServiceManager, door: Daemon, camera: PipeCamera, **more: object) -> None:
    """Start it again, with the camera unplugged until it is to show something."""
    camera.disconnect()
    manager.start(door, settings(camera, **more))


def read(sock: socket.socket, expected: bytes) -> None:
    """Read exactly these bytes."""
    found = bytearray()
    while len(found) < len(expected):
        some = sock.recv(len(expected) - len(found))
        assert some, f"the stream ended after {len(found)} of {len(expected)} bytes"
        found += some
    assert found == expected


def slow(door: Daemon, key: str = "slow") -> socket.socket:
    """Ask for the stream, and read only the head of the answer."""
    sock = door.connect(buffer=SMALL)
    sock.sendall(f"GET /video_feed?key={key} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    read_to(sock, b"\r\n\r\n")
    return sock


def read_part(sock: socket.socket, number: int, kilobytes: int = 0) -> None:
    """Read one part that must be of this picture."""
    data = coded(number, kilobytes)
    read(sock, b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n" % len(data))
    assert read_to(sock, b"\r\n\r\n").startswith(b"X-Timestamp: ")
    read(sock, data + b"\r\n")


def read_to(sock: socket.socket, end: bytes) -> bytes:
    """Read up to these bytes."""
    found = b""
    while not found.endswith(end):
        some = sock.recv(1)
        assert some, f"the stream ended after {found!r}"
        found += some
    return found


def going_on(crowd: Crowd) -> int:
    """Return how many have not been told that their stream ended."""
    return sum(not watcher.ended for watcher in crowd.watchers)
