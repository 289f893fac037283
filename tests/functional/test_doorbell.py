"""The bell, its visits and the shutter, with the real daemon: also when something goes wrong."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from doorbelld.media import jpeg
from tests.support.daemon import Daemon, eventually
from tests.support.kept_visits import KeptVisits
from tests.support.live_stream import LiveStream
from tests.support.numbered_pictures import numbered
from tests.support.pipe_camera import PipeCamera
from tests.support.processes import descriptors
from tests.support.stream import Stream

QUICK = {"visits.before": 1, "visits.after": 1}
LASTING = {"visits.before": 1, "visits.after": 600, "visits.longest": 3600}


class House:
    """A daemon with a state folder, at which the test rings."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon = daemon
        self.kept = KeptVisits(folder)

    def start(self, settings: Mapping[str, object] = {}, **more: Any) -> House:
        wanted = {"camera.resolution": "160x120", **self.kept.settings(), **settings}
        self.daemon.start(wanted, environ=self.kept.environ, **more)
        return self

    def start_again(self, settings: Mapping[str, object] = {}) -> None:
        self.start(settings, wait=False)

        def answers() -> bool:
            with suppress(ConnectionError):
                return bool(self.daemon.status())
            return False

        eventually(answers, "it answers")

    def ring(self) -> dict[str, Any]:
        answer, body = self.daemon.request(f"/ring?token={self.kept.token}", "POST")
        assert answer.status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def close_shutter(self, closed: str) -> dict[str, Any]:
        answer, body = self.daemon.request(f"/shutter?closed={closed}", "POST")
        assert answer.status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    def visit(self, number: int = 1) -> dict[str, Any]:
        answer, body = self.daemon.request(f"/visits/{number}.json")
        found: dict[str, Any] = json.loads(body) if answer.status == 200 else {}
        return found

    def wait_for_visit(self, number: int = 1, **values: object) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.visit(number)
            return found if found and values.items() <= found.items() else None

        return eventually(look, f"visit {number} with {values}")

    def wait_for_frames(self, count: int, number: int = 1) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.visit(number)
            return found if found and len(found["frames"]) >= count else None

        return eventually(look, f"{count} pictures of visit {number}")


@pytest.fixture
def house(daemon: Daemon, tmp_path: Path) -> House:
    return House(daemon, tmp_path / "state")


def test_ring_is_at_once_on_an_open_page_and_its_film_has_the_time_before(house: House) -> None:
    house.start({**QUICK, "visits.after": 3})
    daemon = house.daemon
    daemon.wait_for_state("streaming")
    eventually(lambda: daemon.status()["camera"]["frames"] > 45, "more than a second")
    with LiveStream(daemon) as page:
        assert page.state()["visit"] is None
        assert house.ring() == {"visit": 1, "presses": 1}
        shown = page.wait_for(lambda state: state["visit"] is not None)["visit"]
        assert (shown["id"], shown["state"], shown["presses"]) == (1, "open", 1)
        answer, still = daemon.request(f"/{shown['still']}")
        assert answer.status == 200
        assert still.startswith(b"\xff\xd8")
        page.wait_for(lambda state: state["visit"]["state"] == "done")
    visit = house.wait_for_visit(state="done")
    # A busy machine has fewer pictures, but never any from outside of these seconds.
    assert 0.5 < visit["before"] < 1.1
    assert visit["before"] < visit["seconds"] < 4.1
    assert visit["until"] - visit["at"] == pytest.approx(3.0, abs=0.01)
    assert daemon.stop() == 0
    assert daemon.log().count("the bell has rung: visit 1") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill"])
def test_visit_is_kept_when_the_daemon_ends_in_the_middle(
    house: House, number: signal.Signals
) -> None:
    house.start(LASTING)
    house.daemon.wait_for_state("streaming")
    house.ring()
    before = house.wait_for_frames(20)
    house.daemon.send(number)
    assert house.daemon.wait() == (0 if number is signal.SIGTERM else -number)
    house.start_again(LASTING)
    found = house.wait_for_visit(state="interrupted")
    assert len(found["frames"]) >= len(before["frames"])
    answer, film = house.daemon.request("/visits/1.mjpeg")
    assert answer.status == 200
    assert film.startswith(b"\xff\xd8")
    assert film.endswith(b"\xff\xd9")
    with LiveStream(house.daemon) as page:
        shown = page.wait_for(lambda state: state["visit"] is not None)["visit"]
    assert (shown["id"], shown["presses"], shown["state"]) == (1, 1, "interrupted")
    assert house.ring() == {"visit": 2, "presses": 1}


def test_stop_with_an_open_visit_takes_no_longer(house: House) -> None:
    house.start(LASTING)
    house.daemon.wait_for_state("streaming")
    house.ring()
    house.wait_for_frames(5)
    assert house.daemon.stop() == 0
    assert "left behind" not in house.daemon.log()


def test_shutter_really_closes_the_camera_and_the_bell_still_rings(
    house: House, pipe_camera: PipeCamera
) -> None:
    pipe = pipe_camera.source.partition(":")[2]
    house.start({"camera.source": pipe_camera.source, **LASTING})
    daemon = house.daemon
    pipe_camera.show(numbered(1))
    daemon.wait_for_state("streaming")
    assert pipe in descriptors(daemon.pid)
    with LiveStream(daemon) as page, Stream(daemon) as program:
        page.picture()
        program.part()
        state = house.close_shutter("yes")
        assert state["closed"]
        camera = daemon.status()["camera"]
        assert (camera["state"], camera["reason"]) == ("offline", "paused"), "at once"
        answer, body = daemon.request("/snapshot.jpg")
        assert answer.status == 503
        assert body != numbered(1)
        shown = page.wait_for(lambda state: state["shutter"]["closed"])
        assert shown["shutter"]["since"] == state["since"]
        assert (shown["camera"]["state"], shown["camera"]["reason"]) == ("offline", "paused")
        assert program.part().body != numbered(1)
        eventually(lambda: pipe not in descriptors(daemon.pid), "the camera is closed")
        assert house.ring()["visit"] == 1
        rung = page.wait_for(lambda state: state["visit"] is not None)["visit"]
        assert (rung["still"], rung["reason"]) == (None, "paused")
        assert house.wait_for_visit()["frames"] == []
        pipe_camera.disconnect()
        assert not house.close_shutter("no")["closed"]
        pipe_camera.show(numbered(2))
        page.wait_for(lambda state: state["camera"]["state"] == "streaming")
        pipe_camera.show(numbered(3))
        assert page.picture().body in (numbered(2), numbered(3))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill"])
def test_closed_shutter_outlives_the_daemon(
    house: House, pipe_camera: PipeCamera, number: signal.Signals
) -> None:
    house.start()
    state = house.close_shutter("yes")
    house.daemon.send(number)  # at once
    house.daemon.wait()
    house.start_again({"camera.source": pipe_camera.source})
    camera = house.daemon.wait_for_state("offline")
    assert (camera["reason"], camera["frames"]) == ("paused", 0)
    shutter = house.daemon.status()["shutter"]
    assert (shutter["closed"], shutter["detail"]) == (True, "")
    assert shutter["since"] == pytest.approx(state["since"], abs=0.01)
    house.daemon.send(signal.SIGHUP)
    house.daemon.wait_for_log("the configuration was read again")
    pipe = pipe_camera.source.partition(":")[2]
    assert pipe not in descriptors(house.daemon.pid)
    house.close_shutter("no")
    pipe_camera.show(numbered(1))
    house.daemon.wait_for_state("streaming")


def test_folder_that_cannot_be_written_is_said_and_costs_no_ring(house: House) -> None:
    house.kept.folder.joinpath("visits").write_text("no folder")
    house.kept.folder.joinpath("shutter").mkdir()
    house.start(QUICK)
    daemon = house.daemon
    status = daemon.status()
    assert status["visits"]["state"] == "memory"
    assert "visits" in status["visits"]["detail"]
    assert (status["shutter"]["closed"], status["camera"]["reason"]) == (True, "paused")
    assert "the camera stays closed until the shutter is opened" in status["shutter"]["detail"]
    house.close_shutter("no")
    daemon.wait_for_state("streaming")
    eventually(lambda: "not after a restart" in daemon.status()["shutter"]["detail"], "it is said")
    assert house.ring() == {"visit": 1, "presses": 1}
    assert house.wait_for_visit(state="done")["frames"]
    assert daemon.log().count("visits are kept only until the daemon stops") == 1
    assert daemon.stop() == 0


def test_each_key_applies_at_a_reload(house: House, tmp_path: Path) -> None:
    path = tmp_path / "doorbelld.conf"
    path.write_text("[visits]\nafter = 600\nlongest = 3600\n")
    house.start(arguments=["--config", str(path)])
    daemon = house.daemon
    daemon.wait_for_state("streaming")

    def reload(text: str) -> None:
        path.write_text(text)
        count = daemon.log().count("was read again")
        daemon.send(signal.SIGHUP)
        eventually(lambda: daemon.log().count("was read again") > count, "the reload")

    assert house.ring() == {"visit": 1, "presses": 1}
    reload("[visits]\nbefore = 0\nafter = 1\nspace = 7\ndays = 3\nframerate = 5\n")
    limits = daemon.status()["visits"]
    assert (limits["space"], limits["days"], limits["open"]) == (7_000_000, 3, True)
    assert house.ring() == {"visit": 1, "presses": 2}, "what has begun goes on as it began"
    reload("[visits]\nbefore = 0\nafter = 600\nlongest = 1\nframerate = 5\n[bell]\nagain = 0\n")
    daemon.request("/visits/1/delete", "POST")
    assert house.ring()["visit"] == 2
    found = house.wait_for_visit(2, state="done")
    assert found["until"] - found["at"] == pytest.approx(1.0, abs=0.01), "longest"
    assert found["before"] == 0
    assert 1 <= len(found["frames"]) <= 7, "framerate"
    with LiveStream(daemon) as page:
        house.ring()
        house.ring()
        page.wait_for(lambda state: state["visit"]["presses"] == 2)


def test_film_has_no_picture_of_the_camera_before_a_reload(house: House, tmp_path: Path) -> None:
    path = tmp_path / "changing.conf"
    rest = "[visits]\nbefore = 30\nafter = 600\nlongest = 3600\n"
    path.write_text(f"[camera]\nresolution = 160x120\n{rest}")
    house.start({"camera.resolution": None}, arguments=["--config", str(path)])
    daemon = house.daemon
    daemon.wait_for_state("streaming")
    eventually(lambda: daemon.status()["camera"]["frames"] > 20, "pictures of it")
    path.write_text(f"[camera]\nresolution = 320x240\n{rest}")
    daemon.send(signal.SIGHUP)
    eventually(lambda: daemon.status()["camera"]["width"] == 320, "the other camera")
    house.ring()
    count = len(house.wait_for_frames(5)["frames"])
    films = [daemon.request(f"/visits/1/{number}.jpg")[1] for number in range(count)]
    assert {jpeg.size(film) for film in films} == {(320, 240)}


def test_two_daemons_never_share_a_folder(house: House, tmp_path: Path) -> None:
    house.start(LASTING)
    house.ring()
    (tmp_path / "second").mkdir()
    with Daemon(tmp_path / "second") as second:
        second.start(house.kept.settings(), environ=house.kept.environ)
        status = second.status()["visits"]
        assert status["state"] == "memory"
        assert "another doorbelld keeps its visits there" in status["detail"]
        second.wait_for_log("another doorbelld keeps its visits there")
    assert house.visit(1)


def test_hundred_presses_are_one_visit_and_no_lost_picture(
    house: House, pipe_camera: PipeCamera
) -> None:
    house.start({"camera.source": pipe_camera.source, **LASTING})
    pipe_camera.show(numbered(1))
    house.daemon.wait_for_state("streaming")
    sent: list[int] = []
    stop = threading.Event()

    def press() -> None:
        while not stop.is_set():
            sent.append(house.daemon.request(f"/ring?token={house.kept.token}", "POST")[0].status)

    with Stream(house.daemon) as viewer:
        viewer.part()
        thread = threading.Thread(target=press)
        thread.start()
        try:
            for number in range(2, 60):
                pipe_camera.show(numbered(number))
                assert viewer.part().body == numbered(number)
            eventually(lambda: len(sent) >= 100, "100 presses")
        finally:
            stop.set()
            thread.join()
    assert set(sent) <= {200, 429}
    assert len(json.loads(house.daemon.request("/visits.json")[1])["visits"]) == 1
    house.wait_for_visit(presses=sent.count(200))
