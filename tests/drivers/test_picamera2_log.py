from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from doorbelld.drivers import picamera2_log
from doorbelld.system.limited_log import OnceLog
from tests.support.daemon import eventually

THEIRS = logging.getLogger("picamera2")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test begin with a library that was never loaded."""
    monkeypatch.setattr(THEIRS, "handlers", [])
    monkeypatch.setattr(THEIRS, "propagate", True)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    level = THEIRS.level
    monkeypatch.setattr(picamera2_log, "_once", OnceLog(picamera2_log.logger))
    yield
    THEIRS.setLevel(level)


def fail(module: str) -> None:
    """Raise an error in a function of a module."""
    scope: dict[str, Any] = {"__name__": module}
    code = compile("def process_requests(): raise LookupError('no request')", module, "exec")
    exec(code, scope)  # noqa: S102 - there is no other way to be in that module
    scope["process_requests"]()


def run(module: str) -> None:
    thread = threading.Thread(target=fail, args=(module,))
    thread.start()
    thread.join()


def test_logs_the_librarys_errors_once_an_hour(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    picamera2_log.redirect_picamera2()
    hook = threading.excepthook
    picamera2_log.redirect_picamera2()
    assert threading.excepthook is hook
    for _ in range(3):
        logging.getLogger("picamera2.picamera2").info("Camera started")
        logging.getLogger("picamera2.picamera2").error("Initialization failed.")
    assert caplog.messages == ["picamera2: Initialization failed."]
    later = time.monotonic() + 3601
    monkeypatch.setattr(time, "monotonic", lambda: later)
    THEIRS.error("Initialization failed.")
    assert len(caplog.messages) == 2


def test_logs_no_more_than_twenty_different_errors(caplog: pytest.LogCaptureFixture) -> None:
    picamera2_log.redirect_picamera2()
    for number in range(100):
        THEIRS.error("Frame %d has failed.", number)
    assert len(caplog.messages) == 20


def test_logs_in_one_line_what_ends_a_thread_of_the_library(
    caplog: pytest.LogCaptureFixture,
) -> None:
    picamera2_log.redirect_picamera2()
    run("picamera2.encoders.multi_encoder")
    assert caplog.messages == [
        "picamera2: LookupError: no request, at picamera2.encoders.multi_encoder:1"
    ]


def test_does_not_repeat_what_the_library_has_logged_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    picamera2_log.redirect_picamera2()

    def process() -> None:
        try:
            fail("picamera2.picamera2")
        except LookupError:
            THEIRS.exception("Exception during process_requests()")
            raise

    thread = threading.Thread(target=process)
    thread.start()
    thread.join()
    [line] = caplog.messages
    assert line.startswith(
        "picamera2: Exception during process_requests(): LookupError: no request"
    )


def test_leaves_the_errors_of_other_threads_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", found.append)
    picamera2_log.redirect_picamera2()
    run("another.library")
    assert len(found) == 1
    assert not caplog.messages


def test_logs_an_error_in_a_destructor(caplog: pytest.LogCaptureFixture) -> None:
    class Allocator:
        def __del__(self) -> None:
            raise LookupError("no buffers")

    hook, sys.unraisablehook = sys.unraisablehook, picamera2_log.destructor_failed
    try:
        Allocator()
    finally:
        sys.unraisablehook = hook
    [line] = caplog.messages
    assert line.startswith("picamera2: LookupError: no buffers, at test_picamera2_log.py:")


def test_reads_what_libcamera_writes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reader, writer = os.pipe()
    thread = threading.Thread(target=picamera2_log._forward, args=(reader,))
    thread.start()
    line = b"[0:12:42.551518660] [1] ERROR Camera camera.cpp:690 Camera in Acquired state\n"
    os.write(writer, b"[0:12:42.55] [1]  INFO Camera camera.cpp:327 libcamera v0.4.0\n" + line * 3)
    eventually(lambda: caplog.messages, "a line")
    os.close(writer)
    thread.join()
    assert caplog.messages == ["libcamera: ERROR Camera camera.cpp:690 Camera in Acquired state"]


def test_without_libcamera_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(os.environ), threading.active_count()
    monkeypatch.delitem(sys.modules, "libcamera", raising=False)
    picamera2_log.redirect_libcamera()
    assert (dict(os.environ), threading.active_count()) == before
