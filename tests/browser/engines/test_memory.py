"""A page that is open for long does not use more and more memory, in any browser."""

from __future__ import annotations

from pathlib import Path

from tests.support.daemon import Daemon, eventually
from tests.support.engines import Tab
from tests.support.pictures import jpeg

LEAK = 100 * 640 * 480 * 4
"""Bytes: a browser that keeps every picture needs this much for a hundred of them."""


def test_hundreds_of_pictures_leave_no_memory(tab: Tab, daemon: Daemon, tmp_path: Path) -> None:
    film = tmp_path / "film.mjpeg"
    film.write_bytes(b"".join(jpeg(number, 640, 480) for number in range(16)))
    daemon.start({"camera.source": f"file:{film}", "camera.framerate": 60})
    tab.open(daemon).wait_for("live")

    def sent(count: int) -> None:
        eventually(lambda: daemon.wait_for_viewers(1)[0]["sent"] >= count, f"{count} pictures")

    sent(200)
    warm = tab.memory()
    sent(800)
    eventually(lambda: tab.memory() < warm + LEAK, "the memory of the pictures free again")
    assert tab.state() == "live"
