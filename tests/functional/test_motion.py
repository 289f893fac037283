"""Motion as a visit: the real daemon, and a camera whose every picture it looks at."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, eventually
from tests.support.exposition import scrape
from tests.support.kept_visits import KeptVisits
from tests.support.movements import TREE, empty, film, tree, walk
from tests.support.pipe_camera import PipeCamera

NEAR = walk(200, 30, 90, start=12)


class Door:
    """A daemon with a camera; ``watch`` has it look at pictures, one by one."""

    def __init__(self, daemon: Daemon, camera: PipeCamera, folder: Path) -> None:
        self.daemon = daemon
        self._camera = camera
        self._kept = KeptVisits(folder / "state")
        self.config = folder / "doorbelld.conf"

    def start(self, **visits: object) -> None:
        self.configure(**visits)
        settings = {**self._kept.settings(), "camera.source": self._camera.source}
        environ = {**self._kept.environ, "PYTHONPATH": str(self.config.parent)}
        self.daemon.start(settings, environ=environ, arguments=["--config", str(self.config)])

    def configure(self, **visits: object) -> None:
        lines = [f"{key} = {value}" for key, value in visits.items()]
        self.config.write_text("\n".join(["[visits]", *lines]))

    def reload(self, **visits: object) -> None:
        self.configure(**visits)
        self.daemon.send(signal.SIGHUP)

    def motion(self) -> dict[str, Any]:
        found = self.daemon.status()["visits"]["motion"]
        assert isinstance(found, dict)
        return found

    def watch(self, pictures: Iterable[bytes]) -> Iterator[int]:
        """Show one picture after the other; yield the number of each that was looked at."""
        for number, picture in enumerate(pictures):
            looks = self.motion()["looks"]
            self._camera.show(picture)
            eventually(lambda: self.motion()["looks"] > looks, f"a look at picture {number}")  # noqa: B023
            yield number

    def show(self, picture: bytes) -> None:
        self._camera.show(picture)

    def visits(self) -> list[dict[str, Any]]:
        found = json.loads(self.daemon.request("/visits.json")[1])["visits"]
        assert isinstance(found, list)
        return found

    def ring(self) -> int:
        answer, body = self.daemon.request(f"/ring?token={self._kept.token}", "POST")
        assert answer.status == 200
        return int(json.loads(body)["visit"])


@pytest.fixture
def door(daemon: Daemon, pipe_camera: PipeCamera, tmp_path: Path) -> Door:
    return Door(daemon, pipe_camera, tmp_path)


def test_motion_is_a_quiet_visit_and_a_ring_begins_its_own(door: Door) -> None:
    door.start(motion="yes", after=600, longest=3600)
    for _ in door.watch(film(NEAR, 100)):
        if door.visits():
            break
    [moved] = door.visits()
    assert (moved["kind"], moved["source"], moved["state"]) == ("motion", "motion", "open")
    assert moved["still"] == f"visits/{moved['id']}.jpg?v=1"
    assert door.daemon.request(f"/{moved['still']}")[1].startswith(b"\xff\xd8")
    assert door.daemon.status()["visits"]["motion"]["state"] == "on"

    rung = door.ring()
    assert rung > moved["id"]
    found = door.visits()
    assert [(each["id"], each["kind"]) for each in found] == [
        (rung, "ring"),
        (moved["id"], "motion"),
    ]
    [ended] = eventually(
        lambda: [each for each in door.visits() if each["until"]], "the ring ends it"
    )
    assert (ended["id"], ended["state"]) == (moved["id"], "done")
    assert ended["frames"] > 3


def test_what_is_ignored_is_no_visit_and_a_reload_changes_that(door: Door) -> None:
    door.start(motion="yes", ignore=" ".join(map(str, TREE)))
    for _ in door.watch(film(tree, 22)):
        pass
    assert door.visits() == []
    door.reload(motion="yes", ignore="none")
    eventually(lambda: door.motion()["looks"] < 22, "it begins again")
    assert scrape(door.daemon)("doorbelld_motion_looks_total") >= 22, "a counter never goes back"
    for _ in door.watch(film(tree, 100)):
        if door.visits():
            break
    assert [each["kind"] for each in door.visits()] == ["motion"]
    door.reload(motion="no")
    eventually(lambda: door.motion()["state"] == "off", "it is turned off")


def test_motion_is_off_by_default_and_opencv_is_not_loaded(door: Door) -> None:
    door.start()
    assert door.motion() == {"state": "off", "detail": "", "looks": 0}
    maps = Path(f"/proc/{door.daemon.pid}/maps").read_text("ascii", "replace")
    assert "cv2" not in maps


def test_nothing_is_looked_at_while_the_shutter_is_closed(door: Door) -> None:
    door.start(motion="yes")
    for _ in door.watch(film(empty, 2)):
        pass
    assert door.daemon.request("/shutter?closed=yes", "POST")[0].status == 200
    eventually(lambda: door.daemon.status()["camera"]["reason"] == "paused", "the camera is closed")
    looks = door.motion()["looks"]
    assert door.daemon.request("/shutter?closed=no", "POST")[0].status == 200
    shown = 0
    (picture,) = film(empty, 1)

    def is_back() -> bool:
        nonlocal shown
        shown += 1
        # The one that is being closed may take the first, and in between there is no camera.
        with suppress(BrokenPipeError):
            door.show(picture)
        return bool(door.daemon.status()["camera"]["state"] == "streaming")

    eventually(is_back, "the camera is open again")
    for number in door.watch(film(NEAR, 3)):
        assert door.motion()["looks"] <= looks + shown + number + 2
    assert door.visits() == []


def test_without_opencv_the_bell_rings_and_status_says_why_there_is_no_motion(door: Door) -> None:
    (door.config.parent / "cv2.py").write_text("raise ImportError('no OpenCV on this machine')\n")
    door.start(motion="yes")
    door._camera.show(next(film()))
    why = "finding motion needs OpenCV, which is not installed, or does not load"
    eventually(lambda: door.motion()["detail"] == why, "it says why")
    assert door.motion()["state"] == "failed"
    assert door.ring() == 1
    assert os.path.exists(f"/proc/{door.daemon.pid}")  # noqa: PTH110  # nothing has ended it
    assert door.daemon.log().count("motion is not recorded: finding motion needs OpenCV") == 1
