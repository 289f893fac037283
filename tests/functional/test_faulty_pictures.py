"""The fault matrix, single pictures: no memory for one, no encoder, no OpenCV.

The faults happen inside the shipped daemon's own process; see FaultInjector. ::

    encoder raises, or refuses      test_picture_that_cannot_be_made_is_left_out
    no memory to read, encode, send the same
    no memory for an answer         test_answer_for_which_there_is_no_memory_is_refused
    memory really is short          test_real_shortage_of_memory_costs_only_the_large_picture
    OpenCV missing or broken        test_camera_that_needs_opencv_says_that_it_is_missing
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
from tests.support.fault_injector import FaultInjector
from tests.support.fault_observer import FaultObserver
from tests.support.pictures import huge_jpeg, jpeg
from tests.support.pipe_camera import PipeCamera
from tests.support.sitecustomize import sitecustomize
from tests.support.stream import Stream

SETTINGS = {**SIZE, "server.max_requests": 1, "camera.stall_timeout": 60}

PATTERN = "doorbelld.camera.pattern:PatternCamera"


def start(daemon: Daemon, injector: FaultInjector, **settings: object) -> FaultObserver:
    """Start a daemon with a camera that works for now."""
    daemon.start({**SETTINGS, **settings}, environ=injector.environ)
    daemon.wait_for_state("streaming")
    return FaultObserver(daemon)


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
    injector = FaultInjector(tmp_path, target, fault)
    observer = start(daemon, injector)
    with Stream(daemon) as stream:
        stream.part()
        for _ in range(3):
            injector.fail_once()
            eventually(lambda: injector.has_failed, "a fault")
            before = daemon.status()["camera"]["frames"]
            assert daemon.wait_for_state("streaming")
            stream.part()
            eventually(lambda: daemon.status()["camera"]["frames"] > before, "more frames")  # noqa: B023
    camera = observer.sees_camera_streaming()
    assert camera["reopened"] == 0
    assert camera["invalid"] == (0 if "multipart" in target else 3)
    assert 1 <= len(observer.logged()) <= 3, observer.logged()
    assert all("was left out" in line for line in observer.logged()), observer.logged()
    observer.sees_resources_released()


def test_real_shortage_of_memory_costs_only_the_large_picture(
    daemon: Daemon, pipe_camera: PipeCamera
) -> None:
    daemon.start(
        {**SETTINGS, "camera.source": pipe_camera.source, "camera.stall_timeout": 60},
        # Otherwise the address space that the allocator reserves for a thread would be enough.
        environ={"MALLOC_ARENA_MAX": "1"},
    )
    pipe_camera.show(jpeg(0))
    daemon.wait_for_state("streaming")
    observer = FaultObserver(daemon)
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
    camera = observer.sees_camera_streaming()
    assert (camera["invalid"], camera["frames"], camera["reopened"]) == (5, 8, 0)
    (line,) = observer.logged()
    assert line.endswith("there was too little memory for a picture, which was left out")
    observer.sees_resources_released(2 * LARGEST)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("rtsp", "ImportError('no such module')"),
        ("pattern", "ImportError('no such module')"),
        ("video", "ImportError('no such module')"),
        ("pattern", "AttributeError('_ARRAY_API')"),  # made for another numpy
        ("rtsp", "SystemError('initialization failed')"),
    ],
)
def test_camera_that_needs_opencv_says_that_it_is_missing(
    daemon: Daemon, tmp_path: Path, source: str, fault: str
) -> None:
    video = tmp_path / "video.mp4"
    video.touch()
    sources = {"rtsp": "rtsp://127.0.0.1:1/", "video": f"file:{video}"}
    settings = {"camera.source": sources.get(source, source), "camera.rotation": 90}
    environ = sitecustomize(tmp_path, "opencv", "")
    (tmp_path / "opencv" / "cv2.py").write_text(f"raise {fault}\n")
    daemon.start({**SETTINGS, **settings}, environ=environ)
    daemon.wait_for_state("offline")
    observer = FaultObserver(daemon)
    with Stream(daemon) as stream:
        parts = [stream.part() for _ in range(2)]
    assert [part.body for part in parts] == [READY_CARD] * 2
    observer.sees_camera_offline("needs OpenCV, which is not installed, or does not load$")
    assert daemon.request("/")[0].status == 200
    assert daemon.log().count("camera offline") == 1
    observer.sees_resources_released()


@pytest.mark.parametrize("fault", ["raise MemoryError", "import cv2; raise cv2.error('no')"])
def test_card_that_cannot_be_drawn_is_the_ready_one(
    daemon: Daemon, tmp_path: Path, fault: str
) -> None:
    injector = FaultInjector(tmp_path, "cv2:putText", fault)
    injector.fail_always()
    daemon.start(
        {**SETTINGS, "camera.source": f"file:{tmp_path}/no.mjpeg"}, environ=injector.environ
    )
    with Stream(daemon) as stream:
        assert stream.part().body == READY_CARD
        injector.stop()
        see_card(stream)
    FaultObserver(daemon).sees_camera_offline("There is no file")


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
    injector = FaultInjector(tmp_path, target, "raise MemoryError")
    observer = start(daemon, injector)
    with Stream(daemon) as stream:
        for _ in range(20):
            injector.fail_once()
            if end is None:
                assert daemon.request("/snapshot.jpg")[0].status == 503
            else:
                with pytest.raises(end):
                    daemon.request("/snapshot.jpg")
        stream.part()
        assert daemon.request("/snapshot.jpg")[0].status == 200
    assert len(observer.logged()) == (end is None), observer.logged()
    observer.sees_camera_streaming()
    observer.sees_resources_released()
