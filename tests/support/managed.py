"""A daemon under a ServiceManager: restarted, killed, and what its viewers read all the while."""

from __future__ import annotations

import socket

from tests.support.daemon import Daemon
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.service_manager import ServiceManager
from tests.support.stream_parser import StreamParser
from tests.support.viewer_group import ViewerGroup

SMALL = 4096
"""A receive buffer that is too small for a picture of BIG kilobytes."""
BIG = 3000


def settings(camera: PipeCamera, **more: object) -> dict[str, object]:
    """Return settings with which a daemon shows the camera and cuts no viewer off."""
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
    """Start it again, with the camera unplugged until it shows something."""
    camera.disconnect()
    manager.start(door, settings(camera, **more))


def slow(door: Daemon, key: str = "slow") -> socket.socket:
    """Ask for the stream, and read only the head of the answer."""
    sock = door.connect(buffer=SMALL)
    sock.sendall(f"GET /video_feed?key={key} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    read_to(sock, b"\r\n\r\n")
    return sock


def read_part(sock: socket.socket, number: int, kilobytes: int = 0) -> None:
    """Read one part, and not a byte more; it must be of this picture."""
    with sock.makefile("rb", buffering=0) as file:
        part = StreamParser().read(file)
    assert part is not None
    assert part.body == numbered(number, kilobytes)


def read_to(sock: socket.socket, end: bytes) -> bytes:
    """Read up to these bytes."""
    found = b""
    while not found.endswith(end):
        some = sock.recv(1)
        assert some, f"the stream ended after {found!r}"
        found += some
    return found


def going_on(group: ViewerGroup) -> int:
    """Return how many streams have not ended."""
    return sum(not viewer.ended for viewer in group.viewers)
