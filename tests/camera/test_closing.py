from __future__ import annotations

import re
import threading

import pytest

from doorbelld.camera import closing
from doorbelld.camera.closing import Receiver, close_in_time, refuse_if_stuck
from doorbelld.drivers.errors import CameraError, CameraStuckError
from tests.support.daemon import GUARD, eventually


def test_a_library_that_hangs_is_left_and_refused_until_it_comes_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "PATIENCE", 0.01)
    release, closed = threading.Event(), threading.Event()

    def close() -> None:
        release.wait(GUARD)
        closed.set()

    close_in_time("Camera 0", close)
    assert caplog.messages == ["Camera 0: its library hangs while it is closed"]
    with pytest.raises(CameraStuckError, match=r"Camera 0 hangs; only a restart"):
        refuse_if_stuck("Camera 0")
    assert issubclass(CameraStuckError, CameraError)
    release.set()
    assert closed.wait(GUARD)
    for thread in threading.enumerate():
        if thread.name == "close Camera 0":
            thread.join(GUARD)
    refuse_if_stuck("Camera 0")


def test_a_library_that_fails_is_logged_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    def close() -> None:
        raise RuntimeError("no")

    close_in_time("Camera 0", close)
    (line,) = caplog.messages
    assert re.fullmatch(
        r"Camera 0: error while it was closed: RuntimeError: no, at test_closing\.py:\d+", line
    )
    refuse_if_stuck("Camera 0")


def test_receiver_keeps_the_newest_and_ends_when_it_is_stopped() -> None:
    def receive() -> None:
        for number in (1, 2, 3):
            receiver.put(number)
        receiver.opened()
        receiver.closing.wait(GUARD)

    receiver: Receiver[int] = Receiver("Camera 0", receive)
    receiver.start()
    assert receiver.take(0) == 3
    assert receiver.take(0) is None
    receiver.stop()
    assert not receiver.alive
    receiver.stop()


def test_receiver_that_fails_while_it_opens_says_so_at_the_start() -> None:
    def receive() -> None:
        raise CameraError("no route")

    receiver: Receiver[int] = Receiver("Camera 0", receive)
    with pytest.raises(CameraError, match="no route"):
        receiver.start()
    receiver.stop()


def test_receiver_that_fails_later_says_so_when_it_is_read() -> None:
    fail = threading.Event()

    def receive() -> None:
        receiver.opened()
        fail.wait(GUARD)
        raise OSError("gone")

    receiver: Receiver[int] = Receiver("Camera 0", receive)
    receiver.start()
    fail.set()
    with pytest.raises(OSError, match="gone"):
        receiver.take(GUARD)
    receiver.stop()


def test_receiver_that_hangs_is_left_and_that_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(closing, "_OPENING", 0.01)
    monkeypatch.setattr(closing, "_NETWORK_PATIENCE", 0.01)
    release = threading.Event()

    def receive() -> None:
        release.wait(GUARD)

    receiver: Receiver[int] = Receiver("Camera 0", receive)
    receiver.start()  # It does not wait for the connection for ever.
    receiver.stop()
    assert caplog.messages == ["Camera 0: waiting for the network to give up"]
    release.set()
    eventually(lambda: not receiver.alive, "the thread's end")


def test_receiver_without_a_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    receiver: Receiver[int] = Receiver("Camera 0", lambda: None)
    with pytest.raises(CameraError, match="out of threads"):
        receiver.start()
    receiver.stop()
