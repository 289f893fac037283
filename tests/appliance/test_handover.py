"""Restarts and crashes of the installed service, seen from viewers that are connected."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

import pytest

from tests.appliance.service import UNIT, Client, fetch, install, main_pid, wait_for_picture
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.stream import Stream
from tests.support.viewer_group import ViewerGroup

if TYPE_CHECKING:
    from pathlib import Path

    from tests.appliance.container import Container
    from tests.appliance.package import Package

RESTARTS = 20
KILLS = 5
BIG = 3000
"""Kilobytes of a picture that does not fit into the socket buffers of both ends."""
MANY = 1100
"""Viewers: more than select() can handle, and more than a service may open by default."""


class Server:
    """The part of Daemon that viewers need, for a daemon on another machine."""

    def __init__(self, machine: Container) -> None:
        self._address = (machine.address, 5000)

    def connect(self, *, source: str = "", buffer: int = 0) -> socket.socket:  # noqa: ARG002
        sock = socket.socket()
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(GUARD)
        sock.connect(self._address)
        return sock


def server_of(machine: Container) -> Daemon:
    return cast("Daemon", Server(machine))


class Viewer(threading.Thread):
    """Reads the stream until it is stopped; measures the longest pause between two pictures."""

    def __init__(self, machine: Container) -> None:
        super().__init__(daemon=True)
        self.pictures = 0
        self.longest_pause = 0.0
        self.error: Exception | None = None
        self.done = threading.Event()
        self._server = server_of(machine)

    def run(self) -> None:
        try:
            with Stream(self._server) as stream:
                self._watch(stream)
        except Exception as error:  # noqa: BLE001  # the test reports it
            self.error = error

    def _watch(self, stream: Stream) -> None:
        stamp, before = "", 0.0
        while not self.done.is_set():
            part, now = stream.part(), time.monotonic()
            assert part.headers["x-timestamp"] > stamp, "a picture came twice or out of order"
            stamp = part.headers["x-timestamp"]
            self.longest_pause = max(self.longest_pause, now - before if before else 0)
            self.pictures += 1
            before = now


@pytest.fixture
def ffmpeg(machine: Container) -> Iterator[subprocess.Popen[str]]:
    """Return an ffmpeg that decodes the stream, and ends at the first error in it."""
    url = machine.url("/video_feed?key=ffmpeg")
    options = ["-nostdin", "-nostats", "-loglevel", "warning", "-xerror", "-progress", "pipe:1"]
    with subprocess.Popen(
        ["ffmpeg", *options, "-f", "mpjpeg", "-i", url, "-f", "null", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def stored(machine: Container) -> int:
    """Return how many viewers are in systemd's store, besides a listener and their table."""
    return int(machine.show(UNIT, "NFileDescriptorStore")) - 2


def sent(machine: Container) -> int:
    """Return how many parts the current process has sent to the current viewers."""
    return sum(row["sent"] for row in json.loads(fetch(machine, "/status")[1])["viewers"])


def wait_for_stored(machine: Container, count: int) -> None:
    eventually(lambda: stored(machine) == count, f"{count} viewers are stored")


def test_restarts_do_not_interrupt_a_stream(
    machine: Container, ffmpeg: subprocess.Popen[str]
) -> None:
    wait_for_picture(machine)
    client, viewer = Client(machine.url("/")), Viewer(machine)
    client.start()
    viewer.start()
    eventually(lambda: viewer.pictures, "the first picture")
    for _ in range(RESTARTS):
        before = main_pid(machine)
        machine.run("systemctl", "restart", UNIT)
        assert main_pid(machine) != before
        seen = viewer.pictures
        eventually(lambda: viewer.pictures > seen + 10 or viewer.error, "pictures go on")  # noqa: B023
        assert viewer.error is None
        assert ffmpeg.poll() is None, ffmpeg.communicate()[1]
    for each in (client, viewer):
        each.done.set()
        each.join()
    print(f"\n{RESTARTS} restarts: the longest pause was {viewer.longest_pause:.2f} s")
    assert viewer.error is None
    assert client.errors == []
    assert client.answers > RESTARTS
    ffmpeg.terminate()
    progress, errors = ffmpeg.communicate(timeout=GUARD)
    assert errors in ("", "Exiting normally, received signal 15.\n")
    frames = [int(line[6:]) for line in progress.splitlines() if line.startswith("frame=")]
    assert frames[-1] > 10 * RESTARTS


def test_stop_ends_every_stream_and_it_can_be_started_again(machine: Container) -> None:
    wait_for_picture(machine)
    with Stream(server_of(machine)) as stream:
        stream.part()
        machine.run("systemctl", "stop", UNIT)
        while stream.file.read(1 << 20):
            pass
    eventually(lambda: fetch(machine, "/")[0] == 0, "the port is closed")
    machine.run("systemctl", "start", UNIT)
    wait_for_picture(machine)


def test_more_viewers_than_select_can_handle(machine: Container) -> None:
    limit = "/etc/doorbelld/conf.d/many.conf"
    machine.write(limit, f"[server]\nmax_viewers = {MANY}\n")
    machine.run("systemctl", "restart", UNIT)
    with ViewerGroup(server_of(machine)) as group:
        group.join(MANY, "/video_feed?fps=1")
        group.wait_for_parts(1)
        machine.run("systemctl", "restart", UNIT)
        seen = max(len(viewer.parts) for viewer in group.viewers)
        group.wait_for_parts(seen + 2)
    (machine.root / limit[1:]).unlink()


@pytest.fixture
def pipe_camera(machine: Container) -> Iterator[PipeCamera]:
    """Return a camera for the service; the test writes each of its pictures."""
    pipe, conf = "var/lib/doorbelld/door.mjpeg", "/etc/doorbelld/conf.d/zz-pipe.conf"
    with PipeCamera(machine.root / pipe) as camera:
        (machine.root / pipe).chmod(0o666)
        machine.write(conf, f"[camera]\nsource = file:/{pipe}\nstall_timeout = 3600\n")
        machine.run("systemctl", "restart", UNIT)
        yield camera
    (machine.root / pipe).unlink()
    (machine.root / conf[1:]).unlink()
    machine.run("systemctl", "restart", UNIT)


def has_opened_pipe(machine: Container, *, other_than: str) -> bool:
    """Return whether a new process is running and has opened the camera."""
    pid = main_pid(machine)
    if pid in ("0", other_than):
        return False
    return "door.mjpeg" in machine.run("ls", "-l", f"/proc/{pid}/fd", check=False)


def test_kill_9_closes_only_streams_that_it_cuts_within_a_part(
    machine: Container, pipe_camera: PipeCamera
) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(Stream(server_of(machine))) for _ in range(10)]
        for number in range(KILLS):
            slow = stack.enter_context(server_of(machine).connect(buffer=4096))
            slow.sendall(b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_for_stored(machine, len(streams) + 1)
            known = sent(machine)
            pipe_camera.show(numbered(2 * number, BIG))
            for stream in streams:
                assert stream.part().body == numbered(2 * number, BIG)
            # A part may have come whole before the daemon knows that.
            eventually(lambda: sent(machine) >= known + len(streams), "all parts sent")  # noqa: B023
            before = main_pid(machine)
            machine.run("systemctl", "kill", "--signal=KILL", UNIT)
            eventually(lambda: has_opened_pipe(machine, other_than=before), "the next process")  # noqa: B023
            wait_for_stored(machine, len(streams))
            while slow.recv(1 << 20):
                pass
            pipe_camera.show(numbered(2 * number + 1))
            for stream in streams:
                assert stream.part().body == numbered(2 * number + 1)


def test_an_upgrade_closes_no_stream(
    new_machine: Container, package: Package, tmp_path: Path
) -> None:
    new_machine.boot()
    new_machine.write("/etc/doorbelld/conf.d/test.conf", "[camera]\nsource = pattern\n")
    install(new_machine, package.older(tmp_path))
    wait_for_picture(new_machine)
    viewer = Viewer(new_machine)
    viewer.start()
    eventually(lambda: viewer.pictures, "the first picture")
    before = main_pid(new_machine)
    install(new_machine, package)
    assert main_pid(new_machine) not in ("0", before)
    seen = viewer.pictures
    eventually(lambda: viewer.pictures > seen + 10 or viewer.error, "pictures go on")
    viewer.done.set()
    viewer.join()
    assert viewer.error is None
    print(f"\nupgrade: the longest pause was {viewer.longest_pause:.2f} s")
