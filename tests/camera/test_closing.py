from __future__ import annotations

import re
import threading

import pytest

from doorbelld.camera import closing
from doorbelld.camera.base import CameraError, CameraStuckError
from doorbelld.camera.closing import close_in_time, refuse_if_stuck
from tests.support.daemon import GUARD


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
