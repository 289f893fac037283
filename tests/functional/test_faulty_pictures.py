"""The fault matrix, single pictures: no memory for one, no encoder, no OpenCV.

The faults happen inside the shipped daemon's own process; see Sabotage. ::

    encoder raises, or refuses      test_picture_that_cannot_be_made_is_left_out
    no memory to read, encode, send the same
    no memory for an answer         test_answer_for_which_there_is_no_memory_is_refused
    memory really is short          test_real_want_of_memory_costs_the_large_picture_alone
    OpenCV missing or broken        test_camera_that_needs_opencv_tells_that_it_is_missing
    the card cannot be drawn        test_card_that_cannot_be_drawn_is_the_ready_one
"""

from __future__ import annotations

import http.client
import resource
from pathlib import Path

import pytest

from doorbelld.media.jpeg import LARGEST
from tests.support import processes
from tests.support.cards import READY_CARD, SIZE, see_card
from tests.support.daemon import Daemon, eventually
from tests.support.pictures import huge_jpeg, jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.sabotage import Sabotage
from tests.support.stream import Stream
from tests.support.systemd import service
from tests.support.witness import Witness

SETTINGS = {**SIZE, "server.max_requests": 1, "camera.stall_timeout": 60}

PATTERN = "doorbelld.camera.pattern:PatternCamera"


def start(daemon: Daemon, sabotage: Sabotage, **settings: object) -> Witness:
    """Start a daemon with a camera that works for now."""
    daemon.start({**SETTINGS, **settings}, environ=sabotage.environ)
    daemon.wait_for_state("streaming")
    return Witness(daemon)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("cv2:imencode", "import cv2; raise cv2.error('it failed')"),
        ("cv2:imencode", "return False, None"),
        ("cv2:imencode", "raise MemoryError"),
        (f"{PATTERN}.read", "raise MemoryError"),
        ("doorbelld.media.multipart:exact_part", "raise MemoryError"),
    ],
    ids=["encoder raises", "encoder refuses", "encoding", "reading", "building the part"],
)
def test_picture_that_cannot_be_made_is_left_out(
    daemon: Daemon, tmp_path: Path, target: str, fault: str
) -> None:
    sabotage = Sabotage(tmp_path, target, fault)
    witness = start(daemon, sabotage)
    with Stream(daemon) as stream:
        stream.part()
        for _ in range(3):
            sabotage.strike()
            eventually(lambda: sabotage.has_struck, "a fault")
            before = daemon.status()["camera"]["frames"]
            assert daemon.wait_for_state("streaming")
            stream.part()
            eventually(lambda: daemon.status()["camera"]["frames"] > before, "more frames")  # noqa: B023
    camera = witness.sees_camera_well()
    assert camera["reopened"] == 0
    assert camera["invalid"] == (0 if "multipart" in target else 3)
    assert 1 <= len(witness.said()) <= 3, witness.said()
    assert all("was left out" in line for line in witness.said()), witness.said()
    witness.sees_all_as_before()


def test_real_want_of_memory_costs_the_large_picture_alone(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start(
        {**SETTINGS, "camera.source": pipe_camera.source, "camera.stall_timeout": 60},
        # Else the address space that the allocator has reserved for a thread is room enough.
        environ={"MALLOC_ARENA_MAX": "1"},
    )
    pipe_camera.show(jpeg(0))
    daemon.wait_for_state("streaming")
    witness = Witness(daemon)
    with Stream(daemon) as stream:
        assert stream.part().body == jpeg(0)
        room = processes.mapped(daemon.pid) + 8 * 1024 * 1024
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, (room, resource.RLIM_INFINITY))
        for number in range(1, 6):
            pipe_camera.show(huge_jpeg(14))
            pipe_camera.show(jpeg(number))
            assert stream.part().body == jpeg(number)
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(daemon.pid, resource.RLIMIT_AS, unlimited)
        pipe_camera.show(huge_jpeg(14))
        assert stream.part().body == huge_jpeg(14)
        pipe_camera.show(jpeg(6))
        assert stream.part().body == jpeg(6)
    camera = witness.sees_camera_well()
    assert (camera["invalid"], camera["frames"], camera["reopened"]) == (5, 8, 0)
    (line,) = witness.said()
    assert line.endswith("there was too little memory for a picture, which was left out")
    witness.sees_all_as_before(2 * LARGEST)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("v4l2", "ImportError('no such module')"),
        ("http", "ImportError('no such module')"),
        ("pattern", "ImportError('no such module')"),
        ("file", "ImportError('no such module')"),
        ("pattern", "AttributeError('_ARRAY_API')"),  # made for another numpy
        ("v4l2", "SystemError('initialization failed')"),
    ],
)
def test_camera_that_needs_opencv_tells_that_it_is_missing(
    daemon: Daemon, tmp_path: Path, source: str, fault: str
) -> None:
    folder = tmp_path / "camera"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(jpeg(1))
    sources = {"v4l2": "v4l2:/dev/video9", "http": "http://127.0.0.1:1/", "file": f"file:{folder}"}
    settings = {"camera.source": sources.get(source, source), "camera.rotation": 90}
    environ = service(tmp_path, "opencv", "")
    (tmp_path / "opencv" / "cv2.py").write_text(f"raise {fault}\n")
    daemon.start({**SETTINGS, **settings}, environ=environ)
    daemon.wait_for_state("offline")
    witness = Witness(daemon)
    with Stream(daemon) as stream:
        parts = [stream.part() for _ in range(2)]
    assert [part.body for part in parts] == [READY_CARD] * 2
    witness.sees_camera_offline("needs OpenCV, which is not installed, or does not load$")
    assert daemon.request("/")[0].status == 200
    assert daemon.log().count("camera offline") == 1
    witness.sees_all_as_before()


@pytest.mark.parametrize("fault", ["raise MemoryError", "import cv2; raise cv2.error('no')"])
def test_card_that_cannot_be_drawn_is_the_ready_one(
    daemon: Daemon, tmp_path: Path, fault: str
) -> None:
    sabotage = Sabotage(tmp_path, "cv2:putText", fault)
    sabotage.begin()
    daemon.start(
        {**SETTINGS, "camera.source": f"file:{tmp_path}/no.mjpeg"}, environ=sabotage.environ
    )
    with Stream(daemon) as stream:
        assert stream.part().body == READY_CARD
        sabotage.end()
        see_card(stream)
    Witness(daemon).sees_camera_offline("There is no file")


@pytest.mark.parametrize(
    ("target", "end"),
    [
        ("doorbelld.server.connection:Connection.peek", ConnectionResetError),
        ("doorbelld.server.server:Server._serve", http.client.RemoteDisconnected),
        ("doorbelld.server.server:Server._respond", None),
        ("doorbelld.server.connection:Connection.write", http.client.RemoteDisconnected),
    ],
    ids=["reading the request", "handing it over", "making it", "sending it"],
)
def test_answer_for_which_there_is_no_memory_is_refused(
    daemon: Daemon, tmp_path: Path, target: str, end: type[Exception] | None
) -> None:
    sabotage = Sabotage(tmp_path, target, "raise MemoryError")
    witness = start(daemon, sabotage)
    with Stream(daemon) as stream:
        for _ in range(20):
            sabotage.strike()
            if end is None:
                assert daemon.request("/snapshot.jpg")[0].status == 503
            else:
                with pytest.raises(end):
                    daemon.request("/snapshot.jpg")
        stream.part()
        assert daemon.request("/snapshot.jpg")[0].status == 200
    assert len(witness.said()) == (end is None), witness.said()
    witness.sees_camera_well()
    witness.sees_all_as_before()
