"""Restarts under a service manager that keeps descriptors: no viewer notices any of them."""

from __future__ import annotations

import socket
import time
from base64 import b64encode
from contextlib import ExitStack
from pathlib import Path

import pytest

from doorbelld.access.password import hashed
from doorbelld.media import multipart
from tests.support import pictures
from tests.support.daemon import GUARD, Daemon, eventually
from tests.support.live_stream import LiveStream
from tests.support.managed import BIG, go_on, going_on, read_part, restart, settings, slow
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.ports import free_port
from tests.support.processes import allow_many_files, descriptors
from tests.support.raw import read_to_end
from tests.support.secure import SecureDaemon, make_pair
from tests.support.service_manager import LEDGER, LISTENER, VIEWER, ServiceManager
from tests.support.stream import Stream
from tests.support.viewer_group import Viewer, ViewerGroup

RESTARTS = 5
BROWSER = "image/avif,image/webp,*/*"
BEGUN = b"--frame\r\n"
"""What a program has got of the part that follows."""
MANY = 1100
"""Viewers: more than select() can handle, and more than a process may open by default."""


@pytest.fixture
def door(daemon: Daemon, manager: ServiceManager, pipe_camera: PipeCamera) -> Daemon:
    """Return a managed daemon that shows what the pipe camera is given."""
    return manager.start(daemon, settings(pipe_camera))


# Planned restarts.


def test_viewers_of_both_forms_get_every_picture_once_and_in_order(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with ExitStack() as stack:
        plain = stack.enter_context(Stream(door))
        browser = stack.enter_context(Stream(door, accept=BROWSER))
        assert browser.file.read(len(multipart.ADVANCE_HEAD)) == multipart.ADVANCE_HEAD
        for number in range(0, 3 * RESTARTS, 3):
            for each in range(number, number + 3):
                pipe_camera.show(numbered(each))
                assert plain.part().body == numbered(each)
                expected = multipart.advance_part(numbered(each))
                assert browser.file.read(len(expected)) == expected
            restart(manager, door, pipe_camera)
        manager.close_store()
        assert door.stop() == 0
        assert plain.file.read() == BEGUN, "a FIN, and no reset"
        assert browser.file.read() == b""


def test_viewers_are_the_same_for_status(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    key = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    with Stream(door, "/video_feed?key=caf%C3%A9&fps=0.02") as capped, Stream(door) as other:
        pipe_camera.show(numbered(1))
        capped.part()
        other.part()
        door.wait_for_counts((key, 1, 0), ("", 1, 0))
        before = door.wait_for_viewers(2)
        restart(manager, door, pipe_camera)
        after = door.wait_for_viewers(2)
        columns = ("key", "address", "sent", "dropped")
        assert sorted([row[each] for each in columns] for row in after) == sorted(
            [row[each] for each in columns] for row in before
        )
        since = [sorted(row["since"] for row in rows) for rows in (before, after)]
        assert since[0] == pytest.approx(since[1], abs=0.1), "but for the clocks' drift"
        pipe_camera.show(numbered(2))
        assert other.part().body == numbered(2)
        # The cap of one picture in 50 seconds has been taken over as well.
        door.wait_for_counts((key, 1, 0), ("", 2, 0))


def test_adaptive_viewers_stay_adaptive(manager: ServiceManager, daemon: Daemon) -> None:
    door = manager.start(daemon, {"camera.resolution": "640x480"})
    with ExitStack() as stack:
        streams = [
            stack.enter_context(Stream(door, f"/video_feed?quality=auto&width={width}&key={width}"))
            for width in (320, 2000)
        ]
        for _ in range(3):
            for stream, quality in zip(streams, ("320", None)):
                while stream.part().headers.get("x-quality") != quality:
                    pass
            manager.restart(door, {"camera.resolution": "640x480"})
            rows = {row["key"]: row["quality"] for row in door.status()["viewers"]}
            assert set(rows) == {"320", "2000"}
            eventually(lambda: is_adaptive(door), "the same qualities as before")


def test_width_is_kept_for_a_viewer_that_was_there_before_the_first_picture(
    manager: ServiceManager, daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    settings = {"camera.source": pipe_camera.source, "camera.stall_timeout": 60}
    door = manager.start(daemon, settings)
    shot = pictures.encoded(pictures.scene(640, 480))
    with LiveStream(door, "?v=1&quality=auto&width=400&key=early") as page:
        manager.wait_for_stored(VIEWER, 1)
        for restarts in (0, 1, 2):  # The camera shows nothing between two of them.
            for _ in range(restarts):
                pipe_camera.disconnect()
                manager.restart(door, settings)
            pipe_camera.show(shot)
            assert page.picture().headers.get("x-quality") == "320"


def is_adaptive(door: Daemon) -> bool:
    rows = {row["key"]: row["quality"] for row in door.status()["viewers"]}
    return rows == {"320": "auto 320", "2000": "auto"}


def test_part_that_was_begun_is_finished_by_the_next_process(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with slow(door) as sock:
        pipe_camera.show(numbered(1, BIG))
        sock.recv(1, socket.MSG_PEEK)  # It has begun.
        for _ in range(3):
            restart(manager, door, pipe_camera)
        pipe_camera.show(numbered(2))
        door.wait_for_counts(("slow", 0, 1))
        read_part(sock, 1, BIG)
        read_part(sock, 2)


def test_viewer_that_has_just_joined_is_kept_too(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with ViewerGroup(door) as group:
        for number in range(RESTARTS):
            group.join(4)
            door.wait_for_viewers(len(group.viewers))
            restart(manager, door, pipe_camera)
            pipe_camera.show(numbered(number))
            for viewer in group.viewers:
                group.wait_for_parts(1 + number - first_of(group, viewer), [viewer])
        for viewer in group.viewers:
            numbers = range(first_of(group, viewer), RESTARTS)
            assert viewer.bodies == [numbered(number) for number in numbers]


def first_of(group: ViewerGroup, viewer: Viewer) -> int:
    """Return the number of the newest picture when this one, of every fourth, came."""
    return max(0, group.viewers.index(viewer) // 4 - 1)


def to_the_end(stream: Stream) -> None:
    give_up_at = time.monotonic() + GUARD
    while time.monotonic() < give_up_at:
        stream.part()
    pytest.fail("the stream goes on and on")


WORD, OTHER = (hashed(word) for word in ("correct horse", "battery staple"))


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, WORD), (WORD, OTHER), (WORD, WORD), (WORD, None)],
    ids=["set", "changed", "kept", "removed"],
)
def test_password_that_changes_during_the_restart_ends_the_streams(
    daemon: Daemon,
    manager: ServiceManager,
    pipe_camera: PipeCamera,
    before: str | None,
    after: str | None,
) -> None:
    path = daemon.folder / "password"

    def access(line: str | None) -> dict[str, object]:
        if line:
            path.write_text(line)
        return {"access.password_file": path if line else "none"}

    manager.start(daemon, {**settings(pipe_camera), **access(before)})
    credentials = b64encode(b"me:correct horse").decode()
    with ViewerGroup(daemon) as group:
        (viewer,) = group.join(headers=f"Authorization: Basic {credentials}\r\n")
        pipe_camera.show(numbered(1))
        group.wait_for_parts(1)
        manager.wait_for_stored(VIEWER, 1)
        assert daemon.stop() == 0
        assert not viewer.ended
        pipe_camera.disconnect()
        manager.start(daemon, {**settings(pipe_camera), **access(after)})
        if before == after:
            pipe_camera.show(numbered(2))
            group.wait_for_parts(2)
        else:
            group.wait(lambda: viewer.ended, "the stream ends though there is no picture")
            manager.wait_for_stored(VIEWER, 0)


def test_streams_over_tls_end_properly_and_the_port_stays(
    manager: ServiceManager, tmp_path: Path
) -> None:
    with SecureDaemon(tmp_path, make_pair(tmp_path)) as secure:
        manager.start(secure)
        with Stream(secure) as stream:
            stream.part()
            manager.restart(secure)
            with pytest.raises(EOFError):
                to_the_end(stream)
        assert manager.stored(VIEWER) == 0
        with Stream(secure) as stream:
            stream.part()


def test_restart_without_a_store_ends_every_stream_properly(
    daemon: Daemon, manager: ServiceManager, pipe_camera: PipeCamera
) -> None:
    manager.start(daemon, settings(pipe_camera), environ={"FDSTORE": "0"})
    with Stream(daemon) as stream:
        pipe_camera.show(numbered(1))
        stream.part()
        assert daemon.stop() == 0
        with pytest.raises(EOFError):
            stream.part()
    assert not [each for each in manager.heard if "FDSTORE" in each]


def test_those_beyond_the_stores_capacity_are_closed_properly(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    with ServiceManager(capacity=34) as manager, ExitStack() as stack:
        manager.start(daemon, settings(pipe_camera))
        streams = [stack.enter_context(Stream(daemon, f"/stream?key={n}")) for n in range(3)]
        pipe_camera.show(numbered(1))
        for stream in streams:
            stream.part()
        restart(manager, daemon, pipe_camera)
        kept = {row["key"] for row in daemon.wait_for_viewers(2)}
        pipe_camera.show(numbered(2))
        for number, stream in enumerate(streams):
            if str(number) in kept:
                assert stream.part().body == numbered(2)
            else:
                with pytest.raises(EOFError):
                    stream.part()


def test_fewer_viewers_allowed_than_before(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with ViewerGroup(door) as group:
        group.join(5)
        door.wait_for_viewers(5)
        restart(manager, door, pipe_camera, max_viewers=2)
        door.wait_for_viewers(2)
        manager.wait_for_stored(VIEWER, 2)
        group.wait(lambda: going_on(group) == 2, "three closed")


def test_more_viewers_than_select_can_cope_with(
    daemon: Daemon, manager: ServiceManager, pipe_camera: PipeCamera
) -> None:
    allow_many_files()
    manager.start(daemon, settings(pipe_camera, max_viewers=MANY))
    with ViewerGroup(daemon) as group:
        group.join(MANY)
        daemon.wait_for_viewers(MANY)
        for number in range(2):
            restart(manager, daemon, pipe_camera, max_viewers=MANY)
            pipe_camera.show(numbered(number))
            group.wait_for_parts(number + 1)
        assert all(viewer.bodies == [numbered(0), numbered(1)] for viewer in group.viewers)


# The store.


@pytest.mark.parametrize("how", ["closes", "shuts down its half", "resets"])
def test_viewer_that_leaves_is_removed_from_the_store(
    manager: ServiceManager, door: Daemon, how: str
) -> None:
    stream = Stream(door)
    manager.wait_for_stored(VIEWER, 1)
    if how == "closes":
        stream.close()
    elif how == "resets":
        stream.reset()
    else:
        stream.socket.shutdown(socket.SHUT_WR)
        assert stream.file.read() == BEGUN, "the daemon closes its half, though a copy is stored"
        stream.close()
    door.wait_for_viewers(0)
    manager.wait_for_stored(VIEWER, 0)


def test_viewer_that_stalls_is_cut_off_although_a_copy_is_stored(
    daemon: Daemon, manager: ServiceManager, pipe_camera: PipeCamera
) -> None:
    manager.start(daemon, settings(pipe_camera, stall_timeout=3))
    with slow(daemon) as sock:
        manager.wait_for_stored(VIEWER, 1)
        pipe_camera.show(numbered(1, BIG))
        manager.wait_for_stored(VIEWER, 0)
        daemon.wait_for_viewers(0)
        with pytest.raises(ConnectionResetError):
            read_to_end(sock)


def test_viewer_that_left_during_the_restart_is_gone_after_it(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with Stream(door) as stays:
        leaves, vanishes = Stream(door), Stream(door)
        assert door.stop() == 0
        leaves.close()
        vanishes.reset()
        go_on(manager, door, pipe_camera)
        door.wait_for_viewers(1)
        manager.wait_for_stored(VIEWER, 1)
        pipe_camera.show(numbered(1))
        assert stays.part().body == numbered(1)


def test_restarts_leave_no_descriptors_behind(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with ViewerGroup(door) as group:
        group.join(5)
        manager.wait_for_stored(VIEWER, 5)
        counts: set[int] = set()
        for number in range(RESTARTS):
            restart(manager, door, pipe_camera)
            pipe_camera.show(numbered(number))
            group.wait_for_parts(number + 1)
            eventually(lambda: len(descriptors(door.pid)) <= min(counts, default=999), "no more")
            counts.add(len(descriptors(door.pid)))
            stored = [manager.stored(name) for name in (VIEWER, LISTENER, LEDGER)]
            assert stored == [5, 1, 1]


@pytest.mark.parametrize(
    "content", [b"", b"doorbelld's viewers, version 0\n\0" * 99_999], ids=["empty", "older"]
)
def test_ledger_of_another_version_costs_the_viewers_and_no_more(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera, content: bytes
) -> None:
    with Stream(door) as stream:
        assert door.stop() == 0
        manager.replace(LEDGER, content)
        go_on(manager, door, pipe_camera)
        assert stream.file.read() == BEGUN
    manager.wait_for_stored(VIEWER, 0)
    manager.wait_for_stored(LEDGER, 1)
    with Stream(door) as stream:
        restart(manager, door, pipe_camera)
        pipe_camera.show(numbered(1))
        assert stream.part().body == numbered(1)


# Listeners.


def test_client_that_comes_between_two_processes_waits_and_is_served(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    assert door.stop() == 0
    with door.connect() as early:
        early.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        go_on(manager, door, pipe_camera)
        assert early.recv(100).startswith(b"HTTP/1.1 503 ")
    assert manager.stored(LISTENER) == 1


def test_other_addresses_to_listen_on(
    daemon: Daemon, manager: ServiceManager, pipe_camera: PipeCamera
) -> None:
    manager.start(daemon, settings(pipe_camera, listen=f":{free_port()}"))
    port = daemon.port
    for addresses, reached, refused in (
        (f"127.0.0.1:{port},127.0.0.2:{port}", ["127.0.0.1", "127.0.0.2"], "127.0.0.3"),
        (f":{port}", ["127.0.0.1", "127.0.0.3", "::1"], None),
        (f"127.0.0.3:{port}", ["127.0.0.3"], "127.0.0.1"),
    ):
        restart(manager, daemon, pipe_camera, listen=addresses)
        manager.wait_for_stored(LISTENER, addresses.count(",") + 1)
        for address in reached:
            socket.create_connection((address, port)).close()
        if refused:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((refused, port))


def test_sockets_of_a_socket_unit_take_the_place_of_those_of_before(
    manager: ServiceManager, door: Daemon, pipe_camera: PipeCamera
) -> None:
    with Stream(door) as stream, socket.create_server(("127.0.0.1", 0)) as passed:
        assert door.stop() == 0
        pipe_camera.disconnect()
        manager.start(door, settings(pipe_camera), sockets=[passed])
        manager.wait_for_stored(LISTENER, 0)
        with pytest.raises(ConnectionRefusedError):
            door.connect()
        door.port = passed.getsockname()[1]
        pipe_camera.show(numbered(1))
        assert stream.part().body == numbered(1)
        door.wait_for_viewers(1)
