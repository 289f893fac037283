"""Videos as the daemon shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.daemon import Daemon, eventually
from tests.support.films import film

if TYPE_CHECKING:
    from pathlib import Path


def test_a_slow_video_is_not_lost(daemon: Daemon, tmp_path: Path) -> None:
    """Its frames last longer than a camera may be silent."""
    path = film(tmp_path / "slides.avi", 0.01)
    daemon.start({"camera.source": f"file:{path}", "camera.stall_timeout": 0.5})
    daemon.wait_for_state("streaming")
    eventually(lambda: daemon.status()["camera"]["frames"] >= 8, "the frame shown again")
    camera = daemon.status()["camera"]
    assert camera["reopened"] == 0
    assert camera["detail"] == f"File {path}, 64x48, video, 0.01 frames a second"
    assert "offline" not in daemon.log()


def test_a_video_that_cannot_be_played_is_named(daemon: Daemon, tmp_path: Path) -> None:
    path = film(tmp_path / "film.mp4", 20)
    path.write_bytes(path.read_bytes()[:-500])
    daemon.start({"camera.source": f"file:{path}"})
    detail = daemon.wait_for_state("offline")["detail"]
    assert detail == f"The file {path} is incomplete: its index, which is written last, is missing"
